//! `run --require`.

use crate::project::{Project, change_manifest};
use crate::tiny::project;

/// `tiny.yaml`, run, and then with these verdicts among the figures of estimate-nll: figures are
/// not verified.
pub fn with_verdicts(verdicts: &[(&str, &str)]) -> Project {
    let project = project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let path = "artifacts/runs/tiny/estimate-nll/manifest.json";
    change_manifest(&project.path(path), |manifest| {
        let figures = manifest["figures"].as_object_mut().unwrap();
        figures.retain(|name, _| !name.contains(", verdict ("));
        for (region, value) in verdicts {
            let name = format!("{region}, verdict (2 holds, 1 ranks only, 0 fails)");
            let number = value.parse::<f64>().ok().filter(|v| v.is_finite());
            figures.insert(name, number.map_or("NaN".into(), Into::into));
        }
    });
    project
}

#[test]
fn less_than_required_is_an_exit_code_of_its_own() {
    let project = with_verdicts(&[
        ("test features: uniform", "1.0"),
        ("test latents: uniform", "2.0"),
        ("test latents: likelihood", "0.0"),
        ("grid: uniform", "0.0"),
    ]);
    let run = |more: &[&str]| {
        let arguments: Vec<&str> = ["run", "tiny.yaml"].iter().chain(more).copied().collect();
        project.run(&arguments)
    };
    let plain = run(&[]);
    plain.expect(0, &["| uniform, verdict", "ranks only", "holds", "fails"]);
    assert!(!plain.stdout.contains("2 holds"), "{plain}");
    run(&["--require", "ranks"]).expect(0, &[]);
    let unmet = run(&["--require", "holds"]);
    unmet.expect(
        3,
        &[
            "# tiny",
            "--require holds: under the uniform weighting found test features: ranks only, test latents: holds",
        ],
    );
    run(&["--require", "holds", "--require-in", "test latents"]).expect(0, &[]);
    run(&["--require", "ranks", "--require-in", "grid"]).expect(
        3,
        &["--require ranks: under the uniform weighting found grid: fails"],
    );
    run(&["--require", "ranks", "--require-of", "likelihood"]).expect(
        3,
        &["under the likelihood weighting found test latents: fails"],
    );
    run(&["--require", "ranks", "--require-in", "gird"]).expect(
        2,
        &[
            "no verdict on `gird`",
            "`test features`",
            "did you mean `grid`?",
        ],
    );
}

#[test]
fn a_verdict_that_is_none_is_not_enough() {
    let project = with_verdicts(&[("test features: uniform", ".nan")]);
    project
        .run(&["run", "tiny.yaml", "--require", "ranks"])
        .expect(3, &["test features: no verdict"]);
}

#[test]
fn what_estimate_nll_says_can_be_required() {
    let project = project();
    let loose = project.run(&["run", "tiny.yaml", "--require", "ranks"]);
    assert!(matches!(loose.code, Some(0 | 3)), "{loose}");
    loose.expect(loose.code.unwrap(), &["| uniform, verdict"]);
}

#[test]
fn what_cannot_be_required_is_refused_before_anything_runs() {
    let project = project();
    project
        .run(&[
            "run",
            "tiny.yaml",
            "--set",
            "estimate_nll=null",
            "--require",
            "holds",
        ])
        .expect(2, &["--require", "`estimate_nll`"]);
    project
        .run(&["run", "tiny.yaml", "--require-in", "grid"])
        .expect(2, &["--require"]);
    project
        .run(&["run", "tiny.yaml", "--require", "fails"])
        .expect(2, &["holds", "ranks"]);
    assert!(!project.path("artifacts").exists());
}
