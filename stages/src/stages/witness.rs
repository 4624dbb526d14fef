//! A second likelihood: the exact NLL under the prior of another experiment over the same features.

use super::{FLOW, Made, Read, Stage, Upstream, pretrain_flow};
use crate::data::{PartConfig, Projection, Whiten};
use crate::error::{Error, Result};
use crate::priors::{NllKind, Noise};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Role of that prior.
pub const WITNESS: &str = "witness";

/// The prior of `experiment`, requested by `key`.
pub fn read(experiment: PathBuf, key: &'static str) -> Read {
    Read::own(WITNESS, Stage::PretrainFlow).of(key, Some(experiment))
}

/// Checks that the witness in `made` can score the points of the flow there: the same features and rows,
/// coordinates that follow from the flow's, and an exact NLL.
///
/// # Errors
/// The problem, as the end of a sentence that begins with its experiment's file.
pub fn check(made: &[Made]) -> std::result::Result<(), String> {
    let of = |role: &str| made.iter().find(|made| made.role == role);
    let (Some(flow), Some(witness)) = (of(FLOW), of(WITNESS)) else {
        return Ok(());
    };
    let config = |made: &Made| serde_json::from_value::<pretrain_flow::Config>(made.config.clone());
    let Ok(own) = config(flow) else {
        return Err(
            "cannot be used with an imported flow, whose features are unknown; pretrain the flow here".into(),
        );
    };
    let Ok(other) = config(witness) else {
        return Err(
            "has an imported prior, whose features are unknown; expected one that it pretrains"
                .into(),
        );
    };
    if other.model.kind().nll() != NllKind::Exact {
        return Err(format!(
            "has a prior of `kind: {}`, whose NLL needs an ODE, expected one in closed form, such \
             as `model: {{kind: coupling}}`",
            other.model.name()
        ));
    }
    same_features((flow, &own), (witness, &other))?;
    same_parts((flow, &own), (witness, &other))?;
    same_tokens(&own, &other)?;
    same_noise(&own, &other)?;
    following_coordinates(&own, &other)?;
    match &other.condition {
        Some(condition) if condition.dropout == 0.0 => Err(
            "has a prior that is conditioned without dropout and never learnt the density without a condition, which \
             latents are scored under; expected none, or pretrain_flow.condition.dropout above 0"
                .into(),
        ),
        _ => Ok(()),
    }
}

/// Whether something holds of the flow's and the witness's configurations, or why not.
type Same = std::result::Result<(), String>;

fn same_tokens(own: &pretrain_flow::Config, other: &pretrain_flow::Config) -> Same {
    let patches = [own, other].map(|config| match config.rows {
        pretrain_flow::Rows::Patches(side) => Some(side),
        _ => None,
    });
    match patches[0] == patches[1] {
        true => Ok(()),
        false => Err(format!(
            "cuts features by pretrain_flow.rows: {:?}, expected {:?} as here: the normalisation \
             applies to tokens, which must be the same",
            other.rows, own.rows
        )),
    }
}

fn same_noise(own: &pretrain_flow::Config, other: &pretrain_flow::Config) -> Same {
    if own.noise != other.noise {
        let told = |config: &pretrain_flow::Config| config.noise.map_or("none".to_owned(), as_json);
        return Err(format!(
            "adds pretrain_flow.noise {} to features, expected {} as here: noisy features have another density; give \
             both the same",
            told(other),
            told(own)
        ));
    }
    if matches!(own.noise, Some(Noise::Gaussian { .. })) && own.normalisation != other.normalisation
    {
        return Err(
            "has another pretrain_flow.normalisation, in whose coordinates the Gaussian pretrain_flow.noise is drawn: \
             noisy features have another density there; give both the same"
                .into(),
        );
    }
    Ok(())
}

/// Whether the witness's points can be computed from the flow's.
fn following_coordinates(own: &pretrain_flow::Config, other: &pretrain_flow::Config) -> Same {
    let [a, b] = [own, other].map(|config| &config.normalisation);
    let scales = [a, b].map(|n| [Whiten::None, Whiten::Global].contains(&n.whiten));
    let follows = match (a.projection, b.projection) {
        (Projection::None, Projection::None) => true,
        (own, other) => own == other && (a.whiten == b.whiten || scales == [true; 2]),
    };
    match follows {
        true => Ok(()),
        false => Err(format!(
            "has pretrain_flow.normalisation {}, whose points cannot be computed from those of \
             the flow here, expected {}: a projection is not invertible; give both the same",
            as_json(b),
            as_json(a)
        )),
    }
}

fn as_json(value: impl Serialize) -> String {
    serde_json::to_string(&value).unwrap_or_else(|e| e.to_string())
}

/// A stage's artifact and its configuration.
type Fitted<'a> = (&'a Made, &'a pretrain_flow::Config);

/// Source of a prior's features.
#[derive(PartialEq)]
struct Source<'a> {
    /// The digests of their files, if no stage made them.
    files: Vec<&'a str>,
    /// The fingerprint of their artifact, and the name of the file in it.
    artifact: Option<(&'a str, &'a Path)>,
    dataset: &'a str,
}

impl<'a> Source<'a> {
    fn of((made, config): Fitted<'a>) -> Self {
        let files = made
            .inputs
            .iter()
            .filter(|(key, _)| key.starts_with("features.file"));
        let artifact = made.upstream.first();
        Self {
            files: files.map(|(_, digest)| digest.as_str()).collect(),
            artifact: artifact.map(|(_, made)| (made.as_str(), config.features.file.first())),
            dataset: &config.features.dataset,
        }
    }

    fn told(&self) -> String {
        let home = match (self.artifact, self.files.as_slice()) {
            (Some((made, file)), _) => format!("{} of the artifact {made}", file.display()),
            (_, [digest]) => format!("a file of digest {}", digest.get(..12).unwrap_or(digest)),
            (_, []) => "no file".to_owned(),
            (_, several) => {
                let digests: Vec<&str> = several.iter().map(|d| d.get(..12).unwrap_or(d)).collect();
                format!("files of digests {}", digests.join(", "))
            }
        };
        format!("`{}` in {home}", self.dataset)
    }
}

fn same_features(flow: Fitted, witness: Fitted) -> std::result::Result<(), String> {
    let [expected, found] = [flow, witness].map(Source::of);
    if found != expected {
        return Err(format!(
            "has a prior of other features: found {}, expected {}, the features of the flow here",
            found.told(),
            expected.told()
        ));
    }
    match flow.1.features.non_finite == witness.1.features.non_finite {
        true => Ok(()),
        false => Err(
            "leaves out other rows of the features: expected pretrain_flow.features.non_finite of the flow here; give \
             both the same"
                .into(),
        ),
    }
}

/// A witness must not be trained on rows that the flow holds out.
fn same_parts((flow, own): Fitted, (witness, other): Fitted) -> std::result::Result<(), String> {
    if flow.seed != witness.seed {
        return Err(format!(
            "has a prior of seed {}, expected {}, that of the flow here: the seed determines the \
             parts of the features, and projections",
            witness.seed, flow.seed
        ));
    }
    for (key, own, other) in [
        ("held_out", &own.held_out, &other.held_out),
        ("test", &own.test, &other.test),
    ] {
        let rows = |part: &PartConfig| {
            let PartConfig {
                fraction,
                dataset,
                indices,
                ..
            } = part.clone();
            (fraction, dataset, indices)
        };
        let digest = |made: &Made| {
            let wanted = format!("{key}.file");
            let found = made.inputs.iter().find(|(key, _)| *key == wanted);
            found.map(|(_, digest)| digest.clone())
        };
        if rows(own) != rows(other) || digest(flow) != digest(witness) {
            return Err(format!(
                "keeps other rows as its pretrain_flow.{key}, expected those of the flow here: it \
                 may have been trained on rows it has to judge; give both the same"
            ));
        }
    }
    Ok(())
}

/// Numbers per point of the witness requested by `key`; None if this is not known yet.
///
/// # Errors
/// An input error if neither the flow's nor the witness's number divides the other.
pub fn elements(upstream: &Upstream, key: &str) -> Result<Option<usize>> {
    let (Some(flow), Some(witness)) = (upstream.points(FLOW)?, upstream.points(WITNESS)?) else {
        return Ok(None);
    };
    let [own, others] = [flow.elements(), witness.elements()];
    if !own.max(others).is_multiple_of(own.min(others)) {
        return Err(Error::input(format!(
            "{key}: found points of {others} numbers, expected a multiple or a divisor of {own}, the numbers of a point \
             of the flow"
        )));
    }
    Ok(Some(others))
}

/// The directory of the witness, if there is one.
pub fn dir(upstream: &Upstream) -> Option<&Path> {
    upstream.dir_if_any(WITNESS)
}
