//! The format of a store, and what files are called in it.

/// The layout and meaning of artifacts. Part of every fingerprint; a reader refuses a newer one.
pub const FORMAT: u32 = 3;

/// In an artifact: what it is.
pub const MANIFEST: &str = "manifest.yaml";
/// In an artifact, and among checkpoints: the learning curves.
pub const METRICS: &str = "metrics.parquet";

/// In the folder of a run: how it stands.
pub const RECORD: &str = "run.json";
/// In the folder of a run: the experiment with all its values.
pub const CONFIG: &str = "config.yaml";
/// In the folder of a run: what people read first.
pub const SUMMARY: &str = "summary.md";
/// In the folder of a run or a sweep: its report.
pub const REPORT: &str = "report.html";
