//! The content of a page. `templates/page.html` is its form, and escapes all text from outside.

use crate::tables::number;
use askama::Template;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

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

/// A complete page. The content security policy in its head keeps browsers from loading anything else.
#[derive(Template)]
#[template(path = "page.html")]
pub struct Page {
    /// `Run` or `Sweep`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The state of a run, with its grade.
    pub state: Option<(&'static str, Grade)>,
    /// The headline.
    pub headline: Headline,
    /// The key figures.
    pub cards: Vec<Card>,
    /// The warnings, each with its subject.
    pub warnings: Vec<(String, String)>,
    /// Seed, device, time and file; may be empty.
    pub meta: String,
    /// Its sections.
    pub sections: Vec<Section>,
}

/// The headline of a report.
#[derive(Debug, PartialEq)]
pub struct Headline {
    pub grade: Grade,
    pub verdict: String,
    /// The figures behind it, in words; may be empty.
    pub reasons: String,
}

/// A key figure.
pub struct Card {
    pub name: &'static str,
    pub value: String,
    pub detail: String,
    pub grade: Grade,
}

/// A section; one without parts is left out.
pub struct Section {
    /// Its anchor.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Its content.
    pub parts: Vec<Part>,
}

impl Section {
    /// A section of all `parts`.
    pub fn new<const N: usize>(
        id: &'static str,
        title: &'static str,
        parts: [Vec<Part>; N],
    ) -> Self {
        Self {
            id,
            title,
            parts: parts.into_iter().flatten().collect(),
        }
    }
}

/// A part of a section.
pub enum Part {
    Heading(&'static str),
    Paragraph(String),
    /// The file of a sweep.
    From(String),
    /// Explains why something is missing.
    Note(String),
    /// A summary and the text that opens on click.
    Details(&'static str, String),
    /// A chart as HTML.
    Chart(String),
    /// Pictures side by side, or why one is missing.
    Pictures(Vec<Result<Picture, String>>),
    Table(Table),
}

/// A picture.
pub struct Picture {
    /// The PNG in base 64.
    pub png: String,
    pub caption: String,
}

/// A table that can be sorted by clicking a header.
pub struct Table {
    /// Its description for screen readers.
    about: &'static str,
    header: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
pub struct Cell {
    content: Content,
    /// The value to sort by, if not the text.
    value: Option<f64>,
    /// Whether it is a number, which is aligned right.
    is_number: bool,
}

enum Content {
    Text(String),
    /// Text in the typeface of code.
    Code(String),
    /// A word with a colour.
    Chip(&'static str, Grade),
    /// A link and its text.
    Link(String, String),
}

impl Cell {
    fn of(content: Content) -> Self {
        Self {
            content,
            value: None,
            is_number: false,
        }
    }

    /// Plain text.
    pub fn text(words: impl Into<String>) -> Self {
        Self::of(Content::Text(words.into()))
    }

    /// Text in the typeface of code.
    pub fn code(words: impl Into<String>) -> Self {
        Self::of(Content::Code(words.into()))
    }

    /// A word with a colour.
    pub fn chip(word: &'static str, grade: Grade) -> Self {
        Self::of(Content::Chip(word, grade))
    }

    /// A link that reads as `words`.
    pub fn link(to: String, words: &str) -> Self {
        Self::of(Content::Link(to, words.to_owned()))
    }

    /// A number.
    pub fn number(value: f64) -> Self {
        Self::shown(value, number(value))
    }

    /// A number that is written as `words`.
    pub fn shown(value: f64, words: impl Into<String>) -> Self {
        Self {
            is_number: true,
            ..Self::text(words).ranked(value)
        }
    }

    /// The cell sorted by `value`.
    pub fn ranked(self, value: f64) -> Self {
        Self {
            value: Some(value),
            ..self
        }
    }

    /// The cell with `words` appended.
    pub fn with(mut self, words: &str) -> Self {
        if let Content::Text(text) = &mut self.content {
            text.push_str(words);
        }
        self
    }

    /// A missing number.
    pub fn none() -> Self {
        Self::shown(f64::NAN, "–")
    }

    fn sorted_by(&self) -> Option<String> {
        let finite = |value: f64| value.is_finite().then(|| format!("{value:e}"));
        self.value.map(|value| finite(value).unwrap_or_default())
    }
}

impl Table {
    /// An empty table.
    pub fn new(about: &'static str, header: &[&str]) -> Self {
        Self {
            about,
            header: header.iter().map(|h| (*h).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// The table as a part of a section; none without rows.
    pub fn part(self) -> Option<Part> {
        (!self.rows.is_empty()).then_some(Part::Table(self))
    }

    /// Each column's name, the line above it, and whether the column holds numbers only.
    fn headers(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.header.iter().enumerate().map(|(column, name)| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(column));
            let (above, name) = headed(name);
            (above, name, cells.all(|cell| cell.is_number))
        })
    }
}

/// The name of a column in two lines: the stage of a figure, or the section of a key, is the upper one.
fn headed(name: &str) -> (&str, &str) {
    let cut = name.split_once(": ").or_else(|| {
        // a dotted key has no spaces
        name.rsplit_once('.').filter(|_| !name.contains(' '))
    });
    cut.unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(parts: Vec<Part>, words: &str) -> String {
        let headline = Headline {
            grade: Grade::Good,
            verdict: words.into(),
            reasons: words.into(),
        };
        let page = Page {
            kind: "Run",
            name: words.into(),
            state: None,
            headline,
            cards: vec![Card {
                name: "a",
                value: words.into(),
                detail: words.into(),
                grade: Grade::Fair,
            }],
            warnings: vec![(words.into(), words.into())],
            meta: words.into(),
            sections: vec![Section::new("a", "A", [parts])],
        };
        page.render().unwrap()
    }

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let evil = "<script>alert(\"1\")</script>' onload=x";
        let mut table = Table::new("a", &[evil, "n"]);
        table
            .rows
            .push(vec![Cell::code(evil), Cell::shown(1.5, evil)]);
        table
            .rows
            .push(vec![Cell::text(evil), Cell::link(evil.into(), evil)]);
        let picture = Picture {
            png: String::new(),
            caption: evil.into(),
        };
        let parts = vec![
            Part::Paragraph(evil.into()),
            Part::From(evil.into()),
            Part::Note(evil.into()),
            Part::Details("a", evil.into()),
            Part::Pictures(vec![Ok(picture), Err(evil.into())]),
            Part::Table(table),
        ];
        let page = page(parts, evil);
        // all of the script, and no other
        assert_eq!(page.matches("<script").count(), 1);
        assert!(!page.contains("alert(\"1\")") && !page.contains("' onload=x"));
        assert_eq!(page.matches("&#60;script&#62;").count(), 22, "{page}");
    }

    #[test]
    fn long_names_of_columns_stand_in_two_lines() {
        for (name, lines) in [
            (
                "estimate-nll: latents: NLL",
                ("estimate-nll", "latents: NLL"),
            ),
            ("train.regulariser.weight", ("train.regulariser", "weight")),
            ("2.5 %", ("", "2.5 %")),
        ] {
            assert_eq!(headed(name), lines);
        }
    }

    #[test]
    fn cells_carry_what_they_are_sorted_by() {
        let mut table = Table::new("a", &["stage: name", "value"]);
        let known = Cell::shown(22.5, "22.5 ± 0.2");
        table.rows.push(vec![Cell::text("x"), known]);
        table.rows.push(vec![Cell::text("y"), Cell::none()]);
        let page = page(vec![Part::Table(table)], "");
        for part in [
            "<td>x</td><td class=\"n\" data-v=\"2.25e1\">22.5 ± 0.2</td></tr>",
            "<td class=\"n\" data-v=\"\">–</td>",
            "<th scope=\"col\"><button type=\"button\"><small>stage</small>name</button></th><th scope=\"col\" class=\"n\">",
        ] {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
        assert!(Table::new("a", &["x"]).part().is_none());
    }
}
