//! `sweep`: axes, halving, and objectives.

use crate::project::Project;
use crate::tiny::project;

/// Trials without likelihoods, which take most of the time.
const GRID: &str = "\
name: weights
base: tiny.yaml
list:
  - {name: t, set: {estimate_nll: null}}
grid:
  train_autoencoder.regulariser.weight: [0.1, 1.0e-4]
columns: [\"train-autoencoder: held-out mean squared error\"]
";

fn with(text: &str) -> Project {
    let project = project();
    project.write("weights.yaml", text);
    project
}

fn runs(project: &Project) -> Vec<String> {
    project.entries("artifacts/runs")
}

/// Everything in the folder of a run that is not a link, by name.
fn contents(project: &Project, run: &str) -> Vec<(String, Vec<u8>)> {
    let folder = format!("artifacts/runs/{run}");
    let files = project.entries(&folder).into_iter();
    let files = files.filter_map(|name| {
        let bytes = std::fs::read(project.path(&format!("{folder}/{name}"))).ok()?;
        Some((name, bytes))
    });
    files.collect()
}

#[test]
fn an_axis_that_gains_values_adds_trials_and_leaves_the_others() {
    let project = with(GRID);
    project
        .run(&["sweep", "weights.yaml"])
        .expect(0, &["| t.weight-0.1  | 1 ", "| t.weight-1e-4 | 1 "]);
    let names = ["weights.t.weight-0.1.seed0", "weights.t.weight-1e-4.seed0"];
    assert_eq!(runs(&project), names);
    let before = names.map(|run| contents(&project, run));
    project.write("weights.yaml", GRID.replace("1.0e-4]", "1.0e-4, 3]"));
    project.run(&["sweep", "weights.yaml"]).expect(
        0,
        &[
            "2 of 3 trials are finished already, 1 to run",
            "| t.weight-3 ",
        ],
    );
    assert_eq!(names.map(|run| contents(&project, run)), before);
    assert_eq!(runs(&project).len(), 3);
    assert_eq!(project.entries("artifacts/pretrain-flow").len(), 1);
}

#[test]
fn a_sweep_whose_experiment_changed_keeps_what_it_found_before() {
    let project = with(GRID);
    project.run(&["sweep", "weights.yaml"]).expect(0, &[]);
    let before = contents(&project, "weights.t.weight-0.1.seed0");
    let steps = [
        "sweep",
        "weights.yaml",
        "--set",
        "train_autoencoder.steps=21",
    ];
    project
        .run(&steps)
        .expect(0, &["0 of 2 trials are finished already"]);
    let names = runs(&project);
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(names[1], "weights.t.weight-0.1.seed0@1");
    assert_eq!(contents(&project, &names[1]), before);
}

#[test]
fn random_draws_stay_when_there_are_more_of_them() {
    let random = "name: weights\nbase: tiny.yaml\nrandom:\n  count: 2\n  axes:\n    \
                  train_autoencoder.regulariser.weight: {log_uniform: [1.0e-5, 1.0e-1]}\n";
    let project = with(random);
    let swept = project.run(&["sweep", "weights.yaml", "--set", "estimate_nll=null"]);
    swept.expect(
        0,
        &["train_autoencoder.regulariser.weight", "draw0", "draw1"],
    );
    let names = ["weights.draw0.seed0", "weights.draw1.seed0"];
    assert_eq!(runs(&project), names);
    let before = names.map(|run| contents(&project, run));
    project.write("weights.yaml", random.replace("count: 2", "count: 3"));
    let swept = project.run(&["sweep", "weights.yaml", "--set", "estimate_nll=null"]);
    swept.expect(0, &["2 of 3 trials are finished already, 1 to run"]);
    assert_eq!(names.map(|run| contents(&project, run)), before);
}

#[test]
fn halving_stops_the_hopeless_and_trains_the_rest_in_full() {
    let budget = "\
budget:
  metric: \"train-autoencoder: held-out mean squared error\"
  rungs: [5, 10]
  keep: 0.5
";
    let grid = GRID.replace("weight: [0.1, 1.0e-4]", "weight: [1.0e-4, 0.1, 1, 100000]");
    let project = with(&format!("{grid}{budget}"));
    let planned = project.run(&["sweep", "weights.yaml", "--dry-run"]);
    planned.expect(
        0,
        &[
            "weights: 0 of 4 trials are finished already, 4 to run",
            "rungs of 5, 10 steps with up to 8 short trials",
            "weights.t.weight-0.1.seed0   train-autoencoder",
            "Nothing was run or written.",
        ],
    );
    // the flow is computed by the first trial and shared by the three others
    let counted = |text: &str| planned.stdout.matches(text).count();
    assert_eq!(
        counted("pretrain-flow, train-autoencoder  -"),
        1,
        "{planned}"
    );
    assert_eq!(counted("pretrain-flow\n"), 3, "{planned}");
    assert!(!project.path("artifacts/runs").exists(), "{planned}");
    let swept = project.run(&["sweep", "weights.yaml"]);
    swept.expect(
        0,
        &[
            "rung 5: 2 of 4 variants continue: ",
            "rung 10: 1 of 2 variants continue: ",
            "dropped",
        ],
    );
    let dropped = |rung| {
        let line = format!("dropped at {rung}: train-autoencoder: held-out mean squared error 0.");
        swept.stdout.matches(&line).count()
    };
    assert_eq!((dropped(5), dropped(10)), (2, 1), "{swept}");
    // 4 on the first rung, 2 on the second, 1 in full.
    assert_eq!(project.entries("artifacts/train-autoencoder").len(), 7);
    let whole: Vec<String> = runs(&project);
    let whole: Vec<&String> = whole.iter().filter(|r| !r.contains(".rung")).collect();
    assert_eq!(whole.len(), 1);
    let again = project.run(&["sweep", "weights.yaml"]);
    again.expect(0, &["1 of 1 trials are finished already, 0 to run"]);
    let end = |text: &str| text[text.find("# weights\n").unwrap()..].to_owned();
    assert_eq!(end(&swept.stdout), end(&again.stdout));
    // the metric of the budget ranks what is left, and rungs are not listed among results
    let best = project.run(&["show", "weights", "--objective"]);
    best.expect(0, &[whole[0].as_str(), "left out: "]);
    let listed = project.run(&["list"]);
    listed.expect(
        0,
        &[
            whole[0].as_str(),
            "(6 runs of rungs of sweeps; --all shows them)",
        ],
    );
    assert!(!listed.stdout.contains(".rung5"), "{listed}");
    project.run(&["list", "--all"]).expect(0, &[".rung5"]);

    let long = budget.replace("[5, 10]", "[5, 20]");
    project.write("weights.yaml", format!("{grid}{long}"));
    let refused = project.run(&["sweep", "weights.yaml"]);
    refused.expect(
        2,
        &["rungs: found 20, expected less than the experiment's train_autoencoder.steps of 20"],
    );
}

#[test]
fn the_best_is_sought_among_those_that_meet_the_constraints() {
    let figure = "train-autoencoder: held-out mean squared error";
    let grid = GRID.replace("regulariser.weight: [0.1, 1.0e-4]", "steps: [3, 4, 5]");
    let worst = format!("{grid}objective: {{figure: \"{figure}\", direction: maximise}}\n");
    let project = with(&worst);
    let best = format!("best: t.steps-3, {figure} 0.");
    project.run(&["sweep", "weights.yaml"]).expect(0, &[&best]);
    let bound = format!("constraints: [{{figure: \"{figure}\", at_most: 1.0e-9}}]\n");
    project.write("weights.yaml", worst + &bound);
    let best = "best: none; none of 3 variants meets the constraints";
    project.run(&["sweep", "weights.yaml"]).expect(0, &[best]);
}

#[test]
fn wrong_axes_are_refused() {
    for (from, to, parts) in [
        (
            "[0.1, 1.0e-4]",
            "[]",
            &["grid.train_autoencoder.regulariser.weight: found []"][..],
        ),
        ("[0.1, 1.0e-4]", "[0.1, 0.1]", &["found 0.1 twice"]),
        ("[0.1, 1.0e-4]", "0.1", &["weights.yaml:6:"]),
        (
            "[0.1, 1.0e-4]",
            "[0.1, -1]",
            &["variant `t.weight--1`", "weight: found -1"],
        ),
        (
            "estimate_nll: null",
            "train_autoencoder.regulariser.weight: 1",
            &["a key that grid sets too"],
        ),
        ("grid:", "gird:", &["did you mean `grid`?"]),
        (
            "grid:",
            "random: {count: 1, axes: {a.b: {uniform: [2, 1]}}}\ngrid:",
            &["random.axes.a.b: found [2, 1]", "the lesser first"],
        ),
        (
            "grid:",
            "budget: {metric: loss, rungs: [3, 2], keep: 1}\ngrid:",
            &["3 problems", "budget.metric", "budget.rungs", "budget.keep"],
        ),
        (
            "grid:",
            "constraints: [{figure: a}]\ngrid:",
            &["constraints.0: found no bound"],
        ),
    ] {
        let project = with(&GRID.replace(from, to));
        project.run(&["sweep", "weights.yaml"]).expect(2, parts);
        assert_eq!(project.entries("artifacts/runs").len(), 0);
    }
}
