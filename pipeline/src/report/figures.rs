//! The figures of a stage as Markdown: plain ones as a list, those of regions (`region: figure`) side by
//! side, a figure with its interval (`figure, 2.5 %` and `figure, 97.5 %`) in one cell.

use super::{RegionVerdict, is_verdict, markdown, number, short_name};

/// One or two tables, the second for regions.
pub fn figures_tables(figures: &[(String, f64)]) -> String {
    let mut plain = vec![vec!["figure".to_owned(), "value".to_owned()]];
    let mut regions: Vec<&str> = Vec::new();
    let mut labels: Vec<&str> = Vec::new();
    for (name, value) in figures {
        let Some((region, label)) = name.split_once(": ") else {
            plain.push(vec![name.clone(), number(*value)]);
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
        let value = get(region, label).map_or(String::new(), |v| shown(label, v));
        let limits = BOUNDS.map(|bound| get(region, &format!("{label}{bound}")));
        match limits {
            [Some(low), Some(high)] => format!("{value} [{low:.3}, {high:.3}]"),
            _ => value,
        }
    };
    let mut out = String::new();
    if plain.len() > 1 {
        out.push_str(&markdown(&plain));
    }
    if !regions.is_empty() {
        let header = regions.iter().map(|r| (*r).to_owned());
        let mut rows = vec![std::iter::once(String::new()).chain(header).collect()];
        for label in labels {
            let cells = regions.iter().map(|region| cell(region, label));
            let label = short_name(label).to_owned();
            rows.push(std::iter::once(label).chain(cells).collect());
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&markdown(&rows));
    }
    out
}

/// The value of the figure `name` as people read it: a number, or the word that it stands for.
pub fn shown(name: &str, value: f64) -> String {
    match RegionVerdict::of(value) {
        Some(verdict) if is_verdict(name) => verdict.word().to_owned(),
        _ => number(value),
    }
}

/// What the names of an interval's limits end in.
const BOUNDS: [&str; 2] = [", 2.5 %", ", 97.5 %"];

/// True for the name of one end of a figure's interval.
pub fn is_bound(name: &str) -> bool {
    BOUNDS.iter().any(|bound| name.ends_with(bound))
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

|                  | grid                   | latents |
|------------------|------------------------|---------|
| Pearson          | 0.50000 [0.400, 0.600] |         |
| points           |                        | 8       |
| uniform, verdict | ranks only             |         |
"
        );
    }
}
