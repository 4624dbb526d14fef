//! Artifacts on disk: `artifacts/<stage>/<fingerprint>/`.
//!
//! A stage fills a temporary folder beside its artifact. The manifest is written last and the folder
//! is renamed into place, so that an artifact is either complete or absent. Artifacts are identified
//! by their inputs, not by time or location.

mod artifacts;
mod clock;
mod digests;
mod disk;
mod draft;
mod file_record;
mod history;
mod index;
mod key;
mod layout;
mod lock;
mod manifest;
mod names;
mod opening;
mod progress;
mod record;
mod runs;
mod sealed;
mod shared;
mod stages;
mod training;
mod verify;

pub use artifacts::Store;
pub use digests::Digests;
pub use disk::{can_be_read, entries, ignore_size_limit_signal, remove_at_once, write_whole};
pub use draft::{Draft, Outcome, is_over};
pub use file_record::FileRecord;
pub use history::{entry_name, entry_of};
pub use index::{Card, Index, Settings, Symbol, in_parallel};
pub use key::{Key, Upstream};
pub use latent_align_stages::stages::Stage;
pub use layout::{CONFIG, FORMAT, MANIFEST, METRICS, RECORD, REPORT, SUMMARY};
pub use lock::{Held, Lock, held};
pub use manifest::Manifest;
pub use names::Name;
pub use progress::Progress;
pub use record::{Presence, RunRecord, RunState, StageOfRun, as_text, identity};
pub use runs::RunFolder;
pub use stages::RunStages;
pub use training::{Checkpoint, Training, checkpoints};
pub use verify::{State, Wrong, missing, state_of, unreadable, verify_digests, verify_output};
