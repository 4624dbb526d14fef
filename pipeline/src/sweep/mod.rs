//! Variants of an experiment, each with several seeds: ordinary runs, and a table of their figures.
//!
//! A trial is a run of its own name. Artifacts are addressed by content, so that stages which trials share
//! are computed once, and what is finished is not computed again. Running them is for
//! [`launch`](crate::launch).
//!
//! - [`mod@file`], [`problems`], [`variants`], [`random`], [`trial`], [`trials`]: from YAML to checked trials
//! - [`halving`]: which of them go on
//! - [`folder`], [`record`], [`standing`]: on disk
//! - [`results`], [`table`], [`mod@race`], [`mod@best`], [`choosing`], [`checks`]: what came of them

mod best;
mod checks;
mod choosing;
mod file;
mod folder;
mod halving;
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
pub use race::Seeds;
pub use record::{RECORD, SweepRecord, TrialRecord, trial_record};
pub use results::{TrialRow, Trials, told};
pub use standing::{Standing, TrialState};
pub use table::{MARKDOWN, Table};
pub use trial::Trial;
pub use trials::{Sweep, load};
