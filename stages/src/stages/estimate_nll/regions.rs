//! The point sets whose likelihoods are estimated, fixed before anything is measured.

use super::config::Config;
use crate::data::{Dataset, Part, dataset_shape, has_dataset};
use crate::error::{Error, Result};
use crate::figures::estimate_nll::{
    BOX, FREE_POINTS, GRID, HELD_OUT_FEATURES, HELD_OUT_LATENTS, MEANS, TEST_FEATURES,
    TEST_LATENTS, TRAINING_LATENTS, UNALIGNED,
};
use crate::priors::{Batch, KeptPoints, PointShape};
use crate::random::Streams;
use crate::tensors::spread_indices;
use rand::RngExt;
use std::path::Path;

/// A set of points with its own figures.
#[derive(Clone)]
pub struct Region {
    /// Name in tables.
    pub name: &'static str,
    /// The points of the flow as rows [n, T d], and their conditions, if known and supported by the flow.
    pub points: Batch,
    /// T d.
    pub width: usize,
    /// Number of points that belong together, such as the tokens of one image.
    pub group: usize,
}

/// The artifacts that provide points.
pub struct Sources<'a> {
    pub flow: &'a Path,
    /// The autoencoder aligned with it.
    pub autoencoder: Option<&'a Path>,
    /// The transport of its latents, if any; transported latents replace its own.
    pub transport: Option<&'a Path>,
    /// An autoencoder used for comparison.
    pub unaligned: Option<&'a Path>,
}

impl Region {
    /// Number of points.
    pub fn count(&self) -> usize {
        self.points.values.len() / self.width
    }

    /// At most `at_most` points, one from each of evenly spaced groups, with the position in the group
    /// changing in turn.
    pub fn sample(&self, at_most: usize) -> Batch {
        let groups = spread_indices(self.count().div_ceil(self.group), at_most);
        let chosen = groups.map(|number| number * self.group + number % self.group);
        self.points.select(self.width, &chosen.collect::<Vec<_>>())
    }
}

/// The regions for a flow over points of `shape`.
///
/// # Errors
/// File errors; an input error for latents of another shape than a point of the flow.
pub fn regions(
    config: &Config,
    sources: &Sources,
    shape: PointShape,
    streams: Streams,
) -> Result<Vec<Region>> {
    let kept = KeptPoints::shown(sources.flow)?;
    let mut regions = Vec::new();
    if let Some((part, kept)) = &kept {
        regions.push(of_features(config, *part, kept, shape));
    }
    regions.extend(of_latents(config, sources, shape)?);
    if let Some((_, kept)) = &kept {
        regions.extend(around(
            config,
            &kept.points.values,
            shape.elements(),
            streams,
        ));
    }
    match regions.is_empty() {
        false => Ok(regions),
        true => Err(Error::input(format!(
            "{}: found no features with this flow (it was imported) and no autoencoder, \
             expected at least one of them; add a train_autoencoder section",
            sources.flow.display()
        ))),
    }
}

fn of_features(config: &Config, part: Part, kept: &KeptPoints, shape: PointShape) -> Region {
    let at_most = (config.points * shape.tokens).max(FEWEST_ROWS * kept.tokens);
    Region {
        name: match part {
            Part::Test => TEST_FEATURES,
            _ => HELD_OUT_FEATURES,
        },
        points: kept.some(at_most),
        width: shape.elements(),
        group: kept.tokens / shape.tokens,
    }
}

/// Of each kind of latents, the first dataset that there is.
fn of_latents(config: &Config, sources: &Sources, shape: PointShape) -> Result<Vec<Region>> {
    let aligned = sources.transport.or(sources.autoencoder);
    let means = ["test_means", "point_means", "held_out_means"];
    let unaligned = ["test_latents", "points", "held_out_latents"];
    let latents = [
        (TEST_LATENTS, aligned, &["test_latents"][..]),
        (FREE_POINTS, aligned, &["points"]),
        (MEANS, aligned, &means),
        (HELD_OUT_LATENTS, aligned, &["held_out_latents"]),
        (TRAINING_LATENTS, aligned, &["train_latents"]),
        (UNALIGNED, sources.unaligned, &unaligned),
    ];
    let mut regions = Vec::new();
    for (name, directory, datasets) in latents {
        let Some(directory) = directory else { continue };
        let path = directory.join("latents.h5");
        for dataset in datasets {
            if has_dataset(&path, dataset)? {
                let (values, group) = read_latents(&path, dataset, shape, config.points)?;
                regions.push(Region {
                    name,
                    points: Batch::new(values),
                    width: shape.elements(),
                    group,
                });
                break;
            }
        }
    }
    Ok(regions)
}

/// The uniform box and the grid around `features` [n, width], as far as they are asked for.
fn around(config: &Config, features: &[f32], width: usize, streams: Streams) -> Vec<Region> {
    let region = |name, values| Region {
        name,
        points: Batch::new(values),
        width,
        group: 1,
    };
    let mut regions = Vec::new();
    let bounds = bounds(features, width, config.grid_margin);
    if config.box_points > 0 {
        let mut rng = streams.at("uniform box", 0);
        let points = (0..config.box_points)
            .flat_map(|_| bounds.clone())
            .map(|(low, high)| low + (high - low) * rng.random::<f32>())
            .collect();
        regions.push(region(BOX, points));
    }
    if let [x, y] = bounds[..]
        && config.grid_cells > 0
    {
        regions.push(region(GRID, grid(x, y, config.grid_cells)));
    }
    regions
}

/// Minimum number of rows of data, however many tokens they have.
const FEWEST_ROWS: usize = 20;

/// About `at_most` points of the dataset [N, T, d] of latents, in whole rows of data, and the number of
/// points of the flow per row.
fn read_latents(
    path: &Path,
    dataset: &str,
    PointShape {
        tokens: of_point,
        width,
    }: PointShape,
    at_most: usize,
) -> Result<(Vec<f32>, usize)> {
    let shape = dataset_shape(path, dataset)?;
    let [count, tokens, found] = shape[..] else {
        return Err(Error::file(
            path,
            format!("`{dataset}` is {shape:?}, expected [N, T, d]"),
        ));
    };
    if found != width {
        return Err(Error::input(format!(
            "{}: found latents of width {found}, expected {width}, the width of the flow's points",
            path.display()
        )));
    }
    if !tokens.is_multiple_of(of_point) {
        return Err(Error::input(format!(
            "{}: found {tokens} tokens per row, expected {of_point}, as in a point of the flow",
            path.display()
        )));
    }
    let group = tokens / of_point;
    let rows = (at_most / group).max(FEWEST_ROWS);
    let chosen = spread_indices(count, rows);
    Ok((read_chosen(path, dataset, chosen)?, group))
}

/// Bytes read around a chosen row; small compared with the distance between two of a large dataset.
const AROUND: usize = 1 << 18;

/// The rows `chosen`, ascending, of a dataset that may be larger than memory.
fn read_chosen(
    path: &Path,
    dataset: &str,
    chosen: impl Iterator<Item = usize>,
) -> Result<Vec<f32>> {
    let (mut chosen, mut found) = (chosen.peekable(), Vec::new());
    if chosen.peek().is_none() {
        return Ok(found);
    }
    let data = Dataset::open(path, dataset)?;
    let width = data.item_width();
    for items in data.blocks(AROUND) {
        if chosen.peek().is_none_or(|&item| item >= items.end) {
            continue;
        }
        let values = data.read_items(items.clone())?;
        while let Some(item) = chosen.next_if(|&item| item < items.end) {
            let first = (item - items.start) * width;
            found.extend_from_slice(&values[first..first + width]);
        }
    }
    Ok(found)
}

/// The range of `features` [n, d] in each dimension, extended by the share `margin` on each side.
fn bounds(features: &[f32], width: usize, margin: f64) -> Vec<(f32, f32)> {
    (0..width)
        .map(|axis| {
            let values = features.iter().skip(axis).step_by(width);
            let (low, high) = values.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &x| {
                (l.min(x), h.max(x))
            });
            let margin = margin as f32 * (high - low);
            (low - margin, high + margin)
        })
        .collect()
}

/// A regular grid of `cells` x `cells` points, row by row.
fn grid(x: (f32, f32), y: (f32, f32), cells: usize) -> Vec<f32> {
    let line =
        |(low, high): (f32, f32), i: usize| low + (high - low) * i as f32 / (cells - 1) as f32;
    (0..cells)
        .flat_map(|row| (0..cells).flat_map(move |column| [line(x, column), line(y, row)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoencoders::PartLatents;
    use crate::numerics::standard_error;

    /// Fails if the autoencoder's own latents are used although the run transports them.
    #[test]
    fn latents_are_those_of_the_transport_where_there_is_one() {
        let dirs = [1.0, 2.0].map(|value| {
            let dir = tempfile::tempdir().unwrap();
            let latents = PartLatents {
                items: (0..9).collect(),
                values: vec![value; 18],
                means: Some(vec![value + 0.5; 18]),
            };
            let parts = Part::ALL.map(|part| (part, &latents));
            PartLatents::write(&parts, [1, 2], dir.path()).unwrap();
            dir
        });
        let [autoencoder, transport] = dirs.each_ref().map(|dir| Some(dir.path()));
        let flow = tempfile::tempdir().unwrap();
        let shape = PointShape {
            tokens: 1,
            width: 2,
        };
        for (transport, expected) in [(None, 1.0), (transport, 2.0)] {
            let sources = Sources {
                flow: flow.path(),
                autoencoder,
                transport,
                unaligned: None,
            };
            let found = regions(&Config::default(), &sources, shape, Streams::new(0)).unwrap();
            let of = |name| found.iter().find(|region| region.name == name).unwrap();
            for name in [TEST_LATENTS, HELD_OUT_LATENTS, TRAINING_LATENTS] {
                assert_eq!(of(name).points.values, vec![expected; 18], "{name}");
            }
            assert_eq!(of(MEANS).points.values, vec![expected + 0.5; 18]);
        }
    }

    /// Fails if rows of a later block are taken from the wrong place. 3,000 rows of 100 KiB would be 300 MB.
    #[test]
    fn chosen_rows_are_read_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let count = 3_000usize;
        let latents = PartLatents {
            items: (0..count as i64).collect(),
            values: (0..count * 64).map(|at| (at / 64) as f32).collect(),
            means: None,
        };
        let parts = Part::ALL.map(|part| (part, &latents));
        PartLatents::write(&parts, [32, 2], dir.path()).unwrap();
        let path = dir.path().join("latents.h5");
        let chosen = [0, 1, 511, 512, 1023, 1024, 2999];
        let found = read_chosen(&path, "train_latents", chosen.into_iter()).unwrap();
        let rows: Vec<usize> = found.chunks(64).map(|row| row[63] as usize).collect();
        assert_eq!(rows, chosen);
        let none = read_chosen(&path, "train_latents", std::iter::empty()).unwrap();
        assert!(none.is_empty());
    }

    /// Regression: tokens of one item were treated as independent, so that errors were too small by up to
    /// the square root of T.
    #[test]
    fn tokens_of_one_feature_belong_together() {
        let dir = tempfile::tempdir().unwrap();
        let noise = Streams::new(1).normal("items", 0, 40);
        // all four tokens of an item are equal
        let values: Vec<f32> = noise.iter().flat_map(|&v| [v; 8]).collect();
        let kept = KeptPoints {
            points: Batch {
                values: values.clone(),
                conditions: None,
            },
            width: 2,
            items: (0..40).flat_map(|item| [item; 4]).collect(),
            tokens: 4,
        };
        kept.save(Part::Test, dir.path()).unwrap();
        let sources = Sources {
            flow: dir.path(),
            autoencoder: None,
            transport: None,
            unaligned: None,
        };
        let shape = PointShape {
            tokens: 1,
            width: 2,
        };
        let config = Config {
            points: 100,
            ..Config::default()
        };
        let found = regions(&config, &sources, shape, Streams::new(0)).unwrap();
        let features = &found[0];
        assert_eq!((features.name, features.group), (TEST_FEATURES, 4));
        assert_eq!(features.count(), 100, "25 whole items");
        for item in features.points.values.chunks(8) {
            assert_eq!(item, [item[0]; 8]);
        }
        let of_points: Vec<f64> = (features.points.values.iter().step_by(2))
            .map(|&v| f64::from(v))
            .collect();
        let of_items: Vec<f64> = of_points.iter().step_by(4).copied().collect();
        let error = standard_error(&of_points, features.group);
        assert!((error - standard_error(&of_items, 1)).abs() < 1e-12);
        assert!(error > 1.9 * standard_error(&of_points, 1));
    }
}
