//! A small SVG writer: shapes in pixels, text in the viewer's sans-serif font.
//!
//! Colours are names ([`super::palette`]) and so are identifiers, both always in quotes; quotes in
//! texts are escaped, so that a name can be replaced safely.

use super::palette::{INK, MUTED};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// A picture without a background, which [`super::figure`] adds.
#[derive(Debug)]
pub struct Svg {
    pub width: f64,
    pub height: f64,
    pub body: String,
    /// The number of identifiers used.
    named: usize,
}

/// A rectangle given by its top left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// Which part of a text is at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// The style of a text.
#[derive(Debug, Clone, Copy)]
pub struct Font {
    pub size: f64,
    pub bold: bool,
    pub colour: &'static str,
    pub anchor: Anchor,
}

impl Font {
    /// Plain text.
    pub fn plain(anchor: Anchor) -> Self {
        Self {
            size: 12.0,
            bold: false,
            colour: INK,
            anchor,
        }
    }

    /// A title.
    pub fn title() -> Self {
        Self {
            size: 13.0,
            bold: true,
            ..Self::plain(Anchor::Start)
        }
    }

    /// Less prominent text.
    pub fn muted(anchor: Anchor) -> Self {
        Self {
            size: 11.0,
            colour: MUTED,
            ..Self::plain(anchor)
        }
    }
}

impl Svg {
    /// An empty picture.
    pub fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            body: String::new(),
            named: 0,
        }
    }

    /// A rectangle; `style` is attributes such as `fill="white"`.
    pub fn rect(&mut self, area: Rect, style: &str) {
        let Rect {
            x,
            y,
            width,
            height,
        } = area;
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" {style}/>"#
        );
    }

    /// Lines or dots; `style` is attributes such as `stroke="black"`.
    pub fn trace(&mut self, trace: &Trace, style: &str) {
        if !trace.data.is_empty() {
            let _ = writeln!(self.body, r#"<path d="{}" {style}/>"#, trace.data);
        }
    }

    /// A text whose baseline starts, is centred or ends at (x, y).
    pub fn text(&mut self, x: f64, y: f64, text: &str, font: Font) {
        self.place_text(&format!(r#"x="{x:.1}" y="{y:.1}""#), text, font);
    }

    /// A text rotated to read from bottom to top.
    pub fn upright_text(&mut self, x: f64, y: f64, text: &str, font: Font) {
        self.place_text(
            &format!(r#"transform="translate({x:.1} {y:.1}) rotate(-90)""#),
            text,
            font,
        );
    }

    /// A slanted text that ends at (x, y) and rises towards it.
    pub fn slanted_text(&mut self, x: f64, y: f64, text: &str, font: Font) {
        self.place_text(
            &format!(r#"transform="translate({x:.1} {y:.1}) rotate(-35)""#),
            text,
            font,
        );
    }

    fn place_text(&mut self, place: &str, text: &str, font: Font) {
        let anchor = match font.anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let weight = if font.bold {
            r#" font-weight="600""#
        } else {
            ""
        };
        let _ = writeln!(
            self.body,
            r#"<text {place} font-size="{}" fill="{}"{anchor}{weight}>{}</text>"#,
            font.size,
            font.colour,
            escaped(text)
        );
    }

    /// A PNG; `style` is further attributes.
    pub fn image(&mut self, area: Rect, png: &[u8], style: &str) {
        let Rect {
            x,
            y,
            width,
            height,
        } = area;
        let _ = writeln!(
            self.body,
            r#"<image x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" preserveAspectRatio="none" style="image-rendering:pixelated" {style} xlink:href="data:image/png;base64,{}"/>"#,
            STANDARD.encode(png)
        );
    }

    /// What `draw` adds, clipped to `area`.
    pub fn clipped(&mut self, area: Rect, draw: impl FnOnce(&mut Self)) {
        let id = self.name();
        let _ = writeln!(self.body, r#"<clipPath id="{id}">"#);
        self.rect(area, "");
        let _ = writeln!(self.body, "</clipPath>\n<g clip-path=\"url(#{id})\">");
        draw(self);
        self.body.push_str("</g>\n");
    }

    /// What `draw` adds, in a group of a class that the page's script looks for.
    pub fn named(&mut self, class: &str, draw: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.body, r#"<g class="{class}">"#);
        draw(self);
        self.body.push_str("</g>\n");
    }

    /// A rectangle with a vertical gradient of `colours`, evenly spaced, the first at the bottom.
    pub fn gradient(&mut self, area: Rect, colours: &[String]) {
        let id = self.name();
        let _ = writeln!(
            self.body,
            r#"<linearGradient id="{id}" x1="0" y1="1" x2="0" y2="0">"#
        );
        for (i, colour) in colours.iter().enumerate() {
            let share = i as f64 / (colours.len() - 1) as f64;
            let _ = writeln!(
                self.body,
                r#"<stop offset="{share:.3}" stop-color="{colour}"/>"#
            );
        }
        self.body.push_str("</linearGradient>\n");
        self.rect(area, &format!(r#"fill="url(#{id})""#));
    }

    /// A dot with a tooltip `tip`.
    pub fn mark(&mut self, (x, y): (f64, f64), radius: f64, tip: &str, style: &str) {
        let _ = writeln!(
            self.body,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" {}{style}/>"#,
            tipped(tip)
        );
    }

    fn name(&mut self) -> String {
        self.named += 1;
        format!("{NAMED}{}", self.named)
    }
}

/// The prefix of identifiers.
pub const NAMED: &str = "n-";

/// The attribute of a line or of dots whose values the page shows under `name`.
pub fn series(name: &str) -> String {
    format!(r#"data-s="{}" "#, escaped(name))
}

/// The attribute of a shape with a tooltip `tip`.
pub fn tipped(tip: &str) -> String {
    format!(r#"data-t="{}" "#, escaped(tip))
}

/// Compact paths of lines and dots, with coordinates in tenths of a pixel.
#[derive(Debug, Default)]
pub struct Trace {
    data: String,
    last: (i64, i64),
}

impl Trace {
    /// A line through `points`.
    pub fn line(&mut self, points: impl IntoIterator<Item = (f64, f64)>) -> &mut Self {
        for (i, point) in points.into_iter().enumerate() {
            self.step(if i == 0 { 'm' } else { 'l' }, point);
        }
        self
    }

    /// A dot; round caps make it a disc.
    pub fn dot(&mut self, point: (f64, f64)) {
        self.step('m', point);
        self.data.push_str("h0");
    }

    fn step(&mut self, command: char, (x, y): (f64, f64)) {
        let tenths = |v: f64| (v * 10.0).round() as i64;
        let to = (tenths(x), tenths(y));
        let (dx, dy) = (to.0 - self.last.0, to.1 - self.last.1);
        self.last = to;
        self.data.push(command);
        push_tenths(&mut self.data, dx);
        if dy >= 0 {
            self.data.push(' '); // a minus separates as well
        }
        push_tenths(&mut self.data, dy);
    }
}

fn push_tenths(out: &mut String, tenths: i64) {
    let sign = if tenths < 0 { "-" } else { "" };
    let size = tenths.unsigned_abs();
    let _ = match (size / 10, size % 10) {
        (whole, 0) => write!(out, "{sign}{whole}"),
        (whole, tenth) => write!(out, "{sign}{whole}.{tenth}"),
    };
}

/// `text` in lines of at most `width` pixels in a wide font of `size`.
pub fn wrapped(text: &str, width: f64, size: f64) -> Vec<String> {
    let most = (width / (0.6 * size)) as usize;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= most {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// `text`, ended early by an ellipsis if it is longer than `width` pixels in a usual font of `size`.
pub fn elided(text: &str, width: f64, size: f64) -> String {
    let most = (width / (0.52 * size)) as usize;
    match text.chars().count() <= most {
        true => text.to_owned(),
        false => {
            let kept: String = text.chars().take(most.saturating_sub(1)).collect();
            format!("{}…", kept.trim_end_matches([' ', ',']))
        }
    }
}

/// `text` escaped as content or as the value of an attribute.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML allows no other control characters, not even as references
            c if c.is_control() && !['\n', '\t'].contains(&c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_elided_and_a_short_one_is_not() {
        assert_eq!(elided("short", 100.0, 10.0), "short");
        assert_eq!(elided("accuracy, whole latents", 52.0, 10.0), "accuracy…");
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text(1.0, 2.0, "a < \"b\" & c\u{1b}", Font::title());
        svg.mark((1.0, 2.0), 3.0, "\"/><script>", "");
        for part in [
            ">a &lt; &quot;b&quot; &amp; c\u{fffd}</text>",
            "data-t=\"&quot;/&gt;&lt;script&gt;\"",
        ] {
            assert!(svg.body.contains(part), "{}", svg.body);
        }
    }

    #[test]
    fn traces_are_short_and_do_not_drift() {
        let mut trace = Trace::default();
        trace.line([(1.04, 2.0), (1.0, 0.5), (1.2, 0.96)]);
        trace.dot((0.0, 0.0));
        assert_eq!(trace.data, "m1 2l0-1.5l0.2 0.5m-1.2-1h0");
    }

    #[test]
    fn long_text_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three", 60.0, 12.0), ["one two", "three"]);
    }
}
