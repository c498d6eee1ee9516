//! The author's side of a data source.

use async_trait::async_trait;

use super::Deferred;
use crate::{Context, Diagnostics, Schema, Value};

/// Something that a configuration can look up.
#[async_trait]
pub trait DataSource: Send + Sync {
    /// Its name in configurations, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block may hold.
    fn schema(&self) -> Schema;

    /// Checks the configuration without touching the outside world. It may hold unknowns.
    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        let _ = (ctx, config);
        Diagnostics::none()
    }

    /// Looks it up. The configuration is wholly known, and so must be the answer.
    async fn read(&self, ctx: &Context, config: Value) -> DataResponse;
}

/// What a lookup found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataResponse {
    /// The configuration with everything computed filled in.
    pub state: Value,
    /// Why it has to wait for another round, if it has to.
    pub deferred: Option<Deferred>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

impl DataResponse {
    /// Found, without a message.
    pub fn new(state: Value) -> Self {
        Self { state, ..Self::default() }
    }

    /// Not found or failed.
    pub fn failed(diagnostics: impl Into<Diagnostics>) -> Self {
        Self { diagnostics: diagnostics.into(), ..Self::default() }
    }
}
