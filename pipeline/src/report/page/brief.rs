//! A page in the few lines that a terminal shows at the end of a run: headline, key figures, paths.

use super::parts::{Card, Headline, Page};
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

/// As many of the clauses of `text` as `width` characters hold; the page has them all.
fn clauses(text: &str, width: usize) -> String {
    let mut kept = String::new();
    for clause in text.split("; ") {
        if kept.chars().count() + clause.chars().count() + 2 > width {
            break;
        }
        kept += if kept.is_empty() { "" } else { "; " };
        kept += clause;
    }
    kept
}

/// Headline, figures and number of warnings of a run's `page`.
pub fn run(found: &RunView, page: &Page) -> String {
    let mut out = headline(&page.name, &page.headline);
    let width =
        |of: fn(&Card) -> &str| page.cards.iter().map(|card| of(card).chars().count()).max();
    let taken = width(|card| card.name).unwrap_or(0) + width(|card| &card.value).unwrap_or(0) + 6;
    let cards = page.cards.iter().map(|card| {
        let name = format!("  {}", card.name);
        let detail = clauses(&card.detail, TERMINAL.saturating_sub(taken));
        vec![name, card.value.clone(), detail]
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
