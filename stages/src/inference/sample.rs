//! Samples of a flow: points, features, and data that an autoencoder makes of them.

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
use burn::tensor::{Device, Tensor};
use std::path::Path;
use std::sync::Mutex;

/// Points drawn at once, about.
const POINTS: usize = 1024;

/// How samples are drawn.
#[derive(Debug, Clone)]
pub struct SampleConfig {
    /// How many.
    pub count: usize,
    /// Under which conditions; those of rows are taken in turn.
    pub condition: Option<Condition>,
    /// With which noise, temperature, guidance and steps.
    pub options: SampleOptions,
    /// The standard deviation, in the flow's space, of noise that is taken off afterwards.
    pub denoise: Option<f64>,
}

/// Drawing samples.
pub struct Sample {
    flow: Flow,
    config: SampleConfig,
    condition: Option<OfRows>,
    /// Tokens of a sample.
    tokens: usize,
    inverse: Option<Inverse>,
    decoder: Option<Decoder>,
    columns: Vec<Column>,
    /// Calls of a network, of all samples so far together, of each block.
    evaluations: Mutex<Vec<f64>>,
}

/// An autoencoder that makes data of samples.
pub struct Decoding<'a> {
    /// The directory of the autoencoder.
    pub dir: &'a Path,
    /// What its latents go through, where there is a transport.
    pub through: Option<Through<'a>>,
    /// The dataset of what it makes.
    pub name: &'a str,
}

impl Sample {
    /// Samples of the flow in the directory `dir`, whose fingerprint is `flow`; with `decoding` each has the
    /// tokens of a latent, and becomes data.
    ///
    /// # Errors
    /// As [`Flow::load`]; file errors for the autoencoder; input errors for options out of range, that the flow does
    /// not have, or that do not go together.
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
        let inverse = loaded.features_of();
        let lineage = Lineage {
            flow: Some(flow.to_owned()),
            ..Lineage::default()
        };
        let of_points = |width| match (tokens, &decoder) {
            (1, None) => vec![width],
            _ => vec![tokens, width],
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
                shape: match (loaded.layout.cut, tokens / shape.tokens) {
                    (Cut::None, _) => of_points(loaded.normaliser.input_width),
                    (_, 1) => loaded.feature_shape(),
                    (_, points) => [&[points], &loaded.feature_shape()[..]].concat(),
                },
                attributes: vec![
                    text("space", "features, as the flow was trained on"),
                    text("units", "those of these features"),
                ],
            });
        }
        if let (Some(decoder), Some(decoding)) = (&decoder, decoding) {
            columns.push(decoder.column(decoding.name));
        }
        Ok(Self {
            flow: loaded,
            config,
            condition,
            tokens,
            inverse,
            decoder,
            columns,
            evaluations: Mutex::default(),
        })
    }

    /// Writes the rows of `partial` to the HDF5 file `path`.
    ///
    /// # Errors
    /// File errors.
    pub fn write(&self, partial: &mut Partial, path: &Path) -> Result<()> {
        columns::write(partial, &self.columns, path)
    }

    /// The data, or else the features, that samples become, where these are images.
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

    /// That samples become images of which a picture can be made.
    ///
    /// # Errors
    /// An input error for others.
    pub fn require_images(&self) -> Result<()> {
        let last = self.columns.last().expect("points at least");
        Images::require(self.images(), &last.shape)
    }

    /// Writes a PNG of the first images of `partial`.
    ///
    /// # Errors
    /// File errors; an input error where there are none.
    pub fn write_grid(&self, partial: &mut Partial, grid: Grid, path: &Path) -> Result<()> {
        self.require_images()?;
        let images = self.images().expect("they are images");
        images.write(partial, &self.columns, grid, path)
    }

    /// Writes a PNG of the first `count` of two rows of images [n, C * H * W] in the units of the data, one above the other;
    /// nothing where they are no images.
    ///
    /// # Errors
    /// File errors.
    pub fn write_pairs(&self, layers: [&[f32]; 2], count: usize, path: &Path) -> Result<()> {
        match self.images() {
            Some(images) => images.write_pairs(layers, count, path),
            None => Ok(()),
        }
    }

    /// What is written, in words.
    pub fn written(&self) -> String {
        let columns = self.columns.iter();
        let written: Vec<String> = columns.map(|c| c.written(self.config.count)).collect();
        written.join("; ")
    }

    /// Calls of a network for each sample that was drawn, on average; of each block of an autoregressive flow, from the
    /// data to the noise.
    pub fn evaluations(&self) -> Vec<f64> {
        let all = self.evaluations.lock().expect("nothing panics with it");
        all.iter().map(|e| e / self.config.count as f64).collect()
    }

    /// The shape of the data that samples become, or else of the features where these are data; none where they
    /// become neither.
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

    /// The data of `rows` as [`Self::data_shape`] says, [n, C * H * W].
    pub fn data(&self, rows: &[u8]) -> Vec<f32> {
        columns::last(rows, &self.columns)
    }

    /// Whether the flow takes conditions and is given none.
    pub fn lacks_condition(&self) -> bool {
        self.condition.is_none() && self.flow.prior.condition().is_some()
    }

    /// The points [n, T * d] of samples `first` to `first + count - 1`.
    fn points(
        &self,
        first: usize,
        count: usize,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<f32>> {
        let (prior, options) = (&self.flow.prior, &self.config.options);
        let shape = prior.shape();
        let numbers = count * self.tokens * shape.width;
        let point = first * self.tokens / shape.tokens;
        let noise = options.streams.normal("noise", point as u64, numbers);
        let noise = shape.tensor(noise, &prior.device());
        let condition = self.encoded(first, count)?;
        let check = &mut |_| check();
        let drawn = prior.sample_from(noise, condition.clone(), options, check)?;
        let mut all = self.evaluations.lock().expect("nothing panics with it");
        add_up(&mut all, &drawn.evaluations, count as f64);
        drop(all);
        let values = match self.config.denoise {
            None => drawn.points,
            Some(sigma) => {
                let values = drawn.points;
                denoised(prior.as_ref(), &Points { values, condition }, sigma, check)?
            }
        };
        let points = to_f32(values)?;
        match points.iter().position(|value| !value.is_finite()) {
            None => Ok(points),
            Some(at) => Err(Error::Numerical(format!(
                "sample {} is not finite; lower --temperature, or take more --steps",
                first + at / (self.tokens * shape.width)
            ))),
        }
    }

    /// The conditions of samples `first` to `first + count - 1`; those of rows in turn.
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
        // the same noise whatever becomes of the points
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

/// The tokens of a latent of `decoder`, which are whole points of `shape`.
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
        let expected = "1, or a number such as 2 with a --condition to lean towards";
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

/// Fails for options that priors of the kind `model` do not have.
fn refuse_what_it_lacks(model: &ModelConfig, config: &SampleConfig) -> Result<()> {
    if let (Some(sigma), ModelConfig::FlowMatching(_)) = (config.denoise, model) {
        return Err(Error::input(format!(
            "--denoise: found {sigma} with a flow of the kind `{}`, expected one whose likelihood is in closed form; \
             leave --denoise out",
            model.name()
        )));
    }
    // what a way calls its parts are the options that ask for them
    let ways = model.kind().ways();
    (ways.refuse(&config.options.way)).map_err(|why| Error::input(format!("--{why}")))
}
