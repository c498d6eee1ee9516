//! What is left when an operation fails.

use crate::{Diagnostic, Diagnostics};

/// Why an operation failed, and the state that it reached all the same.
///
/// Without a state the prior one stays, and a create has made nothing.
#[derive(Debug, Clone)]
pub struct Failure<M> {
    /// What exists now.
    pub state: Option<Box<M>>,
    /// What went wrong, and what to do.
    pub diagnostics: Diagnostics,
}

impl<M> Failure<M> {
    /// A failure that left this behind.
    pub fn with_state(state: M, diagnostics: impl Into<Diagnostics>) -> Self {
        Self { state: Some(Box::new(state)), diagnostics: diagnostics.into() }
    }
}

impl<M> From<Diagnostic> for Failure<M> {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { state: None, diagnostics: diagnostic.into() }
    }
}

impl<M> From<Diagnostics> for Failure<M> {
    fn from(diagnostics: Diagnostics) -> Self {
        Self { state: None, diagnostics }
    }
}
