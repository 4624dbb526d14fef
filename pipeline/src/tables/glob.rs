//! `*` and `?` in names.

use glob::Pattern;

/// Whether `text` matches `pattern`: `*` matches any text, `?` one character. Brackets, which occur in names of
/// figures, match themselves.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.replace('[', "[[]");
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    Pattern::new(&pattern).is_ok_and(|pattern| pattern.matches(text))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_text_and_question_marks_for_one_character() {
        for (pattern, text) in [
            ("digits*", "digits"),
            ("digits*", "digits-unaligned"),
            ("*seed?", "a.seed1"),
            ("*a*b*", "xxaxxbxx"),
            ("", ""),
            ("a**b", "a/b"),
            ("share in [0, 1]*", "share in [0, 1], 2.5 %"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("digits", "digits2"),
            ("*seed?", "seed"),
            ("a*b", "ac"),
            ("?", ""),
            ("[ab]", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
