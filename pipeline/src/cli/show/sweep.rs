//! `latent-align show SWEEP --objective`

use crate::catalogue::Catalogue;
use crate::console::Console;
use crate::store::Store;
use crate::sweep::{
    Constraint, Direction, Objective, TrialRow, Trials, refuse_to_choose_by, test_figure,
};
use crate::tables::{Field, Kind, Output, Query, Source, Values, resolve};
use anyhow::Result;
use clap::{Args, ValueEnum};
use latent_align_stages::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

/// How to order the trials of a sweep.
#[derive(Debug, Args)]
pub struct Ranking {
    /// For a sweep: rank its trials by this figure, as `stage: figure`, the best first; by default by the sweep's
    /// own objective
    #[arg(long, value_name = "FIGURE", num_args = 0..=1)]
    objective: Option<Option<String>>,
    /// Which direction is better
    #[arg(long, value_enum, value_name = "DIRECTION")]
    direction: Option<Better>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Better {
    /// The smallest value is best
    #[value(alias = "minimize")]
    Minimise,
    /// The largest value is best
    #[value(alias = "maximize")]
    Maximise,
}

/// The column with the mean objective over the seeds of a variant, by which variants are ranked.
const MEAN: &str = "mean over seeds";

impl Ranking {
    /// The first given option that asks for a ranking.
    pub fn given(&self) -> Option<&'static str> {
        let direction = self.direction.map(|_| "--direction");
        self.objective.as_ref().map(|_| "--objective").or(direction)
    }

    /// If the given figure is in fact a thing to show (`is_thing`), returns it and falls back to the sweep's own
    /// objective.
    pub fn give_back(&mut self, is_thing: impl Fn(&str) -> bool) -> Option<PathBuf> {
        let given = self.objective.as_mut()?;
        given.take_if(|given| is_thing(given)).map(PathBuf::from)
    }

    /// Ranks by the sweep's own objective, unless another is given.
    pub fn ask(&mut self) {
        self.objective.get_or_insert_default();
    }

    /// Shows the trials of the sweep `name`, the best variant first, and the excluded trials.
    ///
    /// # Errors
    /// [`Error::Input`] without an objective, and for an objective that does not exist or that must not be used for
    /// selection.
    pub fn show(
        &self,
        store: &Store,
        name: &str,
        query: &Query,
        output: Output,
        console: &Console,
    ) -> Result<()> {
        let all = Catalogue::of(store).sweep(name)?;
        let objective = self.objective(&all)?;
        let ranked = all.ranked(&objective).into_iter();
        let mut trials: Vec<_> = ranked.map(|row| (row, None)).collect();
        let out: Vec<_> = (all.rows.iter())
            .map(|row| (row, all.left_out(row, &objective)))
            .filter(|row| row.1.is_some())
            .collect();
        let mut notes = String::new();
        for (trial, why) in &out {
            let why = why.as_deref().unwrap_or_default();
            let _ = writeln!(notes, "left out: {}: {why}", trial.trial.run);
        }
        if trials.is_empty() {
            notes.insert_str(0, "no trial counts\n");
        } else if !out.is_empty() {
            notes.insert(0, '\n');
        }
        // Text output lists excluded trials below the table; formats for programs have all trials in it.
        let is_text = output.is_text();
        if !is_text {
            trials.extend(out);
        }
        let source = table(&trials, &all, &objective, is_text);
        output.write_with(&mut query.run(&source)?, &notes, console)
    }

    fn objective(&self, trials: &Trials) -> Result<Objective> {
        let record = &trials.record;
        let mut objective = match (self.objective.iter().flatten().next(), &record.objective) {
            (Some(wanted), _) => Objective {
                figure: figure(wanted, trials)?,
                direction: Direction::Minimise,
            },
            (None, Some(objective)) => objective.clone(),
            (None, None) => {
                return Err(Error::input(format!(
                    "sweep `{}` has no objective; give one, such as --objective 'train-autoencoder: held-out \
                     mean squared error' --direction minimise, or write `objective: {{figure: ...}}` into {}",
                    record.name,
                    record.file.display()
                ))
                .into());
            }
        };
        match self.direction {
            Some(Better::Minimise) => objective.direction = Direction::Minimise,
            Some(Better::Maximise) => objective.direction = Direction::Maximise,
            None => {}
        }
        Ok(objective)
    }
}

/// The figure of `trials` that `wanted` names, matched as leniently as column names.
fn figure(wanted: &str, trials: &Trials) -> Result<String> {
    let names = trials.figures();
    let field = |name: &&str| Field::new(*name, Values::Float(vec![]));
    let fields = names.iter().map(field).collect();
    let at = resolve(&Source::new(0, fields), wanted, "--objective")?;
    let found = names[at].to_owned();
    match refuse_to_choose_by(&found) {
        None => Ok(found),
        Some(expected) => {
            Err(Error::input(format!("--objective: found `{found}`, expected {expected}")).into())
        }
    }
}

fn table<'a>(
    rows: &[(&'a TrialRow, Option<String>)],
    all: &'a Trials,
    objective: &Objective,
    is_text: bool,
) -> Source<'a> {
    let record = &all.record;
    let each = || rows.iter().map(|row| row.0);
    let seeds = each().map(|t| i64::try_from(t.trial.seed).ok());
    let mut fields = vec![
        Field::text("run", each().map(|t| t.trial.run.as_str())),
        Field::text("variant", each().map(|t| t.trial.variant.as_str())),
        Field::ints("seed", seeds),
    ];
    let seeds = |t: &TrialRow| all.seeds(&t.trial.variant, &objective.figure);
    if each().any(|t| seeds(t).count > 1) {
        let means = each().map(|t| seeds(t).mean());
        fields.push(Field::floats(MEAN, means).of(Kind::Figure));
    }
    let constraints = record.constraints.iter().map(|c: &Constraint| &c.figure);
    let shown = test_figure(&objective.figure);
    let mut figures: Vec<&String> = std::iter::once(&objective.figure)
        .chain(&shown)
        .chain(constraints)
        .collect();
    figures.extend(&record.columns);
    let mut named: Vec<&str> = Vec::new();
    for figure in figures {
        if !named.contains(&figure.as_str()) {
            named.push(figure);
            let values = each().map(|t| t.standing.figure(figure));
            fields.push(Field::floats(figure, values).of(Kind::Figure));
        }
    }
    let settings: Vec<Vec<Option<String>>> = (record.axes.iter())
        .map(|axis| {
            each()
                .map(|t| t.trial.settings.get(axis).map(ToString::to_string))
                .collect()
        })
        .collect();
    for (axis, values) in record.axes.iter().zip(settings) {
        let words = values
            .into_iter()
            .map(|v| v.map(|v| v.trim_matches('"').to_owned()));
        fields.push(Field::new(axis, Values::Text(words.collect())));
    }
    fields.push(Field::text(
        "state",
        each().map(|t| t.standing.state.word()),
    ));
    if !is_text {
        fields.push(Field::text(
            "left out",
            rows.iter().map(|row| row.1.clone().unwrap_or_default()),
        ));
    }
    Source::new(rows.len(), fields)
}
