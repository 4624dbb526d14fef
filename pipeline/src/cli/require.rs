//! `--require holds`: an exit code for the verdict on the alignment loss as a surrogate of the NLL.

use crate::config::{Experiment, hint, list};
use crate::failure::Unmet;
use crate::report::Summary;
use crate::store::Stage;
use crate::tables::{RegionVerdict, verdicts_of};
use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use latent_align_stages::Error;
use latent_align_stages::alignment::{RegulariserConfig, Weighting};
use latent_align_stages::figures::estimate_nll::{FEATURES, LATENTS};

/// The minimum verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Required {
    /// It ranks points as the NLL does
    Ranks,
    /// It follows the NLL
    Holds,
}

impl Required {
    fn verdict(self) -> RegionVerdict {
        match self {
            Self::Ranks => RegionVerdict::RanksOnly,
            Self::Holds => RegionVerdict::Holds,
        }
    }

    /// Its name on the command line.
    fn option(self) -> &'static str {
        match self {
            Self::Ranks => "ranks",
            Self::Holds => "holds",
        }
    }
}

/// The verdict that a run must reach.
#[derive(Debug, Args)]
pub struct Requirement {
    /// Exit with 3 if the alignment loss does worse in a region of estimate-nll. `holds`: Spearman and
    /// Pearson of at least 0.95 (the lower ends of their intervals) and, in nats, a slope of 0.9 to 1.1;
    /// `ranks`: a Spearman of at least 0.8
    #[arg(long, value_name = "VERDICT", value_enum)]
    require: Option<Required>,
    /// A region that --require checks; may be repeated [default: the features and the latents of the test
    /// part]
    #[arg(long, value_name = "REGION", requires = "require")]
    require_in: Vec<String>,
    /// The weighting of the alignment loss that --require checks [default: that of the autoencoder's
    /// regulariser, or likelihood if it has none]
    #[arg(long, value_name = "WEIGHTING", requires = "require", value_parser = weightings())]
    require_of: Option<String>,
}

/// The names of the weightings.
fn weightings() -> PossibleValuesParser {
    PossibleValuesParser::new(Weighting::ALL.map(Weighting::name))
}

impl Requirement {
    /// Refuses a requirement that `experiment` cannot show, before it runs.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn check_experiment(&self, experiment: &Experiment) -> Result<()> {
        if self.require.is_some() && experiment.estimate_nll.is_none() {
            return Err(Error::input(
                "--require: the experiment has no `estimate_nll` section, which gives the verdicts; add one",
            )
            .into());
        }
        Ok(())
    }

    /// Whether the run of `experiment` with this `summary` meets the requirement.
    ///
    /// # Errors
    /// [`Unmet`] with each region and its verdict; [`Error::Input`] if a region has no verdict.
    pub fn check(&self, experiment: &Experiment, summary: &Summary) -> Result<()> {
        let Some(required) = self.require else {
            return Ok(());
        };
        let weighting = self.weighting(experiment);
        let mut all = verdicts_of(summary.figures(Stage::EstimateNll));
        all.retain(|verdict| verdict.1 == weighting);
        let names: Vec<&str> = all.iter().map(|verdict| verdict.0).collect();
        let regions = self.regions(&names)?;
        let found: Vec<(&str, Option<RegionVerdict>)> = (all.iter())
            .filter(|(region, ..)| regions.contains(region))
            .map(|(region, _, verdict)| (*region, *verdict))
            .collect();
        if found
            .iter()
            .all(|(_, verdict)| *verdict >= Some(required.verdict()))
        {
            return Ok(());
        }
        let word = |v: Option<RegionVerdict>| v.map_or("no verdict", RegionVerdict::word);
        let told = found.iter().map(|(r, v)| format!("{r}: {}", word(*v)));
        Err(Unmet(format!(
            "--require {}: under the {weighting} weighting found {}; everything was computed and written",
            required.option(),
            told.collect::<Vec<_>>().join(", ")
        ))
        .into())
    }

    fn weighting(&self, experiment: &Experiment) -> String {
        let autoencoder = experiment.train_autoencoder.as_ref();
        match (&self.require_of, autoencoder.map(|a| &a.regulariser)) {
            (Some(given), _) => given.clone(),
            (None, Some(RegulariserConfig::Alignment(alignment))) => {
                alignment.weighting.to_string()
            }
            (None, _) => Weighting::Likelihood.to_string(),
        }
    }

    /// The required regions, out of those with a verdict.
    fn regions<'a>(&'a self, all: &[&str]) -> latent_align_stages::Result<Vec<&'a str>> {
        let lacks = |region: &str| !all.contains(&region);
        if let Some(unknown) = self.require_in.iter().find(|region| lacks(region)) {
            return Err(Error::input(format!(
                "--require-in: estimate-nll gives no verdict on `{unknown}`, expected {}{}",
                list(all),
                hint(unknown, all)
            )));
        }
        if !self.require_in.is_empty() {
            return Ok(self.require_in.iter().map(String::as_str).collect());
        }
        let first = |names: &[&'static str]| names.iter().copied().find(|region| !lacks(region));
        let usual = [&FEATURES[..], &LATENTS[..]].map(first);
        let usual: Vec<&str> = usual.into_iter().flatten().collect();
        if usual.is_empty() {
            return Err(Error::input(format!(
                "--require: estimate-nll gives no verdict on {}; name a region with --require-in, out of {}",
                list(&[FEATURES[0], LATENTS[0]]),
                list(all)
            )));
        }
        Ok(usual)
    }
}
