//! The latents that `train-autoencoder` wrote: `latents.h5`.

use crate::data::{Part, has_dataset, read_dataset_f32, read_dataset_i64};
use crate::error::{Error, Result};
use std::path::Path;

/// The latents of one part of the split.
#[derive(Debug, Clone, PartialEq)]
pub struct PartLatents {
    /// The item of each row, ascending.
    pub items: Vec<i64>,
    /// Row-major [n, T * d].
    pub values: Vec<f32>,
}

/// The latents of all parts, T tokens of width d a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Latents {
    /// T.
    pub tokens: usize,
    /// d.
    pub token_width: usize,
    /// Of the rows the autoencoder trained on.
    pub train: PartLatents,
    /// Of the rows it did not see, which choose.
    pub held_out: PartLatents,
    /// Of the rows it did not see, which choose nothing; none where there is no test part.
    pub test: Option<PartLatents>,
}

impl Latents {
    /// Numbers a row: T * d.
    pub fn width(&self) -> usize {
        self.tokens * self.token_width
    }

    /// Those of each part that was not trained on, the one that is shown last.
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
