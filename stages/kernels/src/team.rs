//! A thread pool that stays awake between tasks. A layer's pass takes 0.1 ms, as long as waking a sleeping thread;
//! so helpers poll for the next task for a while and yield to other processes meanwhile. One caller at a time uses
//! the helpers; other callers, and threads of other pools, run their work alone. A process must not `fork` without
//! `exec` while kernels run: its child would wait for helpers that it does not have.

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::thread::Thread;

/// Polls between two yields to other processes.
const AWAKE: u32 = 2_000;
/// Yields before a helper sleeps.
const GIVING_WAY: u32 = 3_000;

/// Flag in [`Team::state`]: helpers may join.
const OPEN: u64 = 1 << 32;
/// Increment of [`Team::state`] per piece of work, so that two pieces have different states.
const NEXT: u64 = 1 << 33;
/// Mask in [`Team::state`]: the number of helpers at work.
const HELPERS: u64 = OPEN - 1;

/// A piece of work: indices below `count`, taken in portions.
#[derive(Clone, Copy)]
struct Work {
    task: *const (dyn Fn(Range<usize>) + Sync),
    count: usize,
    portion: usize,
}

/// See the module documentation.
struct Team {
    /// Identifies the work, whether it is open, and the number of helpers at work.
    state: AtomicU64,
    work: Mutex<Option<Work>>,
    /// The first index not taken yet.
    next: AtomicUsize,
    /// Number of helpers that sleep or are about to.
    asleep: AtomicUsize,
    helpers: OnceLock<Vec<Thread>>,
    /// Held by the caller that uses the helpers.
    caller: Mutex<()>,
    /// The payload of the first panic of a task.
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: the pointer in `work` is dereferenced only while its caller waits.
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

thread_local! {
    /// Whether this thread is at a task of shared work.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Number of threads that share the work: inside a task, the one.
pub(crate) fn threads() -> usize {
    match (AT_WORK.get(), cfg!(miri)) {
        (true, _) => 1,
        (false, true) => 2, // as many tasks as with two threads
        (false, false) => rayon::current_num_threads(),
    }
}

/// Calls `task` with disjoint ranges that cover the indices below `count`, on all threads.
pub(crate) fn run(count: usize, task: &(dyn Fn(Range<usize>) + Sync)) {
    // threads of another pool already use the processors
    let alone = cfg!(miri) || count < 2 || rayon::current_thread_index().is_some() || threads() < 2;
    if alone {
        return task(0..count);
    }
    let _held = match TEAM.caller.try_lock() {
        Ok(held) => held,
        // a task panicked in an earlier call, which still waited for its helpers
        Err(TryLockError::Poisoned(held)) => held.into_inner(),
        Err(TryLockError::WouldBlock) => return task(0..count),
    };
    TEAM.share(count, task);
}

impl Team {
    /// Runs the work together with the helpers.
    fn share(&'static self, count: usize, task: &(dyn Fn(Range<usize>) + Sync)) {
        let helpers = self.helpers.get_or_init(|| self.hire());
        // SAFETY: the reference does not outlive this call, which returns only after all helpers have left the
        // work.
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

    /// Takes portions until none is left. A panic is kept and ends the work.
    fn take_part(&self, work: Work) {
        AT_WORK.set(true);
        let done = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let first = self.next.fetch_add(work.portion, Ordering::Relaxed);
                if first >= work.count {
                    return;
                }
                let last = (first + work.portion).min(work.count);
                // SAFETY: the caller waits for all helpers at work.
                unsafe { (*work.task)(first..last) };
            }
        }));
        AT_WORK.set(false);
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

    /// Polls for work for ever.
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
                    // no portion is left, and the caller will close the work soon
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

/// Spins, or yields to other processes.
fn wait(looked: &mut u32) {
    *looked = looked.saturating_add(1);
    match *looked < AWAKE {
        true => std::hint::spin_loop(),
        false => std::thread::yield_now(),
    }
}

/// Locks a mutex. No panic happens while `work` or `panicked` is held.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[cfg(not(miri))] // Miri has no helpers
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Fails if work ends before its helpers do, or an index is omitted or taken twice, with several callers at
    /// once of which one has the helpers.
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
                            std::thread::sleep(std::time::Duration::from_millis(20)); // they sleep by now
                        }
                    }
                });
            }
        });
    }

    /// Whether two tasks that wait for each other both run. Another test may hold the helpers meanwhile.
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
                    met.fetch_add(2, Ordering::SeqCst); // both ran at the same time
                }
            });
            if met.into_inner() > 2 {
                return true;
            }
        }
        false
    }

    /// Fails if a panicking helper is lost, its work never ends, or the helpers stay held.
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
