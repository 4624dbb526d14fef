//! Whether the heaps of variable-length text in a file can be walked: libhdf5 1.10 goes round for ever in
//! one that is broken.

use std::cell::OnceCell;
use std::path::Path;

/// What is shown of text that is not read.
pub(super) const DAMAGED: &str = "(text in a heap that is damaged)";
/// Larger files are not looked through; text in them is read as it is.
const LARGEST: u64 = 64 << 20;
/// What a heap starts with.
const SIGNATURE: &[u8] = b"GCOL";
/// Bytes before the first object, and before the data of each.
const HEADER: usize = 16;

/// The heaps of one file, looked through once, and only where somebody asks.
pub(super) struct Heaps<'a> {
    path: &'a Path,
    sound: OnceCell<bool>,
}

impl<'a> Heaps<'a> {
    /// Those of the file `path`. Reads nothing.
    pub(super) fn of(path: &'a Path) -> Self {
        Self {
            path,
            sound: OnceCell::new(),
        }
    }

    /// Whether every collection ends ("HDF5 File Format Specification", III.E).
    pub(super) fn are_sound(&self) -> bool {
        *self.sound.get_or_init(|| all_end(self.path))
    }
}

fn all_end(path: &Path) -> bool {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() <= LARGEST => {}
        _ => return true,
    }
    let Ok(bytes) = std::fs::read(path) else {
        return true; // whoever reads on will say why
    };
    let starts = bytes.windows(SIGNATURE.len()).enumerate();
    starts
        .filter(|(_, found)| *found == SIGNATURE)
        .all(|(start, _)| ends(&bytes[start..]))
}

/// Whether a walk over the objects of the collection at the start of `bytes` gets to its end.
fn ends(bytes: &[u8]) -> bool {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let Some(size) = number(8).filter(|size| *size >= HEADER && *size <= bytes.len()) else {
        return false;
    };
    let mut at = HEADER;
    while at + HEADER <= size {
        let Some(length) = number(at + 8) else {
            return false;
        };
        let step = match (bytes[at], bytes[at + 1]) {
            // what is free, with its own header
            (0, 0) => length,
            _ => length.saturating_add(HEADER + 7) / 8 * 8,
        };
        if step < HEADER || step > size - at {
            return false;
        }
        at += step;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdf5::types::VarLenUnicode;

    #[test]
    fn a_heap_that_never_ends_is_told_from_a_good_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text.h5");
        let file = hdf5::File::create(&path).unwrap();
        for name in ["one", "two"] {
            let text: VarLenUnicode = name.repeat(7).parse().unwrap();
            let attribute = file.new_attr::<VarLenUnicode>().create(name);
            attribute.unwrap().write_scalar(&text).unwrap();
        }
        drop(file);
        let are_sound = || Heaps::of(&path).are_sound();
        assert!(are_sound());
        let whole = std::fs::read(&path).unwrap();
        let heap = whole.windows(4).position(|w| w == SIGNATURE).unwrap();
        // the first object is free space of no size
        let mut broken = whole.clone();
        broken[heap + HEADER..][..HEADER].fill(0);
        std::fs::write(&path, broken).unwrap();
        assert!(!are_sound());
        // and one that goes on past the end
        let mut broken = whole;
        broken[heap + HEADER + 12] = 1;
        std::fs::write(&path, broken).unwrap();
        assert!(!are_sound());
    }
}
