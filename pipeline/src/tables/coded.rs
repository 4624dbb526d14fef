//! Figures whose numbers are codes, explained in their names: `kind of number (0 exact, 1 ODE)`.

/// The codes of the figure `name`, with the position of their list in the name; none for other figures.
fn meanings(name: &str) -> Option<(usize, Vec<(f64, &str)>)> {
    let (start, _) = name.rmatch_indices(" (").next()?;
    let inside = name[start + 2..].strip_suffix(')')?;
    let each = inside.split(", ").map(|part| {
        let (number, word) = part.split_once(' ')?;
        Some((f64::from(number.parse::<u8>().ok()?), word))
    });
    let all: Vec<(f64, &str)> = each.collect::<Option<_>>()?;
    (all.len() > 1).then_some((start, all))
}

/// The word for `value` of the figure `name`.
pub fn word(name: &str, value: f64) -> Option<&str> {
    let (_, meanings) = meanings(name)?;
    let found = meanings.into_iter().find(|(number, _)| *number == value);
    found.map(|(_, word)| word)
}

/// The word for all `values` of the figure `name`, or the count of each word, larger counts first; none if a value
/// has no word.
pub fn words(name: &str, values: &[f64]) -> Option<String> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let kinds = sorted.chunk_by(|a, b| a == b);
    let kinds = kinds.map(|equal| Some((equal.len(), word(name, equal[0])?)));
    let kinds: Vec<(usize, &str)> = kinds.collect::<Option<_>>()?;
    match kinds[..] {
        [] => None,
        [(_, one)] => Some(one.to_owned()),
        _ => {
            let told = kinds.iter().map(|(count, word)| format!("{count} {word}"));
            Some(told.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The name of a figure without its codes.
pub fn short_name(name: &str) -> &str {
    meanings(name).map_or(name, |(start, _)| &name[..start])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "a: kind (0 exact, 1 by an ODE, 2 bound)";

    #[test]
    fn numbers_are_the_words_that_the_name_says() {
        assert_eq!(word(NAME, 1.0), Some("by an ODE"));
        assert_eq!(word(NAME, 3.0), None);
        assert_eq!(words(NAME, &[2.0, 2.0]).unwrap(), "bound");
        assert_eq!(
            words(NAME, &[0.0, 1.0, 0.0]).unwrap(),
            "1 by an ODE, 2 exact"
        );
        assert_eq!(words(NAME, &[0.0, 0.5]), None);
        assert_eq!(words(NAME, &[]), None);
    }

    #[test]
    fn a_name_is_shortened_by_what_its_numbers_mean() {
        assert_eq!(short_name(NAME), "a: kind");
        for plain in ["points", "NLL (nats)", "error (0 nats)", "p (0, 1)", "n (2"] {
            assert_eq!(short_name(plain), plain);
            assert_eq!(word(plain, 0.0), None);
        }
    }
}
