//! `report`: written at the end of a run and on request, from any state.

use crate::project::{Project, skipped};
use crate::tiny::{CONFIG, project};
use std::path::PathBuf;

fn ran() -> Project {
    let project = project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    project
}

fn report(project: &Project) -> String {
    std::fs::read_to_string(project.path("artifacts/runs/tiny/report.html")).unwrap()
}

/// The artifact that `stage` of the run leads to.
fn artifact(project: &Project, stage: &str) -> PathBuf {
    let link = project.path("artifacts/runs/tiny").join(stage);
    link.canonicalize().unwrap()
}

#[test]
fn a_report_says_what_was_run_and_from_what() {
    let project = ran();
    let page = report(&project);
    for part in [
        "<h1>tiny <span class=\"chip good\">finished</span></h1>",
        "Distinguished from features",
        "Latents against the target",
        "Alignment or collapse?",
        "Every figure",
        "Lineage: the artifacts that each stage read",
        // settings that differ from the defaults, with the defaults
        "<td><code>train_autoencoder.steps</code></td><td><code>20</code></td><td><code>2000</code></td>",
        "vectors.h5",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    for stage in ["pretrain-flow", "train-autoencoder", "estimate-nll"] {
        let artifact = artifact(&project, stage);
        let fingerprint = artifact.file_name().unwrap().to_string_lossy();
        assert!(
            page.contains(&format!("<code>{fingerprint}</code>")),
            "{stage}"
        );
    }
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    // the same run gives the same report, bit for bit
    std::fs::remove_file(project.path("artifacts/runs/tiny/report.html")).unwrap();
    let again = project.run(&["report", "tiny"]);
    assert_eq!(
        again.expect(0, &[]).stdout,
        "artifacts/runs/tiny/report.html\n"
    );
    assert_eq!(report(&project), page);
    project
        .run(&["report", "artifacts/runs/tiny/"])
        .expect(0, &["runs/tiny/report.html"]);
}

/// The shipped experiment with as many points in its figures, but with little training.
#[test]
fn the_report_of_a_digits_run_is_small_and_shows_pictures() {
    let project = Project::new();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/digits.yaml");
    let settings = [
        "pretrain_flow.steps=2",
        "pretrain_flow.model.network.width=16",
        "pretrain_flow.model.network.blocks=1",
        "pretrain_flow.nll_points=8",
        "pretrain_flow.evaluation_points=64",
        "train_autoencoder.steps=2",
        "estimate_nll.unaligned=null",
        "estimate_nll.draws=192",
        "estimate_nll.tolerance=0.1",
        "estimate_nll.gradient_points=2",
        "estimate_nll.check_points=2",
    ];
    let mut arguments = vec!["-q", "run", config];
    for setting in &settings {
        arguments.extend(["--set", setting]);
    }
    project.run(&arguments).expect(0, &[]);
    let file = project.path("artifacts/runs/digits/report.html");
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.contains("<img alt=\"Originals that were not trained on, each above its reconstruction.\" src=\"data:image/png;base64,"));
    // if there is a picture, values are not drawn as dots
    assert!(!page.contains("id=\"figure-reconstructions\""));
}

#[test]
fn nothing_loads_anything() {
    let project = ran();
    let page = report(&project);
    for part in [
        "<link",
        "<iframe",
        "@import",
        " src=\"http",
        "src=\"/",
        "fetch(",
        "XMLHttpRequest",
    ] {
        assert!(!page.contains(part), "{part}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn what_a_configuration_says_does_not_become_markup() {
    let evil = "x\"><script>alert(1)</script><img src=x onerror='alert(2)'>.h5";
    let project = project();
    let config = CONFIG.replace(
        "vectors.h5, dataset: vectors",
        "'EVIL', dataset: \"<b>&amp;\"",
    );
    let name = evil.replace('/', "%");
    project.write(
        "tiny.yaml",
        config.replace("EVIL", &name.replace('\'', "''")),
    );
    project.write_features(&name, "<b>&amp;", 200, 4, crate::tiny::noise);
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let page = report(&project);
    assert_eq!(page.matches("<script").count(), 1, "only its own");
    assert!(!page.contains("<img src=x") && !page.contains("<b>&amp;"));
    let page = page
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&");
    assert!(page.contains("<script>alert(1)") && page.contains("<b>&amp;"));
}

#[test]
fn what_is_damaged_is_a_note_and_the_rest_is_there() {
    let project = ran();
    let cut = |file: PathBuf| {
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    };
    cut(artifact(&project, "train-autoencoder").join("latents.h5"));
    cut(artifact(&project, "estimate-nll").join("points.parquet"));
    project.run(&["report", "tiny"]).expect(0, &["report.html"]);
    let page = report(&project);
    for part in [
        "<p class=\"note\">The figure of the first dimensions of latents",
        "<p class=\"note\">The figure of how well the alignment losses follow the NLL",
        "id=\"figure-learning-curves\"",
        "id=\"figure-variances\"",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    cut(artifact(&project, "train-autoencoder").join("manifest.json"));
    std::fs::write(project.path("artifacts/runs/tiny/run.json"), "{").unwrap();
    std::fs::write(project.path("artifacts/runs/tiny/config.yaml"), "name: [").unwrap();
    project.run(&["report", "tiny"]).expect(0, &["report.html"]);
    let page = report(&project);
    for part in [
        "<b>damaged</b> train-autoencoder: manifest.json",
        "run.json: does not parse",
        "config.yaml",
        "id=\"figure-timings\"",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
}

#[test]
fn a_failed_run_has_a_report_that_says_why() {
    let project = project();
    let failed = project.run(&[
        "run",
        "tiny.yaml",
        "--set",
        "train_autoencoder.latent.width=3",
    ]);
    assert_ne!(failed.code, Some(0), "{failed}");
    let page = report(&project);
    for part in [
        "This run failed",
        "expected 2, the width of the flow",
        "chip bad\">failed<",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
}

#[test]
fn figures_are_png_files_where_asked_for() {
    let project = ran();
    let written = project.run(&["report", "tiny", "--png"]);
    if written.stderr.contains("this machine has no fonts") {
        skipped("no fonts are installed");
        return;
    }
    written.expect(0, &["runs/tiny/surrogate.png", "runs/tiny/marginals.png"]);
    assert!(
        written
            .stdout
            .ends_with("artifacts/runs/tiny/report.html\n"),
        "{written}"
    );
    let file = std::fs::File::open(project.path("artifacts/runs/tiny/timings.png")).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(file))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let blue = pixels
        .chunks(4)
        .filter(|p| **p == [0x00, 0x72, 0xb2, 0xff])
        .count();
    let ink = pixels
        .chunks(4)
        .filter(|p| **p == [0x1f, 0x23, 0x28, 0xff])
        .count();
    assert!(
        blue > 1000 && ink > 100,
        "{blue} pixels of bars, {ink} of letters"
    );
}

#[test]
fn a_name_that_is_nothing_is_wrong_input_with_the_nearest() {
    let project = ran();
    let unknown = project.run(&["report", "tinny"]);
    unknown.expect(2, &["tinny: no run, sweep", "did you mean `tiny`?"]);
}

#[test]
fn a_short_training_without_a_regulariser_is_undertrained_and_not_collapsed() {
    let project = project();
    // enough test rows for the energy test
    let more = [
        "--set",
        "pretrain_flow.test.fraction=0.4",
        "--set",
        "train_autoencoder.test.fraction=0.4",
    ];
    let none = "train_autoencoder.regulariser={kind: none}";
    let ran = project.run(&[&["run", "tiny.yaml", "--set", none], &more[..]].concat());
    ran.expect(0, &["undertrained, the reconstruction explains"]);
    let page = report(&project);
    for text in [&ran.stdout, &page] {
        for word in [
            "collapse onto modes",
            "contracted",
            "regulariser.weight",
            "collapsed onto",
        ] {
            assert!(!text.contains(word), "{word}");
        }
    }
    assert!(page.contains("The autoencoder is undertrained"));
    assert!(
        !artifact(&project, "train-autoencoder")
            .join("initial_latents.h5")
            .exists()
    );
    // with one, latents before training are kept for comparison
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["fall of the alignment loss since before training"]);
    assert!(
        artifact(&project, "train-autoencoder")
            .join("initial_latents.h5")
            .exists()
    );
}
