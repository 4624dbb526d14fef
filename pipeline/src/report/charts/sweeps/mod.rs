//! Figures of a sweep: the objective against each axis, and what reconstruction costs in likelihood.

mod axes;
mod optimisers;
mod pareto;

use super::figure::Figure;
use crate::sweep::Trials;

pub use pareto::front;

/// A figure that a sweep may have.
pub struct Kind {
    /// The name of its file, without what says that it is SVG.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// Draws it; none where it does not apply.
    pub draw: fn(&Trials) -> Option<Figure>,
}

/// Every figure that a sweep may have.
pub const KINDS: [Kind; 3] = [
    Kind {
        name: "optimisers",
        about: "the best score of searches against their calls",
        draw: optimisers::draw,
    },
    Kind {
        name: "objective",
        about: "the objective against each axis",
        draw: axes::draw,
    },
    Kind {
        name: "pareto",
        about: "the reconstruction error against the NLL of the latents, and the trials that no other beats \
                in both",
        draw: pareto::draw,
    },
];
