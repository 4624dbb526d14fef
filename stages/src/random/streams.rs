//! Random numbers as a function of (seed, stage, stream, step), independent of earlier draws: a resumed
//! run draws the same numbers as an uninterrupted one.

use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

/// The random streams of one stage.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    seed: u64,
    stage: &'static str,
}

impl Streams {
    /// Streams without a stage.
    pub fn new(seed: u64) -> Self {
        Self::of_stage("", seed)
    }

    /// The streams of `stage` run with `seed`.
    pub fn of_stage(stage: &'static str, seed: u64) -> Self {
        Self { seed, stage }
    }

    /// The seed, which keys shuffles and splits of data independently of the stage.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The generator of `stream` at `step`.
    pub fn at(&self, stream: &str, step: u64) -> Pcg64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&step.to_le_bytes());
        hasher.update(self.stage.as_bytes());
        hasher.update(b"/");
        hasher.update(stream.as_bytes());
        Pcg64::from_seed(*hasher.finalize().as_bytes())
    }

    /// The streams of replica `k` of a data-parallel training: those of the first are `self`, others are independent.
    pub fn of_replica(&self, k: usize) -> Self {
        match k {
            0 => *self,
            _ => Self::of_stage(self.stage, self.at("replicas", k as u64).random()),
        }
    }

    /// `count` standard normal numbers of `stream` at `step`.
    pub fn normal(&self, stream: &str, step: u64, count: usize) -> Vec<f32> {
        normal(&mut self.at(stream, step), count)
    }
}

/// `count` standard normal numbers.
pub fn normal(rng: &mut Pcg64, count: usize) -> Vec<f32> {
    rng.sample_iter(StandardNormal).take(count).collect()
}

/// `count` times, one uniform in each of `count` equal strata of [0, 1), in random order: each is uniform
/// on [0, 1), and together they cover the interval evenly.
pub fn stratified_times(rng: &mut Pcg64, count: usize) -> Vec<f64> {
    let mut times: Vec<f64> = (0..count)
        .map(|k| (k as f64 + rng.random::<f64>()) / count as f64)
        .collect();
    for last in (1..count).rev() {
        times.swap(last, rng.random_range(0..=last));
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_name_and_step_alone() {
        let streams = Streams::new(7);
        let first = streams.normal("noise", 3, 5);
        streams.normal("noise", 4, 100);
        assert_eq!(first, streams.normal("noise", 3, 5));
        assert_ne!(first, streams.normal("noise", 4, 5));
        assert_ne!(first, streams.normal("times", 3, 5));
        assert_ne!(first, Streams::new(8).normal("noise", 3, 5));
    }

    #[test]
    fn every_stratum_holds_one_time() {
        let mut times = stratified_times(&mut Streams::new(0).at("t", 0), 64);
        times.sort_by(f64::total_cmp);
        for (k, t) in times.iter().enumerate() {
            assert_eq!((t * 64.0) as usize, k);
        }
    }
}
