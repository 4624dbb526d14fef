//! Small text files with a digest of their contents, so that a flipped bit is detected on reading.

/// The prefix of the last line of a sealed file.
const YAML: &str = "# digest of all above: ";
const JSON: &str = "digest of all above: ";

/// `yaml` followed by its digest in a comment.
pub fn seal_yaml(yaml: &str) -> String {
    let end = if yaml.ends_with('\n') { "" } else { "\n" };
    let body = format!("{yaml}{end}");
    format!("{body}{YAML}{}\n", digest(&body))
}

/// Checks the digest of `text`; none for text without one.
pub fn check_yaml(text: &str) -> Option<Result<(), String>> {
    let start = text.rfind(YAML)?;
    let (above, last) = text.split_at(start);
    let found = &last[YAML.len()..];
    Some(match found.strip_suffix('\n') {
        Some(found) => same(found, &digest(above)),
        None => Err("is cut short".to_owned()),
    })
}

/// `json` followed by its digest.
pub fn seal_json(json: &str) -> String {
    format!("{json}\n{JSON}{}\n", digest(json))
}

/// The JSON of a sealed text.
///
/// # Errors
/// The digest does not match; the message continues after the name of the file.
pub fn open_json(text: &str) -> Result<String, String> {
    let broken = || "does not end with its digest".to_owned();
    let (json, rest) = text.rsplit_once(&format!("\n{JSON}")).ok_or_else(broken)?;
    let found = rest.strip_suffix('\n').ok_or_else(broken)?;
    same(found, &digest(json))?;
    Ok(json.to_owned())
}

fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn same(found: &str, expected: &str) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "is not as it was written: its content has digest {expected}, its last line says {found}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flipped_bit_is_found_wherever_it_is() {
        let yaml = seal_yaml("format: 3\nstage: pretrain-flow\n");
        assert_eq!(check_yaml(&yaml), Some(Ok(())));
        assert_eq!(check_yaml("format: 2\n"), None);
        let json = seal_json("{\"step\": 3}");
        assert_eq!(open_json(&json).unwrap(), "{\"step\": 3}");
        for (text, good) in [
            (&yaml, check_yaml as fn(&str) -> Option<Result<(), String>>),
            (&json, |text| Some(open_json(text).map(|_| ()))),
        ] {
            for bit in 0..8 * text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                if let Ok(flipped) = String::from_utf8(bytes) {
                    assert_ne!(good(&flipped), Some(Ok(())), "{bit}: {flipped}");
                }
            }
            for length in 0..text.len() {
                assert_ne!(good(&text[..length]), Some(Ok(())), "{length}");
            }
        }
    }
}
