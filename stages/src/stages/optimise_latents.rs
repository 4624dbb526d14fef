//! A search for sequences that an objective scores well, in rounds, with a budget of calls: proposals by random search, by
//! a genetic algorithm, or from the latents of a flow over sequences. See [`crate::optimisation`].

use super::{
    FLOW, Preparation, Prepared, Read, Sections, Stage, StageConfig, Upstream, pretrain_flow,
};
use crate::context::{Context, Monitor, Summary, Table};
use crate::error::{Error, Result};
use crate::figures::optimise_latents as names;
use crate::numerics::mean;
use crate::optimisation::{
    Budget, Canonical, Genetic, GeneticConfig, Latents, LatentsConfig, Objective, ObjectiveConfig,
    Opened, Outcome, Proposer, RandomSearch, Row, Rows, Search, Space, StartConfig,
};
use crate::priors::open_sequence_model;
use crate::problems::Problems;
use crate::tensors::spread_indices;
use burn::tensor::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Search for sequences that an objective scores well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OptimiseLatents")]
pub struct Config {
    /// The objective that scores sequences.
    pub objective: ObjectiveConfig,
    /// The start of the search.
    #[serde(default)]
    pub initial: StartConfig,
    /// How sequences are proposed.
    #[serde(default)]
    pub method: MethodConfig,
    /// The number of sequences to score after the start.
    #[serde(default = "defaults::calls")]
    pub calls: usize,
    /// The number of calls per round.
    #[serde(default = "defaults::calls_a_round")]
    pub calls_a_round: usize,
}

mod defaults {
    crate::defaults::defaults! {
        calls: usize = 500;
        calls_a_round: usize = 50;
    }
}

/// How sequences are proposed, by `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MethodConfig {
    /// At random: draws from the objective's space, or from the file of the start.
    Random(RandomConfig),
    /// By a genetic algorithm.
    Genetic(GeneticConfig),
    /// In the latents of a flow over sequences: `pretrain_flow` with `features.tokeniser`.
    Latents(LatentsConfig),
}

/// Random search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomConfig {}

impl Default for MethodConfig {
    fn default() -> Self {
        Self::Random(RandomConfig {})
    }
}

impl MethodConfig {
    fn check(&self, problems: &mut Problems) {
        match self {
            Self::Random(RandomConfig {}) => {}
            Self::Genetic(config) => config.check(problems),
            Self::Latents(config) => config.check(problems),
        }
    }

    /// The proposer for texts of `space` in the form that `canonical` gives them, or of the flow in the folder
    /// `flow`.
    fn proposer(
        &self,
        (space, canonical): (Arc<dyn Space>, Canonical),
        flow: Option<&Path>,
        device: &Device,
    ) -> Result<Box<dyn Proposer>> {
        Ok(match self {
            Self::Random(RandomConfig {}) => Box::new(RandomSearch::new(space, canonical)),
            Self::Genetic(config) => Box::new(Genetic::new(config.clone(), space, canonical)),
            Self::Latents(config) => {
                let flow = flow.ok_or_else(|| Error::input("no flow to read"))?;
                let model = open_sequence_model(flow, device)?;
                Box::new(Latents::new(config.clone(), model, canonical))
            }
        })
    }

    /// Whether it searches in the latents of a flow.
    fn is_of_latents(&self) -> bool {
        matches!(self, Self::Latents(_))
    }
}

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::OptimiseLatents
    }

    fn example() -> Value {
        json!({"objective": {"kind": "expression"}})
    }

    fn check(&self, problems: &mut Problems) {
        problems.section("objective", |p| self.objective.check(p));
        problems.section("initial", |p| {
            self.initial.check(p);
            let draws = !matches!(self.objective, ObjectiveConfig::Command(_));
            p.require(
                draws || self.initial.file.is_some(),
                "file",
                "none, and an objective that draws no random sequences",
                "a file of sequences, one a line",
            );
        });
        problems.section("method", |p| self.method.check(p));
        problems.within("calls", self.calls, 1..=100_000_000);
        problems.within("calls_a_round", self.calls_a_round, 1..=1_000_000);
    }

    fn check_with(&self, sections: &Sections, problems: &mut Problems) {
        let flow = sections.get::<pretrain_flow::Config>();
        problems.require(
            !self.method.is_of_latents()
                || flow.is_none_or(|flow| flow.features.tokeniser.is_some()),
            "optimise_latents.method.kind",
            "`latents` with a flow over numbers",
            "a flow over sequences (`pretrain_flow.features.tokeniser`), or `random` or `genetic`",
        );
    }

    fn reads(&self) -> Vec<Read> {
        match self.method.is_of_latents() {
            true => vec![Read::own(FLOW, Stage::PretrainFlow)],
            false => Vec::new(),
        }
    }

    fn inputs(&mut self) -> Vec<(String, &mut PathBuf)> {
        let file = self.initial.file.as_mut();
        let file = file.map(|file| ("initial.file", file));
        let all = self.objective.input().into_iter().chain(file);
        all.map(|(key, file)| (key.to_owned(), file)).collect()
    }

    fn prepare(&self, upstream: &Upstream, _: u64, _: &dyn Monitor) -> Result<Preparation> {
        let named = |e: Error| e.under(SECTION);
        let opened = self.objective.open().map_err(named)?;
        let rows = self.initial.read().map_err(named)?;
        let of_file = match (&rows, &opened.space) {
            (Some(rows), None) => Some(Rows::new(rows, &self.initial).map_err(named)?),
            _ => None,
        };
        if self.method.is_of_latents()
            && let Some(flow) = upstream.made(FLOW)?
        {
            open_sequence_model(flow, &Device::flex()).map_err(named)?;
        }
        Ok(Preparation::Ready(Box::new(Ready {
            config: self.clone(),
            opened,
            rows,
            of_file,
        })))
    }
}

/// The name of its section in messages.
const SECTION: &str = "optimise_latents";

/// The stage with its objective and its file validated.
struct Ready {
    config: Config,
    opened: Opened,
    rows: Option<Vec<Row>>,
    /// Their space, if the objective has none.
    of_file: Option<Arc<Rows>>,
}

impl Prepared for Ready {
    fn run(mut self: Box<Self>, upstream: &Upstream, context: &Context) -> Result<Summary> {
        let config = &self.config;
        let rows = self.rows.as_deref();
        let starting = config
            .initial
            .choose(&mut self.opened, rows, context.streams)?;
        let Opened {
            objective,
            space,
            canonical,
        } = &mut self.opened;
        let of_file = self.of_file.clone().map(|rows| -> Arc<dyn Space> { rows });
        let space = space.clone().or(of_file);
        let space = space.expect("an objective without random sequences has a file of sequences");
        let flow = upstream.dir_if_any(FLOW);
        let mut proposer =
            config
                .method
                .proposer((space, canonical.clone()), flow, &context.device)?;
        let outcome = Search {
            objective: objective.as_mut(),
            proposer: proposer.as_mut(),
            budget: Budget {
                calls: config.calls,
                per_round: config.calls_a_round,
            },
            streams: context.streams,
            monitor: context.monitor,
        }
        .run(&starting.start, &context.kept)?;
        context.monitor.table(names::TABLE, &table(&outcome))?;
        let best = context.dir.join(BEST);
        std::fs::write(&best, best_lines(&outcome)).map_err(|e| Error::file(&best, e))?;
        let mut summary = summary(&outcome);
        if config.initial.best_left_out > 0.0 {
            summary.add(names::LEFT_OUT, starting.left_out);
        }
        add_discrepancies(&outcome, &mut summary);
        // calls of a program are expensive and are not made for a figure alone
        if !matches!(config.objective, ObjectiveConfig::Command(_)) {
            add_decoded(
                proposer.as_ref(),
                objective.as_mut(),
                &outcome,
                context,
                &mut summary,
            )?;
        }
        Ok(summary)
    }
}

/// The file of the best sequences with their scores, from which another search may start.
const BEST: &str = "best.txt";
/// The number of best sequences.
const BEST_COUNT: usize = 100;

/// A line for each of the best sequences, best first: the sequence, a tab, its score.
fn best_lines(outcome: &Outcome) -> String {
    let best = outcome.history.best_first().into_iter().take(BEST_COUNT);
    let lines = best.filter_map(|e| Some(format!("{}\t{}\n", e.text, e.score?)));
    lines.collect()
}

/// The largest number of evaluations to encode and decode.
const DECODED: usize = 500;

/// Adds the differences between scores of sequences and of what their latents decode to.
fn add_decoded(
    proposer: &dyn Proposer,
    objective: &mut dyn Objective,
    outcome: &Outcome,
    context: &Context,
    summary: &mut Summary,
) -> Result<()> {
    let scored = outcome.history.evaluations().iter();
    let scored: Vec<(&str, f64)> = scored
        .filter_map(|evaluation| Some((evaluation.text.as_str(), evaluation.score?)))
        .collect();
    let some = spread_indices(scored.len(), DECODED).map(|place| scored[place]);
    let (texts, scores): (Vec<&str>, Vec<f64>) = some.unzip();
    let decoded = proposer.encoded_and_back(&texts)?;
    if decoded.is_empty() {
        return Ok(());
    }
    let asked: Vec<&str> = decoded.iter().map(|(_, text)| text.as_str()).collect();
    let mut again = Vec::new();
    objective.score(&asked, &|| context.monitor.cancelled(), &mut |scores| {
        again.extend_from_slice(scores);
        Ok(())
    })?;
    let same = (decoded.iter())
        .filter(|(place, text)| texts[*place] == text)
        .count();
    summary.add(names::DECODED, same as f64 / decoded.len() as f64);
    let off = decoded.iter().zip(again);
    let off = off.filter_map(|((place, _), again)| Some((again? - scores[*place]).abs()));
    let off: Vec<f64> = off.collect();
    if !off.is_empty() {
        summary.add(names::ENCODED_DISCREPANCY, mean(&off));
    }
    Ok(())
}

/// Adds the distances of proposed latents from those of their sequences.
fn add_discrepancies(outcome: &Outcome, summary: &mut Summary) {
    let proposed = || outcome.evaluations.iter();
    let discrepancies: Vec<f64> = proposed().filter_map(|e| e.discrepancy).collect();
    let moved: Vec<f64> = proposed().filter_map(|e| e.moved).collect();
    for (name, numbers) in [
        (names::PROPOSED_DISCREPANCY, discrepancies),
        (names::MOVED, moved),
    ] {
        if !numbers.is_empty() {
            summary.add(name, mean(&numbers));
        }
    }
}

fn summary(outcome: &Outcome) -> Summary {
    let mut summary = Summary::default();
    let evaluations = &outcome.evaluations;
    if let Some(best) = outcome.history.best().and_then(|best| best.score) {
        summary.add(names::BEST, best);
    }
    let of_start = evaluations
        .iter()
        .filter(|evaluated| evaluated.evaluation.round == 0);
    let best_of_start = of_start
        .clone()
        .filter_map(|evaluated| outcome.history.value(&evaluated.evaluation));
    if let Some(best) = best_of_start.max_by(f64::total_cmp) {
        summary.add(names::BEST_OF_START, outcome.history.score(best));
    }
    let calls = outcome.calls();
    let called = evaluations.iter().map(|e| &e.evaluation);
    let called = called.filter(|evaluation| evaluation.round > 0);
    let infeasible = called.filter(|evaluation| evaluation.score.is_none());
    summary.add(names::CALLS, calls as f64);
    if calls > 0 {
        summary.add(names::INFEASIBLE, infeasible.count() as f64 / calls as f64);
    }
    summary.add(names::START, of_start.count() as f64);
    // not the rounds in the journal: a process may be killed before it writes them
    let rounds = evaluations.iter().map(|e| e.evaluation.round).max();
    summary.add(names::ROUNDS, rounds.unwrap_or(0) as f64);
    summary.add(
        names::PROPOSING,
        outcome.rounds.iter().map(|round| round.proposing).sum(),
    );
    summary.add(
        names::SCORING,
        outcome.rounds.iter().map(|round| round.scoring).sum(),
    );
    summary
}

/// All evaluations, in order.
fn table(outcome: &Outcome) -> Table {
    let (mut best, mut calls) = (f64::NEG_INFINITY, 0);
    let (mut best_so_far, mut calls_so_far) = (Vec::new(), Vec::new());
    for evaluated in &outcome.evaluations {
        let value = outcome.history.value(&evaluated.evaluation);
        best = value.map_or(best, |value| value.max(best));
        best_so_far.push(match best.is_finite() {
            true => outcome.history.score(best),
            false => f64::NAN,
        });
        calls += i64::from(evaluated.evaluation.round > 0);
        calls_so_far.push(calls);
    }
    let all = || outcome.evaluations.iter();
    let evaluations = || all().map(|evaluated| &evaluated.evaluation);
    let or_nan = |number: Option<f64>| number.unwrap_or(f64::NAN);
    let mut table = Table::default();
    table
        .int(
            names::ROUND,
            evaluations().map(|e| e.round as i64).collect(),
        )
        .text(names::TEXT, evaluations().map(|e| e.text.clone()).collect())
        .float(
            names::SCORE,
            evaluations().map(|e| or_nan(e.score)).collect(),
        )
        .int(
            names::FEASIBLE,
            evaluations()
                .map(|e| i64::from(e.score.is_some()))
                .collect(),
        )
        .float(
            names::REGION,
            all().map(|e| or_nan(e.region.map(f64::from))).collect(),
        )
        .float(
            names::PREDICTED,
            all().map(|e| or_nan(e.predicted)).collect(),
        )
        .float(
            names::UNCERTAINTY,
            all().map(|e| or_nan(e.uncertainty)).collect(),
        )
        .float(names::MOVED_BY, all().map(|e| or_nan(e.moved)).collect())
        .float(
            names::DISCREPANCY,
            all().map(|e| or_nan(e.discrepancy)).collect(),
        )
        .float(names::BEST_SO_FAR, best_so_far)
        .int(names::CALLS_SO_FAR, calls_so_far);
    table
}
