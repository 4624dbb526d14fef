//! `base: other.yaml`: an experiment as a variation of another one.

use super::overrides::{Assignment, apply};
use super::{Experiment, beside, flatten, paths, yaml};
use latent_align_stages::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Maximum length of a chain of bases.
const DEEPEST: usize = 8;

/// Reads the experiment in `file`; if it has a `base`, every key of `file` is set in the base.
///
/// # Errors
/// [`Error::Input`] for a mistake in the file or in one of its bases, and for a circle of bases.
pub fn read(file: &Path) -> Result<Experiment> {
    on_bases(file, &mut Vec::new())
}

fn on_bases(file: &Path, above: &mut Vec<PathBuf>) -> Result<Experiment> {
    let source = file.display().to_string();
    let text = yaml::read(file)?;
    let tree: Value = match yaml::parse(&text, &source) {
        Ok(tree @ Value::Object(_)) => tree,
        // The typed error is more precise, but a variation lacks most required keys.
        Err(wrong) if text.lines().any(|line| line.starts_with("base:")) => return Err(wrong),
        _ => return yaml::parse(&text, &source),
    };
    let base = match tree.get("base") {
        Some(Value::String(base)) if is_file_name(base) => beside(file, Path::new(base)),
        None | Some(Value::Null) => return yaml::parse(&text, &source),
        Some(other) => {
            return Err(Error::input(format!(
                "{source}: base: found {other}, expected the path of an experiment, such as ../ring.yaml"
            )));
        }
    };
    if above.is_empty() && tree.get("name").is_none_or(Value::is_null) {
        return Err(Error::input(format!(
            "{source}: the key `name` is missing: it names the folder of the run; write `name: ` \
             and a name that differs from that of its base, {}",
            base.display()
        )));
    }
    above.push(file.to_owned());
    if above.contains(&base) {
        return Err(Error::input(format!(
            "{source}: base: found {}, which has this file as its base; expected bases without a circle",
            base.display()
        )));
    }
    if above.len() > DEEPEST {
        return Err(Error::input(format!(
            "{source}: base: found {}, but {} may have a chain of at most {DEEPEST} bases; merge \
             some of them into one file",
            base.display(),
            above[0].display()
        )));
    }
    yaml::refuse_pipe(&base)?;
    let mut experiment = on_bases(&base, above)?;
    paths::make_absolute(&mut experiment, &base)?;
    let below = serde_json::to_value(&experiment).unwrap_or_default();
    apply(experiment, &assignments(&tree, &below, &text, &source))
}

/// Whether `base` can be the path of a file; those of directories cannot.
fn is_file_name(base: &str) -> bool {
    let last = base.rsplit('/').next().unwrap_or_default();
    !["", ".", ".."].contains(&last.trim())
}

/// The assignments of `tree` to `below`. A kind comes before its sibling keys: a new kind drops the keys of the
/// old one.
fn assignments(tree: &Value, below: &Value, text: &str, source: &str) -> Vec<Assignment> {
    let is_there = |key: &str| {
        let found = below.pointer(&format!("/{}", key.replace('.', "/")));
        found.is_some_and(Value::is_object)
    };
    let says_nothing = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
    let mut leaves = flatten(tree);
    leaves.retain(|(key, value)| key != "base" && !(says_nothing(value) && is_there(key)));
    leaves.sort_by_cached_key(|(key, _)| {
        let parts = key.split('.');
        let parts = parts.map(|part| if part == "kind" { "" } else { part });
        parts.map(str::to_owned).collect::<Vec<_>>()
    });
    let leaves = leaves.into_iter();
    leaves
        .map(|(key, value)| {
            Assignment::in_file(&key, value.clone(), source, yaml::place_of(text, &key))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIATIONS: [(&str, &str); 20] = [
        ("controlled/checkerboard.yaml", "e19b9b40fddd"),
        ("controlled/grid.yaml", "829149f968ef"),
        ("controlled/moons.yaml", "a28d0e64f5cc"),
        ("controlled/ring.yaml", "4868cf8c981a"),
        ("controlled/rings.yaml", "6749f6b4cb46"),
        ("controlled/spiral.yaml", "f6abaf177279"),
        ("controlled/swiss-roll.yaml", "37c6ad5bedaa"),
        ("table/digits-kl.yaml", "ae49f23d3cfc"),
        ("table/digits-low-level.yaml", "3a99e6529001"),
        ("table/digits-none.yaml", "f907bf266ad9"),
        ("table/digits-semantic.yaml", "fbcec646e716"),
        ("table/digits-words-entropy.yaml", "dda56e6757b9"),
        ("table/digits-words-student.yaml", "85f44331f259"),
        ("table/digits-words.yaml", "1b031e5f890c"),
        ("table/mnist-kl.yaml", "009388478f27"),
        ("table/mnist-low-level.yaml", "0f20ec7f98b9"),
        ("table/mnist-none.yaml", "0f2ab6fbca78"),
        ("table/mnist-semantic.yaml", "e46ffd6c5274"),
        ("table/mnist-words-entropy.yaml", "cf78b675c62e"),
        ("table/mnist-words.yaml", "cf5f38eac348"),
    ];

    const BASE: &str = "name: a\nseed: 3\n\
        pretrain_flow: {features: {file: sub/a.h5}, steps: 9}\n\
        train_autoencoder: {data: {file: b.h5}, latent: {width: 2}, \
        regulariser: {kind: kl, weight: 3.0, warm_up_steps: 7}}\n";

    /// The experiment given by `variation` in `sub/` on the one above.
    fn read_text(variation: &str) -> (tempfile::TempDir, Result<Experiment>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("base.yaml"), BASE).unwrap();
        let file = dir.path().join("sub/variation.yaml");
        std::fs::write(&file, variation).unwrap();
        let found = read(&file);
        (dir, found)
    }

    #[test]
    fn a_variation_sets_keys_of_its_base_and_keeps_the_others() {
        let (dir, found) = read_text(
            "base: ../base.yaml\nname: b\npretrain_flow: {steps: 4}\n\
             train_autoencoder: {data: {file: c.h5}, architecture: {}, regulariser: {weight: 1.0}}\n",
        );
        let found = found.unwrap();
        assert_eq!((found.name.as_str(), found.seed), ("b", 3));
        let flow = found.pretrain_flow.unwrap();
        assert_eq!(flow.steps, 4);
        // from the base, relative to the base
        assert_eq!(flow.features.file.first(), dir.path().join("sub/a.h5"));
        let autoencoder = serde_json::to_value(found.train_autoencoder.unwrap()).unwrap();
        assert_eq!(autoencoder["data"]["file"], "c.h5");
        assert_eq!(autoencoder["regulariser"]["weight"], 1.0);
        assert_eq!(autoencoder["regulariser"]["warm_up_steps"], 7);
    }

    /// Fails if keys are set in alphabetical order: `draws` would be dropped with the old kind.
    #[test]
    fn a_new_kind_drops_the_keys_of_the_old_one_and_null_removes_a_section() {
        let (_dir, found) = read_text(
            "base: ../base.yaml\nname: b\n\
             train_autoencoder: {regulariser: {draws: 2, kind: alignment, weight: 0.5}}\n",
        );
        let autoencoder = serde_json::to_value(found.unwrap().train_autoencoder.unwrap()).unwrap();
        assert_eq!(autoencoder["regulariser"]["draws"], 2);
        assert_eq!(autoencoder["regulariser"]["warm_up_steps"], Value::Null);
        let (_dir, found) = read_text("base: ../base.yaml\nname: b\ntrain_autoencoder: null\n");
        assert!(found.unwrap().train_autoencoder.is_none());
    }

    #[test]
    fn mistakes_name_the_file_and_the_key_and_circles_are_refused() {
        let wrong = |text: &str| read_text(text).1.unwrap_err().to_string();
        let message = wrong("base: ../base.yaml\nname: b\npretrain_flow: {stpes: 4}\n");
        for part in [
            "variation.yaml:3:17: unknown key `stpes` in `pretrain_flow`",
            "did you mean `steps`?",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let message = wrong("base: ../bsae.yaml\nname: b\n");
        assert!(message.contains("base.yaml?"), "{message}");
        let message = wrong("base: variation.yaml\nname: b\n");
        assert!(message.contains("base: found"), "{message}");
        let message = wrong("base: 3\nname: b\n");
        assert!(message.contains("base: found 3"), "{message}");
        for folder in ["''", ".", "..", "sub/"] {
            let message = wrong(&format!("base: {folder}\nname: b\n"));
            assert!(message.contains("variation.yaml: base: found"), "{message}");
        }
    }

    /// Fails if it takes the name of its base: two experiments would share a run.
    #[test]
    fn a_variation_has_a_name_of_its_own() {
        for text in ["base: ../base.yaml\n", "base: ../base.yaml\nname: null\n"] {
            let message = read_text(text).1.unwrap_err().to_string();
            for part in ["variation.yaml: the key `name` is missing", "base.yaml"] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    /// Fails if a file with such a mistake is reported as an incomplete experiment: `the key ... is missing`.
    #[test]
    fn mistakes_of_syntax_and_type_are_told_as_what_they_are_and_where() {
        for (text, told) in [
            (
                "name: b\nname: c\n",
                "variation.yaml:3:1: the key `name` is given twice",
            ),
            ("name: b\npretrain_flow: {steps: [4\n", "variation.yaml:"),
            (
                "name: b\npretrain_flow: {steps: many}\n",
                "variation.yaml:3:17: pretrain_flow.steps: ",
            ),
        ] {
            let text = format!("base: ../base.yaml\n{text}");
            let message = read_text(&text).1.unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
            assert!(!message.contains("is missing"), "{message}");
            assert!(
                message.matches("pretrain_flow.steps").count() < 2,
                "{message}"
            );
        }
    }

    /// Fails if the limit differs from the one in the message.
    #[test]
    fn an_experiment_stands_on_as_many_others_as_the_message_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = |level: usize| dir.path().join(format!("{level}.yaml"));
        std::fs::write(path(0), BASE).unwrap();
        for level in 1..=DEEPEST + 1 {
            let text = format!("base: {}.yaml\nname: a{level}\n", level - 1);
            std::fs::write(path(level), text).unwrap();
        }
        assert_eq!(read(&path(DEEPEST)).unwrap().name, format!("a{DEEPEST}"));
        let message = read(&path(DEEPEST + 1)).unwrap_err().to_string();
        assert!(
            message.contains(&format!("chain of at most {DEEPEST} bases")),
            "{message}"
        );
    }

    /// The shipped variations resolve to the same settings as when each was written out in full. After an
    /// intended change, the message has the new digests.
    #[test]
    fn the_shipped_variations_resolve_to_what_they_were_in_full() {
        let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../configs");
        let root = root.canonicalize().unwrap();
        let digest = |name: &str| {
            let loaded = crate::config::load(&root.join(name), &Default::default()).unwrap();
            let settings = crate::config::differing(&loaded.experiment).into_iter();
            let lines = settings.map(|setting| format!("{}: {}\n", setting.key, setting.value));
            let text: String = lines.collect();
            let text = text.replace(root.to_str().unwrap(), "configs");
            blake3::hash(text.as_bytes()).to_hex()[..12].to_owned()
        };
        let found = VARIATIONS.map(|(name, _)| (name, digest(name)));
        let expected = VARIATIONS.map(|(name, digest)| (name, digest.to_owned()));
        assert_eq!(found, expected);
    }
}
