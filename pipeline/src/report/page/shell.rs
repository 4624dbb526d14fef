//! The skeleton of a page: head, header, contents, sections; with inline style and script.

use super::html::Html;
use crate::report::charts::escaped;
use std::fmt::Write as _;

/// A section of a page.
pub struct Section {
    /// Its anchor.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Its contents; an empty section is left out.
    pub body: Html,
}

/// A complete page. The content security policy in its head keeps browsers from loading anything
/// else.
pub fn page(title: &str, header: &Html, sections: &[Section]) -> String {
    let shown = || sections.iter().filter(|s| !s.body.0.is_empty());
    let mut contents = String::new();
    let mut main = String::new();
    for Section { id, title, body } in shown() {
        let title = escaped(title);
        let _ = writeln!(contents, "<li><a href=\"#{id}\">{title}</a></li>");
        let _ = write!(
            main,
            "<section id=\"{id}\">\n<h2>{title}</h2>\n{}</section>\n",
            body.0
        );
    }
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <header>\n{}</header>\n<div class=\"page\">\n\
         <nav aria-label=\"Contents\"><ol>\n{contents}</ol></nav>\n<main>\n{main}</main>\n</div>\n\
         <div id=\"tip\" role=\"status\" hidden></div>\n<script>\n{}</script>\n</body>\n</html>\n",
        include_str!("style.css"),
        header.0,
        include_str!("script.js"),
    )
}
