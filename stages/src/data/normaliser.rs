//! The affine map from features to the flow's points: y = (x - mean) A.
//!
//! A is composed as configured, in this order: whiten, project, whiten again.

use super::config::{NormalisationConfig, Projection, Whiten};
use super::moments::Moments;
use crate::error::{Error, Result};
use crate::random::keyed::{Purpose, stream};
use nalgebra::{DMatrix, SymmetricEigen};
use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows per task.
const TASK_ROWS: usize = 512;

/// Minimum number of columns processed at once by a diagonal map.
const DIAGONAL_COLUMNS: usize = 256;

/// Directions whose variance is below this fraction of the largest count as constant.
const RANK_TOLERANCE: f64 = 1e-10;

/// The matrix A of a [`Normaliser`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Linear {
    /// A diagonal matrix by its diagonal, `[D]`; images are too wide for [D, D].
    Diagonal(Vec<f64>),
    /// Row-major [D, d].
    Dense(Vec<f64>),
}

/// y = (x - mean) A: the map from features of width D to points of width d.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normaliser {
    /// Mean, subtracted first, `[D]`.
    pub mean: Vec<f64>,
    /// A.
    pub linear: Linear,
    /// D.
    pub input_width: usize,
    /// d.
    pub output_width: usize,
    /// The seed of the random projection, if there is one.
    pub projection_seed: Option<u64>,
}

/// Maps points [n, d] back to rows [n, D].
pub type Inverse = Box<dyn Fn(&[f32]) -> Vec<f32> + Send + Sync>;

impl Normaliser {
    /// The identity.
    pub fn identity(width: usize) -> Self {
        Self::scale(width, 1.0)
    }

    /// Multiplies rows by `factor`.
    pub fn scale(width: usize, factor: f64) -> Self {
        Self {
            mean: vec![0.0; width],
            linear: Linear::Diagonal(vec![factor; width]),
            input_width: width,
            output_width: width,
            projection_seed: None,
        }
    }

    /// Standardises each column of `rows` [n, width]. Constant columns, as those of a collapsed latent, are centred
    /// and stay zero.
    pub fn standardise(rows: &[f32], width: usize) -> Self {
        let moments = Moments::of_rows(rows, width, false);
        let scale = |(variance, mean): (&f64, &f64)| {
            if is_constant(*variance, *mean) {
                1.0
            } else {
                variance.sqrt().recip()
            }
        };
        Self {
            linear: Linear::Diagonal(
                moments
                    .variance
                    .iter()
                    .zip(&moments.mean)
                    .map(scale)
                    .collect(),
            ),
            mean: moments.mean,
            input_width: width,
            output_width: width,
            projection_seed: None,
        }
    }

    /// A normaliser from its parts, such as a stored flow's: `mean` `[D]` and `matrix` row-major [D, d].
    ///
    /// # Errors
    /// An input error if the lengths are inconsistent or a value is not finite.
    pub fn from_parts(
        mean: Vec<f64>,
        matrix: Vec<f64>,
        output_width: usize,
        projection_seed: Option<u64>,
    ) -> Result<Self> {
        let input_width = mean.len();
        if input_width == 0 || output_width == 0 || matrix.len() != input_width * output_width {
            return Err(Error::input(format!(
                "a normalisation has a mean of width {input_width}, a matrix of {} numbers and an output width of {output_width}; expected the matrix to be [{input_width}, {output_width}]",
                matrix.len()
            )));
        }
        if !mean.iter().chain(&matrix).all(|v| v.is_finite()) {
            return Err(Error::input(
                "a normalisation holds NaN or an infinity; expected finite numbers",
            ));
        }
        let off_diagonal = |i: usize| i / output_width != i % output_width;
        let diagonal = input_width == output_width
            && (matrix.iter().enumerate()).all(|(i, &v)| v == 0.0 || !off_diagonal(i));
        Ok(Self {
            linear: if diagonal {
                Linear::Diagonal(matrix.into_iter().step_by(output_width + 1).collect())
            } else {
                Linear::Dense(matrix)
            },
            mean,
            input_width,
            output_width,
            projection_seed,
        })
    }

    /// Whether [`Self::fit`] needs the covariance of the features.
    pub fn needs_covariance(config: &NormalisationConfig) -> bool {
        config.whiten == Whiten::Full
            || match config.projection {
                Projection::None => false,
                // The spread after a projection depends on correlations between columns.
                Projection::Random { .. } => config.whiten != Whiten::None,
                Projection::Pca { .. } => true,
            }
    }

    /// Composes A from the moments of the training rows; pixels of L levels become 2 k / L - 1 whatever the
    /// moments.
    ///
    /// - Whitening refers to the mean whether or not `centre` is set, except for `global`, which divides by the
    ///   root mean square of the current entries.
    /// - A random projection has entries N(0, 1/D) drawn with `seed`.
    /// - PCA takes the directions of largest variance after the first whitening; with `whiten: full` before it,
    ///   since afterwards all directions are equal. The sign of each direction makes its largest entry positive.
    ///
    /// # Errors
    /// Input errors for a projection to width 0 or to more than D; for constant columns where whitening would
    /// divide by zero; for linearly dependent columns, or too few rows, where the covariance has to be inverted.
    ///
    /// # Panics
    /// If [`Self::needs_covariance`] and `moments` has none.
    pub fn fit(config: &NormalisationConfig, moments: &Moments, seed: u64) -> Result<Self> {
        let width = moments.mean.len();
        if let Some(levels) = config.levels {
            let half = levels as f64 / 2.0;
            return Ok(Self {
                mean: vec![half; width],
                ..Self::scale(width, 1.0 / half)
            });
        }
        let output_width = config.projection.output_width(width);
        if output_width == 0 || output_width > width {
            return Err(Error::input(format!(
                "normalisation.projection.width: found {output_width}, expected 1 to {width}, the width of the features"
            )));
        }
        refuse_too_few_rows(config, moments)?;
        refuse_constant_columns(config, moments)?;
        let second = Spread::new(config, moments);
        let mean = if config.centre {
            moments.mean.clone()
        } else {
            vec![0.0; width]
        };
        let mut map = match (config.whiten, config.projection) {
            (Whiten::Full, Projection::Pca { .. }) => Linear::Diagonal(vec![1.0; width]),
            _ => second.whitening(config.whiten)?,
        };
        let mut projection_seed = None;
        let projection = match config.projection {
            Projection::None => None,
            Projection::Random { width: d } => {
                projection_seed = Some(seed);
                Some(random_projection(width, d, seed))
            }
            Projection::Pca { width: d } => {
                Some(principal_directions(&second.through(&map).covariance(), d)?)
            }
        };
        if let Some(projection) = projection {
            let projected = match map {
                Linear::Diagonal(scales) => scale_rows(&scales, projection),
                Linear::Dense(values) => {
                    DMatrix::from_row_slice(width, width, &values) * projection
                }
            };
            map = dense(&projected);
            if config.whiten != Whiten::None {
                let again = second.through(&map).whitening(config.whiten)?;
                map = match again {
                    Linear::Diagonal(scales) => dense(&scale_columns(projected, &scales)),
                    Linear::Dense(values) => dense(
                        &(projected * DMatrix::from_row_slice(output_width, output_width, &values)),
                    ),
                };
            }
        }
        Ok(Self {
            mean,
            linear: map,
            input_width: width,
            output_width,
            projection_seed,
        })
    }

    /// A, row-major [D, d].
    pub fn matrix(&self) -> Vec<f64> {
        match &self.linear {
            Linear::Dense(values) => values.clone(),
            Linear::Diagonal(scales) => {
                let width = scales.len();
                let mut matrix = vec![0.0; width * width];
                for (i, &scale) in scales.iter().enumerate() {
                    matrix[i * width + i] = scale;
                }
                matrix
            }
        }
    }

    /// Maps rows [n, D] to [n, d], computed in f64.
    ///
    /// # Panics
    /// If `rows` is not a whole number of rows.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        assert!(rows.len().is_multiple_of(self.input_width));
        let mut points = vec![0.0; rows.len() / self.input_width * self.output_width];
        self.apply_into(rows, &mut points);
        points
    }

    /// As [`Self::apply`], into `points` [n, d].
    pub(super) fn apply_into(&self, rows: &[f32], points: &mut [f32]) {
        let (width, output_width) = (self.input_width, self.output_width);
        assert_eq!(rows.len() * output_width, points.len() * width);
        match &self.linear {
            Linear::Diagonal(scales) => {
                // Several narrow rows at once are as fast as a wide one.
                let together = DIAGONAL_COLUMNS.div_ceil(width);
                let (mean, scales) = (self.mean.repeat(together), scales.repeat(together));
                let parts = rows.chunks(together * width);
                for (from, to) in parts.zip(points.chunks_mut(together * width)) {
                    for (((to, &v), mean), scale) in to.iter_mut().zip(from).zip(&mean).zip(&scales)
                    {
                        *to = ((f64::from(v) - mean) * scale) as f32;
                    }
                }
            }
            Linear::Dense(values) => {
                // Row-major [D, d] is column-major [d, D].
                let transposed = DMatrix::from_column_slice(output_width, width, values);
                rows.par_chunks(TASK_ROWS * width)
                    .zip(points.par_chunks_mut(TASK_ROWS * output_width))
                    .for_each(|(from, to)| {
                        let centred = (from.chunks_exact(width))
                            .flat_map(|row| row.iter().zip(&self.mean))
                            .map(|(&v, mean)| f64::from(v) - mean);
                        let mapped = &transposed
                            * DMatrix::from_iterator(width, from.len() / width, centred);
                        for (to, &v) in to.iter_mut().zip(mapped.iter()) {
                            *to = v as f32;
                        }
                    });
            }
        }
    }

    /// Maps points [n, d] back to rows [n, D]; `None` unless d = D and A is invertible. Inverts A on
    /// each call.
    ///
    /// # Panics
    /// If `points` is not a whole number of points.
    pub fn inverse(&self, points: &[f32]) -> Option<Vec<f32>> {
        Some(self.inverter()?(points))
    }

    /// As [`Self::inverse`], for repeated calls.
    pub fn inverter(&self) -> Option<Inverse> {
        let inverse = self.inverted()?;
        let mean = self.mean.clone();
        Some(Box::new(move |points| {
            assert!(points.len().is_multiple_of(inverse.output_width));
            let mut rows = inverse.apply(points);
            for (i, value) in rows.iter_mut().enumerate() {
                *value = (f64::from(*value) + mean[i % mean.len()]) as f32;
            }
            rows
        }))
    }

    /// y -> y A^-1, without adding the mean.
    fn inverted(&self) -> Option<Self> {
        if self.input_width != self.output_width {
            return None;
        }
        let linear = match &self.linear {
            Linear::Diagonal(scales) if scales.contains(&0.0) => return None,
            Linear::Diagonal(scales) => Linear::Diagonal(scales.iter().map(|s| 1.0 / s).collect()),
            Linear::Dense(values) => dense(
                &DMatrix::from_row_slice(self.input_width, self.input_width, values)
                    .try_inverse()?,
            ),
        };
        Some(Self {
            mean: vec![0.0; self.input_width],
            linear,
            ..self.clone()
        })
    }

    /// ln |det A| in nats, such that log p_feature(x) = log p_point(y) + ln |det A|; `None` unless
    /// d = D and A is invertible.
    pub fn log_abs_det(&self) -> Option<f64> {
        if self.input_width != self.output_width {
            return None;
        }
        let pivots: Vec<f64> = match &self.linear {
            Linear::Diagonal(scales) => scales.clone(),
            Linear::Dense(values) => {
                DMatrix::from_row_slice(self.input_width, self.input_width, values)
                    .lu()
                    .u()
                    .diagonal()
                    .iter()
                    .copied()
                    .collect()
            }
        };
        let log: f64 = pivots.iter().map(|p| p.abs().ln()).sum();
        log.is_finite().then_some(log)
    }
}

/// First and second moments, as far as known, of linearly mapped features.
struct Spread {
    /// Mean after centring.
    mean: Vec<f64>,
    variance: Vec<f64>,
    covariance: Option<DMatrix<f64>>,
}

impl Spread {
    fn new(config: &NormalisationConfig, moments: &Moments) -> Self {
        let width = moments.mean.len();
        Self {
            mean: if config.centre {
                vec![0.0; width]
            } else {
                moments.mean.clone()
            },
            variance: moments.variance.clone(),
            covariance: moments
                .covariance
                .as_ref()
                .map(|c| DMatrix::from_row_slice(width, width, c)),
        }
    }

    fn covariance(&self) -> DMatrix<f64> {
        match &self.covariance {
            Some(covariance) => covariance.clone(),
            None => panic!("the covariance was not computed; ask Normaliser::needs_covariance"),
        }
    }

    /// The moments of x A.
    fn through(&self, map: &Linear) -> Self {
        let width = self.mean.len();
        match map {
            Linear::Diagonal(scales) => Self {
                mean: self.mean.iter().zip(scales).map(|(m, s)| m * s).collect(),
                variance: self
                    .variance
                    .iter()
                    .zip(scales)
                    .map(|(v, s)| v * s * s)
                    .collect(),
                covariance: self
                    .covariance
                    .as_ref()
                    .map(|c| scale_columns(scale_rows(scales, c.clone()), scales)),
            },
            Linear::Dense(values) => {
                let matrix = DMatrix::from_row_slice(width, values.len() / width, values);
                let covariance = matrix.transpose() * self.covariance() * &matrix;
                let mean = DMatrix::from_row_slice(1, width, &self.mean) * &matrix;
                Self {
                    mean: mean.iter().copied().collect(),
                    variance: covariance.diagonal().iter().copied().collect(),
                    covariance: Some(covariance),
                }
            }
        }
    }

    fn whitening(&self, whiten: Whiten) -> Result<Linear> {
        let width = self.mean.len();
        Ok(match whiten {
            Whiten::None => Linear::Diagonal(vec![1.0; width]),
            Whiten::Global => {
                let squares: f64 = self.mean.iter().map(|m| m * m).sum::<f64>()
                    + self.variance.iter().sum::<f64>();
                Linear::Diagonal(vec![(squares / width as f64).sqrt().recip(); width])
            }
            Whiten::PerDimension => {
                Linear::Diagonal(self.variance.iter().map(|v| v.sqrt().recip()).collect())
            }
            Whiten::Full => dense(&inverse_square_root(self.covariance())?),
        })
    }
}

/// C^(-1/2), symmetric.
fn inverse_square_root(covariance: DMatrix<f64>) -> Result<DMatrix<f64>> {
    let width = covariance.nrows();
    let eigen = SymmetricEigen::new(covariance);
    let largest = eigen.eigenvalues.max();
    let flat = (eigen.eigenvalues.iter())
        .filter(|&&v| v <= RANK_TOLERANCE * largest)
        .count();
    if flat > 0 {
        return Err(Error::input(format!(
            "normalisation.whiten: full needs {width} linearly independent columns, but {flat} directions of the features have no variance. Use `projection: {{kind: pca, width: {}}}`, or `whiten: per_dimension`",
            width - flat
        )));
    }
    let scales: Vec<f64> = eigen.eigenvalues.iter().map(|v| v.sqrt().recip()).collect();
    let vectors = eigen.eigenvectors;
    Ok(scale_columns(vectors.clone(), &scales) * vectors.transpose())
}

/// The `count` eigenvectors of largest eigenvalue as columns, [D, count].
fn principal_directions(covariance: &DMatrix<f64>, count: usize) -> Result<DMatrix<f64>> {
    let width = covariance.nrows();
    let eigen = SymmetricEigen::new(covariance.clone());
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let largest = eigen.eigenvalues[order[0]];
    let rank = (order.iter())
        .filter(|&&i| eigen.eigenvalues[i] > RANK_TOLERANCE * largest)
        .count();
    if count > rank {
        return Err(Error::input(format!(
            "normalisation.projection.width: found {count}, expected at most {rank}, the number of directions in which the features vary"
        )));
    }
    let mut directions = DMatrix::zeros(width, count);
    for (column, &from) in order[..count].iter().enumerate() {
        let vector = eigen.eigenvectors.column(from);
        let sign = vector[vector.iamax()].signum();
        directions.set_column(column, &(vector * sign));
    }
    Ok(directions)
}

/// Entries N(0, 1/D) (Li et al.), [D, d], drawn row by row.
fn random_projection(width: usize, output_width: usize, seed: u64) -> DMatrix<f64> {
    let mut rng = stream(seed, Purpose::Projection, &[]);
    let scale = (width as f64).sqrt().recip();
    let entries = (0..width * output_width)
        .map(|_| scale * rng.sample::<f64, _>(StandardNormal))
        .collect::<Vec<_>>();
    DMatrix::from_row_slice(width, output_width, &entries)
}

fn refuse_too_few_rows(config: &NormalisationConfig, moments: &Moments) -> Result<()> {
    let width = moments.mean.len();
    let inverted = match (config.whiten, config.projection) {
        (Whiten::Full, Projection::Pca { width }) => width,
        (Whiten::Full, _) => width,
        (_, Projection::Pca { width }) => width,
        _ => return Ok(()),
    };
    if moments.rows <= inverted as u64 {
        return Err(Error::input(format!(
            "normalisation: full whitening or PCA to width {inverted} needs more than {inverted} training rows, found {}. Use more rows, a smaller `projection.width`, or `whiten: per_dimension`",
            moments.rows
        )));
    }
    Ok(())
}

/// Whether a column is constant: rounding leaves a variance of this order.
fn is_constant(variance: f64, mean: f64) -> bool {
    variance <= 1e-24 * mean * mean
}

fn refuse_constant_columns(config: &NormalisationConfig, moments: &Moments) -> Result<()> {
    const SHOWN: usize = 10;
    let constant = |c: &usize| is_constant(moments.variance[*c], moments.mean[*c]);
    let columns: Vec<usize> = (0..moments.mean.len()).filter(constant).collect();
    let all = columns.len() == moments.mean.len();
    let pca = matches!(config.projection, Projection::Pca { .. });
    let refused = match config.whiten {
        Whiten::None => pca && all,
        Whiten::Global => all,
        Whiten::PerDimension => !columns.is_empty(),
        // PCA comes first here and removes constant columns.
        Whiten::Full => all || (!pca && !columns.is_empty()),
    };
    if !refused {
        return Ok(());
    }
    let mut shown: Vec<String> = columns.iter().take(SHOWN).map(usize::to_string).collect();
    if columns.len() > SHOWN {
        shown.push("...".into());
    }
    Err(Error::input(format!(
        "normalisation.whiten: {} of {} feature columns are constant over the training rows (columns {}), so they cannot be brought to spread one. Remove them from the file, or use `whiten: global` or `whiten: full` with `projection: {{kind: pca, width: ...}}`",
        columns.len(),
        moments.mean.len(),
        shown.join(", ")
    )))
}

/// diag(scales) M.
fn scale_rows(scales: &[f64], mut matrix: DMatrix<f64>) -> DMatrix<f64> {
    for (mut row, &scale) in matrix.row_iter_mut().zip(scales) {
        row *= scale;
    }
    matrix
}

/// M diag(scales).
fn scale_columns(mut matrix: DMatrix<f64>, scales: &[f64]) -> DMatrix<f64> {
    for (mut column, &scale) in matrix.column_iter_mut().zip(scales) {
        column *= scale;
    }
    matrix
}

fn dense(matrix: &DMatrix<f64>) -> Linear {
    Linear::Dense(matrix.transpose().as_slice().to_vec())
}
