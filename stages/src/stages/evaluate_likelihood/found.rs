//! Results of the stage, as figures with the same names for every model.

use crate::context::{Context, Summary, Table};
use crate::data::Part;
use crate::error::Result;
use crate::figures::{PARAMETERS, error_beside, evaluate_likelihood as names, of_rows};
use crate::likelihood::Weights;
use crate::numerics::{mean, standard_error};
use std::f64::consts::LN_2;

/// Effective sample size below which a few weights dominate a row's NLL.
const FEW: f64 = 10.0;
/// Share of such rows from which a warning is given.
const MANY_ROWS: f64 = 0.05;

/// Negative log-likelihoods of rows of data and their kind.
pub struct Found {
    pub part: Part,
    /// Space of the likelihoods.
    pub space: Space,
    pub kind: Kind,
    /// In nats, one per row.
    pub values: Vec<f64>,
    /// Standard error of their mean that is common to all rows.
    pub shared_error: f64,
    /// Elements per row of data.
    pub dimensions: usize,
    /// Elements per latent.
    pub latents: usize,
    /// Trainable parameters of the whole model.
    pub parameters: usize,
    /// Duration of computing the NLLs.
    pub seconds: f64,
    /// Statistics of importance weights.
    pub weighted: Option<Weighted>,
}

/// Space of a likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Integer levels, a probability.
    Levels,
    /// Integer levels plus uniform noise, a density whose NLL is an upper bound.
    Dequantised,
    /// Real numbers, a density.
    Density,
    /// Grey values under a Bernoulli decoder, which is not a distribution of them.
    Grey,
}

/// Kind of an NLL, numbered as in [`names::KIND`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In closed form.
    Exact,
    /// By an ODE, to a tolerance.
    Ode,
    /// A bound.
    Bound,
    /// By importance weighting: an upper bound in expectation.
    ImportanceWeighted,
    /// The negative ELBO.
    Elbo,
}

/// How the log-density of a prior of latents is computed, numbered as in [`names::PRIOR`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfPrior {
    /// In closed form.
    Closed,
    /// By an ODE, to a tolerance.
    Ode,
    /// By its likelihood-weighted bound.
    Bound,
}

/// Importance weights of rows.
pub struct Weighted {
    /// Samples per row.
    pub samples: usize,
    /// Weights per row.
    pub rows: Vec<Weights>,
    /// How p(z) is computed.
    pub prior: OfPrior,
}

impl Found {
    /// The figures. Writes a table of rows, and warns about unreliable importance weights.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn report(&self, context: &Context) -> Result<Summary> {
        let mut summary = Summary::default();
        let nll = mean(&self.values);
        let error = standard_error(&self.values, 1).hypot(self.shared_error);
        let word = self.part.word();
        let name = of_rows(
            word,
            match self.space {
                Space::Levels | Space::Dequantised => names::LEVELS,
                Space::Density => names::DENSITY,
                Space::Grey => names::GREY,
            },
        );
        summary.add(&*name, nll);
        summary.add(error_beside(&name), error);
        if matches!(self.space, Space::Levels | Space::Dequantised) {
            let bits = of_rows(word, names::BITS);
            let each = self.dimensions as f64 * LN_2;
            summary.add(&*bits, nll / each);
            summary.add(error_beside(&bits), error / each);
            let dequantised = f64::from(u8::from(self.space == Space::Dequantised));
            summary.add(names::DEQUANTISED, dequantised);
        }
        summary.add(names::KIND, f64::from(self.kind as u8));
        summary.add(names::ROWS, self.values.len() as f64);
        if let Some(weighted) = &self.weighted {
            weighted.report(word, nll, &mut summary);
            weighted.warn(context);
        }
        summary.add(names::DIMENSIONS, self.dimensions as f64);
        summary.add(names::LATENTS, self.latents as f64);
        summary.add(PARAMETERS, self.parameters as f64);
        summary.add(names::SECONDS, self.seconds);
        context.monitor.table(names::TABLE, &self.table())?;
        Ok(summary)
    }

    /// One row per row of data.
    fn table(&self) -> Table {
        let mut table = Table::default();
        let count = self.values.len() as i64;
        table.int(names::ROW, (0..count).collect());
        table.float(names::ROW_NLL, self.values.clone());
        if let Some(Weighted { rows, .. }) = &self.weighted {
            let of = |figure: fn(&Weights) -> f64| rows.iter().map(figure).collect();
            table
                .float(names::ROW_ERROR, of(Weights::error))
                .float(names::ROW_ELBO, of(Weights::elbo))
                .float(names::ROW_EFFECTIVE, of(Weights::effective));
        }
        table
    }
}

impl Weighted {
    fn report(&self, word: &str, nll: f64, summary: &mut Summary) {
        summary.add(names::SAMPLES, self.samples as f64);
        summary.add(names::PRIOR, f64::from(self.prior as u8));
        let elbo: Vec<f64> = self.rows.iter().map(Weights::elbo).collect();
        let name = of_rows(word, names::ELBO);
        summary.add(&*name, mean(&elbo));
        summary.add(error_beside(&name), standard_error(&elbo, 1));
        if self.samples == 1 {
            return;
        }
        let gaps: Vec<f64> = (self.rows.iter())
            .map(|row| row.elbo() - row.nll())
            .collect();
        summary.add(names::GAP, mean(&elbo) - nll);
        summary.add(error_beside(names::GAP), standard_error(&gaps, 1));
        let errors: Vec<f64> = self.rows.iter().map(Weights::error).collect();
        let squares: f64 = errors.iter().map(|e| e * e).sum();
        summary.add(names::DRAWS_ERROR, squares.sqrt() / errors.len() as f64);
        summary.add(
            names::WORST_DRAWS_ERROR,
            errors.iter().copied().fold(0.0, f64::max),
        );
        let effective = self.effective();
        summary.add(names::EFFECTIVE, mean(&effective));
        summary.add(names::WORST_EFFECTIVE, least(&effective));
        summary.add(names::FEW, self.few() as f64);
    }

    /// Effective sample sizes by row.
    fn effective(&self) -> Vec<f64> {
        self.rows.iter().map(Weights::effective).collect()
    }

    /// Number of rows with a small effective sample size.
    fn few(&self) -> usize {
        self.rows.iter().filter(|row| row.effective() < FEW).count()
    }

    fn warn(&self, context: &Context) {
        let (few, all) = (self.few(), self.rows.len());
        if self.samples > 1 && few as f64 > MANY_ROWS * all as f64 {
            context.monitor.warn(&format!(
                "the importance-weighted NLL is too high, and its standard error too small: {few} \
                 of {all} rows have an effective sample size below {FEW}, the worst {:.1} of {}, \
                 so that a few draws dominate; raise evaluate_likelihood.samples, or use a \
                 posterior that fits better",
                least(&self.effective()),
                self.samples
            ));
        }
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
