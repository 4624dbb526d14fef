//! "Did you mean ...?": the candidate closest to a misspelt name.

/// The candidate within an edit distance of two fifths of the name's length, or one that contains
/// it or is contained in it.
pub fn closest<'a>(name: &str, candidates: &'a [String]) -> Option<&'a str> {
    let plain = |s: &str| s.trim_start_matches('/').to_lowercase();
    let name = plain(name);
    candidates
        .iter()
        .map(|c| {
            let other = plain(c);
            let nested = !other.is_empty() && (other.contains(&name) || name.contains(&other));
            let distance = if nested {
                1
            } else {
                strsim::levenshtein(&name, &other)
            };
            (distance, c.as_str())
        })
        .filter(|(distance, _)| *distance <= 2 * name.chars().count().max(3) / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_slip_and_an_abbreviation_but_not_a_stranger() {
        let held = ["/feats".to_owned(), "/labels".to_owned()];
        assert_eq!(closest("lables", &held), Some("/labels"));
        assert_eq!(
            closest("features", &["/feature".to_owned()]),
            Some("/feature")
        );
        assert_eq!(closest("feat", &held), Some("/feats"));
        assert_eq!(closest("images", &["/embeddings".to_owned()]), None);
    }
}
