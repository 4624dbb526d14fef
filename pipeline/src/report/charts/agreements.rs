//! `agreement.parquet` of `estimate-nll`: how well surrogates follow the NLL.

use super::scale::short;
use super::tables::{Table, parquet};
use crate::store::{RunStages, Stage};
use crate::tables::{RegionVerdict, is_verdict};
use anyhow::{Context as _, Result};
use latent_align_stages::figures::estimate_nll::{self as names, ANALYTIC, EXACT, ODE};

/// Figures of surrogates against the NLL.
pub struct Agreements {
    rows: Vec<Row>,
}

struct Row {
    reference: String,
    /// Region, surrogate, figure.
    key: [String; 3],
    value: f64,
    interval: (f64, f64),
}

impl Agreements {
    /// Reads the figures of `run`.
    ///
    /// # Errors
    /// The table is missing or damaged.
    pub fn of(run: &RunStages) -> Result<Self> {
        let stage = run.folder(Stage::EstimateNll);
        let stage = stage.context("the run has no estimate-nll")?;
        let table = Table::read(&stage.join(parquet(names::AGREEMENT_TABLE)))?;
        let [regions, surrogates, references, figures] = [
            names::REGION,
            names::SURROGATE,
            names::REFERENCE,
            names::FIGURE,
        ]
        .map(|name| table.texts(name));
        let (regions, surrogates, figures) = (regions?, surrogates?, figures?);
        let values = table.numbers(names::VALUE)?;
        let intervals = table.pairs(names::LOW, names::HIGH)?;
        let rows = (references?.into_iter().enumerate())
            .map(|(i, reference)| Row {
                reference,
                key: [&regions, &surrogates, &figures].map(|column| column[i].clone()),
                value: values[i],
                interval: intervals[i],
            })
            .collect();
        Ok(Self { rows })
    }

    /// The reference of a region's figures: the analytic NLL if it is known, else the prior's own.
    pub fn reference(&self, region: &str) -> &'static str {
        let known = |reference: &&str| {
            let is = |row: &Row| row.key[0] == region && row.reference == *reference;
            self.rows.iter().any(is)
        };
        [ANALYTIC, EXACT].into_iter().find(known).unwrap_or(ODE)
    }

    /// A figure with its interval, or a dash if it is not known.
    pub fn figure(&self, region: &str, surrogate: &str, figure: &str) -> String {
        let found = self.find(region, surrogate, |name| name == figure);
        let Some(row) = found.filter(|row| row.value.is_finite()) else {
            return "–".to_owned();
        };
        let value = short(row.value);
        match row.interval {
            (low, high) if low.is_finite() && high.is_finite() => {
                format!("{value} [{}, {}]", short(low), short(high))
            }
            _ => value,
        }
    }

    /// The verdict, if there is one.
    pub fn verdict(&self, region: &str, surrogate: &str) -> Option<RegionVerdict> {
        RegionVerdict::from_figure(self.find(region, surrogate, is_verdict)?.value)
    }

    fn find(&self, region: &str, surrogate: &str, figure: impl Fn(&str) -> bool) -> Option<&Row> {
        let reference = self.reference(region);
        (self.rows.iter()).find(|row| {
            row.reference == reference
                && row.key[0] == region
                && row.key[1] == surrogate
                && figure(&row.key[2])
        })
    }
}
