//! Variants of an experiment, each with several seeds: ordinary runs, and a table of their figures.
//!
//! A trial is a run with its own name. Artifacts are addressed by content, so that stages shared between
//! trials are computed once, and finished ones are not recomputed. [`launch`](crate::launch) runs the trials.
//!
//! - [`mod@file`], [`problems`], [`variants`], [`random`], [`trial`], [`trials`]: from YAML to checked trials
//! - [`halving`]: which of them continue
//! - [`folder`], [`record`], [`standing`]: on disk
//! - [`results`], [`table`], [`mod@race`], [`lead`], [`mod@best`], [`choosing`], [`checks`]: results

mod best;
mod checks;
mod choosing;
mod file;
mod folder;
mod halving;
mod lead;
mod problems;
mod race;
mod random;
mod record;
mod results;
mod standing;
mod table;
mod trial;
mod trials;
mod variants;

pub use best::best;
pub use checks::compare;
pub use choosing::{refuse_to_choose_by, test_figure};
pub use file::{Constraint, Direction, Objective, Slurm, SweepFile};
pub use folder::SweepFolder;
pub use halving::{Dropped, Halving, survivors};
pub use lead::Lead;
pub use race::Seeds;
pub use record::{RECORD, SweepRecord, TrialRecord, trial_record};
pub use results::{TrialRow, Trials, told};
pub use standing::{Standing, TrialState};
pub use table::{MARKDOWN, Table};
pub use trial::{Trial, is_rung};
pub use trials::{Sweep, load};
