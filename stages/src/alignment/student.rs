//! A student flow trained online on the latents: distribution matching (Yin et al. 2024, arXiv
//! 2311.18828, for images; here for latents).
//!
//! At time t the scores of student and teacher differ by `t / (1 - t) (v_student - v_teacher)`, and
//! descending the difference of velocities moves latents to where the teacher is denser than they are.

use super::loss::grouped;
use crate::priors::{VelocityField, VelocityNetwork, flow_matching_loss, interpolate};
use crate::training::{OptimiserConfig, Trainer};
use burn::module::Module;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// A flow that follows the latents.
pub struct Student {
    /// Only absent while it takes a step.
    trainer: Option<Trainer<VelocityNetwork>>,
    /// The frozen flow, without autodiff.
    teacher: VelocityNetwork,
    steps: usize,
}

impl Student {
    /// A student that starts as the `teacher` and takes `steps` steps at each of `of` steps of the
    /// autoencoder.
    pub fn new(teacher: &VelocityNetwork, steps: usize, learning_rate: f64, of: u64) -> Self {
        let optimiser = OptimiserConfig {
            learning_rate,
            warmup_steps: 0,
            final_learning_rate: 0.1,
            ema: 0.0,
            ..Default::default()
        };
        let network = teacher.clone().set_require_grad(true);
        let trainer = Trainer::new(network, &optimiser, of * steps as u64);
        Self {
            trainer: Some(trainer.within_another("student's gradient", steps as u64)),
            teacher: teacher.valid(),
            steps,
        }
    }

    fn network(&self) -> &VelocityNetwork {
        &self.trainer().module
    }

    /// A loss `[1]` whose gradient with respect to `latents` [n, d] is the mean over `draws` draws of
    /// `v_student - v_teacher`, as of a mean over elements; its value is the mean square of that
    /// difference, zero where both agree.
    pub fn matching_loss(&self, latents: Tensor<2>, draws: usize, rng: &mut Pcg64) -> Tensor<1> {
        let [n, d] = latents.dims();
        // nothing goes through the networks: no graph
        let (x, times) = noised(latents.clone().inner(), draws, rng);
        let of_student = self.network().valid().velocity(x.clone(), &times);
        let difference = Tensor::from_inner(of_student - self.teacher.velocity(x, &times));
        let mean = difference.clone().reshape([draws, n, d]).mean_dim(0);
        let along = (latents * mean.squeeze_dim(0)).mean();
        // the value of `along` means nothing
        along.clone() - along.detach() + difference.square().mean()
    }

    /// Its training.
    pub(super) fn trainer(&self) -> &Trainer<VelocityNetwork> {
        self.trainer.as_ref().expect("no step is under way")
    }

    /// Its training, to be resumed.
    pub(super) fn trainer_mut(&mut self) -> &mut Trainer<VelocityNetwork> {
        self.trainer.as_mut().expect("no step is under way")
    }

    /// Steps of flow matching on `latents` [n, d].
    pub fn learn(&mut self, latents: Tensor<2>, rng: &mut Pcg64) {
        let latents = Tensor::<2>::from_inner(latents.inner());
        for _ in 0..self.steps {
            let trainer = self.trainer.take().expect("no step is under way");
            let drawn = grouped(latents.clone(), 1, rng);
            let loss = flow_matching_loss(&trainer.module, drawn.data, drawn.noise, &drawn.shares);
            self.trainer = Some(trainer.step(loss.backward()));
        }
    }
}

/// `draws` noised copies of `latents` [n, d] in groups that share a time [K, m, d], and the times.
fn noised(latents: Tensor<2>, draws: usize, rng: &mut Pcg64) -> (Tensor<3>, Vec<f64>) {
    let drawn = grouped(latents, draws, rng);
    let x = interpolate(drawn.data, drawn.noise, &drawn.shares);
    (x, drawn.shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::VelocityNetworkConfig;
    use crate::random::Streams;
    use crate::tensors::{from_f32, scalar, to_f32};
    use crate::training::perturb;
    use burn::tensor::Device;

    fn small() -> VelocityNetworkConfig {
        VelocityNetworkConfig {
            width: 16,
            blocks: 1,
            frequencies: 16,
            time_scale: 10.0,
        }
    }

    #[test]
    fn the_gradient_is_the_difference_of_velocities_and_a_student_like_its_teacher_gives_none() {
        let device = Device::flex().autodiff();
        let config = small();
        let teacher = perturb(
            config.init(2, Streams::new(0), &device),
            0.3,
            Streams::new(1),
        );
        let mut student = Student::new(&teacher.clone().no_grad(), 5, 1e-2, 10);
        let points = from_f32::<2>(Streams::new(2).normal("x", 0, 64), [32, 2], &device);
        let gradient = |student: &Student, draws: usize| {
            let y = points.clone().require_grad();
            let mut rng = Streams::new(3).at("draws", 0);
            let loss = student.matching_loss(y.clone(), draws, &mut rng);
            let gradient = y.grad(&loss.backward()).unwrap();
            (scalar(loss.inner()).unwrap(), to_f32(gradient).unwrap())
        };
        let (value, still) = gradient(&student, 1);
        assert_eq!(value, 0.0);
        assert!(still.iter().all(|&g| g == 0.0));

        student.learn(points.clone(), &mut Streams::new(4).at("learn", 0));
        for draws in [1, 3] {
            let (value, found) = gradient(&student, draws);
            let mut rng = Streams::new(3).at("draws", 0);
            let (x, times) = noised(points.clone().inner(), draws, &mut rng);
            let of_student = student.network().valid().velocity(x.clone(), &times);
            let each = to_f32(of_student - teacher.valid().velocity(x, &times)).unwrap();
            let square = each.iter().map(|e| e * e).sum::<f32>() / each.len() as f32;
            assert!((value / f64::from(square) - 1.0).abs() < 1e-4);
            for (i, g) in found.iter().enumerate() {
                let sum: f32 = each.iter().skip(i).step_by(64).sum();
                let expected = sum / draws as f32 / 64.0;
                assert!((g - expected).abs() < 1e-6, "{g} {expected}");
            }
        }
    }

    /// Red where nobody asks the student: its loss is read nowhere.
    #[test]
    fn a_student_whose_gradient_overflows_says_at_which_step_of_the_autoencoder() {
        let device = Device::flex().autodiff();
        let config = small();
        let teacher = config.init(2, Streams::new(0), &device).no_grad();
        let mut student = Student::new(&teacher, 5, 1e-2, 10);
        for (step, scale) in [1.0, 3e18].into_iter().enumerate() {
            student.trainer_mut().check().unwrap();
            let points = from_f32::<2>(vec![scale; 64], [32, 2], &device);
            student.learn(points, &mut Streams::new(4).at("learn", step as u64));
        }
        let told = student.trainer_mut().check().unwrap_err().to_string();
        assert!(
            told.starts_with("the norm of the student's gradient is inf after step 1;"),
            "{told}"
        );
    }
}
