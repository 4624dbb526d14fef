//! Options of sampling: how noise becomes points.

use crate::error::{Error, Result};
use crate::random::Streams;
use burn::tensor::Tensor;

/// Options of sampling.
#[derive(Debug, Clone, Copy)]
pub struct SampleOptions {
    /// Source of the noise.
    pub streams: Streams,
    /// Standard deviation of the noise; 1 samples the prior itself, less favours likelier points.
    pub temperature: f64,
    /// How noise becomes points.
    pub way: Way,
}

/// How noise is mapped to points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    pub steps: Steps,
    pub guidance: Guidance,
}

impl Way {
    /// `steps` without guidance.
    pub fn by(steps: Steps) -> Self {
        let guidance = Guidance::OFF;
        Self { steps, guidance }
    }
}

/// Steps from noise to points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Steps {
    /// Adaptive ODE steps whose error stays within this absolute and relative tolerance. Closed forms need no
    /// steps; an autoregressive flow draws one token at a time.
    Adaptive(f64),
    /// This many equal ODE steps, whatever their error.
    Equal(usize),
    /// Several tokens at once, for autoregressive flows.
    Parallel(Sweeps),
}

/// Jacobi iteration over a group of tokens: each sweep recomputes all tokens from those of the previous sweep. The
/// first token is exact after one sweep, the second after two, and so on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sweeps {
    /// Iteration stops when every point's root mean square change is below this fraction of the point's own RMS, or
    /// after as many sweeps as there are tokens.
    pub tolerance: f64,
    /// Tokens per group; 0 for all.
    pub tokens: usize,
}

/// Strength of guidance towards a condition (classifier-free guidance, Ho & Salimans 2022, arXiv 2207.12598).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guidance {
    /// 1 samples the conditional density; larger values are more typical of the condition and less varied.
    pub scale: f64,
    /// Whether guidance grows linearly along the tokens, from none at the first to the full scale at the last.
    pub rising: bool,
    pub away_from: AwayFrom,
}

/// The reference that guidance moves away from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AwayFrom {
    /// The prior under the condition "none", learnt by dropout of conditions in training.
    None,
    /// The prior itself with attention logits divided by this temperature; needs no conditions.
    Temperature(f64),
}

impl Guidance {
    /// No guidance.
    pub const OFF: Self = Self {
        scale: 1.0,
        rising: false,
        away_from: AwayFrom::None,
    };

    /// Constant guidance away from the condition "none".
    pub fn of(scale: f64) -> Self {
        Self { scale, ..Self::OFF }
    }

    /// Whether guidance is off.
    pub fn is_off(&self) -> bool {
        self.scale == 1.0
    }

    /// Checks that guidance away from "none" has a condition.
    ///
    /// # Errors
    /// An input error.
    pub(super) fn require(&self, has_condition: bool) -> Result<()> {
        if self.is_off() || has_condition || self.away_from != AwayFrom::None {
            return Ok(());
        }
        Err(Error::input(format!(
            "guidance: found {} without a condition, expected a condition to guide towards, or 1",
            self.scale
        )))
    }
}

/// Supported ways of sampling, by kind of prior.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// Name of the kind, as in `kind: NAME`.
    pub kind: &'static str,
    /// Equal steps of an ODE.
    pub stepped: bool,
    /// Guidance away from the condition "none".
    pub guided: bool,
    /// Token-by-token drawing: several tokens at once, and guidance that rises or moves away from an attention
    /// temperature.
    pub sequential: bool,
}

impl Ways {
    /// None of these.
    pub const fn plain(kind: &'static str) -> Self {
        Self {
            kind,
            stepped: false,
            guided: false,
            sequential: false,
        }
    }

    /// Refuses unsupported ways.
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
                    "steps: found {steps} for a prior of the kind `{kind}`, expected none: it \
                     maps noise to points in closed form; leave the steps out, or use a prior \
                     with an ODE, `flow_matching` or `mixture`"
                )));
            }
            Steps::Parallel(_) if !self.sequential => {
                return Err(Error::input(format!(
                    "sweeps: found a flow of the kind `{kind}`, expected one that draws token by \
                     token: `tarflow` or `starflow`; leave them out"
                )));
            }
            _ => {}
        }
        if scale != 1.0 && !self.guided {
            return Err(Error::input(format!(
                "guidance: found {scale}, expected 1: a prior of the kind `{kind}` does not \
                 support guidance; `flow_matching`, `tarflow` and `starflow` do"
            )));
        }
        if (rising || away_from != AwayFrom::None) && !self.sequential {
            return Err(Error::input(format!(
                "guidance: found rising guidance, or guidance away from an attention temperature, \
                 for a prior of the kind `{kind}`, expected constant guidance away from the \
                 condition \"none\"; `tarflow` and `starflow` support the others"
            )));
        }
        Ok(())
    }
}

/// Adds `share` times `more` to `sums`, which has the same length or is empty.
pub(crate) fn add_up(sums: &mut Vec<f64>, more: &[f64], share: f64) {
    sums.resize(more.len(), 0.0);
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += share * more;
    }
}

/// Generated points.
#[derive(Debug, Clone)]
pub struct Carried {
    /// [n, T, d].
    pub points: Tensor<3>,
    /// Network evaluations per point, on average: of a velocity; for each block of an autoregressive flow, from
    /// data to noise, passes over one or several tokens; empty for a closed form.
    pub evaluations: Vec<f64>,
}
