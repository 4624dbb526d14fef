//! Mutated files and options through the real binary: an error or success, but never a panic, a signal, a
//! hang, or excessive memory.

use crate::importing::foreign_flow;
use crate::project::{Project, output, sealed, start, unsealed};
use crate::resuming::{checkpoints as checkpoints_of, kill, start as start_until_checkpoints};
use crate::tiny::{self, CONFIG};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Seconds spent on a target: `LATENT_ALIGN_FUZZ_SECONDS` (`make fuzz` asks for 600).
fn budget() -> Duration {
    let asked = std::env::var("LATENT_ALIGN_FUZZ_SECONDS").ok();
    let seconds = asked.map_or(4, |s| {
        s.parse().expect("LATENT_ALIGN_FUZZ_SECONDS is a number")
    });
    Duration::from_secs(seconds)
}

/// The longest time of a command on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);
/// The largest memory of a command (KiB).
pub const LARGEST: u64 = 1024 * 1024;

/// What interesting numbers look like in text and in bytes.
const WORDS: [&str; 24] = [
    "0",
    "-1",
    "1e400",
    "-0.0",
    ".nan",
    ".inf",
    "18446744073709551616",
    "4294967295",
    "99999999999",
    "null",
    "~",
    "[]",
    "{}",
    "true",
    "&a",
    "*a",
    "<<: *a",
    "!!binary",
    "'",
    "\"",
    "\u{0}",
    "../..",
    "\u{feff}",
    "\n  - ",
];

/// `bytes` with a few random changes.
fn mutate(rng: &mut Pcg64, bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        if out.is_empty() {
            return out;
        }
        let at = rng.random_range(0..out.len());
        let end = (at + rng.random_range(1..=32)).min(out.len());
        match rng.random_range(0..10) {
            0 | 1 => out[at] ^= 1 << rng.random_range(0..8),
            2 => out[at] = rng.random(),
            3 => out[at..end].fill([0, 0xff, 0x7f, b'9'][rng.random_range(0..4)]),
            4 => drop(out.drain(at..end)),
            5 => {
                let copy = out[at..end].to_vec();
                let place = rng.random_range(0..=out.len());
                out.splice(place..place, copy);
            }
            6 => out.truncate(at),
            7 => {
                let word = WORDS[rng.random_range(0..WORDS.len())];
                out.splice(at..end, word.bytes());
            }
            8 => {
                // a whole line again, elsewhere
                let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
                let line = lines[rng.random_range(0..lines.len())].to_vec();
                out.splice(at..at, line);
            }
            _ => {
                // a number where a length may be
                let width = [1, 2, 4, 8][rng.random_range(0..4)];
                let value: u64 =
                    [0, 1, u64::MAX, 1 << 31, 1 << 40, rng.random()][rng.random_range(0..6)];
                let end = (at + width).min(out.len());
                out[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
            }
        }
    }
    out
}

/// Tries mutations until the time is over; `prepare` writes one into the project and returns the
/// arguments.
fn fuzz<A: Into<OsString>>(
    target: &str,
    project: &Project,
    mut prepare: impl FnMut(&mut Pcg64) -> Vec<Vec<A>>,
) {
    let asked = std::env::var("LATENT_ALIGN_SEED").ok();
    let first: u64 = asked.map_or(1, |seed| {
        seed.parse().expect("LATENT_ALIGN_SEED is a number")
    });
    let started = Instant::now();
    let (mut cases, mut refused) = (0, 0);
    let mut most = 0;
    while started.elapsed() < budget() {
        let seed = first + cases;
        let mut rng = Pcg64::seed_from_u64(seed);
        for arguments in prepare(&mut rng) {
            let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
            let mut command = project.command(&[]);
            command.args(&arguments);
            let (code, stderr, memory) = run(command);
            let good = code.is_some_and(|code| [0, 1, 2, 3].contains(&code)) && memory < LARGEST;
            assert!(
                good,
                "{target}, LATENT_ALIGN_SEED={seed}: {arguments:?} exited with {code:?} (none: a signal, or \
                 too slow) and took {memory} KiB; files are kept in {}\n{stderr}",
                kept(project).display()
            );
            refused += u64::from(code != Some(0));
            most = most.max(memory);
        }
        cases += 1;
    }
    assert!(refused > 0, "{target}: nothing was refused");
    eprintln!(
        "{target}: {cases} cases, {refused} refused, at most {} MiB",
        most / 1024
    );
}

/// A copy of the project's files that stays.
fn kept(project: &Project) -> PathBuf {
    let folder = tempfile::tempdir().unwrap().keep();
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(project.path(".")).arg(&folder);
    assert!(output(&mut copy).unwrap().status.success());
    folder
}

/// Exit code (none for a signal, or a timeout), stderr, and the peak memory of it and its children, in
/// KiB.
pub fn run(mut command: Command) -> (Option<i32>, String, u64) {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = start(&mut command).unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let (started, mut most) = (Instant::now(), 0);
    let status = loop {
        most = most.max(memory_of(child.id()));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() > LONGEST => child.kill().unwrap(),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    (status.code(), reader.join().unwrap(), most)
}

/// The peak memory of a process and its children so far, in KiB; 0 once it has ended.
fn memory_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let own = own.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    let children = (tasks.into_iter().flatten().flatten())
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<u32>>()
        });
    children.map(memory_of).chain(own).max().unwrap_or(0)
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn configurations() {
    let project = tiny::project();
    let sweep = "name: s\nbase: tiny.yaml\nseeds: [0, 1]\ngrid:\n  train_autoencoder.regulariser.weight: [0.1, 1]\n";
    fuzz("config", &project, |rng| {
        project.write("tiny.yaml", CONFIG);
        if rng.random_range(0..4) == 0 {
            project.write("sweep.yaml", mutate(rng, sweep.as_bytes()));
            return vec![words("sweep status sweep.yaml")];
        }
        project.write("tiny.yaml", mutate(rng, CONFIG.as_bytes()));
        vec![words("config tiny.yaml"), words("plan tiny.yaml")]
    });
}

#[test]
fn overrides() {
    let project = tiny::project();
    let given = [
        "train_autoencoder.regulariser.weight=0.1",
        "train_autoencoder.regulariser={kind: kl, weight: 1}",
        "pretrain_flow.optimiser.betas=[0.9, 0.99]",
        "name=other",
        "checkpoints.every_steps=3",
    ];
    fuzz("--set", &project, |rng| {
        let chosen = given[rng.random_range(0..given.len())];
        let set = mutate(rng, chosen.as_bytes());
        // no argument holds a zero
        let set = String::from_utf8_lossy(&set).replace('\0', "\u{fffd}");
        vec![vec!["plan".into(), "tiny.yaml".into(), "--set".into(), set]]
    });
}

/// A project whose run was finished, and the folder of its flow.
fn finished() -> (Project, PathBuf) {
    let project = tiny::project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let flow = project
        .path("artifacts/runs/tiny/pretrain-flow")
        .canonicalize()
        .unwrap();
    (project, flow)
}

#[test]
fn manifests() {
    let (project, flow) = finished();
    let file = flow.join("manifest.json");
    let whole = unsealed(&file);
    fuzz("manifest", &project, |rng| {
        let mutated = mutate(rng, whole.as_bytes());
        let text = String::from_utf8_lossy(&mutated);
        std::fs::write(&file, sealed(&text)).unwrap();
        vec![
            words("list artifacts"),
            vec!["show".into(), flow.display().to_string()],
            words("plan tiny.yaml"),
            words("verify"),
        ]
    });
}

#[test]
fn weights() {
    let (project, flow) = finished();
    let names = [
        "flow.safetensors",
        "normalisation.safetensors",
        "held_out.h5",
    ];
    let whole = names.map(|name| std::fs::read(flow.join(name)).unwrap());
    let manifest = unsealed(&flow.join("manifest.json"));
    let config = CONFIG.split_once("pretrain_flow:").unwrap();
    let (_, rest) = config.1.split_once("train_autoencoder:").unwrap();
    let given = format!(
        "name: given\nflow: {}\ntrain_autoencoder:{rest}",
        flow.display()
    );
    project.write("given.yaml", given.replace("steps: 20", "steps: 1"));
    fuzz("weights", &project, |rng| {
        let chosen = rng.random_range(0..names.len());
        // a manifest that matches, so that the file itself is parsed
        let mut text = manifest.clone();
        for (number, name) in names.iter().enumerate() {
            let bytes = match number == chosen {
                true => mutate(rng, &whole[number]),
                false => whole[number].clone(),
            };
            let old = (blake3::hash(&whole[number]).to_hex(), whole[number].len());
            let new = (blake3::hash(&bytes).to_hex(), bytes.len());
            text = text.replace(
                &format!("\"digest\": \"{}\",\n      \"size\": {}", old.0, old.1),
                &format!("\"digest\": \"{}\",\n      \"size\": {}", new.0, new.1),
            );
            std::fs::write(flow.join(name), bytes).unwrap();
        }
        std::fs::write(flow.join("manifest.json"), sealed(&text)).unwrap();
        // another result each time, or the first would be kept
        let seed = format!("seed={}", rng.random_range(0..1_000_000));
        vec![
            ["run", "given.yaml", "--set", &seed]
                .map(str::to_owned)
                .to_vec(),
        ]
    });
}

/// A zip whose entries say that they have no checksum, so that what was changed in them is parsed.
fn without_checksums(mut zip: Vec<u8>) -> Vec<u8> {
    for (signature, place) in [(b"PK\x01\x02", 16), (b"PK\x03\x04", 14)] {
        for at in 0..zip.len() - 46 {
            if zip[at..].starts_with(signature) {
                zip[at + place..at + place + 4].fill(0);
            }
        }
    }
    zip
}

#[test]
fn imports() {
    let project = Project::new();
    let fixture = "../stages/tests/fixtures/paper-flow-head.pt";
    let torch = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture)).unwrap();
    let torch = without_checksums(torch);
    let small = foreign_flow();
    let import = |file: &str| words(&format!("import {file}"));
    for (file, bytes) in [("flow.pt", &torch), ("flow.safetensors", &small)] {
        project.write(file, bytes);
        project.run(&["import", file, "--force"]).expect(0, &[]);
    }
    fuzz("import", &project, |rng| {
        let _ = std::fs::remove_dir_all(project.path("artifacts"));
        if rng.random_range(0..2) == 0 {
            project.write("flow.safetensors", mutate(rng, &small));
            return vec![import("flow.safetensors")];
        }
        // what describes the weights is at the start and at the end
        let edge = 5400;
        let (start, rest) = torch.split_at(edge);
        let (middle, end) = rest.split_at(rest.len() - edge);
        let bytes = match rng.random_range(0..4) {
            0 => mutate(rng, &torch),
            1 => [start, middle, &mutate(rng, end)].concat(),
            _ => [&mutate(rng, start), middle, end].concat(),
        };
        project.write("flow.pt", bytes);
        vec![import("flow.pt")]
    });
}

#[test]
fn checkpoints() {
    let project = tiny::project();
    let config = CONFIG.replacen("steps: 20\n", "steps: 150\n", 1);
    project.write(
        "tiny.yaml",
        format!("{config}checkpoints: {{every_steps: 1}}\n"),
    );
    kill(start_until_checkpoints(&project, "pretrain-flow"));
    let newest = checkpoints_of(&project, "pretrain-flow").pop().unwrap();
    let training = newest.parent().unwrap();
    let name = training.file_name().unwrap().to_string_lossy();
    let artifact = training.with_file_name(name.trim_start_matches(".training-"));
    let record = newest.join("checkpoint.json");
    let whole = unsealed(&record);
    let names = ["state.safetensors", "metrics.parquet"];
    let files: Vec<(PathBuf, Vec<u8>)> = (names.iter())
        .map(|name| newest.join(name))
        .filter_map(|path| Some((path.clone(), std::fs::read(path).ok()?)))
        .collect();
    // unmodified, it is resumed from
    let run = words("run tiny.yaml --until pretrain-flow --set checkpoints.every_steps=1000");
    let arguments: Vec<&str> = run.iter().map(String::as_str).collect();
    project
        .run(&arguments)
        .expect(0, &["resuming from the checkpoint"]);
    fuzz("checkpoint", &project, |rng| {
        // as after the kill, whatever the run before made of it
        let _ = std::fs::remove_dir_all(training);
        let _ = std::fs::remove_dir_all(&artifact);
        std::fs::create_dir_all(&newest).unwrap();
        let chosen = rng.random_range(0..=files.len());
        let mut json = whole.clone();
        for (number, (path, whole)) in files.iter().enumerate() {
            let bytes = match number == chosen {
                true => mutate(rng, whole),
                false => whole.clone(),
            };
            // a record that matches, so that the file itself is parsed
            let said = |bytes: &[u8]| {
                let (digest, size) = (blake3::hash(bytes).to_hex(), bytes.len());
                format!("\"digest\": \"{digest}\",\n      \"size\": {size}")
            };
            assert!(json.contains(&said(whole)), "{json}");
            json = json.replace(&said(whole), &said(&bytes));
            std::fs::write(path, bytes).unwrap();
        }
        if chosen == files.len() {
            json = String::from_utf8_lossy(&mutate(rng, json.as_bytes())).into_owned();
        }
        std::fs::write(&record, sealed(&json)).unwrap();
        vec![words("verify"), run.clone()]
    });
}

#[test]
fn hdf5_files() {
    let project = tiny::project();
    let whole = std::fs::read(project.path("features.h5")).unwrap();
    let values: Vec<f32> = (0..800).map(|i| tiny::noise(i, 0)).collect();
    let written = project.path("written.h5");
    project
        .run(&["generate", "rings", "--out", "written.h5", "--count", "300"])
        .expect(0, &[]);
    let written = std::fs::read(written).unwrap();
    project.write_dataset("tokens.h5", "features", &[100, 4, 2], &values);
    let tokens = std::fs::read(project.path("tokens.h5")).unwrap();
    fuzz("hdf5", &project, |rng| {
        let seeds = [&whole, &written, &tokens];
        let bytes = seeds[rng.random_range(0..seeds.len())];
        // structure is mutated more often than numbers
        let bytes = match rng.random_range(0..2) {
            0 => mutate(rng, bytes),
            _ => {
                let head = bytes.len().min(2048);
                [mutate(rng, &bytes[..head]), bytes[head..].to_vec()].concat()
            }
        };
        project.write("features.h5", bytes);
        let run = "run tiny.yaml --until pretrain-flow --set pretrain_flow.steps=1";
        vec![words("inspect features.h5"), words(run)]
    });
}

/// Paths that are no ordinary file, or whose names are no ordinary text.
const SPECIAL: [&[u8]; 13] = [
    b"pipe",
    b"folder",
    b"nowhere",
    b"loop",
    b"empty",
    b"closed",
    b"/dev/zero",
    b"/dev/null",
    b"\xff\xfe.h5",
    b"tiny\xff.yaml",
    b"-v",
    b"a\x1b[31mred\nline.h5",
    b"",
];

/// `words` with `FILE` replaced by `file`.
fn about(words: &str, file: &[u8]) -> Vec<OsString> {
    let replaced = words.split(' ').map(|word| match word.split_once("FILE") {
        Some((before, after)) => [before.as_bytes(), file, after.as_bytes()].concat(),
        None => word.as_bytes().to_vec(),
    });
    replaced.map(OsString::from_vec).collect()
}

#[test]
fn names_and_special_files() {
    let project = tiny::project();
    let sh = "mkfifo pipe; mkdir folder; ln -s gone nowhere; ln -s loop loop; touch empty; \
              cp tiny.yaml closed; chmod 0 closed";
    let mut made = Command::new("sh");
    made.args(["-c", sh]).current_dir(project.path("."));
    assert!(output(&mut made).unwrap().status.success());
    for name in SPECIAL.iter().filter(|name| name.ends_with(b".h5")) {
        let to = project.path(".").join(OsString::from_vec(name.to_vec()));
        std::fs::copy(project.path("features.h5"), to).unwrap();
    }
    for name in [b"tiny\xff.yaml".as_slice(), b"-v"] {
        let to = project.path(".").join(OsString::from_vec(name.to_vec()));
        std::fs::write(to, CONFIG).unwrap();
    }
    let commands = [
        "inspect FILE",
        "inspect -- FILE",
        "show FILE",
        "verify FILE",
        "init FILE --out made.yaml --force",
        "convert FILE made.h5 --force",
        "import FILE --force",
        "plan FILE",
        "config FILE",
        "run -- FILE --until pretrain-flow",
        "run FILE --until pretrain-flow",
        "sweep FILE --dry-run",
        "export safetensors FILE",
        "export onnx FILE",
        "report FILE",
        "encode FILE --data vectors.h5 --out made.h5",
        "compare FILE FILE",
        "generate gaussian --count 3 --out FILE",
        "--artifacts FILE list",
        "plan tiny.yaml --set pretrain_flow.features.file=FILE",
        "plan tiny.yaml --set flow=FILE",
        "plan tiny.yaml --set name=FILE",
        "plan tiny.yaml --set train_autoencoder.fine_tune.from=FILE",
    ];
    fuzz("special", &project, |rng| {
        let line = commands[rng.random_range(0..commands.len())];
        let file = match SPECIAL[rng.random_range(0..SPECIAL.len())] {
            b"pipe" if line.contains("--out FILE") => b"folder", // waits for a reader, as other programs do
            file => file,
        };
        vec![about(line, file)]
    });
}

/// Every whole number of the configuration `values`, by its dotted key.
fn whole_numbers(key: &str, values: &serde_json::Value, found: &mut Vec<String>) {
    let inside = |below: &str| match key {
        "" => below.to_owned(),
        _ => format!("{key}.{below}"),
    };
    match values {
        serde_json::Value::Object(map) => {
            for (below, values) in map {
                whole_numbers(&inside(below), values, found);
            }
        }
        serde_json::Value::Array(list) => {
            for (at, values) in list.iter().enumerate() {
                whole_numbers(&inside(&at.to_string()), values, found);
            }
        }
        serde_json::Value::Number(number) if number.is_u64() => found.push(key.to_owned()),
        _ => {}
    }
}

#[test]
fn sizes() {
    let project = tiny::project();
    let resolved = project.run(&["config", "tiny.yaml"]).stdout;
    let resolved: serde_json::Value = serde_yaml::from_str(&resolved).unwrap();
    let mut keys = Vec::new();
    whole_numbers("", &resolved, &mut keys);
    // a training of 1e11 steps is what was asked for
    keys.retain(|key| !key.ends_with("steps"));
    assert!(keys.len() >= 30, "{keys:?}");
    // what is not small is beyond the memory of any machine: a run that fits would be a long one
    let sizes = [
        "0",
        "1",
        "3",
        "100000000000",
        "1e15",
        "9223372036854775807",
        "18446744073709551615",
        "-1",
        "1e400",
        ".nan",
    ];
    let kinds = ["gaussian", "rings", "moons", "mixture", "checkerboard"];
    fuzz("sizes", &project, |rng| {
        if rng.random_range(0..8) == 0 {
            let kind = kinds[rng.random_range(0..kinds.len())];
            let what = [
                "--count 1000000000000000",
                "--count 9223372036854775807",
                "--count 0",
                "--count 3 --param width=1e15",
            ];
            let what = what[rng.random_range(0..what.len())];
            return vec![words(&format!(
                "generate {kind} --out made.h5 --force {what}"
            ))];
        }
        let size = sizes[rng.random_range(0..sizes.len())];
        let key = &keys[rng.random_range(0..keys.len())];
        vec![words(&format!("run tiny.yaml --set {key}={size}"))]
    });
}
