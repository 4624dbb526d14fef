//! Samples of a flow: points, features, and data decoded by an autoencoder.

use super::columns::{self, Column};
use super::conditions::{Condition, OfRows};
use super::decoder::{Decoder, Through};
use super::encode::rows_at_once;
use super::grid::{Grid, Images};
use super::lineage::Lineage;
use super::work::{Keep, Work};
use crate::context::Monitor;
use crate::data::{Attribute, DataShape, Inverse};
use crate::error::{Error, Result};
use crate::persist::Partial;
use crate::priors::{
    AwayFrom, Cut, Flow, ModelConfig, Placement, PointShape, Points, SampleOptions, Steps, add_up,
    denoised, stored,
};
use crate::tensors::to_f32;
use burn::tensor::{Device, Int, Tensor};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Approximate number of points drawn at once.
const POINTS: usize = 1024;
/// Maximum number of redraws of a sample that is not finite.
const AGAIN: u64 = 10;

/// Sampling options.
#[derive(Debug, Clone)]
pub struct SampleConfig {
    /// Number of samples.
    pub count: usize,
    /// Conditions; those of rows are used in turn.
    pub condition: Option<Condition>,
    /// Noise, temperature, guidance and steps.
    pub options: SampleOptions,
    /// Standard deviation, in the flow's space, of noise that is removed afterwards.
    pub denoise: Option<f64>,
}

/// Drawing samples.
pub struct Sample {
    flow: Flow,
    config: SampleConfig,
    condition: Option<OfRows>,
    /// Tokens per sample.
    tokens: usize,
    inverse: Option<Inverse>,
    decoder: Option<Decoder>,
    columns: Vec<Column>,
    /// Total number of network evaluations so far, per block.
    evaluations: Mutex<Vec<f64>>,
    /// Number of redraws of samples that were not finite.
    again: AtomicUsize,
}

/// An autoencoder that decodes samples.
pub struct Decoding<'a> {
    pub dir: &'a Path,
    /// The transport of its latents, if any.
    pub through: Option<Through<'a>>,
    /// Name of the output dataset.
    pub name: &'a str,
}

/// The points of `flow` with the fingerprint `fingerprint`, `tokens` to a row, and the features that `inverse` gives.
fn columns_of_points(
    flow: &Flow,
    fingerprint: &str,
    tokens: usize,
    decoder: Option<&Decoder>,
    inverse: Option<&Inverse>,
) -> Vec<Column> {
    let shape = flow.prior.shape();
    let of_points = |width| match (tokens, decoder) {
        (1, None) => vec![width],
        _ => vec![tokens, width],
    };
    let lineage = Lineage {
        flow: Some(fingerprint.to_owned()),
        ..Lineage::default()
    };
    let mut columns = vec![Column {
        name: "points".to_owned(),
        shape: of_points(shape.width),
        attributes: lineage.attributes(),
    }];
    if inverse.is_some() {
        let text = |name: &str, text: &str| (name.to_owned(), Attribute::Text(text.into()));
        columns.push(Column {
            name: "features".to_owned(),
            shape: match (flow.layout.cut, tokens / shape.tokens) {
                (Cut::None, _) => of_points(flow.normaliser.input_width),
                (_, 1) => flow.feature_shape(),
                (_, points) => [&[points], &flow.feature_shape()[..]].concat(),
            },
            attributes: vec![
                text("space", "features, as the flow was trained on"),
                text("units", "those of these features"),
            ],
        });
    }
    columns
}

impl Sample {
    /// Draws samples of the flow in the directory `dir` with fingerprint `flow`; with `decoding`, each sample has
    /// the tokens of a latent and is decoded.
    ///
    /// # Errors
    /// As [`Flow::load`]; file errors for the autoencoder; input errors for options out of range, unsupported by
    /// the flow, or inconsistent.
    pub fn open(
        dir: &Path,
        flow: &str,
        decoding: Option<&Decoding>,
        config: SampleConfig,
        device: &Device,
    ) -> Result<Self> {
        refuse_out_of_range(&config)?;
        refuse_what_it_lacks(&stored(dir)?.model, &config)?;
        let place = Placement {
            gradients: config.denoise.is_some(),
            ..Placement::on(device)
        };
        let loaded = Flow::load(dir, &place)?;
        let prior = &loaded.prior;
        let condition = (config.condition.as_ref())
            .map(|condition| OfRows::read(condition, prior.condition()))
            .transpose()?;
        let shape = prior.shape();
        let decoder = decoding
            .map(|d| Decoder::load(d.dir, d.through, device))
            .transpose()?;
        let tokens = match &decoder {
            None => shape.tokens,
            Some(decoder) => tokens_of_latents(decoder, shape)?,
        };
        if condition.is_some() && tokens != shape.tokens {
            return Err(Error::input(
                "--condition: found latents of several points, expected one: leave --decode or --condition out",
            ));
        }
        let (inverse, own) = (loaded.features_of(), decoder.as_ref());
        let mut columns = columns_of_points(&loaded, flow, tokens, own, inverse.as_ref());
        if let (Some(decoder), Some(decoding)) = (&decoder, decoding) {
            columns.push(decoder.column(decoding.name));
        }
        Ok(Self {
            inverse,
            flow: loaded,
            config,
            condition,
            tokens,
            decoder,
            columns,
            evaluations: Mutex::default(),
            again: AtomicUsize::new(0),
        })
    }

    /// Writes the rows of `partial` to the HDF5 file `path`.
    ///
    /// # Errors
    /// File errors.
    pub fn write(&self, partial: &mut Partial, path: &Path) -> Result<()> {
        columns::write(partial, &self.columns, path)
    }

    /// The output data, or else the features, if these are images.
    fn images(&self) -> Option<Images> {
        if let Some(decoder) = &self.decoder {
            return Some(decoder.images(self.columns.len() - 1));
        }
        let (Cut::Patches(patches), Some(range)) = (self.flow.layout.cut, self.flow.layout.range)
        else {
            return None;
        };
        (self.inverse.is_some()).then_some(Images {
            column: 1,
            shape: patches.image,
            range,
        })
    }

    /// Checks that samples become images that can be shown.
    ///
    /// # Errors
    /// An input error if not.
    pub fn require_images(&self) -> Result<()> {
        let last = self.columns.last().expect("points at least");
        Images::require(self.images(), &last.shape)
    }

    /// Writes a PNG of the first images of `partial`.
    ///
    /// # Errors
    /// File errors; an input error if there are none.
    pub fn write_grid(&self, partial: &mut Partial, grid: Grid, path: &Path) -> Result<()> {
        self.require_images()?;
        let images = self.images().expect("they are images");
        images.write(partial, &self.columns, grid, path)
    }

    /// Writes a PNG of the first `count` of two sets of images [n, C * H * W] in the units of the data, one above
    /// the other; nothing if they are not images.
    ///
    /// # Errors
    /// File errors.
    pub fn write_pairs(&self, layers: [&[f32]; 2], count: usize, path: &Path) -> Result<()> {
        match self.images() {
            Some(images) => images.write_pairs(layers, count, path),
            None => Ok(()),
        }
    }

    /// Describes the output.
    pub fn written(&self) -> String {
        let columns = self.columns.iter();
        let written: Vec<String> = columns.map(|c| c.written(self.config.count)).collect();
        written.join("; ")
    }

    /// Mean number of network evaluations per sample; for each block of an autoregressive flow, from data to noise.
    pub fn evaluations(&self) -> Vec<f64> {
        let all = self.evaluations.lock().expect("nothing panics with it");
        all.iter().map(|e| e / self.config.count as f64).collect()
    }

    /// The shape of decoded data, or else of features if these are data; None if neither.
    pub fn data_shape(&self) -> Option<DataShape> {
        if let Some(decoder) = &self.decoder {
            return Some(decoder.header.shape);
        }
        self.inverse.as_ref()?;
        Some(match self.flow.layout.cut {
            Cut::Patches(patches) => patches.image,
            _ => DataShape {
                channels: self.columns[1].width(),
                height: 1,
                width: 1,
            },
        })
    }

    /// The data of `rows` in the shape of [`Self::data_shape`], [n, C * H * W].
    pub fn data(&self, rows: &[u8]) -> Vec<f32> {
        columns::last(rows, &self.columns)
    }

    /// Whether the flow takes conditions and none is given.
    pub fn lacks_condition(&self) -> bool {
        self.condition.is_none() && self.flow.prior.condition().is_some()
    }

    /// Number of redraws of samples that were not finite.
    pub fn drawn_again(&self) -> usize {
        self.again.load(Ordering::Relaxed)
    }

    /// The points [n, T * d] of samples `first` to `first + count - 1`. Samples that are not finite are redrawn
    /// with fresh noise: an autoregressive flow may overflow if an extreme token drives the next one further.
    fn points(
        &self,
        first: usize,
        count: usize,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<f32>> {
        let shape = self.flow.prior.shape();
        let width = self.tokens * shape.width;
        let point = (first * self.tokens / shape.tokens) as u64;
        let noise = |stream: &str, at: u64, count: usize| {
            self.config
                .options
                .streams
                .normal(stream, at, count * width)
        };
        let condition = self.encoded(first, count)?;
        let mut points = self.drawn(noise("noise", point, count), condition.clone(), check)?;
        for attempt in 0..=AGAIN {
            let finite = |points: &[f32]| points.iter().all(|value| value.is_finite());
            let rows = points.chunks(width).enumerate();
            let bad: Vec<usize> = rows
                .filter(|(_, row)| !finite(row))
                .map(|(i, _)| i)
                .collect();
            if bad.is_empty() {
                return Ok(points);
            }
            if attempt == AGAIN {
                break;
            }
            self.again.fetch_add(bad.len(), Ordering::Relaxed);
            let places: Vec<i64> = bad.iter().map(|&i| i as i64).collect();
            let condition = condition.as_ref().map(|condition| {
                let places = Tensor::<1, Int>::from_data(&places[..], &condition.device());
                condition.clone().select(0, places)
            });
            let fresh = noise("noise drawn again", point * AGAIN + attempt, bad.len());
            let drawn = self.drawn(fresh, condition, check)?;
            for (&i, row) in bad.iter().zip(drawn.chunks(width)) {
                points[i * width..][..width].copy_from_slice(row);
            }
        }
        Err(Error::Numerical(format!(
            "a sample between {first} and {} is not finite, nor was it in {AGAIN} more draws; lower --temperature, take more \
             --steps, or train the flow longer",
            first + count - 1
        )))
    }

    /// Maps `noise` [n, T * d] to points [n, T * d].
    fn drawn(
        &self,
        noise: Vec<f32>,
        condition: Option<Tensor<2>>,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<f32>> {
        let (prior, options) = (&self.flow.prior, &self.config.options);
        let shape = prior.shape();
        let count = noise.len() / (self.tokens * shape.width);
        let noise = shape.tensor(noise, &prior.device());
        let check = &mut |_| check();
        let drawn = prior.sample_from(noise, condition.clone(), options, check)?;
        let mut all = self.evaluations.lock().expect("nothing panics with it");
        add_up(&mut all, &drawn.evaluations, count as f64);
        drop(all);
        to_f32(match self.config.denoise {
            None => drawn.points,
            Some(sigma) => {
                let values = drawn.points;
                denoised(prior.as_ref(), &Points { values, condition }, sigma, check)?
            }
        })
    }

    /// The conditions of samples `first` to `first + count - 1`; those of rows are used in turn.
    fn encoded(&self, first: usize, count: usize) -> Result<Option<Tensor<2>>> {
        let prior = &self.flow.prior;
        let Some(kind) = prior.condition() else {
            return Ok(None);
        };
        let Some(of_rows) = &self.condition else {
            return Ok(Some(kind.encode(None, count, &prior.device())));
        };
        let rows = of_rows.count().unwrap_or(usize::MAX);
        let mut encoded = Vec::new();
        let mut next = first;
        while next < first + count {
            let row = next % rows;
            let here = (first + count - next).min(rows - row);
            let conditions = of_rows.of(row..row + here)?;
            encoded.push(kind.encode(Some(&conditions), here, &prior.device()));
            next += here;
        }
        Ok(Some(Tensor::cat(encoded, 0)))
    }
}

impl Work for Sample {
    fn task(&self) -> &'static str {
        "samples"
    }

    fn total(&self) -> usize {
        self.config.count
    }

    fn row_bytes(&self) -> usize {
        columns::row_bytes(&self.columns)
    }

    fn compute(&self, from: usize, monitor: &dyn Monitor, keep: Keep) -> Result<()> {
        // the noise does not depend on what becomes of the points
        let step = (POINTS * self.flow.prior.shape().tokens / self.tokens).max(1);
        let at_once = (self.decoder.as_ref()).map_or(step, |d| rows_at_once(d.header.shape));
        let check = || match monitor.cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        };
        let width = self.columns[0].width();
        for first in (from / step * step..self.config.count).step_by(step) {
            let count = step.min(self.config.count - first);
            let points = self.points(first, count, &check)?;
            let kept = from.saturating_sub(first) * width;
            for points in points[kept..].chunks(at_once * width) {
                let mut parts = vec![points.to_vec()];
                if let Some(inverse) = &self.inverse {
                    parts.push(inverse(points));
                }
                if let Some(decoder) = &self.decoder {
                    parts.push(decoder.decode(points.to_vec())?);
                }
                let rows = columns::interleave(&parts, points.len() / width);
                keep(bytemuck::cast_slice(&rows))?;
            }
        }
        Ok(())
    }
}

/// Number of points of `shape` per latent of `decoder`.
fn tokens_of_latents(decoder: &Decoder, shape: PointShape) -> Result<usize> {
    let latent = &decoder.header.latent;
    let fits = latent.width == shape.width && latent.tokens.is_multiple_of(shape.tokens);
    fits.then_some(latent.tokens).ok_or_else(|| {
        Error::input(format!(
            "--decode: found an autoencoder of latents [{}, {}], expected tokens of {}, the width of the \
             flow's points; name a run whose autoencoder is aligned with its flow",
            latent.tokens, latent.width, shape.width
        ))
    })
}

fn refuse_out_of_range(config: &SampleConfig) -> Result<()> {
    let refuse = |option: &str, found: String, expected: &str| {
        Err(Error::input(format!(
            "{option}: found {found}, expected {expected}"
        )))
    };
    let SampleConfig {
        count,
        condition,
        options,
        denoise,
    } = config;
    let SampleOptions {
        temperature, way, ..
    } = options;
    if *count == 0 {
        return refuse("--count", "0".into(), "at least 1");
    }
    if !(*temperature >= 0.0 && temperature.is_finite()) {
        let expected = "zero or a positive number, 1 for the flow's own distribution";
        return refuse("--temperature", temperature.to_string(), expected);
    }
    let guidance = way.guidance;
    let leans = condition.is_some() || guidance.away_from != AwayFrom::None;
    if !guidance.is_off() && (!leans || !guidance.scale.is_finite()) {
        let expected = "1, or a number such as 2 with a --condition to guide towards";
        return refuse("--guidance", guidance.scale.to_string(), expected);
    }
    if let AwayFrom::Temperature(temperature) = guidance.away_from
        && !(temperature > 0.0 && temperature.is_finite())
    {
        let expected = "a positive number, such as 2";
        return refuse("--guidance-temperature", temperature.to_string(), expected);
    }
    if let Some(sigma) = denoise
        && !(*sigma > 0.0 && sigma.is_finite())
    {
        let expected =
            "a positive number, the standard deviation of the noise that the flow was trained with";
        return refuse("--denoise", sigma.to_string(), expected);
    }
    match way.steps {
        Steps::Adaptive(tolerance) if !(1e-7..=0.1).contains(&tolerance) => {
            let expected = "[1e-7, 0.1] such as 1e-5";
            refuse("--tolerance", tolerance.to_string(), expected)
        }
        Steps::Equal(steps) if !(1..=100_000).contains(&steps) => {
            refuse("--steps", steps.to_string(), "1 to 100000")
        }
        Steps::Parallel(sweeps) if !(0.0..=0.1).contains(&sweeps.tolerance) => {
            let expected = "[0, 0.1] such as 1e-5; 0 for all sweeps";
            refuse("--sweeps", sweeps.tolerance.to_string(), expected)
        }
        _ => Ok(()),
    }
}

/// Refuses options that priors of the kind `model` do not support.
fn refuse_what_it_lacks(model: &ModelConfig, config: &SampleConfig) -> Result<()> {
    if let (Some(sigma), ModelConfig::FlowMatching(_)) = (config.denoise, model) {
        return Err(Error::input(format!(
            "--denoise: found {sigma} with a flow of the kind `{}`, expected one whose likelihood is in closed form; \
             leave --denoise out",
            model.name()
        )));
    }
    // the parts of a way have the names of their options
    let ways = model.kind().ways();
    (ways.refuse(&config.options.way)).map_err(|why| Error::input(format!("--{why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Silent;
    use crate::data::Normaliser;
    use crate::inference::work::go_on;
    use crate::priors::{Guidance, Layout, Way};
    use crate::random::Streams;
    use serde_json::Map;

    /// Samples of N(0, I) in two dimensions, at this temperature.
    fn drawn(count: usize, temperature: f64) -> Result<(Vec<f32>, usize)> {
        let shape = PointShape {
            tokens: 1,
            width: 2,
        };
        let model: ModelConfig = serde_json::from_str(r#"{"kind": "normal"}"#).unwrap();
        let place = Placement::on(&Device::flex());
        let prior = model
            .kind()
            .load(Path::new(""), shape, None, &place)
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let flow = Flow {
            prior,
            normaliser: Normaliser::scale(2, 1.0),
            layout: Layout::default(),
            target: None,
        };
        flow.save(&model, dir.path()).unwrap();
        let config = SampleConfig {
            count,
            condition: None,
            options: SampleOptions {
                streams: Streams::new(1),
                temperature,
                way: Way {
                    steps: Steps::Adaptive(1e-5),
                    guidance: Guidance::OFF,
                },
            },
            denoise: None,
        };
        let work = Sample::open(dir.path(), "flow", None, config, &Device::flex())?;
        let mut partial = Partial::unnamed(&Map::new(), work.row_bytes())?;
        go_on(&work, &mut partial, &Silent)?;
        let mut points = Vec::new();
        partial.each(|rows| {
            points.extend(columns::last(rows, &work.columns));
            Ok(())
        })?;
        Ok((points, work.drawn_again()))
    }

    /// Fails if one overflowing sample ends the run, finite ones are redrawn too, or a redraw depends on anything
    /// but the seed. A temperature of 2e38 overflows beyond 1.7 standard deviations: 17 % of the points.
    #[test]
    fn samples_that_are_not_finite_are_drawn_again_and_no_others() {
        let (plain, none) = drawn(600, 1e30).unwrap();
        assert_eq!(none, 0);
        let (points, again) = drawn(600, 2e38).unwrap();
        assert!(points.iter().all(|x| x.is_finite()));
        assert!((80..160).contains(&again), "{again}");
        let kept = plain
            .chunks(2)
            .zip(points.chunks(2))
            .filter(|(plain, point)| {
                plain
                    .iter()
                    .zip(*point)
                    .all(|(a, b)| (a * 2e8 / b - 1.0).abs() < 1e-5)
            });
        assert_eq!(kept.count(), 600 - changed(&plain));
        assert_eq!(drawn(600, 2e38).unwrap(), (points, again));
        let told = drawn(600, 1e39).unwrap_err().to_string();
        assert!(told.contains("--temperature"), "{told}");
    }

    /// Number of points that differ from those at temperature 1e30, because they overflow at 2e38.
    fn changed(plain: &[f32]) -> usize {
        let beyond = |x: &&f32| !(**x * 2e8).is_finite();
        let points = plain.chunks(2);
        points
            .filter(|point| point.iter().any(|x| beyond(&x)))
            .count()
    }
}
