//! The latents of all parts in an artifact: `latents.h5`.

use crate::data::{
    DatasetWriter, Number, OutData, Part, Planned, has_dataset, read_dataset_f32, read_dataset_i64,
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
    pub fn write(parts: &[(Part, &Self)], shape: [usize; 2], dir: &Path) -> Result<()> {
        let coming = parts.iter().map(|(part, latents)| Coming {
            part: *part,
            rows: latents.items.len(),
            means: latents.means.is_some(),
        });
        let mut writer = LatentsWriter::create(&coming.collect::<Vec<_>>(), shape, dir)?;
        for (part, latents) in parts {
            writer.append(*part, latents)?;
        }
        writer.commit()
    }

    /// Appends the rows of `more`.
    pub fn extend(&mut self, more: &Self) {
        self.items.extend_from_slice(&more.items);
        self.values.extend_from_slice(&more.values);
        if let Some(means) = &more.means {
            (self.means.get_or_insert_default()).extend_from_slice(means);
        }
    }
}

/// A part to write.
#[derive(Debug, Clone, Copy)]
pub struct Coming {
    pub part: Part,
    /// How many rows will be appended.
    pub rows: usize,
    /// Whether rows come with posterior means; those of training rows are not stored.
    pub means: bool,
}

/// Writes `latents.h5` chunk by chunk: the latents of all rows may not fit into memory. The file appears when it is
/// complete.
pub struct LatentsWriter {
    file: DatasetWriter,
    /// Each part, the number of its first dataset, and whether its means are stored.
    parts: Vec<(Part, usize, bool)>,
}

impl LatentsWriter {
    /// Starts the file in the directory `dir`, with T `tokens` of `width` d per row.
    ///
    /// # Errors
    /// File errors.
    pub fn create(coming: &[Coming], [tokens, width]: [usize; 2], dir: &Path) -> Result<Self> {
        let about = about_points().map(|(name, value)| (name.to_owned(), value));
        let (mut planned, mut parts) = (Vec::new(), Vec::new());
        for &Coming { part, rows, means } in coming {
            let means = means && part != Part::Train;
            parts.push((part, planned.len(), means));
            let dataset = |what: &str, shape: &[usize], number, about: &[_]| Planned {
                name: format!("{}_{what}", part.key()),
                shape: shape.to_vec(),
                number,
                about: about.to_vec(),
            };
            let points = |what| dataset(what, &[rows, tokens, width], Number::F32, &about);
            planned.push(points("latents"));
            planned.push(dataset("items", &[rows], Number::I64, &[]));
            planned.extend(means.then(|| points("means")));
        }
        let file = DatasetWriter::create_planned(&dir.join(FILE), &planned)?;
        Ok(Self { file, parts })
    }

    /// Appends the next rows of `part`, one of those that were announced.
    ///
    /// # Errors
    /// File errors, such as a full disk.
    pub fn append(&mut self, part: Part, rows: &PartLatents) -> Result<()> {
        let Some(&(_, first, means)) = self.parts.iter().find(|known| known.0 == part) else {
            unreachable!("{part:?} was not announced");
        };
        self.file.append_to(first, &rows.values)?;
        self.file
            .append_values(first + 1, OutData::I64(&rows.items))?;
        if let Some(means) = rows.means.as_deref().filter(|_| means) {
            self.file.append_to(first + 2, means)?;
        }
        Ok(())
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// File errors, such as a full disk.
    ///
    /// # Panics
    /// If rows are missing.
    pub fn commit(self) -> Result<()> {
        Ok(self.file.commit()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if a piece goes to another part, or to the place of an earlier one.
    #[test]
    fn latents_written_in_pieces_are_those_written_at_once() {
        let rows = |from: i64, to: i64| PartLatents {
            items: (from..to).collect(),
            values: (from * 6..to * 6).map(|v| v as f32).collect(),
            means: Some((from * 6..to * 6).map(|v| -v as f32).collect()),
        };
        let (train, test) = (rows(0, 50_000), rows(50_000, 50_007));
        let parts = [
            (Part::Train, &train),
            (Part::HeldOut, &test),
            (Part::Test, &test),
        ];
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        PartLatents::write(&parts, [3, 2], dirs[0].path()).unwrap();
        let coming = parts.map(|(part, latents)| Coming {
            part,
            rows: latents.items.len(),
            means: true,
        });
        let mut writer = LatentsWriter::create(&coming, [3, 2], dirs[1].path()).unwrap();
        assert!(!dirs[1].path().join(FILE).exists());
        let (mut from, mut whole) = (0, PartLatents::default());
        for to in [1, 12_345, 49_999, 50_000] {
            writer.append(Part::Train, &rows(from, to)).unwrap();
            whole.extend(&rows(from, to));
            from = to;
        }
        assert_eq!(whole, train);
        for part in [Part::Test, Part::HeldOut] {
            writer.append(part, &rows(50_000, 50_003)).unwrap();
            writer.append(part, &rows(50_003, 50_007)).unwrap();
        }
        writer.commit().unwrap();
        let [at_once, in_pieces] = dirs.map(|dir| Latents::load(dir.path()).unwrap());
        assert_eq!(at_once, in_pieces);
        assert_eq!(at_once.train.values, train.values);
        assert_eq!(
            at_once.train.means, None,
            "means of training rows are not stored"
        );
        assert_eq!(at_once.test.unwrap().means, test.means);
    }
}
