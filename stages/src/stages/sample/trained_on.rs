//! The rows that a flow was trained on, as named by the user: their names, and distances of samples to the nearest
//! one.

use crate::comparison::nearest_rows;
use crate::context::{Context, Monitor, Summary};
use crate::data::{
    Dataset, Files, Ingest, NonFinite, Part, RowView, Scan, SourceConfig, Split, read_texts,
};
use crate::error::{Error, Result};
use crate::figures::sample as names;
use crate::numerics::mean;
use crate::priors::KeptPoints;
use crate::tensors::spread_indices;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Number of samples, and of unseen rows, whose nearest training row is searched.
const COMPARED: usize = 1000;
/// Number of elements of training rows in memory.
const BLOCK: usize = 4 << 20;
/// The share of unseen rows that are closer to training rows than the threshold for a near sample.
const NEAR: f64 = 0.05;

/// The rows that the flow was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainedOnConfig {
    /// The HDF5 file of the flow's features, relative to the configuration file; or all of them, in order.
    pub file: Files,
    /// The dataset of the flow's features in that file.
    pub dataset: String,
    /// A dataset `[N]` of texts in that file with the name of each row.
    #[serde(default)]
    pub names: Option<String>,
}

impl TrainedOnConfig {
    fn source(&self) -> SourceConfig {
        SourceConfig {
            file: self.file.clone(),
            dataset: self.dataset.clone(),
            non_finite: NonFinite::Drop,
        }
    }

    /// Opens the rows and reads their names.
    ///
    /// # Errors
    /// File errors; input errors for a dataset without numbers, and for names that do not match.
    pub fn read(&self) -> Result<(Dataset, Option<Vec<String>>)> {
        let data = self.source().open()?;
        let names = (self.names.as_ref()).map(|name| named(name, &data));
        Ok((data, names.transpose()?))
    }
}

/// The opened rows, and which of them the flow was not trained on.
pub struct TrainedOn {
    data: Dataset,
    /// Ascending.
    unseen: Vec<usize>,
    names: Option<Vec<String>>,
}

/// Samples with their nearest training rows.
pub struct Nearest {
    /// Row-major [n, width].
    pub samples: Vec<f32>,
    /// The nearest training row of each.
    pub rows: Vec<f32>,
}

impl TrainedOn {
    /// Opens the rows for the flow in the directory `flow`.
    ///
    /// # Errors
    /// File errors; input errors for rows that the flow was not trained on, for a part that is stored incompletely,
    /// and for names that do not match.
    pub fn open(config: &TrainedOnConfig, flow: &Path, monitor: &dyn Monitor) -> Result<Self> {
        let (data, names) = config.read()?;
        let read = Ingest::read(
            &config.source(),
            RowView::Items,
            Split::new(0, 0.0),
            false,
            monitor,
        )?;
        let scan = Scan::read(flow)?;
        let place = data.describe();
        if read.scan.digest != scan.digest {
            return Err(Error::input(format!(
                "sample.trained_on: found {place} (digest {:.12}), expected the rows that the \
                 flow was trained on (digest {:.12}); name the file and the dataset of \
                 pretrain_flow.features. Separate datasets for parts are not supported",
                read.scan.digest, scan.digest
            )));
        }
        let mut unseen = Vec::new();
        for part in [Part::HeldOut, Part::Test] {
            if let Some(kept) = KeptPoints::load(part, flow)? {
                unseen.extend(items(&kept));
            }
        }
        // a sample is a whole row, and the flow counted whole rows too
        let not_trained_on = (scan.held_out_rows + scan.test_rows) as usize;
        if not_trained_on != unseen.len() {
            return Err(Error::input(format!(
                "sample.trained_on: found {} unseen rows stored with the flow, expected all \
                 {not_trained_on}; raise pretrain_flow.held_out.at_most and test.at_most, or \
                 leave it out",
                unseen.len()
            )));
        }
        unseen.sort_unstable();
        Ok(Self {
            data,
            unseen,
            names,
        })
    }

    /// Names of the rows, if given.
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// Checks that samples of `width` numbers can be compared with the rows.
    ///
    /// # Errors
    /// An input error.
    pub fn require_width(&self, width: usize) -> Result<()> {
        if width == self.data.item_width() {
            return Ok(());
        }
        Err(Error::input(format!(
            "sample.trained_on: found {} of {} numbers per row and samples of {width}, expected a \
             flow whose samples are whole rows; leave it out",
            self.data.describe(),
            self.data.item_width()
        )))
    }

    /// Adds the distances of some of `samples`, row-major [n, width] in the units of the data, to their nearest
    /// training rows, with those of unseen rows for reference.
    ///
    /// # Errors
    /// File errors; [`Error::Cancelled`].
    pub fn compare(
        &self,
        samples: &[f32],
        context: &Context,
        summary: &mut Summary,
    ) -> Result<Nearest> {
        let width = self.data.item_width();
        let drawn = crate::tensors::spread(samples, width, COMPARED);
        let mut others = Vec::new();
        for i in spread_indices(self.unseen.len(), COMPARED) {
            let item = self.unseen[i];
            others.extend(self.data.read_items(item..item + 1)?);
        }
        let queries = [&drawn[..], &others].concat();
        let mut nearest = vec![(f32::INFINITY, 0); queries.len() / width];
        let at_once = (BLOCK / width).max(1);
        let items = self.data.items();
        for first in (0..items).step_by(at_once) {
            context.check_cancelled()?;
            let block = first..(first + at_once).min(items);
            context.monitor.progress(
                "nearest training rows",
                block.start as u64,
                items as u64,
                "",
            );
            let trained: Vec<usize> = (block.clone())
                .filter(|item| self.unseen.binary_search(item).is_err())
                .collect();
            let values = self.data.read_items(block)?;
            let row = |item: usize| &values[(item - first) * width..(item - first + 1) * width];
            nearest_rows(&queries, width, &trained, row, &mut nearest);
        }
        let (of_samples, of_others) = nearest.split_at(drawn.len() / width);
        let distances = |of: &[(f32, usize)]| -> Vec<f64> {
            let mean_square = |squared: f32| f64::from(squared) / width as f64;
            of.iter().map(|n| mean_square(n.0).sqrt()).collect()
        };
        let (drawn_apart, mut others_apart) = (distances(of_samples), distances(of_others));
        summary.add(names::NEAREST, mean(&drawn_apart));
        if !others_apart.is_empty() {
            summary.add(names::UNSEEN_NEAREST, mean(&others_apart));
            others_apart.sort_by(f64::total_cmp);
            let bound = others_apart[(NEAR * others_apart.len() as f64) as usize];
            let near = drawn_apart.iter().filter(|d| **d < bound).count();
            summary.add(names::NEAR, near as f64 / drawn_apart.len() as f64);
        }
        let mut rows = Vec::with_capacity(drawn.len());
        for (_, item) in of_samples {
            rows.extend(self.data.read_items(*item..item + 1)?);
        }
        Ok(Nearest {
            samples: drawn,
            rows,
        })
    }
}

/// The items of `kept`, numbered as in the data, without repetition.
pub fn items(kept: &KeptPoints) -> impl Iterator<Item = usize> {
    let each = kept.items.iter().step_by(kept.tokens);
    each.map(|&item| item as usize)
}

/// The names of `items` rows in the dataset `name` of `file`.
fn named(name: &str, data: &Dataset) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (file, _) in data.files() {
        names.extend(read_texts(file, name)?);
    }
    let items = data.items();
    if names.len() == items {
        return Ok(names);
    }
    Err(Error::input(format!(
        "sample.trained_on.names: found {} texts in `{name}` of {}, expected {items}, one per row",
        names.len(),
        data.describe()
    )))
}
