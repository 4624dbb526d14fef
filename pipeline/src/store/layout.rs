//! The format of a store, and its file names.

/// The version of the layout and meaning of artifacts. Part of every fingerprint; newer ones are
/// refused.
pub const FORMAT: u32 = 4;

/// In an artifact: its manifest.
pub const MANIFEST: &str = "manifest.json";
/// In an artifact, and among checkpoints: the learning curves.
pub const METRICS: &str = "metrics.parquet";

/// In the folder of a run: its state.
pub const RECORD: &str = "run.json";
/// In the folder of a run: the experiment with all its values.
pub const CONFIG: &str = "config.yaml";
/// In the folder of a run: the summary for readers.
pub const SUMMARY: &str = "summary.md";
/// In the folder of a run or a sweep: its report.
pub const REPORT: &str = "report.html";
