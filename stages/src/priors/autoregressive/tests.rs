//! Properties of autoregressive flows beyond those of every prior. Weights are perturbed first: zero output
//! layers would make most of it vacuous.

use super::block::Block;
use super::design::Design;
use super::dropout::Dropout;
use super::network::Network;
use super::{StarFlow, TarFlow};
use crate::context::{Context, Silent};
use crate::priors::bijection::{Bijection, Under};
use crate::priors::drawing::{AwayFrom, Carried, Guidance, Steps, Sweeps, Way};
use crate::priors::kind::PriorConfig;
use crate::priors::prior::{PointShape, Points};
use crate::priors::{Batch, Fit, NllOptions, Schedule};
use crate::random::Streams;
use crate::tensors::{cast, from_f32, to_f64};
use crate::training::perturb;
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use nalgebra::DMatrix;
use std::path::PathBuf;

const SHAPE: PointShape = PointShape {
    tokens: 4,
    width: 2,
};
const COLUMNS: usize = 3;

fn config() -> TarFlow {
    TarFlow {
        soft_clip: 3.0,
        ..TarFlow::example()
    }
}

/// Both kinds.
fn designs() -> [Design; 2] {
    [config().design(), StarFlow::example().design()]
}

/// Flows with weights far from their initial values.
fn flows(device: &Device, dtype: DType) -> [Network; 2] {
    designs().map(|design| {
        let network = Network::new(&design, SHAPE, COLUMNS, Streams::new(3), device);
        cast(perturb(network, 0.1, Streams::new(4)), dtype).no_grad()
    })
}

fn drawn(name: &str, dims: [usize; 3], device: &Device, dtype: DType) -> Tensor<3> {
    let numbers = Streams::new(5).normal(name, 0, dims.iter().product());
    from_f32(numbers, dims, device).cast(dtype)
}

/// Points with conditions.
fn points(count: usize, device: &Device, dtype: DType) -> Points {
    let condition = drawn("condition", [count, 1, COLUMNS], device, dtype);
    Points {
        values: drawn("points", [count, SHAPE.tokens, SHAPE.width], device, dtype),
        condition: Some(condition.flatten(1, 2)),
    }
}

fn far<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f64 {
    to_f64((a - b).abs().max()).unwrap()[0]
}

/// Points of `noise` with the conditions of `given`, and with "none".
fn drawn_by(flow: &Network, noise: Tensor<3>, given: &Points, way: &Way) -> Carried {
    let condition = given.condition.clone();
    let under = Under {
        none: condition.as_ref().map(|c| c.zeros_like()),
        condition,
    };
    flow.from_noise(noise, under, way, &mut |_| Ok(())).unwrap()
}

/// Fails if keys of a guess remain in the cache, a token is read from the wrong preceding token, or guidance is
/// of another token.
#[test]
fn sweeps_over_tokens_end_where_one_after_the_other_does() {
    let device = Device::flex();
    let sequential = Steps::Adaptive(1e-5);
    for flow in flows(&device, DType::F64) {
        let given = points(5, &device, DType::F64);
        let guided = |rising, away_from| Guidance {
            scale: 1.7,
            rising,
            away_from,
        };
        let mut seen: Vec<Tensor<3>> = Vec::new();
        for guidance in [
            Guidance::OFF,
            guided(false, AwayFrom::None),
            guided(true, AwayFrom::None),
            guided(true, AwayFrom::Temperature(3.0)),
        ] {
            let by = |steps| {
                let way = Way { steps, guidance };
                drawn_by(&flow, given.values.clone(), &given, &way)
            };
            let one_by_one = by(sequential);
            for other in &seen {
                assert!(
                    far(one_by_one.points.clone(), other.clone()) > 1e-3,
                    "{guidance:?}"
                );
            }
            seen.push(one_by_one.points.clone());
            for tokens in [0, 1, 2, 3] {
                let in_sweeps = |tolerance| by(Steps::Parallel(Sweeps { tolerance, tokens }));
                let exact = in_sweeps(0.0);
                let difference = far(exact.points.clone(), one_by_one.points.clone());
                assert!(difference < 1e-12, "{tokens}: {difference}");
                let near = in_sweeps(1e-6);
                assert!(far(near.points.clone(), one_by_one.points.clone()) < 1e-4);
                let passes = |drawn: Carried| drawn.evaluations.iter().sum::<f64>();
                assert!(passes(near) <= passes(exact));
            }
            let passes = |tolerance| {
                let sweeps = Sweeps {
                    tolerance,
                    tokens: 0,
                };
                by(Steps::Parallel(sweeps)).evaluations.iter().sum::<f64>()
            };
            assert!(passes(1e9) < passes(0.0));
        }
    }
}

/// Fails if a block is inverted in the wrong order, or with tokens, scales or conditions of another.
#[test]
fn points_go_to_noise_and_back_and_noise_to_points_and_back() {
    let device = Device::flex();
    let types = [(DType::F64, 1e-9), (DType::F32, 1e-4)];
    let all = types.map(|(dtype, most)| flows(&device, dtype).map(|flow| (flow, dtype, most)));
    for (flow, dtype, most) in all.into_iter().flatten() {
        let given = points(6, &device, dtype);
        let back = |noise: Tensor<3>| {
            let way = Way::by(Steps::Adaptive(1e-5));
            drawn_by(&flow, noise, &given, &way).points
        };
        let (noise, _) = flow.to_noise(&given);
        assert!(
            far(noise.clone(), given.rows()) > 0.1,
            "the flow is the identity"
        );
        let there = back(noise.reshape(given.values.dims()));
        assert!(far(there, given.values.clone()) < most);
        let points = back(given.values.clone());
        let again = Points {
            values: points,
            condition: given.condition.clone(),
        };
        let error = far(flow.to_noise(&again).0, given.rows());
        assert!(error < most, "{error}");
    }
}

/// Fails if a log-scale is missing, counted twice or has the wrong sign.
#[test]
fn the_log_determinant_is_that_of_the_jacobian_from_autodiff() {
    let device = Device::flex().autodiff();
    let elements = SHAPE.elements();
    for flow in flows(&device, DType::F64) {
        let given = points(1, &device, DType::F64);
        let row = |output: usize| {
            let values = given.values.clone().require_grad();
            let tracked = Points {
                values: values.clone(),
                condition: given.condition.clone(),
            };
            let (noise, _) = flow.to_noise(&tracked);
            let gradients = noise.narrow(1, output, 1).sum().backward();
            to_f64(values.grad(&gradients).unwrap()).unwrap()
        };
        let rows: Vec<f64> = (0..elements).flat_map(row).collect();
        let jacobian = DMatrix::from_row_slice(elements, elements, &rows);
        let said = to_f64(flow.to_noise(&given).1).unwrap()[0];
        let found = jacobian.determinant().abs().ln();
        // derivatives in f64 agree to about 1e-8
        assert!((found - said).abs() < 1e-7, "{found} {said}");
        assert!(said.abs() > 0.05, "{said}");
    }
}

/// The last block of each kind: of STARFlow the deep one.
fn blocks(device: &Device, dtype: DType) -> [Block; 2] {
    designs().map(|design| {
        let last = design.blocks.last().unwrap();
        let block = Block::new(last, [SHAPE.tokens, SHAPE.width], COLUMNS, device);
        cast(perturb(block, 0.2, Streams::new(6)), dtype).no_grad()
    })
}

/// Fails if a token sees itself or a later one, which would change bits of its context.
#[test]
fn what_is_read_for_a_token_depends_on_earlier_ones_alone() {
    let device = Device::flex();
    for block in blocks(&device, DType::F64) {
        let given = points(3, &device, DType::F64);
        let read = |x: &Tensor<3>| {
            let reading = block.reading(given.condition.as_ref(), Dropout::off());
            let affine = block.affine(x, reading);
            Tensor::cat(vec![affine.log_scale, affine.shift], 2)
        };
        let before = read(&given.values);
        for moved in 0..SHAPE.tokens {
            let part = [0..3, moved..moved + 1, 0..SHAPE.width];
            let token = given.values.clone().slice(part.clone()).add_scalar(1.0);
            let after = read(&given.values.clone().slice_assign(part, token));
            for token in 0..SHAPE.tokens {
                let of = |x: &Tensor<3>| to_f64(x.clone().narrow(1, token, 1)).unwrap();
                let same = of(&before) == of(&after);
                assert_eq!(same, token <= moved, "token {token}, moved {moved}");
            }
        }
    }
}

/// Fails if cached keys are of other tokens, not rotated or not rewound, positions restart or a temperature is ignored
/// in one of both: with keys and values as tensors (f64), and in the CPU's cache (f32).
#[test]
fn tokens_read_one_at_a_time_are_those_of_the_whole_pass() {
    let device = Device::flex();
    let both = [(DType::F64, 1e-12), (DType::F32, 2e-5)];
    let all = both.map(|(dtype, most)| blocks(&device, dtype).map(|block| (block, dtype, most)));
    for (block, dtype, most) in all.into_iter().flatten() {
        let given = points(3, &device, dtype);
        let reading = |condition: Option<&Tensor<2>>, temperature: f64| {
            let mut reading = block.reading(condition, Dropout::off());
            reading.temperature = temperature;
            reading
        };
        for (condition, temperature) in [
            (None, 1.0),
            (given.condition.as_ref(), 1.0),
            (given.condition.as_ref(), 0.5),
        ] {
            let whole = block.affine(&given.values, reading(condition, temperature));
            let mut one = reading(condition, temperature);
            let mut found = block.first(3, &mut one);
            for token in 0..SHAPE.tokens {
                let of_token = |x: &Tensor<3>| x.clone().narrow(1, token, 1);
                if let Some(found) = found {
                    assert!(far(found.log_scale, of_token(&whole.log_scale)) < most);
                    assert!(far(found.shift, of_token(&whole.shift)) < most);
                } else {
                    assert_eq!(to_f64(of_token(&whole.shift)).unwrap(), [0.0; 6]);
                }
                if token + 1 == SHAPE.tokens {
                    break;
                }
                let next = of_token(&given.values);
                // a token that is taken back leaves no trace
                let read = one.read();
                block.after(next.clone().add_scalar(3.0), &mut one);
                one.rewind(read);
                found = Some(block.after(next, &mut one));
            }
        }
        let tempered = |temperature| {
            let reading = reading(None, temperature);
            block.affine(&given.values, reading).shift
        };
        assert!(far(tempered(0.5), tempered(1.0)) > 1e-3);
    }
}

#[test]
fn an_untrained_flow_is_the_identity() {
    let device = Device::flex();
    for design in designs() {
        let network = Network::new(&design, SHAPE, COLUMNS, Streams::new(3), &device);
        let given = points(3, &device, DType::F32);
        let (noise, log_det) = network.to_noise(&given);
        assert!(far(noise, given.rows()) < 1e-6);
        assert!(to_f64(log_det).unwrap().iter().all(|d| d.abs() < 1e-5));
    }
}

#[test]
fn the_parameters_are_as_many_as_it_says() {
    let device = Device::flex();
    for (design, columns) in designs().iter().flat_map(|d| [(d, 0), (d, COLUMNS)]) {
        let network = Network::new(design, SHAPE, columns, Streams::new(0), &device);
        let said = Network::parameters(design, SHAPE, columns);
        assert_eq!(network.num_params() as u128, said);
    }
}

/// Fails if dropout is the same in every step or block, or is active outside of training.
#[test]
fn dropout_is_drawn_anew_each_step_and_is_off_afterwards() {
    let device = Device::flex();
    let design = TarFlow {
        dropout: 0.3,
        ..config()
    };
    let network = Network::new(&design.design(), SHAPE, COLUMNS, Streams::new(3), &device);
    let network = perturb(network, 0.2, Streams::new(4)).no_grad();
    let given = points(3, &device, DType::F32);
    let at = |step| {
        network
            .to_noise_in_training(&given, Streams::new(1), step)
            .0
    };
    assert_eq!(far(at(1), at(1)), 0.0);
    assert!(far(at(1), at(2)) > 1e-3);
    let [a, b] = [0, 1].map(|_| network.to_noise(&given).0);
    assert_eq!(far(a, b), 0.0);
}

/// The mean test NLL of a flow of `blocks` that is trained for `steps` on draws of `draw`.
fn trained_nll(
    shape: PointShape,
    blocks: usize,
    steps: u64,
    draw: impl Fn(u64, usize) -> Vec<f32>,
) -> f64 {
    let config = TarFlow {
        blocks,
        layers: 1,
        channels: 32,
        head_width: 16,
        ..TarFlow::default()
    };
    let device = Device::flex();
    let context = Context {
        streams: Streams::new(0),
        device: device.clone(),
        replicas: Vec::new(),
        dir: PathBuf::new(),
        resume: None,
        kept: std::env::temp_dir(),
        monitor: &Silent,
    };
    let mut schedule = Schedule::short(steps);
    schedule.optimiser.ema = 0.98;
    let fit = Fit {
        shape,
        condition: None,
        dropout: 0.0,
        schedule: &schedule,
        next: &mut |step| Ok(Batch::new(draw(step, 128))),
        held_out: &Batch::new(draw(1 << 40, 64)),
        test: None,
        exact: None,
        bits: None,
        logit: None,
        streams: Streams::new(1),
    };
    let prior = config.fit(fit, &context).unwrap().prior;
    let test = Points::new(shape.tensor(draw(1 << 41, 4000), &device));
    let nll = prior.nll(&test, &NllOptions::exact(1e-4), &mut |_| Ok(()));
    nll.unwrap().values.iter().sum::<f64>() / 4000.0
}

/// Fails if a constant is missing or the density is not normalised: the entropy of a Gaussian is known.
#[test]
fn trained_on_a_gaussian_it_reaches_the_entropy() {
    let shape = PointShape {
        tokens: 2,
        width: 1,
    };
    let draw = |step: u64, count: usize| {
        let noise = Streams::new(11).normal("gaussian", step, 2 * count);
        let point = |e: &[f32]| [0.5 + 2.0 * e[0], -1.0 + 1.2 * e[0] + 0.5 * e[1]];
        noise.chunks_exact(2).flat_map(point).collect()
    };
    let nll = trained_nll(shape, 2, 400, draw);
    // 1/2 ln |2 pi e S| with |S| = (2 * 0.5)^2
    let entropy = 1.0 + std::f64::consts::TAU.ln();
    assert!((nll - entropy).abs() < 0.05, "{nll} {entropy}");
}

/// One block leaves the first token unchanged and gives every other token a single normal density: it cannot
/// represent two modes of the first, and four blocks can.
#[test]
fn one_block_fails_on_two_modes_and_four_succeed() {
    let shape = PointShape {
        tokens: 2,
        width: 1,
    };
    let draw = |step: u64, count: usize| {
        let noise = Streams::new(12).normal("two modes", step, 3 * count);
        let point = |e: &[f32]| [2.0 * e[2].signum() + 0.3 * e[0], 0.3 * e[1]];
        noise.chunks_exact(3).flat_map(point).collect()
    };
    let of_one = std::f64::consts::TAU.ln() + 1.0 + 2.0 * 0.3f64.ln();
    let entropy = of_one + 2f64.ln();
    // the first token as N(0, 1): half of ln(2 pi) + E x^2, and the entropy of the other
    let floor = 0.5 * (std::f64::consts::TAU.ln() + 4.09) + 0.5 * of_one;
    let [one, four] = [1, 4].map(|blocks| trained_nll(shape, blocks, 500, draw));
    assert!(one > floor - 0.05, "{one} {floor}");
    assert!(
        four < entropy + 0.3 && four > entropy - 0.1,
        "{four} {entropy}"
    );
}
