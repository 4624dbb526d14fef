//! A page in the few lines that a terminal shows at the end of a run: headline, key figures, paths.

use super::parts::{Headline, Page};
use crate::report::view::RunView;
use crate::tables::{TERMINAL, columns, number, short_name, wrapped};
use std::fmt::Write as _;

/// At most this many figures.
const FIGURES: usize = 5;

/// The headline of a page, wrapped to a terminal's width.
pub fn headline(name: &str, headline: &Headline) -> String {
    let mut out = wrapped(&format!("{name}: {}", headline.verdict), TERMINAL, "");
    if !headline.reasons.is_empty() {
        out += &wrapped(&headline.reasons, TERMINAL, "  ");
    }
    out
}

/// Headline, figures and number of warnings of a run's `page`.
pub fn run(found: &RunView, page: &Page) -> String {
    let mut out = headline(&page.name, &page.headline);
    let cards = page.cards.iter().map(|card| {
        let name = format!("  {}", card.name);
        vec![name, card.value.clone(), card.detail.clone()]
    });
    let mut rows: Vec<Vec<String>> = cards.take(FIGURES).collect();
    let last = found.stages.last();
    for (name, value) in last.iter().flat_map(|stage| &stage.figures.0) {
        if rows.len() == FIGURES {
            break;
        }
        let name = format!("  {}", short_name(name));
        rows.push(vec![name, number(*value), String::new()]);
    }
    if !rows.is_empty() {
        let _ = write!(out, "\n{}", columns(&rows));
    }
    let warnings = match page.warnings.len() {
        0 => String::new(),
        1 => "1 warning, ".to_owned(),
        many => format!("{many} warnings, "),
    };
    let _ = writeln!(
        out,
        "  {warnings}every figure: latent-align show {}",
        page.name
    );
    out
}
