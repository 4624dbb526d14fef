//! Whether the claims of `make verify` can fail: defects are inserted into a copy of the sources, and the rows that
//! name them must miss.

use crate::project::{output, skipped};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `mutations.yaml`.
#[derive(Deserialize)]
struct File {
    /// Keys of each variant that make it fast.
    reduced: BTreeMap<String, Map<String, Value>>,
    mutations: Vec<Mutation>,
}

/// A defect: an expression that occurs once in a file, and its replacement of the same type.
#[derive(Deserialize)]
struct Mutation {
    name: String,
    file: PathBuf,
    was: String,
    becomes: String,
}

/// The defect named in the comment above a claim.
enum Red {
    /// A mutation by name.
    Run(String),
    /// In words.
    NotRun,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn mutations() -> File {
    serde_yaml::from_str(&read(workspace().join("pipeline/tests/mutations.yaml"))).unwrap()
}

fn verify() -> String {
    read(workspace().join("configs/sweeps/verify.yaml"))
}

/// The claims of `verify.yaml`, each with the defect in the line above.
fn reds(text: &str) -> BTreeMap<String, Option<Red>> {
    let mut above = "";
    let mut found = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(claim) = line.strip_prefix("- claim: ") {
            let red = match above.strip_prefix("# red: ") {
                Some(name) => Some(Red::Run(name.to_owned())),
                None => above.strip_prefix("# red, not run: ").map(|_| Red::NotRun),
            };
            found.insert(claim.trim_matches('"').to_owned(), red);
        }
        above = line;
    }
    found
}

/// The text of the mutation's file in which the program uses the defect if it is selected at run time.
fn mutated(text: &str, mutation: &Mutation) -> String {
    let Mutation {
        name, was, becomes, ..
    } = mutation;
    let places = text.matches(was.as_str()).count();
    let file = mutation.file.display();
    assert_eq!(
        places, 1,
        "{file}: `{was}` stands {places} times, expected once"
    );
    let either = format!("(if crate::mutated({name:?}) {{ {becomes} }} else {{ {was} }})");
    text.replace(was, &either)
}

#[test]
fn every_claim_with_bounds_names_the_defect_that_turns_it_red() {
    let text = verify();
    let (file, reds) = (mutations(), reds(&text));
    let sweep: Value = serde_yaml::from_str(&text).unwrap();
    for check in sweep["checks"].as_array().unwrap() {
        let claim = check["claim"].as_str().unwrap();
        let bounded = check.get("at_least").is_some() || check.get("at_most").is_some();
        let red = reds[claim].as_ref();
        assert_eq!(red.is_some(), bounded, "{claim}");
        if let Some(Red::Run(name)) = red {
            let known = file.mutations.iter().any(|m| m.name == *name);
            assert!(known, "{claim}: {name} is not in mutations.yaml");
        }
    }
    let named = |m: &Mutation| {
        let mut reds = reds.values().flatten();
        reds.any(|red| matches!(red, Red::Run(name) if *name == m.name))
    };
    for mutation in &file.mutations {
        assert!(named(mutation), "{}: no claim names it", mutation.name);
        mutated(&read(workspace().join(&mutation.file)), mutation);
    }
    assert!(file.mutations.len() >= 10);
}

/// `LATENT_ALIGN_MUTATIONS=all`, or some names separated by commas. Takes a build and some minutes; resumes after
/// an interruption.
#[test]
fn every_mutation_turns_its_claims_red() {
    let Ok(wanted) = std::env::var("LATENT_ALIGN_MUTATIONS") else {
        skipped(
            "mutations: `make mutations` puts defects into the sources and runs what must notice",
        );
        return;
    };
    let file = mutations();
    let chosen: Vec<&Mutation> = (file.mutations.iter())
        .filter(|m| wanted == "all" || wanted.split(',').any(|name| name == m.name))
        .collect();
    assert!(!chosen.is_empty(), "no mutation is called {wanted}");
    let mutants = Mutants::build(&file);
    let reds = reds(&verify());
    let claims_of = |name: &str| -> BTreeSet<&str> {
        (reds.iter())
            .filter(|(_, red)| matches!(red, Some(Red::Run(of)) if of == name))
            .map(|(claim, _)| claim.as_str())
            .collect()
    };
    let all = chosen.iter().flat_map(|m| claims_of(&m.name)).collect();
    let sound = mutants.verdicts(&file, None, &all);
    println!("| defect | claim | without it | | with it | |\n|---|---|---|---|---|---|");
    let mut survived = Vec::new();
    for mutation in chosen {
        let claims = claims_of(&mutation.name);
        let found = mutants.verdicts(&file, Some(&mutation.name), &claims);
        for claim in claims {
            let (without, with) = (&sound[claim], &found[claim]);
            let [was, is] = [without, with].map(|v| if v.red { "MISS" } else { "pass" });
            let name = &mutation.name;
            let [a, b] = [without, with].map(|v| &v.measured);
            println!("| {name} | {claim} | {a} | {was} | {b} | {is} |");
            if without.red || !with.red {
                survived.push(format!("{name}: {claim}"));
            }
        }
    }
    assert!(
        survived.is_empty(),
        "not turned red, or red without: {survived:#?}"
    );
}

/// What the names of the stores of mutants start with.
const STORE: &str = "artifacts-";

/// The selection of a defect, appended to the library.
const ASKED: &str = "\
/// Whether the defect `name` is asked for.
pub fn mutated(name: &str) -> bool {
    static ASKED: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ASKED.get_or_init(|| std::env::var(\"LATENT_ALIGN_MUTATION\").unwrap_or_default()) == name
}
";

/// A name of its own beside the sound program.
const BINARY: &str = "\n[[bin]]\nname = \"latent-align-mutants\"\npath = \"src/main.rs\"\n";

/// Cargo knows a library by its name, its place in its workspace and its settings: with the same settings the
/// library with defects and the sound one would take each other's place in the target folder.
const SETTINGS: &str = "\n[profile.dev.package.latent-align-stages]\ncodegen-units = 255\n";

/// What the names of sweeps of mutants start with, in the copy's `configs/sweeps`.
const SWEEP: &str = "mutant-";

/// Copies `part` of the workspace into `tree` with every defect in it; true if the program changed. Unchanged files
/// are kept, so that only changes are compiled again; files that the workspace no longer has are removed, since a
/// moved module would exist twice.
fn mirror(part: &Path, tree: &Path, file: &File) -> bool {
    let (from, to) = (workspace().join(part), tree.join(part));
    if from.is_dir() {
        std::fs::create_dir_all(&to).unwrap();
        let mut changed = false;
        for name in names(&from) {
            changed |= mirror(&part.join(name), tree, file);
        }
        for gone in names(&to).difference(&names(&from)) {
            if !gone.to_string_lossy().starts_with(SWEEP) {
                remove(&to.join(gone));
                changed = true;
            }
        }
        return changed;
    }
    let mutations: Vec<&Mutation> = (file.mutations.iter()).filter(|m| m.file == part).collect();
    let added = match part.to_str() {
        Some("stages/src/lib.rs") => ASKED,
        Some("pipeline/Cargo.toml") => BINARY,
        Some("Cargo.toml") => SETTINGS,
        _ => "",
    };
    let bytes = if mutations.is_empty() && added.is_empty() {
        std::fs::read(&from).unwrap()
    } else {
        let text = (mutations.iter()).fold(read(&from), |text, mutation| mutated(&text, mutation));
        (text + added).into_bytes()
    };
    let changed = !std::fs::read(&to).is_ok_and(|there| there == bytes);
    if changed {
        std::fs::write(&to, bytes).unwrap();
    }
    // trials record their configurations: changed ones are run again
    let compiled = !part.starts_with("configs") && !part.starts_with("pipeline/tests");
    changed && compiled
}

/// Removes a file or a folder with what is in it.
fn remove(path: &Path) {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    removed.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// The names in a folder.
fn names(dir: &Path) -> BTreeSet<OsString> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

/// What a row of the table of checks says.
struct Verdict {
    measured: String,
    red: bool,
}

/// The program with all defects, each inactive until it is selected.
struct Mutants {
    tree: PathBuf,
    binary: PathBuf,
}

impl Mutants {
    fn build(file: &File) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let tree = target.join("tmp/mutations");
        std::fs::create_dir_all(&tree).unwrap();
        let mut changed = false;
        for part in ["Cargo.toml", "Cargo.lock", "stages", "pipeline", "configs"] {
            changed |= mirror(Path::new(part), &tree, file);
        }
        for store in names(&tree) {
            // measurements of an interrupted `make mutations` with the same sources are kept
            if changed && store.to_string_lossy().starts_with(STORE) {
                remove(&tree.join(store));
            }
        }
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--locked", "--quiet", "--workspace"])
            .args(["--bin", "latent-align-mutants", "--target-dir"])
            .arg(target)
            .current_dir(&tree);
        let built = output(&mut build).unwrap();
        let told = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{told}");
        let binary = target.join("debug/latent-align-mutants");
        Self { tree, binary }
    }

    /// The rows of `claims` with the defect `name`, or with none. A failing trial counts as a miss.
    fn verdicts(
        &self,
        file: &File,
        name: Option<&str>,
        claims: &BTreeSet<&str>,
    ) -> BTreeMap<String, Verdict> {
        let called = name.unwrap_or("none");
        let sweep = (self.tree).join(format!("configs/sweeps/{SWEEP}{called}.yaml"));
        let reduced = reduced(&verify(), file, called, claims);
        std::fs::write(&sweep, reduced.to_string()).unwrap(); // JSON is YAML
        let store = self.tree.join(format!("{STORE}{called}"));
        let flows = self.tree.join(format!("{STORE}none/pretrain-flow"));
        if name.is_some() && flows.is_dir() && !store.is_dir() {
            // flows are trained without the defect
            let copied = self.tree.join("copied");
            if copied.is_dir() {
                remove(&copied);
            }
            std::fs::create_dir(&copied).unwrap();
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(flows).arg(&copied);
            assert!(output(&mut copy).unwrap().status.success());
            std::fs::rename(&copied, &store).unwrap();
        }
        let mut run = Command::new(&self.binary);
        run.arg("sweep")
            .arg(sweep)
            .env("LATENT_ALIGN_ARTIFACTS", &store)
            .env("LATENT_ALIGN_MUTATION", name.unwrap_or_default());
        let run = output(&mut run).unwrap();
        if !matches!(run.status.code(), Some(0 | 3)) {
            let told = String::from_utf8_lossy(&run.stderr);
            let last = told.lines().last().unwrap_or_default();
            println!("{called}: {}: {last}", run.status);
        }
        let table = String::from_utf8(run.stdout).unwrap();
        let row = |claim: &str| {
            let rows = table
                .lines()
                .map(|line| line.split('|').map(str::trim).collect());
            let mut rows = rows.filter(|cells: &Vec<&str>| cells.get(1) == Some(&claim));
            let cells = rows.next().unwrap_or_default();
            match cells[..] {
                [_, _, measured, _, verdict, _] => Verdict {
                    measured: measured.to_owned(),
                    red: verdict != "pass",
                },
                _ => Verdict {
                    measured: "failed".to_owned(),
                    red: true,
                },
            }
        };
        (claims.iter())
            .map(|claim| ((*claim).to_owned(), row(claim)))
            .collect()
    }
}

/// The sweep `text` with nothing but `claims` and their variants, reduced.
fn reduced(text: &str, file: &File, called: &str, claims: &BTreeSet<&str>) -> Value {
    let mut sweep: Value = serde_yaml::from_str(text).unwrap();
    sweep["name"] = json!(format!("{SWEEP}{called}"));
    let checks = sweep["checks"].as_array_mut().unwrap();
    checks.retain(|check| claims.contains(check["claim"].as_str().unwrap()));
    let variants: BTreeSet<String> = (checks.iter())
        .map(|check| check["variant"].as_str().unwrap().to_owned())
        .collect();
    let list = sweep["list"].as_array_mut().unwrap();
    list.retain(|variant| variants.contains(variant["name"].as_str().unwrap()));
    for variant in list {
        let name = variant["name"].as_str().unwrap();
        let keys = file.reduced.get(name).cloned().unwrap_or_default();
        let set = variant.as_object_mut().unwrap().entry("set");
        let set = set.or_insert_with(|| json!({})).as_object_mut().unwrap();
        set.extend(keys);
    }
    sweep["columns"] = json!([]);
    sweep
}
