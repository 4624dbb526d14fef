//! Rounds: in each, every side has a turn.

use super::machine::QUIET;
use super::protocol::Request;
use super::side::{Side, Way};
use anyhow::Result;
use std::collections::BTreeMap;

/// What is run.
pub struct Plan {
    /// Rounds that are wanted.
    pub count: usize,
    /// Of a turn, in which there is one step at least; none where a turn is one step and all has been
    /// warmed up.
    pub seconds: Option<f64>,
    /// Each round ends with products of matrices.
    pub products: bool,
    /// Others are meant to be at work: their disturbance is no reason to run a round again.
    pub disturbed: bool,
}

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Of a step, each way.
    pub seconds: BTreeMap<Way, f64>,
    /// Matrix products, ours and PyTorch's, in floating-point operations a second; 0 where the plan has
    /// none.
    pub rates: [f64; 2],
    /// The greatest share of the machine that others used in a turn.
    pub others: f64,
}

impl Round {
    /// How many times as long as ours the fastest of those `ways` took; nothing where there is none.
    pub fn ratio(&self, ways: impl Fn(Way) -> bool) -> Option<f64> {
        let theirs = self.seconds.iter().filter(|(way, _)| ways(**way));
        let best = theirs.map(|(_, &seconds)| seconds).reduce(f64::min)?;
        Some(best / self.seconds.get(&Way::Ours)?)
    }
}

/// Rounds that others disturbed are run again, up to so many times as many as are wanted.
const PATIENCE: usize = 3;

/// Sides of square matrices, and products of each.
pub const SQUARES: [usize; 3] = [1024, 2048, 4096];
const PRODUCTS: usize = 2;

/// Runs the task that all of `sides` are set up for, ours first: the least disturbed rounds, as many as the
/// plan wants. The order of turns moves on by one from round to round.
pub fn rounds(sides: &mut [&mut Side], plan: &Plan) -> Result<Vec<Round>> {
    let mut steps = vec![1; sides.len()];
    if let Some(seconds) = plan.seconds {
        for (steps, side) in steps.iter_mut().zip(sides.iter_mut()) {
            side.run(1)?; // what happens only once, such as compiling
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

/// How many steps `side` takes in so many seconds; at least one. More and more are tried, for the first may
/// have been ready beforehand.
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

/// The best rate of matrix products, in floating-point operations a second, and the greatest share of the
/// machine that others used meanwhile.
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
