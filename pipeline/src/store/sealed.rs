//! JSON with a digest of its contents as its last member, so that a flipped bit is detected on reading.

use serde::Serialize;

/// The text before the digest.
const SEAL: &str = ",\n  \"digest of all above\": \"";
/// The text after it.
const END: &str = "\"\n}\n";

/// `value`, a map, as JSON with its digest.
///
/// # Errors
/// `value` cannot be written as JSON.
pub fn seal(value: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string_pretty(value)?;
    let above = json.strip_suffix("\n}").unwrap_or(&json);
    Ok(format!("{above}{SEAL}{}{END}", digest(above)))
}

/// The JSON of a sealed text, without the digest.
///
/// # Errors
/// The digest does not match; the message continues after the name of the file.
pub fn open(text: &str) -> Result<String, String> {
    let broken = || "does not end with its digest".to_owned();
    let (above, rest) = text.rsplit_once(SEAL).ok_or_else(broken)?;
    let found = rest.strip_suffix(END).ok_or_else(broken)?;
    let expected = digest(above);
    match found == expected {
        true => Ok(format!("{above}\n}}")),
        false => Err(format!(
            "was changed or damaged after it was written: its content has digest {expected}, its last line says {found}"
        )),
    }
}

/// Whether the text has a digest, whatever it is.
pub fn is_sealed(text: &str) -> bool {
    text.contains(SEAL)
}

fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn one_flipped_bit_is_found_wherever_it_is() {
        let value = json!({"step": 3, "name": "a"});
        let sealed = seal(&value).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&open(&sealed).unwrap()).unwrap(),
            value
        );
        // JSON for other programs too
        assert_eq!(serde_json::from_str::<Value>(&sealed).unwrap()["step"], 3);
        for bit in 0..8 * sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(flipped) = String::from_utf8(bytes) {
                assert!(open(&flipped).is_err(), "{bit}: {flipped}");
            }
        }
        for length in 0..sealed.len() {
            assert!(open(&sealed[..length]).is_err(), "{length}");
        }
    }
}
