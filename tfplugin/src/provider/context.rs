//! What every call gets besides its request.

use tokio_util::sync::CancellationToken;

/// The surroundings of one call.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Context {
    /// Cancelled when the user interrupts the run.
    ///
    /// A call should then come to an early end and say what it has reached. Calls that begin
    /// after the interrupt get a fresh token.
    pub cancel: CancellationToken,
    /// Whether Terraform understands write-only attributes.
    pub write_only_allowed: bool,
}

impl Context {
    /// A context for tests and tools: nothing cancels it but its own token.
    pub fn new() -> Self {
        Self::default()
    }

    /// A context that a given token cancels.
    pub fn with_cancel(cancel: CancellationToken) -> Self {
        Self { cancel, ..Self::default() }
    }
}
