//! Properties of the features, and the flow for them.

use super::request::Request;
use super::rows::{batch, equal_rows, refuse_non_finite, steps};
use super::yaml::one_line;
use super::{readings, yaml};
use crate::tables::number;
use latent_align_stages::context::Monitor;
use latent_align_stages::data::{
    Files, Ingest, NonFinite, NormalisationConfig, Normaliser, Projection, RowView, Scan,
    SourceConfig, Whiten,
};
use latent_align_stages::targets::read_target;
use latent_align_stages::{Error, Result};
use std::fmt::Write as _;
use std::path::Path;

/// Flows of more dimensions are slow to train, and their exact likelihoods slow to compute.
const WIDEST: usize = 64;
/// The width to which wider features are projected, as in `configs/digits.yaml`.
const PROJECTED: usize = 16;
/// Minimum number of rows.
const FEWEST: u64 = 100;

/// The features, and the results of their scan.
#[derive(Debug)]
pub struct Flow {
    /// As the configuration names them.
    files: Files,
    /// The name of the dataset.
    dataset: String,
    /// Name, shape and type.
    shown: String,
    scan: Scan,
    /// The kind of the density, if the file records it.
    target: Option<String>,
    normalisation: Normalisation,
    /// The share of held-out rows, and of test rows.
    held_out: f64,
}

/// How features become points, with the reason.
#[derive(Debug, PartialEq)]
struct Normalisation {
    whiten: Whiten,
    projection: Projection,
    why: String,
}

impl Flow {
    /// Scans `dataset` in the file of the features.
    ///
    /// # Errors
    /// [`Error::Input`] for data that could be tokens or images, and for images; for values that are not finite,
    /// too few rows, or only constant columns; errors of [`Ingest::read`].
    pub fn scan(request: &Request, dataset: &str, monitor: &dyn Monitor) -> Result<Self> {
        let files = request.features.0;
        let source = SourceConfig {
            file: files.clone(),
            dataset: dataset.to_owned(),
            non_finite: NonFinite::Drop,
        };
        let opened = source.open()?;
        let shown = one_line(format_args!(
            "{} {:?} {}",
            opened.name(),
            opened.shape(),
            opened.element()
        ));
        match *opened.shape() {
            [items, tokens, width] if !request.tokens => {
                let shape = [items, tokens, width];
                return Err(readings::features(request, dataset, &shown, shape));
            }
            [_, _, _, _] => {
                return Err(readings::images_as_features(files.first(), dataset, &shown));
            }
            _ => {}
        }
        let narrow = opened.shape()[opened.shape().len() - 1] <= WIDEST;
        let ingest = Ingest::survey(files, dataset, RowView::Tokens, narrow, monitor)?;
        refuse_non_finite(&ingest)?;
        let scan = &ingest.scan;
        let wrong = |what: &str| Err(Error::input(format!("{}: {what}", opened.describe())));
        if scan.rows < FEWEST {
            return wrong(&format!(
                "found {} rows, expected at least {FEWEST}: fewer are no distribution to follow",
                scan.rows
            ));
        }
        if scan.constant_columns.len() == scan.width {
            return wrong(
                "found the same values in every row, read as f32, expected features that differ",
            );
        }
        Ok(Self {
            files: request.named.clone(),
            dataset: dataset.trim_start_matches('/').to_owned(),
            shown,
            target: read_target(&opened)?.map(|target| target.kind()),
            normalisation: normalisation(&ingest),
            held_out: if scan.rows < 1000 { 0.1 } else { 0.05 },
            scan: ingest.scan,
        })
    }

    /// The width of the flow's points.
    pub fn width(&self) -> usize {
        self.normalisation.projection.output_width(self.scan.width)
    }

    /// The section `pretrain_flow` of a configuration at `out`.
    pub fn section(&self, out: &Path) -> Result<String> {
        let Self {
            scan,
            normalisation,
            ..
        } = self;
        let train = (scan.rows as f64 * (1.0 - 2.0 * self.held_out)) as u64;
        let batch = batch(train, 256);
        let steps = steps(60, train, batch);
        let (width, blocks) = network(self.width(), train);
        let mut found = format!("{} rows of width {}, all finite", scan.rows, scan.width);
        match scan.constant_columns.len() {
            0 => found.push_str(", no column constant"),
            1 => found.push_str(", 1 column constant"),
            some => {
                let _ = write!(found, ", {some} columns constant");
            }
        }
        found.push_str(&equal_rows(scan));
        let mut section = format!(
            "\
pretrain_flow:
  # Found {shown}: {found}.
  # Means run from {mean}, standard deviations from {std}.
  features: {{file: {file}, dataset: {dataset}}}
",
            shown = self.shown,
            mean = range(&scan.mean),
            std = range(&scan.std),
            file = yaml::files(&self.files, out)?,
            dataset = yaml::scalar(&self.dataset),
        );
        if let Some(kind) = &self.target {
            section.push_str(&comment(&format!(
                "The file says that their density is known ({kind}): analytic likelihoods are reported \
                 beside the estimated ones."
            )));
        }
        let _ = write!(
            section,
            "\
{why}  normalisation:
    whiten: {whiten}
    projection: {projection}
  held_out: {{fraction: {held_out}}}   # used for selection: learning curves, sweeps
  test: {{fraction: {held_out}}}   # reported figures are of these, which are never used for selection
  # {train} rows to train on, points of {d} dimensions: a larger network fits more rows, and overfits fewer.
  # If the held-out loss (learning-curves.svg) rises again, use fewer steps; if it still falls, more.
  model: {{kind: flow_matching, network: {{width: {width}, blocks: {blocks}}}, times: {times}}}
  steps: {steps}
  batch: {batch}
",
            why = comment(&normalisation.why),
            whiten = whiten_name(normalisation.whiten),
            projection = match normalisation.projection {
                Projection::None => "{kind: none}".to_owned(),
                Projection::Random { width } => format!("{{kind: random, width: {width}}}"),
                Projection::Pca { width } => format!("{{kind: pca, width: {width}}}"),
            },
            held_out = self.held_out,
            d = self.width(),
            times = batch.min(64),
        );
        Ok(section)
    }
}

/// Width and blocks of the velocity network for `rows` points of `d` dimensions.
fn network(d: usize, rows: u64) -> (usize, usize) {
    match (d, rows) {
        (_, ..2_000) => (64, 2),
        (..=4, _) => (64, 4),
        (_, ..5_000) => (128, 3),
        (..=32, _) | (_, ..50_000) => (256, 4),
        _ => (512, 4),
    }
}

fn normalisation(ingest: &Ingest) -> Normalisation {
    let width = ingest.width();
    let constant = ingest.scan.constant_columns.len();
    if width > WIDEST {
        let random = Projection::Random { width: PROJECTED };
        let (whiten, how) = match constant {
            0 => (
                Whiten::PerDimension,
                "Each column is divided by its standard deviation".to_owned(),
            ),
            some => (
                Whiten::Global,
                format!(
                    "All columns are divided by one number, since {some} are constant and have no spread"
                ),
            ),
        };
        return Normalisation {
            whiten,
            projection: random,
            why: format!(
                "{how}, and {width} dimensions, more than a flow of this size learns well, are \
             projected to {PROJECTED} at random, as in the paper. `{{kind: pca, width: {PROJECTED}}}` keeps the \
                 directions of largest variance instead; a larger width keeps more."
            ),
        };
    }
    let pca = |width| NormalisationConfig {
        centre: true,
        whiten: Whiten::Full,
        projection: Projection::Pca { width },
        levels: None,
        logit: None,
    };
    let fits = |&d: &usize| Normaliser::fit(&pca(d), &ingest.moments, 0).is_ok();
    match (1..=width).rev().find(fits).unwrap_or(1) {
        rank if rank < width => Normalisation {
            whiten: Whiten::Full,
            projection: Projection::Pca { width: rank },
            why: format!(
                "The features vary in {rank} directions only ({width} columns, of which {constant} constant and {} \
                 dependent on others): the flow models these directions, each scaled to unit spread.",
                width - constant - rank
            ),
        },
        _ => Normalisation {
            whiten: Whiten::PerDimension,
            projection: Projection::None,
            why: format!(
                "Each column is divided by its standard deviation. {width} dimensions are few enough for a flow \
                 without a projection."
            ),
        },
    }
}

fn whiten_name(whiten: Whiten) -> String {
    let name = serde_json::to_value(whiten).ok();
    name.and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// "a to b" over all of `values`.
fn range(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} to {}", number(least), number(most))
}

/// `text` as comment lines inside a section.
pub fn comment(text: &str) -> String {
    const COLUMNS: usize = 110;
    let mut out = String::from("  #");
    let mut used = 3;
    for word in text.split_whitespace() {
        let length = word.chars().count() + 1;
        if used + length > COLUMNS {
            out.push_str("\n  #");
            used = 3;
        }
        out.push(' ');
        out.push_str(word);
        used += length;
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(rows: usize, row: impl Fn(f32) -> Vec<f32>) -> Result<Flow> {
        use latent_align_hdf5::{OutData, write_datasets};
        use latent_align_stages::context::Silent;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        // fractional parts of multiples of irrational numbers
        let values: Vec<f32> = (0..rows).flat_map(|i| row(i as f32)).collect();
        let shape = [rows, values.len() / rows];
        write_datasets(&path, &[("features", &shape, OutData::F32(&values))], &[]).unwrap();
        let files = Files::from(path);
        let request = Request {
            features: (&files, None),
            named: &files,
            flow: None,
            data: None,
            data_dataset: None,
            tokens: false,
            data_as: None,
            typed: String::new(),
            out: Path::new("a.yaml"),
            schema: false,
        };
        Flow::scan(&request, "/features", &Silent)
    }

    fn irrational(i: f32, columns: usize) -> impl Iterator<Item = f32> {
        (1..=columns).map(move |c| (i * (c as f32 + 1.0).sqrt() * 1.7).fract())
    }

    #[test]
    fn few_independent_columns_are_kept() {
        let flow = survey(300, |i| irrational(i, 3).collect()).unwrap();
        let Normalisation {
            whiten, projection, ..
        } = flow.normalisation;
        assert_eq!(
            (whiten, projection),
            (Whiten::PerDimension, Projection::None)
        );
    }

    #[test]
    fn many_columns_are_projected() {
        let flow = survey(300, |i| irrational(i, 65).collect()).unwrap();
        assert_eq!(flow.width(), PROJECTED);
        assert_eq!(flow.normalisation.whiten, Whiten::PerDimension);
        let constant = |i| irrational(i, 65).chain([1.0]).collect();
        let flow = survey(300, constant).unwrap();
        assert_eq!(flow.normalisation.whiten, Whiten::Global);
    }

    #[test]
    fn a_constant_and_a_dependent_column_leave_the_directions_that_vary() {
        let flow = survey(300, |i| {
            let [a, b]: [f32; 2] = irrational(i, 2).collect::<Vec<_>>().try_into().unwrap();
            vec![a, b, a + b, 5.0]
        });
        let Normalisation {
            whiten,
            projection,
            why,
        } = flow.unwrap().normalisation;
        assert_eq!(
            (whiten, projection),
            (Whiten::Full, Projection::Pca { width: 2 })
        );
        assert!(
            why.contains("4 columns, of which 1 constant and 1 dependent"),
            "{why}"
        );
    }

    #[test]
    fn too_few_rows_and_equal_rows_are_refused() {
        let few = survey(99, |i| irrational(i, 2).collect()).unwrap_err();
        assert!(few.to_string().contains("found 99 rows"), "{few}");
        let equal = survey(200, |_| vec![1.0, 2.0]).unwrap_err();
        assert!(
            equal.to_string().contains("same values in every row"),
            "{equal}"
        );
    }
}
