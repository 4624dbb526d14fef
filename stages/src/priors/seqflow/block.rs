//! A block: couplings inside each token that all read the same context of preceding tokens.

use super::config::SeqFlow;
use super::context::{Context, State};
use super::coupling::Coupling;
use crate::error::Result;
use crate::random::Streams;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

#[derive(Module, Debug)]
pub(super) struct Block {
    context: Context,
    couplings: Vec<Coupling>,
}

impl Block {
    /// Block `number` over points of `dims`, T x F; weights are initialised later. Every second coupling takes the
    /// numbers of a token in reverse; odd blocks start with a reversed one.
    pub fn new(config: &SeqFlow, number: usize, dims: [usize; 2], device: &Device) -> Self {
        let coupling = |place: usize| {
            let reversed = !(number + place).is_multiple_of(2);
            Coupling::new(
                dims[1],
                config.context.width(),
                config.hidden,
                reversed,
                device,
            )
        };
        Self {
            context: Context::new(&config.context, dims, device),
            couplings: (0..config.couplings).map(coupling).collect(),
        }
    }

    /// Initialises weights that differ from the default.
    pub fn prepare(&mut self, number: u64, streams: Streams) {
        self.context.prepare(number, streams);
    }

    /// The context of every token of `x` [n, T, F]: [n T, C].
    pub fn read(&self, x: &Tensor<3>) -> Tensor<2> {
        self.context.all(x).flatten(0, 1)
    }

    /// Maps points `x` [n, T, F] towards noise under their `context` [n T, C]; also returns each token's part of
    /// `log |det|` [n, T].
    pub fn forward(&self, x: Tensor<3>, context: Tensor<2>) -> (Tensor<3>, Tensor<2>) {
        let dims = x.dims();
        let [n, tokens, _] = dims;
        let mut x: Tensor<2> = x.flatten(0, 1);
        let mut log_det: Option<Tensor<2>> = None;
        for coupling in &self.couplings {
            let (carried, more) = coupling.forward(x, context.clone());
            x = carried;
            log_det = Some(match log_det {
                None => more,
                Some(so_far) => so_far + more,
            });
        }
        let log_det = log_det.expect("at least one coupling");
        (x.reshape(dims), log_det.reshape([n, tokens]))
    }

    /// The initial state.
    pub fn begin(&self) -> State {
        self.context.begin()
    }

    /// Inverts the next token `x` [n, F]; `before` [n, F] is the result for the token before it, None for the
    /// first.
    ///
    /// # Errors
    /// Device errors.
    pub fn next(
        &self,
        state: &mut State,
        before: Option<Tensor<2>>,
        x: Tensor<2>,
    ) -> Result<Tensor<2>> {
        let [n, _] = x.dims();
        self.inverse(x, self.context.next(state, before, n))
    }

    /// Inverts tokens `x` [n, F] under their `context` [n, C].
    ///
    /// # Errors
    /// Device errors.
    pub fn inverse(&self, x: Tensor<2>, context: Tensor<2>) -> Result<Tensor<2>> {
        let mut couplings = self.couplings.iter().rev();
        couplings.try_fold(x, |x, coupling| coupling.inverse(x, context.clone()))
    }
}
