//! The report of a run: the verdict first, then the evidence.

use super::collapse::diagnostics;
use super::figures::{drawn, table, timings};
use super::headline::{Evidence, Likelihoods};
use super::likelihood::{likelihoods, overall, verdicts};
use super::parts::{Card, Grade, Headline, Page, Section};
use super::pictures::pictures;
use super::provenance::provenance;
use super::warnings::warnings;
use crate::report::view::RunView;
use crate::store::{RunState, Stage};
use crate::tables::{brief, with_spread};
use latent_align_stages::figures::{
    evaluate_latents, pretrain_flow, train_autoencoder as names, train_classifier,
};

/// The page of `found`.
pub fn page(found: &RunView) -> Page {
    let target = ["heatmaps", "principal-plane", "marginals", "trajectories"];
    let sections = vec![
        Section::new(
            "target",
            "Latents against the target",
            [drawn(found, &target)],
        ),
        Section::new(
            "collapse",
            "Alignment or collapse?",
            [diagnostics(found), drawn(found, &["variances"])],
        ),
        Section::new(
            "surrogate",
            "Does the loss stand in for the likelihood?",
            [
                verdicts(found),
                drawn(found, &["surrogate"]),
                likelihoods(found),
            ],
        ),
        Section::new(
            "pictures",
            "Reconstructions and samples",
            [pictures(found), drawn(found, &["reconstructions"])],
        ),
        Section::new("search", "The search", [drawn(found, &["best-so-far"])]),
        Section::new(
            "learning",
            "Learning curves",
            [drawn(found, &["learning-curves"])],
        ),
        Section::new("timings", "Timings", [timings(found)]),
        Section::new(
            "provenance",
            "What was run, and from what",
            [provenance(found)],
        ),
        Section::new("figures", "Every figure", [table(found)]),
    ];
    Page {
        kind: "Run",
        name: found.name.clone(),
        state: found.record.as_ref().map(|record| {
            let grade = match record.state {
                RunState::Finished => Grade::Good,
                RunState::Running => Grade::Plain,
                RunState::Stopped => Grade::Fair,
                RunState::Interrupted | RunState::Failed => Grade::Bad,
            };
            (record.state.word(), grade)
        }),
        headline: Headline::of(found),
        cards: cards(found),
        warnings: warnings(found),
        meta: meta(found),
        sections,
    }
}

/// Seed, device, time, and configuration file.
fn meta(found: &RunView) -> String {
    let mut parts = Vec::new();
    if let Some(record) = &found.record {
        parts.push(format!("seed {}", record.seed));
        parts.push(format!("on {} of {}", record.device, record.host));
        parts.push(format!("started {} UTC", record.started.readable()));
        parts.push(format!("from {}", record.file.display()));
    } else if let Some(experiment) = &found.experiment {
        parts.push(format!("seed {}", experiment.seed));
        parts.push(format!("on {}", experiment.device_names().join(", ")));
    }
    parts.join(" · ")
}

/// The cards of what the run has.
fn cards(found: &RunView) -> Vec<Card> {
    let of_all = [
        stand_in, nll, coverage, told_apart, error, probe, loss, bits, classifier,
    ];
    of_all.into_iter().filter_map(|card| card(found)).collect()
}

fn card(name: &'static str, value: String, detail: String, grade: Grade) -> Option<Card> {
    Some(Card {
        name,
        value,
        detail,
        grade,
    })
}

/// The part of the data whose figures are shown.
fn part(found: &RunView) -> &'static str {
    match found.lacks_test() {
        true => "held-out",
        false => "test",
    }
}

fn stand_in(found: &RunView) -> Option<Card> {
    let (word, grade, detail) = overall(found)?;
    card("Loss as a stand-in for the NLL", word, detail, grade)
}

fn nll(found: &RunView) -> Option<Card> {
    let likelihoods = Likelihoods::of(found)?;
    let (gap, error) = likelihoods.gap();
    let grade = match likelihoods.words() {
        "as likely as" => Grade::Good,
        "likelier than" => Grade::Fair,
        _ => Grade::Bad,
    };
    let [latents, features] =
        [likelihoods.latents, likelihoods.features].map(|(mean, error)| with_spread(mean, error));
    let detail = format!("features {features}; gap {}", with_spread(gap, error));
    card("NLL of latents (nats)", latents, detail, grade)
}

fn coverage(found: &RunView) -> Option<Card> {
    let covered = found.of_latents(names::COVERAGE)?;
    let grade = match covered {
        c if c >= 0.9 => Grade::Good,
        c if c >= 0.5 => Grade::Fair,
        _ => Grade::Bad,
    };
    let value = format!("{:.0} %", 100.0 * covered);
    let detail = "97 % for a fresh sample".to_owned();
    card("Coverage of features", value, detail, grade)
}

fn told_apart(found: &RunView) -> Option<Card> {
    let evidence = Evidence::of(found);
    let tests = evidence.tokens?;
    let grade = match evidence.told_apart() {
        [false, false] if !evidence.can_tell() => Grade::Plain,
        [false, false] => Grade::Good,
        _ if evidence.is_near() => Grade::Fair,
        _ => Grade::Bad,
    };
    let (value, mut detail) = match tests.accuracy {
        Some((accuracy, _)) => (
            format!("{:.0} %", 100.0 * accuracy),
            String::from("of latents, by a classifier; chance is 50 %"),
        ),
        None => (
            format!("p = {}", brief(tests.p_values[0])),
            format!(
                "by the energy test; {:.0} points are too few for a classifier",
                tests.points
            ),
        ),
    };
    if let Some((whole, _)) = evidence.whole.and_then(|tests| tests.accuracy) {
        detail += &format!("; of whole rows {:.0} %", 100.0 * whole);
    }
    if let (Some(floor), Some(_)) = (evidence.floor, tests.accuracy) {
        detail += &format!("; of the flow's samples {:.0} %", 100.0 * floor);
    }
    card("Distinguished from features", value, detail, grade)
}

fn error(found: &RunView) -> Option<Card> {
    let error = found.of_latents(names::ERROR)?;
    let mut detail = format!("mean squared, {} rows", part(found));
    if let Some(of_draws) = found.of_latents(names::ERROR_OF_DRAWS) {
        detail += &format!(", decoded means; decoded draws {}", brief(of_draws));
    }
    if let Some(decibel) = found.of_latents(names::PSNR) {
        detail += &format!("; PSNR {decibel:.1} dB");
    }
    card("Reconstruction error", brief(error), detail, Grade::Plain)
}

fn probe(found: &RunView) -> Option<Card> {
    let accuracy = found.shown(Stage::EvaluateLatents, evaluate_latents::PROBE_ACCURACY)?;
    let frechet = found.shown(Stage::EvaluateLatents, evaluate_latents::SAMPLES_DISTANCE);
    let detail = frechet.map(|d| format!("Fréchet distance of samples {}", brief(d)));
    let value = format!("{:.1} %", 100.0 * accuracy);
    let detail = detail.unwrap_or_default();
    card("Linear probe of latents", value, detail, Grade::Plain)
}

/// A figure of a stage, of a run that trains no autoencoder.
fn without_autoencoder(found: &RunView, stage: Stage, name: &str) -> Option<f64> {
    let alone = found.stage(Stage::TrainAutoencoder).is_none();
    alone.then(|| found.shown(stage, name)).flatten()
}

fn loss(found: &RunView) -> Option<Card> {
    let loss = without_autoencoder(found, Stage::PretrainFlow, pretrain_flow::LOSS)?;
    let mut detail = format!("of {} rows", part(found));
    if let Some(nll) = found.shown(Stage::PretrainFlow, pretrain_flow::NLL) {
        detail += &format!("; NLL {} nats", brief(nll));
    }
    card("Flow-matching loss", brief(loss), detail, Grade::Plain)
}

fn bits(found: &RunView) -> Option<Card> {
    let bits = without_autoencoder(found, Stage::PretrainFlow, pretrain_flow::BITS)?;
    let mut detail = format!("of {} rows", part(found));
    for (word, name) in [
        ("histograms", pretrain_flow::HISTOGRAM_BITS),
        ("full Gaussian", pretrain_flow::GAUSSIAN_BITS),
        ("uniform", pretrain_flow::UNIFORM_BITS),
    ] {
        if let Some(bits) = found.shown(Stage::PretrainFlow, name) {
            detail += &format!("; {word} {bits:.3}");
        }
    }
    card(
        "Bits a dimension",
        format!("{bits:.3}"),
        detail,
        Grade::Plain,
    )
}

fn classifier(found: &RunView) -> Option<Card> {
    let accuracy = without_autoencoder(found, Stage::TrainClassifier, train_classifier::ACCURACY)?;
    let value = format!("{:.1} %", 100.0 * accuracy);
    let detail = format!("{} accuracy", part(found));
    card("Classifier", value, detail, Grade::Plain)
}
