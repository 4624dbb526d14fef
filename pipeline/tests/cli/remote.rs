//! A device on the other side of a socket computes what this one does. Runs with `--features remote`.

use crate::project::Project;
use std::io::{BufRead, BufReader};
use std::process::Child;

/// Killed when the test ends, however it ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_served_device_gives_the_same_outputs() {
    let project = Project::new();
    let generate = [
        "features", "generate", "moons", "--out", "moons.h5", "--count", "400",
    ];
    project.run(&generate).expect(0, &[]);
    project.write(
        "moons.yaml",
        "name: moons\npretrain_flow:\n  features: {file: moons.h5}\n  network: {width: 16, blocks: 1}\n  \
         steps: 5\n  batch: 64\n  samples: 8\n  nll_points: 8\n",
    );
    let mut server = Server(project.spawn(&["serve", "--listen", "127.0.0.1:0"]));
    let mut line = String::new();
    let stdout = server.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let device = line.split('`').nth(1).unwrap_or_else(|| panic!("{line}"));
    let device = device.strip_prefix("device: ").unwrap();

    let far = [
        "run",
        "moons.yaml",
        "--artifacts",
        "far",
        "--device",
        device,
    ];
    project.run(&far).expect(0, &[device]);
    let near = ["run", "moons.yaml", "--artifacts", "near"];
    project.run(&near).expect(0, &["on cpu"]);
    let weights = |artifacts: &str| {
        let path = format!("{artifacts}/runs/moons/pretrain-flow/flow.safetensors");
        std::fs::read(project.path(&path)).unwrap()
    };
    assert!(weights("far") == weights("near"));
}
