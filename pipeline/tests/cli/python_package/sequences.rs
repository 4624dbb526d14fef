//! Flows over sequences in the Python package.

use super::{agrees, given, printed, pytorch};
use crate::documents::{current, root};
use crate::project::Project;
use crate::sequences::{lines, project};
use polars::prelude::{ParquetReader, SerReader as _};
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// Fails if the package tokenises a text differently from this program, adds other noise to its tokens, reads
/// them with noise, has another recurrence or attention, another order of numbers in a token, or another root of
/// the cubic.
#[test]
fn the_package_carries_sequences_to_the_latents_of_this_program_and_back() {
    let Some(python) = pytorch() else { return };
    for (name, context, tokeniser) in [
        ("lstm", "{kind: lstm, width: 8, layers: 2}", "characters"),
        (
            "transformer",
            "{kind: transformer, width: 8, head_width: 4}",
            "pattern, pattern: 'ab|.'",
        ),
    ] {
        let project = applied(
            &format!(
                "{{kind: seqflow, blocks: 2, couplings: 3, hidden: 8, context: {context}, embedding: {{width: 5}}}}"
            ),
            name,
            tokeniser,
        );
        agrees(&python, &project, "sequences", name, 3);
        if name == "lstm" {
            shown(&python, &project, name);
        }
    }
}

/// Fails if the package draws other exponential numbers, runs another race of tokens, or counts tokens after the
/// end.
#[test]
fn the_package_runs_the_races_of_this_program() {
    let Some(python) = pytorch() else { return };
    let model = "{kind: gumbel_max, embedding: 5, width: 8, layers: 2}";
    let project = applied(model, "races", "characters");
    agrees(&python, &project, "races", "races", 2);
}

/// A run `name` of `model`, whose lines were encoded and scored by this program.
fn applied(model: &str, name: &str, tokeniser: &str) -> Project {
    let project = project(model);
    let tokeniser = format!("pretrain_flow.features.tokeniser={{kind: {tokeniser}}}");
    let name_set = format!("name={name}");
    let run = ["run", "lines.yaml", "--set", &name_set, "--set", &tokeniser];
    project.run(&run).expect(0, &[]);
    let encode = ["encode", name, "lines.txt", "--out", "encoded.h5"];
    project.run(&encode).expect(0, &[]);
    let score = ["score", name, "lines.txt", "--out", "scores.parquet"];
    project.run(&score).expect(0, &[]);
    project.write_dataset(&given(name), "bound", &[lines().len()], &bounds(&project));
    project
}

/// The lines of the documentation on the run `name`.
fn shown(python: &Path, project: &Project, name: &str) {
    let documents = current();
    let page = documents.iter().find(|d| d.name() == "docs/python.md");
    let blocks = page.expect("docs/python.md").blocks();
    let block = (blocks.iter()).find(|b| b.language == "python" && b.code.contains(".sequences"));
    let lines = block
        .expect("a block of sequences")
        .code
        .replace("runs/expressions", &format!("runs/{name}"));
    let code = format!("texts = ['ab', 'bü']\n{lines}\nprint(tokens.shape, scored.values.shape)");
    let mut command = Command::new(python);
    command
        .args(["-c", &code])
        .current_dir(project.path(""))
        .env("PYTHONPATH", root().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("OMP_NUM_THREADS", "1");
    assert_eq!(
        printed(&mut command),
        "torch.Size([2, 7]) torch.Size([2])\n"
    );
}

fn bounds(project: &Project) -> Vec<f64> {
    let file = File::open(project.path("scores.parquet")).unwrap();
    let frame = ParquetReader::new(file).finish().unwrap();
    let bounds = frame.column("nll_bound").unwrap().f64().unwrap().clone();
    bounds.iter().map(|bound| bound.unwrap()).collect()
}
