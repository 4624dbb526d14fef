//! `sweep --launcher slurm`, on a real Slurm of one node.

use crate::project::{Project, output, skipped, start, wait_until};
use crate::tiny::project;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A Slurm of one node, stopped when dropped.
pub struct Node {
    dir: TempDir,
}

fn script() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../.ci/slurm-node")
}

impl Node {
    /// Starts it; none, and a reason, where Slurm is not installed.
    pub fn start() -> Option<Self> {
        let installed = |program: &str| {
            let places = ["/usr/sbin", "/usr/bin", "/sbin", "/usr/local/sbin"];
            places.iter().any(|p| Path::new(p).join(program).exists())
        };
        if !["slurmctld", "slurmd", "munged", "sbatch"]
            .into_iter()
            .all(installed)
        {
            let required = std::env::var_os("LATENT_ALIGN_REQUIRE_SLURM").is_some();
            assert!(
                !required,
                "Slurm is not installed: apt-get install slurmctld slurmd slurm-client munge"
            );
            skipped("Slurm is not installed (Debian: slurmctld slurmd slurm-client munge)");
            return None;
        }
        let node = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let output = node.script("start");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(node)
    }

    /// The daemons that it starts keep no pipe of ours open.
    fn script(&self, verb: &str) -> std::process::Output {
        let errors = self.dir.path().join("script.log");
        let file = std::fs::File::create(&errors).unwrap();
        let mut command = Command::new(script());
        command
            .arg(verb)
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        std::process::Output {
            status: start(&mut command).unwrap().wait().unwrap(),
            stdout: Vec::new(),
            stderr: std::fs::read(&errors).unwrap_or_default(),
        }
    }

    fn conf(&self) -> PathBuf {
        self.dir.path().join("slurm.conf")
    }

    pub fn run(&self, project: &Project, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = project.command(arguments);
        command.env("SLURM_CONF", self.conf());
        let output = output(&mut command).unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.script("stop");
    }
}

const SWEEP: &str = "\
name: weights
base: tiny.yaml
grid:
  train_autoencoder.regulariser.weight: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
columns:
  - \"train-autoencoder: held-out mean squared error\"
  - \"estimate-nll: test latents: mean NLL, ODE (nats)\"
slurm:
  partition: main
  cpus: 1
  setup: [\"export HOW=slurm\"]
";

fn with_sweep(text: &str) -> Project {
    let project = project();
    project.write("weights.yaml", text);
    project
}

fn table(project: &Project) -> String {
    std::fs::read_to_string(project.path("artifacts/sweeps/weights/table.md")).unwrap_or_default()
}

/// One test, since a node takes seconds to start.
#[test]
fn a_job_array_gives_the_table_that_local_trials_give() {
    let Some(node) = Node::start() else { return };
    in_a_folder_of_special_signs(&node);
    with_a_gpu_each(&node);
    let local = with_sweep(SWEEP);
    local
        .run(&["sweep", "weights.yaml", "--jobs", "2"])
        .expect(0, &["(12 of 12)"]);

    let project = with_sweep(SWEEP);
    let slurm = ["sweep", "weights.yaml", "--launcher", "slurm", "--wait"];
    let (code, said) = node.run(&project, &slurm);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("12 submitted as job array "), "{said}");
    assert_eq!(table(&project), table(&local));
    // Twelve processes wanted the flow, and one computed it.
    assert_eq!(project.entries("artifacts/pretrain-flow").len(), 1);
    assert_eq!(project.entries("artifacts/train-autoencoder").len(), 12);
    let (code, said) = node.run(&project, &slurm);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("12 of 12 trials are finished already"),
        "{said}"
    );

    // Submitted and left: `status` sees what Slurm and the store know, until all is there.
    let wrong = SWEEP.replace(
        "grid:",
        "list:\n  - {name: t}\n  - {name: wide, set: {train_autoencoder.latent.width: 3}}\ngrid:",
    );
    let wrong = wrong.replace(
        "[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]",
        "[0.1, 0.2, 0.3]",
    );
    project.write("weights.yaml", wrong);
    let (code, said) = node.run(&project, &["sweep", "weights.yaml", "--launcher", "slurm"]);
    assert_eq!(code, Some(0), "{said}");
    let mut seen = String::new();
    let mut queued = false;
    wait_until("end of the array", || {
        let (code, said) = node.run(&project, &["show", "weights"]);
        assert_eq!(code, Some(0), "{said}");
        queued |= said.contains("queued") || said.contains("running");
        seen = said;
        seen.contains("6 trials: 3 failed, 3 finished")
    });
    assert!(queued);
    assert!(
        seen.contains("latent.width: found 3, expected 2")
            || seen.contains("stage train-autoencoder"),
        "{seen}"
    );
    assert!(table(&project).contains("failed"));

    // Submitted again, what failed is waiting, not failed; programs read the same.
    let (code, said) = node.run(&project, &["sweep", "weights.yaml", "--launcher", "slurm"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 submitted as job array"), "{said}");
    let json = [
        "show",
        "weights",
        "--format",
        "json",
        "--filter",
        "variant~wide*",
    ];
    wait_until("end of the array", || {
        let (code, said) = node.run(&project, &json);
        assert_eq!(code, Some(0), "{said}");
        said.matches("\"state\": \"failed\"").count() == 3
            || said.matches("\"state\":\"failed\"").count() == 3
    });
}

/// The signs mean something to sbatch, to a shell, or in the name of a file that Slurm writes.
fn in_a_folder_of_special_signs(node: &Node) {
    let store = "it's #1, %A \"b\"";
    let project = with_sweep(SWEEP);
    project.write(
        "weights.yaml",
        SWEEP.replace(
            "[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]",
            "[0.1, 0.2]",
        ),
    );
    let slurm = [
        "--artifacts",
        store,
        "sweep",
        "weights.yaml",
        "--launcher",
        "slurm",
        "--wait",
    ];
    let (code, said) = node.run(&project, &slurm);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        project.entries(&format!("{store}/train-autoencoder")).len(),
        2
    );
    let logs = project.entries(&format!("{store}/sweeps/weights/logs"));
    let of_slurm = logs.iter().filter(|log| log.starts_with("slurm-"));
    assert_eq!(of_slurm.count(), 2, "{logs:?}");
}

/// Fails if trials do not ask for GPUs, or their processes do not see what Slurm gives them.
fn with_a_gpu_each(node: &Node) {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        skipped("one processor runs one task at a time");
        return;
    }
    let all = "[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]";
    let endless = SWEEP
        .replace(all, "[0.1, 0.2]")
        .replace("grid:", "set: {pretrain_flow.steps: 100000000}\ngrid:");
    let project = with_sweep(&endless.replace("  cpus: 1", "  cpus: 1\n  gpus: 1"));
    let (code, said) = node.run(&project, &["sweep", "weights.yaml", "--launcher", "slurm"]);
    assert_eq!(code, Some(0), "{said}");
    let array = said.split("submitted as job array ").nth(1).unwrap();
    let array = array.split_whitespace().next().unwrap();
    let mut seen = BTreeMap::new();
    wait_until("two trials at once", || {
        seen = visible_to_trials(&project);
        seen.len() == 2
    });
    let mut scancel = Command::new("scancel");
    scancel.arg(array).env("SLURM_CONF", node.conf());
    assert!(output(&mut scancel).unwrap().status.success());
    let mut given: Vec<&str> = seen.values().map(String::as_str).collect();
    given.sort_unstable();
    assert_eq!(given, ["0", "1"], "{seen:?}");
    wait_until("end of the trials", || {
        visible_to_trials(&project).is_empty()
    });
}

/// `CUDA_VISIBLE_DEVICES` of each process that runs a trial of `project`, by its configuration.
fn visible_to_trials(project: &Project) -> BTreeMap<String, String> {
    let trials = project.path("artifacts/sweeps/weights/trials");
    let mut seen = BTreeMap::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| std::fs::read(process.path().join(name)).unwrap_or_default();
        let words = |name: &str| -> Vec<String> {
            let bytes = read(name);
            let words = bytes.split(|byte| *byte == 0);
            words
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect()
        };
        let Some([_, file]) = (words("cmdline").windows(2))
            .find(|pair| pair[0] == "run" && Path::new(&pair[1]).starts_with(&trials))
            .map(|pair| [pair[0].clone(), pair[1].clone()])
        else {
            continue;
        };
        let environment = words("environ");
        let visible = (environment.iter())
            .find_map(|word| word.strip_prefix("CUDA_VISIBLE_DEVICES="))
            .unwrap_or("none");
        seen.insert(file, visible.to_owned());
    }
    seen
}

#[test]
fn a_gpu_that_a_task_does_not_have_is_refused_before_it_is_submitted() {
    let project = with_sweep(&SWEEP.replace("  cpus: 1", "  cpus: 1\n  gpus: 1"));
    let slurm = ["sweep", "weights.yaml", "--launcher", "slurm", "--device"];
    let refused = project.run(&[&slurm[..], &["cuda:1"]].concat());
    refused.expect(
        2,
        &[
            "slurm.gpus: found 1 with `device: cuda:1`",
            "`device: cuda`",
        ],
    );
    // one that asks for none is only told, since the cluster may give them otherwise
    let project = with_sweep(SWEEP);
    let mut command = project.command(&[&slurm[..], &["cuda"]].concat());
    let output = output(command.env("PATH", "/nonexistent")).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("set `slurm: {gpus: 1}`"), "{said}");
}

#[test]
fn without_slurm_the_error_says_so() {
    let project = with_sweep(SWEEP);
    let mut command = project.command(&["sweep", "weights.yaml", "--launcher", "slurm"]);
    let output = output(command.env("PATH", "/nonexistent")).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("there is no `sbatch` on this machine"),
        "{said}"
    );
}

/// A cluster that accepts a job array and starts none of its tasks, like one whose nodes cannot run the script.
#[test]
fn trials_that_slurm_never_started_are_a_failure() {
    let project = with_sweep(SWEEP);
    std::fs::create_dir(project.path("bin")).unwrap();
    for (name, script) in [("sbatch", "echo 7"), ("squeue", "")] {
        let program = project.path(&format!("bin/{name}"));
        project.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", project.path("bin").display());
    let slurm = ["sweep", "weights.yaml", "--launcher", "slurm", "--wait"];
    let output = output(project.command(&slurm).env("PATH", path)).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("12 of 12 trials did not finish"), "{said}");
}
