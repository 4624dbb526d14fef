//! Checks of a store before a run starts.

use super::Stage;
use super::artifacts::Store;
use super::digests::Digests;
use super::key::Key;
use super::verify::State;
use super::{disk, draft};
use latent_align_hdf5::temporary::{self, remove_abandoned};
use latent_align_stages::{Error, Result};

impl Store {
    /// Prepares the store for writing: creates it, tests that it is writable, and removes leftovers of
    /// killed runs.
    ///
    /// # Errors
    /// [`Error::Input`] if the folder cannot be written.
    pub fn open_for_writing(&self) -> Result<()> {
        for stage in Stage::ALL {
            let folder = self.root().join(stage.name());
            let refused = |why: &dyn std::fmt::Display| {
                Error::input(format!(
                    "--artifacts {}: cannot write there ({why}); choose a writable folder",
                    self.root().display()
                ))
            };
            let failed = |e: std::io::Error| refused(&e);
            if folder.is_symlink() {
                return Err(Error::input(format!(
                    "{}: found a link, expected a folder: artifacts stay in their store; move the folder \
                     there, or choose another with --artifacts",
                    folder.display()
                )));
            }
            disk::create_folder(&folder).map_err(|e| refused(&e))?;
            let probe = temporary::beside(&folder.join("probe"));
            std::fs::write(&probe, b"").map_err(failed)?;
            std::fs::remove_file(&probe).map_err(failed)?;
            draft::remove_abandoned(&folder);
        }
        remove_abandoned(self.root(), |_| true);
        Ok(())
    }

    /// The state of the artifact with this key, with a check of its outputs' digests; only files modified
    /// since `digests` recorded them are read.
    ///
    /// # Errors
    /// [`Error::Input`] if it exists and this user may not read it: computing it again would replace an
    /// artifact that may be intact for others.
    pub fn state(&self, key: &Key, digests: &mut Digests) -> Result<State> {
        let dir = self.artifact(key.stage, &key.fingerprint());
        if dir.is_symlink() {
            return Ok(State::Damaged(
                "it is a link, and artifacts are folders".into(),
            ));
        }
        Ok(match digests.state_of(&dir) {
            State::Unreadable(why) => {
                return Err(Error::input(format!(
                    "{} {} exists but cannot be read ({why}); ask its owner for permission (chmod \
                     -R a+rX {}), or use a store of your own with --artifacts",
                    key.stage,
                    key.fingerprint(),
                    dir.display()
                )));
            }
            State::Whole(manifest) if !manifest.is_of(key) => State::Damaged(format!(
                "its manifest is that of {} {}",
                manifest.stage, manifest.fingerprint
            )),
            state => state,
        })
    }
}
