//! An HDF5 file: its contents, the statistics of one full pass over each dataset, and its first rows.

use crate::tables::{bytes, columns, number};
use latent_align_hdf5::{
    Contents, Dataset, DatasetInfo, FileListing, Statistics, rehearse_together,
};
use latent_align_stages::context::Monitor;
use latent_align_stages::data::{Ingest, RowView, Scan, refuse_channels_last};
use latent_align_stages::{Error, Result};
use std::fmt::Write as _;
use std::path::Path;

/// The number of columns shown one by one; for wider data only the range over all columns is shown.
const COLUMNS: usize = 16;

/// The number of characters shown of an attribute.
const LONGEST_ATTRIBUTE: usize = 100;

/// The contents of the file, the statistics of one full pass over each dataset, or over `dataset`
/// alone, and the first `rows` of each.
///
/// # Errors
/// [`Error::Input`] for a file that cannot be read, and for a `dataset` that cannot be.
pub fn page(
    file: &Path,
    dataset: Option<&str>,
    rows: usize,
    monitor: &dyn Monitor,
) -> Result<String> {
    let listing = FileListing::read(file)?;
    let mut out = format!("{}\n{}", file.display(), contents(&listing));
    let chosen: Vec<String> = match dataset {
        Some(name) => vec![format!("/{}", name.trim_matches('/'))],
        None => listing.datasets.iter().map(|d| d.name.clone()).collect(),
    };
    if chosen.len() > 1 {
        rehearse_together(file, &chosen, rows, &|| monitor.cancelled());
    }
    for name in chosen {
        if monitor.cancelled() {
            return Err(Error::Cancelled);
        }
        let _ = write!(out, "\n{}\n", one_line(&name));
        let found = listing.datasets.iter().find(|d| d.name == name);
        let scanned = match found {
            Some(found) if !is_numeric(found) => None,
            _ => Some(scan(file, &name, monitor)),
        };
        let whole = match scanned {
            Some(Ok(scan)) => {
                out.push_str(&reading(&scan.dataset, &scan.scan));
                out.push_str(&figures(&scan.scan));
                false
            }
            // A dataset that cannot be features is still shown, unless it does not exist.
            Some(Err(Error::Input(why))) if found.is_some() => {
                let _ = writeln!(out, "  not features: {why}");
                true
            }
            Some(Err(error @ Error::Cancelled)) => return Err(error),
            Some(Err(error)) if dataset.is_some() => return Err(error),
            Some(Err(error)) => {
                let _ = writeln!(out, "  DAMAGED: {error}");
                continue;
            }
            None => true,
        };
        match Contents::read(file, &name, whole, rows) {
            Ok(contents) => out.push_str(&rest(&contents)),
            Err(error) if dataset.is_some() => return Err(error.into()),
            // already reported
            Err(error) if out.contains(&error.to_string()) => {}
            Err(error) => {
                let _ = writeln!(out, "  {error}");
            }
        }
    }
    Ok(out)
}

/// Statistics over all numbers, and first rows.
fn rest(contents: &Contents) -> String {
    let mut out = String::new();
    if let Some(Statistics {
        finite,
        nan,
        infinite,
        mean,
        std,
        min,
        max,
    }) = contents.statistics
    {
        let _ = write!(
            out,
            "  {finite} finite numbers; NaN {nan}, infinite {infinite}"
        );
        if finite > 0 {
            let [mean, std, min, max] = [mean, std, min, max].map(number);
            let _ = write!(out, "; mean {mean}, std {std}, min {min}, max {max}");
        }
        out.push('\n');
    }
    for (row, values) in contents.rows.iter().enumerate() {
        let _ = writeln!(out, "  [{row}] {values}");
    }
    out
}

fn is_numeric(dataset: &DatasetInfo) -> bool {
    ["f16", "f32", "f64", "u8"].contains(&dataset.dtype.as_str()) && dataset.shape.len() >= 2
}

fn contents(listing: &FileListing) -> String {
    let header = ["  dataset", "shape", "type", "size", "layout"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for dataset in &listing.datasets {
        let mut layout = match &dataset.chunks {
            Some(chunks) => format!("chunks {chunks:?}"),
            None => "contiguous".into(),
        };
        for filter in &dataset.filters {
            let _ = write!(layout, " {filter}");
        }
        rows.push(vec![
            format!("  {}", one_line(&dataset.name)),
            format!("{:?}", dataset.shape),
            dataset.dtype.clone(),
            bytes(dataset.stored_bytes),
            layout,
        ]);
    }
    let mut out = columns(&rows);
    for dataset in &listing.datasets {
        for (name, value) in &dataset.attributes {
            let value: String = value.chars().take(LONGEST_ATTRIBUTE).collect();
            let _ = writeln!(
                out,
                "  {}",
                one_line(&format!("{}@{name} = {value}", dataset.name))
            );
        }
    }
    for link in &listing.external_links {
        let link = one_line(link);
        let _ = writeln!(out, "  {link}: a link into another file, not followed");
    }
    for group in &listing.too_deep {
        let _ = writeln!(
            out,
            "  {group}: a group nested too deep to look for datasets in it"
        );
    }
    out
}

/// A name on one line: it could contain line breaks.
fn one_line(name: &str) -> String {
    name.replace('\n', "\\n")
}

fn scan(file: &Path, dataset: &str, monitor: &dyn Monitor) -> Result<Ingest> {
    let rows = |view| Ingest::survey(&file.into(), dataset, view, false, monitor);
    // Images have no token width; each is one row.
    match rows(RowView::Tokens) {
        Err(Error::Input(_)) => rows(RowView::Items),
        done => done,
    }
}

/// How the axes were read, if it is ambiguous.
fn reading(dataset: &Dataset, scan: &Scan) -> String {
    match *dataset.shape() {
        [items, tokens, width] => format!(
            "  read as {items} items of {tokens} tokens of width {width}, which {items} images of {tokens} x {width} \
             would look like\n"
        ),
        [_, channels, height, width] => match refuse_channels_last(dataset, "the data") {
            Err(_) => format!(
                "  channels last? {channels} x {height} pixels of {width}: `x.transpose(0, 3, 1, 2)` makes images \
                 [N, C, H, W] of them\n"
            ),
            Ok(()) => format!(
                "  {} images [C, H, W] = [{channels}, {height}, {width}]\n",
                scan.rows
            ),
        },
        _ => String::new(),
    }
}

fn figures(scan: &Scan) -> String {
    let mut out = format!(
        "  {} rows of width {}; NaN {}, infinite {}, constant columns {}, rows that equal an earlier one {}\n",
        scan.rows,
        scan.width,
        scan.nan,
        scan.infinite,
        scan.constant_columns.len(),
        (scan.equal_rows).map_or("not counted".to_owned(), |count| count.to_string()),
    );
    if let Some((row, column)) = scan.first_non_finite {
        let _ = writeln!(
            out,
            "  first value that is not finite: row {row}, column {column}; {} rows would be dropped",
            scan.dropped_rows
        );
    }
    let mut rows = vec![
        ["  column", "mean", "std", "min", "max"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let each = scan
        .mean
        .iter()
        .zip(&scan.std)
        .zip(&scan.min)
        .zip(&scan.max);
    for (i, (((mean, std), min), max)) in each.take(COLUMNS).enumerate() {
        let numbers = [mean, std, min, max].map(|v| number(*v));
        rows.push([vec![format!("  {i}")], numbers.to_vec()].concat());
    }
    out.push_str(&columns(&rows));
    if scan.width > COLUMNS {
        let smallest = |v: &[f64]| number(v.iter().copied().fold(f64::INFINITY, f64::min));
        let largest = |v: &[f64]| number(v.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        let _ = writeln!(
            out,
            "  all {}: mean {} to {}, std {} to {}, values {} to {}",
            scan.width,
            smallest(&scan.mean),
            largest(&scan.mean),
            smallest(&scan.std),
            largest(&scan.std),
            smallest(&scan.min),
            largest(&scan.max)
        );
    }
    out
}
