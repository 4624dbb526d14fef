//! `pareto.svg`: the reconstruction error of trials against the NLL of their latents.

use crate::report::charts::figure::Figure;
use crate::report::charts::palette::{BLUE, GREY, INK, ORANGE};
use crate::report::charts::panel::{Panel, canvas};
use crate::report::charts::scale::{range, widened};
use crate::report::charts::svg::{Anchor, Font, Svg, Trace};
use crate::sweep::{TrialRow, Trials};
use crate::tables::number;
use latent_align_stages::figures::of_stage::{ERROR, FEATURES_NLL, NLL};

/// The size of the panel.
const SIZE: (f64, f64) = (460.0, 300.0);
/// The trials of the front are labelled if there are at most this many.
const NAMED: usize = 12;

/// The trials of the Pareto front, by number, from left to right. Trials whose latents are likelier than the
/// features do not count: a smaller NLL is no success there.
pub fn on_front(trials: &Trials) -> Vec<usize> {
    let place = |row: &TrialRow| match row.is_likelier_than_features() {
        true => None,
        false => row.shown(ERROR).zip(row.shown(NLL)),
    };
    let points = trials.rows.iter().map(place);
    let points: Vec<(f64, f64)> = points.map(|p| p.unwrap_or((f64::NAN, f64::NAN))).collect();
    front(&points)
}

/// The figure of `trials`; none if less than two have both figures.
pub fn draw(trials: &Trials) -> Option<Figure> {
    let counted = on_front(trials);
    let placed: Vec<(usize, &TrialRow, (f64, f64))> = (trials.rows.iter().enumerate())
        .filter_map(|(i, row)| Some((i, row, (row.shown(ERROR)?, row.shown(NLL)?))))
        .collect();
    if placed.len() < 2 {
        return None;
    }
    let points: Vec<(f64, f64)> = placed.iter().map(|p| p.2).collect();
    // positions among the placed trials, from left to right
    let best: Vec<usize> = (counted.iter())
        .filter_map(|i| placed.iter().position(|p| p.0 == *i))
        .collect();
    let features: Vec<f64> = (trials.rows.iter())
        .filter_map(|row| row.shown(FEATURES_NLL))
        .collect();
    let features_nll =
        (!features.is_empty()).then(|| features.iter().sum::<f64>() / features.len() as f64);
    let xs: Vec<f64> = points.iter().map(|p| p.0).collect();
    let ys: Vec<f64> = points.iter().map(|p| p.1).chain(features_nll).collect();
    let (x, y) = (range(&xs, 0.0, 1.0)?, range(&ys, 0.0, 1.0)?);

    let (mut svg, area) = canvas(SIZE, 1);
    let panel = Panel::linear(area, widened(x, 0.1), widened(y, 0.1));
    panel.rules(&mut svg);
    if let Some(level) = features_nll {
        let (low, high) = panel.x.values();
        let mut line = Trace::default();
        line.line([low, high].map(|v| panel.place((v, level))));
        let style = format!(r#"stroke="{INK}" stroke-dasharray="5 4" fill="none""#);
        svg.trace(&line, &style);
    }
    let mut line = Trace::default();
    line.line(best.iter().map(|i| panel.place(points[*i])));
    let style = format!(r#"stroke="{ORANGE}" stroke-width="1.6" fill="none""#);
    svg.trace(&line, &style);
    for (i, (_, row, point)) in placed.iter().enumerate() {
        let is_best = best.contains(&i);
        let tip = format!(
            "{}: mean squared error {}, NLL {} nats{}",
            row.trial.run,
            number(point.0),
            number(point.1),
            if is_best { ", on the front" } else { "" }
        );
        let colour = if is_best { ORANGE } else { BLUE };
        let style = format!(r#"fill="{colour}" fill-opacity="0.85""#);
        svg.mark(panel.place(*point), 4.5, &tip, &style);
    }
    if best.len() <= NAMED {
        let named = best.iter().map(|&i| {
            let name = placed[i].1.short_name(&trials.record.name);
            (panel.place(points[i]), name)
        });
        label(&mut svg, named, area.x + 0.6 * area.width);
    }
    let entries = [
        ("Pareto front", ORANGE),
        ("other trials", BLUE),
        ("NLL of features (dashed)", GREY),
    ];
    let shown = if features_nll.is_some() { 3 } else { 2 };
    panel.legend(&mut svg, &entries[..shown]);
    let title = "Reconstruction against likelihood";
    let axes = ["mean squared error", "NLL of latents (nats)"];
    panel.finish(&mut svg, title, axes[0], axes[1]);
    let caption = "A trial is on the front if no other has both a smaller reconstruction error and \
        a smaller NLL. Latents clearly below the dashed line are likelier than the features \
        themselves, which indicates collapse onto modes: they are never on the front.";
    Some(Figure::of(svg, caption))
}

/// Writes names beside points: to the side with room, which is the left one from `far` on, and below the previous
/// label if they would overlap.
fn label<'a>(svg: &mut Svg, named: impl Iterator<Item = ((f64, f64), &'a str)>, far: f64) {
    let mut used: Vec<(f64, f64)> = Vec::new();
    for ((x, y), name) in named {
        let (anchor, shift) = match x > far {
            true => (Anchor::End, -9.0),
            false => (Anchor::Start, 9.0),
        };
        let y = y - 6.0;
        let touches = |y: f64| {
            let mut others = used.iter();
            others.any(|u| (u.0 - x).abs() < 160.0 && (u.1 - y).abs() < 13.0)
        };
        let mut places = [y, y + 13.0, y + 26.0].into_iter();
        let Some(y) = places.find(|y| !touches(*y)) else {
            continue; // the page shows the name as a tooltip
        };
        used.push((x, y));
        svg.text(x + shift, y, name, Font::muted(anchor));
    }
}

/// The non-dominated points, from left to right; smaller is better in both coordinates.
fn front(points: &[(f64, f64)]) -> Vec<usize> {
    let finite = |p: &(f64, f64)| p.0.is_finite() && p.1.is_finite();
    let mut order: Vec<usize> = (0..points.len()).filter(|i| finite(&points[*i])).collect();
    order.sort_by(|a, b| {
        let (a, b) = (points[*a], points[*b]);
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let mut found: Vec<usize> = Vec::new();
    for i in order {
        let last = found.last().map(|l| points[*l]);
        // keeps equal points
        if last.is_none_or(|last| points[i].1 < last.1 || points[i] == last) {
            found.push(i);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nothing_beats() {
        let points = [
            (3.0, 1.0), // on it
            (1.0, 3.0), // on it
            (2.0, 2.0), // on it
            (2.0, 2.5), // (2.0, 2.5), // dominated by (2, 2)
            (3.0, 2.0), // (3.0, 2.0), // dominated by (3, 1)
            (4.0, 1.0), // (4.0, 1.0), // dominated by (3, 1)
            (f64::NAN, 0.0),
            (0.0, f64::NAN),
        ];
        assert_eq!(front(&points), [1, 2, 0]);
    }

    #[test]
    fn equal_points_share_a_place_on_the_front() {
        assert_eq!(front(&[(1.0, 1.0), (1.0, 1.0), (1.0, 2.0)]), [0, 1]);
        assert!(front(&[]).is_empty());
    }

    #[test]
    fn no_point_of_a_front_is_beaten_and_all_others_are() {
        let points: Vec<(f64, f64)> = (0..200)
            .map(|i| (f64::from(i * 37 % 101), f64::from(i * 53 % 89)))
            .collect();
        let found = front(&points);
        for (i, p) in points.iter().enumerate() {
            let beaten = (points.iter()).any(|q| q.0 <= p.0 && q.1 <= p.1 && q != p);
            assert_eq!(found.contains(&i), !beaten, "{p:?}");
        }
    }
}
