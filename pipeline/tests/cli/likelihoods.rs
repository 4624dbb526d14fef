//! The likelihood of test data under whatever model an experiment has.

use crate::project::{Outcome, Project};
use crate::tiny::{self, CONFIG, noise};
use serde_json::Value;

/// Levels 0 to 16, the tiny autoencoder as a VAE of them.
fn project() -> Project {
    let project = tiny::project();
    let levels: Vec<u8> = (0..100 * 16).map(|i| (noise(i, 0) * 17.0) as u8).collect();
    project.write_dataset("levels.h5", "images", &[100, 1, 4, 4], &levels);
    let vae = CONFIG
        .replace("name: tiny", "name: vae")
        .replace("vectors.h5, dataset: vectors", "levels.h5, dataset: images, maximum: 16")
        .replace(
            "{kind: alignment, weight: 0.1, draws: 2}",
            "{kind: kl}\n  posterior: {kind: gaussian}\n  reconstruction: discretised_logistic\n  test: {fraction: 0.3}",
        )
        .replace("  draws: 192, ", "");
    let (vae, _) = vae.split_once("estimate_nll").unwrap();
    project.write(
        "vae.yaml",
        format!("{vae}evaluate_likelihood: {{samples: 200}}\n"),
    );
    let of_levels = "\
name: levels
pretrain_flow:
  features: {file: levels.h5, dataset: images}
  test: {fraction: 0.3}
  normalisation: {levels: 17}
  noise: {kind: uniform}
  rows: {patches: 2}
  model: {kind: tarflow, blocks: 2, layers: 1, channels: 16, head_width: 16}
  steps: 10
  batch: 16
  evaluate_every: 10
  samples: 8
  nll_points: 32
  compared: 0
evaluate_likelihood: {}
";
    project.write("levels.yaml", of_levels);
    project
}

fn set<'a>(file: &'a str, settings: &[&'a str]) -> Vec<&'a str> {
    let settings = settings.iter().flat_map(|set| ["--set", set]);
    ["run", file].into_iter().chain(settings).collect()
}

/// The figures of the run `name`.
fn figures(project: &Project, name: &str) -> impl Fn(&str) -> f64 + use<> {
    let shown = project.run(&["show", name, "--format", "json"]);
    let shown: Value = serde_json::from_str(&shown.expect(0, &[]).stdout).unwrap();
    move |figure: &str| {
        let value = shown[0][figure].as_f64();
        value.unwrap_or_else(|| panic!("no figure `{figure}` in {shown}"))
    }
}

const STAGE: &str = "evaluate-likelihood: ";
const KIND: &str =
    "kind of number (0 exact, 1 ODE, 2 bound, 3 importance-weighted, 4 negative ELBO)";

fn refused(outcome: &Outcome, parts: &[&str]) {
    outcome.expect(2, parts);
}

/// Fails if the figures of one kind of model are called otherwise than those of another, if nats and bits disagree,
/// and if the same rows of the same prior have another likelihood than `pretrain-flow` says.
#[test]
fn a_vae_and_a_flow_report_figures_of_the_same_names() {
    let project = project();
    let vae = project.run(&["run", "vae.yaml"]);
    vae.expect(0, &["importance-weighted", "as they are"]);
    let flow = project.run(&["run", "levels.yaml"]);
    flow.expect(0, &["exact", "dequantised"]);
    let (vae, flow) = (figures(&project, "vae"), figures(&project, "levels"));
    for of in [&vae as &dyn Fn(&str) -> f64, &flow] {
        let figure = |name: &str| of(&format!("{STAGE}{name}"));
        let (nats, bits) = (
            figure("test NLL of levels (nats)"),
            figure("test bits a dimension"),
        );
        assert!(
            (nats / 16.0 / 2f64.ln() / bits - 1.0).abs() < 1e-6,
            "{nats} {bits}"
        );
        assert!(figure("test bits a dimension, standard error") > 0.0);
        assert_eq!(figure("rows"), 32.0);
        assert_eq!(figure("numbers in a row of data"), 16.0);
        assert!(figure("parameters") > 0.0 && figure("seconds for the NLL") > 0.0);
    }
    assert_eq!(vae(&format!("{STAGE}{KIND}")), 3.0);
    assert_eq!(flow(&format!("{STAGE}{KIND}")), 0.0);
    assert_eq!(vae(&format!("{STAGE}numbers in a latent")), 2.0);
    assert_eq!(flow(&format!("{STAGE}numbers in a latent")), 16.0);
    for bits in [
        "test bits a dimension",
        "test bits a dimension, standard error",
    ] {
        let (own, before) = (
            flow(&format!("{STAGE}{bits}")),
            flow(&format!("pretrain-flow: {bits}")),
        );
        assert!((own - before).abs() < 1e-6, "{bits}: {own} {before}");
    }
    let figure = |name: &str| vae(&format!("{STAGE}{name}"));
    let gap = figure("negative ELBO less importance-weighted NLL (nats)");
    assert!(gap > 0.0);
    let (elbo, nll) = (
        figure("test negative ELBO (nats)"),
        figure("test NLL of levels (nats)"),
    );
    assert!((elbo - nll - gap).abs() < 1e-6);
    // 200 draws a row here, one a row of the same rows there
    let before = vae("train-autoencoder: test negative ELBO (nats)");
    let error = vae("train-autoencoder: its standard error");
    assert!(
        (elbo - before).abs() < 3.0 * error,
        "{elbo} {before} {error}"
    );
}

/// Fails if another number of samples trains anything again.
#[test]
fn more_samples_leave_the_training_as_it_is() {
    let project = project();
    project.run(&["run", "vae.yaml"]).expect(0, &[]);
    let nll = |samples: usize| {
        let samples = format!("evaluate_likelihood.samples={samples}");
        let outcome = project.run(&set("vae.yaml", &[&samples]));
        outcome.expect(0, &[]);
        assert_eq!(project.entries("artifacts/train-autoencoder").len(), 1);
        figures(&project, "vae")(&format!("{STAGE}test NLL of levels (nats)"))
    };
    let (one, few, many) = (nll(1), nll(8), nll(1000));
    assert!(one > few && few > many, "{one} {few} {many}");
    let one = project.run(&set("vae.yaml", &["evaluate_likelihood.samples=1"]));
    one.expect(0, &["Nothing to do", "negative ELBO"]);
}

/// Fails if weights that a few draws decide pass in silence.
#[test]
fn weights_that_a_few_draws_decide_are_warned_of() {
    let project = project();
    let few = project.run(&set("vae.yaml", &["evaluate_likelihood.samples=5"]));
    few.expect(0, &["32 of 32 rows have an effective sample size below 10"]);
}

/// Of a coupling flow over latents and of flow matching's ODE and bound.
#[test]
fn a_vae_has_the_prior_that_its_regulariser_is_a_divergence_from() {
    let project = project();
    let kind = "evaluate-likelihood: prior of latents (0 closed form, 1 ODE, 2 bound)";
    let of = |settings: &[&str]| {
        project.run(&set("vae.yaml", settings)).expect(0, &[]);
        let figure = figures(&project, "vae");
        (
            figure(kind),
            figure(&format!("{STAGE}test NLL of levels (nats)")),
        )
    };
    let short = "evaluate_likelihood={rows: 8, samples: 20}";
    let flow = "train_autoencoder.regulariser={kind: flow_kl, draws: 2}";
    let (kind_of_ode, by_ode) = of(&[flow, short]);
    let bound = "evaluate_likelihood={rows: 8, samples: 20, by: bound, draws: 1000}";
    let (kind_of_bound, by_bound) = of(&[flow, bound]);
    assert_eq!([kind_of_ode, kind_of_bound], [1.0, 2.0]);
    // the same draws of the same posteriors; the bound lies above, by little where the flow is near N(0, I)
    assert!((by_ode - by_bound).abs() < 2.0, "{by_ode} {by_bound}");
    let (kind_of_closed, _) = of(&[
        "pretrain_flow.model={kind: coupling, layers: 2, width: 8, depth: 1}",
        "train_autoencoder.regulariser={kind: nll, weight: 0.1, entropy: 1}",
        short,
    ]);
    assert_eq!(kind_of_closed, 0.0);
}

#[test]
fn what_has_no_likelihood_is_refused_before_anything_is_trained() {
    let project = project();
    let with = |settings: &[&str]| project.run(&set("vae.yaml", settings));
    refused(
        &with(&["evaluate_likelihood.samples=0"]),
        &["evaluate_likelihood.samples: found 0, expected 1 to 100000 importance samples"],
    );
    refused(
        &with(&["evaluate_likelihood.samples=100001"]),
        &["evaluate_likelihood.samples: found 100001"],
    );
    refused(
        &with(&["evaluate_likelihood.rows=1"]),
        &["evaluate_likelihood.rows", "at least 2"],
    );
    refused(
        &with(&["train_autoencoder.regulariser={kind: alignment, weight: 1, draws: 2}"]),
        &[
            "train_autoencoder.regulariser",
            "no negative ELBO",
            "flow_kl",
        ],
    );
    refused(
        &with(&[
            "pretrain_flow.model={kind: coupling, layers: 2, width: 8, depth: 1}",
            "evaluate_likelihood.by=bound",
        ]),
        &["evaluate_likelihood.by: found bound", "expected nll"],
    );
    let trained = project.path("artifacts/runs/vae/pretrain-flow");
    assert!(!trained.exists());
}

/// Fails if a table has no column that both kinds of model fill, if the kind of number is a number, and if a column
/// that only one kind has is called unknown.
#[test]
fn a_sweep_puts_a_vae_beside_a_flow() {
    let project = project();
    let columns = format!(
        "columns: ['{STAGE}test bits a dimension', '{STAGE}{KIND}', '{STAGE}importance samples a row', \
         'pretrain-flow: seconds of the stage']\n"
    );
    project.write(
        "both.yaml",
        format!(
            "name: both\nbase: vae.yaml\nset: {{sample: {{count: 8}}}}\nlist:\n\
             - {{name: vae, set: {{sample.decode: true}}}}\n- {{name: flow, base: levels.yaml}}\n{columns}"
        ),
    );
    let outcome = project.run(&["sweep", "both.yaml"]);
    outcome.expect(0, &["importance-weighted", "exact", "| 200"]);
    assert!(!format!("{outcome}").contains("has no figure"), "{outcome}");
    let table = std::fs::read_to_string(project.path("artifacts/sweeps/both/table.md")).unwrap();
    let bits = table
        .lines()
        .find(|line| line.contains("test bits a dimension"));
    let bits = bits.unwrap_or_else(|| panic!("{table}"));
    assert!(table.contains("seconds of the stage"), "{table}");
    assert!(!bits.contains("  |  "), "a model has none: {table}");
    let page = std::fs::read_to_string(project.path("artifacts/sweeps/both/report.html")).unwrap();
    for caption in ["vae, seed 0", "flow, seed 0"] {
        assert!(
            page.contains(&format!("<figcaption>{caption}</figcaption>")),
            "{caption}"
        );
    }
}
