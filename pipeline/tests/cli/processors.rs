//! One binary for every processor of its kind.

use crate::project::output;
use crate::tiny;

/// Its column.
const LOSS: &str = "pretrain-flow: held-out flow-matching loss";

/// The flow's held-out loss with no more than the vector instructions of `level`.
fn held_out_loss(level: Option<&str>) -> f64 {
    let project = tiny::project();
    let mut run = project.command(&["run", "tiny.yaml", "--until", "pretrain-flow"]);
    if let Some(level) = level {
        run.env("LATENT_ALIGN_CPU", level);
    }
    let ran = output(&mut run).unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let shown = project.run(&["list", "--format", "json", "--columns", LOSS]);
    let rows: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let loss = &rows[0][LOSS];
    loss.as_f64().unwrap_or_else(|| panic!("{rows}"))
}

#[test]
fn the_same_binary_runs_without_avx512_and_without_avx2() {
    let best = held_out_loss(None);
    for level in ["avx2", "portable"] {
        let loss = held_out_loss(Some(level));
        assert!((loss / best - 1.0).abs() < 1e-4, "{level}: {loss} {best}");
    }
}
