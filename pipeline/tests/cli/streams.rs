//! Standard output and error that are closed or cannot be written: the work is still done, and the exit
//! code reports the result.

use crate::project::{Outcome, Project, start};
use crate::requiring::with_verdicts;
use crate::tiny;
use std::fs::File;
use std::process::Stdio;

/// The state of standard output.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reader {
    /// It was closed before the first word, as by `head -n 0`.
    Gone,
    /// It is a full disk.
    Full,
}

impl Reader {
    fn stdio(self) -> Stdio {
        match self {
            Self::Gone => {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                writer.into()
            }
            Self::Full => File::options()
                .write(true)
                .open("/dev/full")
                .unwrap()
                .into(),
        }
    }
}

fn run(project: &Project, arguments: &[&str], reader: Reader) -> Outcome {
    let mut command = project.command(arguments);
    command.stdout(reader.stdio()).stderr(Stdio::piped());
    let done = start(&mut command).unwrap().wait_with_output().unwrap();
    Outcome {
        code: done.status.code(),
        stdout: String::new(),
        stderr: String::from_utf8(done.stderr).unwrap(),
    }
}

const LOST: &str = "standard output cannot be written (No space left on device";

#[test]
fn a_run_that_nobody_reads_computes_everything() {
    for (reader, code) in [(Reader::Gone, 0), (Reader::Full, 1)] {
        let project = tiny::project();
        let done = run(&project, &["run", "tiny.yaml"], reader);
        done.expect(code, &["estimate-nll: done"]);
        assert_eq!(done.stderr.contains(LOST), reader == Reader::Full, "{done}");
        assert_eq!(
            done.stderr.matches("standard output").count(),
            code as usize
        );
        let record = std::fs::read_to_string(project.path("artifacts/runs/tiny/run.json"));
        assert!(record.unwrap().contains("\"state\": \"finished\""));
        project
            .run(&["run", "tiny.yaml"])
            .expect(0, &["Nothing to do"]);
    }
}

#[test]
fn what_a_run_lacks_is_its_exit_code_whoever_reads() {
    let project = with_verdicts(&[("test features: uniform", "0.0")]);
    for reader in [Reader::Gone, Reader::Full] {
        run(
            &project,
            &["run", "tiny.yaml", "--require", "holds"],
            reader,
        )
        .expect(3, &["test features: fails"]);
    }
}

#[test]
fn damage_is_an_exit_code_whoever_reads() {
    let project = tiny::project();
    let flow = ["run", "tiny.yaml", "--until", "pretrain-flow"];
    project.run(&flow).expect(0, &[]);
    let weights = "artifacts/runs/tiny/pretrain-flow/flow.safetensors";
    project.write(weights, "not what was written");
    for reader in [Reader::Gone, Reader::Full] {
        run(&project, &["verify"], reader).expect(1, &["flow.safetensors"]);
    }
}

#[test]
fn a_claim_that_does_not_hold_is_an_exit_code_whoever_reads() {
    let project = tiny::project();
    project.write(
        "claims.yaml",
        "name: claims\nbase: tiny.yaml\nlist: [{name: a, set: {estimate_nll: null}}]\n\
         checks:\n  - {claim: too many, variant: a, figure: \"pretrain-flow: held-out rows\", at_most: -1}\n",
    );
    for reader in [Reader::Gone, Reader::Full] {
        let done = run(&project, &["sweep", "claims.yaml"], reader);
        done.expect(3, &["claims of the sweep do not hold"]);
        let table = project.path("artifacts/sweeps/claims/table.md");
        assert!(std::fs::read_to_string(table).unwrap().contains("too many"));
    }
}

#[test]
fn every_command_says_when_its_output_is_lost_and_not_when_its_reader_left() {
    let project = tiny::project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let commands: [&[&str]; 19] = [
        &["--help"],
        &["--version"],
        &["plan", "tiny.yaml"],
        &["config", "tiny.yaml"],
        &["config", "--defaults"],
        &["config", "--schema"],
        &["list"],
        &["list", "artifacts", "--format", "json"],
        &["list", "sweeps"],
        &["show", "tiny"],
        &["compare", "tiny"],
        &["show", "tiny", "--curves"],
        &["show", "tiny", "--curves", "--chart"],
        &["clean"],
        &["show", "features.h5"],
        &["verify"],
        &["show", "features.h5", "--rows", "0"],
        &["completions", "bash"],
        &["man"],
    ];
    for arguments in commands {
        let gone = run(&project, arguments, Reader::Gone);
        gone.expect(0, &[]);
        assert!(!gone.stderr.contains("error"), "{arguments:?}: {gone}");
        run(&project, arguments, Reader::Full).expect(1, &[LOST]);
    }
}

#[test]
fn a_standard_error_that_is_full_stops_nothing() {
    for more in [&[][..], &["--log-format", "json"], &["-vv"]] {
        let project = tiny::project();
        let arguments = [&["run", "tiny.yaml"], more].concat();
        let mut command = project.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Reader::Full.stdio());
        let done = start(&mut command).unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        assert_eq!(done.status.code(), Some(0), "{more:?}: {said}");
        assert!(said.contains("\ntiny: "), "{more:?}: {said}");
    }
}
