//! Conformance tests of regularisers. Each test runs over [`RegulariserConfig::examples`], so a new kind is
//! tested as soon as it is listed.

use super::*;
use crate::classifiers::LabelledFeatures;
use crate::context::{Context, Silent};
use crate::data::Part;
use crate::numerics::{mean, standard_error};
use crate::posteriors::{Draw, Gaussian, Head, Posterior, PosteriorConfig, PosteriorHead};
use crate::priors::{
    Batch, Fit, KeptPoints, ModelConfig, Offers, Placement, PointShape, Prior, Schedule,
};
use crate::problems::Problems;
use crate::random::Streams;
use crate::tensors::{from_f32, scalar, to_f64};
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;
use serde_json::json;
use std::path::PathBuf;
use std::sync::LazyLock;

const SHAPE: PointShape = PointShape {
    tokens: 1,
    width: 2,
};
const ROWS: usize = 24;

/// Target features, for regularisers that compare latents with them.
static FEATURES: LazyLock<KeptPoints> = LazyLock::new(|| {
    let count = 400;
    KeptPoints {
        points: Batch {
            values: Streams::new(7).normal("features", 0, count * SHAPE.elements()),
            conditions: None,
        },
        width: SHAPE.width,
        items: (0..count as i64).collect(),
        tokens: 1,
    }
});

/// Every kind of prior over such points after a few training steps, frozen and loaded for gradients.
fn priors() -> Vec<(ModelConfig, Box<dyn Prior>)> {
    let all = ModelConfig::examples().into_iter();
    let fitting = all.filter(|config| config.kind().check_shape(SHAPE).is_ok());
    fitting
        .map(|config| {
            let prior = fitted(&config);
            (config, prior)
        })
        .collect()
}

/// The prior of `config` over points of [`SHAPE`].
pub(super) fn fitted(config: &ModelConfig) -> Box<dyn Prior> {
    fitted_on(config, &Device::flex())
}

/// As [`fitted`], trained on the CPU and loaded on `device`.
fn fitted_on(config: &ModelConfig, device: &Device) -> Box<dyn Prior> {
    let context = Context {
        streams: Streams::new(0),
        device: Device::flex(),
        replicas: Vec::new(),
        dir: PathBuf::new(),
        resume: None,
        kept: std::env::temp_dir(),
        monitor: &Silent,
    };
    let batch = |step| Batch {
        values: (Streams::new(1)
            .normal("points", step, 64 * SHAPE.elements())
            .iter())
        .map(|x| 0.6 * x + 0.4)
        .collect(),
        conditions: None,
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prior.safetensors");
    let fit = Fit {
        shape: SHAPE,
        condition: None,
        dropout: 0.0,
        schedule: &Schedule::short(30),
        next: &mut |step| Ok(batch(step)),
        held_out: &batch(1000),
        test: None,
        exact: None,
        bits: None,
        logit: None,
        streams: Streams::new(2),
    };
    let kind = config.kind();
    kind.fit(fit, &context)
        .unwrap()
        .prior
        .save(&path, "{}")
        .unwrap();
    let place = Placement::on(device).for_gradients();
    kind.load(&path, SHAPE, None, &place).unwrap()
}

/// A classifier's features of as many rows as any test has.
pub(super) static OF_ROWS: LazyLock<LabelledFeatures> = LazyLock::new(|| {
    let (count, width) = (400, 3);
    let values = Streams::new(9).normal("features of rows", 0, count * width);
    let rows = values.chunks(width).enumerate();
    let rows = rows.map(|(item, row)| (item, 0, Part::Train, row));
    let dir = tempfile::tempdir().unwrap();
    LabelledFeatures::write(rows.collect(), width, dir.path()).unwrap();
    LabelledFeatures::load(dir.path()).unwrap()
});

fn given(prior: &dyn Prior) -> Given<'_> {
    Given {
        prior,
        replicas: &[],
        witness: None,
        features: Some(&FEATURES),
        of_rows: Some(&OF_ROWS),
        elements: 0.5,
        latent: SHAPE,
        steps: 10,
        streams: Streams::new(6),
    }
}

/// Gaussian posteriors of `rows` rows: means [rows, d] and log-variances, both shifted by `moved` along a fixed
/// direction.
fn posterior(rows: usize, moved: f32, device: &Device) -> (Box<dyn Posterior>, [Tensor<2>; 2]) {
    let count = rows * SHAPE.elements();
    let part = |which: &str, offset: f32| {
        let at = Streams::new(3).normal(which, 0, count);
        let along = Streams::new(3).normal(which, 1, count);
        let values = at
            .iter()
            .zip(&along)
            .map(|(x, along)| 0.5 * x + offset + moved * along);
        let tensor = from_f32(values.collect(), [rows, SHAPE.elements()], device);
        match device.is_autodiff() {
            true => tensor.require_grad(),
            false => tensor,
        }
    };
    let given = [part("means", 0.0), part("log-variances", -1.0)];
    let config = PosteriorConfig::Gaussian(Gaussian {});
    let head = PosteriorHead::new(&config, SHAPE, Streams::new(0), device);
    let [means, others] = given.clone();
    (head.posterior(means, Some(others)), given)
}

/// The term of these posteriors at fixed noise.
fn term(regulariser: &dyn Regulariser, posterior: &dyn Posterior, draw: u64) -> Tensor<1> {
    let mut rng = Streams::new(4).at("draws", draw);
    let drawn = posterior.draw(&mut rng);
    let items: Vec<usize> = (0..posterior.centre().dims()[0]).collect();
    let encoded = Encoded {
        drawn: &drawn,
        posterior,
        items: &items,
    };
    regulariser.term(encoded, &mut rng).unwrap()
}

/// Fails if a term is cut off from the encoder, or has the wrong gradient.
#[test]
fn gradients_are_those_of_differences_or_push_towards_what_is_learned() {
    for (model, prior) in priors() {
        for config in RegulariserConfig::examples() {
            let kind = config.kind();
            if kind.asks() > model.kind().offers() {
                continue;
            }
            let Some(mut regulariser) = kind.begin(given(prior.as_ref())).unwrap() else {
                assert_eq!(kind.weight(), 0.0);
                continue;
            };
            let what = format!("{} with {}", config.name(), model.name());
            let device = Device::flex().autodiff();
            let learns = regulariser.learner().is_some();
            if learns {
                let (posterior, _) = posterior(ROWS, 0.0, &device);
                regulariser.learn(posterior.centre(), &mut Streams::new(5).at("learn", 0));
            }
            let (at, given) = posterior(ROWS, 0.0, &device);
            let gradients = term(regulariser.as_ref(), at.as_ref(), 0).backward();
            let gradients = given.map(|tensor| to_f64(tensor.grad(&gradients).unwrap()).unwrap());
            assert!(gradients.iter().flatten().any(|g| *g != 0.0), "{what}");
            regulariser.check().unwrap();
            if learns {
                continue; // the gradient of such a term is not that of its value
            }
            let along = ["means", "log-variances"]
                .map(|which| Streams::new(3).normal(which, 1, ROWS * SHAPE.elements()));
            let found = gradients.iter().flatten().zip(along.iter().flatten());
            let found: f64 = found.map(|(g, along)| g * f64::from(*along)).sum();
            let at = |moved: f32| {
                let (posterior, _) = posterior(ROWS, moved, &device);
                scalar(term(regulariser.as_ref(), posterior.as_ref(), 0).inner()).unwrap()
            };
            // the log-slope of a spline has kinks, where the one-sided derivatives differ
            let here = at(0.0);
            // second-order, so that curvature does not count as a difference
            let side = |h: f32| {
                let rise = 4.0 * at(h) - at(2.0 * h) - 3.0 * here;
                rise / (2.0 * f64::from(h))
            };
            let sides = [side(-1e-3), side(1e-3)];
            let [low, high] = [sides[0].min(sides[1]), sides[0].max(sides[1])];
            let room = 0.01 * high.abs().max(low.abs()).max(0.1);
            assert!(
                (low - room..=high + room).contains(&found),
                "{what}: {found}, by differences {sides:?}"
            );
        }
    }
}

/// Fails if a device gets the groups, times or points of another, or its part of a term is lost.
#[test]
fn a_prior_on_several_devices_gives_the_same_terms_and_gradients() {
    let (replicas, device) = ([priors(), priors()], Device::flex().autodiff());
    let [second, third] = replicas.map(Vec::into_iter);
    for (((model, prior), (_, second)), (_, third)) in priors().into_iter().zip(second).zip(third) {
        let replicas = [second, third];
        for config in RegulariserConfig::examples() {
            let kind = config.kind();
            if kind.asks() > model.kind().offers() {
                continue;
            }
            let found = |replicas| {
                let given = Given {
                    replicas,
                    ..given(prior.as_ref())
                };
                let mut regulariser = kind.begin(given).unwrap()?;
                let (posterior, given) = posterior(ROWS, 0.0, &device);
                regulariser.learn(posterior.centre(), &mut Streams::new(5).at("learn", 0));
                let term = term(regulariser.as_ref(), posterior.as_ref(), 0);
                let gradients = term.backward();
                let of = |tensor: Tensor<2>| to_f64(tensor.grad(&gradients).unwrap()).unwrap();
                Some((scalar(term.inner()).unwrap(), given.map(of).concat()))
            };
            let (Some((one, along)), Some((three, same))) = (found(&[]), found(&replicas)) else {
                continue;
            };
            let what = format!("{} with {}: {one} {three}", config.name(), model.name());
            assert!((one - three).abs() < 1e-5 * one.abs().max(1e-2), "{what}");
            let size = along.iter().fold(0.0f64, |most, g| most.max(g.abs()));
            for (a, b) in along.iter().zip(&same) {
                assert!((a - b).abs() < 1e-4 * size, "{what}: {a} {b}");
            }
        }
    }
}

/// Fails if a term is in another unit than documented.
#[test]
fn divergences_are_for_each_element_of_data_and_all_else_is_for_each_of_latents() {
    let all = priors();
    let (_, prior) = (all.iter())
        .find(|(model, _)| model.name() == "flow_matching")
        .expect("flow matching");
    let (posterior, _) = posterior(ROWS, 0.0, &Device::flex());
    for config in RegulariserConfig::examples() {
        let value = |elements: f64| {
            let given = Given {
                elements,
                ..given(prior.as_ref())
            };
            let mut regulariser = config.kind().begin(given).unwrap()?;
            // a student that still equals its teacher has a term of zero
            regulariser.learn(posterior.centre(), &mut Streams::new(5).at("learn", 0));
            Some(scalar(term(regulariser.as_ref(), posterior.as_ref(), 0)).unwrap())
        };
        let (Some(one), Some(three)) = (value(1.0), value(3.0)) else {
            assert_eq!(config.kind().weight(), 0.0);
            continue;
        };
        let factor = match config.kind().divergence_from() {
            Some(_) => 3.0,
            None => 1.0,
        };
        assert!(
            one != 0.0 && (three - factor * one).abs() < 1e-5 * one.abs(),
            "{}: {one} {three}",
            config.name()
        );
    }
}

#[test]
fn a_prior_without_what_a_kind_asks_for_is_refused_by_key() {
    let (mut refused, mut without) = (0, 0);
    for (model, prior) in priors() {
        without += usize::from(model.kind().offers() < Offers::Velocity);
        for config in RegulariserConfig::examples() {
            let kind = config.kind();
            let begun = kind.begin(given(prior.as_ref()));
            if kind.asks() <= model.kind().offers() {
                assert!(begun.is_ok(), "{} with {}", config.name(), model.name());
                continue;
            }
            refused += 1;
            let told = begun.map(|_| ()).unwrap_err().to_string();
            assert!(
                told.starts_with("train_autoencoder.regulariser.kind: found one that needs"),
                "{told}"
            );
        }
    }
    assert!(without >= 3);
    assert_eq!(
        refused,
        3 * without,
        "three kinds under each prior without a velocity"
    );
}

/// A posterior that hides its closed forms.
struct Hidden(Box<dyn Posterior>);

impl Posterior for Hidden {
    fn centre(&self) -> Tensor<2> {
        self.0.centre()
    }
    fn draw(&self, rng: &mut Pcg64) -> Draw {
        self.0.draw(rng)
    }
}

/// Fails if a sign or a constant is wrong without closed forms.
#[test]
fn divergences_without_closed_forms_have_the_same_mean() {
    for (model, prior) in priors() {
        for config in RegulariserConfig::examples() {
            let kind = config.kind();
            if kind.divergence_from().is_none() || kind.asks() > model.kind().offers() {
                continue;
            }
            let regulariser = kind.begin(given(prior.as_ref())).unwrap().unwrap();
            let (closed, _) = posterior(400, 0.0, &Device::flex());
            let (hidden, _) = posterior(400, 0.0, &Device::flex());
            let hidden = Hidden(hidden);
            let differences: Vec<f64> = (0..30)
                .map(|draw| {
                    let value =
                        |posterior| scalar(term(regulariser.as_ref(), posterior, draw)).unwrap();
                    value(&hidden as &dyn Posterior) - value(closed.as_ref())
                })
                .collect();
            let (found, error) = (mean(&differences), standard_error(&differences, 1));
            assert!(error > 0.0, "{}: the closed form was taken", config.name());
            assert!(
                found.abs() < 5.0 * error,
                "{}: {found} +- {error}",
                config.name()
            );
        }
    }
}

#[test]
fn a_configuration_reads_back_and_a_negative_weight_is_refused() {
    for config in RegulariserConfig::examples() {
        let mut value = serde_json::to_value(&config).unwrap();
        let read = |value| serde_json::from_value::<RegulariserConfig>(value).unwrap();
        assert_eq!(read(value.clone()), config);
        let only_kind = json!({"kind": config.name()});
        assert_eq!(read(only_kind), config, "an example has the defaults");
        let problems = |config: &RegulariserConfig| {
            let mut problems = Problems::new();
            config.kind().check(&mut problems);
            problems.messages().join("\n")
        };
        assert_eq!(problems(&config), "");
        if value.get("weight").is_some() {
            value["weight"] = json!(-1.0);
            assert!(problems(&read(value)).starts_with("weight: found -1"));
        }
    }
}

/// Fails if an entropy is omitted, has the wrong sign, or is not per element.
#[test]
fn an_entropy_is_taken_off_in_nats_for_each_element_of_latents() {
    let all = priors();
    let (_, prior) = (all.iter())
        .find(|(model, _)| model.name() == "mixture")
        .expect("a prior with a velocity and an exact NLL");
    let configs = |entropy| {
        let alignment = Alignment {
            entropy,
            ..Alignment::default()
        };
        let nll = Nll {
            entropy,
            ..Nll::default()
        };
        [
            RegulariserConfig::Alignment(alignment),
            RegulariserConfig::Nll(nll),
        ]
    };
    let (posterior, _) = posterior(ROWS, 0.0, &Device::flex());
    // log-variances around -1: less entropy than N(0, 1), which has 1.42 nats
    let expected = 0.5 * scalar(posterior.mean_entropy().unwrap()).unwrap();
    assert!((0.2..0.7).contains(&expected), "{expected}");
    for (with, without) in configs(0.5).iter().zip(&configs(0.0)) {
        let value = |config: &RegulariserConfig| {
            let begun = config.kind().begin(given(prior.as_ref())).unwrap().unwrap();
            scalar(term(begun.as_ref(), posterior.as_ref(), 0)).unwrap()
        };
        let found = value(without) - value(with);
        assert!(
            (found - expected).abs() < 1e-5,
            "{}: {found} {expected}",
            with.name()
        );
        assert!(with.kind().needs_density() && !without.kind().needs_density());
    }
}

/// Fails if a term or its gradient is wrong where operations are not fused, as on a GPU.
#[cfg(feature = "wgpu-untuned")]
#[test]
fn every_term_and_its_gradient_are_alike_on_another_device() {
    let devices = [Device::flex(), crate::devices::other()];
    let mut compared = 0;
    for model in ModelConfig::examples() {
        if !["flow_matching", "coupling"].contains(&model.name().as_str()) {
            continue;
        }
        let priors = devices.each_ref().map(|device| fitted_on(&model, device));
        for config in RegulariserConfig::examples() {
            let kind = config.kind();
            if kind.asks() > model.kind().offers() || kind.weight() == 0.0 {
                continue;
            }
            let [ours, theirs] = [0, 1].map(|i| {
                let device = devices[i].clone().autodiff();
                let mut regulariser = kind.begin(given(priors[i].as_ref())).unwrap().unwrap();
                if regulariser.learner().is_some() {
                    let (posterior, _) = posterior(ROWS, 0.0, &device);
                    regulariser.learn(posterior.centre(), &mut Streams::new(5).at("learn", 0));
                }
                let (at, given) = posterior(ROWS, 0.0, &device);
                let term = term(regulariser.as_ref(), at.as_ref(), 0);
                let gradients = term.backward();
                let gradients =
                    given.map(|tensor| to_f64(tensor.grad(&gradients).unwrap()).unwrap());
                let mut all = vec![scalar(term.inner()).unwrap()];
                all.extend(gradients.into_iter().flatten());
                all
            });
            let scale = ours[1..].iter().map(|g| g.abs()).fold(0.0, f64::max);
            for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                let scale = if i == 0 { ours.abs().max(1e-3) } else { scale };
                let off = (ours - theirs).abs() / scale;
                assert!(off < 1e-3, "{} {i}: {ours} {theirs}", config.name());
            }
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared}");
}
