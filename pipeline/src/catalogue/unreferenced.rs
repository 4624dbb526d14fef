//! Unreferenced entries of a store, and their removal.
//!
//! An artifact is kept while a run leads to it, by link or record, or it is upstream of a kept artifact. If
//! any reference cannot be read, nothing is deleted at all. Entries locked by a living process are left
//! alone, as are names that this program does not create. An entry is renamed to the name of a leftover
//! before it is deleted, so that no partial entry is ever visible.

use super::leftovers::leftovers;

use super::artifacts::ArtifactEntry;
use super::candidate::{Candidate, size, stays};
use super::found::Catalogue;
use crate::store::{Lock, MANIFEST, Store, can_be_read, held};
use latent_align_stages::Result;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything in the store that is unreferenced. An artifact with a damaged manifest is removed only with
/// `damaged`, since its contents are unknown.
///
/// # Errors
/// [`Input`](latent_align_stages::Error::Input) if something that may refer to artifacts cannot be read.
pub fn candidates(catalogue: &mut Catalogue, damaged: bool) -> Result<Vec<Candidate>> {
    let references = catalogue.references()?;
    let places = catalogue.store.artifacts();
    let entries = catalogue.artifacts(&places);
    let loose = entries
        .into_iter()
        .filter(|e| !references.hold(e.stage, &e.fingerprint));
    let loose: Vec<ArtifactEntry> = loose.filter(|e| !e.dir.is_symlink()).collect();
    let kept = references.damaged.first().filter(|_| !damaged);
    let unknown = kept.map(|dir| {
        let dir = dir.display();
        format!("stays without --damaged: {dir}, which is kept and damaged, may refer to it")
    });
    let mut found: Vec<Candidate> = Vec::new();
    for entry in loose {
        let is_readable = catalogue.index.card(&entry.dir).is_ok();
        let folder = entry.dir.parent().unwrap_or(&entry.dir);
        let busy = stays(&held(folder, &entry.fingerprint));
        let unread = can_be_read(&entry.dir.join(MANIFEST)).err();
        let unread = unread.map(|why| format!("stays: its manifest cannot be read ({why})"));
        let (goes, why) = match (&entry.problem, &unknown) {
            _ if busy.is_some() || unread.is_some() => (false, busy.or(unread).unwrap_or_default()),
            (Some(why), _) if !is_readable && !damaged => {
                (false, format!("stays without --damaged: {why}"))
            }
            (_, Some(why)) => (false, why.clone()),
            (Some(why), _) => (true, format!("nothing refers to it; {why}")),
            (None, _) => (true, "nothing refers to it".to_owned()),
        };
        found.push(Candidate {
            stage: Some(entry.stage),
            bytes: size(&entry.dir),
            path: entry.dir,
            lock: Some(entry.fingerprint.clone()),
            name: entry.fingerprint,
            why,
            goes,
        });
    }
    found.extend(leftovers(&catalogue.store, &references, unknown.as_deref()));
    Ok(found)
}

/// Removes `candidates`, except those now referenced or in use. Returns the bytes freed, and the candidates
/// that were kept.
///
/// # Errors
/// Removal fails; or something that may refer to artifacts cannot be read, and nothing is removed.
pub fn remove(store: &Store, candidates: &[&Candidate]) -> Result<(u64, Vec<String>)> {
    let mut stayed = Vec::new();
    let mut locks: BTreeMap<PathBuf, Result<Lock, String>> = BTreeMap::new();
    for candidate in candidates {
        if let Some((folder, fingerprint)) = candidate.locked()
            && !locks.contains_key(&folder.join(fingerprint))
        {
            let lock = Lock::try_claim(folder, fingerprint)?;
            locks.insert(folder.join(fingerprint), lock);
        }
    }
    // A run may have started meanwhile; while this process holds the locks, no run can compute what it finds
    // missing.
    let references = Catalogue::of(store).references()?;
    let mut freed = 0;
    for candidate in candidates {
        let lock = candidate
            .locked()
            .and_then(|(folder, name)| locks.get(&folder.join(name)));
        if let Some(Err(holder)) = lock {
            stayed.push(format!("{}: in use by {holder}", candidate.path.display()));
            continue;
        }
        if candidate
            .stage
            .is_some_and(|stage| references.hold(stage, &candidate.name))
        {
            stayed.push(format!(
                "{}: a run refers to it now",
                candidate.path.display()
            ));
            continue;
        }
        candidate.remove()?;
        freed += candidate.bytes;
    }
    Ok((freed, stayed))
}
