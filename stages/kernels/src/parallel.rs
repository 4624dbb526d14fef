//! Rayon's iterators, and what stands for them under Miri, which takes no part of crossbeam: the same work
//! in one thread.

#[cfg(not(miri))]
pub(crate) use rayon::prelude::*;
#[cfg(miri)]
pub(crate) use sequential::*;

/// Rows that one task works on; sums over rows are taken in blocks of as many.
pub(crate) const ROWS: usize = 256;

/// Threads that share the work.
pub(crate) fn threads() -> usize {
    match cfg!(miri) {
        true => 2, // as many tasks as two would have
        false => rayon::current_num_threads(),
    }
}

#[cfg(miri)]
mod sequential {
    use std::slice::{Chunks, ChunksExactMut, ChunksMut, IterMut};

    pub(crate) trait ParallelSlice<T> {
        fn par_chunks(&self, size: usize) -> Chunks<'_, T>;
        fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T>;
        fn par_chunks_exact_mut(&mut self, size: usize) -> ChunksExactMut<'_, T>;
        fn par_iter_mut(&mut self) -> IterMut<'_, T>;
    }

    impl<T> ParallelSlice<T> for [T] {
        fn par_chunks(&self, size: usize) -> Chunks<'_, T> {
            self.chunks(size)
        }
        fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T> {
            self.chunks_mut(size)
        }
        fn par_chunks_exact_mut(&mut self, size: usize) -> ChunksExactMut<'_, T> {
            self.chunks_exact_mut(size)
        }
        fn par_iter_mut(&mut self) -> IterMut<'_, T> {
            self.iter_mut()
        }
    }

    pub(crate) trait IntoParallelIterator {
        type Item;
        fn into_par_iter(self) -> impl Iterator<Item = Self::Item>;
    }

    impl IntoParallelIterator for std::ops::Range<usize> {
        type Item = usize;
        fn into_par_iter(self) -> impl Iterator<Item = usize> {
            self
        }
    }

    impl<A: Iterator, B: Iterator> IntoParallelIterator for (A, B) {
        type Item = (A::Item, B::Item);
        fn into_par_iter(self) -> impl Iterator<Item = Self::Item> {
            self.0.zip(self.1)
        }
    }

    impl<A: Iterator, B: Iterator, C: Iterator> IntoParallelIterator for (A, B, C) {
        type Item = (A::Item, B::Item, C::Item);
        fn into_par_iter(self) -> impl Iterator<Item = Self::Item> {
            let (a, b, c) = self;
            a.zip(b).zip(c).map(|((a, b), c)| (a, b, c))
        }
    }

    impl<A: Iterator, B: Iterator, C: Iterator, D: Iterator, E: Iterator> IntoParallelIterator
        for (A, B, C, D, E)
    {
        type Item = (A::Item, B::Item, C::Item, D::Item, E::Item);
        fn into_par_iter(self) -> impl Iterator<Item = Self::Item> {
            let (a, b, c, d, e) = self;
            let four = a.zip(b).zip(c.zip(d)).zip(e);
            four.map(|(((a, b), (c, d)), e)| (a, b, c, d, e))
        }
    }

    pub(crate) trait IndexedParallelIterator: Iterator + Sized {
        fn with_max_len(self, _: usize) -> Self {
            self
        }
    }

    impl<I: Iterator> IndexedParallelIterator for I {}
}
