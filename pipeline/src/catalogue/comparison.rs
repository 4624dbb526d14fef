//! Comparison of runs with a baseline; only differences are shown.

use super::differences::Difference;
use super::found::Catalogue;
use super::runs::RunEntry;
use crate::store::Stage;
use crate::tables::{Field, Kind, Source, Values, is_bound};
use latent_align_stages::figures::PEAK_MEMORY;

/// The table of `runs` as [`Catalogue::table`] makes it. Shown are the settings and figures that differ between
/// runs, each figure followed by its difference from the first run. Ends of intervals and columns on the course of
/// a run are not shown. Hidden columns hold the fingerprint of each stage's artifact; `shared` states which
/// artifacts the second run shares with the first.
pub fn compare<'a>(
    catalogue: &'a Catalogue,
    runs: &'a [RunEntry],
    shared: &[Difference],
    is_text: bool,
) -> Source<'a> {
    let Source { height, fields, .. } = catalogue.table(runs);
    let is_plain = |name: &str| !name.contains(": ") && !name.contains('.');
    let mut all: Vec<Field> = Vec::new();
    let mut shown = Vec::new();
    for field in fields {
        let aside = is_bound(&field.name) || field.name.contains(PEAK_MEMORY);
        let compared = match field.name.as_str() {
            "name" => true,
            "state" | "seed" | "device" | "problem" | "flow" => field.varies(),
            name => !is_plain(name) && !aside && field.varies(),
        };
        if compared {
            shown.push(all.len());
        }
        let delta = match &field.values {
            Values::Float(values) if field.kind == Kind::Figure => {
                Some(deltas(&field.name, values))
            }
            _ => None,
        };
        all.push(field);
        if let Some(delta) = delta {
            if compared {
                shown.push(all.len());
            }
            all.push(delta);
        }
    }
    all.extend(
        Stage::ALL
            .iter()
            .filter_map(|stage| artifacts(runs, *stage)),
    );
    // Text output has these below the table; formats for programs have them in it.
    for stage in shared {
        if !is_text {
            shown.push(all.len());
        }
        let words = vec![None, Some(stage.why.clone())];
        all.push(Field::new(
            format!("{}: shared", stage.name),
            Values::Text(words),
        ));
    }
    Source {
        height,
        fields: all,
        shown,
    }
}

/// The fingerprints of the artifacts of `stage`, if any run has one.
fn artifacts(runs: &[RunEntry], stage: Stage) -> Option<Field<'static>> {
    let of = |run: &RunEntry| {
        let found = run.stages.iter().find(|s| s.stage == stage)?;
        Some(found.fingerprint.clone())
    };
    let values: Vec<Option<String>> = runs.iter().map(of).collect();
    let name = format!("{stage}: artifact");
    (values.iter().any(Option::is_some)).then(|| Field::new(name, Values::Text(values)))
}

fn deltas(name: &str, values: &[Option<f64>]) -> Field<'static> {
    let baseline = values.first().copied().flatten();
    let delta = |value: &Option<f64>| Some((*value)? - baseline?);
    let values = values.iter().map(delta).collect();
    Field::new(format!("{name} (difference)"), Values::Float(values)).of(Kind::Delta)
}
