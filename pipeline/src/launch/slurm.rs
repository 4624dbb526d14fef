//! Trials as a Slurm job array. Every task is `latent-align run` on the configuration of a trial; the
//! artifact store, on a file system shared by all nodes, synchronises them.

use super::batch::Batch;
use crate::store::write_whole;
use crate::sweep::{Slurm, SweepFolder};
use latent_align_stages::devices::DeviceChoice;
use latent_align_stages::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Name of the record of the submission.
const SUBMITTED: &str = "slurm.json";
/// Seconds before its time limit at which a trial is asked to stop.
const NOTICE: u32 = 60;

/// A job array, and the run of each of its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The array's job number.
    pub job: u64,
    /// The runs, by task number.
    pub runs: Vec<String>,
}

impl Submitted {
    /// The last array submitted for the sweep in `folder`, if any.
    pub fn last(folder: &SweepFolder) -> Option<Self> {
        let text = std::fs::read(folder.path().join(SUBMITTED)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The tasks known to Slurm, by run, each as `pending (Resources)` or `running`.
    ///
    /// # Errors
    /// [`Error::File`] if `squeue` fails.
    pub fn queue(&self) -> Result<BTreeMap<String, String>> {
        let job = self.job.to_string();
        let told = ask(
            Command::new("squeue")
                .args([
                    "--array",
                    "--noheader",
                    "--format=%F %K %T %r",
                    "--states=all",
                    "--jobs",
                ])
                .arg(&job),
            "squeue",
        );
        let told = match told {
            // Slurm forgets arrays some time after they end.
            Err(e) if e.to_string().contains("Invalid job id") => String::new(),
            told => told?,
        };
        let mut queue = BTreeMap::new();
        for line in told.lines() {
            // The reason may consist of several words.
            let words: Vec<&str> = line.trim().splitn(4, ' ').collect();
            let [array, task, state, reason] = words[..] else {
                continue;
            };
            let run = task.parse().ok().and_then(|t: usize| self.runs.get(t));
            if let (true, Some(run)) = (array == job, run)
                && is_alive(state)
            {
                let state = state.to_lowercase();
                let state = match reason {
                    "None" => state,
                    reason => format!("{state} ({reason})"),
                };
                queue.insert(run.clone(), state);
            }
        }
        Ok(queue)
    }
}

/// Whether a task in this state may still run: all states except those that end a job according to
/// squeue(1). Unknown states count as alive, since submitting a trial twice would be worse than waiting.
fn is_alive(state: &str) -> bool {
    const ENDED: [&str; 10] = [
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    ];
    !ENDED.contains(&state)
}

/// What is wrong with the GPUs that tasks ask for, given the `devices` of their experiments: a note if they ask for none.
///
/// # Errors
/// [`Error::Input`] for a device with an index that a task does not have: Slurm numbers the GPUs of each from 0.
pub fn check_gpus<'a>(
    options: &Slurm,
    devices: impl IntoIterator<Item = &'a str>,
) -> Result<Option<String>> {
    let asks = |option: &String| ["gpu", "gres", "tres"].iter().any(|w| option.contains(w));
    let asks = options.gpus.is_some() || options.options.iter().any(asks);
    let mut told = None;
    for device in devices {
        let choice: DeviceChoice = device.parse()?;
        match (&choice, options.gpus) {
            (DeviceChoice::Cuda(index), Some(gpus)) if *index >= gpus as usize => {
                return Err(Error::input(format!(
                    "slurm.gpus: found {gpus} with `device: {device}`, expected an index below {gpus}, since Slurm \
                     numbers the GPUs of each task from 0; use `device: cuda`, with which each task uses its own"
                )));
            }
            (DeviceChoice::Cuda(_) | DeviceChoice::Wgpu(_), _) if !asks => {
                told = Some(format!(
                    "warning: trials with `device: {device}` ask Slurm for no GPU, so that all may use the same one; \
                     set `slurm: {{gpus: 1}}`"
                ));
            }
            _ => {}
        }
    }
    Ok(told)
}

/// Submits the trials `todo` of `batch` as one array, with at most `at_a_time` concurrent tasks if given.
///
/// # Errors
/// [`Error::Input`] if there is no `sbatch`, or it fails.
pub fn submit(
    batch: &Batch,
    todo: &[usize],
    options: &Slurm,
    at_a_time: Option<usize>,
    folder: &SweepFolder,
) -> Result<Submitted> {
    let runs: Vec<String> = todo
        .iter()
        .map(|i| batch.trials[*i].name().to_owned())
        .collect();
    let program = std::env::current_exe().map_err(|e| Error::file("this program", e))?;
    let program = without_mark(program);
    let absolute = |path: &Path| std::path::absolute(path).map_err(|e| Error::file(path, e));
    let script = script(
        &runs,
        options,
        at_a_time,
        &program,
        &absolute(folder.store().root())?,
        &absolute(folder.path())?,
    );
    write_whole(folder.path(), "slurm.sh", &script)?;
    let told = ask(
        Command::new("sbatch")
            .arg("--parsable")
            .args(place(options, &absolute(folder.path())?))
            .arg(folder.path().join("slurm.sh")),
        "sbatch",
    )?;
    let job = told.trim().split(';').next().and_then(|j| j.parse().ok());
    let job = job.ok_or_else(|| {
        Error::input(format!(
            "sbatch: expected a job number, found {}",
            told.trim()
        ))
    })?;
    let submitted = Submitted { job, runs };
    let text = serde_json::to_string_pretty(&submitted).expect("numbers and names");
    write_whole(folder.path(), SUBMITTED, &(text + "\n"))?;
    Ok(submitted)
}

/// The path of an executable that was replaced since it was started, which Linux marks: tasks on other
/// machines can only run the new one.
fn without_mark(program: PathBuf) -> PathBuf {
    let text = program.to_string_lossy();
    match text.strip_suffix(" (deleted)").map(PathBuf::from) {
        Some(replaced) if replaced.exists() => replaced,
        _ => program,
    }
}

/// The option for a task's output file; None if the sweep's file sets it. In a line of the script, blanks,
/// quotes and `#` in the path would be interpreted.
fn place(options: &Slurm, folder: &Path) -> Option<OsString> {
    let mut given = options.options.iter();
    if given.any(|option| option.starts_with("--output") || option.starts_with("-o")) {
        return None;
    }
    let folder = folder.as_os_str().as_bytes();
    let mut option = b"--output=".to_vec();
    if folder.contains(&b'\\') {
        // after a backslash Slurm replaces nothing, and all tasks would write to one file
        option.extend(b"/dev/null");
        return Some(OsString::from_vec(option));
    }
    for byte in folder {
        option.push(*byte);
        if *byte == b'%' {
            option.push(b'%');
        }
    }
    option.extend(b"/logs/slurm-%A_%a.log");
    Some(OsString::from_vec(option))
}

/// The output of a Slurm command.
fn ask(command: &mut Command, name: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| {
        Error::input(match e.kind() {
            std::io::ErrorKind::NotFound => format!(
                "--launcher slurm: there is no `{name}` on this machine; run it on a login node of the \
                 cluster, or leave the option out to run the trials here"
            ),
            _ => format!("{name}: {e}"),
        })
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::input(format!("{name}: {}", said.trim())))
}

/// The script of the array.
fn script(
    runs: &[String],
    options: &Slurm,
    at_a_time: Option<usize>,
    program: &Path,
    store: &Path,
    folder: &Path,
) -> String {
    let limit = at_a_time.map_or(String::new(), |n| format!("%{n}"));
    let last = runs.len().saturating_sub(1);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut head = vec![
        format!("--job-name={name}"),
        format!("--array=0-{last}{limit}"),
        format!("--signal=B:TERM@{NOTICE}"),
    ];
    let mut option = |name: &str, value: Option<String>| {
        head.extend(value.map(|v| format!("--{name}={v}")));
    };
    option("partition", options.partition.clone());
    option("time", options.time.clone());
    option("cpus-per-task", options.cpus.map(|n| n.to_string()));
    option("mem", options.memory.clone());
    option("gpus", options.gpus.map(|n| n.to_string()));
    head.extend(options.options.iter().cloned());
    let head: String = head.iter().map(|o| format!("#SBATCH {o}\n")).collect();
    let setup: String = options.setup.iter().map(|l| format!("{l}\n")).collect();
    let names: String = runs.iter().map(|run| format!("  {run}\n")).collect();
    let (program, store, folder) = (quoted(program), quoted(store), quoted(folder));
    format!(
        "#!/bin/bash\n{head}\n{setup}\nruns=(\n{names})\nrun=${{runs[$SLURM_ARRAY_TASK_ID]}}\n\
         export RAYON_NUM_THREADS=${{SLURM_CPUS_PER_TASK:-1}} POLARS_MAX_THREADS=${{SLURM_CPUS_PER_TASK:-1}}\n\
         exec {program} --artifacts {store} run {folder}/trials/\"$run\".yaml >> {folder}/logs/\"$run\".log 2>&1\n"
    )
}

/// A path quoted for the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if the list of alive states is incomplete.
    #[test]
    fn a_task_has_ended_only_in_the_states_that_end_a_job() {
        for state in [
            "PENDING",
            "RUNNING",
            "CONFIGURING",
            "COMPLETING",
            "SIGNALING",
            "STOPPED",
            "SUSPENDED",
            "SPECIAL_EXIT",
            "REQUEUED",
            "REQUEUE_FED",
            "REQUEUE_HOLD",
            "RESIZING",
            "RESV_DEL_HOLD",
            "STAGE_OUT",
            "of a later version",
        ] {
            assert!(is_alive(state), "{state}");
        }
        for state in ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"] {
            assert!(!is_alive(state), "{state}");
        }
    }

    #[test]
    fn where_tasks_write_is_said_once_and_means_the_folder() {
        let mut options = Slurm::default();
        for (folder, place) in [
            ("/a b/it's #1 %A", "/a b/it's #1 %%A/logs/slurm-%A_%a.log"),
            ("/a\\b", "/dev/null"),
        ] {
            let said = super::place(&options, Path::new(folder)).unwrap();
            assert_eq!(said.to_str(), Some(&*format!("--output={place}")));
        }
        for given in ["--output=mine.log", "-o mine.log"] {
            options.options = vec![given.to_owned()];
            assert_eq!(super::place(&options, Path::new("/a")), None, "{given}");
        }
    }

    #[test]
    fn a_program_that_was_rebuilt_is_found_under_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("latent-align");
        let marked = dir.path().join("latent-align (deleted)");
        assert_eq!(without_mark(marked.clone()), marked);
        std::fs::write(&program, "rebuilt").unwrap();
        assert_eq!(without_mark(marked), program);
        assert_eq!(without_mark(program.clone()), program);
    }

    #[test]
    fn gpus_of_a_task_are_numbered_from_0() {
        let check = |gpus, options: &[&str], devices: &[&str]| {
            let options = Slurm {
                gpus,
                options: options.iter().map(|o| (*o).to_owned()).collect(),
                ..Slurm::default()
            };
            check_gpus(&options, devices.iter().copied())
        };
        assert!(
            check(Some(2), &[], &["cuda", "cuda:1", "cpu"])
                .unwrap()
                .is_none()
        );
        assert!(check(Some(2), &[], &["cuda", "cuda:2"]).is_err());
        for device in ["cuda", "wgpu"] {
            assert!(check(None, &[], &["cpu", device]).unwrap().is_some());
            assert!(check(None, &["--gres=gpu:1"], &[device]).unwrap().is_none());
        }
        assert!(check(None, &["--nice"], &["cpu"]).unwrap().is_none());
    }

    #[test]
    fn the_script_says_what_the_file_says_and_quotes_paths() {
        let options = Slurm {
            partition: Some("gpu".into()),
            time: Some("1:00:00".into()),
            cpus: Some(4),
            memory: None,
            gpus: Some(1),
            options: vec!["--account=lab".into()],
            setup: vec!["module load cuda".into()],
        };
        let runs = ["s.a.seed0".to_owned(), "s.b.seed0".to_owned()];
        let script = script(
            &runs,
            &options,
            Some(1),
            Path::new("/bin/latent-align"),
            Path::new("/it's here"),
            Path::new("/it's here/sweeps/s"),
        );
        for line in [
            "#SBATCH --array=0-1%1",
            "#SBATCH --partition=gpu",
            "#SBATCH --time=1:00:00",
            "#SBATCH --cpus-per-task=4",
            "#SBATCH --gpus=1",
            "#SBATCH --account=lab",
            "module load cuda",
        ] {
            assert!(script.lines().any(|l| l == line), "{line}\n{script}");
        }
        assert!(!script.contains("--mem"));
        assert!(
            script.contains(r"--artifacts '/it'\''s here' run '/it'\''s here/sweeps/s'/trials/")
        );
        // The options must come before the first command, or sbatch ignores them.
        assert!(script.find("#SBATCH --account").unwrap() < script.find("module load").unwrap());
    }
}
