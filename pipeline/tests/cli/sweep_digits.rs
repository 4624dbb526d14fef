//! The shipped sweep over the alignment weight, on the digits: twelve trials give the same table undisturbed,
//! killed and restarted, and through Slurm.
//!
//! Short trainings by default; with `LATENT_ALIGN_FULL=1` those of the file (`make check-sweep`).

use crate::project::{Project, signal, wait_until};
use crate::slurm::Node;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SHORT: [&str; 4] = [
    "pretrain_flow.steps=20",
    "pretrain_flow.nll_points=8",
    "train_autoencoder.steps=20",
    "estimate_nll={points: 8, draws: 192, tolerance: 0.01, box_points: 0, gradient_points: 2, \
     check_points: 2}",
];

fn arguments(more: &[&str]) -> Vec<String> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let file = root.join("../configs/sweeps/weight.yaml");
    let mut arguments = vec!["sweep".to_owned(), file.to_string_lossy().into_owned()];
    arguments.extend(more.iter().map(|a| (*a).to_owned()));
    if std::env::var_os("LATENT_ALIGN_FULL").is_none() {
        arguments.extend(
            SHORT
                .iter()
                .flat_map(|s| ["--set".to_owned(), (*s).to_owned()]),
        );
    }
    arguments
}

fn table(project: &Project) -> String {
    let file = project.path("artifacts/sweeps/weight/table.md");
    std::fs::read_to_string(file).unwrap()
}

fn expect_twelve(project: &Project) {
    assert_eq!(project.entries("artifacts/pretrain-flow").len(), 1);
    assert_eq!(project.entries("artifacts/train-autoencoder").len(), 12);
    assert_eq!(project.entries("artifacts/estimate-nll").len(), 12);
}

#[test]
fn twelve_weights_give_one_table_however_they_are_run() {
    let words = arguments(&["--jobs", "2"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let undisturbed = Project::new();
    let started = Instant::now();
    undisturbed
        .run(&words)
        .expect(0, &["12 to run", "(12 of 12)"]);
    let whole = started.elapsed();
    expect_twelve(&undisturbed);

    // A moment somewhere in the middle, another one in each run of this test.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let share = 0.1 + 0.8 * f64::from(now.subsec_micros()) / 1e6;
    let moment = Duration::from_secs_f64(share * whole.as_secs_f64());
    let killed = Project::new();
    let mut child = killed.spawn(&words);
    std::thread::sleep(moment);
    signal(&child, "KILL");
    child.wait().unwrap();
    wait_until("end of the trials", || {
        let runs = killed.entries("artifacts/runs");
        let mark = |run: &String| {
            killed
                .path(&format!("artifacts/runs/{run}/.running"))
                .exists()
        };
        !runs.iter().any(mark)
    });
    let again = killed.run(&words);
    again.expect(0, &["12 trials are finished already"]);
    expect_twelve(&killed);
    assert_eq!(
        table(&killed),
        table(&undisturbed),
        "killed after {moment:?} of {whole:?}"
    );

    let Some(node) = Node::start() else { return };
    let words = arguments(&["--launcher", "slurm", "--wait"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let project = Project::new();
    let (code, said) = node.run(&project, &words);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("12 submitted as job array"), "{said}");
    expect_twelve(&project);
    assert_eq!(table(&project), table(&undisturbed));
}
