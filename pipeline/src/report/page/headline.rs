//! The verdict on whether the latents follow the target, in a sentence.

use super::parts::{Grade, Headline};
use crate::config::MARK;
use crate::report::view::RunView;
use crate::store::{RunState, Stage};
use crate::tables::{number, with_spread};
use latent_align_stages::figures::estimate_nll::{
    FALLS, FEATURES, LATENTS, NLL, NLL_IN_CLOSED_FORM,
};
use latent_align_stages::figures::{
    ITS_ERROR, energy_test, error_beside, filled, in_region, train_autoencoder as names,
    two_samples,
};
use latent_align_stages::stages::train_autoencoder::LEARNED;

/// The NLL of latents and of features with standard errors, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likelihoods {
    pub latents: (f64, f64),
    pub features: (f64, f64),
}

/// The evidence for the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evidence {
    pub likelihoods: Option<Likelihoods>,
    /// The share of features that latents cover.
    pub coverage: Option<f64>,
    /// The two-sample tests of latents against features, token by token.
    pub tokens: Option<Tests>,
    /// Those of all tokens of a row together.
    pub whole: Option<Tests>,
    /// The accuracy of a classifier between samples of the flow and features.
    pub floor: Option<f64>,
    /// Whether the figures are of rows that were also used for selection.
    pub lacks_test: bool,
    /// The power of the energy test, token by token.
    pub power: Option<f64>,
    /// How far the latents contracted in training, one of [`FALLS`], with its standard error.
    pub fall: Option<(f64, f64)>,
    /// The share of the data's variance that reconstructions explain.
    pub explained: Option<f64>,
}

/// Two-sample tests of latents against as many features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tests {
    /// Rows of each sample.
    pub points: f64,
    /// The p-values of the energy test, the kernel test, the nearest-neighbour test and the test of the spread.
    pub p_values: [f64; 4],
    /// The classifier's accuracy with its standard error; none for few rows.
    pub accuracy: Option<(f64, f64)>,
}

/// The level of all tests of a run together.
const LEVEL: f64 = 0.05;
/// Up to these accuracies of the classifier, token by token and of whole rows, latents nearly follow the target.
const NEAR: [f64; 2] = [0.60, 0.70];
/// With fewer points, or with less power, a test that rejects nothing is inconclusive.
const POINTS: f64 = 100.0;
const POWER: f64 = 0.8;
/// The coverage of a fresh sample, less a margin for chance.
const COVERED: f64 = 0.9;
/// Below this coverage the stage warns.
const SPARSE: f64 = 0.5;

impl Tests {
    /// Reads those of `points`, a name of [`two_samples::POINTS`], if they exist.
    fn of(found: &RunView, points: &str) -> Option<Self> {
        let name = |text: &str| filled(text, &[&points]);
        let figure = |name: &str| found.of_latents(name);
        let accuracy = name(two_samples::ACCURACY);
        Some(Self {
            points: figure(&name(two_samples::COUNT))?,
            p_values: [
                figure(&name(two_samples::ENERGY_P))?,
                figure(&name(two_samples::KERNEL_P))?,
                // older runs have neither
                figure(&name(two_samples::NEIGHBOURS_P)).unwrap_or(1.0),
                figure(&name(two_samples::SPREAD_P)).unwrap_or(1.0),
            ],
            accuracy: figure(&accuracy).zip(figure(&error_beside(&accuracy))),
        })
    }

    /// Whether a test rejects that latents and features follow one distribution, at a `level` of 0.05 over the
    /// number of all tests, 5 or 10; `errors` is the one-sided quantile of that level.
    fn reject(&self, level: f64, errors: f64) -> bool {
        let by_classifier =
            (self.accuracy).is_some_and(|(mean, error)| mean - 0.5 > errors * error);
        by_classifier || self.p_values.iter().any(|&p| p <= level)
    }

    fn below(&self, accuracy: f64) -> bool {
        self.accuracy.is_some_and(|(mean, _)| mean <= accuracy)
    }
}

impl Likelihoods {
    /// Reads those of `found`, if they were estimated.
    pub fn of(found: &RunView) -> Option<Self> {
        let of = |region: &&str| -> Option<(f64, f64)> {
            let figure = |name: &str| found.figure(Stage::EstimateNll, &in_region(region, name));
            let nll = figure(NLL).or_else(|| figure(NLL_IN_CLOSED_FORM))?;
            Some((nll, figure(ITS_ERROR).unwrap_or(f64::NAN)))
        };
        Some(Self {
            latents: LATENTS.iter().find_map(of)?,
            features: FEATURES.iter().find_map(of)?,
        })
    }

    /// How much less likely latents are than features in nats, with its standard error.
    pub fn gap(&self) -> (f64, f64) {
        (
            self.latents.0 - self.features.0,
            self.latents.1.hypot(self.features.1),
        )
    }

    /// The gap in words: only a gap of more than two standard errors counts.
    pub fn words(&self) -> &'static str {
        let (gap, error) = self.gap();
        match error.is_finite() {
            true if gap < -2.0 * error => "likelier than",
            true if gap > 2.0 * error => "less likely than",
            _ => "as likely as",
        }
    }
}

impl Evidence {
    /// Reads the evidence of `found`.
    pub fn of(found: &RunView) -> Self {
        let figure = |name| found.of_latents(name);
        Self {
            lacks_test: found.lacks_test(),
            likelihoods: Likelihoods::of(found),
            coverage: figure(names::COVERAGE),
            tokens: Tests::of(found, two_samples::LATENTS),
            whole: Tests::of(found, two_samples::WHOLE),
            floor: found.shown(
                Stage::PretrainFlow,
                &filled(two_samples::ACCURACY, &[&two_samples::SAMPLES]),
            ),
            power: figure(energy_test::POWER),
            fall: FALLS.iter().find_map(|name| {
                let figure = |name: &str| found.figure(Stage::EstimateNll, name);
                figure(name).zip(figure(&error_beside(name)))
            }),
            explained: figure(names::EXPLAINED),
        }
    }

    /// Whether tests that reject nothing are conclusive.
    pub fn can_tell(&self) -> bool {
        let tests = [self.tokens, self.whole];
        let enough = tests.iter().flatten().all(|tests| tests.points >= POINTS);
        enough && self.power.is_none_or(|power| power >= POWER)
    }

    /// Whether tests distinguish latents from features, token by token and as whole rows, at 5 % in total.
    pub fn told_apart(&self) -> [bool; 2] {
        // normal quantiles of 1 - 0.05 / 10 and 1 - 0.05 / 5
        let (count, errors) = if self.whole.is_some() {
            (10.0, 2.576)
        } else {
            (5.0, 2.326)
        };
        [self.tokens, self.whole]
            .map(|tests| tests.is_some_and(|tests| tests.reject(LEVEL / count, errors)))
    }

    /// Whether a classifier hardly distinguishes latents from features.
    pub fn is_near(&self) -> bool {
        self.tokens.is_some_and(|tests| tests.below(NEAR[0]))
            && self.whole.is_none_or(|tests| tests.below(NEAR[1]))
    }

    /// Whether training contracted the latents.
    pub fn has_fallen(&self) -> bool {
        self.fall.is_some_and(|(nats, error)| nats > 2.0 * error)
    }

    fn is_undertrained(&self) -> bool {
        self.explained.is_some_and(|explained| explained < LEARNED)
    }

    /// The verdict; none without any evidence.
    pub fn headline(&self) -> Option<Headline> {
        let [apart, apart_whole] = self.told_apart();
        let likelier = self
            .likelihoods
            .is_some_and(|l| l.words() == "likelier than");
        let unlikely = self
            .likelihoods
            .is_some_and(|l| l.words() == "less likely than");
        let sparse = self.coverage.is_some_and(|c| c < SPARSE);
        let whole = self.coverage.is_none_or(|c| c >= COVERED);
        let (grade, verdict) = match (self.tokens.is_some(), apart || apart_whole) {
            (false, _) => {
                self.likelihoods?;
                match (likelier, unlikely) {
                    (true, _) => (Grade::Fair, "The latents are likelier than the features"),
                    (_, true) => (Grade::Bad, "The latents are less likely than the features"),
                    _ => (Grade::Plain, "The latents are as likely as the features"),
                }
            }
            (true, false) if !self.can_tell() => (
                Grade::Plain,
                "Too few points to decide whether the latents follow the target",
            ),
            (true, false) if whole && !unlikely => (
                Grade::Good,
                "The latents follow the target: no test distinguishes them from its features",
            ),
            (true, false) => (Grade::Fair, "The latents nearly follow the target"),
            (true, true) if !apart && self.can_tell() && whole && !unlikely => (
                Grade::Fair,
                "Each token follows the target, but rows as a whole do not",
            ),
            (true, true) if self.is_near() => (Grade::Fair, "The latents nearly follow the target"),
            (true, true) if likelier && self.has_fallen() => (
                Grade::Bad,
                "The latents have collapsed onto modes of the target",
            ),
            (true, true) if self.is_undertrained() => (
                Grade::Fair,
                "The autoencoder is undertrained, and its latents do not follow the target",
            ),
            (true, true) if likelier => (
                Grade::Bad,
                "The latents do not follow the target: they fill only a part of it",
            ),
            (true, true) if sparse && !unlikely && self.likelihoods.is_some() => (
                Grade::Bad,
                "The latents are likely, but follow only a part of the target",
            ),
            (true, true) if !sparse && !unlikely => {
                (Grade::Fair, "The latents follow the target in part")
            }
            (true, true) => (Grade::Bad, "The latents do not follow the target"),
        };
        Some(Headline {
            grade,
            verdict: verdict.to_owned(),
            reasons: self.reasons(),
        })
    }

    fn reasons(&self) -> String {
        let mut parts = Vec::new();
        if let Some(l) = &self.likelihoods {
            parts.push(format!(
                "under the flow they are {} the features ({} against {} nats)",
                l.words(),
                with_spread(l.latents.0, l.latents.1),
                with_spread(l.features.0, l.features.1)
            ));
        }
        if let Some(covered) = self.coverage {
            parts.push(format!(
                "they cover {:.0} % of the features (a fresh sample covers 97 %)",
                100.0 * covered
            ));
        }
        if let Some((accuracy, error)) = self.tokens.and_then(|tests| tests.accuracy) {
            let percent = |(mean, error): (f64, f64)| with_spread(100.0 * mean, 100.0 * error);
            let mut told = format!(
                "a classifier distinguishes them from features with an accuracy of {} %",
                percent((accuracy, error))
            );
            if let Some(whole) = self.whole.and_then(|tests| tests.accuracy) {
                told += &format!(" token by token and {} % as whole rows", percent(whole));
            }
            let floor = self
                .floor
                .map(|floor| format!(", samples of the flow itself {:.0} %", 100.0 * floor));
            told += &format!(" (chance is 50 %{})", floor.unwrap_or_default());
            parts.push(told);
        }
        if self.lacks_test && !parts.is_empty() {
            parts.push(
                "without a test part, these figures are of held-out rows, which were also used for selection".into(),
            );
        }
        if let Some(explained) = self.explained.filter(|_| self.is_undertrained()) {
            parts.push(format!(
                "the reconstruction explains {:.0} % of the data's variance",
                100.0 * explained.max(0.0)
            ));
        }
        if let Some(tests) = self.tokens.filter(|_| !self.can_tell()) {
            let points = self
                .whole
                .map_or(tests.points, |whole| whole.points.min(tests.points));
            parts.push(format!(
                "the tests have {points:.0} points, the energy test a power of {:.2} for a shift \
                 by half a standard deviation; at least {POINTS:.0} and {POWER} are needed for a \
                 verdict",
                self.power.unwrap_or(f64::NAN)
            ));
        }
        let mut sentence = parts.join("; ");
        if let Some(first) = sentence.get(..1).map(str::to_uppercase) {
            sentence.replace_range(..1, &first);
            sentence.push('.');
        }
        sentence
    }
}

impl Headline {
    /// The headline of `found`: how the run ended if it did not finish, else whether latents follow the target,
    /// else the figures of its last stage.
    pub fn of(found: &RunView) -> Self {
        let headline = Self::of_figures(found);
        match found.is_quick() {
            false => headline,
            true => Self {
                grade: Grade::Plain,
                verdict: format!("A {MARK}. {}", headline.verdict),
                ..headline
            },
        }
    }

    fn of_figures(found: &RunView) -> Self {
        if let Some(record) = &found.record {
            let verdict = match record.state {
                RunState::Finished => None,
                RunState::Running => Some((Grade::Plain, "This run is still in progress")),
                RunState::Stopped => Some((Grade::Fair, "This run was stopped before it finished")),
                RunState::Interrupted => Some((Grade::Bad, "This run was interrupted")),
                RunState::Failed => Some((Grade::Bad, "This run failed")),
            };
            if let Some((grade, verdict)) = verdict {
                let reasons = record.failure.clone().unwrap_or_else(|| {
                    "The following is from its finished stages; run it again to continue.".into()
                });
                return Self {
                    grade,
                    verdict: verdict.into(),
                    reasons,
                };
            }
        }
        Evidence::of(found).headline().unwrap_or_else(|| {
            let last = found.stages.last();
            let figures = last.map_or(&[][..], |s| &s.figures.0);
            let told = figures.iter().take(2);
            let told: Vec<String> = told
                .map(|(name, v)| format!("{name} {}", number(*v)))
                .collect();
            Self {
                grade: Grade::Plain,
                verdict: match last {
                    Some(stage) => format!("{} is done", stage.stage),
                    None => "Nothing is finished yet".to_owned(),
                },
                reasons: told.join(", "),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(accuracy: f64, p_value: f64) -> Option<Tests> {
        Some(Tests {
            points: 1000.0,
            p_values: [p_value; 4],
            accuracy: Some((accuracy, 0.01)),
        })
    }

    fn evidence(gap: f64, coverage: f64, accuracy: f64, p_value: f64) -> Evidence {
        Evidence {
            likelihoods: Some(Likelihoods {
                latents: (20.0 + gap, 0.2),
                features: (20.0, 0.2),
            }),
            coverage: Some(coverage),
            tokens: tests(accuracy, p_value),
            whole: tests(accuracy, p_value),
            floor: Some(0.51),
            lacks_test: false,
            power: Some(1.0),
            fall: Some((2.0, 0.2)),
            explained: Some(0.9),
        }
    }

    fn verdict(evidence: Evidence) -> (Grade, String) {
        let headline = evidence.headline().unwrap();
        (headline.grade, headline.verdict)
    }

    #[test]
    fn a_high_likelihood_alone_is_no_success() {
        for (evidence, grade, words) in [
            (
                evidence(0.0, 0.97, 0.51, 0.5),
                Grade::Good,
                "follow the target: no test",
            ),
            (
                evidence(-2.0, 0.3, 0.9, 0.005),
                Grade::Bad,
                "collapsed onto modes",
            ),
            (evidence(-0.1, 0.38, 0.97, 0.005), Grade::Bad, "only a part"),
            (
                evidence(2.0, 0.28, 0.98, 0.005),
                Grade::Bad,
                "do not follow",
            ),
            (evidence(0.1, 0.8, 0.8, 0.005), Grade::Fair, "in part"),
            (evidence(0.1, 0.8, 0.51, 0.06), Grade::Fair, "nearly follow"),
            // distinguishable, but only just
            (
                evidence(0.0, 0.97, 0.58, 0.005),
                Grade::Fair,
                "nearly follow",
            ),
        ] {
            let found = verdict(evidence);
            assert!(
                found.0 == grade && found.1.contains(words),
                "{found:?} for {words}"
            );
        }
    }

    /// Fails if a verdict uses only one test, or only tokens.
    #[test]
    fn each_test_alone_forbids_that_latents_follow_the_target() {
        let good = evidence(0.0, 0.97, 0.5, 0.5);
        let of = |p_values: [f64; 4], accuracy: f64| Tests {
            points: 1000.0,
            p_values,
            accuracy: Some((accuracy, 0.01)),
        };
        for found in [
            of([0.005, 0.5, 0.5, 0.5], 0.5),
            of([0.5, 0.005, 0.5, 0.5], 0.5),
            of([0.5, 0.5, 0.005, 0.5], 0.5),
            of([0.5, 0.5, 0.5, 0.005], 0.5),
            of([0.5; 4], 0.53),
        ] {
            let tokens = Some(found);
            assert_ne!(verdict(Evidence { tokens, ..good }).0, Grade::Good);
            let whole = Some(found);
            let found = verdict(Evidence { whole, ..good });
            assert!(found.1.contains("rows as a whole do not"), "{found:?}");
        }
        // at 5 % in total, ten tests of a fresh sample do not reject at 5 % each
        let tokens = Some(of([0.04, 0.03, 0.04, 0.5], 0.52));
        assert_eq!(verdict(Evidence { tokens, ..good }).0, Grade::Good);
    }

    #[test]
    fn only_a_fall_of_the_nll_is_called_gathering_on_modes() {
        let likelier = evidence(-2.0, 0.3, 0.9, 0.005);
        for fall in [None, Some((0.3, 0.2)), Some((-2.0, 0.2))] {
            let found = verdict(Evidence { fall, ..likelier });
            assert!(found.1.contains("they fill only a part of it"), "{found:?}");
            let explained = Some(0.5);
            let short = Evidence {
                fall,
                explained,
                ..likelier
            };
            let found = verdict(short);
            assert!(found.1.contains("undertrained"), "{found:?}");
            let reasons = short.headline().unwrap().reasons;
            assert!(
                reasons.contains("explains 50 % of the data's variance"),
                "{reasons}"
            );
        }
        // trained briefly, and still contracted
        let explained = Some(0.5);
        let found = verdict(Evidence {
            explained,
            ..likelier
        });
        assert!(found.1.contains("collapsed onto modes"), "{found:?}");
    }

    #[test]
    fn few_points_or_little_power_are_no_evidence_that_latents_follow_the_target() {
        for (points, power) in [(20.0, 1.0), (500.0, 0.3)] {
            let so_few = |mut of: Evidence| {
                of.power = Some(power);
                for tests in [&mut of.tokens, &mut of.whole].into_iter().flatten() {
                    tests.points = points;
                }
                of
            };
            let few = so_few(evidence(0.0, 0.97, 0.5, 0.5));
            let headline = few.headline().unwrap();
            assert_eq!(headline.grade, Grade::Plain);
            assert!(
                headline.verdict.contains("Too few points to decide"),
                "{headline:?}"
            );
            assert!(
                headline.reasons.contains(&format!("{points:.0} points")),
                "{headline:?}"
            );
            // a rejection counts with any number of points
            let apart = so_few(evidence(2.0, 0.28, 0.98, 0.005));
            assert!(verdict(apart).1.contains("do not follow"));
        }
    }

    #[test]
    fn reasons_are_a_sentence_with_figures() {
        let reasons = evidence(-0.15, 0.38, 0.97, 0.005)
            .headline()
            .unwrap()
            .reasons;
        assert_eq!(
            reasons,
            "Under the flow they are as likely as the features (19.85 ± 0.20 against 20.00 ± 0.20 nats); \
             they cover 38 % of the features (a fresh sample covers 97 %); \
             a classifier distinguishes them from features with an accuracy of 97.0 ± 1.0 % token by token and 97.0 ± 1.0 % as whole rows \
             (chance is 50 %, samples of the flow itself 51 %)."
        );
    }

    #[test]
    fn without_a_test_part_the_reasons_say_that_its_rows_also_chose() {
        let without = Evidence {
            lacks_test: true,
            ..evidence(0.0, 0.97, 0.5, 0.5)
        };
        let reasons = without.headline().unwrap().reasons;
        assert!(
            reasons.ends_with("held-out rows, which were also used for selection."),
            "{reasons}"
        );
    }

    #[test]
    fn without_evidence_there_is_no_verdict() {
        assert_eq!(Evidence::default().headline(), None);
        let only_covered = Evidence {
            coverage: Some(0.9),
            ..Evidence::default()
        };
        assert_eq!(only_covered.headline(), None);
    }
}
