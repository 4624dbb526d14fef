//! The figures of a stage as Markdown: plain ones as a list, those of regions (`region: figure`) side by
//! side, a figure with its interval (`figure, 2.5 %` and `figure, 97.5 %`) in one cell.

use super::coded::{short_name, word};
use super::numbers::number;
use super::table::{TERMINAL, markdown};
use latent_align_stages::figures::INTERVAL;

/// A table of plain figures, and tables of regions that fit a terminal's width.
pub fn figures_tables(figures: &[(String, f64)]) -> String {
    let mut plain = vec![vec!["figure".to_owned(), "value".to_owned()]];
    let mut regions: Vec<&str> = Vec::new();
    let mut labels: Vec<&str> = Vec::new();
    for (name, value) in figures {
        let Some((region, label)) = name.split_once(": ") else {
            plain.push(vec![short_name(name).to_owned(), shown(name, *value)]);
            continue;
        };
        if is_bound(label) {
            continue; // shown with its figure
        }
        if !regions.contains(&region) {
            regions.push(region);
        }
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    let get = |region: &str, label: &str| {
        let name = format!("{region}: {label}");
        figures.iter().find(|f| f.0 == name).map(|f| f.1)
    };
    let cell = |region: &str, label: &str| {
        let limits = INTERVAL.map(|bound| get(region, &format!("{label}{bound}")));
        match (get(region, label), limits) {
            (Some(value), [Some(low), Some(high)]) => with_interval(value, low, high),
            (value, _) => value.map_or(String::new(), |value| shown(label, value)),
        }
    };
    let mut out = String::new();
    if plain.len() > 1 {
        out.push_str(&markdown(&plain));
    }
    let columns: Vec<Vec<String>> = (regions.iter())
        .map(|region| {
            let cells = labels.iter().map(|label| cell(region, label));
            std::iter::once((*region).to_owned()).chain(cells).collect()
        })
        .collect();
    let names: Vec<String> = std::iter::once(String::new())
        .chain(labels.iter().map(|label| short_name(label).to_owned()))
        .collect();
    let mut left = columns.as_slice();
    while !left.is_empty() {
        let (now, later) = left.split_at(fitting(&names, left));
        left = later;
        let row = |i: usize| {
            let cells = now.iter().map(move |column| column[i].clone());
            std::iter::once(names[i].clone()).chain(cells).collect()
        };
        let present = |row: &Vec<String>| row[1..].iter().any(|cell| !cell.is_empty());
        let rows: Vec<Vec<String>> = (0..names.len()).map(row).filter(present).collect();
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&markdown(&rows));
    }
    out
}

/// How many of `columns` fit a terminal's width beside `names`, at least one.
fn fitting(names: &[String], columns: &[Vec<String>]) -> usize {
    let width = |column: &[String]| {
        let longest = column.iter().map(|cell| cell.chars().count()).max();
        longest.unwrap_or(0) + 3
    };
    let mut used = width(names);
    let fits = columns.iter().take_while(|column| {
        used += width(column);
        used < TERMINAL
    });
    fits.count().max(1)
}

/// `value [low, high]` with two digits of the interval's width.
fn with_interval(value: f64, low: f64, high: f64) -> String {
    let digits = 1.0 - (high - low).log10().floor();
    if !value.is_finite() || !digits.is_finite() {
        return number(value);
    }
    let digits = digits.clamp(0.0, 6.0) as usize;
    format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
}

/// The value of the figure `name` for display: a number, or the word for a code.
pub fn shown(name: &str, value: f64) -> String {
    word(name, value).map_or_else(|| number(value), str::to_owned)
}

/// Whether `name` is one end of a figure's interval.
pub fn is_bound(name: &str) -> bool {
    INTERVAL.iter().any(|bound| name.ends_with(bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_stand_side_by_side_with_intervals_in_their_cells() {
        let figure = |name: &str, value| (name.to_owned(), value);
        let tables = figures_tables(&[
            figure("grid: Pearson", 0.5),
            figure("grid: Pearson, 2.5 %", 0.4),
            figure("grid: Pearson, 97.5 %", 0.6),
            figure("latents: points", 8.0),
            figure(
                "grid: uniform, verdict (2 holds, 1 ranks only, 0 fails)",
                1.0,
            ),
            figure("evaluations", 12.0),
        ]);
        assert_eq!(
            tables,
            "\
| figure      | value |
|-------------|-------|
| evaluations | 12    |

|                  | grid              | latents |
|------------------|-------------------|---------|
| Pearson          | 0.50 [0.40, 0.60] |         |
| points           |                   | 8       |
| uniform, verdict | ranks only        |         |
"
        );
    }

    #[test]
    fn many_regions_stand_in_tables_that_fit_a_terminal() {
        let figures: Vec<(String, f64)> = (0..12)
            .flat_map(|i| ["a", "b"].map(|l| (format!("region number {i}: {l}"), f64::from(i))))
            .collect();
        let tables = figures_tables(&figures);
        assert!(
            tables.lines().all(|line| line.chars().count() <= TERMINAL),
            "{tables}"
        );
        assert_eq!(tables.matches("region number").count(), 12);
        assert_eq!(tables.matches("| a ").count(), 2);
    }
}
