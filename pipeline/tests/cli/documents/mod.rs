//! The README and `docs/`: links resolve, commands are of this program, names exist, and tables agree
//! with their sources.

mod commands;
mod links;
mod names;
mod tables;

use std::path::{Path, PathBuf};

/// A Markdown file of the repository.
pub struct Document {
    /// Its path from the root.
    pub path: PathBuf,
    pub text: String,
}

/// A fenced block of code.
pub struct Block<'a> {
    /// `sh`, `yaml`, `python`, or nothing.
    pub language: &'a str,
    pub code: String,
}

pub fn root() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("..")
}

pub fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The README first, then the other Markdown files of the root, and those of `docs/`.
pub fn all() -> Vec<Document> {
    let mut paths = vec![PathBuf::from("README.md")];
    for folder in ["", "docs"] {
        let entries = root().join(folder).read_dir().unwrap();
        let mut found: Vec<_> = entries
            .map(|e| Path::new(folder).join(e.unwrap().file_name()))
            .filter(|p| p.extension().is_some_and(|e| e == "md") && *p != paths[0])
            .collect();
        found.sort();
        paths.extend(found);
    }
    let document = |path: PathBuf| Document {
        text: read(&path),
        path,
    };
    paths.into_iter().map(document).collect()
}

/// Documents of the present state, without the changelog.
pub fn current() -> Vec<Document> {
    let mut all = all();
    all.retain(|d| d.path != Path::new("CHANGELOG.md"));
    assert!(all.len() > 8, "{}", all.len());
    all
}

impl Document {
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The fenced blocks.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let code: Vec<_> = lines.by_ref().take_while(|l| *l != "```").collect();
                let code = code.join("\n");
                blocks.push(Block { language, code });
            }
        }
        blocks
    }

    /// Lines outside of fenced blocks.
    pub fn prose(&self) -> Vec<&str> {
        let mut is_code = false;
        let mut prose = Vec::new();
        for line in self.text.lines() {
            let is_fence = line.starts_with("```");
            if !is_code && !is_fence {
                prose.push(line);
            }
            is_code ^= is_fence;
        }
        prose
    }

    /// The text between single backticks, paragraph by paragraph.
    pub fn spans(&self) -> Vec<String> {
        let prose = self.prose().join("\n");
        let paragraphs = prose.split("\n\n").flat_map(|p| {
            let inside = p.split('`').skip(1).step_by(2);
            inside.map(|s| s.split_whitespace().collect::<Vec<_>>().join(" "))
        });
        paragraphs.collect()
    }

    /// The text from the heading `title` to the next one.
    #[track_caller]
    pub fn section(&self, title: &str) -> String {
        let heading = format!("## {title}");
        let lines = self.text.lines().skip_while(|l| *l != heading).skip(1);
        let lines: Vec<_> = lines.take_while(|l| !l.starts_with("## ")).collect();
        assert!(!lines.is_empty(), "{} has no {heading}", self.name());
        lines.join("\n")
    }
}

/// The cells of each row of every table in `text`, without headers.
pub fn rows(text: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let inside = line.trim().trim_start_matches('|').trim_end_matches('|');
        inside.split('|').map(|c| c.trim().to_owned()).collect()
    };
    let lines: Vec<_> = text.lines().collect();
    let is_row = |line: &&str| line.starts_with('|') && !line.starts_with("|---");
    let is_header = |i: usize| lines.get(i + 1).is_some_and(|l| l.starts_with("|---"));
    let rows = lines.iter().enumerate();
    let rows = rows.filter(|(i, line)| is_row(line) && !is_header(*i));
    rows.map(|(_, line)| cells(line)).collect()
}
