//! `optimisers.svg`: the best score of searches by their calls, median and quartiles over seeds.

use crate::report::charts::figure::Figure;
use crate::report::charts::legend::legend;
use crate::report::charts::palette::{BAD, BLUE, FAIR, GOOD, GREY, ORANGE};
use crate::report::charts::panel::{LINE, Panel, canvas};
use crate::report::charts::scale::{percentile, range, widened};
use crate::report::charts::searches::best_so_far;
use crate::report::charts::svg::{Svg, Trace};
use crate::report::charts::tables::Table;
use crate::sweep::Trials;

/// The size of a panel.
const SIZE: (f64, f64) = (460.0, 280.0);
/// The colours of variants; their number limits the variants of a panel and the entries per line of its
/// legend.
const COLOURS: [&str; 6] = [BLUE, ORANGE, GOOD, GREY, FAIR, BAD];
const IN_A_LINE: usize = 2;
/// The largest number of points of a curve.
const PLACES: usize = 300;

/// The best score by the number of calls.
type Curve = Vec<(f64, f64)>;

/// The searches of one variant.
struct Variant {
    name: String,
    seeds: Vec<Curve>,
}

/// The figure of `trials`, a panel for each objective; none if no trial is a search.
pub fn draw(trials: &Trials) -> Option<Figure> {
    let mut panels: Vec<(&str, Vec<Variant>)> = Vec::new();
    for row in &trials.rows {
        let Some(search) = &row.search else {
            continue;
        };
        let curve = Table::read(&search.evaluations).and_then(|table| best_so_far(&table));
        let Some(curve) = curve.ok().filter(|curve| !curve.is_empty()) else {
            continue;
        };
        let at = panels.iter().position(|panel| panel.0 == search.objective);
        let at = at.unwrap_or_else(|| {
            panels.push((&search.objective, Vec::new()));
            panels.len() - 1
        });
        let variants = &mut panels[at].1;
        let name = &row.trial.variant;
        match variants.iter_mut().find(|variant| variant.name == *name) {
            Some(variant) => variant.seeds.push(curve),
            None => variants.push(Variant {
                name: name.clone(),
                seeds: vec![curve],
            }),
        }
    }
    let drawn: Vec<Svg> = panels
        .iter()
        .filter_map(|(_, variants)| panel(variants))
        .collect();
    (!drawn.is_empty()).then_some(Figure {
        panels: drawn,
        columns: 2,
        caption: "Lines: the median over seeds of the best score by the number of calls; bands: \
            lower to upper quartile. The value at 0 calls is the best of the initial points."
            .to_owned(),
    })
}

fn panel(variants: &[Variant]) -> Option<Svg> {
    let bands: Vec<Vec<(f64, [f64; 3])>> = variants.iter().map(|v| band(&v.seeds)).collect();
    let values: Vec<f64> = bands.iter().flatten().flat_map(|place| place.1).collect();
    let (low, high) = range(&values, 0.0, 1.0)?;
    let last = bands
        .iter()
        .flatten()
        .map(|place| place.0)
        .fold(1.0, f64::max);
    let lines = variants.len().div_ceil(IN_A_LINE);
    let (mut svg, area) = canvas(SIZE, lines);
    let panel = Panel::linear(area, (0.0, last), widened((low, high), 0.04));
    panel.rules(&mut svg);
    let colours = || COLOURS.iter().cycle();
    for (band, colour) in bands.iter().zip(colours()) {
        let lower = band
            .iter()
            .map(|(at, [low, _, _])| panel.place((*at, *low)));
        let upper = band
            .iter()
            .rev()
            .map(|(at, [_, _, high])| panel.place((*at, *high)));
        let mut outline = Trace::default();
        outline.line(lower.chain(upper));
        svg.trace(
            &outline,
            &format!(r#"fill="{colour}" fill-opacity="0.16" stroke="none""#),
        );
    }
    for ((variant, band), colour) in variants.iter().zip(&bands).zip(colours()) {
        let median: Curve = band
            .iter()
            .map(|(at, [_, median, _])| (*at, *median))
            .collect();
        panel.curve(&mut svg, &variant.name, colour, &median);
    }
    let entries: Vec<(&str, &str)> = (variants.iter().zip(colours()))
        .map(|(variant, colour)| (variant.name.as_str(), *colour))
        .collect();
    for (line, entries) in entries.chunks(IN_A_LINE).enumerate() {
        let from_below = (lines - 1 - line) as f64;
        legend(&mut svg, area.x, area.y - 9.0 - LINE * from_below, entries);
    }
    panel.finish(
        &mut svg,
        "best score so far",
        "calls of the objective",
        "score",
    );
    Some(svg)
}

/// The lower quartile, the median and the upper quartile of `seeds` at each place, from where all have a
/// score.
fn band(seeds: &[Curve]) -> Vec<(f64, [f64; 3])> {
    let first = seeds.iter().map(|curve| curve[0].0).fold(0.0, f64::max);
    let last = seeds
        .iter()
        .map(|curve| curve[curve.len() - 1].0)
        .fold(first, f64::max);
    let places = PLACES.min((last - first) as usize + 1);
    let at = |place: usize| match places {
        1 => first,
        _ => (first + (last - first) * place as f64 / (places - 1) as f64).floor(),
    };
    let value = |curve: &Curve, at: f64| {
        let behind = curve.partition_point(|point| point.0 <= at);
        curve[behind.max(1) - 1].1
    };
    let quartiles = |at: f64| {
        let values: Vec<f64> = seeds.iter().map(|curve| value(curve, at)).collect();
        [0.25, 0.5, 0.75].map(|share| percentile(&values, share).unwrap_or(f64::NAN))
    };
    (0..places).map(at).map(|at| (at, quartiles(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if a seed counts before it has a score, or a value does not hold up to the next.
    #[test]
    fn quartiles_are_those_of_the_seeds_at_each_place() {
        let seeds = [
            vec![(0.0, 4.0), (2.0, 0.0)],
            vec![(1.0, 8.0), (2.0, 2.0)],
            vec![(0.0, 6.0), (2.0, 1.0)],
        ];
        let expected = [(1.0, [5.0, 6.0, 7.0]), (2.0, [0.5, 1.0, 1.5])];
        assert_eq!(band(&seeds), expected);
        assert_eq!(band(&[vec![(3.0, 1.0)]]), [(3.0, [1.0; 3])]);
    }
}
