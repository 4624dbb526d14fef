//! Messages of the parsers in the words of somebody who edits YAML.

/// A mapping where the parser expects one.
const MAPPING: &str = "a mapping: `key: value` lines, indented, or `{key: value}`";

/// Translates serde's `message`: a tagged enum is a map with its kind, and a wrong type is told as what was found
/// and what was expected.
pub fn in_words(message: &str) -> String {
    const TAGGED: &str = "internally tagged enum ";
    if let Some((before, after)) = message.split_once(TAGGED) {
        let rest = after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        return format!("{before}a map with its kind, such as `{{kind: ...}}`{rest}");
    }
    if message.starts_with("invalid length ") && message.contains(", expected struct ") {
        return format!("found a list, expected {MAPPING}");
    }
    let wrong = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "));
    match wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        Some((found, expected)) => {
            format!("found {}, expected {}", value(found), kind(expected))
        }
        None => message.to_owned(),
    }
}

/// What serde found, such as "integer `3`", "string \"many\"" or "sequence".
fn value(found: &str) -> String {
    match found {
        "sequence" => return "a list".into(),
        "map" => return "a mapping".into(),
        "null" | "unit value" => return "nothing".into(),
        _ => {}
    }
    match found.split_once(['`', '"']) {
        Some((_, rest)) => format!("`{}`", rest.trim_end_matches(['`', '"'])),
        None => found.to_owned(),
    }
}

/// What a type expects, by the word that serde has for it.
fn kind(expected: &str) -> String {
    match expected {
        "a sequence" => kind_of_node("sequence start").to_owned(),
        "a map" => MAPPING.to_owned(),
        "a string" => "text".to_owned(),
        "a boolean" => kind_of_number("bool").to_owned(),
        _ if expected.starts_with("struct ") => MAPPING.to_owned(),
        _ => kind_of_number(expected).to_owned(),
    }
}

/// What the YAML parser expects, by its word for a node.
pub fn kind_of_node(expected: &str) -> &str {
    match expected {
        "mapping start" => MAPPING,
        "sequence start" => "a list, such as `[1, 2]`",
        "string scalar" => "text",
        "scalar" => "a single value",
        other => other,
    }
}

/// The values of a Rust type of numbers.
pub fn kind_of_number(ty: &str) -> &str {
    match ty {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, zero or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "bool" => "true or false",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_is_told_as_what_was_found_and_what_was_expected() {
        for (message, told) in [
            (
                "invalid type: integer `3`, expected struct Config",
                "found `3`, expected a mapping: `key: value` lines, indented, or `{key: value}`",
            ),
            (
                "invalid type: string \"many\", expected usize",
                "found `many`, expected a whole number, zero or more",
            ),
            (
                "invalid type: sequence, expected f64",
                "found a list, expected a number",
            ),
            (
                "invalid value: integer `-3`, expected u64",
                "found `-3`, expected a whole number, zero or more",
            ),
            (
                "invalid length 1, expected struct Latent with 3 elements",
                "found a list, expected a mapping: `key: value` lines, indented, or `{key: value}`",
            ),
            ("something else", "something else"),
        ] {
            assert_eq!(in_words(message), told);
        }
    }
}
