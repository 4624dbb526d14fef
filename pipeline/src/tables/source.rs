//! A table with all columns, which are converted to polars only on demand.

use polars::prelude::{Column, IntoColumn as _, NamedFrom as _, Series};
use serde_json::Value;

/// All columns.
pub struct Source<'a> {
    /// The number of rows.
    pub height: usize,
    /// The columns.
    pub fields: Vec<Field<'a>>,
    /// Those shown by default.
    pub shown: Vec<usize>,
}

/// A column.
pub struct Field<'a> {
    /// Its name.
    pub name: String,
    /// How to display its values.
    pub kind: Kind,
    /// Its values, one per row.
    pub values: Values<'a>,
}

/// How to display the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Unchanged.
    Plain,
    /// A time.
    Moment,
    /// A duration in seconds.
    Seconds,
    /// A size in bytes.
    Bytes,
    /// A figure with five digits.
    Figure,
    /// The difference of the column before from a baseline.
    Delta,
}

/// The values of a column; none for rows without a value.
pub enum Values<'a> {
    /// Texts.
    Text(Vec<Option<String>>),
    /// Numbers.
    Float(Vec<Option<f64>>),
    /// Integers.
    Int(Vec<Option<i64>>),
    /// Settings as JSON, which determine the type of the column.
    Setting(Vec<Option<&'a str>>),
}

impl<'a> Source<'a> {
    /// A table of `height` rows that shows all of its `fields`.
    pub fn new(height: usize, fields: Vec<Field<'a>>) -> Self {
        let shown = (0..fields.len()).collect();
        Self {
            height,
            fields,
            shown,
        }
    }

    /// Shows only `names`; unknown names are ignored.
    pub fn showing(mut self, names: &[&str]) -> Self {
        let place = |name: &&str| self.fields.iter().position(|f| f.name == **name);
        self.shown = names.iter().filter_map(place).collect();
        self
    }
}

impl<'a> Field<'a> {
    /// A column with plain values.
    pub fn new(name: impl Into<String>, values: Values<'a>) -> Self {
        let name = name.into();
        Self {
            name,
            kind: Kind::Plain,
            values,
        }
    }

    /// The column with this kind.
    pub fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// A column of texts; empty ones count as missing.
    pub fn text<T: Into<String>>(name: &str, words: impl Iterator<Item = T>) -> Self {
        let words = words.map(|w| Some(w.into()).filter(|w: &String| !w.is_empty()));
        Self::new(name, Values::Text(words.collect()))
    }

    /// A column of integers.
    pub fn ints(name: impl Into<String>, values: impl Iterator<Item = Option<i64>>) -> Self {
        Self::new(name, Values::Int(values.collect()))
    }

    /// A column of numbers.
    pub fn floats(name: impl Into<String>, values: impl Iterator<Item = Option<f64>>) -> Self {
        Self::new(name, Values::Float(values.collect()))
    }

    /// The column as a polars column.
    pub fn column(&self) -> Column {
        let name = self.name.as_str().into();
        match &self.values {
            Values::Text(values) => Series::new(name, values),
            Values::Float(values) => Series::new(name, values),
            Values::Int(values) => Series::new(name, values),
            Values::Setting(values) => settings(&self.name, values),
        }
        .into_column()
    }

    /// Whether two rows differ.
    pub fn varies(&self) -> bool {
        fn differ<T>(values: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
            values.windows(2).any(|pair| !same(&pair[0], &pair[1]))
        }
        match &self.values {
            Values::Text(values) => differ(values, |a, b| a == b),
            Values::Int(values) => differ(values, |a, b| a == b),
            Values::Setting(values) => differ(values, |a, b| a == b),
            // NaN equals NaN here.
            Values::Float(values) => {
                differ(values, |a, b| a.map(f64::to_bits) == b.map(f64::to_bits))
            }
        }
    }
}

/// A column of the narrowest type that holds all `values`.
fn settings(name: &str, values: &[Option<&str>]) -> Series {
    let parse = |json: &&str| serde_json::from_str(json).unwrap_or(Value::Null);
    let parsed = values.iter().map(|v| v.as_ref().map_or(Value::Null, parse));
    let parsed: Vec<Value> = parsed.collect();
    let all = |is: fn(&Value) -> bool| parsed.iter().all(|v| v.is_null() || is(v));
    let name = name.into();
    if all(Value::is_i64) {
        Series::new(name, parsed.iter().map(Value::as_i64).collect::<Vec<_>>())
    } else if all(Value::is_number) {
        Series::new(name, parsed.iter().map(Value::as_f64).collect::<Vec<_>>())
    } else if all(Value::is_boolean) {
        Series::new(name, parsed.iter().map(Value::as_bool).collect::<Vec<_>>())
    } else {
        let text = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        Series::new(name, parsed.iter().map(text).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::DataType;

    #[test]
    fn settings_get_the_type_that_all_of_them_have() {
        for (values, dtype) in [
            (["1", "2"], DataType::Int64),
            (["1", "0.5"], DataType::Float64),
            (["true", "null"], DataType::Boolean),
            (["\"a\"", "1"], DataType::String),
            (["[1,2]", "null"], DataType::String),
        ] {
            let field = Field::new("a", Values::Setting(values.map(Some).to_vec()));
            assert_eq!(*field.column().dtype(), dtype, "{values:?}");
        }
    }

    #[test]
    fn nan_is_no_difference() {
        let varies =
            |values: [f64; 2]| Field::new("a", Values::Float(values.map(Some).to_vec())).varies();
        assert!(!varies([f64::NAN, f64::NAN]));
        assert!(varies([f64::NAN, 1.0]));
    }
}
