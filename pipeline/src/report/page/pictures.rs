//! Reconstructions and samples as pictures, as the stages painted them.

use super::found::Found;
use super::html::{Html, note};
use crate::report::charts::escaped;
use crate::store::{Manifest, Stage};
use crate::tables::bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// A report holds no larger picture.
const LARGEST: u64 = 800 * 1024;

/// A picture that a stage may have painted.
struct Picture {
    stage: Stage,
    file: &'static str,
    caption: &'static str,
}

const PICTURES: [Picture; 4] = [
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
        file: "samples.png",
        caption: "Samples of the flow, a class a column where it has classes.",
    },
    Picture {
        stage: Stage::EvaluateLatents,
        file: "samples.png",
        caption: "Decoded samples of a flow that was fitted to the latents.",
    },
];

/// Every picture that `found` has.
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
        let path = found.path().join(stage.name()).join(file);
        if record.size > LARGEST {
            let size = bytes(record.size);
            let text = format!(
                "{stage}/{file} ({size}) is too large for this page; open it from the run's folder."
            );
            out.push_str(&note(text).0);
            continue;
        }
        match read(&path) {
            Ok(png) => {
                let _ = write!(
                    out,
                    "<figure class=\"picture\"><img alt=\"{0}\" src=\"data:image/png;base64,{1}\">\n\
                     <figcaption>{0}</figcaption></figure>\n",
                    escaped(caption),
                    STANDARD.encode(png)
                );
            }
            Err(why) => out.push_str(&note(format!("{stage}/{file} is missing: {why}")).0),
        }
    }
    if out.is_empty() {
        return Html::default();
    }
    Html(format!("<div class=\"pictures\">\n{out}</div>\n"))
}

/// The bytes of a PNG.
fn read(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    match bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() as u64 <= LARGEST {
        true => Ok(bytes),
        false => Err("it is not a PNG".into()),
    }
}
