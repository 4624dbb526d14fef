//! Alignment with features of the same rows.

use super::kind::{Encoded, Given, Regulariser, RegulariserKind, check_weight};
use crate::classifiers::LabelledFeatures;
use crate::data::{Moments, NormalisationConfig, Normaliser, Part, Projection, Whiten};
use crate::error::{Error, Result};
use crate::priors::PointShape;
use crate::problems::Problems;
use crate::tensors::from_f32;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Explicit feature alignment: a distance between each latent and a classifier's features of the same row of data,
/// projected onto as many principal components of the training rows as a token has numbers, with a mean square of 1.
/// Unit: none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Features {
    /// Weight of the term (without unit).
    pub weight: f64,
    /// The distance.
    pub loss: FeatureLoss,
    /// The token to align, from 0; by default the mean of all tokens.
    pub token: Option<usize>,
    /// The file of another experiment, relative to this one, whose classifier gives the features; by default that of
    /// this experiment.
    pub classifier: Option<PathBuf>,
}

/// A distance between a latent and a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureLoss {
    /// 1 minus the cosine of their angle (Yu et al. 2024, arXiv 2410.06940): the length of latents is free.
    #[default]
    Cosine,
    /// Half the square of a difference up to 1, and its absolute value minus a half beyond; mean over elements.
    SmoothL1,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            weight: 0.01,
            loss: FeatureLoss::default(),
            token: None,
            classifier: None,
        }
    }
}

impl RegulariserKind for Features {
    fn check(&self, problems: &mut Problems) {
        check_weight(self.weight, problems);
    }

    fn check_latents(&self, latent: PointShape, problems: &mut Problems) {
        if let Some(token) = self.token {
            problems.require(
                token < latent.tokens,
                "token",
                token,
                &format!(
                    "one of the latent's {} tokens, counted from 0",
                    latent.tokens
                ),
            );
        }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn needs_rows(&self) -> bool {
        true
    }

    fn follows_flow(&self) -> bool {
        false
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        let features = given.of_rows.ok_or_else(|| {
            Error::input(
                "train_autoencoder.regulariser.kind: found `features` without a classifier, expected one that has been \
                 trained on the same data",
            )
        })?;
        Ok(Some(Box::new(Aligned {
            components: Components::of(features, given.latent.width)?,
            features,
            latent: given.latent,
            config: self,
        })))
    }
}

/// Principal components of features, with a mean square of 1 over the training rows.
struct Components {
    normaliser: Normaliser,
    scale: f32,
}

impl Components {
    /// The first `width` of `features`.
    ///
    /// # Errors
    /// An input error for features with fewer numbers, or without variance.
    fn of(features: &LabelledFeatures, width: usize) -> Result<Self> {
        let found = features.width();
        if found < width {
            return Err(Error::input(format!(
                "train_autoencoder.regulariser.kind: found `features` of {found} numbers, those of the classifier, expected \
             at least {width}, the numbers of a token; raise train_classifier.features"
            )));
        }
        let of_row = features.values().chunks(found).zip(features.parts());
        let trained = of_row.filter(|(_, part)| *part == Part::Train);
        let rows: Vec<f32> = trained.flat_map(|(row, _)| row).copied().collect();
        let config = NormalisationConfig {
            whiten: Whiten::None,
            projection: Projection::Pca { width },
            ..NormalisationConfig::default()
        };
        let normaliser = Normaliser::fit(&config, &Moments::of_rows(&rows, found, true), 0)?;
        let projected = normaliser.apply(&rows);
        let squares: f64 = projected.iter().map(|x| f64::from(*x).powi(2)).sum();
        Ok(Self {
            normaliser,
            scale: (projected.len() as f64 / squares).sqrt() as f32,
        })
    }

    /// The components of `rows` of features, row-major.
    fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let projected = self.normaliser.apply(rows);
        projected.iter().map(|x| x * self.scale).collect()
    }
}

struct Aligned<'a> {
    components: Components,
    features: &'a LabelledFeatures,
    latent: PointShape,
    config: &'a Features,
}

impl Regulariser for Aligned<'_> {
    fn term(&self, encoded: Encoded, _: &mut Pcg64) -> Result<Tensor<1>> {
        let items: Vec<i64> = encoded.items.iter().map(|&item| item as i64).collect();
        let features = self.components.apply(&self.features.features_of(&items)?);
        let PointShape { tokens, width } = self.latent;
        let latents = encoded.drawn.latents.clone();
        let latents = latents.reshape([items.len(), tokens, width]);
        let latents = match self.config.token {
            Some(token) => latents.narrow(1, token, 1),
            None => latents.mean_dim(1),
        };
        let latents: Tensor<2> = latents.reshape([items.len(), width]);
        let features = from_f32(features, latents.dims(), &latents.device()).cast(latents.dtype());
        Ok(match self.config.loss {
            FeatureLoss::Cosine => cosine_distance(latents, features),
            FeatureLoss::SmoothL1 => smooth_l1(latents, features),
        })
    }
}

/// Added to a product of squared lengths: a latent of zero has no direction.
const SHORT: f64 = 1e-12;

/// The mean `[1]` over rows of 1 minus the cosine of the angle between `x` and `y` [n, w].
fn cosine_distance(x: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
    let dot = |a: &Tensor<2>, b: &Tensor<2>| (a.clone() * b.clone()).sum_dim(1);
    let lengths = (dot(&x, &x) * dot(&y, &y) + SHORT).sqrt();
    (dot(&x, &y) / lengths).mean().neg() + 1.0
}

/// The mean `[1]` over elements of `e^2 / 2` for differences `|e| < 1`, and of `|e| - 1/2` for others.
fn smooth_l1(x: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
    let distance = (x - y).abs();
    let near = distance.clone().clamp_max(1.0);
    (near.clone().square().mul_scalar(0.5) + distance - near).mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::{from_f64, scalar, to_f32};
    use burn::tensor::{DType, Device};

    fn rows(values: &[f64], width: usize) -> Tensor<2> {
        let shape = [values.len() / width, width];
        from_f64(values.to_vec(), shape, DType::F64, &Device::flex())
    }

    /// Fails if rows are averaged before their cosine, a length counts, or the two branches do not meet.
    #[test]
    fn distances_are_those_by_hand() {
        // angles of 90, 0 and 180 degrees
        let (x, y) = (
            rows(&[1.0, 0.0, 3.0, 4.0, 0.5, 0.0], 2),
            rows(&[0.0, 2.0, 6.0, 8.0, -7.0, 0.0], 2),
        );
        let found = scalar(cosine_distance(x, y)).unwrap();
        assert!((found - 1.0).abs() < 1e-9, "{found}");
        let near = cosine_distance(rows(&[3.0, 4.0], 2), rows(&[4.0, 3.0], 2));
        assert!((scalar(near).unwrap() - (1.0 - 24.0 / 25.0)).abs() < 1e-9);
        let found = smooth_l1(rows(&[0.5, -3.0, 1.0], 1), rows(&[0.0, 1.0, 0.0], 1));
        let expected = (0.125 + 3.5 + 0.5) / 3.0;
        assert!((scalar(found).unwrap() - expected).abs() < 1e-9);
    }

    /// Fails if rows that were not trained on count, or the scale is that of the features.
    #[test]
    fn features_become_components_of_unit_scale() {
        let dir = tempfile::tempdir().unwrap();
        // the second number varies most; a test row is far away
        let values: Vec<[f32; 3]> = (0..40)
            .map(|i| [i as f32 * 0.01, if i % 2 == 0 { 50.0 } else { -30.0 }, 1.0])
            .chain([[1e6, 1e6, 1e6]])
            .collect();
        let part = |i: usize| if i < 40 { Part::Train } else { Part::Test };
        let rows = (values.iter().enumerate()).map(|(i, row)| (i, 0, part(i), &row[..]));
        LabelledFeatures::write(rows.collect(), 3, dir.path()).unwrap();
        let features = LabelledFeatures::load(dir.path()).unwrap();
        let components = Components::of(&features, 1).unwrap();
        let found = components.apply(&features.features_of(&[0, 1]).unwrap());
        assert!(
            (found[0].abs() - 1.0).abs() < 1e-3 && (found[0] + found[1]).abs() < 1e-3,
            "{found:?}"
        );
        let told = Components::of(&features, 4)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(told.contains("found `features` of 3 numbers"), "{told}");
    }

    #[test]
    fn a_latent_of_zero_has_a_finite_gradient() {
        let device = Device::flex().autodiff();
        let zero = from_f32::<2>(vec![0.0, 0.0], [1, 2], &device).require_grad();
        let feature = from_f32(vec![1.0, 2.0], [1, 2], &device);
        let gradients = cosine_distance(zero.clone(), feature).backward();
        let gradient = to_f32(zero.grad(&gradients).unwrap()).unwrap();
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }
}
