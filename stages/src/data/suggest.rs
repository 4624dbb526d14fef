//! "Did you mean ...?": the candidate closest to a mistyped name.

/// The candidate within two fifths of the name's length in edits, or one that contains it or is
/// contained in it.
pub(crate) fn closest<'a>(name: &str, candidates: &'a [String]) -> Option<&'a str> {
    let plain = |s: &str| s.trim_start_matches('/').to_lowercase();
    let name = plain(name);
    candidates
        .iter()
        .map(|c| {
            let other = plain(c);
            let nested = !other.is_empty() && (other.contains(&name) || name.contains(&other));
            let distance = if nested { 1 } else { edits(&name, &other) };
            (distance, c.as_str())
        })
        .filter(|(distance, _)| *distance <= 2 * name.chars().count().max(3) / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "`a`, `b` or `c`".
pub(crate) fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
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
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
