//! Texts as an objective has them: what may be written in several ways is written in one, so that it is scored once.

use super::command::Program;
use crate::error::Result;
use std::sync::{Arc, Mutex, PoisonError};

/// Writes texts as the objective has them; without a program for that, as they are.
#[derive(Clone, Default)]
pub struct Canonical(Option<Arc<Mutex<Program>>>);

impl Canonical {
    /// As `program` writes them, where there is one.
    pub(super) fn by(program: Option<Program>) -> Self {
        Self(program.map(|program| Arc::new(Mutex::new(program))))
    }

    /// Each of `texts` as the objective has it; none for what is nothing to it.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`] where `cancelled` says so; an input error for a program that does not do what is asked.
    pub fn of(
        &self,
        texts: Vec<String>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<Option<String>>> {
        let Some(program) = &self.0 else {
            return Ok(texts.into_iter().map(Some).collect());
        };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut program = program.lock().unwrap_or_else(PoisonError::into_inner);
        program.rewrite(&texts, cancelled)
    }
}
