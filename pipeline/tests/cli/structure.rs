//! The structure of the sources: no import cycles between files, and rooms in layers.

mod circles;
mod imports;
mod tokens;

use circles::{circles, upward};
use imports::Imports;
use std::path::Path;

/// A crate, and its rooms from the ground up: each imports from those before it only.
pub struct Crate {
    pub sources: &'static str,
    pub floors: &'static [&'static str],
}

pub const CRATES: [Crate; 4] = [
    Crate {
        sources: "stages/kernels/src",
        floors: &[
            "allocator",
            "level",
            "shared",
            "team",
            "parallel",
            "fresh",
            "segments",
            "elementwise",
            "double",
            "activation",
            "logistic",
            "matmul",
            "attention",
            "cached_attention",
            "adamw",
            "tangents",
            "dense",
            "lstm",
            "row_map",
            "convolution",
            "layer_norm",
            "gate",
            "slope",
            "block",
            "blocks",
            "block_tangents",
            "transformer",
        ],
    },
    Crate {
        sources: "stages/hdf5/src",
        floors: &[
            "error",
            "temporary",
            "exchange",
            "programs",
            "open_lock",
            "suggest",
            "foreign",
            "text",
            "raw",
            "element",
            "fletcher32",
            "scratch",
            "decode",
            "chunks",
            "tree",
            "name",
            "guard",
            "open",
            "stored",
            "dataset",
            "stack",
            "blocks",
            "listing",
            "contents",
            "child",
            "texts",
            "superblock",
            "write",
            "write_stream",
            "as_safetensors",
        ],
    },
    Crate {
        sources: "stages/src",
        floors: &[
            "error",
            "figures",
            "defaults",
            "problems",
            "devices",
            "tensors",
            "random",
            "numerics",
            "gaussian_process",
            "persist",
            "context",
            "fused",
            "training",
            "data",
            "sequences",
            "targets",
            "comparison",
            "priors",
            "posteriors",
            "architectures",
            "autoencoders",
            "classifiers",
            "alignment",
            "likelihood",
            "transport",
            "optimisation",
            "inference",
            "stages",
        ],
    },
    Crate {
        sources: "pipeline/src",
        floors: &[
            "console",
            "process",
            "destination",
            "numbered",
            "conversion",
            "shipped",
            "config",
            "tables",
            "store",
            "failure",
            "plan",
            "sweep",
            "catalogue",
            "report",
            "run",
            "launch",
            "export",
            "inference",
            "starter",
            "cli",
        ],
    },
];

/// Problems with the files of a crate.
fn problems(imports: &Imports, floors: &[&str]) -> Vec<String> {
    let arrows = imports.arrows();
    let mut found = circles(&arrows);
    found.extend(upward(imports.files.keys(), &arrows, floors));
    found
}

#[test]
fn no_file_imports_in_a_circle_and_no_room_from_one_above_it() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for of in &CRATES {
        let imports = Imports::of_folder(&workspace.join(of.sources));
        assert!(imports.arrows().len() > 10, "{} was not read", of.sources);
        let problems = problems(&imports, of.floors);
        found.extend(
            problems
                .iter()
                .map(|problem| format!("{}: {problem}", of.sources)),
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Problems with a made-up crate of a file `lib.rs` of modules and rooms `low`, `middle` and `high`.
fn of(files: &[(&str, &str)]) -> Vec<String> {
    let lib = ("lib.rs", "pub mod low; pub mod middle; pub mod high;");
    let files: Vec<(String, String)> = std::iter::once(&lib)
        .chain(files)
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    problems(&Imports::of(&files), &["low", "middle", "high"])
}

/// Rooms that are as they should be: a re-export, a method chain, tests that look up, a `use` in a block.
const GOOD: [(&str, &str); 4] = [
    (
        "low.rs",
        "pub fn f() {} pub struct S; #[cfg(test)] mod tests { use crate::high::g; }",
    ),
    (
        "middle/mod.rs",
        "//! As crate::high::g.\nmod part; mod whole;\npub use part::P;\npub use whole::w;",
    ),
    ("middle/part.rs", "use crate::low::S; pub struct P(S);"),
    (
        "middle/whole.rs",
        "use super::part::P; pub fn w() { let _ = \"crate::high::g\"; }",
    ),
];
const HIGH: (&str, &str) = (
    "high.rs",
    "use crate::middle::{self, P}; pub fn g() { middle::w(); crate::low::f() }",
);

/// [`GOOD`] with the text of a file in place of its own.
fn with<'a>(path: &'a str, text: &'a str) -> Vec<(&'a str, &'a str)> {
    let others = GOOD.into_iter().chain([HIGH]);
    let others = others.filter(|(other, _)| *other != path);
    others.chain([(path, text)]).collect()
}

#[test]
fn rooms_as_they_should_be_have_no_problem() {
    assert_eq!(of(&with(HIGH.0, HIGH.1)), Vec::<String>::new());
}

#[test]
fn a_circle_is_found_with_its_files_and_lines() {
    let found = of(&with(
        "middle/part.rs",
        "use crate::low::S;\n\npub struct P(S);\nfn f() {\n    super::whole::w()\n}",
    ));
    assert_eq!(found.len(), 1, "{found:?}");
    for part in [
        "a circle of middle::part, middle::whole",
        "middle::part, line 5: super::whole::w -> middle::whole",
        "middle::whole, line 1: super::part::P -> middle::part",
    ] {
        assert!(
            found[0].contains(part),
            "{part} is missing from {}",
            found[0]
        );
    }
}

/// `part` takes `w` from the room, which hands it on from `whole`, which takes from `part`.
#[test]
fn a_circle_through_a_re_export_is_found() {
    for text in [
        "use super::w; pub struct P;",
        "use crate::middle::w as other; pub struct P;",
        "use crate::middle; pub struct P; fn f() { middle::w() }",
        "use super::*; pub struct P; fn f() { w() }",
    ] {
        let told = of(&with("middle/part.rs", text)).join("\n");
        let expected = "a circle of middle::part, middle::whole";
        assert!(told.contains(expected), "{text}: {told}");
    }
}

/// A parent that calls its child, which takes something from the parent.
#[test]
fn a_circle_of_parent_and_child_is_found() {
    let parent = "mod part; mod whole;\npub use part::P;\npub use whole::w;\npub const C: u8 = 1;\npub fn f() -> P { part::new() }";
    let mut files = with("middle/mod.rs", parent);
    files.retain(|(path, _)| *path != "middle/part.rs");
    files.push((
        "middle/part.rs",
        "pub struct P; pub fn new() -> [P; super::C] { todo!() }",
    ));
    let found = of(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("a circle of middle, middle::part:"),
        "{}",
        found[0]
    );
}

#[test]
fn an_arrow_to_a_room_above_is_found() {
    let found = of(&with(
        "middle/part.rs",
        "pub struct P;\nuse crate::{\n    low::S,\n    high::g,\n};",
    ));
    let told = found.join("\n");
    assert!(
        told.contains("upward:\n    middle::part, line 4: crate::high::g -> high"),
        "{told}"
    );
    let found = of(&with(
        "low.rs",
        "pub fn f() {} pub struct S;\nfn h() { crate::middle::w() }",
    ));
    assert!(
        found
            .join("\n")
            .contains("low, line 2: crate::middle::w -> middle::whole"),
        "{found:?}"
    );
}

#[test]
fn a_room_that_is_in_no_list_is_found() {
    let mut files = with(HIGH.0, HIGH.1);
    files.push(("attic.rs", ""));
    assert_eq!(
        of(&files),
        ["`attic` stands on no floor: add it to the list"]
    );
    files.retain(|(path, _)| !["attic.rs", "high.rs"].contains(path));
    assert_eq!(
        of(&files),
        ["`high` is in the list of floors, but there is no such room"]
    );
}
