//! The author's side of an ephemeral resource: a value that is never stored.

use std::time::SystemTime;

use async_trait::async_trait;

use super::Deferred;
use crate::{Context, Diagnostics, Schema, Value};

/// Something that is opened for a run, used, and given back. It enters neither plan nor state.
#[async_trait]
pub trait Ephemeral: Send + Sync {
    /// Its name in configurations, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block may hold.
    fn schema(&self) -> Schema;

    /// Checks the configuration without touching the outside world. It may hold unknowns.
    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        let _ = (ctx, config);
        Diagnostics::none()
    }

    /// Opens it. The configuration is wholly known, and so must be the answer.
    async fn open(&self, ctx: &Context, config: Value) -> OpenResponse;

    /// Prolongs it, shortly before the time that an earlier answer named.
    async fn renew(&self, ctx: &Context, private: Vec<u8>) -> RenewResponse {
        let _ = ctx;
        RenewResponse { private, ..RenewResponse::default() }
    }

    /// Gives it back.
    async fn close(&self, ctx: &Context, private: Vec<u8>) -> Diagnostics {
        let _ = (ctx, private);
        Diagnostics::none()
    }
}

/// What was opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OpenResponse {
    /// The configuration with everything computed filled in.
    pub result: Value,
    /// The provider's own bytes, handed to renew and close.
    pub private: Vec<u8>,
    /// When it needs to be prolonged.
    pub renew_at: Option<SystemTime>,
    /// Why it has to wait for another round, if it has to.
    pub deferred: Option<Deferred>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

impl OpenResponse {
    /// Opened for good, without a message.
    pub fn new(result: Value) -> Self {
        Self { result, ..Self::default() }
    }

    /// Could not be opened.
    pub fn failed(diagnostics: impl Into<Diagnostics>) -> Self {
        Self { diagnostics: diagnostics.into(), ..Self::default() }
    }
}

/// How long it was prolonged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RenewResponse {
    /// The provider's own bytes.
    pub private: Vec<u8>,
    /// When it needs to be prolonged again.
    pub renew_at: Option<SystemTime>,
    /// Messages.
    pub diagnostics: Diagnostics,
}
