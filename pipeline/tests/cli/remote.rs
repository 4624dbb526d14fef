//! A device on the other side of a socket computes what this one does. Runs with `--features remote`.

use crate::project::{Outcome, Project, output};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

/// Killed when the test ends, however it ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(mut command: Command) -> Outcome {
    run_with(&mut command)
}

fn run_with(command: &mut Command) -> Outcome {
    let done = output(command).unwrap();
    Outcome {
        code: done.status.code(),
        stdout: String::from_utf8(done.stdout).unwrap(),
        stderr: String::from_utf8(done.stderr).unwrap(),
    }
}

#[test]
fn a_served_device_gives_the_same_outputs() {
    let project = Project::new();
    let generate = ["generate", "moons", "--out", "moons.h5", "--count", "400"];
    project.run(&generate).expect(0, &[]);
    project.write(
        "moons.yaml",
        "name: moons\npretrain_flow:\n  features: {file: moons.h5}\n  model: {kind: flow_matching, network: {width: 16, blocks: 1}}\n  \
         steps: 5\n  batch: 64\n  samples: 8\n  nll_points: 8\n",
    );
    let mut command = project.command(&["serve", "--listen", "0.0.0.0:0"]);
    let refused = run_with(command.env("LATENT_ALIGN_TOKEN", "short"));
    refused.expect(2, &["LATENT_ALIGN_TOKEN: found a token of 5 characters"]);
    let mut server = Server(project.spawn(&["serve", "--listen", "127.0.0.1:0"]));
    let mut stdout = BufReader::new(server.0.stdout.take().unwrap());
    let (mut line, mut token) = (String::new(), String::new());
    stdout.read_line(&mut line).unwrap();
    stdout.read_line(&mut token).unwrap();
    let device = line.split('`').nth(1).unwrap_or_else(|| panic!("{line}"));
    let device = device.strip_prefix("device: ").unwrap();
    let token = token.trim().strip_prefix("LATENT_ALIGN_TOKEN=").unwrap();
    assert_eq!(token.len(), 32);

    let far = [
        "run",
        "moons.yaml",
        "--artifacts",
        "far",
        "--device",
        device,
    ];
    // Without the token there is no access, as for a web page that opens a socket.
    for wrong in [None, Some("0123456789abcdef0123456789abcdef")] {
        let mut command = project.command(&far);
        command.env_remove("LATENT_ALIGN_TOKEN");
        command.envs(wrong.map(|token| ("LATENT_ALIGN_TOKEN", token)));
        run(command).expect(1, &["LATENT_ALIGN_TOKEN", "expected the token"]);
    }
    let mut command = project.command(&far);
    command.env("LATENT_ALIGN_TOKEN", token);
    run(command).expect(0, &[device]);
    let near = ["run", "moons.yaml", "--artifacts", "near"];
    project.run(&near).expect(0, &["on cpu"]);
    let weights = |artifacts: &str| {
        let path = format!("{artifacts}/runs/moons/pretrain-flow/flow.safetensors");
        std::fs::read(project.path(&path)).unwrap()
    };
    assert!(weights("far") == weights("near"));
}
