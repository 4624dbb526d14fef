//! Tables agree with their sources.

use super::{current, read, rows};
use serde_json::Value;
use std::path::Path;

fn results() -> super::Document {
    let mut documents = current();
    let at = documents
        .iter()
        .position(|d| d.path == Path::new("docs/results.md"));
    documents.swap_remove(at.expect("docs/results.md"))
}

/// The requirement of a check, as written in the table of `make verify`.
fn required(check: &Value) -> String {
    let bound = |key: &str| check.get(key).and_then(Value::as_f64);
    match (bound("at_least"), bound("at_most")) {
        (None, None) => String::new(),
        (Some(least), None) => format!(">= {least}"),
        (None, Some(most)) => format!("<= {most}"),
        (Some(least), Some(most)) if least == -most => format!("+- {most}"),
        (Some(least), Some(most)) => format!("{least} to {most}"),
    }
}

#[test]
fn the_table_of_verify_has_the_claims_and_bounds_of_its_file() {
    let sweep: Value = serde_yaml::from_str(&read("configs/sweeps/verify.yaml")).unwrap();
    let checks = sweep["checks"].as_array().unwrap().iter();
    let asked: Vec<_> = checks
        .map(|c| (c["claim"].as_str().unwrap().to_owned(), required(c)))
        .collect();
    let table = rows(&results().section("Claims that make verify measures"));
    let shown: Vec<_> = table
        .iter()
        .map(|row| (row[0].clone(), row[2].clone()))
        .collect();
    assert_eq!(shown, asked);
    for row in &table {
        let expected: &[&str] = match row[2].as_str() {
            "" => &["shown"],
            _ => &["pass", "miss"],
        };
        assert!(expected.contains(&row[3].as_str()), "{row:?}");
    }
}

/// The README repeats a few figures of a table in `docs/` unchanged.
#[test]
fn the_results_of_the_readme_are_rows_of_the_table_in_the_documents() {
    let readme = &current()[0];
    let table = rows(&results().section("What alignment buys"));
    let shown = rows(&readme.section("Results"));
    assert!(shown.len() >= 5, "{shown:?}");
    for row in shown {
        let of_the_same = table.iter().find(|r| r[0] == row[0]);
        let whole = of_the_same.unwrap_or_else(|| panic!("docs/results.md has no row {}", row[0]));
        let mut rest = whole.iter();
        for cell in &row {
            let found = rest.any(|c| c == cell);
            assert!(found, "README.md: {cell} is not in {whole:?}");
        }
    }
}

#[test]
fn the_table_of_exit_codes_is_that_of_the_help() {
    let help = crate::project::Project::new().run(&["help"]).stdout;
    let codes = help.lines().skip_while(|l| *l != "Exit codes:").skip(1);
    let codes = codes.take_while(|l| !l.is_empty());
    let codes: Vec<&str> = codes
        .filter_map(|l| l.split_whitespace().next())
        .filter(|w| w.parse::<u8>().is_ok())
        .collect();
    let documents = current();
    let setup = documents
        .iter()
        .find(|d| d.path == Path::new("docs/setup.md"));
    let table = rows(&setup.unwrap().section("Exit codes"));
    let shown: Vec<&str> = table.iter().flat_map(|r| r[0].split(", ")).collect();
    assert_eq!(shown, codes);
}
