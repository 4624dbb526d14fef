//! Names of columns as users type them.

use super::glob::matches;
use super::source::Source;
use crate::config::{hint, list};
use latent_align_stages::{Error, Result};

/// The column called `wanted`, or the only one whose last part is: `weight` matches
/// `train_autoencoder.regulariser.weight`. `option` names the option in messages.
///
/// # Errors
/// [`Error::Input`] with the most similar names, or the ambiguous ones.
pub fn resolve(source: &Source, wanted: &str, option: &str) -> Result<usize> {
    find(source, wanted).map_err(|why| Error::input(format!("{option}: {why}")))
}

/// The columns named by `wanted`, each a list with commas; a name may contain commas.
///
/// # Errors
/// As [`resolve`].
pub fn choose(source: &Source, wanted: &[String]) -> Result<Vec<usize>> {
    let mut chosen: Vec<usize> = Vec::new();
    for names in wanted {
        let parts: Vec<&str> = names.split(',').collect();
        let mut at = 0;
        while at < parts.len() {
            let found = (at + 1..=parts.len()).rev().find_map(|end| {
                let found = several(source, parts[at..end].join(",").trim()).ok()?;
                Some((end, found))
            });
            let (end, found) = match found {
                Some(found) => found,
                None => (
                    at + 1,
                    vec![resolve(source, parts[at].trim(), "--columns")?],
                ),
            };
            let new = found.into_iter().filter(|column| !chosen.contains(column));
            let new: Vec<usize> = new.collect();
            chosen.extend(new);
            at = end;
        }
    }
    Ok(chosen)
}

fn several(source: &Source, wanted: &str) -> Result<Vec<usize>, String> {
    if !wanted.contains('*') {
        return Ok(vec![find(source, wanted)?]);
    }
    let names = source.fields.iter().map(|field| field.name.as_str());
    let found: Vec<usize> = names
        .enumerate()
        .filter(|(_, name)| matches(wanted, name))
        .map(|(at, _)| at)
        .collect();
    if found.is_empty() {
        return Err(format!("no column is like `{wanted}`"));
    }
    Ok(found)
}

fn find(source: &Source, wanted: &str) -> Result<usize, String> {
    let names = || source.fields.iter().map(|field| field.name.as_str());
    if let Some(at) = names().position(|name| name == wanted) {
        return Ok(at);
    }
    let ends = |name: &str| {
        let before = name.strip_suffix(wanted);
        before.is_some_and(|before| before.ends_with(": ") || before.ends_with('.'))
    };
    let meant: Vec<(usize, &str)> = names().enumerate().filter(|n| ends(n.1)).collect();
    match meant[..] {
        [(at, _)] if !wanted.is_empty() => return Ok(at),
        [] | [_] => {}
        _ if wanted.is_empty() => {}
        _ => {
            let names: Vec<&str> = meant.iter().map(|m| m.1).collect();
            return Err(format!(
                "`{wanted}` is ambiguous: it may be {}; give more of it",
                list(&names)
            ));
        }
    }
    let parts = names().filter_map(|name| name.rsplit([':', '.']).next().map(str::trim));
    let mut near = hint(wanted, names());
    if near.is_empty() {
        near = hint(wanted, parts);
    }
    Err(format!(
        "no column `{wanted}`{near} (`--columns '*'` shows all {})",
        source.fields.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::super::source::{Field, Values};
    use super::*;

    fn source() -> Source<'static> {
        let names = [
            "name",
            "a.weight",
            "b.weight",
            "a.steps",
            "nll: grid: Pearson, 2.5 %",
        ];
        let fields = names.map(|name| Field::new(name, Values::Int(vec![])));
        Source::new(0, fields.into())
    }

    #[test]
    fn a_last_part_is_enough_where_it_is_the_only_one() {
        assert_eq!(resolve(&source(), "steps", "--sort").unwrap(), 3);
        let message = resolve(&source(), "weight", "--sort")
            .unwrap_err()
            .to_string();
        assert!(message.contains("`a.weight` or `b.weight`"), "{message}");
    }

    #[test]
    fn a_typo_is_told_with_the_nearest_name() {
        let message = resolve(&source(), "a.wieght", "--sort")
            .unwrap_err()
            .to_string();
        assert!(message.contains("did you mean `a.weight`?"), "{message}");
    }

    #[test]
    fn a_name_with_a_comma_is_one_column() {
        let chosen = |names: &str| choose(&source(), &[names.to_owned()]);
        assert_eq!(
            chosen("name,nll: grid: Pearson, 2.5 %,a.steps").unwrap(),
            [0, 4, 3]
        );
        assert_eq!(chosen("*weight, name").unwrap(), [1, 2, 0]);
        assert!(chosen("name,b").is_err());
    }
}
