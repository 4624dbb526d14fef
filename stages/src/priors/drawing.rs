//! How samples are drawn: the ways from noise to points.

use crate::error::{Error, Result};
use crate::random::Streams;
use burn::tensor::Tensor;

/// How samples are drawn.
#[derive(Debug, Clone, Copy)]
pub struct SampleOptions {
    /// Where the noise comes from.
    pub streams: Streams,
    /// The standard deviation of the noise; 1 for the prior's own distribution, less for what is likelier.
    pub temperature: f64,
    /// How it becomes points.
    pub way: Way,
}

/// How noise is carried to points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// In which steps.
    pub steps: Steps,
    /// How far points lean towards their condition.
    pub guidance: Guidance,
}

impl Way {
    /// In `steps`, without guidance.
    pub fn by(steps: Steps) -> Self {
        let guidance = Guidance::OFF;
        Self { steps, guidance }
    }
}

/// The steps in which noise becomes points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Steps {
    /// Of an ODE, as many as keep the error of each within this tolerance, absolute and relative. A closed form has
    /// neither; an autoregressive flow draws one token after the other.
    Adaptive(f64),
    /// Of an ODE, so many equal ones, whatever their error.
    Equal(usize),
    /// Of an autoregressive flow: several tokens at once.
    Parallel(Sweeps),
}

/// Sweeps over tokens that are guessed together (Jacobi's iteration): each sweep reads all of them from what the one
/// before made of those before. The first token of them is right after one sweep, the second after two, and so on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sweeps {
    /// They end where the root mean square of the change of no point is above this share of the point's own, or after as
    /// many as there are tokens.
    pub tolerance: f64,
    /// Tokens that are guessed together; 0 for all.
    pub tokens: usize,
}

/// How far samples lean towards their condition beyond what it asks (classifier-free guidance, Ho & Salimans 2022,
/// arXiv 2207.12598).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guidance {
    /// 1 is the density under the condition; more is more of its own kind and less varied.
    pub scale: f64,
    /// Whether it grows along the tokens, from none at the first to all of it at the last.
    pub rising: bool,
    /// What is leant away from.
    pub away_from: AwayFrom,
}

/// What guidance leans away from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AwayFrom {
    /// The prior under the condition "none", which training with dropout of conditions teaches.
    None,
    /// The prior itself, its attention's logits divided by this temperature; goes without conditions.
    Temperature(f64),
}

impl Guidance {
    /// None.
    pub const OFF: Self = Self {
        scale: 1.0,
        rising: false,
        away_from: AwayFrom::None,
    };

    /// Constant, away from the condition "none".
    pub fn of(scale: f64) -> Self {
        Self { scale, ..Self::OFF }
    }

    /// Whether there is none.
    pub fn is_off(&self) -> bool {
        self.scale == 1.0
    }

    /// That there is something to lean from: a condition, where it is away from none.
    ///
    /// # Errors
    /// An input error.
    pub(super) fn require(&self, has_condition: bool) -> Result<()> {
        if self.is_off() || has_condition || self.away_from != AwayFrom::None {
            return Ok(());
        }
        Err(Error::input(format!(
            "guidance: found {} without a condition, expected a condition to lean to, or 1",
            self.scale
        )))
    }
}

/// What a kind of prior can do on the way from noise to points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// Its name, as in `kind: NAME`.
    pub kind: &'static str,
    /// Equal steps of an ODE.
    pub stepped: bool,
    /// Guidance away from the condition "none".
    pub guided: bool,
    /// What comes of drawing tokens one after the other: several at once, guidance that rises or leans away from an
    /// attention temperature.
    pub sequential: bool,
}

impl Ways {
    /// None of them.
    pub const fn plain(kind: &'static str) -> Self {
        Self {
            kind,
            stepped: false,
            guided: false,
            sequential: false,
        }
    }

    /// Fails for what it cannot do.
    ///
    /// # Errors
    /// An input error that names the kind.
    pub fn refuse(&self, way: &Way) -> Result<()> {
        let kind = self.kind;
        let Guidance {
            scale,
            rising,
            away_from,
        } = way.guidance;
        match way.steps {
            Steps::Equal(steps) if !self.stepped => {
                return Err(Error::input(format!(
                    "steps: found {steps} for a prior of the kind `{kind}`, expected none: it carries noise to points \
                     in closed form; leave the steps out, or take a prior with an ODE, `flow_matching` or `mixture`"
                )));
            }
            Steps::Parallel(_) if !self.sequential => {
                return Err(Error::input(format!(
                    "sweeps: found a flow of the kind `{kind}`, expected one that draws token after token: `tarflow` \
                     or `starflow`; leave them out"
                )));
            }
            _ => {}
        }
        if scale != 1.0 && !self.guided {
            return Err(Error::input(format!(
                "guidance: found {scale}, expected 1: a prior of the kind `{kind}` has none; `flow_matching`, \
                 `tarflow` and `starflow` do"
            )));
        }
        if (rising || away_from != AwayFrom::None) && !self.sequential {
            return Err(Error::input(format!(
                "guidance: found one that rises along tokens, or leans away from an attention temperature, for a \
                 prior of the kind `{kind}`, expected a constant one away from the condition \"none\"; `tarflow` and \
                 `starflow` have the others"
            )));
        }
        Ok(())
    }
}

/// Adds `share` times `more` to `sums`, which are as many or none yet.
pub(crate) fn add_up(sums: &mut Vec<f64>, more: &[f64], share: f64) {
    sums.resize(more.len(), 0.0);
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += share * more;
    }
}

/// Noise carried to points.
#[derive(Debug, Clone)]
pub struct Carried {
    /// [n, T, d].
    pub points: Tensor<3>,
    /// Calls of a network for each point, on average: evaluations of a velocity; for each block of an autoregressive flow,
    /// from the data to the noise, its passes over one token or over several at once; none for a closed form.
    pub evaluations: Vec<f64>,
}
