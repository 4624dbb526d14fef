//! The data to encode, and the autoencoder for it.

use super::flow::{Flow, comment};
use super::request::{DataAs, Request};
use super::rows::{batch, equal_rows, refuse_non_finite, steps};
use super::yaml::one_line;
use super::{readings, yaml};
use crate::tables::number;
use latent_align_hdf5::{Dataset, Element};
use latent_align_stages::context::Monitor;
use latent_align_stages::data::{Ingest, RowView, refuse_channels_last};
use latent_align_stages::{Error, Result};
use std::path::Path;

/// Images with a shorter side below this use dense layers.
const SMALLEST_CONVOLVED: usize = 16;
/// Convolutions reduce images to about this size.
const CONVOLVED_TO: usize = 8;
/// Maximum number of tokens of a latent.
const MOST_TOKENS: usize = 64;

/// The section `train_autoencoder` for `dataset` in `file`.
///
/// # Errors
/// [`Error::Input`] for values that are not finite, images with negative values or channels last, and data
/// that could be images or vectors; errors of [`Ingest::read`].
pub fn section(
    request: &Request,
    file: &Path,
    dataset: &str,
    width: usize,
    monitor: &dyn Monitor,
) -> Result<String> {
    // Before the scan, which may take long.
    let items = items(request, file, dataset)?;
    let ingest = Ingest::survey(&file.into(), dataset, RowView::Items, false, monitor)?;
    refuse_non_finite(&ingest)?;
    let data = &ingest.dataset;
    let (least, most) = range(&ingest);
    if !matches!(items, Items::Vectors) {
        refuse_negative(data, least)?;
    }
    let rows = ingest.scan.rows;
    let held_out = if rows < 2000 { 0.1 } else { 0.05 };
    let train = (rows as f64 * (1.0 - 2.0 * held_out)) as u64;
    refuse_useless(&ingest, train)?;
    let equal = equal_rows(&ingest.scan);
    let batch = batch(train, 128);
    let steps = steps(100, train, batch);
    let elements = data.item_width();
    let tokens = tokens(elements, width);
    let (divisor, why) = maximum(data.element(), least, most);
    Ok(format!(
        "\
train_autoencoder:
  # Found {shown}: {rows} rows of {elements} numbers, all finite, from {least} to {most}{equal}.
{why}  data: {{file: {file}, dataset: {dataset}{said}{divisor}}}
  held_out: {{fraction: {held_out}}}   # used for selection: learning curves, the best checkpoint, sweeps
  test: {{fraction: {held_out}}}   # reported figures are of these, which are never used for selection
  architecture: {architecture}
{about_latent}  latent: {{tokens: {tokens}, width: {width}}}
  reconstruction: mse
{about_regulariser}  regulariser: {{kind: distribution_matching, weight: 2.0e-2}}
  steps: {steps}
  batch: {batch}
",
        shown = one_line(format_args!(
            "{} {:?} {}",
            data.name(),
            data.shape(),
            data.element()
        )),
        least = number(least),
        most = number(most),
        why = comment(&why),
        file = yaml::path(file, request.out)?,
        said = match items {
            Items::Grey(height, width) => format!(", shape: [1, {height}, {width}]"),
            _ => String::new(),
        },
        dataset = yaml::scalar(data.name().trim_start_matches('/')),
        architecture = architecture(items),
        about_latent = comment(&format!(
            "{tokens} x {width} numbers for {elements}: a latent consists of {tokens} tokens \
         that are points of the flow, so their width must be {width}. More tokens reconstruct better."
        )),
        about_regulariser = comment(
            "Matches the distribution of the latents to the flow, whole rows included. A larger weight follows the \
             flow more closely and reconstructs worse: try several, the summary shows both (mean squared error, \
             accuracy of a classifier, coverage). `kind: alignment` is the paper's loss, which takes a third of the \
             time and has no term against collapse."
        ),
    ))
}

/// Refuses data that are all equal, or of which too few rows are left to `train` on.
fn refuse_useless(ingest: &Ingest, train: u64) -> Result<()> {
    let scan = &ingest.scan;
    let why = match scan.constant_columns.len() == scan.width {
        true => "the same values in every row, read as f32, expected data that differ".to_owned(),
        false if train < 16 => format!(
            "{} rows, expected at least 20 to train an autoencoder",
            scan.rows
        ),
        false => return Ok(()),
    };
    let place = ingest.dataset.describe();
    Err(Error::input(format!("{place}: found {why}")))
}

/// The section without data to encode: free points if they can be visualised, else a template to fill in.
pub fn without_data(flow: &Flow) -> String {
    let width = flow.width();
    if width == 2 {
        return format!(
            "\
{}train_autoencoder:
  architecture: {{kind: points, count: 1000}}
  latent: {{width: 2}}
  regulariser: {{kind: distribution_matching, weight: 1.0}}
  optimiser: {{learning_rate: 2.0e-2, warmup_steps: 0, ema: 0.0}}
  steps: 1000
",
            comment(
                "There is nothing to encode, so 1,000 free points follow the flow; in two dimensions, this gives pictures (heatmaps.svg, trajectories.svg). For an autoencoder, run `latent-align init` again with \
                 `--data FILE.h5`, the images or vectors to encode."
            )
            .replace("  #", "#")
        );
    }
    format!(
        "\
# There is nothing to encode yet. For an autoencoder whose latents follow the flow, run `latent-align init`
# again with `--data FILE.h5`, the images [N, C, H, W] or vectors [N, D] to encode, or fill this in:
#
# train_autoencoder:
#   data: {{file: images.h5, dataset: images}}
#   latent: {{tokens: 2, width: {width}}}   # the width is that of the flow's points
#   regulariser: {{kind: distribution_matching, weight: 2.0e-2}}
"
    )
}

fn range(ingest: &Ingest) -> (f64, f64) {
    let least = ingest
        .scan
        .min
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min);
    let most = ingest
        .scan
        .max
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    (least, most)
}

/// The items of a dataset.
#[derive(Clone, Copy)]
enum Items {
    Vectors,
    /// Height and width of images with one channel, whose axis the file omits.
    Grey(usize, usize),
    /// Height and width.
    Images(usize, usize),
}

/// The meaning of the axes of `dataset` in `file`, if unambiguous or specified.
fn items(request: &Request, file: &Path, dataset: &str) -> Result<Items> {
    let opened = Dataset::open(file, dataset)?;
    Ok(match (opened.shape(), request.data_as) {
        (&[_, _, _, _], Some(DataAs::Vectors)) => Items::Vectors,
        (&[_, _, height, width], _) => {
            refuse_channels_last(&opened, "train_autoencoder.data")?;
            Items::Images(height, width)
        }
        (&[_, height, width], Some(DataAs::Images)) => Items::Grey(height, width),
        (&[rows, height, width], None) => {
            let shown = one_line(format_args!(
                "{} {:?} {}",
                opened.name(),
                opened.shape(),
                opened.element()
            ));
            return Err(readings::data(request, file, &shown, [rows, height, width]));
        }
        (_, Some(DataAs::Images)) => {
            return Err(Error::input(format!(
                "{}: found vectors, expected [N, H, W] or [N, C, H, W] for --data-as images; leave that out and \
                 add `shape: [C, H, W]` to train_autoencoder.data in what is written",
                opened.describe()
            )));
        }
        _ => Items::Vectors,
    })
}

fn refuse_negative(images: &Dataset, least: f64) -> Result<()> {
    if least >= 0.0 {
        return Ok(());
    }
    Err(Error::input(format!(
        "{}: found values down to {}, expected images from 0 up; rescale them to [0, 1]",
        images.describe(),
        number(least)
    )))
}

/// Dense layers, or as many convolutions as the image size allows.
fn architecture(items: Items) -> String {
    let side = match items {
        Items::Grey(height, width) | Items::Images(height, width) => height.min(width),
        Items::Vectors => 1,
    };
    if side < SMALLEST_CONVOLVED {
        return "{kind: dense, widths: [256, 256]}".into();
    }
    let mut channels = Vec::new();
    let mut left = side;
    while left > CONVOLVED_TO && channels.len() < 5 {
        channels.push((32 << channels.len()).min(128));
        left = left.div_ceil(2);
    }
    format!("{{kind: convolutional, channels: {channels:?}}}")
}

/// Number of tokens of `width` numbers for a row of `elements`: an eighth of the row, at least 32 numbers,
/// at most the size of the row.
fn tokens(elements: usize, width: usize) -> usize {
    let wanted = (elements / 8).max(32).div_ceil(width);
    wanted.min(elements / width).clamp(1, MOST_TOKENS)
}

/// The key `maximum`, if needed, and its reason.
fn maximum(element: Element, least: f64, most: f64) -> (String, String) {
    let size = most.abs().max(least.abs());
    let key = || format!(", maximum: {size:?}");
    match element {
        Element::U8 if size > 0.0 && size <= 127.0 => (
            key(),
            format!(
                "Values are divided by {size}, the largest one, and not by 255, the largest of a byte."
            ),
        ),
        Element::U8 => (String::new(), "Bytes are divided by 255.".into()),
        _ if size > 1.0 => (
            key(),
            format!("Values are divided by {size}, the largest one, so that none is beyond 1."),
        ),
        _ => (
            String::new(),
            "Values are within 1 and stay as they are.".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latent_is_smaller_than_its_row_wherever_it_can_be() {
        for (elements, width, expected) in [
            (64, 16, 2),
            (784, 16, 7),
            (4, 2, 2),
            (4, 16, 1),
            (1_000_000, 2, 64),
        ] {
            assert_eq!(tokens(elements, width), expected, "{elements}, {width}");
        }
    }

    #[test]
    fn large_images_are_convolved_and_small_ones_are_not() {
        assert!(architecture(Items::Images(8, 8)).contains("dense"));
        assert!(architecture(Items::Vectors).contains("dense"));
        assert!(architecture(Items::Grey(28, 28)).contains("[32, 64]"));
        assert!(architecture(Items::Images(224, 300)).contains("[32, 64, 128, 128, 128]"));
    }

    #[test]
    fn values_are_divided_by_the_largest_where_that_is_not_the_types() {
        assert_eq!(maximum(Element::U8, 0.0, 16.0).0, ", maximum: 16.0");
        assert_eq!(maximum(Element::U8, 0.0, 254.0).0, "");
        assert_eq!(maximum(Element::F32, 0.0, 1.0).0, "");
        assert_eq!(maximum(Element::F32, -3.5, 2.0).0, ", maximum: 3.5");
    }
}
