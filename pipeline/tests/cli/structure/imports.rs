//! The imports between the files of a crate.

use super::tokens::{Token, without_tests};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

/// A path of names from the root of the crate; that of a module represents its file.
pub type Names = Vec<String>;

/// A use of a definition of another file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: Names,
    pub to: Names,
    /// The line in `from`, and the text there.
    pub line: usize,
    pub written: String,
}

/// One name that a `use` brings into a module.
#[derive(Debug, Clone)]
struct Use {
    path: Names,
    /// The name; none of `*`.
    name: Option<String>,
    public: bool,
    line: usize,
}

/// A path outside of `use`.
struct Mention {
    module: Names,
    path: Names,
    line: usize,
}

/// The sources of a crate, read.
#[derive(Default)]
pub struct Imports {
    /// The modules that are files, and where they are.
    pub files: BTreeMap<Names, String>,
    /// All modules, those inside files too, each with the module of its file.
    modules: HashMap<Names, Names>,
    uses: HashMap<Names, Vec<Use>>,
    /// What the modules define.
    defined: HashSet<Names>,
    mentions: Vec<Mention>,
    /// The single names in a file.
    words: HashMap<Names, HashSet<String>>,
}

/// Re-exports of re-exports that are followed.
const DEEPEST: usize = 16;

impl Imports {
    /// The imports of the sources below `root`, except for test code.
    pub fn of_folder(root: &Path) -> Self {
        fn collect(root: &Path, dir: &Path, found: &mut Vec<(String, String)>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    collect(root, &path, found);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                    found.push((name.to_owned(), std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        collect(root, root, &mut found);
        Self::of(&found)
    }

    /// Those of files, each with its path below the root and its text.
    pub fn of(files: &[(String, String)]) -> Self {
        let is_program = files.iter().any(|(path, _)| path == "main.rs");
        let mut sources: BTreeMap<Names, (&str, Vec<Token>)> = BTreeMap::new();
        let mut tests: Vec<Names> = Vec::new();
        for (path, text) in files {
            if is_program && path == "lib.rs" {
                continue; // holds nothing: the modules are the program's
            }
            let module = module_of(path);
            let (tokens, apart) = without_tests(text);
            tests.extend(apart.into_iter().map(|name| joined(&module, name)));
            sources.insert(module, (path, tokens));
        }
        sources.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        let mut imports = Self::default();
        for (module, (path, _)) in &sources {
            imports.files.insert(module.clone(), (*path).to_owned());
            imports.modules.insert(module.clone(), module.clone());
        }
        for (module, (_, tokens)) in &sources {
            imports.read(module, tokens);
        }
        imports
    }

    /// Notes what the file of `file` says.
    fn read(&mut self, file: &Names, tokens: &[Token]) {
        const DEFINE: [&str; 8] = [
            "fn", "struct", "enum", "union", "trait", "type", "const", "static",
        ];
        let text = |at: usize| tokens.get(at).map_or("", |t| t.text);
        // the modules around, each with the depth of brackets inside of it
        let mut around = vec![(file.clone(), 0)];
        let (mut depth, mut at) = (0, 0);
        while at < tokens.len() {
            let token = tokens[at];
            let (module, inside) = around.last().unwrap().clone();
            match token.text {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if depth < inside {
                        around.pop();
                    }
                }
                // `pub(in path)` and `pub(crate)` take nothing
                "pub" if text(at + 1) == "(" && is_scope(text(at + 2)) => {
                    while text(at) != ")" {
                        at += 1;
                    }
                }
                "use" if text(at + 1) != "<" => {
                    let end = (at..tokens.len()).find(|&i| tokens[i].text == ";");
                    let end = end.expect("a `use` ends");
                    let public = at > 0 && (text(at - 1) == "pub" || text(at - 1) == ")");
                    let uses = self.uses.entry(module).or_default();
                    expand(&tokens[at + 1..end], &mut 0, &[], public, uses);
                    at = end;
                }
                "mod" if text(at + 2) == "{" => {
                    let inner = joined(&module, text(at + 1));
                    self.modules.insert(inner.clone(), file.clone());
                    depth += 1;
                    around.push((inner, depth));
                    at += 2;
                }
                "mod" if text(at + 2) == ";" => at += 2,
                "macro_rules" => {
                    self.defined.insert(joined(&module, text(at + 2)));
                }
                keyword if DEFINE.contains(&keyword) && depth == inside => {
                    self.defined.insert(joined(&module, text(at + 1)));
                }
                _ if token.is_name() => {
                    let mut path = vec![token.text.to_owned()];
                    while text(at + 1) == "::" && tokens.get(at + 2).is_some_and(Token::is_name) {
                        path.push(text(at + 2).to_owned());
                        at += 2;
                    }
                    let words = self.words.entry(file.clone()).or_default();
                    words.insert(path[0].clone());
                    if path.len() > 1 {
                        let line = token.line;
                        self.mentions.push(Mention { module, path, line });
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Every arrow between two files, once a line.
    pub fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        let mut add = |module: &Names, path: &Names, line: usize| {
            let from = &self.modules[module];
            let Some(to) = self.definer(module, path, 0) else {
                return;
            };
            if to != *from {
                arrows.insert(Arrow {
                    from: from.clone(),
                    to,
                    line,
                    written: path.join("::"),
                });
            }
        };
        for (module, uses) in &self.uses {
            let words = self.words.get(&self.modules[module]);
            for found in uses {
                if found.name.is_none()
                    && let Some(target) = self.module(module, &found.path, 0)
                {
                    let taken = words.into_iter().flatten();
                    for name in taken.filter(|name| self.declares(&target, name, 0)) {
                        let room = &found.path[..found.path.len() - 1];
                        let path = joined(room, name.as_str());
                        add(module, &path, found.line);
                    }
                    continue;
                }
                let is_used = |name: &String| words.is_some_and(|words| words.contains(name));
                // a re-export alone is no import: users of the name import it from its file
                if !found.public || found.name.as_ref().is_some_and(is_used) {
                    add(module, &found.path, found.line);
                }
            }
        }
        for mention in &self.mentions {
            add(&mention.module, &mention.path, mention.line);
        }
        arrows
    }

    /// The module of the file that defines `path` in `module`; none for other crates and for a module,
    /// whose uses count instead.
    fn definer(&self, module: &Names, path: &[String], deep: usize) -> Option<Names> {
        let (start, ups) = self.start(module, path)?;
        self.walk(&start, &path[ups..], ups > 0, deep)
    }

    /// The module in which `path` starts, and how many of its names specify it.
    fn start(&self, module: &Names, path: &[String]) -> Option<(Names, usize)> {
        Some(match path.first()?.as_str() {
            "crate" => (Names::new(), 1),
            "self" => (module.clone(), 1),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                (module[..module.len().checked_sub(ups)?].to_vec(), ups)
            }
            _ => (module.clone(), 0),
        })
    }

    /// As [`Self::definer`], for a path from `module` on; `certain` if it is known to continue there.
    fn walk(&self, module: &Names, path: &[String], certain: bool, deep: usize) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        let inner = joined(module, first);
        let here = || self.modules.get(module).cloned();
        if deep > DEEPEST || first == "*" || self.defined.contains(&inner) {
            return here();
        }
        let is_module = self.modules.contains_key(&inner);
        if is_module && !rest.is_empty() {
            return self.walk(&inner, rest, true, deep + 1);
        }
        let uses = self.uses.get(module).map_or(&[][..], Vec::as_slice);
        let is_it = |u: &&Use| u.name.as_ref() == Some(first) && u.path != [first.clone()];
        if let Some(found) = uses.iter().find(is_it) {
            return self.definer(module, &[&found.path, rest].concat(), deep + 1);
        }
        for found in uses.iter().filter(|u| u.name.is_none()) {
            if let Some(target) = self.module(module, &found.path, deep)
                && self.declares(&target, first, deep)
            {
                return self.walk(&target, path, true, deep + 1);
            }
        }
        // a name without a declaration is created by a macro
        if certain && !is_module { here() } else { None }
    }

    /// The module that `path`, which may end in `*`, means in `module`.
    fn module(&self, module: &Names, path: &[String], deep: usize) -> Option<Names> {
        let (mut found, ups) = self.start(module, path)?;
        for name in path[ups..].iter().filter(|name| *name != "*") {
            let inner = joined(&found, name);
            if self.modules.contains_key(&inner) {
                found = inner;
                continue;
            }
            let uses = self.uses.get(&found)?;
            let named = uses.iter().find(|u| u.name.as_ref() == Some(name))?;
            found = (deep < DEEPEST).then(|| self.module(&found, &named.path, deep + 1))??;
        }
        Some(found)
    }

    /// Whether `module` declares `name` publicly.
    fn declares(&self, module: &Names, name: &str, deep: usize) -> bool {
        let uses = self.uses.get(module).map_or(&[][..], Vec::as_slice);
        let mut public = uses.iter().filter(|u| u.public);
        let hands_on = |u: &Use| match &u.name {
            Some(named) => named == name,
            None if deep < DEEPEST => (self.module(module, &u.path, deep + 1))
                .is_some_and(|target| self.declares(&target, name, deep + 1)),
            None => false,
        };
        self.defined.contains(&joined(module, name)) || public.any(hands_on)
    }
}

fn is_scope(word: &str) -> bool {
    ["crate", "super", "self", "in"].contains(&word)
}

fn joined(module: &[String], name: impl Into<String>) -> Names {
    [module, &[name.into()]].concat()
}

/// The module of a file of this path.
fn module_of(path: &str) -> Names {
    let path = path.trim_end_matches(".rs");
    let mut names: Names = path.split('/').map(str::to_owned).collect();
    let last = names.last().map(String::as_str);
    if last == Some("mod") || (names.len() == 1 && matches!(last, Some("lib" | "main"))) {
        names.pop();
    }
    names
}

/// Adds every name of one branch of a `use`, which starts at `at` below `prefix`.
fn expand(tree: &[Token], at: &mut usize, prefix: &[String], public: bool, uses: &mut Vec<Use>) {
    let (mut path, mut line, mut name) = (prefix.to_vec(), 0, None);
    loop {
        match tree.get(*at).map_or("", |token| token.text) {
            "::" => *at += 1,
            "{" => {
                *at += 1;
                while tree[*at].text != "}" {
                    expand(tree, at, &path, public, uses);
                    *at += usize::from(tree[*at].text == ",");
                }
                *at += 1;
                return;
            }
            "as" => {
                name = Some(tree[*at + 1].text.to_owned());
                *at += 2;
            }
            "" | "," | "}" => break,
            word => {
                path.push(word.to_owned());
                line = tree[*at].line;
                *at += 1;
            }
        }
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let last = path.last().filter(|last| *last != "*").cloned();
    uses.push(Use {
        name: name.or(last),
        path,
        public,
        line,
    });
}
