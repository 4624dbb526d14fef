//! `list` and `compare` over a thousand runs, by the real binary: with the store's index, and without.
//!
//! Each run has its own flow, autoencoder and estimate, with manifests as long as those of a run of the
//! digits.

use divan::Bencher;
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const RUNS: usize = 1000;
/// Regions of `estimate-nll`, and what is measured in each.
const REGIONS: [&str; 5] = [
    "held-out features",
    "encoder latents",
    "uniform box",
    "unaligned latents",
    "noise",
];
const PLAIN: [&str; 7] = [
    "points",
    "mean NLL, ODE (nats)",
    "its standard error",
    "mean alignment loss (uniform, sum)",
    "mean alignment loss (uniform, sum), 2.5 %",
    "mean NLL, likelihood-weighted bound",
    "mean NLL, likelihood-weighted bound, 2.5 %",
];
const CORRELATIONS: [&str; 5] = ["Pearson", "Spearman", "Kendall", "slope", "gradient cosine"];

fn main() {
    divan::main();
}

#[divan::bench(args = ["list", "compare"], sample_count = 10, sample_size = 1)]
fn with_the_index(bencher: Bencher, command: &str) {
    let store = store();
    run(store.path(), command); // writes the index
    bencher.bench_local(|| run(store.path(), command));
}

#[divan::bench(args = ["list", "compare"], sample_count = 3, sample_size = 1)]
fn without_the_index(bencher: Bencher, command: &str) {
    let store = store();
    let forget = || {
        let _ = std::fs::remove_file(store.path().join(".index"));
    };
    bencher
        .with_inputs(forget)
        .bench_local_values(|()| run(store.path(), command));
}

fn run(store: &Path, command: &str) {
    let mut binary = Command::new(env!("CARGO_BIN_EXE_latent-align"));
    binary
        .arg("--artifacts")
        .arg(store)
        .arg(command)
        .stdout(Stdio::null());
    if command == "compare" {
        binary.arg("*");
    }
    assert!(binary.status().unwrap().success());
}

/// A store with the runs, in memory if the system has such a place, so that writing it is fast.
fn store() -> TempDir {
    let store = tempfile::tempdir().unwrap();
    for number in 0..RUNS {
        write_run(store.path(), number);
    }
    store
}

fn write_run(store: &Path, number: usize) {
    let folder = store.join(format!("runs/run-{number:04}"));
    std::fs::create_dir_all(&folder).unwrap();
    let flow = fingerprint(number, 1);
    let autoencoder = fingerprint(number, 2);
    let stages = [
        ("pretrain-flow", flow.clone(), flow_figures(number), vec![]),
        (
            "train-autoencoder",
            autoencoder.clone(),
            autoencoder_figures(number),
            vec![("pretrain-flow", flow.clone())],
        ),
        (
            "estimate-nll",
            fingerprint(number, 3),
            nll_figures(number),
            vec![("pretrain-flow", flow), ("train-autoencoder", autoencoder)],
        ),
    ];
    let mut recorded = Vec::new();
    for (stage, fingerprint, figures, upstream) in &stages {
        let dir = store.join(stage).join(fingerprint);
        std::fs::create_dir_all(&dir).unwrap();
        write_settled(
            &dir.join("manifest.json"),
            &manifest(stage, fingerprint, figures, upstream, number),
        );
        for output in OUTPUTS {
            std::fs::write(dir.join(output), "").unwrap();
        }
        symlink(format!("../../{stage}/{fingerprint}"), folder.join(stage)).unwrap();
        recorded.push(format!(
            "{{\"stage\": \"{stage}\", \"fingerprint\": \"{fingerprint}\"}}"
        ));
    }
    write_settled(&folder.join("config.yaml"), &config(number));
    let record = format!(
        "{{\"format\": 1, \"name\": \"run-{number:04}\", \"state\": \"finished\", \"identity\": \"{number:016x}\", \
         \"file\": \"/configs/digits.yaml\", \"seed\": {}, \"device\": \"cpu\", \"started\": \"2026-11-22T04:11:35Z\", \
         \"finished\": \"2026-11-22T04:15:25Z\", \"seconds\": 230.1, \"process\": 1, \"host\": \"bench\", \
         \"failure\": null, \"stages\": [{}]}}",
        number % 3,
        recorded.join(", ")
    );
    std::fs::write(folder.join("run.json"), record).unwrap();
}

const OUTPUTS: [&str; 6] = [
    "weights.safetensors",
    "held_out.h5",
    "samples.h5",
    "metrics.parquet",
    "scan.json",
    "points.parquet",
];

/// A file with an old modification time: the index does not trust a recent one.
fn write_settled(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    let opened = std::fs::File::options().write(true).open(file).unwrap();
    opened
        .set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
}

fn fingerprint(number: usize, stage: u64) -> String {
    format!(
        "{:016x}",
        (number as u64 * 4 + stage).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    )
}

/// A pseudo-random value.
fn value(number: usize, figure: usize) -> f64 {
    let mixed = (number * 1009 + figure) as u64;
    20.0 + (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64
}

fn flow_figures(number: usize) -> Vec<(String, f64)> {
    let names = [
        "held-out flow-matching loss",
        "held-out NLL (nats)",
        "parameters",
        "peak memory of the process (MiB)",
    ];
    names
        .iter()
        .enumerate()
        .map(|(i, n)| ((*n).to_owned(), value(number, i)))
        .collect()
}

fn autoencoder_figures(number: usize) -> Vec<(String, f64)> {
    let names = [
        "held-out mean squared error",
        "regulariser, held-out",
        "effective rank",
        "coverage",
        "energy distance",
        "least variance",
        "greatest variance",
        "NLL gap (nats)",
        "parameters",
        "peak memory of the process (MiB)",
    ];
    names
        .iter()
        .enumerate()
        .map(|(i, n)| ((*n).to_owned(), value(number, 20 + i)))
        .collect()
}

fn nll_figures(number: usize) -> Vec<(String, f64)> {
    let mut names = Vec::new();
    for region in REGIONS {
        names.extend(PLAIN.map(|name| format!("{region}: {name}")));
        for weighting in ["uniform", "likelihood"] {
            for correlation in CORRELATIONS {
                let name = format!("{region}: {weighting}, {correlation}");
                names.extend([format!("{name}, 2.5 %"), format!("{name}, 97.5 %"), name]);
            }
            names.push(format!(
                "{region}: {weighting}, verdict (2 holds, 1 ranks only, 0 fails)"
            ));
        }
    }
    names
        .into_iter()
        .enumerate()
        .map(|(i, name)| (name, value(number, 100 + i)))
        .collect()
}

fn manifest(
    stage: &str,
    fingerprint: &str,
    figures: &[(String, f64)],
    upstream: &[(&str, String)],
    number: usize,
) -> String {
    let mut text = format!(
        "format: 4\nstage: {stage}\nfingerprint: \"{fingerprint}\"\nstarted: \"2026-11-22T04:14:04Z\"\n\
         finished: \"2026-11-22T04:15:25Z\"\nseconds: 80.449\nfigures:\n"
    );
    for (name, value) in figures {
        let _ = writeln!(text, "  \"{name}\": {value}");
    }
    let _ = write!(
        text,
        "warnings: []\nseed: {}\ndevice: cpu\nprogram:\n  version: \"0.1.0\"\n  revision: abc\nconfig:\n",
        number % 3
    );
    for line in section(number).lines() {
        let _ = writeln!(text, "  {line}");
    }
    let digest = "0123456789abcdef".repeat(4);
    let _ = write!(
        text,
        "inputs:\n- key: features.file\n  path: /data/words.h5\n  digest: {digest}\n  size: 3975173\nupstream:\n"
    );
    for (stage, fingerprint) in upstream {
        let _ = writeln!(
            text,
            "- stage: {stage}\n  fingerprint: \"{fingerprint}\"\n  contents: {}",
            &digest[..32]
        );
    }
    if upstream.is_empty() {
        text.truncate(text.len() - 1);
        text.push_str(" []\n");
    }
    text.push_str("outputs:\n");
    for output in OUTPUTS {
        let _ = writeln!(text, "  {output}:\n    digest: {digest}\n    size: 0");
    }
    let content: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let json = serde_json::to_string_pretty(&content).unwrap();
    let above = json.strip_suffix("\n}").unwrap();
    let digest = blake3::hash(above.as_bytes()).to_hex();
    format!("{above},\n  \"digest of all above\": \"{digest}\"\n}}\n")
}

/// The settings of a stage.
fn section(number: usize) -> String {
    format!(
        "features:\n  file: /data/words.h5\n  dataset: features\n  non_finite: refuse\nheld_out:\n  fraction: 0.1\n  \
         at_most: 10000\nnormalisation:\n  centre: true\n  whiten: per_dimension\n  projection:\n    kind: random\n    \
         width: 16\nnetwork:\n  width: {}\n  blocks: 4\n  frequencies: 256\n  time_scale: 100.0\noptimiser:\n  \
         learning_rate: {}\n  warmup_steps: 100\n  final_learning_rate: 0.01\n  weight_decay: 0.0\n  betas:\n  - 0.9\n  \
         - 0.999\n  gradient_clip: 1.0\n  ema: 0.999\nsteps: 1500\nbatch: 256\ntimes: 64\nevaluate_every: 250\n\
         evaluation_points: 8192\nsamples: 1000\nnll_points: 256\nmemory_mib: 512\n",
        64 << (number % 3),
        0.001 / (1 + number) as f64,
    )
}

fn config(number: usize) -> String {
    let mut text = format!(
        "name: run-{number:04}\nseed: {}\ndevice: cpu\nflow: null\n",
        number % 3
    );
    for stage in ["pretrain_flow", "train_autoencoder", "estimate_nll"] {
        let _ = writeln!(text, "{stage}:");
        for line in section(number).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text + "train_classifier: null\nevaluate_latents: null\n"
}
