//! A student flow trained online on the latents: distribution matching (Yin et al. 2024, arXiv 2311.18828, for
//! images; Ye et al. 2025, arXiv 2512.07778, for latents).
//!
//! The student's velocity is the frozen flow's plus a trained correction. It starts as the teacher whatever the
//! shape of its rows, and the difference of both velocities is the correction itself. Its rows may be several of
//! the teacher's points side by side, which are independent under the teacher; the correction then learns how the
//! latents of a row depend on each other.
//!
//! The loss is the alignment loss minus the student's. At time t the scores of student and teacher differ by
//! `t / (1 - t)` times the correction, and minimising the difference of losses moves latents to where the teacher's
//! density exceeds their own.

use super::loss::{Grouped, grouped};
use crate::priors::{Spread, VelocityField, VelocityNetwork, interpolate};
use crate::training::{OptimiserConfig, Replicas, Trainer};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the gradient of the difference of two alignment losses flows through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gradient {
    /// Only the losses' target: the gradient is the difference of the velocities, without Jacobians.
    Velocities,
    /// Also the networks: the full gradient of the losses.
    #[default]
    Losses,
}

/// The frozen flow, over points of its own width.
#[derive(Clone, Copy)]
pub struct Teacher<'a> {
    /// Without autodiff.
    pub plain: &'a dyn VelocityField,
    /// With autodiff and frozen weights.
    pub tracked: &'a dyn VelocityField,
}

/// Training schedule of a student.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Flow-matching steps per step of the autoencoder.
    pub steps: usize,
    /// The largest learning rate.
    pub learning_rate: f64,
    /// Number of steps of the autoencoder.
    pub of: u64,
}

/// A flow that tracks the latents.
pub struct Student<'a> {
    /// Train the correction; None only during a step.
    replicas: Option<Replicas<VelocityNetwork>>,
    /// One on each device.
    teachers: Vec<Teacher<'a>>,
    /// Without autodiff.
    devices: Vec<Device>,
    steps: usize,
}

impl<'a> Student<'a> {
    /// A student of the same teacher on each of `devices` (without autodiff), at least one. `correction`, on the first, is
    /// a network whose velocity is initially zero, over rows of one or several of the teacher's points.
    pub fn new(
        teachers: Vec<Teacher<'a>>,
        devices: Vec<Device>,
        correction: VelocityNetwork,
        schedule: Schedule,
    ) -> Self {
        debug_assert!((correction.width()).is_multiple_of(teachers[0].plain.width()));
        let optimiser = OptimiserConfig {
            learning_rate: schedule.learning_rate,
            warmup_steps: 0,
            final_learning_rate: 0.1,
            ema: 0.0,
            ..Default::default()
        };
        let each = schedule.steps as u64;
        let trainer = Trainer::new(correction, &optimiser, schedule.of * each);
        Self {
            replicas: Some(Replicas::of(
                trainer.within_another("student's gradient", each),
                &devices[1..],
            )),
            teachers,
            devices,
            steps: schedule.steps,
        }
    }

    /// A loss `[1]` of `latents` [n, d], with any number of the student's rows in each. Its value is the alignment
    /// loss minus the student's, mean over elements and `draws` draws: zero if both agree. Its gradient is that of
    /// half the value divided by the mean absolute error of the teacher in each draw of a row, so that it depends
    /// on neither the unit of latents nor the size of errors at a time (`ẑ_student - ẑ_teacher` over the mean of
    /// `|z - ẑ_teacher|`, for `gradient` of velocities).
    pub fn matching_loss(
        &self,
        latents: Tensor<2>,
        gradient: Gradient,
        draws: usize,
        rng: &mut Pcg64,
    ) -> Tensor<1> {
        let Grouped {
            data,
            noise,
            shares,
        } = grouped(self.rows(latents), draws, rng);
        let at = interpolate(data.clone(), noise.clone(), &shares);
        let (of_teacher, correction) = self.velocities(at, gradient, &shares);
        difference(of_teacher, correction, data - noise)
    }

    /// The velocities of the teacher, and the student's minus the teacher's, at `x` [K, m, d].
    fn velocities(
        &self,
        x: Tensor<3>,
        gradient: Gradient,
        times: &[f64],
    ) -> (Tensor<3>, Tensor<3>) {
        let networks = self.replicas().modules().into_iter().cloned();
        match (x.device().is_autodiff(), gradient) {
            (true, Gradient::Losses) => {
                let networks: Vec<_> = networks.map(Module::no_grad).collect();
                (
                    side_by_side(&self.teacher(|t| t.tracked), x.clone(), times),
                    self.together(networks.iter()).velocity(x, times),
                )
            }
            (tracked, _) => {
                // nothing flows through the networks, so no graph is needed
                let x = if tracked { x.inner() } else { x };
                let of_teacher = side_by_side(&self.teacher(|t| t.plain), x.clone(), times);
                let networks: Vec<_> = networks.map(|network| network.valid()).collect();
                let correction = self.together(networks.iter()).velocity(x, times);
                match tracked {
                    true => (
                        Tensor::from_inner(of_teacher),
                        Tensor::from_inner(correction),
                    ),
                    false => (of_teacher, correction),
                }
            }
        }
    }

    /// The teacher, spread over the devices.
    fn teacher(&self, of: impl Fn(&Teacher<'a>) -> &'a dyn VelocityField) -> Spread<'_> {
        Spread {
            fields: self.teachers.iter().map(of).collect(),
            devices: &self.devices,
        }
    }

    /// The correction of `networks`, one on each device.
    fn together<'b>(&'b self, networks: impl Iterator<Item = &'b VelocityNetwork>) -> Spread<'b> {
        Spread {
            fields: networks.map(|network| network as _).collect(),
            devices: &self.devices,
        }
    }

    /// Reshapes `latents` [n, multiple of the row's elements] into rows of the student.
    fn rows(&self, latents: Tensor<2>) -> Tensor<2> {
        let [n, d] = latents.dims();
        let width = self.replicas().modules()[0].width();
        latents.reshape([n * d / width, width])
    }

    /// Steps taken by the autoencoder.
    pub fn taken(&self) -> u64 {
        self.replicas().steps_taken() / self.steps as u64
    }

    /// The training of the correction.
    fn replicas(&self) -> &Replicas<VelocityNetwork> {
        self.replicas.as_ref().expect("no step is under way")
    }

    /// The training of the correction, to be resumed.
    pub(super) fn replicas_mut(&mut self) -> &mut Replicas<VelocityNetwork> {
        self.replicas.as_mut().expect("no step is under way")
    }

    /// Takes flow-matching steps on `latents` [n, d].
    pub fn learn(&mut self, latents: Tensor<2>, rng: &mut Pcg64) {
        let latents = self.rows(latents.inner());
        for _ in 0..self.steps {
            let replicas = self.replicas.take().expect("no step is under way");
            let drawn = grouped(latents.clone(), 1, rng);
            let loss = self.loss(&replicas.modules(), drawn);
            self.replicas = Some(replicas.step(loss));
        }
    }

    /// The flow-matching loss of teacher plus correction, whose replicas are `networks`.
    fn loss(&self, networks: &[&VelocityNetwork], drawn: Grouped) -> Tensor<1> {
        let Grouped {
            data,
            noise,
            shares,
        } = drawn;
        let at = interpolate(data.clone(), noise.clone(), &shares);
        let left = data - noise - side_by_side(&self.teacher(|t| t.plain), at.clone(), &shares);
        let correction = self.together(networks.iter().copied());
        let error = correction.velocity(Tensor::from_inner(at), &shares) - Tensor::from_inner(left);
        let [groups, each, _] = error.dims();
        error.square().sum().div_scalar((groups * each) as f64)
    }
}

/// The alignment loss minus the student's `[1]`, from the errors of their velocities at `target` [K, m, d]; with
/// the gradient described at [`Student::matching_loss`].
fn difference(of_teacher: Tensor<3>, correction: Tensor<3>, target: Tensor<3>) -> Tensor<1> {
    let error = of_teacher - target;
    let of_student = error.clone() + correction;
    let size = error.clone().detach().abs().mean_dim(2).clamp_min(SMALLEST);
    let less = error.square() - of_student.square();
    let along = (less.clone() / size).mean().mul_scalar(0.5);
    // `along` contributes its gradient only
    along.clone() - along.detach() + less.mean().detach()
}

/// Lower bound of the teacher's error when it divides a gradient.
const SMALLEST: f64 = 1e-6;

/// The velocities of `field` at `x` [K, m, c d], whose rows are c of its points of width d side by side.
fn side_by_side(field: &dyn VelocityField, x: Tensor<3>, times: &[f64]) -> Tensor<3> {
    let [groups, each, width] = x.dims();
    let d = field.width();
    let points = x.reshape([groups, each * width / d, d]);
    field.velocity(points, times).reshape([groups, each, width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::{ExactMixture, VelocityNetworkConfig};
    use crate::random::Streams;
    use crate::targets::GaussianMixture;
    use crate::tensors::{from_f32, scalar, to_f32};
    use crate::training::perturb;
    use burn::tensor::DType;

    const SCHEDULE: Schedule = Schedule {
        steps: 5,
        learning_rate: 1e-2,
        of: 10,
    };

    fn small() -> VelocityNetworkConfig {
        VelocityNetworkConfig {
            width: 16,
            blocks: 1,
            frequencies: 16,
            time_scale: 10.0,
        }
    }

    /// A network over points of width 2, without and with autodiff.
    fn fields() -> [VelocityNetwork; 2] {
        let network = small().init(2, Streams::new(0), &Device::flex().autodiff());
        let network = perturb(network, 0.3, Streams::new(1)).no_grad();
        [network.valid(), network]
    }

    fn teacher([plain, tracked]: &[VelocityNetwork; 2]) -> Teacher<'_> {
        Teacher { plain, tracked }
    }

    /// A student over rows of `width` numbers.
    fn student<'a>(teacher: Teacher<'a>, width: usize, schedule: Schedule) -> Student<'a> {
        let network = small().init(width, Streams::new(5), &Device::flex().autodiff());
        Student::new(vec![teacher], vec![Device::flex()], network, schedule)
    }

    fn latents(rows: usize) -> Tensor<2> {
        let values = Streams::new(2).normal("latents", 0, 4 * rows);
        from_f32(values, [rows, 4], &Device::flex().autodiff())
    }

    /// Value and gradient of the loss of `latents`.
    fn at(
        student: &Student,
        latents: &Tensor<2>,
        gradient: Gradient,
        draws: usize,
    ) -> (f64, Vec<f32>) {
        let y = latents.clone().require_grad();
        let mut rng = Streams::new(3).at("draws", 0);
        let loss = student.matching_loss(y.clone(), gradient, draws, &mut rng);
        let gradient = y.grad(&loss.backward()).unwrap();
        (scalar(loss.inner()).unwrap(), to_f32(gradient).unwrap())
    }

    /// The velocities of teacher and student, and the target, of the draws that [`at`] uses.
    fn by_hand(student: &Student, latents: &Tensor<2>, draws: usize) -> [Vec<f32>; 3] {
        let rows = student.rows(latents.clone().inner());
        let drawn = grouped(rows, draws, &mut Streams::new(3).at("draws", 0));
        let x = interpolate(drawn.data.clone(), drawn.noise.clone(), &drawn.shares);
        let of_teacher = side_by_side(student.teachers[0].plain, x.clone(), &drawn.shares);
        let correction = student.replicas().modules()[0]
            .valid()
            .velocity(x, &drawn.shares);
        let of_student = of_teacher.clone() + correction;
        [of_teacher, of_student, drawn.data - drawn.noise].map(|t| to_f32(t).unwrap())
    }

    /// Fails on a wrong sign, factor or normaliser, or if a student does not start as the teacher.
    #[test]
    fn the_gradient_is_the_difference_of_velocities_over_the_teachers_error_and_zero_at_the_start()
    {
        let fields = fields();
        for (width, gradients) in [2, 4].map(|w| (w, [Gradient::Velocities, Gradient::Losses])) {
            let mut student = student(teacher(&fields), width, SCHEDULE);
            let latents = latents(32);
            for gradient in gradients {
                let (value, still) = at(&student, &latents, gradient, 1);
                assert_eq!(value, 0.0);
                assert!(
                    still.iter().all(|&g| g.abs() < 1e-7),
                    "{width} {gradient:?}"
                );
            }
            student.learn(latents.clone(), &mut Streams::new(4).at("learn", 0));
            for draws in [1, 3] {
                let (value, found) = at(&student, &latents, Gradient::Velocities, draws);
                let [of_teacher, of_student, target] = by_hand(&student, &latents, draws);
                let square = |of: &[f32]| {
                    let squares = of.iter().zip(&target).map(|(v, u)| (v - u).powi(2));
                    f64::from(squares.sum::<f32>()) / of.len() as f64
                };
                let less = square(&of_teacher) - square(&of_student);
                assert!((value - less).abs() < 1e-5, "{value} {less}");
                let each: Vec<f32> = (0..of_teacher.len())
                    .map(|i| {
                        let row = i / width * width..(i / width + 1) * width;
                        let size = row.map(|j| (of_teacher[j] - target[j]).abs()).sum::<f32>();
                        (of_student[i] - of_teacher[i]) / (size / width as f32)
                    })
                    .collect();
                for (i, g) in found.iter().enumerate() {
                    let sum: f32 = each.iter().skip(i).step_by(128).sum();
                    let expected = sum / draws as f32 / 128.0;
                    assert!((g - expected).abs() < 1e-6, "{g} {expected}");
                }
            }
        }
    }

    /// Fails if a Jacobian is missing, or one network's.
    #[test]
    fn through_the_networks_the_gradient_is_that_of_the_difference_of_both_losses() {
        let fields = fields();
        let mut student = student(teacher(&fields), 4, SCHEDULE);
        student.learn(latents(32), &mut Streams::new(4).at("learn", 0));
        let row = latents(1);
        let (_, found) = at(&student, &row, Gradient::Losses, 1);
        let [of_teacher, _, target] = by_hand(&student, &row, 1);
        let errors = of_teacher.iter().zip(&target).map(|(v, u)| (v - u).abs());
        let twice = 2.0 * f64::from(errors.sum::<f32>()) / 4.0;
        for (i, g) in found.iter().enumerate() {
            let value = |by: f32| {
                let mut moved = to_f32(row.clone()).unwrap();
                moved[i] += by;
                let moved = from_f32(moved, [1, 4], &row.device());
                at(&student, &moved, Gradient::Losses, 1).0
            };
            let slope = (value(1e-2) - value(-1e-2)) / 2e-2;
            let found = f64::from(*g) * twice;
            assert!(
                (found - slope).abs() < 0.02 * slope.abs().max(0.05),
                "{found} {slope}"
            );
        }
    }

    /// Fails if the meaning of a weight depends on the scale of latents or their dimensions.
    #[test]
    fn the_gradient_has_neither_unit_nor_dimensions() {
        let device = Device::flex().autodiff();
        let draw = |name: &str| {
            let values = Streams::new(7).normal(name, 0, 64);
            from_f32::<3>(values, [4, 4, 4], &device)
        };
        let gradients = |scale: f64, times: usize| {
            let of = |name: &str| draw(name).repeat_dim(2, times).mul_scalar(scale);
            let target = of("target").require_grad();
            let loss = difference(of("teacher"), of("correction"), target.clone());
            to_f32(target.grad(&loss.backward()).unwrap()).unwrap()
        };
        let size = |gradients: &[f32]| gradients.iter().map(|g| g.abs()).sum::<f32>();
        let one = gradients(1.0, 1);
        for (other, times) in [(gradients(30.0, 1), 1), (gradients(1.0, 3), 3)] {
            assert!((size(&other) / size(&one) - 1.0).abs() < 1e-5);
            // and have the same direction
            let first = other.chunks(4 * times).flat_map(|row| &row[..4]);
            for (a, b) in first.zip(&one) {
                assert!((a * times as f32 - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }

    /// Fails if a student of whole rows sees tokens, or vice versa.
    #[test]
    fn tokens_that_are_right_but_correlated_are_told_apart_by_whole_rows_alone() {
        let mixture = GaussianMixture {
            weights: vec![1.0],
            means: vec![vec![0.0; 2]],
            covariances: vec![vec![1.0, 0.0, 0.0, 1.0]],
        };
        let devices = [Device::flex(), Device::flex().autodiff()];
        let [plain, tracked] = devices.map(|d| ExactMixture::new(&mixture, DType::F32, &d));
        let exact = Teacher {
            plain: &plain,
            tracked: &tracked,
        };
        // rows of two tokens, each N(0, I), with correlation 0.9
        let drawn = |count: usize, step: u64| {
            let values = Streams::new(8).normal("rows", step, 4 * count);
            let rows = values.chunks(4).flat_map(|x| {
                let beside = |i: usize| 0.9 * x[i] + 0.43589 * x[i + 2];
                [x[0], x[1], beside(0), beside(1)]
            });
            from_f32::<2>(rows.collect(), [count, 4], &Device::flex().autodiff())
        };
        let apart = |width: usize| {
            let schedule = Schedule {
                learning_rate: 5e-3,
                of: 60,
                ..SCHEDULE
            };
            let mut student = student(exact, width, schedule);
            for step in 0..60 {
                let mut rng = Streams::new(4).at("learn", step);
                student.learn(drawn(128, step), &mut rng);
            }
            let rows = drawn(512, 1000);
            let (_, gradient) = at(&student, &rows, Gradient::Velocities, 4);
            // how fast a step along the negative gradient moves the tokens of a row apart
            let rows = to_f32(rows).unwrap();
            let pairs = gradient.chunks(4).zip(rows.chunks(4));
            let rate = pairs.flat_map(|(g, z)| {
                (0..2).map(|i| -f64::from((g[i] - g[i + 2]) * (z[i] - z[i + 2])))
            });
            rate.sum::<f64>()
        };
        let [whole, tokens] = [4, 2].map(apart);
        assert!(whole > 0.01, "{whole}");
        assert!(tokens.abs() < 0.2 * whole, "{tokens} {whole}");
    }

    /// Fails if the student is not checked: its loss is read nowhere else.
    #[test]
    fn a_student_whose_gradient_overflows_says_at_which_step_of_the_autoencoder() {
        let fields = fields();
        let mut student = student(teacher(&fields), 2, SCHEDULE);
        for (step, scale) in [1.0, 3e18].into_iter().enumerate() {
            student.replicas_mut().check().unwrap();
            let points = from_f32::<2>(vec![scale; 64], [32, 2], &Device::flex().autodiff());
            student.learn(points, &mut Streams::new(4).at("learn", step as u64));
        }
        let told = student.replicas_mut().check().unwrap_err().to_string();
        assert!(
            told.starts_with("the norm of the student's gradient is inf after step 1;"),
            "{told}"
        );
    }
}
