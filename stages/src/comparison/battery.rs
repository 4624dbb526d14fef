//! All two-sample tests of the same points, sharing the pairwise distances.

use super::classifier::{ClassifierTest, classifier_test};
use super::energy::{EnergyTest, energy_test_of};
use super::kernel::{KernelTest, kernel_test};
use super::neighbours::{NeighbourTest, neighbour_test};
use super::relabelling::{Pairs, euclidean};
use crate::error::Result;
use crate::random::Streams;

/// Default number of permutations per p-value.
pub const PERMUTATIONS: usize = 199;

/// Results of the two-sample tests.
#[derive(Debug, Clone, PartialEq)]
pub struct Battery {
    /// Rows per sample.
    pub points: usize,
    pub energy: EnergyTest,
    pub kernel: KernelTest,
    pub neighbours: NeighbourTest,
    /// None for few rows.
    pub classifier: Option<ClassifierTest>,
}

/// All tests of `first` [n, d] against `second` [n, d], with n at most a few thousand and every `group` rows of
/// each forming a group; p-values from `permutations` permutations.
///
/// # Errors
/// As [`classifier_test`].
pub fn battery(
    first: &[f32],
    second: &[f32],
    width: usize,
    group: usize,
    permutations: usize,
    streams: Streams,
) -> Result<Battery> {
    let distances = Pairs::new(first, second, width, group, euclidean);
    Ok(Battery {
        points: first.len() / width,
        energy: energy_test_of(&distances, permutations, streams),
        kernel: kernel_test(&distances, permutations, streams),
        neighbours: neighbour_test(&distances, permutations, streams),
        classifier: classifier_test(first, second, width, group, streams)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt as _;
    use rand_distr::StandardNormal;
    use rand_pcg::Pcg64;

    /// Width of a point.
    const WIDTH: usize = 16;
    /// Coordinate of the modes, which are the corners of a cube in three dimensions.
    const CORNER: f32 = 2.0;

    /// Change of a sample of the target.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Done {
        Nothing,
        /// By 15 degrees in the plane of the first two dimensions.
        Rotated,
        /// By 5 % in every dimension.
        Shrunk,
        /// One of eight modes is missing.
        Dropped,
    }

    /// `count` points of a mixture of eight Gaussians, with standard deviations from 1 down to 0.3 over the
    /// dimensions, changed as `done`.
    fn sample(count: usize, done: Done, rng: &mut Pcg64) -> Vec<f32> {
        let (sine, cosine) = 15f32.to_radians().sin_cos();
        (0..count)
            .flat_map(|_| {
                let least = usize::from(done == Done::Dropped);
                let mode = rng.random_range(least..8);
                let mut point: Vec<f32> = (0..WIDTH)
                    .map(|i| {
                        let noise: f32 = rng.sample(StandardNormal);
                        let deviation = 1.0 - 0.7 * i as f32 / (WIDTH - 1) as f32;
                        let centre = match (i < 3, mode >> i.min(3) & 1) {
                            (false, _) => 0.0,
                            (true, 0) => -CORNER,
                            (true, _) => CORNER,
                        };
                        centre + deviation * noise
                    })
                    .collect();
                match done {
                    Done::Rotated => {
                        let (x, y) = (point[0], point[1]);
                        (point[0], point[1]) = (cosine * x - sine * y, sine * x + cosine * y);
                    }
                    Done::Shrunk => point.iter_mut().for_each(|x| *x *= 0.95),
                    Done::Nothing | Done::Dropped => {}
                }
                point
            })
            .collect()
    }

    /// Number of rejections at level 5 %.
    #[derive(Debug, Default)]
    struct Rejected {
        energy: usize,
        kernel: usize,
        neighbours: usize,
        spread: usize,
        classifier: usize,
        /// 95 % intervals of the accuracy that do not contain 0.5.
        missed: usize,
    }

    fn rejected(done: Done, points: usize, repetitions: u64) -> Rejected {
        let mut rejected = Rejected::default();
        for repetition in 0..repetitions {
            let streams = Streams::new(repetition);
            let first = sample(points, done, &mut streams.at("first sample", 0));
            let second = sample(points, Done::Nothing, &mut streams.at("second sample", 0));
            let found = battery(&first, &second, WIDTH, 1, PERMUTATIONS, streams).unwrap();
            let told = found.classifier.unwrap();
            let errors = (told.accuracy - 0.5) / told.error;
            rejected.energy += usize::from(found.energy.p_value <= 0.05);
            rejected.kernel += usize::from(found.kernel.p_value <= 0.05);
            rejected.neighbours += usize::from(found.neighbours.p_value <= 0.05);
            rejected.spread += usize::from(found.energy.spread.p_value <= 0.05);
            rejected.classifier += usize::from(errors > 1.645);
            rejected.missed += usize::from(errors.abs() > 1.96);
        }
        rejected
    }

    /// Points per sample, and repetitions, of `make check-two-samples`.
    const FULL: [usize; 2] = [1000, 200];

    /// Sizes of this test.
    fn sizes() -> [usize; 2] {
        match std::env::var_os("LATENT_ALIGN_FULL") {
            Some(_) => FULL,
            None => [200, 20],
        }
    }

    /// Test results for a sample changed as `done`: a row of the table of `make check-two-samples`.
    fn row(done: Done, [points, repetitions]: [usize; 2]) -> Rejected {
        let found = rejected(done, points, repetitions as u64);
        let share = |times: usize| format!("{:.1} %", 100.0 * times as f64 / repetitions as f64);
        println!(
            "| {done:?} | {points} points, {repetitions} repetitions | {} | {} | {} | {} | {} | {} |",
            share(found.energy),
            share(found.kernel),
            share(found.neighbours),
            share(found.spread),
            share(found.classifier),
            share(found.missed)
        );
        found
    }

    /// Fails if a p-value is not calibrated, or the error of the accuracy is too small.
    #[test]
    fn fresh_samples_are_rejected_as_often_as_the_level_says() {
        let [points, repetitions] = sizes();
        let Rejected {
            energy,
            kernel,
            neighbours,
            spread,
            classifier,
            missed,
        } = row(Done::Nothing, [points, repetitions]);
        let most = match repetitions {
            200 => 18, // 9 %
            _ => 4,    // exceeded in 0.3 % of the draws
        };
        for times in [energy, kernel, neighbours, spread, classifier, missed] {
            assert!(times <= most, "{times} of {repetitions}");
        }
    }

    /// Fails if a test has no power: all find an eighth of the mass missing.
    #[test]
    fn a_dropped_mode_is_found() {
        let [points, repetitions] = sizes();
        let found = row(Done::Dropped, [points, repetitions]);
        // a quarter of the samples: probability 1 in 3,000 if nothing was dropped
        for times in [found.energy, found.kernel] {
            assert!(times > repetitions / 4, "{found:?}");
        }
    }

    /// Fails without the nearest-neighbour test: the energy test detects 15 degrees no more often than no change.
    #[test]
    #[ignore = "in full size alone: make check-two-samples"]
    fn a_rotation_is_found() {
        let found = row(Done::Rotated, FULL);
        assert!(found.neighbours > FULL[1] / 2, "{found:?}");
    }

    /// Fails without the test of the spread: the others detect 5 % in at most a fifth of the samples.
    #[test]
    #[ignore = "in full size alone: make check-two-samples"]
    fn a_shrinkage_is_found() {
        let found = row(Done::Shrunk, FULL);
        assert!(found.spread > FULL[1] * 9 / 10, "{found:?}");
    }
}
