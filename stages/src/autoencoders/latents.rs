//! The latents of all parts in an artifact: `latents.h5`.

use crate::data::{
    Described, OutData, Part, has_dataset, read_dataset_f32, read_dataset_i64, write_described,
};
use crate::error::{Error, Result};
use crate::priors::about_points;
use std::path::Path;

/// The latents of one part of the split.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartLatents {
    /// The item of each row, ascending.
    pub items: Vec<i64>,
    /// Row-major [n, T * d], drawn if the posterior has noise.
    pub values: Vec<f32>,
    /// Posterior means [n, T * d] if posteriors have noise; not stored for training rows.
    pub means: Option<Vec<f32>>,
}

/// The file.
const FILE: &str = "latents.h5";

/// The latents of all parts, T tokens of width d per row.
#[derive(Debug, Clone, PartialEq)]
pub struct Latents {
    /// T.
    pub tokens: usize,
    /// d.
    pub token_width: usize,
    /// Of training rows.
    pub train: PartLatents,
    /// Of held-out rows, used for selection.
    pub held_out: PartLatents,
    /// Of test rows, never used for selection; None without a test part.
    pub test: Option<PartLatents>,
}

impl Latents {
    /// Numbers per row: T * d.
    pub fn width(&self) -> usize {
        self.tokens * self.token_width
    }

    /// The parts that were not trained on; the one to show is last.
    pub fn unseen(&self) -> Vec<(Part, &PartLatents)> {
        let test = self.test.iter().map(|test| (Part::Test, test));
        [(Part::HeldOut, &self.held_out)]
            .into_iter()
            .chain(test)
            .collect()
    }

    /// Reads `latents.h5` in the directory `dir`.
    ///
    /// # Errors
    /// Input errors if the file is missing or has other contents, such as free points.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let part = |part: &str| -> Result<(usize, usize, PartLatents)> {
            let (shape, values) = read_dataset_f32(&path, &format!("{part}_latents"))?;
            let (_, items) = read_dataset_i64(&path, &format!("{part}_items"))?;
            match shape[..] {
                [n, tokens, width] if n == items.len() && n > 0 => {
                    let name = format!("{part}_means");
                    let means = match has_dataset(&path, &name)? {
                        true => Some(read_dataset_f32(&path, &name)?.1),
                        false => None,
                    };
                    let latents = PartLatents {
                        items,
                        values,
                        means,
                    };
                    Ok((tokens, width, latents))
                }
                _ => Err(Error::input(format!(
                    "{}: found `{part}_latents` {shape:?} with {} `{part}_items`, expected [N, T, d] \
                     with N of them; train the autoencoder again",
                    path.display(),
                    items.len()
                ))),
            }
        };
        let (tokens, token_width, train) = part("train")?;
        let (.., held_out) = part("held_out")?;
        let test = match has_dataset(&path, "test_latents")? {
            true => Some(part("test")?.2),
            false => None,
        };
        Ok(Self {
            tokens,
            token_width,
            train,
            held_out,
            test,
        })
    }
}

impl PartLatents {
    /// Writes the latents of `parts`, T `tokens` of `width` d per row, to `latents.h5` in the directory
    /// `dir`.
    ///
    /// # Errors
    /// A file error if they cannot be written.
    pub fn write(parts: &[(Part, &Self)], [tokens, width]: [usize; 2], dir: &Path) -> Result<()> {
        let about = about_points();
        let shapes: Vec<_> = (parts.iter())
            .map(|(_, part)| ([part.items.len(), tokens, width], [part.items.len()]))
            .collect();
        let names = parts.iter().map(|(part, _)| {
            let of_part = |what| format!("{}_{what}", part.key());
            ["latents", "items", "means"].map(of_part)
        });
        let names: Vec<_> = names.collect();
        let mut datasets = Vec::new();
        for (((part, latents), shapes), names) in parts.iter().zip(&shapes).zip(&names) {
            let points = |name, values| Described {
                name,
                shape: &shapes.0,
                values: OutData::F32(values),
                about: &about,
            };
            datasets.push(points(names[0].as_str(), &latents.values));
            datasets.push(Described {
                name: &names[1],
                shape: &shapes.1,
                values: OutData::I64(&latents.items),
                about: &[],
            });
            if let Some(means) = latents.means.as_deref().filter(|_| *part != Part::Train) {
                datasets.push(points(&names[2], means));
            }
        }
        Ok(write_described(&dir.join(FILE), &datasets, &[])?)
    }
}
