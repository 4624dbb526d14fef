//! `points.parquet` of `estimate-nll`: points by region.

use super::tables::{Table, axis, parquet};
use crate::store::{RunStages, Stage};
use anyhow::Result;
use latent_align_stages::figures::estimate_nll as names;

/// The points of all regions.
pub struct Regions {
    table: Table,
    region: Vec<String>,
}

impl Regions {
    /// The points of `run`; none without `estimate-nll`.
    ///
    /// # Errors
    /// The table is missing or damaged.
    pub fn of(run: &RunStages) -> Result<Option<Self>> {
        let stage = run.folder(Stage::EstimateNll).filter(|s| s.exists());
        let Some(stage) = stage else {
            return Ok(None);
        };
        let table = Table::read(&stage.join(parquet(names::POINTS_TABLE)))?;
        let region = table.texts(names::REGION)?;
        Ok(Some(Self { table, region }))
    }

    /// The regions in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in &self.region {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// The first of `names` that is a region.
    pub fn first<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        let mut names = names.iter().copied();
        names.find(|name| self.region.iter().any(|region| region == name))
    }

    /// The number of points in a region.
    pub fn count(&self, region: &str) -> usize {
        self.region.iter().filter(|name| *name == region).count()
    }

    /// The values of a column in one region.
    ///
    /// # Errors
    /// As [`Table::numbers`].
    pub fn numbers(&self, region: &str, column: &str) -> Result<Vec<f64>> {
        let all = self.table.numbers(column)?;
        Ok((self.region.iter().zip(all))
            .filter(|(name, _)| *name == region)
            .map(|(_, value)| value)
            .collect())
    }

    /// Whether a column exists, which depends on the kind of prior.
    pub fn has(&self, column: &str) -> bool {
        self.table.has(column)
    }

    /// The column of the prior's own NLL.
    pub fn own_nll(&self) -> &'static str {
        match self.has(names::NLL_EXACT) {
            true => names::NLL_EXACT,
            false => names::NLL_ODE,
        }
    }

    /// The coordinates of a region's points in the plane; empty for a region that does not exist.
    ///
    /// # Errors
    /// As [`Table::numbers`].
    pub fn places(&self, region: &str) -> Result<Vec<(f64, f64)>> {
        let (x, y) = (
            self.numbers(region, &axis(0))?,
            self.numbers(region, &axis(1))?,
        );
        Ok(x.into_iter().zip(y).collect())
    }

    /// Whether points are two-dimensional.
    pub fn is_plane(&self) -> bool {
        self.table.is_plane()
    }
}

/// At most `most` of `all`, evenly spaced.
pub fn thinned<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    let count = all.len().min(most);
    (0..count).map(|i| all[i * all.len() / count]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_of_many_are_evenly_spread() {
        assert_eq!(thinned(&[0, 1, 2, 3, 4, 5], 3), [0, 2, 4]);
        assert_eq!(thinned(&[0, 1], 3), [0, 1]);
        assert_eq!(thinned::<u8>(&[], 3), [0; 0]);
    }
}
