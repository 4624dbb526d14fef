//! Statistics of the sequences of a file, stored with the artifact.

use super::alphabet::Alphabet;
use super::{Corpus, Sequence};
use crate::data::{Part, Split};
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;

/// Statistics of all sequences, and the part of each.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// BLAKE3 of alphabet and sequences, in hexadecimal.
    pub digest: String,
    /// Number of sequences.
    pub sequences: usize,
    /// Number of sequences that equal an earlier one; they are in its part.
    pub duplicates: usize,
    /// Number of sequences per part: training, held-out, test.
    pub parts: [usize; 3],
    /// Number of sequences by length, from 0.
    pub lengths: Vec<usize>,
    /// Number of occurrences of each token, the end token first, which occurs once per sequence.
    pub occurrences: Vec<usize>,
    /// Tokeniser and tokens.
    pub alphabet: Alphabet,
    #[serde(skip)]
    part_of: Vec<Part>,
}

impl Found {
    /// Scans `corpus` and assigns its sequences to parts by `split`; equal ones are in the part of
    /// the first.
    pub fn of(corpus: &Corpus, split: &Split) -> Self {
        let Corpus {
            alphabet,
            sequences,
            ..
        } = corpus;
        let mut hasher = blake3::Hasher::new();
        hasher.update(
            serde_json::to_string(alphabet)
                .expect("plain data serialises")
                .as_bytes(),
        );
        let mut first: HashMap<&Sequence, Part> = HashMap::new();
        let mut found = Self {
            digest: String::new(),
            sequences: sequences.len(),
            duplicates: 0,
            parts: [0; 3],
            lengths: vec![0; alphabet.longest() + 1],
            occurrences: vec![0; alphabet.size()],
            alphabet: alphabet.clone(),
            part_of: Vec::with_capacity(sequences.len()),
        };
        for (item, sequence) in sequences.iter().enumerate() {
            let known = first.len();
            let part = *first.entry(sequence).or_insert_with(|| split.part(item));
            found.duplicates += usize::from(first.len() == known);
            found.parts[part as usize] += 1;
            found.part_of.push(part);
            found.lengths[sequence.len()] += 1;
            found.occurrences[0] += 1;
            for &token in sequence {
                found.occurrences[token as usize] += 1;
                hasher.update(&token.to_le_bytes());
            }
            hasher.update(&[0; 4]);
        }
        found.digest = hasher.finalize().to_hex().to_string();
        found
    }

    /// The items of `part`, ascending.
    pub fn items(&self, part: Part) -> Vec<usize> {
        let items = self.part_of.iter().enumerate();
        items
            .filter(|(_, of)| **of == part)
            .map(|(item, _)| item)
            .collect()
    }

    /// Writes the statistics into the directory `dir` as `scan.json`.
    ///
    /// # Errors
    /// File errors.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join("scan.json");
        let json = serde_json::to_vec_pretty(self).map_err(|e| Error::file(&path, e))?;
        std::fs::write(&path, json).map_err(|e| Error::file(&path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequences::Tokeniser;

    /// Fails if equal sequences are in different parts.
    #[test]
    fn equal_sequences_are_in_one_part_and_counted() {
        let alphabet = Alphabet::new(Tokeniser::Characters, 2, vec!["a".into(), "b".into()]);
        let sequence = |i: u32| vec![1 + i % 2; 1 + (i / 2 % 2) as usize];
        let sequences: Vec<Sequence> = (0..600).map(sequence).collect();
        let corpus = Corpus {
            sequences,
            alphabet,
        };
        let found = Found::of(&corpus, &Split::drawn(5, 0.3, 0.3));
        assert_eq!(found.duplicates, 596);
        assert_eq!(found.lengths, [0, 300, 300]);
        assert_eq!(found.occurrences, [600, 450, 450]);
        assert_eq!(found.parts.iter().sum::<usize>(), 600);
        for part in Part::ALL {
            let items = found.items(part);
            assert_eq!(items.len() % 150, 0, "{part:?}: {}", items.len());
        }
    }
}
