//! Two trainings in turns, with their progress over time.

use super::protocol::{Request, Task};
use super::side::{Side, Way};
use anyhow::Result;

/// The state of a training at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    pub steps: f64,
    /// Of training, without evaluations.
    pub seconds: f64,
    /// On held-out points.
    pub loss: f64,
}

/// The moments of both sides after each turn.
pub struct Race {
    ours: Vec<Moment>,
    theirs: Vec<Moment>,
    others: Vec<f64>,
}

/// Steps per turn; the loss is evaluated after each turn.
const TURN: u64 = 50;
/// This program stops after this many times the steps of PyTorch.
const PATIENCE: u64 = 2;

impl Race {
    /// `theirs` takes `steps` steps; this program as many, and then more until its loss is as
    /// small.
    pub fn run(ours: &mut Side, theirs: &mut Side, task: &Task, steps: u64) -> Result<Self> {
        let mut race = Self {
            ours: Vec::new(),
            theirs: Vec::new(),
            others: Vec::new(),
        };
        ours.prepare(task.clone())?;
        theirs.prepare(task.clone())?;
        for _ in 0..steps.div_ceil(TURN) {
            race.turn(theirs)?;
            race.turn(ours)?;
        }
        while race.reached().is_none() && (race.ours.len() as u64) * TURN < PATIENCE * steps {
            race.turn(ours)?;
        }
        Ok(race)
    }

    fn turn(&mut self, side: &mut Side) -> Result<()> {
        let each = side.run(TURN)?;
        self.others.push(side.others);
        let loss = side.values(&Request::HeldOutLoss(()))?[0];
        let moments = if side.way == Way::Ours {
            &mut self.ours
        } else {
            &mut self.theirs
        };
        let before = moments.last().map_or((0.0, 0.0), |m| (m.steps, m.seconds));
        moments.push(Moment {
            steps: before.0 + TURN as f64,
            seconds: before.1 + TURN as f64 * each,
            loss,
        });
        Ok(())
    }

    /// The end of PyTorch's training.
    pub fn target(&self) -> Moment {
        *self.theirs.last().expect("it had a turn")
    }

    /// When this program's loss first reached that of the target, interpolated linearly between
    /// turns.
    pub fn reached(&self) -> Option<Moment> {
        first_at(&self.ours, self.target().loss)
    }

    /// The ratio of the losses, ours over PyTorch's, after `steps` steps of each.
    pub fn losses_after(&self, steps: u64) -> String {
        let at = (steps / TURN).max(1) as usize - 1;
        match (self.ours.get(at), self.theirs.get(at)) {
            (Some(ours), Some(theirs)) => format!("{:.4}", ours.loss / theirs.loss),
            _ => "-".to_owned(),
        }
    }

    /// The share of the machine that other processes used, averaged over turns.
    pub fn others(&self) -> f64 {
        self.others.iter().sum::<f64>() / self.others.len() as f64
    }
}

/// When the loss of `moments` first was at most `loss`.
pub fn first_at(moments: &[Moment], loss: f64) -> Option<Moment> {
    let at = moments.iter().position(|m| m.loss <= loss)?;
    let after = moments[at];
    let Some(before) = at.checked_sub(1).map(|before| moments[before]) else {
        return Some(after);
    };
    let share = (before.loss - loss) / (before.loss - after.loss);
    let between = |a: f64, b: f64| a + share * (b - a);
    Some(Moment {
        steps: between(before.steps, after.steps),
        seconds: between(before.seconds, after.seconds),
        loss,
    })
}
