//! Tables of artifacts, one row each.

use super::columns::Columns;
use super::found::Catalogue;
use crate::config::MARK;
use crate::store::{Card, Index, MANIFEST, Stage, Wrong, in_parallel, missing, unreadable};
use crate::tables::{Field, Kind, Source, number};
use std::path::PathBuf;

/// The number of figures shown per row.
const KEY_FIGURES: usize = 3;

/// An artifact.
pub struct ArtifactEntry {
    /// The stage whose folder contains it.
    pub stage: Stage,
    /// The name of its folder.
    pub fingerprint: String,
    /// Its folder, as given.
    pub dir: PathBuf,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// Reads every artifact of `places`.
pub fn find(places: &[(Stage, PathBuf)], index: &mut Index) -> Vec<ArtifactEntry> {
    let dirs: Vec<PathBuf> = places.iter().map(|place| place.1.clone()).collect();
    index.look_up(&dirs, &[]);
    let index = &*index;
    in_parallel(places, |(stage, dir)| {
        let name = dir.canonicalize();
        let name = name.as_ref().unwrap_or(dir).file_name().unwrap_or_default();
        ArtifactEntry {
            stage: *stage,
            fingerprint: name.to_string_lossy().into_owned(),
            dir: dir.clone(),
            problem: problem(index, dir),
        }
    })
}

/// What is wrong with the artifact in `dir`, which must have been looked up.
pub fn problem(index: &Index, dir: &std::path::Path) -> Option<String> {
    if let Some(why) = unreadable(&dir.join(MANIFEST)) {
        return Some(told(&Wrong::Unreadable(why)));
    }
    if !dir.is_dir() {
        return Some("DAMAGED: not a folder, or a dangling link".into());
    }
    let wrong = match index.card(dir) {
        Ok(card) => {
            let outputs = card.outputs.iter();
            missing(
                dir,
                outputs.map(|(name, size)| (index.symbols.text(*name), *size)),
            )?
        }
        Err(why) => Wrong::Damaged(why.to_owned()),
    };
    Some(told(&wrong))
}

/// The text in tables for something that is damaged or unreadable.
pub fn told(wrong: &Wrong) -> String {
    let told = wrong.to_string().replace('\n', " ");
    match wrong {
        Wrong::Damaged(_) => format!("DAMAGED: {told}"),
        Wrong::Unreadable(_) => told,
    }
}

impl Catalogue {
    /// These artifacts in their present state.
    pub fn artifacts(&mut self, places: &[(Stage, PathBuf)]) -> Vec<ArtifactEntry> {
        let found = find(places, &mut self.index);
        self.index.save();
        found
    }
}

/// The mark of a `quick` run or artifact in tables.
pub fn note(quick: bool) -> String {
    if quick {
        MARK.to_owned()
    } else {
        String::new()
    }
}

/// The table of `entries`.
pub fn artifacts<'a>(catalogue: &'a Catalogue, entries: &'a [ArtifactEntry]) -> Source<'a> {
    let index = &catalogue.index;
    let cards: Vec<Option<&Card>> = entries.iter().map(|e| index.card(&e.dir).ok()).collect();
    let text = |name: &str, of: &dyn Fn(&Card) -> String| {
        Field::text(name, cards.iter().map(|c| c.map_or(String::new(), of)))
    };
    let whole = |name: &str, of: &dyn Fn(&Card) -> u64| {
        let values = cards.iter();
        let values = values.map(|c| c.map(|c| i64::try_from(of(c)).unwrap_or(i64::MAX)));
        Field::ints(name, values)
    };
    let seconds = cards.iter().map(|c| c.map(|c| c.seconds));
    let key_figures = |card: &Card| {
        let figures = card.figures.iter().take(KEY_FIGURES);
        let figures =
            figures.map(|(name, v)| format!("{} {}", index.symbols.text(*name), number(*v)));
        figures.collect::<Vec<_>>().join(", ")
    };
    let fingerprints = entries.iter().map(|e| e.fingerprint.as_str());
    let problems = entries.iter();
    let problems = problems.map(|e| e.problem.clone().unwrap_or_default());
    let sizes = |card: &Card| card.outputs.iter().map(|o| o.1).sum();
    let mut fields = vec![
        Field::text("stage", entries.iter().map(|e| e.stage.name())),
        Field::text("fingerprint", fingerprints),
        text("started", &|c| c.started.clone()).of(Kind::Moment),
        text("finished", &|c| c.finished.clone()).of(Kind::Moment),
        Field::floats("seconds", seconds).of(Kind::Seconds),
        whole("bytes", &sizes).of(Kind::Bytes),
        whole("seed", &|c| c.seed),
        text("device", &|c| c.device.clone()),
        text("version", &|c| c.version.clone()),
        text("revision", &|c| c.revision.clone().unwrap_or_default()),
        whole("warnings", &|c| c.warnings),
        text("key figures", &key_figures),
        text("note", &|c| note(c.quick)),
        Field::text("problem", problems),
    ];
    let mut columns = Columns::default();
    for (row, card) in cards.iter().enumerate() {
        let Some(card) = card else { continue };
        columns.settings(row, entries.len(), None, &card.config, index);
        columns.figures(row, entries.len(), card, index);
    }
    fields.extend(columns.fields(&fields));
    let mut shown = vec![
        "stage",
        "fingerprint",
        "finished",
        "seconds",
        "bytes",
        "key figures",
    ];
    if cards.iter().flatten().any(|card| card.quick) {
        shown.push("note");
    }
    if entries.iter().any(|e| e.problem.is_some()) {
        shown.push("problem");
    }
    Source::new(entries.len(), fields).showing(&shown)
}
