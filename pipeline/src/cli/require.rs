//! `--require holds`: an exit code for whether the alignment loss stands in for the NLL.

use crate::config::{Experiment, did_you_mean, list};
use crate::failure::Unmet;
use crate::report::{RegionVerdict, Summary};
use crate::store::Stage;
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;

/// What is required where none is named.
const REGIONS: [&str; 2] = ["held-out features", "encoder latents"];

/// What a run must show.
#[derive(Debug, Args)]
pub struct Requirement {
    /// Exit with 3 if the alignment loss does less in a region of estimate-nll
    #[arg(long, value_name = "VERDICT", value_enum)]
    require: Option<RegionVerdict>,
    /// A region that --require is about; may be repeated [default: held-out features, encoder latents]
    #[arg(long, value_name = "REGION", requires = "require")]
    require_in: Vec<String>,
}

impl Requirement {
    /// Refuses to require what `experiment` cannot show, before it runs.
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

    /// Whether the run that `summary` is of shows what is required.
    ///
    /// # Errors
    /// [`Unmet`] with each region and its verdict; [`Error::Input`] where a region has none.
    pub fn check(&self, summary: &Summary) -> Result<()> {
        let Some(required) = self.require else {
            return Ok(());
        };
        let figures = summary.figures(Stage::EstimateNll);
        let all = RegionVerdict::of_regions(figures);
        let regions = self.regions(&all)?;
        let found = regions.iter().map(|region| {
            let verdict = all.iter().find(|(name, _)| name == region);
            (*region, verdict.and_then(|v| v.1))
        });
        let found: Vec<(&str, Option<RegionVerdict>)> = found.collect();
        if found.iter().all(|(_, verdict)| *verdict >= Some(required)) {
            return Ok(());
        }
        let word = |v: Option<RegionVerdict>| v.map_or("no verdict", RegionVerdict::word);
        let told = found.iter().map(|(r, v)| format!("{r}: {}", word(*v)));
        Err(Unmet(format!(
            "--require {}: found {}; everything was computed and written",
            required.option(),
            told.collect::<Vec<_>>().join(", ")
        ))
        .into())
    }

    fn regions<'a>(
        &'a self,
        all: &[(&str, Option<RegionVerdict>)],
    ) -> latent_align_stages::Result<Vec<&'a str>> {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        let lacks = |region: &str| !names.contains(&region);
        if let Some(unknown) = self.require_in.iter().find(|region| lacks(region)) {
            let hint = did_you_mean(unknown, &names);
            return Err(Error::input(format!(
                "--require-in: estimate-nll gives no verdict on `{unknown}`, expected {}{}",
                list(&names),
                hint.map_or(String::new(), |h| format!("; did you mean `{h}`?"))
            )));
        }
        if !self.require_in.is_empty() {
            return Ok(self.require_in.iter().map(String::as_str).collect());
        }
        let usual: Vec<&str> = REGIONS
            .into_iter()
            .filter(|region| !lacks(region))
            .collect();
        if usual.is_empty() {
            return Err(Error::input(format!(
                "--require: estimate-nll gives no verdict on {}; name a region with --require-in, out of {}",
                list(&REGIONS),
                list(&names)
            )));
        }
        Ok(usual)
    }
}
