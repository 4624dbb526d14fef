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
        parts.push(format!("on {}", experiment.device));
    }
    parts.join(" · ")
}

fn cards(found: &RunView) -> Vec<Card> {
    let mut cards = Vec::new();
    let mut add = |name, value, detail: String, grade| {
        cards.push(Card {
            name,
            value,
            detail,
            grade,
        });
    };
    let autoencoder = |name: &str| found.of_latents(name);
    let part = match found.lacks_test() {
        true => "held-out",
        false => "test",
    };
    if let Some((word, grade, detail)) = overall(found) {
        add("Loss as a stand-in for the NLL", word, detail, grade);
    }
    if let Some(l) = Likelihoods::of(found) {
        let (gap, error) = l.gap();
        let features = with_spread(l.features.0, l.features.1);
        let grade = match l.words() {
            "as likely as" => Grade::Good,
            "likelier than" => Grade::Fair,
            _ => Grade::Bad,
        };
        let value = with_spread(l.latents.0, l.latents.1);
        let detail = format!("features {features}; gap {}", with_spread(gap, error));
        add("NLL of latents (nats)", value, detail, grade);
    }
    if let Some(covered) = autoencoder(names::COVERAGE) {
        let grade = match covered {
            c if c >= 0.9 => Grade::Good,
            c if c >= 0.5 => Grade::Fair,
            _ => Grade::Bad,
        };
        let value = format!("{:.0} %", 100.0 * covered);
        add(
            "Coverage of features",
            value,
            "97 % for a fresh sample".into(),
            grade,
        );
    }
    let evidence = Evidence::of(found);
    if let Some(tests) = evidence.tokens {
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
        add("Distinguished from features", value, detail, grade);
    }
    if let Some(error) = autoencoder(names::ERROR) {
        let decibel = autoencoder(names::PSNR);
        let mut detail = format!("mean squared, {part} rows");
        if let Some(of_draws) = autoencoder(names::ERROR_OF_DRAWS) {
            detail += &format!(", decoded means; decoded draws {}", brief(of_draws));
        }
        if let Some(decibel) = decibel {
            detail += &format!("; PSNR {decibel:.1} dB");
        }
        add("Reconstruction error", brief(error), detail, Grade::Plain);
    }
    if let Some(accuracy) = found.shown(Stage::EvaluateLatents, evaluate_latents::PROBE_ACCURACY) {
        let frechet = found.shown(Stage::EvaluateLatents, evaluate_latents::SAMPLES_DISTANCE);
        let detail = frechet.map_or(String::new(), |d| {
            format!("Fréchet distance of samples {}", brief(d))
        });
        let value = format!("{:.1} %", 100.0 * accuracy);
        add("Linear probe of latents", value, detail, Grade::Plain);
    }
    if found.stage(Stage::TrainAutoencoder).is_none() {
        if let Some(loss) = found.shown(Stage::PretrainFlow, pretrain_flow::LOSS) {
            let nll = found.shown(Stage::PretrainFlow, pretrain_flow::NLL);
            let detail = nll.map_or(format!("of {part} rows"), |n| {
                format!("of {part} rows; NLL {} nats", brief(n))
            });
            add("Flow-matching loss", brief(loss), detail, Grade::Plain);
        }
        if let Some(bits) = found.shown(Stage::PretrainFlow, pretrain_flow::BITS) {
            let simple = [
                ("histograms", pretrain_flow::HISTOGRAM_BITS),
                ("full Gaussian", pretrain_flow::GAUSSIAN_BITS),
                ("uniform", pretrain_flow::UNIFORM_BITS),
            ];
            let mut detail = format!("of {part} rows");
            for (word, name) in simple {
                if let Some(bits) = found.shown(Stage::PretrainFlow, name) {
                    detail += &format!("; {word} {bits:.3}");
                }
            }
            add(
                "Bits a dimension",
                format!("{bits:.3}"),
                detail,
                Grade::Plain,
            );
        }
        if let Some(accuracy) = found.shown(Stage::TrainClassifier, train_classifier::ACCURACY) {
            let value = format!("{:.1} %", 100.0 * accuracy);
            add(
                "Classifier",
                value,
                format!("{part} accuracy"),
                Grade::Plain,
            );
        }
    }
    cards
}
