//! A first experiment for somebody's own files: scan them, choose, and say why in comments.
//!
//! - [`pick`]: which datasets are meant
//! - [`readings`]: what is asked for where one can be read in more than one way
//! - [`flow`], [`encode`]: what was found in them, and what is chosen for it
//! - [`yaml`]: how paths and names stand in the file

mod encode;
mod flow;
mod pick;
mod readings;
mod yaml;

use flow::Flow;
use latent_align_stages::context::Monitor;
use latent_align_stages::features::FileListing;
use latent_align_stages::{Error, Result};
pub use readings::DataAs;
use std::fmt::Display;
use std::path::Path;
pub use yaml::name_of;

/// The name of the JSON Schema beside the configuration.
pub const SCHEMA: &str = "latent-align.schema.json";

/// What to write a configuration for.
#[derive(Debug)]
pub struct Request<'a> {
    /// The file of the features, and which dataset if that was said.
    pub features: (&'a Path, Option<&'a str>),
    /// The file of what to encode.
    pub data: Option<&'a Path>,
    /// Which dataset of it.
    pub data_dataset: Option<&'a str>,
    /// Whether features of rank 3 are tokens.
    pub tokens: bool,
    /// How data of rank 3 is read.
    pub data_as: Option<DataAs>,
    /// The command as it was typed, to be typed again with one more option.
    pub typed: String,
    /// Where the configuration will be.
    pub out: &'a Path,
    /// Whether [`SCHEMA`] will be beside it.
    pub schema: bool,
}

/// The configuration.
///
/// # Errors
/// [`Error::Input`] for a file without a dataset that serves, with several where none was named, or with
/// values that are not finite, or that can be read in more than one way; what the scans return.
pub fn starter(request: &Request, monitor: &dyn Monitor) -> Result<String> {
    let (file, dataset) = request.features;
    let listing = FileListing::read(file)?;
    let features = pick::features(&listing, dataset)?;
    let flow = Flow::scan(request, &features, monitor)?;

    let data_file = request.data.unwrap_or(file);
    let same = data_file.canonicalize().ok() == file.canonicalize().ok();
    let taken = same.then_some(features.as_str());
    let data = match (request.data_dataset, request.data) {
        (Some(named), _) => Some(named.to_owned()),
        (None, Some(data)) => Some(pick::data(&FileListing::read(data)?, taken)?),
        (None, None) => pick::images(&listing, taken),
    };
    let encode = match &data {
        Some(dataset) => encode::section(request, data_file, dataset, &flow, monitor)?,
        None => encode::without_data(&flow),
    };
    let comment = if request.schema {
        format!("# yaml-language-server: $schema={SCHEMA}\n")
    } else {
        String::new()
    };
    let out = one_line(request.out.display());
    Ok(format!(
        "\
{comment}# {features_file}: a first experiment, written by `latent-align init` after a scan.
# Every value is a starting point; `latent-align config --defaults` shows all keys and what they mean.
#
#   latent-align plan {out}     what would run, and why; nothing is computed
#   latent-align run {out}      run it; the summary says what came of it
name: {name}

{flow}
{encode}
# Likelihoods under the flow, region by region, and whether the alignment loss stands in for them.
estimate_nll:
  points: 300   # a region
",
        features_file = one_line(file.display()),
        name = name_of(request.out),
        flow = flow.section(request.out)?,
    ))
}

/// `text` for a comment, which ends with its line.
fn one_line(text: impl Display) -> String {
    text.to_string().replace(char::is_control, "?")
}

/// The greatest power of two that is at most `most` and half of `rows`.
fn batch(rows: u64, most: u64) -> u64 {
    let half = (rows / 2).clamp(1, most);
    1 << half.ilog2()
}

/// An error where a scan left rows out.
fn refuse_non_finite(ingest: &latent_align_stages::features::Ingest) -> Result<()> {
    let scan = &ingest.scan;
    let Some((row, column)) = scan.first_non_finite else {
        return Ok(());
    };
    let name = ingest.dataset.name().trim_start_matches('/');
    Err(Error::input(format!(
        "{}: found {} NaN and {} infinite values in {} rows, the first at row {row}, column {column}; expected \
         finite numbers. Write the file again without these rows, with numpy: `x = x[np.isfinite(x).reshape(\
         len(x), -1).all(1)]`; or write the configuration for a clean copy of `{name}` and leave such rows \
         out with `non_finite: drop`",
        ingest.dataset.describe(),
        scan.nan,
        scan.infinite,
        scan.dropped_rows
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_at_most_half_of_the_rows() {
        for (rows, most, expected) in [
            (100, 256, 32),
            (512, 256, 256),
            (1_000_000, 256, 256),
            (3, 128, 1),
        ] {
            assert_eq!(batch(rows, most), expected);
        }
    }
}
