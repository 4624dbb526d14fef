//! Maps latents of a trained autoencoder to the flow's distribution by an invertible map.
//!
//! A flow is fitted to whole latents, whitened over all dimensions. A latent is mapped by it to noise and from
//! there by the target's flow, each by an ODE or in closed form; decoding runs the inverse: see
//! [`crate::transport`]. The outputs are transported latents, which replace the autoencoder's own, and the errors
//! of both halves of the map.

mod figures;
mod moved;

use super::train_autoencoder::{self, Prior};
use super::{AUTOENCODER, FLOW, Preparation, Prepared, Read, Sections};
use super::{Stage, StageConfig, Upstream, pretrain_flow};
use crate::autoencoders::Latents;
use crate::context::{Context, Monitor, Summary};
use crate::data::Part;
use crate::devices::Numbers;
use crate::error::Result;
use crate::figures::{PARAMETERS, transport as names};
use crate::priors::{
    Batch, Fit, Fitted, Flow, Layout, ModelConfig, Placement, PointShape, Schedule,
};
use crate::problems::Problems;
use crate::random::normal;
use crate::training::OptimiserConfig;
use crate::transport::{Transport, Whitening};
use moved::Carry;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Transport the latents of the autoencoder to the flow's distribution, by a flow fitted to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Transport")]
pub struct Config {
    /// The model fitted to the whitened latents of the training rows, all tokens of a row together.
    pub model: ModelConfig,
    /// Optimiser and schedule.
    pub optimiser: OptimiserConfig,
    /// Training steps.
    pub steps: u64,
    /// Training latents per step.
    pub batch: usize,
    /// Steps between evaluations of the held-out loss.
    pub evaluate_every: u64,
    /// Latents in the held-out evaluation, with fixed noise and times.
    pub evaluation_points: usize,
    /// Standard deviation of noise added to whitened latents in training: a small value smooths the density of few
    /// rows and of directions that hardly vary.
    pub noise: f64,
    /// Absolute and relative tolerance of the ODE solver, in both directions.
    pub tolerance: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: ModelConfig::default(),
            optimiser: OptimiserConfig::default(),
            steps: 4000,
            batch: 512,
            evaluate_every: 250,
            evaluation_points: 4096,
            noise: 0.0,
            tolerance: 1e-6,
        }
    }
}

impl Config {
    fn schedule(&self) -> Schedule {
        Schedule {
            optimiser: self.optimiser.clone(),
            steps: self.steps,
            batch: self.batch,
            evaluate_every: self.evaluate_every,
            evaluation_points: self.evaluation_points,
            early_stopping: None,
        }
    }
}

/// A latent of `width` numbers as one point of a flow.
fn whole(width: usize) -> PointShape {
    PointShape { tokens: 1, width }
}

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::Transport
    }

    fn check(&self, problems: &mut Problems) {
        let (kind, schedule) = (self.model.kind(), self.schedule());
        problems.section("model", |p| {
            kind.check(p);
            kind.check_with(&schedule, p);
        });
        schedule.check(problems);
        problems.not_negative("noise", self.noise, "0.02");
        problems.require(
            (1e-7..=1e-3).contains(&self.tolerance),
            "tolerance",
            self.tolerance,
            "a number in [1e-7, 1e-3] (networks compute in f32), such as 1e-6",
        );
    }

    fn check_with(&self, sections: &Sections, problems: &mut Problems) {
        let autoencoder = sections.get::<train_autoencoder::Config>();
        let autoencoder = autoencoder.filter(|stage| stage.data.is_some());
        problems.require(
            autoencoder.is_some(),
            "train_autoencoder",
            match sections.has(Stage::TrainAutoencoder) {
                true => "free points, which have no decoder",
                false => "no such section",
            },
            "an autoencoder of data, whose latents `transport` maps to the flow",
        );
        if let Some(latent) = autoencoder.map(|stage| &stage.latent)
            && let Err(expected) = (self.model.kind()).check_shape(whole(latent.shape().elements()))
        {
            let found = format!("`kind: {}` over whole latents", self.model.name());
            problems.add("transport.model", found, &expected);
        }
        let flow = sections.get::<pretrain_flow::Config>();
        problems.require(
            flow.is_none_or(|flow| flow.condition.is_none()),
            "transport",
            "a conditional target flow",
            "one without conditions, since latents have none: remove pretrain_flow.condition, or `transport`",
        );
    }

    fn reads(&self) -> Vec<Read> {
        vec![
            Read::own(FLOW, Stage::PretrainFlow),
            Read::own(AUTOENCODER, Stage::TrainAutoencoder),
        ]
    }

    fn numbers(&self) -> Option<Numbers> {
        self.model.kind().numbers()
    }

    /// Latents that cannot be whitened are refused before any training, if they exist already.
    fn prepare(&self, upstream: &Upstream, _: u64, _: &dyn Monitor) -> Result<Preparation> {
        if let Some(autoencoder) = upstream.made(AUTOENCODER)? {
            let latents = Latents::load(autoencoder)?;
            Whitening::of(&latents.train.values, latents.width())?;
        }
        Ok(Preparation::Ready(Box::new(self.clone())))
    }
}

impl Prepared for Config {
    fn run(self: Box<Self>, upstream: &Upstream, context: &Context) -> Result<Summary> {
        let autoencoder = upstream.dir(AUTOENCODER)?;
        let latents = Latents::load(autoencoder)?;
        let target = Prior::load(upstream.dir(FLOW)?, &Placement::on(&context.device))?;
        let whitening = Whitening::of(&latents.train.values, latents.width())?;
        if let Some(told) = whitening.warning() {
            context.monitor.warn(&told);
        }
        let [least, most] = whitening.eigenvalues;
        let Fitted { prior, figures } = self.fit(&latents, &whitening, context)?;
        let parameters = prior.parameters();
        let own = Flow {
            prior,
            normaliser: whitening.normaliser,
            layout: Layout::default(),
            target: None,
        };
        own.save(&self.model, &context.dir)?;
        let shape = PointShape {
            tokens: latents.tokens,
            width: latents.token_width,
        };
        let flow = Flow::load(upstream.dir(FLOW)?, &Placement::on(&context.device))?;
        let transport = Transport::new(own, flow, shape, self.tolerance)?;
        transport.save(&context.dir)?;

        let mut summary = Summary::default();
        let carry = Carry {
            transport: &transport,
            latents: &latents,
            context,
        };
        let moved = carry.all()?;
        moved.write(&carry)?;
        figures::of_way(&moved, &carry, &mut summary);
        figures::of_reconstructions(&moved, &carry, autoencoder, &mut summary)?;
        figures::of_latents(&moved, &carry, &target, &mut summary)?;
        figures::of_halves(&moved, &carry, &target, &mut summary)?;
        summary.figures.extend(figures.figures);
        summary.add(names::LEAST_EIGENVALUE, least);
        summary.add(names::MOST_EIGENVALUE, most);
        summary.add(PARAMETERS, parameters as f64);
        Ok(summary)
    }
}

impl Config {
    /// Fits the flow of the whitened latents of the training rows.
    fn fit(&self, latents: &Latents, whitening: &Whitening, context: &Context) -> Result<Fitted> {
        let width = latents.width();
        let points = whitening.normaliser.apply(&latents.train.values);
        let unseen = latents.unseen().into_iter();
        let unseen: Vec<(Part, Batch)> = unseen
            .map(|(part, rows)| (part, Batch::new(whitening.normaliser.apply(&rows.values))))
            .collect();
        let of = |wanted: Part| unseen.iter().find(|(part, _)| *part == wanted);
        let (_, held_out) = of(Part::HeldOut).expect("every split has held-out rows");
        let rows = points.len() / width;
        let mut next = |step| {
            let mut rng = context.streams.at("rows", step);
            let mut batch = Vec::with_capacity(self.batch * width);
            for _ in 0..self.batch {
                let row = rng.random_range(0..rows);
                batch.extend_from_slice(&points[row * width..][..width]);
            }
            if self.noise > 0.0 {
                let noise = normal(&mut rng, batch.len());
                let scale = self.noise as f32;
                batch
                    .iter_mut()
                    .zip(noise)
                    .for_each(|(x, noise)| *x += scale * noise);
            }
            Ok(Batch::new(batch))
        };
        let fit = Fit {
            shape: whole(width),
            condition: None,
            dropout: 0.0,
            schedule: &self.schedule(),
            next: &mut next,
            held_out,
            test: of(Part::Test).map(|(_, test)| test),
            exact: None,
            bits: None,
            logit: None,
            streams: context.streams,
        };
        let fitted = self.model.kind().fit(fit, context);
        context.explain(fitted, |_| Vec::new())
    }
}

#[cfg(test)]
mod tests;
