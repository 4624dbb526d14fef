//! Parallel iteration over parts of slices and ranges of numbers, on the threads of
//! [`crate::team`].

use crate::shared::Shared;
use crate::team;
pub(crate) use crate::team::threads;

/// Rows per task; also the block size of sums over rows.
pub(crate) const ROWS: usize = 256;

/// A sequence of tasks, each with an item.
pub(crate) trait Tasks: Sync + Sized {
    type Item;

    /// The number of tasks.
    fn count(&self) -> usize;

    /// The item of a task.
    ///
    /// # Safety
    /// `index` must be below the count, and each index may be passed once only.
    unsafe fn get(&self, index: usize) -> Self::Item;

    /// Pairs each item with its index.
    fn enumerate(self) -> (Numbers, Self) {
        (Numbers(self.count()), self)
    }

    /// Applies `f` to each item.
    fn map<R, F: Fn(Self::Item) -> R + Sync>(self, f: F) -> Map<Self, F> {
        Map(self, f)
    }

    /// Calls `task` with each item, in parallel.
    fn for_each(self, task: impl Fn(Self::Item) + Sync) {
        team::run(self.count(), &|range| {
            for index in range {
                // SAFETY: the ranges cover the count, each index once.
                task(unsafe { self.get(index) });
            }
        });
    }

    /// Collects the items in order.
    fn collect(self) -> Vec<Self::Item>
    where
        Self::Item: Send,
    {
        let mut items = Box::new_uninit_slice(self.count());
        let room = Shared::new(&mut items);
        Numbers(self.count()).for_each(|index| {
            // SAFETY: each index occurs once.
            unsafe { room.part(index, 1)[0].write(self.get(index)) };
        });
        // SAFETY: every element is written.
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
        // SAFETY: required of the caller.
        self.1(unsafe { self.0.get(index) })
    }
}

/// Work in tasks that can be done beside others.
pub(crate) trait Job: Sync {
    /// The number of tasks.
    fn count(&self) -> usize;

    /// Does a task. Each is done once.
    fn run(&self, task: usize);
}

/// Does all tasks of all `jobs`, in parallel.
pub(crate) fn together(jobs: &[&dyn Job]) {
    let count = jobs.iter().map(|job| job.count()).sum();
    Numbers(count).for_each(|mut task| {
        for job in jobs {
            match task.checked_sub(job.count()) {
                None => return job.run(task),
                Some(later) => task = later,
            }
        }
    });
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

/// Mutable parts of a slice.
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
        // SAFETY: parts do not overlap, and each is taken once.
        unsafe { (self.values).part(start, self.size.min(self.length - start)) }
    }
}

/// Splits a slice into parts.
pub(crate) trait InParts<T> {
    /// Parts of `size` elements; the last one may be shorter.
    fn par_chunks(&self, size: usize) -> Chunks<'_, T>;

    /// As [`Self::par_chunks`], mutable.
    fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T>;

    /// As [`Self::par_chunks_mut`], without the remainder.
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
                // SAFETY: required of the caller, and no component has fewer items.
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
