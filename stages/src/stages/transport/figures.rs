//! Figures of the map and of the transported latents.

use super::moved::{All, Carry};
use crate::autoencoders::Autoencoder;
use crate::comparison::PERMUTATIONS;
use crate::context::Summary;
use crate::data::read_dataset_f32;
use crate::error::Result;
use crate::figures::{error_beside, filled, of_rows, transport as names, two_samples};
use crate::priors::{SampleOptions, Steps, Way};
use crate::stages::train_autoencoder::{Diagnosed, Prior, alone, diagnose, thin};
use crate::stages::two_samples::{Compared, TESTED, whole_rows};
use crate::tensors::{from_f32, spread, to_f32};
use crate::transport::Transport;
use burn::tensor::Tensor;
use std::path::Path;

/// Rows decoded at once.
const CHUNK: usize = 512;
/// Round-trip error from which a warning is given.
const ROUND_TRIP: f64 = 1e-4;
/// Significance level for errors of the map's halves.
const LEVEL: f64 = 0.01;

/// Cost and accuracy of the map.
pub fn of_way(all: &All, carry: &Carry, summary: &mut Summary) {
    let rows = all.rows as f64;
    let mut shown = 0.0;
    for of in &all.unseen {
        let (mean, worst) = round_trip(&of.before.values, &of.back, carry.latents.width());
        summary.add(of_rows(of.part.word(), names::ROUND_TRIP), mean);
        summary.add(of_rows(of.part.word(), names::WORST_ROUND_TRIP), worst);
        shown = mean;
    }
    // also warns for NaN
    if shown.is_nan() || shown >= ROUND_TRIP {
        carry.context.monitor.warn(&format!(
            "latents are off by {shown:.1e} of their spread after a round trip, expected less \
             than {ROUND_TRIP:.0e}: lower transport.tolerance"
        ));
    }
    let [own, target] = all.evaluations;
    summary.add(names::OWN_EVALUATIONS, own as f64 / rows);
    summary.add(names::TARGET_EVALUATIONS, target as f64 / rows);
    summary.add(names::SECONDS, all.seconds / rows);
}

/// The root mean square of `back - before` [n, width] relative to the spread of `before` about its mean: over all
/// rows, and for the worst one.
fn round_trip(before: &[f32], back: &[f32], width: usize) -> (f64, f64) {
    let rows = (before.len() / width) as f64;
    let mut mean = vec![0.0; width];
    for row in before.chunks(width) {
        let sums = mean.iter_mut().zip(row);
        sums.for_each(|(mean, &x)| *mean += f64::from(x) / rows);
    }
    let square = |of: &dyn Fn(usize, usize) -> f64, row: usize| -> f64 {
        (0..width).map(|column| of(row, column).powi(2)).sum()
    };
    let at = |of: &[f32], row: usize, column: usize| f64::from(of[row * width + column]);
    let spread = |row, column| at(before, row, column) - mean[column];
    let error = |row, column| at(back, row, column) - at(before, row, column);
    let count = before.len() / width;
    let spread = (0..count).map(|row| square(&spread, row)).sum::<f64>() / rows;
    let errors: Vec<f64> = (0..count).map(|row| square(&error, row)).collect();
    let worst = errors.iter().copied().fold(0.0, f64::max);
    let mean = errors.iter().sum::<f64>() / rows;
    ((mean / spread).sqrt(), (worst / spread).sqrt())
}

/// Loss of reconstructions by a round trip: for the rows stored with their reconstructions by the autoencoder in
/// the directory `dir`, and for all rows of the shown part.
pub fn of_reconstructions(
    all: &All,
    carry: &Carry,
    dir: &Path,
    summary: &mut Summary,
) -> Result<()> {
    let device = &carry.context.device;
    let (autoencoder, about) = Autoencoder::load(dir, device)?;
    let (tokens, width) = (about.latent.tokens, about.latent.width);
    let decode = |latents: &[f32]| -> Result<Vec<f32>> {
        let mut data = Vec::new();
        for rows in latents.chunks(CHUNK * tokens * width) {
            carry.context.check_cancelled()?;
            let rows = from_f32(rows.to_vec(), [rows.len() / width, width], device);
            data.extend(to_f32(about.reconstruction.data(autoencoder.decode(rows)))?);
        }
        Ok(data)
    };
    let (shape, originals) = read_dataset_f32(&dir.join("reconstructions.h5"), "originals")?;
    let dims = [
        originals.len() / about.shape.elements(),
        about.shape.channels,
        about.shape.height,
        about.shape.width,
    ];
    let images: Tensor<4> = from_f32(originals.clone(), dims, device);
    let latents = to_f32(autoencoder.encode(images).centre())?;
    let there = carry.told("kept rows", &latents, Transport::there)?.values;
    let back = carry
        .told("kept rows, back", &there, Transport::back)?
        .values;
    let own = mean_square(&originals, &decode(&latents)?);
    let after = mean_square(&originals, &decode(&back)?);
    let count = shape[0];
    summary.add(filled(names::ERROR, &[&count]), own);
    summary.add(filled(names::ERROR_AFTER, &[&count]), after);
    summary.add(names::ERROR_CHANGE, 100.0 * (after / own - 1.0));
    let shown = all.shown();
    let change = mean_square(&decode(&shown.before.values)?, &decode(&shown.back)?);
    summary.add(of_rows(shown.part.word(), names::DECODED_CHANGE), change);
    Ok(())
}

/// The mean of `(a - b)^2`.
fn mean_square(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>() / a.len() as f64
}

/// The figures of `train-autoencoder`, for transported latents.
pub fn of_latents(all: &All, carry: &Carry, target: &Prior, summary: &mut Summary) -> Result<()> {
    let shown = all.shown().part;
    for of in &all.unseen {
        let latents = Diagnosed {
            values: &of.after.values,
            means: of.after.means.as_deref(),
            tokens: carry.latents.tokens,
            part: Some(of.part),
            against: of.part,
            shown: of.part == shown,
            spread: None,
        };
        diagnose(&latents, target, summary, carry.context)?;
    }
    Ok(())
}

/// Checks each half of the map: the noise of latents against fresh noise, and samples of the target's flow against
/// its features, which limit the result.
pub fn of_halves(all: &All, carry: &Carry, target: &Prior, summary: &mut Summary) -> Result<()> {
    let (shown, context) = (all.shown(), carry.context);
    let width = carry.latents.width();
    let noise = spread(&shown.noise, width, TESTED);
    if noise.len() < 2 * width {
        return floor(all, carry, target, summary);
    }
    let fresh = context.streams.normal("fresh noise", 0, noise.len());
    let halves = Compared {
        what: "",
        points: noise,
        features: fresh,
        width,
        group: 1,
    };
    let name = |name: &str| of_rows(shown.part.word(), name);
    let found = halves.battery(PERMUTATIONS, context.streams)?;
    if let Some(told) = &found.classifier {
        let accuracy = name(names::NOISE_ACCURACY);
        let error = error_beside(&accuracy);
        summary.add(accuracy, told.accuracy);
        summary.add(error, told.error);
    }
    for (text, value) in [
        (names::NOISE_DISTANCE, found.energy.unbiased),
        (names::NOISE_DISTANCE_NULL, found.energy.null[1]),
        (names::NOISE_ENERGY_P, found.energy.p_value),
        (names::NOISE_KERNEL_P, found.kernel.p_value),
        (names::NOISE_NEIGHBOURS_P, found.neighbours.p_value),
        (names::NOISE_COUNT, found.points as f64),
    ] {
        summary.add(name(text), value);
    }
    let p_values = [
        found.energy.p_value,
        found.kernel.p_value,
        found.neighbours.p_value,
    ];
    let p_value = p_values.into_iter().fold(1.0, f64::min);
    if p_value <= LEVEL {
        context.monitor.warn(&format!(
            "the noise of {} latents can be told from fresh noise (p-value {p_value}): the flow \
             of the latents is undertrained, or overfitted if its held-out loss exceeds that of \
             training: raise transport.steps in the first case; use more data, fewer steps, or \
             transport.noise in the second",
            shown.part.word()
        ));
    }
    floor(all, carry, target, summary)
}

/// Compares samples of the target's flow, grouped like the tokens of latents, with its features.
fn floor(all: &All, carry: &Carry, target: &Prior, summary: &mut Summary) -> Result<()> {
    let (part, context) = (all.shown().part, carry.context);
    let Some(kept) = target.features(part) else {
        return Ok(()); // an imported flow has none
    };
    let (tokens, width) = (carry.latents.tokens, carry.latents.token_width);
    let prior = target.flow.prior.as_ref();
    let rows = TESTED.min(all.shown().after.items.len());
    let options = SampleOptions {
        streams: context.streams,
        temperature: 1.0,
        way: Way::by(Steps::Adaptive(carry.transport.tolerance())),
    };
    let count = rows * tokens / prior.shape().tokens;
    let samples = prior.sample(count, None, &options, &mut |_| context.check_cancelled())?;
    let samples = to_f32(samples.points)?;
    let at_most = TESTED.min(kept.items.len());
    let thinned = thin(&samples, tokens, width, at_most, context.streams);
    let single = alone(thinned, kept, two_samples::SAMPLES);
    let sequences = target.sequences();
    let whole = whole_rows(&samples, tokens, kept, sequences, context.streams);
    let whole = whole.map(|whole| Compared {
        what: two_samples::WHOLE_SAMPLES,
        ..whole
    });
    let name = |name: &str| of_rows(part.word(), name);
    for compared in [Some(single), whole].into_iter().flatten() {
        let found = compared.battery(PERMUTATIONS, context.streams)?;
        compared.add_battery(&found, name, summary);
    }
    Ok(())
}
