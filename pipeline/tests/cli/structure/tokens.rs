//! The tokens of a Rust source: names, `::` and single marks, without comments, texts and what only tests
//! compile.

/// A token and its line, from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

impl Token<'_> {
    /// Whether it is a name or a keyword.
    pub fn is_name(&self) -> bool {
        self.text
            .starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Every token of `source`.
fn all(source: &str) -> Vec<Token<'_>> {
    let (mut rest, mut line, mut found) = (source, 1, Vec::new());
    while let Some(first) = rest.chars().next() {
        let (length, kept) = match skipped(rest) {
            Some(length) => (length, false),
            None if is_of_name(first) => {
                (rest.find(|c| !is_of_name(c)).unwrap_or(rest.len()), true)
            }
            None if rest.starts_with("::") => (2, true),
            None => (first.len_utf8(), true),
        };
        let (text, after) = rest.split_at(length);
        if kept {
            found.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the space, comment, text, character or lifetime that `rest` starts with.
fn skipped(rest: &str) -> Option<usize> {
    let end_of = |found: Option<usize>, more: usize| found.map_or(rest.len(), |at| at + more);
    if rest.starts_with(char::is_whitespace) {
        return Some(end_of(rest.find(|c: char| !c.is_whitespace()), 0));
    }
    if rest.starts_with("//") {
        return Some(end_of(rest.find('\n'), 0));
    }
    if rest.starts_with("/*") {
        let (mut depth, mut at) = (0, 0);
        while at < rest.len() {
            let here = &rest.as_bytes()[at..];
            (depth, at) = match (here.starts_with(b"/*"), here.starts_with(b"*/")) {
                (true, _) => (depth + 1, at + 2),
                (_, true) => (depth - 1, at + 2),
                _ => (depth, at + 1),
            };
            if depth == 0 {
                break;
            }
        }
        return Some(at);
    }
    let body = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - body.len();
    if prefix > 1 {
        return None;
    }
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = prefix + 1 + hashes + 1;
            return Some(end_of(rest[start..].find(&end), start + end.len()));
        }
    }
    if body.starts_with('"') {
        return Some(prefix + quoted(body, '"'));
    }
    if let Some(inner) = body.strip_prefix('\'') {
        let mut inside = inner.chars();
        let (first, second) = (inside.next(), inside.next());
        if first == Some('\\') || second == Some('\'') {
            return Some(prefix + quoted(body, '\''));
        }
        // a lifetime
        let name = inner.find(|c| !is_of_name(c));
        return Some(prefix + 1 + name.unwrap_or(inner.len()));
    }
    None
}

/// The length of a text between two `quote`s, the first of which `body` starts with.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}

/// The tokens of `source` without items under `#[cfg(test)]`, and the names of modules in files of their own
/// among these.
pub fn without_tests(source: &str) -> (Vec<Token<'_>>, Vec<String>) {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let all = all(source);
    let (mut kept, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < all.len() {
        let is_test = all[at..].iter().map(|t| t.text).take(TEST.len()).eq(TEST);
        if !is_test {
            kept.push(all[at]);
            at += 1;
            continue;
        }
        let start = at + TEST.len();
        let end = end_of_item(&all, start);
        let names: Vec<&str> = all[start..end].iter().map(|t| t.text).collect();
        if let [.., "mod", name, ";"] = names[..] {
            modules.push(name.to_owned());
        }
        at = end;
    }
    (kept, modules)
}

/// Behind the item that starts at `start`: its `;` or the end of its body.
fn end_of_item(all: &[Token], start: usize) -> usize {
    let mut depth = 0;
    let is_use = (all[start..].iter().take(6)).any(|token| token.text == "use");
    for (at, token) in all.iter().enumerate().skip(start) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        let ends = token.text == ";" || (token.text == "}" && !is_use);
        if depth == 0 && ends {
            return at + 1;
        }
    }
    all.len()
}

#[test]
fn comments_texts_and_tests_hold_no_names() {
    let source = r##"
        /* crate::a /* nested */ crate::b */
        fn f<'a>(c: &'a str) { g("crate::c \" d", 'e', '\'', b"h", br#"i " j"#, r"k"); } // l
        #[cfg(test)]
        mod tests { use super::*; }
        #[cfg(test)]
        mod apart;
        #[cfg(test)]
        pub use m::{n};
        fn o() { p::q() }
    "##;
    let (kept, modules) = without_tests(source);
    let names: Vec<(&str, usize)> = (kept.iter())
        .filter(|token| token.is_name())
        .map(|token| (token.text, token.line))
        .collect();
    let expected = ["fn", "f", "c", "str", "g", "fn", "o", "p", "q"];
    assert_eq!(names.iter().map(|n| n.0).collect::<Vec<_>>(), expected);
    assert_eq!((names[0].1, names[8].1), (3, 10));
    assert_eq!(modules, ["apart"]);
}
