//! One panel of a figure: a title, axes with ticks and labels, and the area for data.

use super::legend::legend;
use super::palette::{INK, MUTED, RULE};
use super::scale::Scale;
use super::svg::{Anchor, Font, Rect, Svg, Trace, elided, series};

/// Pixels left of a panel for ticks and the label of the vertical axis.
pub const LEFT: f64 = 62.0;
/// Pixels above a panel for its title.
pub const TOP: f64 = 32.0;
/// Pixels below a panel for ticks and the label of the horizontal axis.
pub const BOTTOM: f64 = 46.0;
/// Pixels from one line of text to the next.
pub const LINE: f64 = 16.0;
/// Pixels between panels and at the edges.
pub const GAP: f64 = 18.0;

/// A panel.
pub struct Panel {
    /// The area for data.
    pub area: Rect,
    /// The horizontal axis, from left to right.
    pub x: Scale,
    /// The vertical axis, from bottom to top.
    pub y: Scale,
}

/// An empty panel of this width and height with room for its title, `lines` of text below that, and axes; and its
/// area for data.
pub fn canvas((width, height): (f64, f64), lines: usize) -> (Svg, Rect) {
    let area = Rect {
        x: LEFT,
        y: TOP + LINE * lines as f64,
        width,
        height,
    };
    let svg = Svg::new(LEFT + width + GAP, area.y + height + BOTTOM);
    (svg, area)
}

impl Panel {
    /// A panel with linear axes over these ranges.
    pub fn linear(area: Rect, x: (f64, f64), y: (f64, f64)) -> Self {
        Self {
            area,
            x: Scale::linear(x, (area.x, area.x + area.width)),
            y: Scale::linear(y, (area.y + area.height, area.y)),
        }
    }

    /// The pixel of a point.
    pub fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x.place(x), self.y.place(y))
    }

    /// Whether a point lies in the panel.
    pub fn holds(&self, (x, y): (f64, f64)) -> bool {
        self.x.holds(x) && self.y.holds(y)
    }

    /// Draws grid lines at the ticks, behind data.
    pub fn rules(&self, svg: &mut Svg) {
        let Rect {
            x,
            y,
            width,
            height,
        } = self.area;
        let mut rules = Trace::default();
        for (value, _) in self.x.ticks(self.x_ticks()) {
            let at = self.x.place(value);
            rules.line([(at, y), (at, y + height)]);
        }
        for (value, _) in self.y.ticks(self.y_ticks()) {
            let at = self.y.place(value);
            rules.line([(x, at), (x + width, at)]);
        }
        svg.trace(&rules, &format!(r#"stroke="{RULE}" fill="none""#));
    }

    /// Draws the series `name` as a line through `points`.
    pub fn curve(&self, svg: &mut Svg, name: &str, colour: &str, points: &[(f64, f64)]) {
        let mut line = Trace::default();
        line.line(points.iter().map(|p| self.place(*p)));
        let style = format!(r#"fill="none" stroke="{colour}" stroke-width="1.5""#);
        svg.trace(&line, &(series(name) + &style));
    }

    /// Draws those of `points` that lie in the panel as dots of `diameter`.
    pub fn dots(&self, svg: &mut Svg, points: &[(f64, f64)], diameter: f64, style: &str) {
        let mut trace = Trace::default();
        for point in points.iter().filter(|p| self.holds(**p)) {
            trace.dot(self.place(*point));
        }
        svg.trace(
            &trace,
            &format!(r#"fill="none" stroke-linecap="round" stroke-width="{diameter}" {style}"#),
        );
    }

    /// Draws the frame, with a title above it. Its attributes give the scales, so that the page can convert
    /// positions to values.
    pub fn frame(&self, svg: &mut Svg, title: &str) {
        let (x, y) = (self.x.told(), self.y.told());
        svg.rect(
            self.area,
            &format!(r#"fill="none" stroke="{MUTED}" stroke-width="1" data-x="{x}" data-y="{y}""#),
        );
        svg.text(self.area.x, TOP - 10.0, title, Font::title());
    }

    /// Draws the frame with its title, and both axes with their labels.
    pub fn finish(&self, svg: &mut Svg, title: &str, x: &str, y: &str) {
        self.frame(svg, title);
        self.x_axis(svg, x);
        self.y_axis(svg, y);
    }

    /// Draws a legend on the line above the panel.
    pub fn legend(&self, svg: &mut Svg, entries: &[(&str, &str)]) {
        legend(svg, self.area.x, self.area.y - 9.0, entries);
    }

    /// Draws the dashed line on which both values are equal.
    pub fn identity(&self, svg: &mut Svg) {
        let (low, high) = self.x.values();
        let mut line = Trace::default();
        line.line([low, high].map(|v| self.place((v, v))));
        let style = format!(r#"stroke="{INK}" stroke-dasharray="5 4" fill="none""#);
        svg.clipped(self.area, |svg| svg.trace(&line, &style));
    }

    /// Draws ticks and label of the horizontal axis.
    pub fn x_axis(&self, svg: &mut Svg, label: &str) {
        let bottom = self.area.y + self.area.height;
        let mut marks = Trace::default();
        for (value, text) in self.x.ticks(self.x_ticks()) {
            let at = self.x.place(value);
            marks.line([(at, bottom), (at, bottom + 4.0)]);
            svg.text(at, bottom + 17.0, &text, Font::muted(Anchor::Middle));
        }
        svg.trace(&marks, &format!(r#"stroke="{MUTED}" fill="none""#));
        let middle = self.area.x + self.area.width / 2.0;
        svg.named("xl", |svg| {
            svg.text(middle, bottom + 36.0, label, Font::plain(Anchor::Middle));
        });
    }

    /// Draws ticks and label of the vertical axis; a label that is longer than the axis is elided.
    pub fn y_axis(&self, svg: &mut Svg, label: &str) {
        let left = self.area.x;
        let mut marks = Trace::default();
        for (value, text) in self.y.ticks(self.y_ticks()) {
            let at = self.y.place(value);
            marks.line([(left - 4.0, at), (left, at)]);
            svg.text(left - 7.0, at + 4.0, &text, Font::muted(Anchor::End));
        }
        svg.trace(&marks, &format!(r#"stroke="{MUTED}" fill="none""#));
        let middle = self.area.y + self.area.height / 2.0;
        svg.named("yl", |svg| {
            let (left, font) = (left - LEFT + 14.0, Font::plain(Anchor::Middle));
            let label = elided(label, self.area.height, font.size);
            svg.upright_text(left, middle, &label, font);
        });
    }

    fn x_ticks(&self) -> usize {
        (self.area.width / 70.0) as usize
    }

    fn y_ticks(&self) -> usize {
        (self.area.height / 42.0) as usize
    }
}
