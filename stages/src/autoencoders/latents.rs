//! The latents that `train-autoencoder` wrote: `latents.h5`.

use crate::error::{Error, Result};
use crate::features::{read_dataset_f32, read_dataset_i64};
use std::path::Path;

/// The latents of one part of the split.
#[derive(Debug, Clone, PartialEq)]
pub struct PartLatents {
    /// The item of each row, ascending.
    pub items: Vec<i64>,
    /// Row-major [n, T * d].
    pub values: Vec<f32>,
}

/// The latents of both parts, T tokens of width d a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Latents {
    /// T.
    pub tokens: usize,
    /// d.
    pub token_width: usize,
    /// Of the rows the autoencoder trained on.
    pub train: PartLatents,
    /// Of the rows it did not see.
    pub held_out: PartLatents,
}

impl Latents {
    /// Numbers a row: T * d.
    pub fn width(&self) -> usize {
        self.tokens * self.token_width
    }

    /// Reads `latents.h5` in the directory `dir`.
    ///
    /// # Errors
    /// Input errors for a file that is missing or holds something else, such as free points.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("latents.h5");
        let part = |part: &str| -> Result<(usize, usize, PartLatents)> {
            let (shape, values) = read_dataset_f32(&path, &format!("{part}_latents"))?;
            let (_, items) = read_dataset_i64(&path, &format!("{part}_items"))?;
            match shape[..] {
                [n, tokens, width] if n == items.len() && n > 0 => {
                    Ok((tokens, width, PartLatents { items, values }))
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
        Ok(Self {
            tokens,
            token_width,
            train,
            held_out,
        })
    }
}
