//! The latents of all parts, mapped in both directions.

use crate::autoencoders::{Latents, PartLatents};
use crate::context::Context;
use crate::data::Part;
use crate::error::Result;
use crate::transport::{Moved, Transport};
use std::time::Instant;

/// The transport and the latents.
#[derive(Clone, Copy)]
pub struct Carry<'a> {
    pub transport: &'a Transport,
    pub latents: &'a Latents,
    pub context: &'a Context<'a>,
}

/// Latents of a held-out or test part.
pub struct Unseen<'a> {
    pub part: Part,
    /// The autoencoder's own latents.
    pub before: &'a PartLatents,
    /// As points of the target's flow.
    pub after: PartLatents,
    /// The intermediate noise [n, T d].
    pub noise: Vec<f32>,
    /// Mapped back from those points [n, T d].
    pub back: Vec<f32>,
}

/// Latents of all parts.
pub struct All<'a> {
    /// Of training rows, as points of the target's flow.
    train: PartLatents,
    /// Of held-out and test rows; the part to show is last.
    pub unseen: Vec<Unseen<'a>>,
    /// Number of mapped rows.
    pub rows: usize,
    /// Evaluations of the latents' flow and of the target's.
    pub evaluations: [u64; 2],
    /// Duration.
    pub seconds: f64,
}

impl<'a> Carry<'a> {
    /// Maps `rows` [n, T d] by `work`, with progress as `task`.
    pub fn told(
        &self,
        task: &str,
        rows: &[f32],
        work: impl Fn(&Transport, &[f32], &dyn Fn(usize) -> Result<()>) -> Result<Moved>,
    ) -> Result<Moved> {
        let total = (rows.len() / self.latents.width()) as u64;
        work(self.transport, rows, &|done| {
            (self.context.monitor).progress(task, done as u64, total, "");
            self.context.check_cancelled()
        })
    }

    /// Maps the latents of all parts, and those of held-out and test rows back again.
    ///
    /// # Errors
    /// As [`Transport::there`]; [`crate::Error::Cancelled`].
    pub fn all(&self) -> Result<All<'a>> {
        let (mut rows, mut evaluations, mut seconds) = (0, [0, 0], 0.0);
        let mut there = |word: &str, values: &[f32]| -> Result<Moved> {
            let started = Instant::now();
            let moved = self.told(&format!("{word} latents"), values, Transport::there)?;
            seconds += started.elapsed().as_secs_f64();
            rows += values.len() / self.latents.width();
            evaluations[0] += moved.own_evaluations;
            evaluations[1] += moved.target_evaluations;
            Ok(moved)
        };
        let mut after = |part: Part, before: &PartLatents| -> Result<(PartLatents, Vec<f32>)> {
            let Moved { values, noise, .. } = there(part.word(), &before.values)?;
            let means = (before.means.as_deref()).map(|means| there(part.word(), means));
            let latents = PartLatents {
                items: before.items.clone(),
                values,
                means: means.transpose()?.map(|moved| moved.values),
            };
            Ok((latents, noise))
        };
        let (train, _) = after(Part::Train, &self.latents.train)?;
        let mut unseen = Vec::new();
        for (part, before) in self.latents.unseen() {
            let (after, noise) = after(part, before)?;
            let task = format!("{} latents, back", part.word());
            let back = self.told(&task, &after.values, Transport::back)?;
            unseen.push(Unseen {
                part,
                before,
                after,
                noise,
                back: back.values,
            });
        }
        Ok(All {
            train,
            unseen,
            rows,
            evaluations,
            seconds,
        })
    }
}

impl All<'_> {
    /// Writes `latents.h5` in the layout of the autoencoder's.
    ///
    /// # Errors
    /// A file error.
    pub fn write(&self, carry: &Carry) -> Result<()> {
        let unseen = self.unseen.iter().map(|of| (of.part, &of.after));
        let parts: Vec<_> = [(Part::Train, &self.train)]
            .into_iter()
            .chain(unseen)
            .collect();
        let shape = carry.transport.shape();
        PartLatents::write(&parts, [shape.tokens, shape.width], &carry.context.dir)
    }

    /// The part to show.
    pub fn shown(&self) -> &Unseen<'_> {
        self.unseen.last().expect("every split has held-out rows")
    }
}
