//! Parts of a page. All text from outside is escaped on the way in.

use crate::report::charts::escaped;
use crate::tables::number;
use std::fmt::Write as _;

/// A grade, shown as a colour; the words state it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    Good,
    Fair,
    Bad,
    Plain,
}

impl Grade {
    /// Its class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Bad => "bad",
            Self::Plain => "plain",
        }
    }
}

/// A piece of HTML.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Html(pub String);

/// `text` as HTML.
pub fn text(text: impl AsRef<str>) -> Html {
    Html(escaped(text.as_ref()))
}

/// `text` in the typeface of code.
pub fn code(text: impl AsRef<str>) -> Html {
    Html(format!("<code>{}</code>", escaped(text.as_ref())))
}

/// A paragraph.
pub fn paragraph(text: impl AsRef<str>) -> Html {
    Html(format!("<p>{}</p>\n", escaped(text.as_ref())))
}

/// A paragraph that explains why something is missing.
pub fn note(text: impl AsRef<str>) -> Html {
    Html(format!(
        r#"<p class="note">{}</p>{}"#,
        escaped(text.as_ref()),
        "\n"
    ))
}

/// A word with a colour.
pub fn chip(word: &str, grade: Grade) -> Html {
    Html(format!(
        r#"<span class="chip {}">{}</span>"#,
        grade.class(),
        escaped(word)
    ))
}

/// A key figure.
pub struct Card {
    pub name: &'static str,
    pub value: String,
    pub detail: String,
    pub grade: Grade,
}

/// Cards side by side; empty without cards.
pub fn cards(cards: &[Card]) -> Html {
    if cards.is_empty() {
        return Html::default();
    }
    let mut out = "<dl class=\"cards\">\n".to_owned();
    for card in cards {
        let _ = writeln!(
            out,
            "<div class=\"card {}\"><dt>{}</dt><dd class=\"value\">{}</dd><dd>{}</dd></div>",
            card.grade.class(),
            escaped(card.name),
            escaped(&card.value),
            escaped(&card.detail)
        );
    }
    out.push_str("</dl>\n");
    Html(out)
}

/// A section that opens on click.
pub fn details(summary: &str, inner: &Html) -> Html {
    Html(format!(
        "<details><summary>{}</summary>\n{}</details>\n",
        escaped(summary),
        inner.0
    ))
}

/// A cell of a table.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    html: Html,
    /// The value to sort by, if not the text.
    value: Option<f64>,
    /// Whether it is a number, which is aligned right.
    is_number: bool,
}

impl Cell {
    /// A cell sorted by its text.
    pub fn of(html: Html) -> Self {
        Self {
            html,
            value: None,
            is_number: false,
        }
    }

    /// Plain text.
    pub fn text(words: impl AsRef<str>) -> Self {
        Self::of(text(words))
    }

    /// A number.
    pub fn number(value: f64) -> Self {
        Self::shown(value, &number(value))
    }

    /// A number written as `words`.
    pub fn shown(value: f64, words: &str) -> Self {
        Self {
            html: text(words),
            value: Some(value),
            is_number: true,
        }
    }

    /// A cell sorted by `value` that shows `html`.
    pub fn ranked(value: f64, html: Html) -> Self {
        Self {
            html,
            value: Some(value),
            is_number: false,
        }
    }

    /// The cell with `words` appended.
    pub fn with(mut self, words: &str) -> Self {
        self.html.0.push_str(&text(words).0);
        self
    }

    /// A missing number.
    pub fn none() -> Self {
        Self {
            html: text("–"),
            value: Some(f64::NAN),
            is_number: true,
        }
    }
}

/// A table that can be sorted by clicking a header.
#[derive(Debug, Default)]
pub struct Table {
    /// Its description for screen readers.
    pub about: String,
    /// The names of its columns.
    pub header: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    pub fn new(about: &str, header: &[&str]) -> Self {
        Self {
            about: about.to_owned(),
            header: header.iter().map(|h| (*h).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// The table in a box that scrolls if it is too wide; empty without rows.
    pub fn html(&self) -> Html {
        if self.rows.is_empty() {
            return Html::default();
        }
        let is_number = |column: usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.all(|cell| cell.is_number)
        };
        let about = escaped(&self.about);
        let mut out = format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{about}\">\n\
             <table class=\"sortable\"><thead><tr>"
        );
        for (i, name) in self.header.iter().enumerate() {
            let class = if is_number(i) { " class=\"n\"" } else { "" };
            let _ = write!(
                out,
                "<th scope=\"col\"{class}><button type=\"button\">{}</button></th>",
                headed(name)
            );
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            out.push_str("<tr>");
            for cell in row {
                let class = if cell.is_number { " class=\"n\"" } else { "" };
                let value = match cell.value {
                    Some(value) if value.is_finite() => format!(" data-v=\"{value:e}\""),
                    Some(_) => " data-v=\"\"".to_owned(),
                    None => String::new(),
                };
                let _ = write!(out, "<td{class}{value}>{}</td>", cell.html.0);
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>\n");
        Html(out)
    }
}

/// The name of a column, with the stage of a figure or the section of a key on a line of its own.
fn headed(name: &str) -> String {
    let cut = name.split_once(": ").or_else(|| {
        // a dotted key has no spaces
        name.rsplit_once('.').filter(|_| !name.contains(' '))
    });
    match cut {
        Some((above, rest)) => format!("<small>{}</small>{}", escaped(above), escaped(rest)),
        None => escaped(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let evil = "<script>alert(\"1\")</script>' onload=x";
        let mut table = Table::new(evil, &[evil, "n"]);
        table
            .rows
            .push(vec![Cell::of(code(evil)), Cell::shown(1.5, evil)]);
        table.rows.push(vec![Cell::text(evil), Cell::none()]);
        let parts = [
            table.html(),
            text(evil),
            note(evil),
            paragraph(evil),
            chip(evil, Grade::Good),
            details(evil, &text(evil)),
        ];
        for part in parts {
            let without = |found: &str| !part.0.contains(found);
            assert!(
                without("<script") && without("\"1\"") && without("' onload"),
                "{}",
                part.0
            );
        }
    }

    #[test]
    fn long_names_of_columns_stand_in_two_lines() {
        for (name, html) in [
            (
                "estimate-nll: latents: NLL",
                "<small>estimate-nll</small>latents: NLL",
            ),
            (
                "train.regulariser.weight",
                "<small>train.regulariser</small>weight",
            ),
            ("2.5 %", "2.5 %"),
            ("<b>: x", "<small>&lt;b&gt;</small>x"),
        ] {
            assert_eq!(headed(name), html);
        }
    }

    #[test]
    fn cells_carry_what_they_are_sorted_by() {
        let mut table = Table::new("a", &["name", "value"]);
        table
            .rows
            .push(vec![Cell::text("x"), Cell::shown(22.5, "22.5 ± 0.2")]);
        table.rows.push(vec![Cell::text("y"), Cell::none()]);
        let html = table.html().0;
        assert!(
            html.contains("<td class=\"n\" data-v=\"2.25e1\">22.5 ± 0.2</td>"),
            "{html}"
        );
        assert!(
            html.contains("<td class=\"n\" data-v=\"\">–</td>"),
            "{html}"
        );
        assert!(
            html.contains("<th scope=\"col\"><button")
                && html.contains("<th scope=\"col\" class=\"n\">")
        );
        assert_eq!(Table::new("a", &["x"]).html(), Html::default());
    }
}
