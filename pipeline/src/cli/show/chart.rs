//! A chart in the terminal: plain characters, 80 columns, no colours.

use crate::tables::number;

/// Columns and lines of the plotting area.
const SIZE: (usize, usize) = (66, 14);
/// Columns for the tick labels.
const LABEL: usize = 11;
/// The ratio of the largest to the smallest value from which the axis is logarithmic.
const WIDE: f64 = 20.0;
const TRAINING: char = '.';
const HELD_OUT: char = 'o';

/// A metric over steps, of training and of held-out data.
pub struct Panel {
    /// The stage and the metric.
    pub title: String,
    /// On training batches.
    pub training: Vec<(f64, f64)>,
    /// On held-out data.
    pub held_out: Vec<(f64, f64)>,
}

/// The chart of `panel`: training curves with dots, held-out curves with circles.
pub fn draw(panel: &Panel) -> String {
    let all = || panel.training.iter().chain(&panel.held_out);
    let fold = |start, of: fn(f64, f64) -> f64| all().map(|p| p.1).fold(start, of);
    let (low, high) = (
        fold(f64::INFINITY, f64::min),
        fold(f64::NEG_INFINITY, f64::max),
    );
    let is_logarithmic = low > 0.0 && high > WIDE * low;
    let bend = |v: f64| if is_logarithmic { v.ln() } else { v };
    let straight = |v: f64| if is_logarithmic { v.exp() } else { v };
    let (bottom, top) = match (bend(low), bend(high)) {
        (a, b) if b > a => (a, b),
        (a, _) => (a - a.abs().max(1.0) / 20.0, a + a.abs().max(1.0) / 20.0),
    };
    let first = all().map(|p| p.0).fold(f64::INFINITY, f64::min);
    let last = all().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
    let place = |p: &(f64, f64)| {
        let across = match last > first {
            true => (p.0 - first) / (last - first),
            false => 0.5,
        };
        let down = 1.0 - (bend(p.1) - bottom) / (top - bottom);
        let [x, y] = [across * (SIZE.0 - 1) as f64, down * (SIZE.1 - 1) as f64];
        (x.round() as usize, y.round() as usize)
    };
    let mut grid = vec![vec![' '; SIZE.0]; SIZE.1];
    for (points, mark) in [(&panel.training, TRAINING), (&panel.held_out, HELD_OUT)] {
        for pair in points.windows(2) {
            join(&mut grid, place(&pair[0]), place(&pair[1]));
        }
        for point in points {
            let (x, y) = place(point);
            grid[y][x] = mark;
        }
    }
    let mut out = panel.title.clone();
    for (points, mark, what) in [
        (&panel.training, TRAINING, "training"),
        (&panel.held_out, HELD_OUT, "held-out"),
    ] {
        if !points.is_empty() {
            out.push_str(&format!("   {mark} {what}"));
        }
    }
    let scale = if is_logarithmic {
        "   (logarithmic)"
    } else {
        ""
    };
    out.push_str(&format!("{scale}\n"));
    for (y, line) in grid.iter().enumerate() {
        let share = 1.0 - y as f64 / (SIZE.1 - 1) as f64;
        let value = straight(bottom + share * (top - bottom));
        let (label, tick) = match y % 4 == 0 || y == SIZE.1 - 1 {
            true => (number(value), '+'),
            false => (String::new(), '|'),
        };
        let line: String = line.iter().collect();
        out.push_str(&format!("{label:>LABEL$} {tick}{}\n", line.trim_end()));
    }
    let (first, last) = (number(first), number(last));
    out.push_str(&format!("{:LABEL$} +{}\n", "", "-".repeat(SIZE.0)));
    let gap = SIZE.0.saturating_sub(first.len() + "step".len());
    out.push_str(&format!("{:LABEL$}  {first} step{last:>gap$}\n", ""));
    out.lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// Draws dots between two cells, where cells are empty.
fn join(grid: &mut [Vec<char>], from: (usize, usize), to: (usize, usize)) {
    let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1));
    for step in 1..steps {
        let between = |a: usize, b: usize| {
            let share = step as f64 / steps as f64;
            (a as f64 + share * (b as f64 - a as f64)).round() as usize
        };
        let cell = &mut grid[between(from.1, to.1)][between(from.0, to.0)];
        if *cell == ' ' {
            *cell = '\u{b7}';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(training: &[f64], held_out: &[f64]) -> Panel {
        let points = |values: &[f64]| (1..).map(f64::from).zip(values.iter().copied()).collect();
        Panel {
            title: "pretrain-flow: loss".into(),
            training: points(training),
            held_out: points(held_out),
        }
    }

    #[test]
    fn a_chart_fits_a_terminal_and_has_both_curves() {
        let values: Vec<f64> = (1..500).map(|i| 100.0 / f64::from(i)).collect();
        let chart = draw(&panel(&values, &[50.0, 40.0]));
        assert!(
            chart.lines().all(|line| line.chars().count() <= 80),
            "{chart}"
        );
        assert!(
            chart.contains(". training   o held-out   (logarithmic)"),
            "{chart}"
        );
        let drawn: String = chart.lines().skip(1).collect();
        assert!(
            drawn.contains('o') && drawn.contains('.') && drawn.contains("499"),
            "{chart}"
        );
    }

    #[test]
    fn the_largest_value_is_at_the_top_and_the_smallest_at_the_bottom() {
        let chart = draw(&panel(&[1.0, 2.0, 3.0], &[]));
        let lines: Vec<&str> = chart.lines().collect();
        assert!(
            lines[1].trim_start().starts_with("3 +") && lines[1].ends_with('.'),
            "{chart}"
        );
        assert!(lines[SIZE.1].trim_start().starts_with("1 +."), "{chart}");
    }

    #[test]
    fn one_point_and_equal_values_are_drawn() {
        for values in [&[2.0][..], &[0.0, 0.0], &[-1.0, -1.0, -1.0]] {
            let chart = draw(&panel(values, &[]));
            assert!(
                chart.lines().skip(1).any(|line| line.contains('.')),
                "{chart}"
            );
        }
    }
}
