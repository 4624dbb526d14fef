//! The velocity network v(x, t): the AdaLN residual network that Li et al. take from MAR (arXiv 2406.11838,
//! `SimpleMLPAdaLN`).
//!
//! ```text
//! c = W silu(W embed(scale t))                         time embedding        [K, width]
//! h = W x                                              input                 [rows, width]
//! for each block:
//!     shift, scale, gate = W silu(c)                   modulation            [K, 3 width]
//!     h = h + gate * W silu(W (norm(h) * (1 + scale) + shift))
//! shift, scale = W silu(c)
//! v = W (norm(h) * (1 + scale) + shift)                output                [rows, d]
//! ```
//!
//! The modulation depends on time only, so points come in K groups that share a time, and it is computed once per
//! group. A network with conditions [n, c] adds a linear layer of them to the time embedding, before its last silu;
//! points without a condition are under "none", which is folded into the embedding of each time. All modulation
//! layers and the output layer start at zero: the untrained velocity is 0 and every block is the identity.

use super::config::VelocityNetworkConfig;
use crate::fused::{self, BlockWeights, NORM_EPSILON, plain};
use crate::random::Streams;
use crate::tensors::{from_f64, indices};
use crate::training::{MatmulPrecision, initialise};
use burn::module::{Module, ModuleMapper, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{DType, Device, Int, Tensor};
use rayon::prelude::*;

/// The network. Weights have Burn's layout here ([in, out]) and PyTorch's on disk.
#[derive(Module, Debug)]
pub struct VelocityNetwork {
    time: TimeEmbedding,
    input: Linear,
    blocks: Vec<Block>,
    output: Output,
    /// Linear map of a condition [n, c], without a bias: "none" has a column of its own.
    condition: Option<Linear>,
    dimensions: usize,
    #[module(skip)]
    precision: MatmulPrecision,
}

/// Sinusoids of time, then two linear layers.
#[derive(Module, Debug)]
struct TimeEmbedding {
    fc1: Linear,
    fc2: Linear,
    frequencies: usize,
    scale: f64,
}

/// One residual block.
#[derive(Module, Debug)]
struct Block {
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    modulation: Linear,
}

/// The output layer. Its norm has no weights.
#[derive(Module, Debug)]
struct Output {
    modulation: Linear,
    linear: Linear,
}

impl VelocityNetworkConfig {
    /// A network over points of width `dimensions`, initialised from `streams`.
    pub fn init(&self, dimensions: usize, streams: Streams, device: &Device) -> VelocityNetwork {
        self.init_under(0, dimensions, streams, device)
    }

    /// As [`Self::init`], over points under conditions of width `columns`; 0 for none.
    pub(super) fn init_under(
        &self,
        columns: usize,
        dimensions: usize,
        streams: Streams,
        device: &Device,
    ) -> VelocityNetwork {
        let width = self.width;
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let network = VelocityNetwork {
            time: TimeEmbedding {
                fc1: linear(self.frequencies, width),
                fc2: linear(width, width),
                frequencies: self.frequencies,
                scale: self.time_scale,
            },
            input: linear(dimensions, width),
            blocks: (0..self.blocks)
                .map(|_| Block {
                    norm: LayerNormConfig::new(width)
                        .with_epsilon(NORM_EPSILON)
                        .init(device),
                    fc1: linear(width, width),
                    fc2: linear(width, width),
                    modulation: linear(width, 3 * width),
                })
                .collect(),
            output: Output {
                modulation: linear(width, 2 * width),
                linear: linear(width, dimensions),
            },
            // drawn last, so that the other weights do not depend on it
            condition: (columns > 0).then(|| {
                let layer = LinearConfig::new(columns, width).with_bias(false);
                layer.init(device)
            }),
            dimensions,
            precision: MatmulPrecision::F32,
        };
        let mut network = initialise(network, streams);
        for block in &mut network.blocks {
            block.modulation = zeroed(block.modulation.clone());
        }
        network.output.modulation = zeroed(network.output.modulation);
        network.output.linear = zeroed(network.output.linear);
        network.set_require_grad(true) // mapping the weights has cleared it
    }
}

fn zeroed(layer: Linear) -> Linear {
    struct Zero;
    impl ModuleMapper for Zero {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| tensor.zeros_like())
        }
    }
    layer.map(&mut Zero)
}

impl TimeEmbedding {
    /// `times` `[K]` -> their embedding [K, width], before the final silu.
    fn forward(&self, times: &[f64]) -> Tensor<2> {
        let weight = self.fc1.weight.val();
        let waves = self.waves(times, weight.dtype(), &weight.device()); // [K, frequencies]
        let inner = fused::silu(fused::linear_layer(&self.fc1, waves));
        fused::linear_layer(&self.fc2, inner)
    }

    /// `[cos(scale t f_j), sin(scale t f_j)]`, f_j from 1 down to 1 / 10,000. Computed in f64 on the host, where
    /// times are known.
    fn waves(&self, times: &[f64], dtype: DType, device: &Device) -> Tensor<2> {
        let half = self.frequencies / 2;
        let frequencies: Vec<f64> = embedding_frequencies(half).collect();
        let mut waves = Vec::with_capacity(times.len() * 2 * half);
        for t in times {
            let angles = || frequencies.iter().map(move |f| self.scale * t * f);
            waves.extend(angles().map(f64::cos));
            waves.extend(angles().map(f64::sin));
        }
        from_f64(waves, [times.len(), 2 * half], dtype, device)
    }
}

/// The frequencies of the time embedding: `10,000^(-j / half)`.
pub(super) fn embedding_frequencies(half: usize) -> impl Iterator<Item = f64> {
    (0..half).map(move |j| (-(10_000f64.ln()) * j as f64 / half as f64).exp())
}

fn bias(layer: &Linear) -> Tensor<1> {
    layer.bias.as_ref().expect("a layer with a bias").val()
}

impl Block {
    /// Shift, scale and gate of each group, from `c` = silu(time embedding): [K, 3 width].
    fn modulation(&self, c: Tensor<2>, precision: MatmulPrecision) -> Tensor<2> {
        match precision {
            MatmulPrecision::F32 => fused::linear_layer(&self.modulation, c),
            MatmulPrecision::Bf16 => {
                plain::linear_bf16(c, self.modulation.weight.val(), bias(&self.modulation))
            }
        }
    }

    fn weights(&self) -> BlockWeights {
        BlockWeights {
            gamma: self.norm.gamma.val(),
            beta: self.norm.beta.as_ref().expect("affine norm").val(),
            w1: self.fc1.weight.val(),
            b1: bias(&self.fc1),
            w2: self.fc2.weight.val(),
            b2: bias(&self.fc2),
        }
    }
}

impl Output {
    fn modulation(&self, c: Tensor<2>) -> Tensor<2> {
        fused::linear_layer(&self.modulation, c)
    }

    /// The velocity [K * m, d] computed from `h` [K * m, width].
    fn read(&self, h: Tensor<2>, modulation: Tensor<2>) -> Tensor<2> {
        fused::linear_layer(&self.linear, fused::modulated_norm(h, modulation))
    }
}

impl VelocityNetwork {
    /// The same network with [`velocity`](crate::priors::VelocityField::velocity) using `precision` for the matrix
    /// products of its blocks; divergences and Jacobian products are unaffected.
    pub fn in_precision(self, precision: MatmulPrecision) -> Self {
        Self { precision, ..self }
    }

    /// Precision of the blocks' matrix products in [`velocity`](crate::priors::VelocityField::velocity).
    pub(super) fn precision(&self) -> MatmulPrecision {
        self.precision
    }

    pub fn size(&self) -> VelocityNetworkConfig {
        let [_, width] = self.input.weight.dims();
        VelocityNetworkConfig {
            width,
            blocks: self.blocks.len(),
            frequencies: self.time.frequencies,
            time_scale: self.time.scale,
        }
    }

    /// The width d of a point.
    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// `times` `[K]` -> their embedding [K, width], before the final silu.
    pub(super) fn time_embedding(&self, times: &[f64]) -> Tensor<2> {
        self.time.forward(times)
    }

    /// The weight [c, width] of conditions, if the network takes them.
    pub(super) fn condition_weight(&self) -> Option<Tensor<2>> {
        Some(self.condition.as_ref()?.weight.val())
    }

    pub fn dtype(&self) -> DType {
        self.input.weight.val().dtype()
    }

    pub fn device(&self) -> Device {
        self.input.weight.val().device()
    }
}

/// Rows (points times tangents) that fit in a core's cache during a pass through the network.
const CACHED_ROWS: usize = 1024;

/// Modulations of K groups of points, from time and condition.
pub(super) struct Modulations {
    /// Per block [K, 3 width].
    blocks: Vec<Tensor<2>>,
    /// Of the output layer [K, 2 width].
    output: Tensor<2>,
}

impl Modulations {
    /// Selects rows by index, with repetition.
    pub(super) fn select(&self, rows: Tensor<1, Int>) -> Self {
        self.map(|modulation| modulation.select(0, rows.clone()))
    }

    /// Selects the row of one group.
    pub(super) fn of_group(&self, group: usize) -> Self {
        self.map(|modulation| modulation.narrow(0, group, 1))
    }

    /// Rows `start` to `start + count`; unchanged if all points share one row.
    fn of_rows(&self, start: usize, count: usize) -> Self {
        self.map(|modulation| match modulation.dims() {
            [1, _] => modulation,
            _ => modulation.narrow(0, start, count),
        })
    }

    /// Detached from the graph.
    pub(super) fn detach(&self) -> Self {
        self.map(Tensor::detach)
    }

    fn map(&self, f: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        Self {
            blocks: self.blocks.iter().cloned().map(&f).collect(),
            output: f(self.output.clone()),
        }
    }
}

impl VelocityNetwork {
    /// The modulations of `times` `[K]`, with the blocks' products in `precision`; under the condition "none" if
    /// the network takes conditions.
    pub(super) fn modulations(&self, times: &[f64], precision: MatmulPrecision) -> Modulations {
        let time = self.time_embedding(times); // [K, width]
        let embedded = match self.condition_weight() {
            None => time,
            Some(weight) => {
                // [c, width]; the last row is "none"
                let [columns, _] = weight.dims();
                time + weight.narrow(0, columns - 1, 1)
            }
        };
        self.modulations_of(fused::silu(embedded), precision)
    }

    /// The modulations for `c` = silu(embedding) [K, width], with the blocks' products in `precision`.
    pub(super) fn modulations_of(&self, c: Tensor<2>, precision: MatmulPrecision) -> Modulations {
        let blocks = self.blocks.iter();
        Modulations {
            blocks: blocks
                .map(|block| block.modulation(c.clone(), precision))
                .collect(),
            output: self.output.modulation(c),
        }
    }

    /// The velocity at `x` [K, m, d], each group with its own modulation.
    pub(super) fn modulated(&self, x: Tensor<3>, modulations: Modulations) -> Tensor<3> {
        let [groups, points, d] = x.dims();
        let h = fused::linear_layer(&self.input, x.reshape([groups * points, d]));
        let blocks = self.blocks.iter().map(Block::weights);
        let blocks = modulations.blocks.into_iter().zip(blocks);
        let h = match self.precision {
            MatmulPrecision::F32 => fused::blocks(h, blocks.collect()),
            MatmulPrecision::Bf16 => blocks.fold(h, |h, (modulation, weights)| {
                plain::block_by(h, modulation, weights, plain::linear_bf16)
            }),
        };
        self.output
            .read(h, modulations.output)
            .reshape([groups, points, d])
    }

    /// The velocity [n, d] and the divergence `[n]` at `x` [n, d], with one modulation for all points or one per
    /// point.
    pub(super) fn with_divergence(
        &self,
        x: Tensor<2>,
        modulations: &Modulations,
    ) -> (Tensor<2>, Tensor<1>) {
        let [n, d] = x.dims();
        let at_once = (CACHED_ROWS / d).max(1);
        if !fused::without_graph(&x) || n <= at_once {
            return self.divergence_at(x, modulations);
        }
        // small groups of points pass through the whole network while they are in a core's cache
        let parts: Vec<_> = (0..n).step_by(at_once).collect();
        let parts: Vec<(Tensor<2>, Tensor<1>)> = (parts.into_par_iter())
            .map(|start| {
                let count = at_once.min(n - start);
                let part = x.clone().narrow(0, start, count);
                self.divergence_at(part, &modulations.of_rows(start, count))
            })
            .collect();
        let (velocities, divergences) = parts.into_iter().unzip();
        (Tensor::cat(velocities, 0), Tensor::cat(divergences, 0))
    }

    /// The velocity [n, d] at `x` [n, d] and its Jacobian times `directions` [n, k, d], with one modulation for all
    /// points or one per point.
    pub(super) fn with_jvps(
        &self,
        x: Tensor<2>,
        directions: Tensor<3>,
        modulations: Modulations,
    ) -> (Tensor<2>, Tensor<3>) {
        let tangents = plain::product(directions, self.input.weight.val()); // [n, k, width]
        let blocks = self.blocks.iter().zip(&modulations.blocks);
        let (h, tangents) = through_blocks(fused::linear_layer(&self.input, x), tangents, blocks);
        let output = modulations.output;
        let tangents = fused::modulated_norm_tangents(h.clone(), tangents, output.clone());
        let along = plain::product(tangents, self.output.linear.weight.val());
        (self.output.read(h, output), along)
    }

    /// The modulations of `times` `[K]`, repeated for each point of a group `x` [K, m, d]: [K m, ..].
    pub(super) fn modulations_of_points(&self, x: &Tensor<3>, times: &[f64]) -> Modulations {
        let [groups, points, _] = x.dims();
        let rows = (0..groups).flat_map(|k| std::iter::repeat_n(k, points));
        let rows = indices(rows, &self.device());
        self.modulations(times, MatmulPrecision::F32).select(rows)
    }

    /// The divergences [K, m] at `x` [K, m, d], with one modulation per point.
    pub(super) fn divergences_by(&self, x: Tensor<3>, modulations: &Modulations) -> Tensor<2> {
        let [groups, points, _] = x.dims();
        let (_, divergences) = self.with_divergence(x.flatten(0, 1), modulations);
        divergences.reshape([groups, points])
    }

    /// The Jacobians at `x` [K, m, d] times `directions` [m, j, d], with one modulation per point: [K, m, j, d].
    pub(super) fn jvps_by(
        &self,
        x: Tensor<3>,
        directions: Tensor<3>,
        modulations: Modulations,
    ) -> Tensor<4> {
        let [groups, points, d] = x.dims();
        let [_, count, _] = directions.dims();
        let directions = directions.repeat_dim(0, groups);
        let (_, along) = self.with_jvps(x.flatten(0, 1), directions, modulations);
        along.reshape([groups, points, count, d])
    }

    /// The velocity [n, d] and the divergence `[n]` at `x` [n, d], as in [`Self::with_divergence`].
    fn divergence_at(&self, x: Tensor<2>, modulations: &Modulations) -> (Tensor<2>, Tensor<1>) {
        // d h / d x_j is row j of the input matrix for every point
        let tangents = self.input.weight.val().unsqueeze_dim::<3>(0); // [1, d, width]
        let readout = self.output.linear.weight.val().transpose(); // [d, width]
        let mut blocks = self.blocks.iter().zip(&modulations.blocks);
        let (last, last_modulation) = blocks.next_back().expect("checked: a block or more");
        let (h, tangents) = through_blocks(fused::linear_layer(&self.input, x), tangents, blocks);
        // only the diagonal of d v_i / d x_j is computed
        let output = &modulations.output;
        let (h, divergence) = fused::block_trace(
            h,
            tangents,
            last_modulation.clone(),
            last.weights(),
            output.clone(),
            readout,
        );
        (self.output.read(h, output.clone()), divergence)
    }
}

/// Passes `h` [n, width] through `blocks` along with its `tangents` [n, k, width], or [1, k, width] if they are the
/// same at every point.
fn through_blocks<'a>(
    h: Tensor<2>,
    tangents: Tensor<3>,
    blocks: impl Iterator<Item = (&'a Block, &'a Tensor<2>)>,
) -> (Tensor<2>, Tensor<3>) {
    blocks.fold((h, tangents), |(h, tangents), (block, modulation)| {
        fused::block_tangents(h, tangents, modulation.clone(), block.weights())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::condition::{ConditionKind, Conditions};
    use crate::priors::field::{
        VelocityField, autodiff_divergence, difference_divergence, difference_jvps,
        divergences_in_turn, jvps_in_turn,
    };
    use crate::tensors::{cast, from_f32, to_f32, to_f64};
    use crate::training::perturb;

    const CONFIG: VelocityNetworkConfig = VelocityNetworkConfig {
        width: 32,
        blocks: 3,
        frequencies: 16,
        time_scale: 1000.0,
    };

    /// Perturbed, since zero initialisation would make the tests vacuous.
    fn network(dtype: DType, device: &Device) -> VelocityNetwork {
        let network = CONFIG.init(5, Streams::new(1), device);
        cast(perturb(network, 0.2, Streams::new(2)), dtype)
    }

    fn points(n: usize, dtype: DType, device: &Device) -> Tensor<2> {
        from_f32(Streams::new(3).normal("x", 0, 5 * n), [n, 5], device).cast(dtype)
    }

    #[test]
    fn an_untrained_network_is_zero() {
        let device = Device::flex();
        let network = CONFIG.init(5, Streams::new(1), &device);
        assert_eq!(network.num_params() as u128, CONFIG.parameters(5, 0));
        assert_eq!(network.size(), CONFIG);
        let v = network.velocity(
            points(6, DType::F32, &device).reshape([2, 3, 5]),
            &[0.1, 0.9],
        );
        assert!(to_f32(v).unwrap().iter().all(|&v| v == 0.0));
    }

    #[test]
    fn groups_at_times_of_their_own_give_what_each_gives_alone() {
        let device = Device::flex();
        let conditional = CONFIG.init_under(3, 5, Streams::new(1), &device);
        let conditional = cast(perturb(conditional, 0.2, Streams::new(2)), DType::F64);
        let draw = |name: &str, dims: [usize; 2]| -> Tensor<2> {
            let values = Streams::new(4).normal(name, 0, dims[0] * dims[1]);
            from_f32(values, dims, &device).cast(DType::F64)
        };
        let under = conditional.under(draw("condition", [4, 3])).unwrap();
        let times = [0.1, 0.5, 0.9];
        let x = points(12, DType::F64, &device).reshape([3, 4, 5]);
        let directions = draw("directions", [4 * 2, 5]).reshape([4, 2, 5]);
        let close = |a: Vec<f64>, b: Vec<f64>| {
            assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{a} {b}");
            }
        };
        // with f32, a CPU would take one time after another
        for field in [
            &network(DType::F64, &device) as &dyn VelocityField,
            under.as_ref(),
        ] {
            let alone = divergences_in_turn(field, x.clone(), &times);
            let together = field.divergences(x.clone(), &times);
            close(to_f64(together).unwrap(), to_f64(alone).unwrap());
            let alone = jvps_in_turn(field, x.clone(), &times, directions.clone());
            let together = field.jvps(x.clone(), &times, directions.clone());
            close(to_f64(together).unwrap(), to_f64(alone).unwrap());
        }
    }

    #[test]
    fn bfloat16_products_are_off_by_their_rounding_forward_and_backward() {
        let device = Device::flex().autodiff();
        let network = network(DType::F32, &device);
        let run = |network: &VelocityNetwork| {
            let x = points(64, DType::F32, &device)
                .reshape([4, 16, 5])
                .require_grad();
            let v = network.velocity(x.clone(), &[0.1, 0.3, 0.6, 0.9]);
            let gradients = v.clone().square().sum().backward();
            let gradient = x.grad(&gradients).unwrap();
            [to_f64(v).unwrap(), to_f64(gradient).unwrap()]
        };
        let exact = run(&network);
        let rounded = run(&network.clone().in_precision(MatmulPrecision::Bf16));
        for (exact, rounded) in exact.iter().zip(rounded) {
            let size: f64 = exact.iter().map(|x| x * x).sum();
            let error: f64 = (exact.iter().zip(&rounded))
                .map(|(a, b)| (a - b).powi(2))
                .sum();
            let relative = (error / size).sqrt();
            assert!((1e-5..2e-2).contains(&relative), "{relative}");
        }
    }

    #[test]
    fn grouped_times_equal_one_time_a_point() {
        let device = Device::flex();
        let network = network(DType::F64, &device);
        let x = points(6, DType::F64, &device);
        let grouped = network.velocity(x.clone().reshape([2, 3, 5]), &[0.2, 0.7]);
        let single = network.velocity(x.reshape([6, 1, 5]), &[0.2, 0.2, 0.2, 0.7, 0.7, 0.7]);
        let (a, b) = (to_f64(grouped).unwrap(), to_f64(single).unwrap());
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    /// Three classes; five points, one of them under "none"; in groups and at one time.
    #[test]
    fn a_point_has_the_velocity_of_its_condition_and_none_is_that_of_a_point_without_one() {
        let kind = ConditionKind::Labels { classes: 3 };
        let network = |device: &Device| {
            let network = CONFIG.init_under(kind.columns(), 5, Streams::new(1), device);
            let said = CONFIG.parameters(5, kind.columns());
            assert_eq!(network.num_params() as u128, said);
            cast(perturb(network, 0.2, Streams::new(2)), DType::F64)
        };
        let device = Device::flex();
        let network = network(&device);
        let mut rows =
            to_f32(kind.encode(Some(&Conditions::Labels(vec![2, 0, 1, 0, 2])), 5, &device))
                .unwrap();
        rows.extend([0.0, 0.0, 0.0, 1.0]);
        let condition: Tensor<2> = from_f32(rows, [6, 4], &device);
        let field = network.under(condition.clone()).expect("conditional");
        let x = points(6, DType::F64, &device);
        let grouped = field.velocity(x.clone().reshape([2, 3, 5]), &[0.2, 0.7]);
        let grouped = to_f64(grouped).unwrap();
        let (velocity, divergence) = field.velocity_and_divergence(x.clone(), 0.7);
        let (velocity, divergence) = (to_f64(velocity).unwrap(), to_f64(divergence).unwrap());
        let close = |a: f64, b: f64, within: f64| {
            assert!((a - b).abs() < within * b.abs().max(1.0), "{a} {b}");
        };
        for point in 0..6 {
            let alone = x.clone().narrow(0, point, 1);
            let under = network
                .under(condition.clone().narrow(0, point, 1))
                .unwrap();
            let field: &dyn VelocityField = match point {
                5 => &network,
                _ => under.as_ref(),
            };
            let time = if point < 3 { 0.2 } else { 0.7 };
            let v = to_f64(field.velocity(alone.clone().unsqueeze::<3>(), &[time])).unwrap();
            for (a, b) in grouped[point * 5..].iter().zip(&v) {
                close(*a, *b, 1e-12);
            }
            let (v, d) = field.velocity_and_divergence(alone.clone(), 0.7);
            for (a, b) in velocity[point * 5..].iter().zip(to_f64(v).unwrap()) {
                close(*a, b, 1e-12);
            }
            close(divergence[point], to_f64(d).unwrap()[0], 1e-12);
            let central = difference_divergence(field, alone, 0.7).unwrap()[0];
            close(divergence[point], central, 1e-5);
        }
        // a subset of the points in another order
        let chosen: Tensor<1, Int> = Tensor::from_data([4i64, 1], &device);
        let some = field.of_points(chosen.clone()).unwrap();
        let directions: Tensor<3> =
            from_f32(Streams::new(4).normal("z", 0, 30), [2, 3, 5], &device).cast(DType::F64);
        let x = x.select(0, chosen);
        let (v, along) = some.velocity_and_jvps(x.clone(), 0.7, directions.clone());
        let expected = [&velocity[20..25], &velocity[5..10]].concat();
        for (a, b) in to_f64(v).unwrap().iter().zip(expected) {
            close(*a, b, 1e-12);
        }
        let expected = difference_jvps(some.as_ref(), x, 0.7, directions).unwrap();
        for (a, b) in to_f64(along).unwrap().iter().zip(expected) {
            close(*a, b, 1e-5);
        }
    }

    #[test]
    fn tangents_agree_with_autodiff_and_central_differences() {
        let device = Device::flex();
        let field = network(DType::F64, &device.clone().autodiff());
        let x = points(7, DType::F64, &device);
        for time in [0.0, 0.37, 1.0] {
            let inner = field.valid();
            let (velocity, divergence) = inner.velocity_and_divergence(x.clone(), time);
            let value = |x: Tensor<2>| to_f64(inner.velocity(x.unsqueeze::<3>(), &[time])).unwrap();
            for (a, b) in to_f64(velocity).unwrap().iter().zip(value(x.clone())) {
                assert!((a - b).abs() < 1e-12, "{a} {b}");
            }
            let divergence = to_f64(divergence).unwrap();
            let autodiff = autodiff_divergence(&field, x.clone(), time).unwrap();
            let mut central = [0.0; 7];
            for axis in 0..5 {
                let mut step = vec![0.0; 5];
                step[axis] = 1e-5;
                let step: Tensor<2> = from_f64(step, [1, 5], DType::F64, &device);
                let (up, down) = (value(x.clone() + step.clone()), value(x.clone() - step));
                for (point, total) in central.iter_mut().enumerate() {
                    *total += (up[point * 5 + axis] - down[point * 5 + axis]) / 2e-5;
                }
            }
            for point in 0..7 {
                let exact = divergence[point];
                assert!((exact - autodiff[point]).abs() < 1e-9 * exact.abs().max(1.0));
                assert!((exact - central[point]).abs() < 1e-5 * exact.abs().max(1.0));
            }
        }
    }

    #[test]
    fn jacobian_products_agree_with_central_differences_and_sum_to_the_divergence() {
        let device = Device::flex();
        let field = network(DType::F64, &device);
        let x = points(7, DType::F64, &device);
        let directions: Tensor<3> = from_f32(
            Streams::new(4).normal("z", 0, 7 * 3 * 5),
            [7, 3, 5],
            &device,
        )
        .cast(DType::F64);
        let (_, along) = field.velocity_and_jvps(x.clone(), 0.4, directions.clone());
        let expected = difference_jvps(&field, x.clone(), 0.4, directions).unwrap();
        for (a, b) in to_f64(along).unwrap().iter().zip(expected) {
            assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a} {b}");
        }
        // along the axes, the trace is the divergence
        let axes = Tensor::<2>::eye(5, &device)
            .cast(DType::F64)
            .unsqueeze::<3>();
        let (_, columns) = field.velocity_and_jvps(x.clone(), 0.4, axes.repeat_dim(0, 7));
        let columns = to_f64(columns).unwrap();
        let (_, divergence) = field.velocity_and_divergence(x, 0.4);
        for (point, divergence) in to_f64(divergence).unwrap().iter().enumerate() {
            let trace: f64 = (0..5).map(|i| columns[point * 25 + i * 6]).sum();
            assert!((trace - divergence).abs() < 1e-9, "{trace} {divergence}");
        }
    }
}
