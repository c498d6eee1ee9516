//! State that comes from another resource type, or from another provider.

use super::RawState;
use crate::{Diagnostics, Value};

/// State that a `moved` block hands over.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MoveRequest {
    /// The provider that stored it, such as `registry.terraform.io/example/boxes`.
    pub source_provider: String,
    /// The resource type that it was.
    pub source_type: String,
    /// The schema version that it was stored with.
    pub source_version: i64,
    /// The stored state.
    pub raw: RawState,
    /// The stored identity with its version, where there is one.
    pub identity: Option<(i64, RawState)>,
    /// The bytes that the other resource kept beside its state.
    pub private: Vec<u8>,
}

/// State of the new type.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MoveResponse {
    /// The state.
    pub state: Value,
    /// The provider's own bytes.
    pub private: Vec<u8>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

impl MoveResponse {
    /// Taken over, without a message.
    pub fn new(state: Value) -> Self {
        Self { state, ..Self::default() }
    }

    /// Could not be taken over.
    pub fn failed(diagnostics: impl Into<Diagnostics>) -> Self {
        Self { diagnostics: diagnostics.into(), ..Self::default() }
    }
}
