//! Residual blocks of the velocity network in a row, forward and backward.
//!
//! A task takes about a hundred rows through several blocks, so that activations stay in the cache and threads
//! seldom wait for each other; as many blocks at once as keep their weights in it, too.

mod forward;
mod gradient;
mod kept;
mod parts;

pub use kept::{Keep, Kept};

use crate::block::Block;

/// Blocks in a row, of one width and for the same groups of rows.
#[derive(Clone)]
pub struct Blocks<'a>(Vec<Block<'a>>);

/// Bytes of packed weights that one task passes.
const WEIGHTS_AT_ONCE: usize = 8 << 20;

impl<'a> Blocks<'a> {
    /// # Panics
    /// If there is none, or their widths or groups differ.
    pub fn new(blocks: Vec<Block<'a>>) -> Self {
        let size = |block: &Block| (block.width(), block.modulation.len());
        let first = size(blocks.first().expect("a block"));
        assert!(
            blocks.iter().all(|block| size(block) == first),
            "blocks of different sizes"
        );
        Self(blocks)
    }

    fn width(&self) -> usize {
        self.0[0].width()
    }

    /// The number of blocks that a task passes at once.
    fn at_once(&self) -> usize {
        let weights = 2 * self.width().pow(2) * size_of::<f32>();
        (WEIGHTS_AT_ONCE / weights).max(1)
    }
}
