//! Ctrl-C and SIGTERM: the first signal requests a stop, the second ends the process.

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The signal received, if any.
static RECEIVED: AtomicUsize = AtomicUsize::new(0);

/// Whether the user asked to stop.
#[derive(Debug, Clone)]
pub struct Signals {
    signal: Arc<AtomicUsize>,
}

impl Signals {
    /// Starts listening: from now on the first signal is only recorded, and a second one ends the
    /// process at once. Repeated calls have no effect.
    pub fn listen() -> Result<Self> {
        static LISTENING: Mutex<Option<Signals>> = Mutex::new(None);
        let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signals) = &*listening {
            return Ok(signals.clone());
        }
        let signals = Self::register()?;
        *listening = Some(signals.clone());
        Ok(signals)
    }

    fn register() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGINT, SIGTERM] {
            // Handlers run in the order of registration: at the first signal, `asked` is not set
            // yet.
            flag::register_conditional_default(number, Arc::clone(&asked))
                .and_then(|_| flag::register(number, Arc::clone(&asked)))
                .and_then(|_| {
                    flag::register_usize(
                        number,
                        Arc::clone(&signal),
                        number.unsigned_abs() as usize,
                    )
                })
                .context("cannot listen for signals")?;
        }
        Ok(Self { signal })
    }

    /// A signal that was received, if any.
    pub fn received(&self) -> Option<usize> {
        let number = self.signal.load(Ordering::SeqCst);
        if number == 0 {
            return None;
        }
        RECEIVED.store(number, Ordering::SeqCst);
        Some(number)
    }

    /// The exit code of a process that stopped on request: 128 plus the signal.
    pub fn exit_code() -> u8 {
        match RECEIVED.load(Ordering::SeqCst) {
            0 => 130,
            number => 128 + u8::try_from(number).unwrap_or(2),
        }
    }
}
