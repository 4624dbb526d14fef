//! The legend of a panel, on a line above it.

use super::svg::{Anchor, Font, Svg, Trace};

/// Draws each entry, a dot and its name, from (x, y) to the right.
pub fn legend(svg: &mut Svg, x: f64, y: f64, entries: &[(&str, &str)]) {
    let mut x = x;
    for (text, colour) in entries {
        let mut dot = Trace::default();
        dot.dot((x + 4.0, y - 4.0));
        svg.trace(
            &dot,
            &format!(r#"stroke="{colour}" stroke-width="7" stroke-linecap="round""#),
        );
        svg.text(x + 12.0, y, text, Font::plain(Anchor::Start));
        x += 32.0 + 6.5 * text.chars().count() as f64;
    }
}
