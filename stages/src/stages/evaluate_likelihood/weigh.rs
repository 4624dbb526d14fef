//! Importance weights of the rows of a latent-variable model, any number in bounded memory.

use super::super::train_autoencoder::vae::{Likelihood, Prior, Vae};
use crate::autoencoders::Autoencoder;
use crate::error::Result;
use crate::likelihood::Weights;
use crate::random::Streams;
use burn::tensor::Tensor;

/// Rows per block, which share a random stream.
const ROWS: usize = 64;
/// Pairs of a row and a draw that are decoded at once, for short rows.
const PAIRS: usize = 2048;
/// Maximum number of elements decoded at once: 16 MiB per tensor.
const NUMBERS: usize = 1 << 22;

/// Rows and draws processed at once.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    pub rows: usize,
    /// Draws per row. The figures do not depend on it.
    pub draws: usize,
}

impl Chunk {
    /// For rows of `elements` numbers.
    pub fn of(elements: usize) -> Self {
        let pairs = (NUMBERS / elements).clamp(1, PAIRS);
        let rows = pairs.min(ROWS);
        Self {
            rows,
            draws: pairs / rows,
        }
    }
}

/// The weights of `samples` draws from the posterior of each of `rows` [n, C, H, W]. `progress` receives the number
/// of finished rows. Each row is encoded once, and repeated for the draws of a chunk.
///
/// # Errors
/// As [`Vae::draw`]; errors of `progress`.
pub fn weigh(
    vae: &Vae,
    rows: &Tensor<4>,
    samples: usize,
    chunk: Chunk,
    streams: Streams,
    mut progress: impl FnMut(f64) -> Result<()>,
) -> Result<Vec<Weights>> {
    let [count, ..] = rows.dims();
    let mut weights = vec![Weights::default(); count];
    for (block, start) in (0..count).step_by(chunk.rows).enumerate() {
        let size = chunk.rows.min(count - start);
        // the random numbers of a block are drawn in one order, whatever the chunk size: draw by draw, row by row
        let mut rng = streams.at("importance weights", block as u64);
        let block = rows.clone().narrow(0, start, size);
        let copies = chunk.draws.min(samples);
        let posteriors = vae.posteriors(block.repeat_dim(0, copies));
        for first in (0..samples).step_by(copies) {
            let log_weights = vae.draw(&posteriors, &mut rng)?.log_weights();
            let wanted = copies.min(samples - first);
            for (row, weights) in weights[start..][..size].iter_mut().enumerate() {
                let of_row = log_weights.iter().skip(row).step_by(size).take(wanted);
                weights.add(&of_row.copied().collect::<Vec<_>>());
            }
            let done = start as f64 + size as f64 * (first + wanted) as f64 / samples as f64;
            progress(done)?;
        }
    }
    Ok(weights)
}

/// The NLL in nats of each of `rows` [n, C, H, W] under a VAE of binary pixels with the prior N(0, I), from
/// `samples` weighted draws.
///
/// # Errors
/// A numerical error if a weight is not finite; device errors.
pub fn importance_weighted(
    model: &Autoencoder,
    tokens: usize,
    rows: &Tensor<4>,
    samples: usize,
    streams: Streams,
) -> Result<Vec<f64>> {
    let vae = Vae {
        model,
        likelihood: Likelihood::BERNOULLI,
        tokens,
        prior: Prior::Normal,
        check: &|| Ok(()),
    };
    let [_, channels, height, width] = rows.dims();
    let chunk = Chunk::of(channels * height * width);
    let weights = weigh(&vae, rows, samples, chunk, streams, |_| Ok(()))?;
    Ok(weights.iter().map(Weights::nll).collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::train_autoencoder::evidence::linear_gaussian_nll;
    use super::super::super::train_autoencoder::vae::linear::{
        self, ELEMENTS, SCALE, TOKENS, WIDTH,
    };
    use super::*;
    use crate::numerics::{mean, standard_error};
    use crate::posteriors::{FixedNoise, Gaussian, PosteriorConfig};

    /// Rows of data: one whole chunk and a partial one.
    const ROWS: usize = 80;

    fn rows() -> Tensor<4> {
        linear::rows(ROWS)
    }

    fn vae(model: &Autoencoder) -> Vae<'_> {
        linear::vae(model, Prior::Normal)
    }

    fn weighed(vae: &Vae, samples: usize, chunk: Chunk) -> Vec<Weights> {
        let streams = Streams::new(samples as u64);
        weigh(vae, &rows(), samples, chunk, streams, |_| Ok(())).unwrap()
    }

    fn kinds() -> Vec<PosteriorConfig> {
        let all = PosteriorConfig::examples().into_iter();
        all.filter(|kind| kind.kind().has_density()).collect()
    }

    /// Fails if weights belong to another row, draws are missing or counted twice at the end of a chunk, or p(z),
    /// q(z|x) or ln S is missing.
    #[test]
    fn a_linear_gaussian_model_reaches_its_evidence() {
        // differs from the model's posterior, with a similar width
        let wide = FixedNoise { scale: 1.0 };
        for kind in [
            PosteriorConfig::Gaussian(Gaussian {}),
            PosteriorConfig::FixedNoise(wide),
        ] {
            let model = linear::model(kind.clone());
            let vae = vae(&model);
            let exact = linear_gaussian_nll(&model, TOKENS, WIDTH, SCALE / 2.0, rows()).unwrap();
            let weights = weighed(&vae, 5000, Chunk::of(ELEMENTS));
            let found: Vec<f64> = weights.iter().map(Weights::nll).collect();
            let gap = mean(&found) - mean(&exact);
            assert!(gap.abs() < 0.02, "{}: {gap}", kind.name());
            let elbo: Vec<f64> = weights.iter().map(Weights::elbo).collect();
            assert!(
                mean(&elbo) > mean(&exact) + 0.1,
                "{}: the posterior is too good to tell",
                kind.name()
            );
            // rows with many effective draws are within their standard errors
            let rows = found.iter().zip(&exact).zip(&weights);
            let off: Vec<f64> = rows
                .filter(|(_, row)| row.effective() > 200.0)
                .map(|((found, exact), row)| ((found - exact) / row.error()).powi(2))
                .collect();
            let spread = mean(&off).sqrt();
            assert!(
                off.len() > ROWS / 4 && (0.6..1.4).contains(&spread),
                "{}: {spread} over {} rows",
                kind.name(),
                off.len()
            );
        }
    }

    /// Fails if a chunk restarts its random numbers.
    #[test]
    fn what_is_decoded_at_once_changes_nothing() {
        for kind in kinds() {
            let model = linear::model(kind.clone());
            let vae = vae(&model);
            let of = |draws| weighed(&vae, 45, Chunk { rows: 64, draws });
            let expected = of(1);
            for draws in [7, 45, 64] {
                for (a, b) in of(draws).iter().zip(&expected) {
                    let name = kind.name();
                    assert!((a.nll() - b.nll()).abs() < 1e-4, "{name}, {draws}");
                    assert!((a.elbo() - b.elbo()).abs() < 1e-4, "{name}, {draws}");
                }
            }
        }
    }

    #[test]
    fn one_draw_is_the_negative_elbo_and_more_lie_below() {
        let model = linear::model(PosteriorConfig::Gaussian(Gaussian {}));
        let vae = vae(&model);
        let of = |samples, figure: fn(&Weights) -> f64| -> Vec<f64> {
            let weights = weighed(&vae, samples, Chunk::of(ELEMENTS));
            weights.iter().map(figure).collect()
        };
        let (one, all) = (of(1, Weights::nll), of(4000, Weights::elbo));
        let apart: Vec<f64> = one.iter().zip(&all).map(|(a, b)| a - b).collect();
        let told = mean(&apart) / standard_error(&apart, 1);
        assert!(told.abs() < 3.0, "{told}");
        let nll = [1, 8, 512].map(|samples| mean(&of(samples, Weights::nll)));
        assert!(nll.is_sorted_by(|a, b| a > b), "{nll:?}");
    }

    #[test]
    fn a_chunk_holds_no_more_than_so_many_numbers() {
        for elements in [1, 64, 784, 3 * 256 * 256, 1 << 24] {
            let Chunk { rows, draws } = Chunk::of(elements);
            assert!(rows >= 1 && draws >= 1);
            let pairs = rows * draws;
            assert!(pairs == 1 || pairs * elements <= NUMBERS, "{elements}");
        }
        assert_eq!(Chunk::of(784).rows * Chunk::of(784).draws, PAIRS);
    }
}
