//! `sweep`: variants and seeds of an experiment, tabulated.

use crate::project::{Project, signal, starting_with, wait_until};
use crate::tiny::{CONFIG, project};
use polars::prelude::{ParquetReader, SerReader as _};

const SWEEP: &str = "\
name: remedies
base: tiny.yaml
set: {train_autoencoder.test.fraction: 0.2}
list:
  - {name: aligned}
  - {name: free, set: {train_autoencoder.regulariser: {kind: none}}}
seeds: [0, 1]
columns:
  - \"train-autoencoder: held-out mean squared error\"
  - \"estimate-nll: test latents: points\"
";

fn with_sweep(text: &str) -> Project {
    let project = project();
    project.write("remedies.yaml", text);
    project
}

fn table(project: &Project) -> String {
    let file = project.path("artifacts/sweeps/remedies/table.md");
    std::fs::read_to_string(file).unwrap_or_default()
}

fn counts(project: &Project) -> [usize; 3] {
    ["pretrain-flow", "train-autoencoder", "estimate-nll"]
        .map(|stage| project.entries(&format!("artifacts/{stage}")).len())
}

#[test]
fn variants_and_seeds_become_a_table_and_are_computed_once() {
    let project = with_sweep(SWEEP);
    let first = project.run(&["sweep", "remedies.yaml"]);
    first.expect(
        0,
        &[
            "0 of 4 trials are finished already, 4 to run, 1 at a time",
            "remedies.free.seed1 finished in ",
            "(4 of 4)",
            "| variant | trials | train-autoencoder: held-out mean squared error |",
            "| aligned | 2      | ",
            "| free    | 2      | ",
            " ± ",
            "| 20 ± 0 ",
        ],
    );
    assert!(
        first.stdout.ends_with(
            "artifacts/sweeps/remedies/table.md\nartifacts/sweeps/remedies/report.html\n"
        ),
        "{first}"
    );
    // A flow for each seed, shared by the variants.
    assert_eq!(counts(&project), [2, 4, 4]);
    assert_eq!(
        project.entries("artifacts/runs"),
        [
            "remedies.aligned.seed0",
            "remedies.aligned.seed1",
            "remedies.free.seed0",
            "remedies.free.seed1"
        ]
    );
    let table = std::fs::read_to_string(project.path("artifacts/sweeps/remedies/table.md"));
    let table = table.unwrap();
    let (title, below) = table.split_once("\n\n").unwrap();
    assert!(
        first.stdout.contains(title) && first.stdout.contains(below),
        "{first}"
    );
    let parquet = project.path("artifacts/sweeps/remedies/table.parquet");
    let frame = ParquetReader::new(std::fs::File::open(parquet).unwrap());
    let frame = frame.finish().unwrap();
    assert_eq!(frame.height(), 4);
    let seeds = frame.column("seed").unwrap().i64().unwrap();
    assert_eq!(seeds.get(3), Some(1));
    for column in [
        "variant",
        "failure",
        "pretrain-flow: held-out flow-matching loss",
        "train-autoencoder: held-out mean squared error",
    ] {
        assert!(frame.column(column).is_ok(), "{column}");
    }

    let second = project.run(&["sweep", "remedies.yaml"]);
    second.expect(0, &["4 of 4 trials are finished already, 0 to run"]);
    assert_eq!(counts(&project), [2, 4, 4]);
    let end = |text: &str| text[text.find("# remedies\n").unwrap()..].to_owned();
    assert_eq!(end(&first.stdout), end(&second.stdout));
}

#[test]
fn a_failing_trial_is_shown_and_the_others_finish() {
    let wrong = "- {name: wide, set: {train_autoencoder.latent.width: 3}}\n  - {name: aligned}";
    let text = SWEEP.replace("- {name: aligned}", wrong);
    let project = with_sweep(&text);
    let swept = project.run(&["sweep", "remedies.yaml"]);
    swept.expect(
        1,
        &[
            "remedies.wide.seed0 failed: ",
            "| wide    | 0 of 2, 2 failed |",
            "| aligned | 2 ",
            "- remedies.wide.seed1 failed: stage train-autoencoder",
            "latent.width: found 3, expected 2",
            "2 of 6 trials failed: remedies.wide.seed0, remedies.wide.seed1",
        ],
    );
    assert_eq!(counts(&project), [2, 4, 4]);
    let table = std::fs::read_to_string(project.path("artifacts/sweeps/remedies/table.md"));
    assert!(table.unwrap().contains("2 failed"));
}

#[test]
fn without_columns_the_key_figures_are_shown_and_of_a_variant_without_any_its_first() {
    let project = with_sweep(
        "name: one\nbase: tiny.yaml\nlist:\n  - {name: flow, set: {train_autoencoder: null, estimate_nll: null}}\n  \
         - {name: other, base: other.yaml}\n",
    );
    project.write("other.yaml", CONFIG.replace("name: tiny", "name: other"));
    let swept = project.run(&["sweep", "remedies.yaml", "--set", "pretrain_flow.steps=5"]);
    swept.expect(
        0,
        &[
            "| pretrain-flow: held-out flow-matching loss ",
            "| train-autoencoder: test mean squared error ",
            "| estimate-nll: test latents: mean NLL, ODE (nats) ",
        ],
    );
    let table = &swept.stdout[swept.stdout.find("# one\n").unwrap()..];
    assert!(!table.contains("peak memory"), "{table}");
    assert!(!table.contains("97.5 %"), "{table}");
    assert!(!table.contains("±"), "{table}");
}

#[test]
fn an_unknown_figure_is_told_after_the_first_trial_with_the_nearest() {
    let project =
        with_sweep(&SWEEP.replace("held-out mean squared error", "held-out mean square eror"));
    let swept = project.run(&["sweep", "remedies.yaml"]);
    swept.expect(
        0,
        &["has no figure `train-autoencoder: held-out mean square eror`; the nearest is `train-autoencoder: held-out mean squared error`"],
    );
    assert_eq!(swept.stderr.matches("has no figure").count(), 1, "{swept}");
}

/// The sweep is refused with `parts`, and nothing ran.
#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let project = with_sweep(text);
    project.run(&["sweep", "remedies.yaml"]).expect(2, parts);
    assert_eq!(counts(&project), [0, 0, 0]);
}

#[test]
fn every_trial_is_checked_before_the_first_runs() {
    let free = "{name: free, set: {train_autoencoder.regulariser: {kind: none}}}";
    let replaced = |by: &str| SWEEP.replace(free, by);
    refused(
        &replaced("{name: free, set: {train_autoencoder.stpes: 3}}"),
        &[
            "remedies.yaml: variant `free`: remedies.yaml:6:49: ",
            "unknown key `stpes`",
            "did you mean `steps`?",
        ],
    );
    refused(
        &replaced("{name: free, set: {train_autoencoder.steps: many}}"),
        &["remedies.yaml:6:49: train_autoencoder.steps: found `many`, expected a whole number"],
    );
    refused(
        &replaced(
            "{name: free, set: {train_autoencoder.steps: 0}}\n  - {name: gone, base: gone.yaml}",
        ),
        &[
            "remedies.yaml: 2 problems",
            "variant `free`: tiny.yaml: train_autoencoder.steps: found 0",
            "variant `gone`: gone.yaml: no such configuration file",
        ],
    );
    refused(
        &replaced("{name: free, set: {pretrain_flow.features.file: b.h5}}"),
        &[
            "variant `free`: pretrain_flow.features.file: ",
            "b.h5: no such file",
        ],
    );
    refused(
        &replaced("{name: free, set: {seed: 3}}"),
        &[
            "`seed` cannot be set in a sweep",
            "list seeds under `seeds`",
        ],
    );
}

#[test]
fn a_wrong_sweep_is_shown_where_it_stands() {
    refused(
        &SWEEP.replace("seeds:", "sedes:"),
        &[
            "remedies.yaml:7:1: unknown key `sedes`",
            "did you mean `seeds`?",
        ],
    );
    refused(
        &SWEEP
            .replace("free, set: {train", "free, set: [train")
            .replace("none}}}", "none}]}"),
        &["remedies.yaml:6:"],
    );
    refused(
        &SWEEP
            .replace("[0, 1]", "[0, 0]")
            .replace("name: free", "name: aligned"),
        &["seeds: found 0 twice", "list.1.name: found aligned again"],
    );
    let project = with_sweep(SWEEP);
    project
        .run(&["sweep", "remedies.yaml", "--set", "seed=4"])
        .expect(2, &["--set seed=4", "list seeds under `seeds`"]);
    project
        .run(&["sweep", "remedys.yaml"])
        .expect(2, &["did you mean remedies.yaml?"]);
}

#[test]
fn a_signal_stops_the_whole_sweep_and_keeps_what_is_finished() {
    let forever = "{name: long, set: {train_autoencoder.steps: 100000000}}";
    let free = "{name: free, set: {train_autoencoder.regulariser: {kind: none}}}";
    let project = with_sweep(&SWEEP.replace(free, forever));
    let mut child = project.spawn(&["sweep", "remedies.yaml"]);
    let folder = project.path("artifacts/train-autoencoder");
    wait_until("third trial", || {
        assert_eq!(child.try_wait().unwrap(), None, "the sweep ended");
        let training = starting_with(&folder, ".tmp-").map(|t| t.join("metrics.parquet"));
        table(&project).contains("| aligned | 2 ") && training.is_some_and(|t| t.exists())
    });
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(table(&project).contains("| long    | 0 of 2 |"));
    // The trial was asked to stop, and its process is gone.
    let record =
        std::fs::read_to_string(project.path("artifacts/runs/remedies.long.seed0/run.json"));
    assert!(record.unwrap().contains("\"state\": \"stopped\""));
    assert_eq!(starting_with(&folder, ".tmp-"), None);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("sweep remedies.yaml"), "{said}");
}

#[test]
fn claims_pass_or_miss_and_a_miss_has_its_exit_code() {
    let checks = "\
checks:
  - {claim: counted, variant: free, figure: \"estimate-nll: test latents: points\", at_least: 20, at_most: 20}
  - {claim: nothing, variant: free, figure: \"estimate-nll: test latents: points\", minus: \"estimate-nll: test features: points\"}
";
    let miss = "  - {claim: too many, variant: free, figure: \"estimate-nll: test latents: points\", at_most: 7}
  - {claim: unheard of, variant: free, figure: \"estimate-nll: nothing\", at_most: 7}
";
    let project = with_sweep(&format!("{SWEEP}{checks}"));
    let pass = project.run(&["sweep", "remedies.yaml"]);
    pass.expect(0, &["| claim ", "| 20 to 20 | pass", "| shown"]);
    project.write("remedies.yaml", format!("{SWEEP}{checks}{miss}"));
    let missed = project.run(&["sweep", "remedies.yaml"]);
    missed.expect(
        3,
        &[
            "2 claims of the sweep do not hold",
            "too many",
            "MISS",
            "unheard of",
            "MISSING",
        ],
    );
    let table = project.path("artifacts/sweeps/remedies/table.md");
    assert!(
        std::fs::read_to_string(table)
            .unwrap()
            .contains("| too many")
    );
    let wrong = "checks:\n  - {claim: a, variant: fre, figure: \"x: y\"}\n";
    project.write("remedies.yaml", format!("{SWEEP}{wrong}"));
    let refused = project.run(&["sweep", "remedies.yaml"]);
    refused.expect(2, &["checks.0.variant: found fre"]);
}

/// Three seeds of two weights.
const SEEDS: &str = "\
name: seeds
base: tiny.yaml
set: {estimate_nll: null}
list:
  - {name: light, set: {train_autoencoder.regulariser.weight: 0.01}}
  - {name: heavy, set: {train_autoencoder.regulariser.weight: 10}}
seeds: [0, 1, 2]
columns: [\"train-autoencoder: held-out mean squared error\"]
objective: {figure: \"train-autoencoder: held-out mean squared error\"}
";

/// Which variant the table, the report, `best` and `ls sweeps` name.
fn winners(project: &Project) -> [String; 4] {
    project.run(&["show", "seeds"]).expect(0, &[]);
    let read = |name: &str| {
        std::fs::read_to_string(project.path(&format!("artifacts/sweeps/seeds/{name}"))).unwrap()
    };
    let (table, page) = (read("table.md"), read("report.html"));
    let of_table = table.split("best: ").nth(1).unwrap();
    let of_table = of_table.split(',').next().unwrap().to_owned();
    let verdicts = [" is best</p>", " has the best mean</p>"];
    let mut verdicts = verdicts
        .iter()
        .filter_map(|verdict| page.split_once(verdict));
    let (before, _) = verdicts.next().unwrap();
    let of_page = before.rsplit('>').next().unwrap().to_owned();
    let first = |arguments: &[&str], column: &str| {
        let outcome = project.run(&[arguments, &["--format", "json"]].concat());
        let rows: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        rows[0][column].as_str().unwrap().to_owned()
    };
    let run = first(&["list", "sweeps"], "best run");
    let run = run.split('.').nth(1).unwrap().to_owned();
    [
        of_table,
        of_page,
        first(&["show", "seeds", "--objective"], "variant"),
        run,
    ]
}

#[test]
fn a_variant_with_a_lost_seed_wins_nowhere_and_says_how_many_it_has() {
    let project = crate::tiny::project();
    project.write("seeds.yaml", SEEDS);
    project.run(&["sweep", "seeds.yaml"]).expect(0, &[]);
    let before = winners(&project);
    let best = before[0].clone();
    assert_eq!(before, [&best; 4].map(String::clone));
    let other = if best == "light" { "heavy" } else { "light" };
    let run = format!("artifacts/runs/seeds.{best}.seed1");
    // one seed without a number
    let manifest = project.path(&run).join("train-autoencoder/manifest.json");
    let whole = std::fs::read_to_string(&manifest).unwrap();
    crate::project::change_manifest(&manifest, |manifest| {
        manifest["figures"]["held-out mean squared error"] = "NaN".into();
    });
    assert_eq!(winners(&project), [other; 4].map(str::to_owned));
    let told = format!("{best} with 2 of 3 seeds");
    for name in ["table.md", "report.html"] {
        let file = project.path("artifacts/sweeps/seeds").join(name);
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            text.contains(&told) && text.contains("(2 of 3)"),
            "{name}: {text}"
        );
    }
    let counts = format!("`{best}` has a number for 2 of 3 seeds");
    project.run(&["show", "seeds", "--objective"]).expect(
        0,
        &[
            &counts,
            "held-out mean squared error` is NaN",
            "mean over seeds",
        ],
    );
    // one seed that failed
    std::fs::write(&manifest, whole).unwrap();
    assert_eq!(winners(&project), before);
    let record = project.path(&run).join("run.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let failed = text.replace("\"state\": \"finished\"", "\"state\": \"failed\"");
    assert_ne!(text, failed);
    std::fs::write(&record, failed).unwrap();
    assert_eq!(winners(&project), [other; 4].map(str::to_owned));
    project
        .run(&["show", "seeds", "--objective"])
        .expect(0, &[&counts]);
}
