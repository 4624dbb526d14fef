//! Molecules: SMILES as sequences, GuacaMol's objectives as a program, and a search with them.

use crate::documents::root;
use crate::project::{Project, output, skipped};
use crate::python::probed;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that names the Python of `make molecules`, for the tests and for what scores.
const PYTHON: &str = "LATENT_ALIGN_MOLECULES_PYTHON";

/// Python with RDKit, SELFIES and GuacaMol, or `None` with the reason said.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os(PYTHON).filter(|name| !name.is_empty());
    let python = PathBuf::from(named.unwrap_or("python3".into()));
    let cannot = "cannot import guacamol, rdkit and selfies; `make molecules` installs them";
    let probe = "import guacamol, rdkit, selfies";
    probed(python, probe, cannot, "LATENT_ALIGN_REQUIRE_MOLECULES")
}

fn script(name: &str) -> PathBuf {
    root().join("pipeline/scripts").join(name)
}

/// Converts `smiles` with the script into the file `name` of the project; returns its output.
fn written(project: &Project, python: &Path, smiles: &[&str], name: &str, more: &[&str]) -> String {
    project.write("given.smiles", smiles.join("\n"));
    let count = smiles.len().to_string();
    let mut command = Command::new(python);
    command
        .arg(script("molecules.py"))
        .arg("--smiles")
        .arg(project.path("given.smiles"))
        .arg("--out")
        .arg(project.path(name))
        .args(["--count", &count])
        .args(more);
    let done = output(&mut command).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&done.stdout) + &text(&done.stderr)
}

const TADALAFIL: &str = "O=C1N(CC(N2C1CC3=C(C2C4=CC5=C(OCO5)C=C4)NC6=C3C=CC=C6)=O)C";
const SILDENAFIL: &str = "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C";
const OTHERS: [&str; 6] = [
    "CC(=O)OC1=CC=CC=C1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "CC(C)CC1=CC=C(C=C1)C(C)C(=O)O",
    "CC(=O)NC1=CC=C(C=C1)O",
    "CN1CCC[C@H]1C1=CN=CC=C1",
    "CCN(CC)CC(=O)NC1=C(C)C=CC=C1C",
];

/// The median of two molecules has equal similarity to both: the square root of their similarity. Fails if SELFIES
/// lose a bond, the task is wrong, or an invalid molecule has a score.
#[test]
fn molecules_are_scored_by_guacamol_from_their_selfies() {
    let Some(python) = python() else { return };
    let project = Project::new();
    let two = [TADALAFIL, SILDENAFIL];
    let told = written(&project, &python, &two, "two.txt", &[]);
    assert!(told.contains("2 molecules of given.smiles"), "{told}");
    let lines = std::fs::read_to_string(project.path("two.txt")).unwrap() + "[C\n[nop]\n";
    assert!(lines.starts_with('['), "{lines}");
    project.write("lines.txt", &lines);
    let scores = |task: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec python3 \"$@\" < lines.txt", "sh"])
            .arg(script("score_molecules.py"))
            .args(["--task", task])
            .env(PYTHON, &python)
            .current_dir(project.path(""));
        let done = output(&mut command).unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(
            done.status.success(),
            "{:?}",
            String::from_utf8(done.stderr)
        );
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let median = scores("median_molecules_2");
    assert_eq!(median[2..], ["infeasible", "infeasible"]);
    assert_eq!(median[0], median[1]);
    let similarity = median[0].parse::<f64>().unwrap();
    assert!((similarity - 0.3624).abs() < 1e-3, "{similarity}");
    // neither is like amlodipine and has three rings
    let amlodipine = scores("amlodipine_mpo");
    assert!(
        amlodipine[0].parse::<f64>().unwrap() < 0.1,
        "{amlodipine:?}"
    );

    let told = written(&project, &python, &two, "few.txt", &["--longest", "9"]);
    let expected = "found 0 different molecules of at most 9 tokens in 2 lines, expected 2";
    assert!(told.contains(expected), "{told}");
    assert!(!project.path("few.txt").exists());
}

/// Fails if a molecule keeps its original notation, or tokens after its end.
#[test]
fn a_molecule_is_written_in_one_way() {
    let Some(python) = python() else { return };
    let project = Project::new();
    // ethanol from either end, and with a token behind its end; no molecule
    project.write(
        "lines.txt",
        "[C][C][O]\n[O][C][C]\n[F][C]\n[F][C][nop]\n[C\n",
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec python3 \"$@\" < lines.txt", "sh"])
        .arg(script("score_molecules.py"))
        .arg("--canonical")
        .env(PYTHON, &python)
        .current_dir(project.path(""));
    let done = output(&mut command).unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, ["[C][C][O]", "[C][C][O]", "[C][F]", "[C][F]", ""]);
}

/// The shipped search, of a few calls: one process scores all, and children of the genetic algorithm are molecules.
#[test]
fn the_shipped_search_over_molecules_runs() {
    let Some(python) = python() else { return };
    let project = Project::new();
    written(&project, &python, &OTHERS, "molecules.txt", &[]);
    let config = root().join("configs/optimise/molecules.yaml");
    let file = project.path("molecules.txt").display().to_string();
    let mut command = project.command(&["run", config.to_str().unwrap(), "-v"]);
    command
        .args(["--set", &format!("optimise_latents.initial.file={file}")])
        .args(["--set", "optimise_latents.initial.count=6"])
        .args(["--set", "optimise_latents.calls=20"])
        .env(PYTHON, &python);
    let done = crate::project::Outcome::of(output(&mut command).unwrap());
    assert_eq!(done.figure("calls of the objective"), 20.0, "{done}");
    let best = done.figure("best score");
    assert!(
        best >= done.figure("best score of the start") && best < 0.4,
        "{done}"
    );
    assert!(done.figure("infeasible share of calls") < 0.5, "{done}");
}

/// Needs nothing installed: without the environment or the file, the message gives the command.
#[test]
fn what_is_missing_for_molecules_is_told_with_the_command_that_installs_it() {
    let project = Project::new();
    let probe = output(Command::new("python3").args(["-c", "import rdkit, guacamol, selfies"]));
    if probe.is_ok_and(|p| p.status.success()) {
        skipped("the Python of this machine has all that molecules need");
        return;
    }
    std::fs::create_dir(project.path("data")).unwrap();
    project.write("data/molecules.txt", "[C]\n[N]\n");
    let config = std::fs::read_to_string(root().join("configs/optimise/molecules.yaml")).unwrap();
    let config = config
        .replace("../../pipeline/scripts", &script("").display().to_string())
        .replace("../data", "data")
        .replace("count: 100", "count: 2")
        .replace("keep_running", "retries: 0\n    keep_running");
    project.write("molecules.yaml", config);
    let run = |project: &Project| {
        let mut command = project.command(&["run", "molecules.yaml"]);
        command.env(PYTHON, project.path("no-such-python"));
        crate::project::Outcome::of(output(&mut command).unwrap())
    };
    run(&project).expect(2, &["lacks guacamol", "Type: make molecules"]);
    std::fs::remove_file(project.path("data/molecules.txt")).unwrap();
    let told = [
        "optimise_latents.initial.file",
        "create it with: make molecules",
    ];
    run(&project).expect(2, &told);
}
