//! The start of a search: random sequences of the objective, or those of a file.

use super::objective::{Alphabet, Opened, Score, Space};
use super::search::Start;
use crate::error::{Error, Result};
use crate::problems::Problems;
use crate::random::Streams;
use crate::sequences::{Tokeniser, Uncut};
use rand::RngExt;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The start of a search. Its sequences are not counted as calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "StartConfig")]
pub struct StartConfig {
    /// The number of sequences.
    pub count: usize,
    /// A text file of sequences, one per line, relative to the configuration file, of which `count` are drawn; a
    /// tab and a score, a number or `infeasible`, may follow. By default sequences are drawn at random from the
    /// objective's space.
    pub file: Option<PathBuf>,
    /// The share of the best sequences to exclude: 0.5 for a start no better than the median.
    pub best_left_out: f64,
    /// How to split the file's sequences into tokens, for a genetic algorithm on an objective without an alphabet
    /// of its own.
    pub tokeniser: Tokeniser,
    /// The number of distinct sequences drawn and scored to determine the best, without a file.
    pub draws: usize,
}

impl Default for StartConfig {
    fn default() -> Self {
        Self {
            count: 100,
            file: None,
            best_left_out: 0.0,
            tokeniser: Tokeniser::Characters,
            draws: 10_000,
        }
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    text: String,
    score: Option<Score>,
    /// From 1; 0 for sequences not from a file.
    line: usize,
}

/// The start of a search.
pub struct Starting {
    /// The sequences.
    pub start: Vec<Start>,
    /// The share of best sequences that was excluded.
    pub left_out: f64,
}

impl StartConfig {
    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.within("count", self.count, 1..=10_000_000);
        problems.share("best_left_out", self.best_left_out, "0.5");
        problems.within("draws", self.draws, 1..=10_000_000);
        problems.require(
            !matches!(self.tokeniser, Tokeniser::Ids { .. }),
            "tokeniser.kind",
            "ids",
            "`characters`, `whitespace`, `brackets` or `pattern`, since the file is text",
        );
        let chosen = self.file.is_none() && self.best_left_out > 0.0;
        problems.require(
            !chosen || self.count as f64 <= (1.0 - self.best_left_out) * self.draws as f64,
            "draws",
            self.draws,
            "more, so that `count` are left without the best",
        );
    }

    /// The sequences of the file, without repetitions; none without a file.
    ///
    /// # Errors
    /// File errors; an input error for an invalid line, or too few sequences.
    pub fn read(&self) -> Result<Option<Vec<Row>>> {
        let Some(path) = &self.file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, e))?;
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        for (number, line) in text.lines().enumerate() {
            let row = parse(line, number + 1).map_err(|found| {
                Error::input(format!(
                    "{}: line {}: found {found}, expected a sequence, or a sequence, a tab and its score, a number or \
                     `infeasible`",
                    path.display(),
                    number + 1
                ))
            })?;
            if seen.insert(row.text.clone()) {
                rows.push(row);
            }
        }
        let left = ((1.0 - self.best_left_out) * rows.len() as f64).floor() as usize;
        if left < self.count {
            return Err(Error::input(format!(
                "{}: found {} different sequences, {left} of them without the excluded best; \
                 expected `count`, {}, or more",
                path.display(),
                rows.len(),
                self.count
            )));
        }
        self.refuse_unscored(path, &rows)?;
        Ok(Some(rows))
    }

    fn refuse_unscored(&self, path: &Path, rows: &[Row]) -> Result<()> {
        match rows.iter().find(|row| row.score.is_none()) {
            Some(row) if self.best_left_out > 0.0 => Err(Error::input(format!(
                "{}: found no score of {:?}, expected a tab and a score behind each sequence, \
                 needed to exclude the best (initial.best_left_out)",
                path.display(),
                row.text
            ))),
            _ => Ok(()),
        }
    }

    /// The start, from the `rows` of the file if given.
    ///
    /// # Errors
    /// An input error without a file and without a space to draw from; those of the objective.
    pub fn choose(
        &self,
        opened: &mut Opened,
        rows: Option<&[Row]>,
        streams: Streams,
    ) -> Result<Starting> {
        let mut rng = streams.at("start", 0);
        let rows = match (rows, &opened.space) {
            (Some(rows), _) => rows.to_vec(),
            (None, Some(space)) => self.draw(space.as_ref(), &mut rng)?,
            (None, None) => {
                return Err(Error::input(
                    "initial.file: found none, expected a file of sequences",
                ));
            }
        };
        let drawn = rows.len();
        let mut rows = match self.best_left_out > 0.0 {
            true => self.without_best(rows, opened)?,
            false => rows,
        };
        let left_out = 1.0 - rows.len() as f64 / drawn as f64;
        // the first ones in random order
        let (mut start, mut seen, mut next) = (Vec::new(), BTreeSet::new(), 0);
        while start.len() < self.count && next < rows.len() {
            let some = next..(next + self.count - start.len()).min(rows.len());
            for place in some.clone() {
                let other = rng.random_range(place..rows.len());
                rows.swap(place, other);
            }
            next = some.end;
            let texts = rows[some.clone()].iter().map(|row| row.text.clone());
            let written = opened.canonical.of(texts.collect(), &|| false)?;
            for (text, row) in written.into_iter().zip(&rows[some]) {
                if let Some(text) = text.filter(|text| seen.insert(text.clone())) {
                    let score = row.score;
                    start.push(Start { text, score });
                }
            }
        }
        Ok(Starting { start, left_out })
    }

    /// As many distinct sequences of `space` as needed.
    fn draw(&self, space: &dyn Space, rng: &mut Pcg64) -> Result<Vec<Row>> {
        let count = match self.best_left_out > 0.0 {
            true => self.draws,
            false => self.count,
        };
        let (mut seen, mut rows, mut known) = (BTreeSet::new(), Vec::new(), 0);
        while rows.len() < count {
            let text = space.draw(rng);
            if seen.insert(text.clone()) {
                known = 0;
                rows.push(Row {
                    text,
                    score: None,
                    line: 0,
                });
                continue;
            }
            known += 1;
            if known > 100_000 {
                return Err(Error::input(format!(
                    "initial: found {} different random sequences, expected {count}; ask for fewer",
                    rows.len()
                )));
            }
        }
        Ok(rows)
    }

    /// `rows` without the best; ties with the best remaining one stay.
    fn without_best(&self, mut rows: Vec<Row>, opened: &mut Opened) -> Result<Vec<Row>> {
        let unknown = rows.iter_mut().filter(|row| row.score.is_none());
        let mut unknown: Vec<&mut Row> = unknown.collect();
        let texts: Vec<String> = unknown.iter().map(|row| row.text.clone()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut open = unknown.iter_mut();
        let mut take = |scores: &[Score]| {
            for (row, score) in open.by_ref().zip(scores) {
                row.score = Some(*score);
            }
            Ok(())
        };
        opened.objective.score(&texts, &|| false, &mut take)?;
        let sign = opened.objective.direction().sign();
        let value = |row: &Row| {
            row.score
                .flatten()
                .map_or(f64::NEG_INFINITY, |score| sign * score)
        };
        let mut values: Vec<f64> = rows.iter().map(value).collect();
        values.sort_by(|a, b| b.total_cmp(a));
        let threshold =
            values[((self.best_left_out * values.len() as f64) as usize).min(values.len() - 1)];
        rows.retain(|row| value(row) <= threshold);
        Ok(rows)
    }
}

fn parse(line: &str, number: usize) -> Result<Row, String> {
    let (text, score) = match line.split_once('\t') {
        None => (line, None),
        Some((text, "infeasible")) => (text, Some(None)),
        Some((text, score)) => match score.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => (text, Some(Some(number))),
            _ => return Err(format!("the score {score:?}")),
        },
    };
    match text.is_empty() {
        true => Err("nothing".to_owned()),
        false => Ok(Row {
            text: text.to_owned(),
            score,
            line: number,
        }),
    }
}

/// The sequences of a file as a space: draws are from them, and they define the tokens.
pub struct Rows {
    texts: Vec<String>,
    alphabet: Alphabet,
}

impl Rows {
    /// The space of `rows` of the file of `config`, split by its tokeniser.
    ///
    /// # Errors
    /// An input error with line and column for a sequence that cannot be split.
    pub fn new(rows: &[Row], config: &StartConfig) -> Result<Arc<Self>> {
        let texts: Vec<String> = rows.iter().map(|row| row.text.clone()).collect();
        match Alphabet::of(config.tokeniser.clone(), &texts) {
            Ok(alphabet) => Ok(Arc::new(Self { alphabet, texts })),
            Err((place, Uncut { column, why })) => Err(Error::input(format!(
                "{}:{}:{column}: {why} (initial.tokeniser)",
                config.file.as_deref().unwrap_or(Path::new("")).display(),
                rows[place].line
            ))),
        }
    }
}

impl Space for Rows {
    fn draw(&self, rng: &mut Pcg64) -> String {
        self.texts[rng.random_range(0..self.texts.len())].clone()
    }

    fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimisation::ObjectiveConfig;

    fn opened() -> Opened {
        let config = serde_json::from_str::<ObjectiveConfig>(r#"{"kind": "expression"}"#);
        config.unwrap().open().unwrap()
    }

    fn of_file(text: &str, count: usize, best_left_out: f64) -> Result<Option<Vec<Row>>> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("start.txt");
        std::fs::write(&file, text).unwrap();
        StartConfig {
            count,
            file: Some(file),
            best_left_out,
            ..StartConfig::default()
        }
        .read()
    }

    /// Fails if the best draws stay, or more than those are excluded.
    #[test]
    fn a_start_no_better_than_the_median_is_drawn_from_the_worse_half() {
        let config = StartConfig {
            count: 40,
            best_left_out: 0.5,
            draws: 400,
            ..StartConfig::default()
        };
        let choose = |seed| {
            config
                .choose(&mut opened(), None, Streams::new(seed))
                .unwrap()
        };
        let starting = choose(0);
        assert!(
            (starting.left_out - 0.5).abs() < 0.05,
            "{}",
            starting.left_out
        );
        let score = |start: &Start| start.score.flatten().unwrap();
        let best = starting
            .start
            .iter()
            .map(score)
            .fold(f64::INFINITY, f64::min);
        assert_eq!(starting.start.len(), 40);
        // the median of draws
        assert!((2.5..5.0).contains(&best), "{best}");
        assert_eq!(choose(0).start, starting.start);
        assert_ne!(choose(1).start, starting.start);
    }

    #[test]
    fn a_file_is_read_with_its_scores_and_each_sequence_once() {
        let rows = of_file("x\t1.5\nx+1\n1\tinfeasible\nx\t9\n", 3, 0.0);
        let rows = rows.unwrap().unwrap();
        let row = |line, text: &str, score| Row {
            text: text.to_owned(),
            score,
            line,
        };
        let expected = [
            row(1, "x", Some(Some(1.5))),
            row(2, "x+1", None),
            row(3, "1", Some(None)),
        ];
        assert_eq!(rows, expected);
        let config = StartConfig {
            count: 3,
            ..StartConfig::default()
        };
        let starting = config
            .choose(&mut opened(), Some(&rows), Streams::new(0))
            .unwrap();
        let mut texts: Vec<&str> = starting
            .start
            .iter()
            .map(|start| start.text.as_str())
            .collect();
        texts.sort_unstable();
        assert_eq!(texts, ["1", "x", "x+1"]);
        assert_eq!(starting.left_out, 0.0);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_line() {
        for (text, count, left_out, expected) in [
            (
                "x\t1\nx+1\tgood\n",
                1,
                0.0,
                "line 2: found the score \"good\"",
            ),
            ("x\n\n", 1, 0.0, "line 2: found nothing"),
            ("x\t1\t2\n", 1, 0.0, "line 1: found the score \"1\\t2\""),
            ("x\nx\n", 2, 0.0, "found 1 different sequences, 1 of them"),
            (
                "x\t1\n1\t2\n",
                2,
                0.5,
                "found 2 different sequences, 1 of them",
            ),
            ("x\t1\n1\n", 1, 0.5, "found no score of \"1\""),
        ] {
            let told = of_file(text, count, left_out).unwrap_err().to_string();
            assert!(told.contains(expected), "{text:?}: {told}");
        }
    }
}
