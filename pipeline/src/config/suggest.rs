//! "Did you mean ...?"

/// The candidate nearest to `word`, if one is near enough to be a typo of it.
pub fn did_you_mean<S: AsRef<str>>(
    word: &str,
    candidates: impl IntoIterator<Item = S>,
) -> Option<String> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|c| {
            let candidate = c.as_ref().to_owned();
            (strsim::damerau_levenshtein(&lower, &candidate), candidate)
        })
        .filter(|(distance, candidate)| {
            *distance <= (word.chars().count().max(candidate.len()) / 3).max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "`a`, `b` or `c`".
pub fn list<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{}`", w.as_ref())).collect();
    match quoted.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposition_is_recognised_and_a_stranger_is_not() {
        let keys = ["weight", "weighting", "draws"];
        assert_eq!(did_you_mean("wieght", keys).as_deref(), Some("weight"));
        assert_eq!(did_you_mean("Draws", keys).as_deref(), Some("draws"));
        assert_eq!(did_you_mean("temperature", keys), None);
    }

    #[test]
    fn a_list_reads_like_a_sentence() {
        assert_eq!(list(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(list(&["a"]), "`a`");
    }
}
