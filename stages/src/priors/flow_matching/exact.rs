//! The exact velocity field of a Gaussian mixture in closed form: that of a perfectly trained flow. It
//! allows tests of the solver, the alignment loss and trained networks without training.
//!
//! With component k ~ N(m, C), the interpolant `x_t = (1 - t) noise + t data` is Gaussian given k,
//! with mean `t m` and covariance `S = (1 - t)^2 I + t^2 C`. Conditioning gives
//!
//! ```text
//! u_k(x, t) = E[data - noise | x_t = x, k] = m + (t C - (1 - t) I) S^-1 (x - t m)
//! v(x, t)   = sum_k gamma_k u_k,      gamma_k = p(k | x_t = x)
//! div v     = sum_k gamma_k [ tr((t C - (1 - t) I) S^-1) + g_k . (u_k - v) ],   g_k = -S^-1 (x - t m)
//! ```
//!
//! All computations use the eigenbasis of C, where S is diagonal.

use crate::priors::field::VelocityField;
use crate::targets::GaussianMixture;
use crate::tensors::from_f64;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor};

/// The exact velocity of data that follows a Gaussian mixture.
#[derive(Debug, Clone)]
pub struct ExactMixture {
    width: usize,
    components: Vec<Component>,
}

#[derive(Debug, Clone)]
struct Component {
    log_weight: f64,
    mean: Tensor<2>,  // [1, d]
    basis: Tensor<2>, // [d, d], eigenvectors of the covariance in columns
    eigenvalues: Vec<f64>,
}

/// Conditional quantities of a component at points [K, m, d] and K times.
struct Conditional {
    log_joint: Tensor<3>, // log p(k, x_t), up to a constant shared by all components [K, m, 1]
    velocity: Tensor<3>,  // u_k [K, m, d]
    score: Tensor<3>,     // g_k [K, m, d]
    slope: Tensor<3>,     // (t C - (1 - t) I) S^-1 in the eigenbasis [K, 1, d]
}

impl ExactMixture {
    /// The field on `device` with element type `dtype` (f32 or f64).
    pub fn new(mixture: &GaussianMixture, dtype: DType, device: &Device) -> Self {
        let width = mixture.width();
        let components = (mixture.weights.iter())
            .zip(&mixture.means)
            .zip(mixture.components_eigen())
            .map(|((weight, mean), eigen)| Component {
                log_weight: weight.ln(),
                mean: from_f64(mean.clone(), [1, width], dtype, device),
                basis: from_f64(eigen.vectors, [width, width], dtype, device),
                eigenvalues: eigen.values.into_iter().map(|l| l.max(0.0)).collect(),
            })
            .collect();
        Self { width, components }
    }

    /// `gamma` [K, m, k] and the conditionals at `x` [K, m, d].
    fn condition(&self, x: &Tensor<3>, times: &[f64]) -> (Tensor<3>, Vec<Conditional>) {
        let conditionals: Vec<_> = (self.components.iter())
            .map(|component| component.condition(x, times))
            .collect();
        let joint = conditionals.iter().map(|c| c.log_joint.clone()).collect();
        (softmax(Tensor::cat(joint, 2), 2), conditionals)
    }
}

impl Component {
    fn condition(&self, x: &Tensor<3>, times: &[f64]) -> Conditional {
        let [groups, _, d] = x.dims();
        let (dtype, device) = (x.dtype(), x.device());
        // A coefficient per time and eigenvalue, [K, 1, d].
        let coefficient = |f: &dyn Fn(f64, f64) -> f64| -> Tensor<3> {
            let values = (times.iter())
                .flat_map(|&t| self.eigenvalues.iter().map(move |&l| f(t, l)))
                .collect();
            from_f64(values, [groups, 1, d], dtype, &device)
        };
        let variance = |t: f64, l: f64| (1.0 - t).powi(2) + t * t * l;
        let precision = coefficient(&|t, l| 1.0 / variance(t, l));
        let slope = coefficient(&|t, l| (t * l - (1.0 - t)) / variance(t, l));
        let log_variance = coefficient(&|t, l| variance(t, l).ln());
        let time = from_f64(times.to_vec(), [groups, 1, 1], dtype, &device);

        let mean = self.mean.clone().unsqueeze::<3>(); // [1, 1, d]
        let z = turn(x.clone() - mean.clone() * time, self.basis.clone()); // eigenbasis
        let back = self.basis.clone().transpose();
        let quadratic = (z.clone().square() * precision.clone() + log_variance).sum_dim(2);
        Conditional {
            log_joint: quadratic.mul_scalar(-0.5).add_scalar(self.log_weight),
            velocity: turn(z.clone() * slope.clone(), back.clone()) + mean,
            score: turn(z * precision, back).neg(),
            slope,
        }
    }
}

/// Rotates rows [K, m, d] into or out of an eigenbasis.
fn turn(rows: Tensor<3>, basis: Tensor<2>) -> Tensor<3> {
    let [groups, points, d] = rows.dims();
    let flat = rows.reshape([groups * points, d]).matmul(basis);
    flat.reshape([groups, points, d])
}

impl VelocityField for ExactMixture {
    fn width(&self) -> usize {
        self.width
    }

    fn velocity(&self, x: Tensor<3>, times: &[f64]) -> Tensor<3> {
        let (gamma, conditionals) = self.condition(&x, times);
        (conditionals.into_iter().enumerate())
            .map(|(k, c)| gamma.clone().narrow(2, k, 1) * c.velocity)
            .reduce(|a, b| a + b)
            .expect("a mixture has components")
    }

    fn velocity_and_divergence(&self, x: Tensor<2>, time: f64) -> (Tensor<2>, Tensor<1>) {
        let x = x.unsqueeze::<3>(); // [1, n, d]
        let (gamma, conditionals) = self.condition(&x, &[time]);
        let weighted = |f: &dyn Fn(&Conditional) -> Tensor<3>| {
            (conditionals.iter().enumerate())
                .map(|(k, c)| gamma.clone().narrow(2, k, 1) * f(c))
                .reduce(|a, b| a + b)
                .expect("a mixture has components")
        };
        let velocity = weighted(&|c| c.velocity.clone());
        let divergence = weighted(&|c| {
            let spread = c.velocity.clone() - velocity.clone();
            c.slope.clone().sum_dim(2) + (c.score.clone() * spread).sum_dim(2)
        });
        (velocity.squeeze_dim(0), divergence.flatten(0, 2))
    }

    /// `J p = sum_k gamma_k [ (t C - (1 - t) I) S^-1 p + (u_k - v) (g_k . p) ]`.
    fn velocity_and_jvps(
        &self,
        x: Tensor<2>,
        time: f64,
        directions: Tensor<3>,
    ) -> (Tensor<2>, Tensor<3>) {
        let (gamma, conditionals) = self.condition(&x.unsqueeze::<3>(), &[time]);
        let gamma = |k: usize| gamma.clone().narrow(2, k, 1).swap_dims(0, 1); // [n, 1, 1]
        let row = |rows: &Tensor<3>| rows.clone().swap_dims(0, 1); // [1, n, d] -> [n, 1, d]
        let velocity = (conditionals.iter().enumerate())
            .map(|(k, c)| gamma(k) * row(&c.velocity))
            .reduce(|a, b| a + b)
            .expect("a mixture has components");
        let along = (conditionals.iter().zip(&self.components).enumerate())
            .map(|(k, (c, component))| {
                let inside = turn(directions.clone(), component.basis.clone()) * c.slope.clone();
                let linear = turn(inside, component.basis.clone().transpose());
                let aligned = (directions.clone() * row(&c.score)).sum_dim(2); // [n, k, 1]
                gamma(k) * (linear + (row(&c.velocity) - velocity.clone()) * aligned)
            })
            .reduce(|a, b| a + b)
            .expect("a mixture has components");
        (velocity.squeeze_dim(1), along)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::field::{autodiff_divergence, difference_jvps};
    use crate::random::Streams;
    use crate::tensors::{from_f32, to_f64};

    /// Three components with full covariances in two dimensions.
    fn mixture() -> GaussianMixture {
        GaussianMixture {
            weights: vec![0.5, 0.3, 0.2],
            means: vec![vec![1.0, 0.0], vec![-1.0, 1.5], vec![0.0, -2.0]],
            covariances: vec![
                vec![0.3, 0.1, 0.1, 0.2],
                vec![0.5, -0.2, -0.2, 0.4],
                vec![0.1, 0.0, 0.0, 0.1],
            ],
        }
    }

    #[test]
    fn the_divergence_is_that_of_the_velocity() {
        let device = Device::flex();
        let tracked = device.clone().autodiff();
        let x = from_f32::<2>(Streams::new(0).normal("x", 0, 20), [10, 2], &device);
        let x = x.cast(DType::F64);
        for time in [0.0, 0.3, 0.8, 1.0] {
            let plain = ExactMixture::new(&mixture(), DType::F64, &device);
            let (_, divergence) = plain.velocity_and_divergence(x.clone(), time);
            let field = ExactMixture::new(&mixture(), DType::F64, &tracked);
            let autodiff = autodiff_divergence(&field, x.clone(), time).unwrap();
            for (a, b) in to_f64(divergence).unwrap().iter().zip(autodiff) {
                assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }

    #[test]
    fn jacobian_products_agree_with_central_differences() {
        let device = Device::flex();
        let field = ExactMixture::new(&mixture(), DType::F64, &device);
        let x = from_f32::<2>(Streams::new(0).normal("x", 0, 20), [10, 2], &device);
        let x = x.cast(DType::F64);
        let directions: Tensor<3> =
            from_f32(Streams::new(1).normal("z", 0, 60), [10, 3, 2], &device).cast(DType::F64);
        let (velocity, along) = field.velocity_and_jvps(x.clone(), 0.6, directions.clone());
        let expected = difference_jvps(&field, x.clone(), 0.6, directions).unwrap();
        for (a, b) in to_f64(along).unwrap().iter().zip(expected) {
            assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a} {b}");
        }
        let (same, _) = field.velocity_and_divergence(x, 0.6);
        assert_eq!(to_f64(velocity).unwrap(), to_f64(same).unwrap());
    }

    #[test]
    fn it_is_the_regression_of_data_minus_noise() {
        // Any other field has a larger flow-matching loss, by E|v' - v|^2: compare with shifted
        // fields.
        let device = Device::flex();
        let exact = ExactMixture::new(&mixture(), DType::F64, &device);
        struct Shifted(ExactMixture, f64);
        impl VelocityField for Shifted {
            fn width(&self) -> usize {
                2
            }
            fn velocity(&self, x: Tensor<3>, times: &[f64]) -> Tensor<3> {
                self.0.velocity(x, times) + self.1
            }
            fn velocity_and_divergence(&self, _: Tensor<2>, _: f64) -> (Tensor<2>, Tensor<1>) {
                unreachable!()
            }
            fn velocity_and_jvps(
                &self,
                _: Tensor<2>,
                _: f64,
                _: Tensor<3>,
            ) -> (Tensor<2>, Tensor<3>) {
                unreachable!()
            }
        }
        let mut rng = Streams::new(4).at("data", 0);
        let n = 40_000;
        let data = sample(&mixture(), n, &mut rng);
        let data: Tensor<3> = from_f64(data, [64, n / 64, 2], DType::F64, &device);
        let noise: Tensor<3> = from_f32(
            crate::random::normal(&mut rng, 2 * n),
            [64, n / 64, 2],
            &device,
        );
        let times = crate::random::stratified_times(&mut rng, 64);
        let loss = |shift: f64| {
            let field = Shifted(exact.clone(), shift);
            let noise = noise.clone().cast(DType::F64);
            let loss = crate::priors::flow_matching_loss(&field, data.clone(), noise, &times);
            to_f64(loss).unwrap()[0]
        };
        let least = loss(0.0);
        for shift in [0.3, -0.3] {
            let expected = 2.0 * shift * shift;
            assert!(
                (loss(shift) - least - expected).abs() < 0.03,
                "{}",
                loss(shift) - least
            );
        }
    }

    fn sample(mixture: &GaussianMixture, n: usize, rng: &mut rand_pcg::Pcg64) -> Vec<f64> {
        use rand::RngExt;
        (0..n)
            .flat_map(|_| {
                let u: f64 = rng.random();
                let k = if u < 0.5 {
                    0
                } else if u < 0.8 {
                    1
                } else {
                    2
                };
                let [a, b, _, c] = mixture.covariances[k][..] else {
                    unreachable!()
                };
                let z = crate::random::normal(rng, 2);
                let (z0, z1) = (f64::from(z[0]), f64::from(z[1]));
                let l = a.sqrt();
                let mean = &mixture.means[k];
                [
                    mean[0] + l * z0,
                    mean[1] + b / l * z0 + (c - b * b / a).sqrt() * z1,
                ]
            })
            .collect()
    }
}
