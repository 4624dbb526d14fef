//! The colours of figures by name: literal ones in files, those of the style sheet in a page, which
//! has others in the dark.

/// Text, axes.
pub const INK: &str = "var(--ink)";
/// Text of less weight.
pub const MUTED: &str = "var(--muted)";
/// Lines behind data.
pub const RULE: &str = "var(--rule)";
/// The first colour of data.
pub const BLUE: &str = "var(--blue)";
/// The second colour of data.
pub const ORANGE: &str = "var(--orange)";
/// Data in the background.
pub const GREY: &str = "var(--grey)";
/// What is as wanted.
pub const GOOD: &str = "var(--good)";
/// What is as wanted in part.
pub const FAIR: &str = "var(--fair)";
/// What is not as wanted.
pub const BAD: &str = "var(--bad)";

/// Each with what stands for it on white.
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

/// `svg` with the colours of a file.
pub fn on_white(svg: &str) -> String {
    let mut out = svg.to_owned();
    for (name, colour) in ON_WHITE {
        // in quotes, so that it is an attribute and never a part of a text
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
