//! What to know before trusting the report: warnings of the stages, and damage.

use crate::report::view::RunView;

/// The warnings of `found`, each with its subject.
pub fn warnings(found: &RunView) -> Vec<(String, String)> {
    let told = |about: &'static str| move |why: &String| (about.to_owned(), one_line(why));
    let damage = found.damage.iter().map(told("damaged"));
    let left_out = found.left_out.iter().map(told("left out"));
    let of_stages = found.stages.iter().flat_map(|stage| {
        let warnings = stage.warnings.iter();
        warnings.map(|warning| (stage.stage.to_string(), one_line(warning)))
    });
    damage.chain(left_out).chain(of_stages).collect()
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}
