//! Reconstructions and samples as pictures, as written by the stages.

use super::found::Found;
use super::html::{Html, note};
use crate::report::charts::escaped;
use crate::store::{Manifest, Stage};
use crate::sweep::Trials;
use crate::tables::bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latent_align_stages::stages::sample::{NAMES, PICTURE};
use std::path::Path;

/// The largest picture that a report embeds, in bytes.
const LARGEST: u64 = 800 * 1024;

/// A picture that a stage may have written.
struct Picture {
    stage: Stage,
    file: &'static str,
    caption: &'static str,
}

const PICTURES: [Picture; 5] = [
    Picture {
        stage: Stage::PretrainFlow,
        file: "samples.png",
        caption: "Samples of the flow.",
    },
    Picture {
        stage: Stage::TrainAutoencoder,
        file: "reconstructions.png",
        caption: "Originals that were not trained on, each above its reconstruction.",
    },
    Picture {
        stage: Stage::Sample,
        file: PICTURE,
        caption: "Samples of the flow, one column per class or chosen condition if it has any.",
    },
    Picture {
        stage: Stage::Sample,
        file: "nearest.png",
        caption: "Samples, each above its nearest training row.",
    },
    Picture {
        stage: Stage::EvaluateLatents,
        file: "samples.png",
        caption: "Decoded samples of a flow that was fitted to the latents.",
    },
];

/// All pictures of `found`.
pub fn pictures(found: &Found) -> Html {
    let mut out = String::new();
    for Picture {
        stage,
        file,
        caption,
    } in &PICTURES
    {
        let whole = found.stage(*stage);
        let Some(record) = whole.and_then(|stage: &Manifest| stage.outputs.get(*file)) else {
            continue;
        };
        let folder = found.path().join(stage.name());
        let path = folder.join(file);
        let caption = match (stage, *file) {
            (Stage::Sample, PICTURE) => format!("{caption}{}", columns(&folder)),
            _ => (*caption).to_owned(),
        };
        if record.size > LARGEST {
            let size = bytes(record.size);
            let text = format!(
                "{stage}/{file} ({size}) is too large for this page; open it from the run's folder."
            );
            out.push_str(&note(text).0);
            continue;
        }
        match read(&path) {
            Ok(png) => out.push_str(&picture(&png, &caption)),
            Err(why) => out.push_str(&note(format!("{stage}/{file} is missing: {why}")).0),
        }
    }
    side_by_side(&out)
}

/// The samples of each variant, from its first finished trial with pictures of the stage `sample`.
pub fn samples(trials: &Trials) -> Html {
    let mut out = String::new();
    for variant in trials.variants() {
        let rows = trials.of_variant(variant);
        let mut painted = (rows.into_iter())
            .filter_map(|row| Some((row, row.samples.as_deref().and_then(|p| read(p).ok())?)));
        if let Some((row, png)) = painted.next() {
            let caption = format!("{variant}, seed {}", row.trial.seed);
            out.push_str(&picture(&png, &caption));
        }
    }
    side_by_side(&out)
}

/// `pictures` in a row that wraps; empty without any.
fn side_by_side(pictures: &str) -> Html {
    match pictures.is_empty() {
        true => Html::default(),
        false => Html(format!("<div class=\"pictures\">\n{pictures}</div>\n")),
    }
}

/// A PNG with its caption.
fn picture(png: &[u8], caption: &str) -> String {
    format!(
        "<figure class=\"picture\"><img alt=\"{0}\" src=\"data:image/png;base64,{1}\">\n\
         <figcaption>{0}</figcaption></figure>\n",
        escaped(caption),
        STANDARD.encode(png)
    )
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

/// The bytes of a PNG.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    match bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() as u64 <= LARGEST {
        true => Ok(bytes),
        false => Err("it is not a PNG".into()),
    }
}
