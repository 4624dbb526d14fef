//! The verdict on whether the alignment loss is a surrogate of the NLL in a region: a figure that
//! is a word.

pub use latent_align_stages::likelihood::Verdict as RegionVerdict;

/// Every verdict among `figures`, with its region and the weighting of the alignment loss.
pub fn verdicts_of(figures: &[(String, f64)]) -> Vec<(&str, &str, Option<RegionVerdict>)> {
    let verdicts = figures.iter().filter_map(|(name, value)| {
        let (region, label) = name.split_once(": ")?;
        let weighting = label.strip_suffix(RegionVerdict::FIGURE)?;
        let weighting = weighting.strip_suffix(", ")?;
        Some((region, weighting, RegionVerdict::from_figure(*value)))
    });
    verdicts.collect()
}

/// Whether the figure `name`, with or without a prefix, is a verdict.
pub fn is_verdict(name: &str) -> bool {
    name.ends_with(RegionVerdict::FIGURE)
}

#[cfg(test)]
mod tests {
    use super::super::coded::{short_name, word};
    use super::*;

    #[test]
    fn the_numbers_are_words() {
        for (number, word) in [(0.0, "fails"), (1.0, "ranks only"), (2.0, "holds")] {
            assert_eq!(RegionVerdict::from_figure(number).unwrap().word(), word);
        }
        assert_eq!(RegionVerdict::from_figure(f64::NAN), None);
        assert!(RegionVerdict::Fails < RegionVerdict::RanksOnly);
        assert!(RegionVerdict::RanksOnly < RegionVerdict::Holds);
    }

    #[test]
    fn the_numbers_of_verdicts_are_the_words_that_their_names_say() {
        let name = format!("estimate-nll: grid: uniform, {}", RegionVerdict::FIGURE);
        assert_eq!(short_name(&name), "estimate-nll: grid: uniform, verdict");
        for verdict in [
            RegionVerdict::Fails,
            RegionVerdict::RanksOnly,
            RegionVerdict::Holds,
        ] {
            assert_eq!(word(&name, verdict.figure()), Some(verdict.word()));
        }
    }

    #[test]
    fn verdicts_are_found_with_their_regions() {
        let verdict = (format!("grid: uniform, {}", RegionVerdict::FIGURE), 1.0);
        let figures = [verdict, ("grid: points".into(), 2.0)];
        let found = verdicts_of(&figures);
        assert_eq!(found, [("grid", "uniform", Some(RegionVerdict::RanksOnly))]);
    }
}
