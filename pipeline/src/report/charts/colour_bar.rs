//! The colour bar of a heat map.

use super::colours::{hex, viridis};
use super::palette::MUTED;
use super::scale::Scale;
use super::svg::{Anchor, Font, Rect, Svg, Trace};

/// A colour bar at the right of a panel.
pub struct ColourBar {
    /// The values of its ends.
    pub range: (f64, f64),
    /// Whether larger values exist, which have the last colour; a pointed tip shows it.
    pub clipped: bool,
}

impl ColourBar {
    /// Width beside the panel in pixels.
    pub const WIDTH: f64 = 62.0;
    /// Width of the bar in pixels.
    const BAR: f64 = 12.0;
    /// Height of the tip in pixels.
    const TIP: f64 = 10.0;

    /// Draws the bar beside `panel`, with its unit above it.
    pub fn draw(&self, svg: &mut Svg, panel: Rect, unit: &str) {
        let (left, bottom) = (panel.x + panel.width + 10.0, panel.y + panel.height);
        let top = panel.y + if self.clipped { Self::TIP } else { 0.0 };
        let bar = Rect {
            x: left,
            y: top,
            width: Self::BAR,
            height: bottom - top,
        };
        // viridis is piecewise linear between tenths
        let colours: Vec<String> = (0..=10)
            .map(|i| hex(viridis(f64::from(i) / 10.0)))
            .collect();
        svg.gradient(bar, &colours);
        let right = left + Self::BAR;
        let tip = [
            (left, top),
            (left + Self::BAR / 2.0, top - Self::TIP),
            (right, top),
        ];
        let mut outline = Trace::default();
        outline.line([(left, top), (left, bottom), (right, bottom), (right, top)]);
        if self.clipped {
            let mut filled = Trace::default();
            filled.line(tip);
            svg.trace(&filled, &format!(r#"fill="{}""#, hex(viridis(1.0))));
            outline.line(tip);
        } else {
            outline.line([tip[0], tip[2]]);
        }
        let scale = Scale::linear(self.range, (bottom, top));
        for (value, text) in scale.ticks(5) {
            let at = scale.place(value);
            outline.line([(right, at), (right + 4.0, at)]);
            svg.text(right + 7.0, at + 4.0, &text, Font::muted(Anchor::Start));
        }
        svg.trace(&outline, &format!(r#"stroke="{MUTED}" fill="none""#));
        svg.text(left, panel.y - 10.0, unit, Font::muted(Anchor::Start));
    }
}
