//! "Did you mean ...?"

pub use latent_align_stages::problems::quoted as list;

/// Keys that used to be beside `model` and are now inside it.
const MOVED: [&str; 3] = ["network", "times", "precision"];

/// The likely meaning of the unknown key `word` among the keys `expected`: its new place if it has moved, or
/// the nearest key.
pub fn meant_key(word: &str, expected: &[&str]) -> Option<String> {
    match MOVED.contains(&word) && expected.contains(&"model") {
        true => Some(format!("model: {{kind: flow_matching, {word}: ...}}")),
        false => did_you_mean(word, expected),
    }
}

/// The candidate nearest to `word`, if it is close enough to be a typo.
pub fn did_you_mean<S: AsRef<str>>(
    word: &str,
    candidates: impl IntoIterator<Item = S>,
) -> Option<String> {
    let near = by_distance(word, candidates).filter(|(distance, candidate)| {
        *distance <= (word.chars().count().max(candidate.len()) / 3).max(1)
    });
    nearest_of(near)
}

/// "; did you mean `weight`?" for messages about `word`; empty if no candidate is close enough.
pub fn hint<S: AsRef<str>>(word: &str, candidates: impl IntoIterator<Item = S>) -> String {
    question(did_you_mean(word, candidates))
}

/// "; did you mean `weight`?" if `near` is given.
pub fn question(near: Option<String>) -> String {
    near.map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}

/// The candidate nearest to `word`, at any distance.
pub fn nearest<S: AsRef<str>>(
    word: &str,
    candidates: impl IntoIterator<Item = S>,
) -> Option<String> {
    nearest_of(by_distance(word, candidates))
}

fn by_distance<S: AsRef<str>>(
    word: &str,
    candidates: impl IntoIterator<Item = S>,
) -> impl Iterator<Item = (usize, String)> {
    let lower = word.to_lowercase();
    candidates.into_iter().map(move |candidate| {
        let candidate = candidate.as_ref().to_owned();
        let other = candidate.to_lowercase();
        (strsim::damerau_levenshtein(&lower, &other), candidate)
    })
}

fn nearest_of(candidates: impl Iterator<Item = (usize, String)>) -> Option<String> {
    let nearest = candidates.min_by_key(|(distance, _)| *distance);
    nearest.map(|(_, candidate)| candidate)
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
        assert_eq!(nearest("WEIGHTS", keys).as_deref(), Some("weight"));
        assert!(nearest("temperature", keys).is_some());
    }

    #[test]
    fn a_list_reads_like_a_sentence() {
        assert_eq!(list(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(list(&["a"]), "`a`");
    }
}
