//! Sequences of tokens: fitting models, and commands that apply them.

use crate::project::Project;
use hdf5::File;

/// A small model of each kind.
const MODELS: [&str; 3] = [
    "{kind: seqflow, blocks: 1, couplings: 2, hidden: 8, context: {kind: lstm, width: 8}, embedding: {width: 4}}",
    "{kind: gumbel_max, embedding: 4, width: 8, layers: 1}",
    "{kind: sequence_vae, latent: 4, embedding: 4, width: 8}",
];

/// 60 sequences of one to six of three letters.
pub fn lines() -> Vec<String> {
    let letter = |i: usize| ["a", "b", "ü"][i % 3];
    let line = |i: usize| -> String {
        let letters = (0..1 + i as u32 % 6).map(|j| letter(i / 3usize.pow(j)));
        letters.collect()
    };
    (0..60).map(line).collect()
}

/// An experiment `lines` of a `model` of these.
pub fn project(model: &str) -> Project {
    let project = Project::new();
    project.write("lines.txt", lines().join("\n"));
    let config = format!(
        "name: lines\npretrain_flow:\n  features: {{file: lines.txt, tokeniser: {{kind: characters}}, longest: 7}}\n  \
         model: {model}\n  steps: 20\n  batch: 8\n  samples: 30\n  held_out: {{fraction: 0.2}}\n  test: {{fraction: 0.2}}\n"
    );
    project.write("lines.yaml", config);
    project
}

/// Fails if a command takes a run of sequences for one of numbers, rows are mixed up, or latents of a flow do not
/// decode to their texts.
#[test]
fn text_goes_to_latents_and_back_and_is_drawn_and_scored() {
    for model in MODELS {
        let project = project(model);
        let run = project.run(&["run", "lines.yaml"]);
        run.expect(0, &["test NLL of sequences, upper bound (nats a token)"]);
        let exact = !model.contains("sequence_vae");
        if exact {
            assert_eq!(run.figure("test share decoded exactly "), 1.0);
        }
        let folder = project.path("artifacts/runs/lines/pretrain-flow");
        let scan = std::fs::read_to_string(folder.join("scan.json")).unwrap();
        assert!(
            scan.contains("\"ü\"") && scan.contains("duplicates"),
            "{scan}"
        );

        let encode = ["encode", "lines", "lines.txt", "--out", "z.h5"];
        project.run(&encode).expect(0, &["/latents [60, "]);
        let latents = File::open(project.path("z.h5")).unwrap();
        assert_eq!(latents.dataset("latents").unwrap().shape()[0], 60);
        drop(latents);
        let decode = ["decode", "lines", "z.h5", "--out", "back.txt"];
        project.run(&decode).expect(0, &["60 decoded sequences"]);
        let back = std::fs::read_to_string(project.path("back.txt")).unwrap();
        let back: Vec<&str> = back.lines().collect();
        assert_eq!(back.len(), 60);
        if exact {
            assert_eq!(back, lines());
        }
        let sample = ["sample", "lines", "--count", "9", "--out", "drawn.txt"];
        project.run(&sample).expect(0, &["9 sampled sequences"]);
        let drawn = std::fs::read_to_string(project.path("drawn.txt")).unwrap();
        assert_eq!(drawn.lines().count(), 9);
        assert!(drawn.chars().all(|c| "abü\n".contains(c)), "{drawn}");
        let score = ["score", "lines", "lines.txt", "--out", "scores.parquet"];
        let scored = project.run(&score);
        scored.expect(0, &["all sequences", "NLL of sequences, upper bound"]);
    }
}

#[test]
fn what_is_no_sequence_of_the_models_is_refused_with_its_place() {
    let project = project(MODELS[0]);
    project.run(&["run", "lines.yaml"]).expect(0, &[]);
    project.write("other.txt", "ab\nabc\n");
    let encode = ["encode", "lines", "other.txt", "--out", "z.h5"];
    let told = ["other.txt:2:3: found the token `c`", "`a` `b` `ü`"];
    project.run(&encode).expect(2, &told);
    let grid = [
        "decode",
        "lines",
        "other.txt",
        "--grid",
        "2x2",
        "--out",
        "x",
    ];
    project
        .run(&grid)
        .expect(2, &["--grid", "model is of sequences"]);
    let run = |set: &str| project.run(&["run", "lines.yaml", "--set", set]);
    for (set, told) in [
        (
            "pretrain_flow.noise={kind: uniform}",
            "pretrain_flow.noise: found noise with",
        ),
        (
            "pretrain_flow.rows=sequences",
            "pretrain_flow.rows: found a view of rows",
        ),
        (
            "pretrain_flow.model={kind: normal}",
            "pretrain_flow.model.kind: found `normal`",
        ),
        (
            "pretrain_flow.features.longest=4",
            "lines.txt:5:5: found 5 tokens",
        ),
        (
            "pretrain_flow.features.tokeniser={kind: brackets}",
            "lines.txt:1:1: found `a`",
        ),
        (
            "pretrain_flow.features.tokeniser={kind: pattern, pattern: 'a|b'}",
            "lines.txt:3:1: found `üaa`, expected a match of the pattern `a|b`",
        ),
        (
            "pretrain_flow.features.tokeniser={kind: pattern, pattern: 'a('}",
            "tokeniser: found the pattern `a(` (unclosed group)",
        ),
        ("estimate_nll={}", "estimate_nll: found a section"),
    ] {
        run(set).expect(2, &[told]);
    }
}
