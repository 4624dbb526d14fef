//! Duplicate rows: counted, and never on both sides of a split.
//!
//! A row here is an item with all its tokens, the unit of a split. All duplicates are in the part of the
//! first one, so that data without duplicates keep their split. A part given explicitly (a dataset, a
//! list) is unchanged: duplicates of its items are removed from other parts, that is from training rows
//! and, for the test part, from held-out rows.

use super::split::Part;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Maximum number of items that are compared; the table would otherwise take more than 2 GiB.
const MOST: usize = 1 << 26;

/// Treatment of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It stays in its part.
    Stays,
    /// It moves to the part of its first duplicate.
    Moves(Part),
    /// It is a duplicate of an item of a given part.
    LeftOut,
}

/// The rows seen so far, as digests of 61 bits: 10 to 21 bytes per row, and 50 % more while the table
/// grows.
#[derive(Debug)]
pub(super) struct EqualRows {
    seen: Option<HashSet<Seen, BuildHasherDefault<Digest>>>,
    /// Rows that equal an earlier one.
    pub(super) equal: u64,
    /// Those among them in another part than the first.
    pub(super) across: u64,
}

/// A digest, with the part of its row and whether the part is given in the lowest bits.
#[derive(Debug, Clone, Copy)]
struct Seen(u64);

const GIVEN: u64 = 1 << 2;
const BITS: u32 = 3;

impl Seen {
    fn new(key: u64, part: Part, given: bool) -> Self {
        let given = if given { GIVEN } else { 0 };
        Self((key << BITS) | given | part as u64)
    }

    fn part(self) -> Part {
        Part::ALL[(self.0 & 3) as usize]
    }

    fn is_given(self) -> bool {
        self.0 & GIVEN != 0
    }
}

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        self.0 >> BITS == other.0 >> BITS
    }
}

impl Eq for Seen {}

impl Hash for Seen {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0 >> BITS);
    }
}

/// Keys are digests already.
#[derive(Debug, Default)]
struct Digest(u64);

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole digests are hashed");
    }

    fn write_u64(&mut self, key: u64) {
        // the table also uses the highest bits, which would be zero
        self.0 = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl EqualRows {
    /// An empty table for `items` items.
    pub(super) fn among(items: usize) -> Self {
        Self {
            seen: (items <= MOST).then(HashSet::default),
            equal: 0,
            across: 0,
        }
    }

    /// Whether rows are compared; not if there are too many.
    pub(super) fn compares(&self) -> bool {
        self.seen.is_some()
    }

    /// Records an item of `part` and returns its treatment. Given parts must come first, the test part
    /// before the held-out one.
    pub(super) fn note(&mut self, key: u64, part: Part, given: bool) -> Place {
        let Some(seen) = &mut self.seen else {
            return Place::Stays;
        };
        let new = Seen::new(key, part, given);
        let Some(first) = seen.get(&new).copied() else {
            seen.insert(new);
            return Place::Stays;
        };
        self.equal += 1;
        if first.part() == part {
            return Place::Stays;
        }
        self.across += 1;
        match first.is_given() {
            true => Place::LeftOut,
            false => Place::Moves(first.part()),
        }
    }
}

/// The digest of each item of `raw`, `width` numbers each; 0 and -0 are equal.
pub(super) fn keys(raw: &[f32], width: usize) -> Vec<u64> {
    raw.par_chunks_exact(width)
        .with_min_len(64)
        .map(key)
        .collect()
}

fn key(values: &[f32]) -> u64 {
    let has_minus_zero = values.iter().any(|v| v.to_bits() == 1 << 31);
    let values: Cow<[f32]> = match has_minus_zero {
        true => values.iter().map(|v| v + 0.0).collect(),
        false => values.into(),
    };
    let digest = blake3::hash(bytemuck::cast_slice(&values));
    let bytes = digest.as_bytes()[..8].try_into();
    u64::from_le_bytes(bytes.expect("eight of 32 bytes")) >> BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_take_the_part_of_the_first_and_given_parts_stay() {
        let mut rows = EqualRows::among(9);
        let [a, b, c] = [5, 6, 7];
        assert_eq!(rows.note(a, Part::Test, true), Place::Stays);
        assert_eq!(rows.note(a, Part::Test, true), Place::Stays);
        assert_eq!(rows.note(a, Part::HeldOut, true), Place::LeftOut);
        assert_eq!(rows.note(a, Part::Train, false), Place::LeftOut);
        assert_eq!(rows.note(b, Part::HeldOut, false), Place::Stays);
        assert_eq!(
            rows.note(b, Part::Train, false),
            Place::Moves(Part::HeldOut)
        );
        assert_eq!(rows.note(c, Part::Train, false), Place::Stays);
        assert_eq!(rows.note(c, Part::Train, false), Place::Stays);
        assert_eq!((rows.equal, rows.across), (5, 3));
    }

    #[test]
    fn keys_are_of_values_and_not_of_signs_of_zero() {
        let found = keys(&[0.0, 1.0, -0.0, 1.0, 1.0, 0.0], 2);
        assert_eq!(found[0], found[1]);
        assert_ne!(found[0], found[2]);
    }
}
