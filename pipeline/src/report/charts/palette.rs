//! The colours of figures by name: literal colours in files, those of the style sheet in a page,
//! which has a dark mode.

/// Text, axes.
pub const INK: &str = "var(--ink)";
/// Less prominent text.
pub const MUTED: &str = "var(--muted)";
/// Grid lines.
pub const RULE: &str = "var(--rule)";
/// The first colour of data.
pub const BLUE: &str = "var(--blue)";
/// The second colour of data.
pub const ORANGE: &str = "var(--orange)";
/// Background data.
pub const GREY: &str = "var(--grey)";
/// A good result.
pub const GOOD: &str = "var(--good)";
/// A fair result.
pub const FAIR: &str = "var(--fair)";
/// A bad result.
pub const BAD: &str = "var(--bad)";

/// Each colour with its literal value on white.
const ON_WHITE: [(&str, &str); 9] = [
    (INK, "#1f2328"),
    (MUTED, "#57606a"),
    (RULE, "#e4e7eb"),
    (BLUE, "#0072b2"),
    (ORANGE, "#d55e00"),
    (GREY, "#9aa1a9"),
    (GOOD, "#1a7f37"),
    (FAIR, "#9a6700"),
    (BAD, "#b42318"),
];

/// `svg` with literal colours.
pub fn on_white(svg: &str) -> String {
    let mut out = svg.to_owned();
    for (name, colour) in ON_WHITE {
        // in quotes, so that only attributes are replaced and no text
        out = out.replace(&format!("\"{name}\""), &format!("\"{colour}\""));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_has_a_literal_one_and_a_line_in_the_style_sheet() {
        let style = include_str!("../page/style.css");
        for (name, colour) in ON_WHITE {
            let mark = format!(r#"<path stroke="{name}"/>"#);
            assert_eq!(on_white(&mark), format!(r#"<path stroke="{colour}"/>"#));
            let name = name.trim_start_matches("var(").trim_end_matches(')');
            assert!(style.contains(&format!("{name}: {colour};")), "{name}");
        }
    }
}
