//! What the stage found, as figures that have the same names whatever the model is.

use crate::context::{Context, Summary, Table};
use crate::data::Part;
use crate::error::Result;
use crate::figures::{PARAMETERS, error_beside, evaluate_likelihood as names, of_rows};
use crate::likelihood::Weights;
use crate::numerics::{mean, standard_error};
use std::f64::consts::LN_2;

/// The effective sample size below which the largest few weights of a row decide its NLL.
const FEW: f64 = 10.0;
/// The share of rows with so few from which on a warning says so.
const MANY_ROWS: f64 = 0.05;

/// Negative log-likelihoods of rows of data, and what kind of numbers they are.
pub struct Found {
    /// The part that the rows are of.
    pub part: Part,
    /// What they are likelihoods of.
    pub space: Space,
    /// What kind of number each is.
    pub kind: Kind,
    /// In nats, one a row.
    pub values: Vec<f64>,
    /// A standard error of their mean that all rows share.
    pub shared_error: f64,
    /// Numbers in a row of data.
    pub dimensions: usize,
    /// Numbers in its latent.
    pub latents: usize,
    /// Trainable numbers of the whole model.
    pub parameters: usize,
    /// How long the NLLs took.
    pub seconds: f64,
    /// Of importance weights, what they say besides.
    pub weighted: Option<Weighted>,
}

/// What a likelihood is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Whole levels, a probability.
    Levels,
    /// Whole levels by the density of level and uniform noise, which bounds their NLL from above.
    Dequantised,
    /// Real numbers, a density.
    Density,
    /// Grey values under a Bernoulli decoder, which is no distribution of them.
    Grey,
}

/// What kind of number an NLL is: the numbers that [`names::KIND`] explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In closed form.
    Exact,
    /// By an ODE, to a tolerance.
    Ode,
    /// A bound.
    Bound,
    /// By importance weighting, in expectation from above.
    ImportanceWeighted,
    /// The negative ELBO.
    Elbo,
}

/// How the log-density of the prior of latents is computed: the numbers that [`names::PRIOR`] explains.
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
    /// How many of each row.
    pub samples: usize,
    /// Of each row.
    pub rows: Vec<Weights>,
    /// How p(z) in them is computed.
    pub prior: OfPrior,
}

impl Found {
    /// The figures; writes a table of rows, and warns of importance weights that are not to be trusted.
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

    /// A row of data in each row.
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

    /// The effective sample size of each row.
    fn effective(&self) -> Vec<f64> {
        self.rows.iter().map(Weights::effective).collect()
    }

    /// How many rows have too small a one.
    fn few(&self) -> usize {
        self.rows.iter().filter(|row| row.effective() < FEW).count()
    }

    fn warn(&self, context: &Context) {
        let (few, all) = (self.few(), self.rows.len());
        if self.samples > 1 && few as f64 > MANY_ROWS * all as f64 {
            context.monitor.warn(&format!(
                "the importance-weighted NLL is too high, and its standard error too small: {few} of {all} rows have an \
                 effective sample size below {FEW}, the worst {:.1} of {}, so that a few draws decide; raise \
                 evaluate_likelihood.samples, or take a posterior that comes closer",
                least(&self.effective()),
                self.samples
            ));
        }
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
