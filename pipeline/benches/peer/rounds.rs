//! Rounds: in each, every side has a turn.

use super::machine::QUIET;
use super::protocol::Request;
use super::side::{Side, Way};
use anyhow::Result;
use std::collections::BTreeMap;

/// The plan of a measurement.
pub struct Plan {
    /// The number of rounds.
    pub count: usize,
    /// The seconds of a turn, with at least one step; none if a turn is one step after a warm-up.
    pub seconds: Option<f64>,
    /// Each round ends with products of matrices.
    pub products: bool,
    /// Other load is intended: disturbance is no reason to repeat a round.
    pub disturbed: bool,
}

/// The measurements of a round.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Seconds per step, by way.
    pub seconds: BTreeMap<Way, f64>,
    /// Rates of matrix products, of this program and of PyTorch, in floating-point operations per second; 0
    /// if the plan has none.
    pub rates: [f64; 2],
    /// The largest share of the machine that other processes used in a turn.
    pub others: f64,
}

impl Round {
    /// The ratio of the fastest of those `ways` to this program; none if there is none.
    pub fn ratio(&self, ways: impl Fn(Way) -> bool) -> Option<f64> {
        let theirs = self.seconds.iter().filter(|(way, _)| ways(**way));
        let best = theirs.map(|(_, &seconds)| seconds).reduce(f64::min)?;
        Some(best / self.seconds.get(&Way::Ours)?)
    }
}

/// Disturbed rounds are repeated, up to this many times the planned number.
const PATIENCE: usize = 3;

/// Sides of square matrices, and products of each.
pub const SQUARES: [usize; 3] = [1024, 2048, 4096];
const PRODUCTS: usize = 2;

/// Runs the task set up on all of `sides`, this program first: the least disturbed rounds, as many as
/// planned. The order of turns rotates by one from round to round.
pub fn rounds(sides: &mut [&mut Side], plan: &Plan) -> Result<Vec<Round>> {
    let mut steps = vec![1; sides.len()];
    if let Some(seconds) = plan.seconds {
        for (steps, side) in steps.iter_mut().zip(sides.iter_mut()) {
            side.run(1)?; // side.run(1)?; // warm-up, such as compilation
            *steps = steps_of(side, seconds)?;
        }
    }
    let mut measured: Vec<Round> = Vec::new();
    let counts = |round: &&Round| plan.disturbed || round.others < QUIET;
    let quiet = |rounds: &[Round]| rounds.iter().filter(counts).count();
    while quiet(&measured) < plan.count && measured.len() < PATIENCE * plan.count {
        let mut round = Round::default();
        for turn in 0..sides.len() {
            let at = (measured.len() + turn) % sides.len();
            let side = &mut *sides[at];
            round.seconds.insert(side.way, side.run(steps[at])?);
            round.others = round.others.max(side.others);
        }
        if plan.products {
            for (rate, side) in round.rates.iter_mut().zip(sides.iter_mut()) {
                let (best, others) = best_rate(side)?;
                *rate = best;
                round.others = round.others.max(others);
            }
        }
        measured.push(round);
    }
    measured.sort_by(|a, b| a.others.total_cmp(&b.others));
    measured.truncate(plan.count);
    Ok(measured)
}

/// The number of steps that `side` takes in these seconds; at least one. The number is increased step by
/// step, because the first steps may have been prepared beforehand.
fn steps_of(side: &mut Side, seconds: f64) -> Result<u64> {
    let mut steps = 1;
    loop {
        let each = side.run(steps)?;
        if each * steps as f64 > seconds / 8.0 {
            return Ok((seconds / each).max(1.0) as u64);
        }
        steps *= 4;
    }
}

/// The best rate of matrix products, in floating-point operations per second, and the largest share of the
/// machine that other processes used meanwhile.
fn best_rate(side: &mut Side) -> Result<(f64, f64)> {
    let (mut best, mut others) = (0.0f64, 0.0f64);
    for square in SQUARES {
        let request = Request::Product {
            side: square,
            times: PRODUCTS,
        };
        for seconds in side.values(&request)? {
            best = best.max(2.0 * (square as f64).powi(3) / seconds);
        }
        others = others.max(side.others);
    }
    Ok((best, others))
}
