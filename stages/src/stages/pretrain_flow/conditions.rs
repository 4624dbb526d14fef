//! Conditions of a flow: a dataset beside the features, with one row per item.

use crate::classifiers::Labels;
use crate::data::{Ingest, PartConfig, dataset_shape, read_beside};
use crate::error::{Error, Result};
use crate::priors::{ConditionKind, Conditions, ModelConfig};
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The condition of the flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionConfig {
    /// The dataset in the features' file: class labels `[N]`, integers from 0 without gaps, or embeddings
    /// [N, c].
    pub dataset: String,
    /// Probability that a condition is replaced by "none" in training, so that the flow learns the
    /// density without a condition, under which latents are regularised and scored.
    #[serde(default = "default_dropout")]
    pub dropout: f64,
    /// Classifier-free guidance of the final samples: 1 for the conditional density, more for samples
    /// that are more typical of their condition and less varied.
    #[serde(default = "default_guidance")]
    pub guidance: f64,
}

fn default_dropout() -> f64 {
    0.1
}

fn default_guidance() -> f64 {
    1.0
}

impl ConditionConfig {
    /// Reports every value out of range.
    fn check(&self, problems: &mut Problems) {
        problems.share("dropout", self.dropout, "0.1");
        problems.not_negative("guidance", self.guidance, "1.0");
        let learnt = self.guidance == 1.0 || self.dropout > 0.0;
        problems.require(
            learnt,
            "guidance",
            format!("{} with `dropout: 0`", self.guidance),
            "1, or a dropout such as 0.1, so that the flow learns the density that guidance moves away from",
        );
    }

    /// Reports, under `condition`, every value out of range and what `model` does not support.
    pub fn check_under(&self, model: &ModelConfig, problems: &mut Problems) {
        problems.section("condition", |p| self.check(p));
        let (kind, name) = (model.kind(), model.name());
        problems.require(
            kind.conditional(),
            "condition",
            format!("a condition with `model: {{kind: {name}}}`"),
            "none (remove `condition`), or a kind that takes one: `flow_matching`, `coupling`, `tarflow` or `starflow`",
        );
        problems.require(
            self.guidance == 1.0 || kind.ways().guided,
            "condition.guidance",
            format!("{} with `model: {{kind: {name}}}`", self.guidance),
            "1, or a kind that has guidance: `flow_matching`, `tarflow` or `starflow`",
        );
    }
}

/// The conditions of all items, and their kind.
#[derive(Debug, Clone)]
pub struct OfItems {
    /// Labels or embeddings, with their size.
    pub kind: ConditionKind,
    /// One per item, numbered consecutively over separate parts.
    all: Conditions,
}

impl OfItems {
    /// Reads the conditions of the items of `ingest`; `parts` are the configurations of its held-out and
    /// test parts.
    ///
    /// # Errors
    /// File errors; an input error for a dataset of another shape, or labels with gaps.
    pub fn read(
        config: &ConditionConfig,
        ingest: &Ingest,
        parts: [&PartConfig; 2],
    ) -> Result<Self> {
        let given = parts.into_iter().filter(|part| part.dataset.is_some());
        let names = given.map(|part| part.labels.as_deref().unwrap_or(&config.dataset));
        let names = [config.dataset.as_str()].into_iter().chain(names);
        let sources: Vec<_> = ingest.datasets().iter().zip(names).collect();
        let (first, name) = sources[0];
        let shape = dataset_shape(first.path(), name)?;
        if shape.len() < 2 {
            let labels = Labels::read(&sources)?;
            let items: usize = sources.iter().map(|(data, _)| data.items()).sum();
            let classes = labels.classes();
            return Ok(Self {
                kind: ConditionKind::Labels { classes },
                all: Conditions::Labels((0..items).map(|i| labels.of(i) as u32).collect()),
            });
        }
        let width = shape[1];
        let mut values = Vec::new();
        for (data, name) in sources {
            let (shape, read) = read_beside(data, name)?;
            let expected = [data.items(), width];
            if shape != expected || read.iter().any(|v| !v.is_finite()) {
                let found = match shape == expected {
                    true => "NaN or an infinity".to_owned(),
                    false => format!("shape {shape:?}"),
                };
                return Err(Error::input(format!(
                    "`{name}` in {}: found {found}, expected a label {:?} or a finite embedding {expected:?} \
                     for each item of {}; set pretrain_flow.condition.dataset to such a dataset",
                    data.path().display(),
                    [data.items()],
                    data.name(),
                )));
            }
            values.extend(read);
        }
        Ok(Self {
            kind: ConditionKind::Embedding { width },
            all: Conditions::Embeddings { values, width },
        })
    }

    /// The conditions of `items`, in that order.
    pub fn of(&self, items: impl IntoIterator<Item = usize>) -> Conditions {
        self.all.select(items)
    }
}
