//! What to know before trusting the report: warnings of the stages, and damage.

use super::found::Found;
use super::html::Html;
use crate::report::charts::escaped;
use std::fmt::Write as _;

/// A box of them; empty without any.
pub fn warnings(found: &Found) -> Html {
    let mut lines: Vec<(String, &str)> = Vec::new();
    for why in &found.damage {
        lines.push(("damaged".into(), why));
    }
    for why in &found.left_out {
        lines.push(("left out".into(), why));
    }
    for stage in &found.stages {
        for warning in &stage.warnings {
            lines.push((stage.stage.to_string(), warning));
        }
    }
    listed(&lines)
}

/// A box of `lines`, each with its subject.
pub fn listed(lines: &[(String, &str)]) -> Html {
    if lines.is_empty() {
        return Html::default();
    }
    let mut out = "<ul class=\"warnings\" aria-label=\"Warnings\">\n".to_owned();
    for (about, line) in lines {
        let _ = writeln!(
            out,
            "<li><b>{}</b> {}</li>",
            escaped(about),
            escaped(&line.replace('\n', " "))
        );
    }
    out.push_str("</ul>\n");
    Html(out)
}
