//! `COLUMN OP VALUE`: which rows to keep.

use super::glob::matches;
use super::names::resolve;
use super::source::Source;
use latent_align_stages::{Error, Result};
use polars::prelude::{AnyValue, Column};
use std::cmp::Ordering;

/// A condition on rows.
pub struct Filter {
    /// The column to compare.
    pub column: usize,
    operator: &'static str,
    value: String,
    given: String,
}

/// Longer operators before their prefixes.
const OPERATORS: [&str; 9] = [">=", "<=", "!=", "!~", "==", "=", ">", "<", "~"];

impl Filter {
    /// Parses `given` for a column of `source`. Names may contain operators: the first operator after
    /// a known column counts.
    ///
    /// # Errors
    /// [`Error::Input`] without an operator or a known column.
    pub fn parse(given: &str, source: &Source) -> Result<Self> {
        let mut wrong = None;
        for (at, _) in given.char_indices() {
            let Some(operator) = OPERATORS.into_iter().find(|o| given[at..].starts_with(o)) else {
                continue;
            };
            match resolve(source, given[..at].trim(), "--filter") {
                Ok(column) => {
                    let value = given[at + operator.len()..].trim().to_owned();
                    return Ok(Self {
                        column,
                        operator,
                        value,
                        given: given.to_owned(),
                    });
                }
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
        Err(wrong.unwrap_or_else(|| {
            Error::input(format!(
                "--filter: found `{given}`, expected a column, one of = != < <= > >= ~ !~, and a value, \
                 such as state=finished"
            ))
        }))
    }

    /// Which rows of its `column` to keep.
    ///
    /// # Errors
    /// [`Error::Input`] if numbers are compared with text.
    pub fn mask(&self, column: &Column) -> Result<Vec<bool>> {
        let number = self.value.parse::<f64>();
        let is_like = matches!(self.operator, "~" | "!~");
        let numeric = column.dtype().is_primitive_numeric();
        if numeric && number.is_err() && !is_like && !self.value.is_empty() {
            return Err(Error::input(format!(
                "--filter: found `{}`, but `{}` holds numbers; expected a number instead of `{}`",
                self.given,
                column.name(),
                self.value
            )));
        }
        let keeps = |value: AnyValue| {
            let is_none = value.is_null();
            if self.value.is_empty() {
                return match self.operator {
                    "=" | "==" => is_none,
                    _ => !is_none,
                };
            }
            if is_none {
                return matches!(self.operator, "!=" | "!~");
            }
            let order = match (value.extract::<f64>(), &number) {
                (Some(value), Ok(number)) if numeric && !is_like => {
                    if value.is_nan() && number.is_nan() {
                        Some(Ordering::Equal)
                    } else {
                        value.partial_cmp(number)
                    }
                }
                _ => Some(text(&value).as_str().cmp(self.value.as_str())),
            };
            match self.operator {
                "~" => matches(&self.value, &text(&value)),
                "!~" => !matches(&self.value, &text(&value)),
                "!=" => order != Some(Ordering::Equal),
                "=" | "==" => order == Some(Ordering::Equal),
                ">" => order == Some(Ordering::Greater),
                "<" => order == Some(Ordering::Less),
                ">=" => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
                _ => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            }
        };
        let values = column.as_materialized_series().iter();
        Ok(values.map(keeps).collect())
    }
}

/// A value as a user types it.
pub fn text(value: &AnyValue) -> String {
    match value {
        AnyValue::Null => String::new(),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        AnyValue::Float64(number) => number.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::{Field, Values};
    use super::*;

    fn source() -> Source<'static> {
        let words = ["finished", "failed", ""].into_iter();
        let fields = vec![
            Field::text("state", words),
            Field::new(
                "nll: S = 4 (bits)",
                Values::Float(vec![Some(1.5), Some(f64::NAN), None]),
            ),
        ];
        Source::new(3, fields)
    }

    fn rows(given: &str) -> Result<Vec<usize>> {
        let source = source();
        let filter = Filter::parse(given, &source)?;
        let mask = filter.mask(&source.fields[filter.column].column())?;
        Ok((0..3).filter(|i| mask[*i]).collect())
    }

    #[test]
    fn every_operator_keeps_what_it_says() {
        for (given, kept) in [
            ("state=finished", &[0][..]),
            ("state == failed", &[1]),
            ("state!=finished", &[1, 2]),
            ("state~f*", &[0, 1]),
            ("state!~fin*", &[1, 2]),
            ("state>failed", &[0]),
            ("state=", &[2]),
            ("state!=", &[0, 1]),
            ("nll: S = 4 (bits) >= 1.5", &[0]),
            ("nll: S = 4 (bits)<2", &[0]),
            ("nll: S = 4 (bits)<=1", &[]),
            ("nll: S = 4 (bits)=nan", &[1]),
            ("nll: S = 4 (bits)!=1.5", &[1, 2]),
        ] {
            assert_eq!(rows(given).unwrap(), kept, "{given}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (given, part) in [
            ("finished", "expected a column"),
            ("stat=finished", "did you mean `state`?"),
            ("nll: S = 4 (bits)=many", "holds numbers"),
        ] {
            let message = rows(given).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
