//! Parts of slices and numbers of ranges, one task each, on the threads of [`crate::team`].

use crate::shared::Shared;
use crate::team;
pub(crate) use crate::team::threads;

/// Rows that one task works on; sums over rows are taken in blocks of as many.
pub(crate) const ROWS: usize = 256;

/// Some tasks, each of them about an item.
pub(crate) trait Tasks: Sync + Sized {
    /// What a task is about.
    type Item;

    /// How many there are.
    fn count(&self) -> usize;

    /// The item of one of them.
    ///
    /// # Safety
    /// `index` must be below the count, and asked for once.
    unsafe fn get(&self, index: usize) -> Self::Item;

    /// With their numbers.
    fn enumerate(self) -> (Numbers, Self) {
        (Numbers(self.count()), self)
    }

    /// With what `f` makes of each item.
    fn map<R, F: Fn(Self::Item) -> R + Sync>(self, f: F) -> Map<Self, F> {
        Map(self, f)
    }

    /// Does `task` for each.
    fn for_each(self, task: impl Fn(Self::Item) + Sync) {
        team::run(self.count(), &|range| {
            for index in range {
                // SAFETY: the ranges cover the count, each index once.
                task(unsafe { self.get(index) });
            }
        });
    }

    /// The items, in their order.
    fn collect(self) -> Vec<Self::Item>
    where
        Self::Item: Send,
    {
        let mut items = Box::new_uninit_slice(self.count());
        let room = Shared::new(&mut items);
        Numbers(self.count()).for_each(|index| {
            // SAFETY: each index once.
            unsafe { room.part(index, 1)[0].write(self.get(index)) };
        });
        // SAFETY: each is written.
        unsafe { items.assume_init() }.into_vec()
    }
}

/// See [`Tasks::map`].
pub(crate) struct Map<T, F>(T, F);

impl<T: Tasks, R, F: Fn(T::Item) -> R + Sync> Tasks for Map<T, F> {
    type Item = R;

    fn count(&self) -> usize {
        self.0.count()
    }

    #[inline(always)]
    unsafe fn get(&self, index: usize) -> R {
        // SAFETY: the caller's.
        self.1(unsafe { self.0.get(index) })
    }
}

/// The numbers below this one.
pub(crate) struct Numbers(pub(crate) usize);

impl Tasks for Numbers {
    type Item = usize;

    fn count(&self) -> usize {
        self.0
    }

    #[inline(always)]
    unsafe fn get(&self, index: usize) -> usize {
        index
    }
}

/// Parts of a slice.
pub(crate) struct Chunks<'a, T> {
    values: &'a [T],
    size: usize,
}

impl<'a, T: Sync> Tasks for Chunks<'a, T> {
    type Item = &'a [T];

    fn count(&self) -> usize {
        self.values.len().div_ceil(self.size)
    }

    #[inline(always)]
    unsafe fn get(&self, index: usize) -> &'a [T] {
        let start = index * self.size;
        &self.values[start..(start + self.size).min(self.values.len())]
    }
}

/// Parts of a slice, to be changed.
pub(crate) struct ChunksMut<'a, T> {
    values: Shared<'a, T>,
    length: usize,
    size: usize,
}

impl<'a, T: Send> Tasks for ChunksMut<'a, T> {
    type Item = &'a mut [T];

    fn count(&self) -> usize {
        self.length.div_ceil(self.size)
    }

    #[inline(always)]
    unsafe fn get(&self, index: usize) -> &'a mut [T] {
        let start = index * self.size;
        // SAFETY: parts do not overlap, and each is asked for once.
        unsafe { (self.values).part(start, self.size.min(self.length - start)) }
    }
}

/// A slice in parts.
pub(crate) trait InParts<T> {
    /// In parts of `size`, the last of them shorter where it does not divide the length.
    fn par_chunks(&self, size: usize) -> Chunks<'_, T>;

    /// As [`Self::par_chunks`], to be changed.
    fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T>;

    /// As [`Self::par_chunks_mut`], without what is left over.
    fn par_chunks_exact_mut(&mut self, size: usize) -> ChunksMut<'_, T>;
}

impl<T> InParts<T> for [T] {
    fn par_chunks(&self, size: usize) -> Chunks<'_, T> {
        assert!(size > 0, "parts of nothing");
        Chunks { values: self, size }
    }

    fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T> {
        assert!(size > 0, "parts of nothing");
        ChunksMut {
            length: self.len(),
            values: Shared::new(self),
            size,
        }
    }

    fn par_chunks_exact_mut(&mut self, size: usize) -> ChunksMut<'_, T> {
        let whole = self.len() / size * size;
        self[..whole].par_chunks_mut(size)
    }
}

macro_rules! beside_each_other {
    ($($name:ident $field:tt),*) => {
        impl<$($name: Tasks),*> Tasks for ($($name,)*) {
            type Item = ($($name::Item,)*);

            fn count(&self) -> usize {
                [$(self.$field.count()),*].into_iter().min().expect("two at least")
            }

            #[inline(always)]
            unsafe fn get(&self, index: usize) -> Self::Item {
                // SAFETY: the caller's, and none has fewer.
                ($(unsafe { self.$field.get(index) },)*)
            }
        }
    };
}
beside_each_other!(A 0, B 1);
beside_each_other!(A 0, B 1, C 2);
beside_each_other!(A 0, B 1, C 2, D 3);
beside_each_other!(A 0, B 1, C 2, D 3, E 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_order_and_each_once() {
        let values: Vec<usize> = (0..1003).collect();
        let sums: Vec<usize> = values
            .par_chunks(10)
            .map(|part| part.iter().sum())
            .collect();
        let expected: Vec<usize> = values.chunks(10).map(|part| part.iter().sum()).collect();
        assert_eq!(sums, expected);
        let mut twice = vec![0; 1003];
        (
            twice.par_chunks_mut(7),
            values.par_chunks(7),
            Numbers(usize::MAX),
        )
            .for_each(|(out, part, number)| {
                for (i, (out, value)) in out.iter_mut().zip(part).enumerate() {
                    *out += value + number * 7 + i;
                }
            });
        assert!(twice.iter().enumerate().all(|(i, &value)| value == 2 * i));
        let mut exact = [0u8; 10];
        exact.par_chunks_exact_mut(4).for_each(|part| part.fill(1));
        assert_eq!(exact, [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
    }
}
