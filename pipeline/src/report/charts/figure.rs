//! A figure: panels and a caption, as a file or as a part of a page.

use super::palette::on_white;
use super::panel::{GAP, LINE};
use super::svg::{Anchor, Font, NAMED, Svg, wrapped};
use askama::Template;
use std::fmt::Write as _;

const FONTS: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif";

/// Panels and a caption.
#[derive(Debug)]
pub struct Figure {
    /// In reading order.
    pub panels: Vec<Svg>,
    /// The number of panels per row in a file; a page decides for itself.
    pub columns: usize,
    /// Text below the figure; may be empty.
    pub caption: String,
}

impl Figure {
    /// A figure of one panel.
    pub fn of(panel: Svg, caption: impl Into<String>) -> Self {
        Self {
            panels: vec![panel],
            columns: 1,
            caption: caption.into(),
        }
    }

    /// The figure as an SVG file on white.
    pub fn file(&self) -> String {
        let columns = self.columns.clamp(1, self.panels.len().max(1));
        let widest = |of: fn(&Svg) -> f64| self.panels.iter().map(of).fold(0.0, f64::max);
        let cell = (widest(|p| p.width), widest(|p| p.height));
        let rows = self.panels.len().div_ceil(columns);
        let width = columns as f64 * cell.0;
        let below = rows as f64 * cell.1;
        let mut whole = String::new();
        for (i, panel) in self.panels.iter().enumerate() {
            let (x, y) = ((i % columns) as f64 * cell.0, (i / columns) as f64 * cell.1);
            let body = renamed(&panel.body, &i.to_string());
            let _ = write!(
                whole,
                "<g transform=\"translate({x:.1} {y:.1})\">\n{body}</g>\n"
            );
        }
        let lines = match self.caption.is_empty() {
            true => Vec::new(),
            false => wrapped(&self.caption, width - 2.0 * GAP, 12.0),
        };
        let mut text = Svg::new(width, 0.0);
        for (i, line) in lines.iter().enumerate() {
            let y = below + 12.0 + i as f64 * LINE;
            text.text(GAP, y, line, Font::plain(Anchor::Start));
        }
        whole.push_str(&text.body);
        let height = match lines.len() {
            0 => below,
            count => below + count as f64 * LINE + GAP,
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
             width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             font-family=\"{FONTS}\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
            on_white(&whole)
        )
    }

    /// The figure as an HTML `figure` whose `name` is unique on the page: panels flow into the available
    /// width and have the colours of the page.
    pub fn html(&self, name: &str, about: &str) -> String {
        let panels = self.panels.iter().enumerate().map(|(i, panel)| {
            let body = renamed(&panel.body, &format!("{name}-{i}"));
            (panel.width.round(), panel.height.round(), body)
        });
        let figure = InPage {
            name,
            about,
            widest: (self.panels.iter().map(|p| p.width))
                .fold(0.0, f64::max)
                .round(),
            columns: self.columns.max(1),
            panels: panels.collect(),
            caption: &self.caption,
        };
        figure.render().unwrap_or_default()
    }
}

/// A figure in a page; `panels` are widths, heights and contents.
#[derive(Template)]
#[template(path = "figure.html")]
struct InPage<'a> {
    name: &'a str,
    about: &'a str,
    widest: f64,
    columns: usize,
    panels: Vec<(f64, f64, String)>,
    caption: &'a str,
}

/// `body` with its identifiers prefixed by `prefix`.
fn renamed(body: &str, prefix: &str) -> String {
    body.replace(&format!("\"{NAMED}"), &format!("\"{prefix}-"))
        .replace(&format!("\"url(#{NAMED}"), &format!("\"url(#{prefix}-"))
}

#[cfg(test)]
mod tests {
    use super::super::palette::{BLUE, INK};
    use super::super::svg::Rect;
    use super::*;
    use roxmltree::Document;

    fn figure() -> Figure {
        let area = Rect {
            x: 1.0,
            y: 2.0,
            width: 3.0,
            height: 4.0,
        };
        let panel = || {
            let mut svg = Svg::new(100.0, 50.0);
            svg.gradient(area, &["#000000".into(), "#ffffff".into()]);
            svg.clipped(area, |svg| svg.rect(area, &format!(r#"fill="{BLUE}""#)));
            svg.text(0.0, 9.0, &format!("\"{INK}\""), Font::title());
            svg
        };
        Figure {
            panels: vec![panel(), panel(), panel()],
            columns: 2,
            caption: "a < b".into(),
        }
    }

    fn names_are_unique_and_all_references_lead_somewhere(text: &str) {
        let document = Document::parse(text).unwrap();
        let mut names: Vec<&str> = document
            .descendants()
            .filter(|n| n.tag_name().name() != "figure")
            .filter_map(|n| n.attribute("id"))
            .collect();
        assert_eq!(names.len(), 6);
        for node in document.descendants().flat_map(|n| n.attributes()) {
            if let Some(name) = node.value().strip_prefix("url(#") {
                assert!(names.contains(&name.trim_end_matches(')')), "{name}");
            }
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 6);
    }

    #[test]
    fn a_file_stands_alone_and_a_page_brings_its_colours() {
        let file = figure().file();
        names_are_unique_and_all_references_lead_somewhere(&file);
        assert!(file.contains("width=\"200\" height=\"134\""), "{file}");
        assert!(file.contains("fill=\"#0072b2\""));
        // a text that looks like a colour is unchanged
        assert!(file.contains(">&quot;var(--ink)&quot;</text>"));
        let page = figure().html("one", "what it shows");
        names_are_unique_and_all_references_lead_somewhere(&page);
        assert!(page.contains("fill=\"var(--blue)\"") && page.contains("<figcaption>a &#60; b<"));
    }
}
