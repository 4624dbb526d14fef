//! A round of a search in latents: proposals for expressions, 1,500 of which are evaluated.

use super::{Job, Shown, Tensors};
use burn::tensor::Device;
use latent_align_stages::Result;
use latent_align_stages::context::{Context, Silent};
use latent_align_stages::optimisation::{
    Canonical, Evaluation, ExpressionConfig, History, Latents, LatentsConfig, ObjectiveConfig,
    Proposer as _, RefitConfig,
};
use latent_align_stages::priors::{FitSequences, FitsSequences as _, GumbelMax, Schedule};
use latent_align_stages::random::{Streams, normal};
use latent_align_stages::sequences::{Alphabet, Sequence, SequenceModel, Tokeniser, Weighed};
use latent_align_stages::training::OptimiserConfig;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The tokens of expressions, without the end.
const TOKENS: [&str; 11] = ["sin(", "exp(", "(", ")", "x", "1", "2", "3", "+", "*", "/"];
/// Tokens per sequence.
pub const LONGEST: usize = 32;
/// Numbers per token of a latent: the tokens and the end.
pub const WIDTH: usize = TOKENS.len() + 1;
/// Evaluated expressions.
pub const EVALUATIONS: usize = 1500;
/// Proposals of a round.
pub const PROPOSALS: usize = 20;
/// Training steps of the model.
const STEPS: u64 = 150;
/// Rows whose costs and decoded tokens are compared.
const COMPARED: usize = 64;

/// A pass of the model in a round, with the number of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Latents to sequences, token by token.
    Decode(usize),
    /// Latents and costs of sequences.
    Weigh(usize),
    /// A token of each sequence drawn again.
    Redraw(usize),
}

/// A search whose evaluations do not change, without refits of its model.
pub struct SearchRound {
    search: Latents,
    history: History,
    round: u64,
    device: Device,
}

impl SearchRound {
    /// With a model trained for a few steps on the evaluated expressions.
    ///
    /// # Errors
    /// Device errors.
    pub fn new(device: &Device) -> Result<Self> {
        Self::with(device, |model| model)
    }

    /// The passes of the model in the second round; in the first one, all evaluations are encoded.
    ///
    /// # Errors
    /// Device errors.
    pub fn passes(device: &Device) -> Result<Vec<Pass>> {
        let passes = Passes::default();
        let mut round = Self::with(device, |model| {
            let passes = passes.clone();
            Box::new(Counted { model, passes })
        })?;
        round.step()?;
        passes.lock().expect("no panic").clear();
        round.step()?;
        let passes = passes.lock().expect("no panic").clone();
        Ok(passes)
    }

    fn with(
        device: &Device,
        wrap: impl FnOnce(Box<dyn SequenceModel>) -> Box<dyn SequenceModel>,
    ) -> Result<Self> {
        let history = evaluated()?;
        let config = LatentsConfig {
            refit: RefitConfig {
                every: 0,
                ..RefitConfig::default()
            },
            ..LatentsConfig::default()
        };
        let model = wrap(model(&history, device)?);
        Ok(Self {
            search: Latents::new(config, model, Canonical::default()),
            history,
            round: 0,
            device: device.clone(),
        })
    }
}

/// Random expressions with their scores.
fn evaluated() -> Result<History> {
    let mut opened = ObjectiveConfig::Expression(ExpressionConfig::default()).open()?;
    let space = opened.space.expect("the grammar");
    let mut history = History::new(opened.objective.direction());
    let mut rng = Streams::new(0).at("expressions", 0);
    while history.evaluations().len() < EVALUATIONS {
        let text = space.draw(&mut rng);
        if history.knows(&text) || text.len() > LONGEST {
            continue;
        }
        let mut score = None;
        let mut sink = |found: &[Option<f64>]| {
            score = found[0];
            Ok(())
        };
        opened.objective.score(&[&text], &|| false, &mut sink)?;
        let round = 0;
        history.push(Evaluation { text, score, round });
    }
    Ok(history)
}

fn alphabet() -> Alphabet {
    let pattern = serde_json::json!({"kind": "pattern", "pattern": r"sin\(|exp\(|."});
    let tokeniser: Tokeniser = serde_json::from_value(pattern).expect("a tokeniser");
    Alphabet::new(tokeniser, LONGEST, TOKENS.map(String::from).to_vec())
}

fn model(history: &History, device: &Device) -> Result<Box<dyn SequenceModel>> {
    let alphabet = alphabet();
    let texts = history.evaluations().iter();
    let sequences = texts.map(|e| alphabet.sequence(&e.text, "an expression", 1));
    let sequences: Vec<Sequence> = sequences.collect::<Result<_>>()?;
    let context = Context {
        streams: Streams::new(0),
        device: device.clone(),
        replicas: Vec::new(),
        dir: PathBuf::new(),
        resume: None,
        kept: PathBuf::new(),
        monitor: &Silent,
    };
    let schedule = Schedule {
        optimiser: OptimiserConfig {
            learning_rate: 3e-3,
            ..OptimiserConfig::default()
        },
        steps: STEPS,
        batch: 64,
        evaluate_every: STEPS,
        evaluation_points: 64,
        early_stopping: None,
    };
    let fit = FitSequences {
        alphabet: &alphabet,
        train: &sequences,
        held_out: &sequences[..64],
        schedule: &schedule,
    };
    let (model, _) = GumbelMax::default().fit_sequences(fit, &context)?;
    Ok(model)
}

impl Job for SearchRound {
    fn step(&mut self) -> Result<()> {
        self.round += 1;
        let streams = Streams::new(1);
        let proposals =
            self.search
                .propose(&self.history, PROPOSALS, streams, self.round, &|| false)?;
        assert_eq!(proposals.len(), PROPOSALS);
        Ok(())
    }

    /// The costs of sequences, and the tokens that random latents decode to.
    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        let model = model(&self.history, &self.device)?;
        model.save(&to.file("model"))?;
        let some = &self.history.evaluations()[..COMPARED];
        let sequences = some.iter().map(|e| model.sequence(&e.text));
        let sequences: Vec<Sequence> = sequences.collect::<Result<_>>()?;
        let rows = |sequences: &[Sequence]| -> Vec<f32> {
            let rows = (sequences.iter()).flat_map(|sequence| model.alphabet().row(sequence));
            rows.map(|token| token as f32).collect()
        };
        let latents = normal(
            &mut Streams::new(2).at("latents", 0),
            COMPARED * LONGEST * WIDTH,
        );
        let mut given = Tensors::default();
        given.add("rows", [COMPARED, LONGEST], rows(&sequences));
        given.add("latents", [COMPARED, LONGEST, WIDTH], latents.clone());
        to.given(&given)?;
        let costs = model.weigh(&sequences)?.costs;
        let mut found = Tensors::default();
        let worst = costs.iter().map(|cost| cost.worst as f32).collect();
        found.add("worst", [COMPARED], worst);
        let mean = costs.iter().map(|cost| cost.mean as f32).collect();
        found.add("mean", [COMPARED], mean);
        found.add(
            "tokens",
            [COMPARED, LONGEST],
            rows(&model.decode(&latents)?),
        );
        to.found(&found)
    }
}

type Passes = Arc<Mutex<Vec<Pass>>>;

/// A model that notes its passes.
struct Counted {
    model: Box<dyn SequenceModel>,
    passes: Passes,
}

impl Counted {
    fn note(&self, pass: Pass) {
        self.passes.lock().expect("no panic").push(pass);
    }
}

impl SequenceModel for Counted {
    fn tokens(&self) -> usize {
        self.model.tokens()
    }

    fn width(&self) -> usize {
        self.model.width()
    }

    fn alphabet(&self) -> &Alphabet {
        self.model.alphabet()
    }

    fn encode(&self, sequences: &[Sequence]) -> Result<Vec<f32>> {
        self.model.encode(sequences)
    }

    fn weigh(&self, sequences: &[Sequence]) -> Result<Weighed> {
        self.note(Pass::Weigh(sequences.len()));
        self.model.weigh(sequences)
    }

    fn redraw(
        &self,
        sequences: &[Sequence],
        places: &[usize],
        rng: &mut Pcg64,
    ) -> Result<Vec<Sequence>> {
        self.note(Pass::Redraw(sequences.len()));
        self.model.redraw(sequences, places, rng)
    }

    fn decode(&self, latents: &[f32]) -> Result<Vec<Sequence>> {
        let elements = self.tokens() * self.width();
        self.note(Pass::Decode(latents.len() / elements));
        self.model.decode(latents)
    }

    fn refit(
        &mut self,
        sequences: &[Sequence],
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        self.model.refit(sequences, streams, round, cancelled)
    }

    fn save(&self, path: &Path) -> Result<()> {
        self.model.save(path)
    }

    fn restore(&mut self, path: &Path) -> Result<()> {
        self.model.restore(path)
    }
}
