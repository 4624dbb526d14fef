//! Conformance tests of priors. Each test runs over [`ModelConfig::examples`], so a new kind is tested as soon as
//! it is listed.

use super::*;
use crate::context::{Context, Kept, Monitor, Silent};
use crate::error::Result;
use crate::persist::Snapshot;
use crate::random::Streams;
use crate::tensors::{from_f32, from_f64, to_f64};
use crate::training::MatmulPrecision;
use burn::tensor::Device;
use burn::tensor::{DType, Tensor};
use nalgebra::DMatrix;
use std::path::PathBuf;

const FLAT: PointShape = PointShape {
    tokens: 1,
    width: 2,
};
const TWO_TOKENS: PointShape = PointShape {
    tokens: 2,
    width: 2,
};
/// Training steps: enough to move every kind far from its initial state.
const STEPS: u64 = 60;

fn device() -> Device {
    Device::flex()
}

/// Every kind in two dimensions, as points of one token, or of two if it needs two.
fn planes() -> Vec<(ModelConfig, PointShape)> {
    let split = PointShape {
        tokens: 2,
        width: 1,
    };
    let plane = |config: ModelConfig| match config.kind().check_shape(FLAT) {
        Ok(()) => (config, FLAT),
        Err(_) => (config, split),
    };
    ModelConfig::examples().into_iter().map(plane).collect()
}

/// Every kind, with points of each shape that it supports.
fn each() -> Vec<(ModelConfig, PointShape)> {
    let kinds = ModelConfig::examples().into_iter();
    let pairs = kinds.flat_map(|config| [FLAT, TWO_TOKENS].map(|shape| (config.clone(), shape)));
    pairs
        .filter(|(config, shape)| config.kind().check_shape(*shape).is_ok())
        .collect()
}

/// `count` points of alternating class 0 or 1: two uneven modes with correlated elements.
fn data(shape: PointShape, count: usize, seed: u64) -> Batch {
    let noise = Streams::new(seed).normal("data", 0, count * shape.elements());
    let rows = noise.chunks_exact(shape.elements()).enumerate();
    let values = rows.flat_map(|(row, noise)| {
        let side = if row.is_multiple_of(2) { -1.2 } else { 0.9 };
        let first = 0.5 * noise[0] + side;
        let others = noise[1..].iter().map(move |e| 0.4 * e + 0.5 * first);
        std::iter::once(first).chain(others)
    });
    Batch {
        values: values.collect(),
        conditions: Some(Conditions::Labels(
            (0..count as u32).map(|row| row % 2).collect(),
        )),
    }
}

fn fit(
    config: &ModelConfig,
    shape: PointShape,
    condition: Option<ConditionKind>,
    steps: u64,
    resume: Option<Snapshot>,
    monitor: &dyn Monitor,
) -> Box<dyn Prior> {
    fit_on(
        &[device()],
        config,
        shape,
        condition,
        steps,
        resume,
        monitor,
    )
}

/// As [`fit`], on `devices`.
fn fit_on(
    devices: &[Device],
    config: &ModelConfig,
    shape: PointShape,
    condition: Option<ConditionKind>,
    steps: u64,
    resume: Option<Snapshot>,
    monitor: &dyn Monitor,
) -> Box<dyn Prior> {
    let context = Context {
        streams: Streams::new(0),
        device: devices[0].clone(),
        replicas: devices[1..].to_vec(),
        dir: PathBuf::new(),
        resume,
        kept: std::env::temp_dir(),
        monitor,
    };
    let with = |batch: Batch| match condition {
        Some(_) => batch,
        None => Batch {
            conditions: None,
            ..batch
        },
    };
    let fit = Fit {
        shape,
        condition,
        dropout: 0.2,
        schedule: &Schedule::short(steps),
        next: &mut |step| Ok(with(data(shape, 64, step))),
        held_out: &with(data(shape, 64, 1000)),
        test: None,
        exact: None,
        bits: None,
        logit: None,
        streams: Streams::new(1),
    };
    config.kind().fit(fit, &context).unwrap().prior
}

/// Trains the kind briefly, saves it, and reads it back in f64 for gradients.
fn trained(
    config: &ModelConfig,
    shape: PointShape,
    condition: Option<ConditionKind>,
) -> Box<dyn Prior> {
    let prior = fit(config, shape, condition, STEPS, None, &Silent);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prior.safetensors");
    prior.save(&path, "{}").unwrap();
    let place = Placement {
        device: device(),
        dtype: DType::F64,
        precision: MatmulPrecision::F32,
        gradients: true,
    };
    config.kind().load(&path, shape, condition, &place).unwrap()
}

fn points(values: &[f64], shape: PointShape) -> Points {
    let dims = [values.len() / shape.elements(), shape.tokens, shape.width];
    Points::new(from_f64(values.to_vec(), dims, DType::F64, &device()))
}

fn options() -> NllOptions {
    NllOptions::exact(1e-7)
}

/// NLLs at a tolerance that suffices for sums over many points.
fn roughly(prior: &dyn Prior, points: &Points) -> Vec<f64> {
    let options = NllOptions::exact(1e-4);
    prior.nll(points, &options, &mut |_| Ok(())).unwrap().values
}

fn nll(prior: &dyn Prior, points: &Points) -> Vec<f64> {
    prior
        .nll(points, &options(), &mut |_| Ok(()))
        .unwrap()
        .values
}

/// `count` samples at a temperature, one per row of `condition` if given; [n, T d] in f64.
fn drawn(
    prior: &dyn Prior,
    count: usize,
    condition: Option<Tensor<2>>,
    temperature: f64,
) -> Vec<f64> {
    let options = SampleOptions {
        temperature,
        ..plainly()
    };
    drawn_with(prior, count, condition, options).unwrap()
}

/// Samples of the density itself, without temperature or guidance.
fn plainly() -> SampleOptions {
    SampleOptions {
        streams: Streams::new(5),
        temperature: 1.0,
        way: Way::by(Steps::Adaptive(1e-5)),
    }
}

/// As [`drawn`], with any options.
fn drawn_with(
    prior: &dyn Prior,
    count: usize,
    condition: Option<Tensor<2>>,
    options: SampleOptions,
) -> Result<Vec<f64>> {
    let samples = prior
        .sample(count, condition, &options, &mut |_| Ok(()))?
        .points;
    let PointShape { tokens, width } = prior.shape();
    assert_eq!(samples.dims(), [count, tokens, width]);
    to_f64(samples)
}

/// Points that roughly follow the data, in f64.
fn some(shape: PointShape, count: usize) -> Vec<f64> {
    let rows = data(shape, count, 2000).values;
    rows.into_iter().map(f64::from).collect()
}

/// A random point in each cell of a grid over the plane, wide enough for the tails, and the area of a cell. Sums
/// over them are unbiased however sharp the density is.
fn grid() -> (Vec<f64>, f64) {
    use rand::RngExt as _;
    let (least, step, count) = (-5.0, 0.05, 200);
    let mut rng = Streams::new(8).at("cells", 0);
    let cells = (0..count * count).flat_map(|i| [i / count, i % count]);
    let cells = cells.map(|i| least + step * (i as f64 + rng.random::<f64>()));
    (cells.collect(), step * step)
}

/// Fails if a constant or a log-determinant is missing.
#[test]
fn a_density_holds_as_much_of_the_plane_as_its_samples() {
    let (cells, area) = grid();
    for (config, plane) in planes() {
        let prior = trained(&config, plane, None);
        let mass: f64 = roughly(prior.as_ref(), &points(&cells, plane))
            .iter()
            .map(|nll| (-nll).exp() * area)
            .sum();
        // the share of the prior inside the window is estimated by its samples
        let count = 4000;
        let inside = (drawn(prior.as_ref(), count, None, 1.0).chunks_exact(2))
            .filter(|point| point.iter().all(|x| x.abs() < 5.0))
            .count();
        let share = inside as f64 / count as f64;
        let name = config.name();
        assert!(share > 0.9, "{name}: {share}");
        assert!((mass - share).abs() < 0.015, "{name}: {mass} {share}");
    }
}

/// Fails if the sampler draws from another density than the one scored.
#[test]
fn samples_are_as_likely_as_the_density_says() {
    let (cells, area) = grid();
    for (config, plane) in planes() {
        let prior = trained(&config, plane, None);
        let of_cells = roughly(prior.as_ref(), &points(&cells, plane));
        let moment = |power: i32| -> f64 {
            (of_cells.iter())
                .map(|nll| (-nll).exp() * nll.powi(power) * area)
                .sum()
        };
        let (entropy, variance) = (moment(1), moment(2) - moment(1).powi(2));
        let count = 4000;
        let drawn = drawn(prior.as_ref(), count, None, 1.0);
        let found = roughly(prior.as_ref(), &points(&drawn, plane));
        let mean = found.iter().sum::<f64>() / count as f64;
        let error = (variance / count as f64).sqrt();
        assert!(
            (mean - entropy).abs() < 4.0 * error,
            "{}: {mean} {entropy} {error}",
            config.name()
        );
    }
}

#[test]
fn noise_leads_back_and_the_log_determinant_is_that_of_the_map() {
    for (config, shape) in each() {
        let (prior, name) = (trained(&config, shape, None), config.name());
        let elements = shape.elements();
        let values = some(shape, 5);
        let noise_of = |values: &[f64]| {
            let points = points(values, shape);
            prior
                .to_noise(&points, &options(), &mut |_| Ok(()))
                .unwrap()
        };
        let noised = noise_of(&values);
        let back = prior.from_noise(
            noised.noise.clone(),
            None,
            &Way::by(Steps::Adaptive(1e-8)),
            &mut |_| Ok(()),
        );
        for (back, value) in to_f64(back.unwrap().points).unwrap().iter().zip(&values) {
            assert!((back - value).abs() < 1e-5, "{name}: {back} {value}");
        }
        let of_noise = to_f64(normal_nll(noised.noise.flatten(1, 2))).unwrap();
        let found = nll(prior.as_ref(), &points(&values, shape));
        for point in 0..5 {
            let expected = of_noise[point] - noised.log_det[point];
            assert!((found[point] - expected).abs() < 1e-5, "{name}");
            let h = 1e-4;
            let at = |axis: usize, h: f64| {
                let mut moved = values[point * elements..(point + 1) * elements].to_vec();
                moved[axis] += h;
                to_f64(noise_of(&moved).noise).unwrap()
            };
            let columns: Vec<f64> = (0..elements)
                .flat_map(|axis| {
                    let (up, down) = (at(axis, h), at(axis, -h));
                    let pairs = up.into_iter().zip(down);
                    pairs
                        .map(|(up, down)| (up - down) / (2.0 * h))
                        .collect::<Vec<_>>()
                })
                .collect();
            let log_det = DMatrix::from_vec(elements, elements, columns);
            let log_det = log_det.determinant().abs().ln();
            let said = noised.log_det[point];
            assert!((log_det - said).abs() < 1e-3, "{name}: {log_det} {said}");
        }
    }
}

#[test]
fn gradients_are_those_of_central_differences() {
    for (config, shape) in each() {
        let (prior, name) = (trained(&config, shape, None), config.name());
        let values = some(shape, 3);
        let at = |values: &[f64]| nll(prior.as_ref(), &points(values, shape));
        let found = prior
            .nll_gradient(&points(&values, shape), &options(), &mut |_| Ok(()))
            .unwrap();
        for (i, gradient) in found.iter().enumerate() {
            let moved = |h: f64| {
                let mut moved = values.clone();
                moved[i] += h;
                at(&moved)[i / shape.elements()]
            };
            let difference = (moved(1e-4) - moved(-1e-4)) / 2e-4;
            assert!(
                (gradient - difference).abs() < 1e-3 * difference.abs().max(1.0),
                "{name}: {gradient} {difference}"
            );
        }
        let graph = prior.nll_graph(&points(&values, shape).tracked());
        let Some(graph) = graph else { continue };
        for (graph, nll) in to_f64(graph.inner()).unwrap().iter().zip(at(&values)) {
            assert!((graph - nll).abs() < 1e-9, "{name}: {graph} {nll}");
        }
    }
}

/// Fails if the velocity does not match the density: points generated along it must be as likely as the NLL says.
#[test]
fn a_velocity_carries_noise_to_the_density() {
    for (config, shape) in each() {
        let (prior, name) = (trained(&config, shape, None), config.name());
        let Some(velocity) = prior.velocity() else {
            assert_eq!(config.kind().offers(), Offers::Density, "{name}");
            continue;
        };
        assert!(config.kind().offers() >= Offers::Velocity, "{name}");
        let points = points(&some(shape, 6), shape);
        let by_ode = negative_log_likelihood(velocity, points.rows(), &options(), &mut |_| Ok(()));
        for (ode, nll) in by_ode
            .unwrap()
            .values
            .iter()
            .zip(nll(prior.as_ref(), &points))
        {
            assert!((ode - nll).abs() < 1e-3, "{name}: {ode} {nll}");
        }
    }
}

#[test]
fn a_condition_moves_density_and_samples_and_none_is_between() {
    for (config, shape) in each() {
        if !config.kind().conditional() {
            continue;
        }
        let kind = ConditionKind::Labels { classes: 2 };
        let (prior, name) = (trained(&config, shape, Some(kind)), config.name());
        assert_eq!(prior.condition(), Some(kind), "{name}");
        let count = 200;
        let rows = data(shape, count, 3000);
        let wide: Vec<f64> = rows.values.iter().map(|&v| f64::from(v)).collect();
        let labels = rows.conditions.unwrap();
        let swapped = labels.select((0..count).map(|i| i ^ 1));
        let mean = |conditions: Option<&Conditions>| {
            let mut points = points(&wide, shape);
            points.condition = conditions.map(|c| kind.encode(Some(c), count, &device()));
            nll(prior.as_ref(), &points).iter().sum::<f64>() / count as f64
        };
        let (own, none, other) = (mean(Some(&labels)), mean(None), mean(Some(&swapped)));
        assert!(
            own + 0.2 < none && none + 0.2 < other,
            "{name}: {own} {none} {other}"
        );
        let first = |class: u32| {
            let conditions = Conditions::Labels(vec![class; count]);
            let encoded = kind.encode(Some(&conditions), count, &device());
            let drawn = drawn(prior.as_ref(), count, Some(encoded), 1.0);
            drawn.iter().step_by(shape.elements()).sum::<f64>() / count as f64
        };
        assert!(
            first(0) + 0.5 < first(1),
            "{name}: {} {}",
            first(0),
            first(1)
        );
    }
}

/// Fails if a condition is lost in the chunks of a solve, or a round trip or a gradient uses another condition.
#[test]
fn under_conditions_noise_leads_back_and_gradients_are_those_of_the_nll() {
    for (config, shape) in each() {
        if !config.kind().conditional() {
            continue;
        }
        let kind = ConditionKind::Labels { classes: 2 };
        let (prior, name) = (trained(&config, shape, Some(kind)), config.name());
        let elements = shape.elements();
        let values = some(shape, 4);
        let labels = Conditions::Labels(vec![1, 1, 0, 1]);
        let condition = kind.encode(Some(&labels), 4, &device());
        let at = |values: &[f64]| Points {
            condition: Some(condition.clone()),
            ..points(values, shape)
        };
        let noised = prior.to_noise(&at(&values), &options(), &mut |_| Ok(()));
        let noised = noised.unwrap();
        let (noise, given) = (noised.noise.clone(), Some(condition.clone()));
        let back = prior.from_noise(noise, given, &Way::by(Steps::Adaptive(1e-8)), &mut |_| {
            Ok(())
        });
        for (back, value) in to_f64(back.unwrap().points).unwrap().iter().zip(&values) {
            assert!((back - value).abs() < 1e-5, "{name}: {back} {value}");
        }
        let found = nll(prior.as_ref(), &at(&values));
        let of_noise = to_f64(normal_nll(noised.noise.flatten(1, 2))).unwrap();
        for point in 0..4 {
            let expected = of_noise[point] - noised.log_det[point];
            assert!((found[point] - expected).abs() < 1e-5, "{name}");
            let alone = Points {
                condition: Some(condition.clone().narrow(0, point, 1)),
                ..points(&values[point * elements..(point + 1) * elements], shape)
            };
            let alone = nll(prior.as_ref(), &alone)[0];
            assert!((found[point] - alone).abs() < 1e-5, "{name}");
        }
        let gradient = prior.nll_gradient(&at(&values), &options(), &mut |_| Ok(()));
        for (i, gradient) in gradient.unwrap().into_iter().enumerate() {
            let moved = |h: f64| {
                let mut moved = values.clone();
                moved[i] += h;
                nll(prior.as_ref(), &at(&moved))[i / elements]
            };
            let difference = (moved(1e-4) - moved(-1e-4)) / 2e-4;
            assert!(
                (gradient - difference).abs() < 1e-3 * difference.abs().max(1.0),
                "{name}: {gradient} {difference}"
            );
        }
    }
}

/// Fails if guidance has the wrong sign or starts from the wrong velocity.
#[test]
fn guidance_of_1_is_none_of_0_forgets_the_condition_and_more_leans_further() {
    for (config, shape) in each() {
        let kind = ConditionKind::Labels { classes: 2 };
        let (kind, count) = (config.kind().conditional().then_some(kind), 200);
        let (prior, name) = (trained(&config, shape, kind), config.name());
        let encoded = |class: u32| {
            let conditions = Conditions::Labels(vec![class; count]);
            kind.map(|kind| kind.encode(Some(&conditions), count, &device()))
        };
        let leaning = |guidance: f64| SampleOptions {
            way: Way {
                guidance: Guidance::of(guidance),
                ..plainly().way
            },
            ..plainly()
        };
        let told = drawn_with(prior.as_ref(), count, None, leaning(2.0)).unwrap_err();
        assert!(told.to_string().contains("without a condition"), "{told}");
        let drawn_at = |class: u32, guidance: f64| {
            drawn_with(prior.as_ref(), count, encoded(class), leaning(guidance))
        };
        if !config.kind().ways().guided {
            if kind.is_some() {
                let told = drawn_at(0, 2.0).unwrap_err().to_string();
                assert!(told.contains("found 2, expected 1"), "{name}: {told}");
            }
            continue;
        }
        let plain = drawn(prior.as_ref(), count, encoded(1), 1.0);
        assert_eq!(drawn_at(1, 1.0).unwrap(), plain, "{name}");
        let none = drawn(prior.as_ref(), count, None, 1.0);
        for (a, b) in drawn_at(1, 0.0).unwrap().iter().zip(&none) {
            assert!((a - b).abs() < 1e-9, "{name}: {a} {b}");
        }
        let apart = |guidance: f64| {
            let mean = |class: u32| {
                let drawn = drawn_at(class, guidance).unwrap();
                drawn.iter().step_by(shape.elements()).sum::<f64>() / count as f64
            };
            mean(1) - mean(0)
        };
        let (less, as_asked, more) = (apart(0.5), apart(1.0), apart(2.0));
        assert!(
            less + 0.1 < as_asked && as_asked + 0.1 < more,
            "{name}: {less} {as_asked} {more}"
        );
    }
}

/// Fails if steps do not reach the solver, with a condition or guidance too, or a closed form silently accepts a
/// number of steps.
#[test]
fn few_steps_move_samples_and_many_agree_with_those_that_adapt() {
    let far = |a: &[f64], b: &[f64]| {
        let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, f64::max)
    };
    for (config, shape) in each() {
        let kind = ConditionKind::Labels { classes: 2 };
        let (kind, count) = (config.kind().conditional().then_some(kind), 50);
        let (prior, name) = (trained(&config, shape, kind), config.name());
        let encoded = kind.map(|kind| {
            let labels = Conditions::Labels((0..count as u32).map(|i| i % 2).collect());
            kind.encode(Some(&labels), count, &device())
        });
        let mut ways = vec![(None, 1.0)];
        ways.extend(encoded.iter().map(|c| (Some(c.clone()), 1.0)));
        if config.kind().ways().guided {
            ways.extend(encoded.map(|c| (Some(c), 2.0)));
        }
        for (condition, guidance) in ways {
            let by = |steps: Steps| {
                let options = SampleOptions {
                    way: Way {
                        steps,
                        guidance: Guidance::of(guidance),
                    },
                    ..plainly()
                };
                drawn_with(prior.as_ref(), count, condition.clone(), options)
            };
            if !config.kind().ways().stepped {
                let told = by(Steps::Equal(8)).unwrap_err().to_string();
                let named = format!("found 8 for a prior of the kind `{name}`");
                assert!(told.contains(&named), "{told}");
                continue;
            }
            let adaptive = by(Steps::Adaptive(1e-7)).unwrap();
            let few = far(&by(Steps::Equal(1)).unwrap(), &adaptive);
            let many = far(&by(Steps::Equal(200)).unwrap(), &adaptive);
            assert!(few > 0.01 && many < 1e-4, "{name}: {few} {many}");
        }
    }
}

fn values(prior: &dyn Prior) -> Vec<f32> {
    values_in(&weights(prior))
}

/// All weights of a safetensors file, in the order of their names.
pub(super) fn values_in(bytes: &[u8]) -> Vec<f32> {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let data = tensors.iter();
    let values = data.flat_map(|(_, tensor)| tensor.data().as_chunks::<4>().0);
    values.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn weights(prior: &dyn Prior) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prior.safetensors");
    prior.save(&path, "{}").unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn a_training_that_goes_on_from_a_checkpoint_ends_with_the_same_bits() {
    for (config, shape) in each() {
        let condition =
            (config.kind().conditional()).then_some(ConditionKind::Labels { classes: 2 });
        let keep = Kept::at(7);
        let whole = weights(fit(&config, shape, condition, 20, None, &keep).as_ref());
        let Some(state) = keep.state() else {
            assert_eq!(
                config.kind().parameters(shape, None),
                0,
                "{}",
                config.name()
            );
            continue;
        };
        let resumed = weights(fit(&config, shape, condition, 20, Some(state), &Silent).as_ref());
        assert!(whole == resumed, "{}", config.name());
    }
}

/// Fails if replicas see the same share of a batch, times or noise of other rows, or drift apart; or if a checkpoint
/// depends on how many wrote it.
#[test]
fn replicas_that_share_a_batch_take_the_steps_of_one_that_has_all_of_it() {
    let (mut kinds, schedule) = (0, Schedule::short(20));
    for (config, shape) in each() {
        if config.kind().shared(&schedule).is_none() {
            continue;
        }
        let condition =
            (config.kind().conditional()).then_some(ConditionKind::Labels { classes: 2 });
        let train = |devices, resume, monitor: &dyn Monitor| {
            let devices = vec![device(); devices];
            let prior = fit_on(&devices, &config, shape, condition, 20, resume, monitor);
            values(prior.as_ref())
        };
        let whole = train(1, None, &Silent);
        let keep = Kept::at(7);
        let interrupted = train(2, None, &keep);
        let state = keep.state();
        assert!(state.is_some());
        let others = [
            interrupted,
            train(4, None, &Silent),
            train(1, state.clone(), &Silent),
            train(4, state, &Silent),
        ];
        for (which, other) in others.iter().enumerate() {
            assert_eq!(other.len(), whole.len());
            let off = whole
                .iter()
                .zip(other)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(off < 1e-4, "{}: {which}: {off}", config.name());
        }
        kinds += 1;
    }
    assert!(kinds >= 4, "{kinds}");
}

/// Fails if a layer is cut off from the loss.
#[test]
fn training_moves_every_weight_and_the_count_of_parameters_is_true() {
    for (config, shape) in each() {
        let condition =
            (config.kind().conditional()).then_some(ConditionKind::Labels { classes: 2 });
        let [early, late] =
            [1, STEPS].map(|steps| fit(&config, shape, condition, steps, None, &Silent));
        let said = config.kind().parameters(shape, condition);
        assert_eq!(late.parameters() as u128, said, "{}", config.name());
        let [early, late] = [early, late].map(|prior| weights(prior.as_ref()));
        let read = |bytes| safetensors::SafeTensors::deserialize(bytes).unwrap();
        let (early, late) = (read(&early), read(&late));
        for (name, tensor) in late.tensors() {
            let before = early.tensor(&name).unwrap();
            assert!(before.data() != tensor.data(), "{}: {name}", config.name());
        }
    }
}

#[test]
fn a_prior_that_was_saved_is_the_same_when_it_is_read() {
    for (config, shape) in each() {
        let condition =
            (config.kind().conditional()).then_some(ConditionKind::Labels { classes: 2 });
        let prior = fit(&config, shape, condition, STEPS, None, &Silent);
        let flow = Flow {
            prior,
            normaliser: crate::data::Normaliser::scale(shape.width, 1.0),
            layout: Layout::default(),
            target: None,
        };
        let dir = tempfile::tempdir().unwrap();
        flow.save(&config, dir.path()).unwrap();
        let known = stored(dir.path()).unwrap();
        assert_eq!(
            (&known.model, known.shape, known.condition),
            (&config, shape, condition)
        );
        let read = Flow::load(dir.path(), &Placement::on(&device())).unwrap();
        let rows = data(shape, 4, 1).values;
        let points = Points::new(from_f32(rows, [4, shape.tokens, shape.width], &device()));
        let values = |flow: &Flow| {
            let nll = flow
                .prior
                .nll(&points, &NllOptions::exact(1e-4), &mut |_| Ok(()));
            nll.unwrap().values
        };
        assert_eq!(values(&flow), values(&read), "{}", config.name());
    }
}

#[test]
fn a_lower_temperature_gives_likelier_samples() {
    for (config, shape) in each() {
        let prior = fit(&config, shape, None, STEPS, None, &Silent);
        let mean = |temperature: f64| {
            let drawn = drawn(prior.as_ref(), 300, None, temperature);
            let drawn = drawn.iter().map(|&x| x as f32).collect();
            let points = Points::new(shape.tensor(drawn, &device()));
            let nll = prior.nll(&points, &NllOptions::exact(1e-4), &mut |_| Ok(()));
            nll.unwrap().values.iter().sum::<f64>() / 300.0
        };
        assert!(mean(0.5) < mean(1.0) - 0.2, "{}", config.name());
    }
}

/// Fails if an operation of a prior is wrong where operations are not fused, as on a GPU.
#[cfg(feature = "wgpu-untuned")]
#[test]
fn every_prior_is_trained_and_evaluated_alike_on_another_device() {
    let other = crate::devices::other();
    for (config, shape) in planes() {
        let condition =
            (config.kind().conditional()).then_some(ConditionKind::Labels { classes: 2 });
        let [ours, theirs] = [device(), other.clone()].map(|device| {
            let on = [device.clone()];
            let prior = fit_on(&on, &config, shape, condition, 8, None, &Silent);
            let Batch { values, conditions } = data(shape, 4, 2000);
            let points = Points {
                values: shape.tensor(values, &device),
                condition: condition
                    .zip(conditions)
                    .map(|(kind, of)| kind.encode(Some(&of), 4, &device)),
            };
            roughly(prior.as_ref(), &points)
        });
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let off = (ours - theirs).abs() / ours.abs().max(1.0);
            assert!(off < 1e-3, "{}: {ours} {theirs}", config.name());
        }
    }
}

/// Fails if shares, conditions or means are left on another device than their replica's. AdamW enlarges differences of
/// rounding between the devices where a gradient is nearly zero.
#[cfg(feature = "wgpu-untuned")]
#[test]
fn replicas_on_different_devices_take_the_steps_of_one_that_has_the_whole_batch() {
    let devices = [device(), crate::devices::other()];
    for (config, shape) in planes() {
        if config.kind().shared(&Schedule::short(4)).is_none() {
            continue;
        }
        let condition =
            (config.kind().conditional()).then_some(ConditionKind::Labels { classes: 2 });
        let of = |devices: &[Device]| {
            let prior = fit_on(devices, &config, shape, condition, 4, None, &Silent);
            values(prior.as_ref())
        };
        for (whole, shared) in of(&devices[..1]).iter().zip(of(&devices)) {
            assert!(
                (whole - shared).abs() < 1e-3,
                "{}: {whole} {shared}",
                config.name()
            );
        }
    }
}
