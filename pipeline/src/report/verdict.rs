//! Whether the alignment loss stands in for the NLL in a region: a figure that is a word.

use clap::ValueEnum;

/// What the names of these figures end in, after the region and the weighting.
const NAME: &str = "verdict (2 holds, 1 ranks only, 0 fails)";

/// How well the alignment loss stands in for the NLL in a region, the better the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum RegionVerdict {
    /// It does not.
    #[value(skip)]
    Fails,
    /// It ranks points as the NLL does
    Ranks,
    /// It follows the NLL
    Holds,
}

impl RegionVerdict {
    /// The verdict that a figure's value stands for, if it is one.
    pub fn of(value: f64) -> Option<Self> {
        [Self::Fails, Self::Ranks, Self::Holds]
            .into_iter()
            .find(|verdict| f64::from(*verdict as u8) == value)
    }

    /// What tables call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fails => "fails",
            Self::Ranks => "ranks only",
            Self::Holds => "holds",
        }
    }

    /// What the command line calls it.
    pub fn option(self) -> &'static str {
        match self {
            Self::Fails => "fails",
            Self::Ranks => "ranks",
            Self::Holds => "holds",
        }
    }

    /// Every verdict among `figures`, each with its region and the weighting of the alignment loss.
    pub fn all(figures: &[(String, f64)]) -> Vec<(&str, &str, Option<Self>)> {
        let verdicts = figures.iter().filter_map(|(name, value)| {
            let (region, label) = name.split_once(": ")?;
            let weighting = label.strip_suffix(NAME)?.strip_suffix(", ")?;
            Some((region, weighting, Self::of(*value)))
        });
        verdicts.collect()
    }
}

/// True for the name of a figure, with or without what stands before it, whose value is a verdict.
pub fn is_verdict(name: &str) -> bool {
    name.ends_with(NAME)
}

/// The name of a figure without the meaning of its numbers, if these are verdicts.
pub fn short_name(name: &str) -> &str {
    match name.strip_suffix(NAME) {
        Some(before) => &name[..before.len() + "verdict".len()],
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_words() {
        for (number, word) in [(0.0, "fails"), (1.0, "ranks only"), (2.0, "holds")] {
            assert_eq!(RegionVerdict::of(number).unwrap().word(), word);
        }
        assert_eq!(RegionVerdict::of(f64::NAN), None);
        assert!(RegionVerdict::Fails < RegionVerdict::Ranks);
        assert!(RegionVerdict::Ranks < RegionVerdict::Holds);
    }

    #[test]
    fn a_name_is_shortened_to_its_first_word() {
        let name = format!("estimate-nll: grid: uniform, {NAME}");
        assert_eq!(short_name(&name), "estimate-nll: grid: uniform, verdict");
        assert_eq!(short_name("points"), "points");
        let verdict = (format!("grid: uniform, {NAME}"), 1.0);
        let figures = [verdict, ("grid: points".into(), 2.0)];
        let found = RegionVerdict::all(&figures);
        assert_eq!(found, [("grid", "uniform", Some(RegionVerdict::Ranks))]);
    }
}
