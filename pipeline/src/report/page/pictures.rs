//! Reconstructions and samples as pictures, as written by the stages.

use super::parts::{Part, Picture};
use crate::report::view::RunView;
use crate::store::Stage;
use crate::sweep::Trials;
use crate::tables::bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latent_align_stages::stages::sample::{NAMES, PICTURE};
use std::path::Path;

/// The largest picture that a report embeds, in bytes.
const LARGEST: u64 = 800 * 1024;

/// A picture that a stage may have written.
struct Painted {
    stage: Stage,
    file: &'static str,
    caption: &'static str,
}

const PICTURES: [Painted; 5] = [
    Painted {
        stage: Stage::PretrainFlow,
        file: "samples.png",
        caption: "Samples of the flow.",
    },
    Painted {
        stage: Stage::TrainAutoencoder,
        file: "reconstructions.png",
        caption: "Originals that were not trained on, each above its reconstruction.",
    },
    Painted {
        stage: Stage::Sample,
        file: PICTURE,
        caption: "Samples of the flow, one column per class or chosen condition if it has any.",
    },
    Painted {
        stage: Stage::Sample,
        file: "nearest.png",
        caption: "Samples, each above its nearest training row.",
    },
    Painted {
        stage: Stage::EvaluateLatents,
        file: "samples.png",
        caption: "Decoded samples of a flow that was fitted to the latents.",
    },
];

/// All pictures of `found`.
pub fn pictures(found: &RunView) -> Vec<Part> {
    let pictures = PICTURES.iter().filter_map(|painted| {
        let Painted { stage, file, .. } = painted;
        let record = found.stage(*stage)?.outputs.get(*file)?;
        let folder = found.path().join(stage.name());
        if record.size > LARGEST {
            return Some(Err(format!(
                "{stage}/{file} ({}) is too large for this page; open it from the run's folder.",
                bytes(record.size)
            )));
        }
        let caption = match (stage, *file) {
            (Stage::Sample, PICTURE) => format!("{}{}", painted.caption, columns(&folder)),
            _ => painted.caption.to_owned(),
        };
        let picture = picture(&folder.join(file), caption);
        Some(picture.map_err(|why| format!("{stage}/{file} is missing: {why}")))
    });
    side_by_side(pictures.collect())
}

/// The samples of each variant, from its first finished trial with pictures of the stage `sample`.
pub fn samples(trials: &Trials) -> Vec<Part> {
    let pictures = trials.variants().into_iter().filter_map(|variant| {
        let mut rows = trials.of_variant(variant).into_iter();
        rows.find_map(|row| {
            let caption = format!("{variant}, seed {}", row.trial.seed);
            picture(row.samples.as_deref()?, caption).ok()
        })
    });
    side_by_side(pictures.map(Ok).collect())
}

/// `pictures` in a row that wraps; empty without any.
fn side_by_side(pictures: Vec<Result<Picture, String>>) -> Vec<Part> {
    match pictures.is_empty() {
        true => Vec::new(),
        false => vec![Part::Pictures(pictures)],
    }
}

/// The names of the columns of the samples in `folder`, as the end of a caption; empty if not recorded.
fn columns(folder: &Path) -> String {
    let names = std::fs::read_to_string(folder.join(NAMES)).unwrap_or_default();
    let names: Vec<&str> = names.lines().collect();
    match names[..] {
        [] => String::new(),
        _ => format!(" From left to right: {}.", names.join("; ")),
    }
}

/// The PNG at `path`.
fn picture(path: &Path, caption: String) -> Result<Picture, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    match bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() as u64 <= LARGEST {
        true => Ok(Picture {
            png: STANDARD.encode(bytes),
            caption,
        }),
        false => Err("it is not a PNG".into()),
    }
}
