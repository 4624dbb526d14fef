//! Fitting the model to sequences.

use super::config::GumbelMax;
use super::model::{FILE, FORMAT, GumbelMaxModel};
use super::network::Network;
use super::race::won_by;
use super::training::Training;
use crate::context::{Context, Summary};
use crate::error::Result;
use crate::figures::pretrain_flow as names;
use crate::priors::maximum_likelihood::trained;
use crate::priors::of_sequences::{
    FitSequences, FitsSequences, FittedSequences, Likelihoods, Shuffled, require, rows_of,
};
use crate::priors::sequence_file;
use crate::random::Streams;
use crate::sequences::{Alphabet, Sequence};
use burn::module::Module;
use rand::RngExt;
use rand_distr::Exp1;
use std::path::Path;

impl FitsSequences for GumbelMax {
    fn fit_sequences(
        &self,
        fit: FitSequences,
        context: &Context,
    ) -> Result<(Box<dyn FittedSequences>, Summary)> {
        let (alphabet, schedule) = (fit.alphabet, fit.schedule);
        let device = context.device.clone().autodiff();
        let network = Network::new(self, alphabet, context.streams, &device);
        let mut task = Training {
            alphabet,
            batches: Shuffled::new(fit.train, schedule.batch),
            held_out: rows_of(alphabet, fit.held_out),
            streams: context.streams,
        };
        let (network, figures) = trained(network, &mut task, schedule, context)?;
        let model = GumbelMaxModel {
            config: self.clone(),
            alphabet: alphabet.clone(),
            network,
        };
        Ok((Box::new(model), figures))
    }
}

impl FittedSequences for GumbelMaxModel {
    fn parameters(&self) -> usize {
        self.network.num_params()
    }

    fn write(&self, dir: &Path) -> Result<()> {
        let about = (&self.config, &self.alphabet);
        sequence_file::write(&self.network, &dir.join(FILE), FORMAT, about)
    }

    /// The exact NLLs, and the share of tokens that are the likeliest given those before them.
    fn likelihoods(&self, sequences: &[Sequence], _: Streams) -> Result<Likelihoods> {
        require(&self.alphabet, sequences)?;
        let (longest, size) = (self.alphabet.longest(), self.alphabet.size());
        let (mut nlls, mut likeliest, mut tokens) = (Vec::new(), 0usize, 0usize);
        self.each(&rows_of(&self.alphabet, sequences), |rows, log_p| {
            for (row, log_p) in rows
                .chunks_exact(longest)
                .zip(log_p.chunks_exact(longest * size))
            {
                let length = Alphabet::sequence_of_row(row).len();
                let mut nll = 0.0;
                for (&token, log_p) in row.iter().zip(log_p.chunks_exact(size)).take(length + 1) {
                    let own = log_p[token as usize];
                    nll -= own;
                    tokens += 1;
                    likeliest += usize::from(log_p.iter().all(|other| *other <= own));
                }
                nlls.push(nll);
            }
            Ok(())
        })?;
        Ok(Likelihoods {
            bounds: nlls,
            besides: (names::LIKELIEST, likeliest as f64 / tokens as f64),
        })
    }

    fn noisy_latents(&self, sequences: &[Sequence], streams: Streams) -> Result<Vec<f32>> {
        let mut rng = streams.at("races of scored sequences", 0);
        let mut latents = Vec::new();
        self.each(&rows_of(&self.alphabet, sequences), |rows, log_p| {
            let draws: Vec<f64> = (0..log_p.len()).map(|_| rng.sample(Exp1)).collect();
            latents.extend(won_by(rows, log_p, &draws));
            Ok(())
        })?;
        Ok(latents)
    }
}
