//! Canonical forms of texts: if a text can be written in several ways, one form is used, so that it is scored once.

use super::command::Program;
use crate::error::Result;
use std::sync::{Arc, Mutex, PoisonError};

/// Puts texts into canonical form; the identity without a program.
#[derive(Clone, Default)]
pub struct Canonical(Option<Arc<Mutex<Program>>>);

impl Canonical {
    /// Uses `program`, if any.
    pub(super) fn by(program: Option<Program>) -> Self {
        Self(program.map(|program| Arc::new(Mutex::new(program))))
    }

    /// The canonical form of each of `texts`; none for an invalid text.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`] if `cancelled` says so; an input error for a program that violates the protocol.
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
