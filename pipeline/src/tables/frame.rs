//! The result of a query: rows filtered and sorted by polars.

use super::filter::{Filter, text};
use super::source::{Kind, Source};
use latent_align_stages::{Error, Result};
use polars::prelude::{
    BooleanChunked, Column, DataFrame, DataType, IntoColumn as _, NamedFrom as _,
    NewChunkedArray as _, PolarsError, Series, SortMultipleOptions,
};

/// Rows and columns to write.
pub struct Frame {
    /// The values.
    pub data: DataFrame,
    /// The kind of each column.
    pub kinds: Vec<Kind>,
}

impl Frame {
    /// The rows of `source` that pass all `filters`, sorted by `sort` (a column, and whether
    /// descending), at most `limit` of them, with the columns `shown`. Rows without a value, or with
    /// NaN, come last.
    ///
    /// # Errors
    /// [`Error::Input`] for an invalid comparison.
    pub fn of(
        source: &Source,
        filters: &[Filter],
        sort: &[(usize, bool)],
        limit: Option<usize>,
        shown: &[usize],
    ) -> Result<Self> {
        let mut mask = vec![true; source.height];
        for filter in filters {
            let keeps = filter.mask(&source.fields[filter.column].column())?;
            mask.iter_mut()
                .zip(keeps)
                .for_each(|(all, this)| *all &= this);
        }
        let failed = |e: PolarsError| Error::input(format!("the table cannot be made: {e}"));
        let mut columns: Vec<Column> = shown.iter().map(|at| source.fields[*at].column()).collect();
        let keys: Vec<String> = (0..sort.len()).map(|i| format!("\u{0}{i}")).collect();
        for ((at, _), key) in sort.iter().zip(&keys) {
            columns.push(sortable(&source.fields[*at].column()).with_name(key.as_str().into()));
        }
        let mut data = DataFrame::new(source.height, columns).map_err(failed)?;
        let mask = BooleanChunked::from_slice("mask".into(), &mask);
        data = data.filter(&mask).map_err(failed)?;
        if !sort.is_empty() {
            let options = SortMultipleOptions::default()
                .with_order_descending_multi(sort.iter().map(|s| s.1))
                .with_nulls_last(true)
                .with_maintain_order(true)
                .with_multithreaded(false);
            data = data
                .sort(keys.iter().map(String::as_str), options)
                .map_err(failed)?;
            data = data.drop_many(keys.iter().map(String::as_str));
        }
        if let Some(limit) = limit {
            data = data.head(Some(limit));
        }
        let kinds = shown.iter().map(|at| source.fields[*at].kind).collect();
        Ok(Self { data, kinds })
    }
}

impl Frame {
    /// The texts in the column `name`, skipping rows without one.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = String> {
        let column = self.data.column(name).ok();
        let values = column
            .into_iter()
            .flat_map(|c| c.as_materialized_series().iter());
        values.filter(|v| !v.is_null()).map(|v| text(&v))
    }
}

/// The column with NaN replaced by missing values.
fn sortable(column: &Column) -> Column {
    match column.dtype() {
        DataType::Float64 => {
            let values = column.f64().expect("its type was asked for").iter();
            let values: Vec<Option<f64>> = values.map(|v| v.filter(|v| !v.is_nan())).collect();
            Series::new(column.name().clone(), values).into_column()
        }
        _ => column.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::{Field, Values};
    use super::*;

    #[test]
    fn what_is_no_number_comes_last_whichever_way() {
        let values = vec![Some(2.0), None, Some(f64::NAN), Some(1.0)];
        let fields = vec![
            Field::text("name", ["two", "none", "nan", "one"].into_iter()),
            Field::new("x", Values::Float(values)),
        ];
        let source = Source::new(4, fields);
        for (descending, order) in [(false, ["one", "two"]), (true, ["two", "one"])] {
            let frame = Frame::of(&source, &[], &[(1, descending)], Some(3), &[0]).unwrap();
            let names = frame.data.column("name").unwrap().str().unwrap();
            let names: Vec<&str> = names.iter().flatten().collect();
            assert_eq!(names, [order[0], order[1], "none"]);
            assert_eq!(frame.data.width(), 1);
        }
    }
}
