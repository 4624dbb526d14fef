//! The sequences of a file.

use super::alphabet::Alphabet;
use super::lines;
use super::tokeniser::Tokeniser;
use super::{Sequence, ids};
use crate::error::Result;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Location and format of sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct SequenceSource {
    /// A text file, or the HDF5 file of `dataset`.
    pub file: PathBuf,
    /// The dataset [N, L] of numbers, for [`Tokeniser::Ids`].
    pub dataset: String,
    /// The tokeniser.
    pub tokeniser: Tokeniser,
    /// Maximum number of tokens per sequence; by default that of the longest in the file.
    pub longest: Option<usize>,
}

/// Sequences with their alphabet.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    pub alphabet: Alphabet,
    /// In file order.
    pub sequences: Vec<Sequence>,
}

impl SequenceSource {
    /// Reads all sequences; the alphabet consists of the tokens found, in ascending order.
    ///
    /// # Errors
    /// File errors; input errors with line and column for an invalid sequence, an empty line, or a line that is too
    /// long.
    pub fn read(&self) -> Result<Corpus> {
        let texts = self.texts()?;
        let mut found = BTreeSet::new();
        let mut longest = 0;
        for text in &texts {
            // untokenisable text is reported below, with its position
            let cut = self.tokeniser.cut(text).unwrap_or_default();
            longest = longest.max(cut.len());
            found.extend(cut.into_iter().map(|(_, token)| token));
        }
        let longest = self.longest.unwrap_or(longest.max(1));
        let alphabet = Alphabet::of(&self.tokeniser, longest, &found);
        self.corpus(&texts, alphabet)
    }

    /// Reads all sequences with a given `alphabet`.
    ///
    /// # Errors
    /// As [`Self::read`]; an input error for a token that the alphabet lacks.
    pub fn read_in(&self, alphabet: &Alphabet) -> Result<Corpus> {
        self.corpus(&self.texts()?, alphabet.clone())
    }

    fn texts(&self) -> Result<Vec<String>> {
        match self.tokeniser {
            Tokeniser::Ids { fill } => ids::read(&self.file, &self.dataset, fill),
            _ => lines::read(&self.file),
        }
    }

    fn corpus(&self, texts: &[String], alphabet: Alphabet) -> Result<Corpus> {
        let place = self.file.display().to_string();
        let texts = texts.iter().zip(1..);
        let sequences = texts.map(|(text, number)| alphabet.sequence(text, &place, number));
        Ok(Corpus {
            sequences: sequences.collect::<Result<_>>()?,
            alphabet,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{OutData, write_datasets};

    fn source(file: PathBuf, tokeniser: Tokeniser) -> SequenceSource {
        SequenceSource {
            file,
            dataset: "tokens".into(),
            tokeniser,
            longest: None,
        }
    }

    fn read(text: &str, tokeniser: Tokeniser, longest: Option<usize>) -> Result<Corpus> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.txt");
        std::fs::write(&file, text).unwrap();
        SequenceSource {
            longest,
            ..source(file, tokeniser)
        }
        .read()
    }

    #[test]
    fn a_file_becomes_its_sequences_without_their_scores_and_its_alphabet() {
        let corpus = read("ba\t1.5\r\nabc\t-2\n", Tokeniser::Characters, None).unwrap();
        assert_eq!(corpus.alphabet.tokens(), ["a", "b", "c"]);
        assert_eq!(corpus.alphabet.longest(), 3);
        assert_eq!(corpus.sequences, [vec![2, 1], vec![1, 2, 3]]);
        let longer = read("ba\nabc", Tokeniser::Characters, Some(8)).unwrap();
        assert_eq!(longer.alphabet.longest(), 8);
    }

    #[test]
    fn a_bad_line_is_shown_with_its_line_and_column() {
        for (text, tokeniser, longest, told) in [
            (
                "ab\n\nc",
                Tokeniser::Characters,
                None,
                "x.txt:2:1: found an empty line",
            ),
            (
                "ab\nabcd",
                Tokeniser::Characters,
                Some(3),
                "x.txt:2:4: found 4 tokens",
            ),
            (
                "[C]\n[C]O",
                Tokeniser::Brackets,
                None,
                "x.txt:2:4: found `O`",
            ),
            (
                "a\t1\nb",
                Tokeniser::Characters,
                None,
                "x.txt:2: found a line without a score",
            ),
            (
                "a\t1\nbb\tx",
                Tokeniser::Characters,
                None,
                "x.txt:2:4: found the score `x`",
            ),
            (
                "",
                Tokeniser::Characters,
                None,
                "x.txt: found an empty file",
            ),
        ] {
            let error = read(text, tokeniser, longest).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn numbers_of_a_dataset_are_read_up_to_their_fill() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.h5");
        let read = |rows: &[u8], fill: Option<i64>| {
            let shape = [rows.len() / 3, 3];
            write_datasets(&file, &[("tokens", &shape, OutData::U8(rows))], &[]).unwrap();
            source(file.clone(), Tokeniser::Ids { fill }).read()
        };
        let corpus = read(&[12, 3, 0, 3, 0, 0], Some(0)).unwrap();
        assert_eq!(corpus.alphabet.tokens(), ["3", "12"]);
        assert_eq!(corpus.sequences, [vec![2, 1], vec![1]]);
        assert_eq!(corpus.alphabet.text(&corpus.sequences[0]), "12 3");
        assert_eq!(corpus.alphabet.longest(), 2);
        let whole = read(&[12, 3, 0, 3, 0, 0], None).unwrap();
        assert_eq!(whole.sequences, [vec![3, 2, 1], vec![2, 1, 1]]);
        for (rows, told) in [
            ([0, 1, 1], "row 0 is empty"),
            ([1, 0, 1], "token 1 at 2 after"),
        ] {
            let error = read(&rows, Some(0)).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let fractions = [("tokens", &[1, 2][..], OutData::F32(&[1.5, 2.0]))];
        write_datasets(&file, &fractions, &[]).unwrap();
        let error = source(file, Tokeniser::Ids { fill: None })
            .read()
            .unwrap_err();
        assert!(error.to_string().contains("expected integers"), "{error}");
    }
}
