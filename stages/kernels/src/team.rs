//! Threads that wait for work awake. A layer's pass takes a tenth of a millisecond, as long as it takes to wake a
//! thread that sleeps: after one pass they look out for the next for a while, and give way to other processes
//! meanwhile. One caller at a time has them; any other does its work alone, and so do the threads of other pools. A
//! process must not fork without `exec` while kernels run: its child would wait for helpers that it does not have.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::thread::Thread;

/// How often a thread looks for work before it lets other processes run between two looks.
const AWAKE: u32 = 2_000;
/// How often it looks before it sleeps.
const GIVING_WAY: u32 = 3_000;

/// In [`Team::state`]: set while helpers may join.
const OPEN: u64 = 1 << 32;
/// In [`Team::state`]: added once for each piece of work, so that the states of two pieces differ.
const NEXT: u64 = 1 << 33;
/// In [`Team::state`]: how many helpers are at work.
const HELPERS: u64 = OPEN - 1;

/// What a caller wants done: indices below `count`, in portions.
#[derive(Clone, Copy)]
struct Work {
    task: *const (dyn Fn(Range<usize>) + Sync),
    count: usize,
    portion: usize,
}

/// See the module.
struct Team {
    /// Which work this is, whether it is open, and how many helpers are at it.
    state: AtomicU64,
    work: Mutex<Option<Work>>,
    /// The first index that nobody has taken.
    next: AtomicUsize,
    /// Helpers that sleep or are about to.
    asleep: AtomicUsize,
    helpers: OnceLock<Vec<Thread>>,
    /// Held by the caller whose work it is.
    caller: Mutex<()>,
    /// What the first task that panicked said.
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: the pointer in `work` is followed only while the caller that it came from waits.
unsafe impl Send for Work {}

static TEAM: Team = Team {
    state: AtomicU64::new(0),
    work: Mutex::new(None),
    next: AtomicUsize::new(0),
    asleep: AtomicUsize::new(0),
    helpers: OnceLock::new(),
    caller: Mutex::new(()),
    panicked: Mutex::new(None),
};

/// Threads that share the work.
pub(crate) fn threads() -> usize {
    match cfg!(miri) {
        true => 2, // as many tasks as two would have
        false => rayon::current_num_threads(),
    }
}

/// Calls `task` with ranges that cover the indices below `count`, each of them once, on as many threads as there are.
pub(crate) fn run(count: usize, task: &(dyn Fn(Range<usize>) + Sync)) {
    // a thread of another pool has its share of the processors already
    let alone = cfg!(miri) || count < 2 || rayon::current_thread_index().is_some() || threads() < 2;
    if alone {
        return task(0..count);
    }
    let _held = match TEAM.caller.try_lock() {
        Ok(held) => held,
        // a task panicked in a call before this one, which waited for its helpers all the same
        Err(TryLockError::Poisoned(held)) => held.into_inner(),
        Err(TryLockError::WouldBlock) => return task(0..count),
    };
    TEAM.share(count, task);
}

impl Team {
    /// Does it together with the helpers.
    fn share(&'static self, count: usize, task: &(dyn Fn(Range<usize>) + Sync)) {
        let helpers = self.helpers.get_or_init(|| self.hire());
        // SAFETY: the lifetime is not longer than this call, which ends when no helper is at the work.
        let task = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(Range<usize>) + Sync + '_),
                *const (dyn Fn(Range<usize>) + Sync + 'static),
            >(task)
        };
        let work = Work {
            task,
            count,
            portion: (count / (8 * (helpers.len() + 1))).max(1),
        };
        *lock(&self.work) = Some(work);
        self.next.store(0, Ordering::Relaxed);
        self.state.fetch_add(NEXT | OPEN, Ordering::SeqCst); // closed until now
        if self.asleep.load(Ordering::SeqCst) > 0 {
            helpers.iter().for_each(Thread::unpark);
        }
        self.take_part(work);
        self.state.fetch_and(!OPEN, Ordering::SeqCst);
        let mut looked = 0;
        while self.state.load(Ordering::Acquire) & HELPERS > 0 {
            wait(&mut looked);
        }
        let panicked = lock(&self.panicked).take();
        if let Some(said) = panicked {
            resume_unwind(said);
        }
    }

    /// Takes portions until there are none. A panic is kept, and ends the work.
    fn take_part(&self, work: Work) {
        let done = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let first = self.next.fetch_add(work.portion, Ordering::Relaxed);
                if first >= work.count {
                    return;
                }
                let last = (first + work.portion).min(work.count);
                // SAFETY: the caller waits for those who take part.
                unsafe { (*work.task)(first..last) };
            }
        }));
        if let Err(said) = done {
            self.next.store(work.count, Ordering::Relaxed);
            lock(&self.panicked).get_or_insert(said);
        }
    }

    /// Starts the helpers.
    fn hire(&'static self) -> Vec<Thread> {
        (1..threads())
            .filter_map(|number| {
                let named = std::thread::Builder::new().name(format!("kernel-{number}"));
                Some(named.spawn(move || self.help()).ok()?.thread().clone())
            })
            .collect()
    }

    /// Looks out for work for ever.
    fn help(&self) {
        let mut looked = 0;
        loop {
            let state = self.state.load(Ordering::Acquire);
            if state & OPEN > 0 {
                let entered = self.state.compare_exchange(
                    state,
                    state + 1,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                );
                if entered.is_ok() {
                    let work = *lock(&self.work);
                    self.take_part(work.expect("open: there is some"));
                    self.state.fetch_sub(1, Ordering::Release);
                    looked = 0;
                    // nothing is left of it, and the caller closes it soon
                    while self.state.load(Ordering::Acquire) & !HELPERS == state & !HELPERS {
                        wait(&mut looked);
                    }
                    looked = 0;
                }
            } else if looked < GIVING_WAY {
                wait(&mut looked);
            } else {
                self.asleep.fetch_add(1, Ordering::SeqCst);
                if self.state.load(Ordering::SeqCst) & OPEN == 0 {
                    std::thread::park();
                }
                self.asleep.fetch_sub(1, Ordering::SeqCst);
                looked = 0;
            }
        }
    }
}

/// Waits for an instant, or until others had their turn.
fn wait(looked: &mut u32) {
    *looked = looked.saturating_add(1);
    match *looked < AWAKE {
        true => std::hint::spin_loop(),
        false => std::thread::yield_now(),
    }
}

/// What a mutex holds. No panic happens while `work` or `panicked` is held.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[cfg(not(miri))] // which has no helpers
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Red where work ends before its helpers do, or an index is left out or taken twice: by several callers at once,
    /// of whom one has the helpers.
    #[test]
    fn every_index_is_done_once_and_before_it_returns() {
        std::thread::scope(|scope| {
            for caller in 0..3 {
                scope.spawn(move || {
                    for round in 0..2000 {
                        let counts: Vec<AtomicUsize> = (0..(round * 7 + caller) % 40)
                            .map(|_| AtomicUsize::new(0))
                            .collect();
                        run(counts.len(), &|range| {
                            for count in &counts[range] {
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                        assert!(counts.into_iter().all(|count| count.into_inner() == 1));
                        if round % 500 == 0 {
                            std::thread::sleep(std::time::Duration::from_millis(20)); // they sleep
                        }
                    }
                });
            }
        });
    }

    /// Whether two tasks that wait for each other, for a while, both run. Another test may have the helpers meanwhile.
    fn helpers_take_part() -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            let met = AtomicUsize::new(0);
            run(2, &|range| {
                met.fetch_add(range.len(), Ordering::SeqCst);
                let patience = Instant::now() + Duration::from_millis(50);
                while range.len() < 2 && met.load(Ordering::SeqCst) < 2 && Instant::now() < patience
                {
                    std::thread::yield_now();
                }
                if range.len() < 2 && met.load(Ordering::SeqCst) == 2 {
                    met.fetch_add(2, Ordering::SeqCst); // both were there at once
                }
            });
            if met.into_inner() > 2 {
                return true;
            }
        }
        false
    }

    /// Red where a helper that panics is gone, its work never ends, or nobody has the helpers any more.
    #[test]
    fn a_panic_is_the_callers_and_the_helpers_go_on() {
        for _ in 0..50 {
            let said = catch_unwind(|| {
                run(64, &|range| assert!(!range.contains(&40), "the fortieth"));
            });
            assert!(said.is_err());
            let sum = AtomicUsize::new(0);
            run(64, &|range| {
                sum.fetch_add(range.sum(), Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 64 * 63 / 2);
        }
        assert!(threads() < 2 || helpers_take_part());
    }
}
