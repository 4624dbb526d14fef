//! Figures of a sweep: best scores, the objective against each axis, and reconstruction against
//! likelihood.

mod axes;
mod optimisers;
mod pareto;

use super::figure::Figure;
use crate::sweep::Trials;

pub use pareto::on_front;

/// A kind of figure of a sweep.
pub struct Kind {
    /// The name of its file without the extension.
    pub name: &'static str,
    /// A description in one line.
    pub about: &'static str,
    /// Draws it; none if it does not apply.
    pub draw: fn(&Trials) -> Option<Figure>,
}

/// All figures of a sweep.
pub const KINDS: [Kind; 3] = [
    Kind {
        name: "optimisers",
        about: "the best score of searches by their calls",
        draw: optimisers::draw,
    },
    Kind {
        name: "objective",
        about: "the objective against each axis",
        draw: axes::draw,
    },
    Kind {
        name: "pareto",
        about: "the reconstruction error against the NLL of the latents, and the trials that are not dominated",
        draw: pareto::draw,
    },
];
