//! What the author of a provider writes: the traits and the requests and responses they exchange.
//!
//! Everything here speaks of values and diagnostics; nothing here knows the wire.

mod context;
mod data_source;
mod ephemeral;
mod function;
mod moved;
mod resource;
mod upgrade;

use std::sync::Arc;

use async_trait::async_trait;

pub use context::Context;
pub use data_source::{DataResponse, DataSource};
pub use ephemeral::{Ephemeral, OpenResponse, RenewResponse};
pub use function::{Function, FunctionError, Parameter, Signature};
pub use moved::{MoveRequest, MoveResponse};
pub use resource::{
    ApplyRequest, ApplyResponse, ImportResponse, PlanRequest, PlanResponse, ReadRequest,
    ReadResponse, Resource,
};
pub use upgrade::{RawState, UpgradeRequest, UpgradeResponse};

use crate::{Diagnostics, Schema, Value};

/// A provider: a configuration, and everything that uses it.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What the `provider` block may hold.
    fn schema(&self) -> Schema;

    /// All resources.
    fn resources(&self) -> Vec<Arc<dyn Resource>>;

    /// All data sources.
    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        Vec::new()
    }

    /// All ephemeral resources.
    fn ephemerals(&self) -> Vec<Arc<dyn Ephemeral>> {
        Vec::new()
    }

    /// All functions. They work without a configuration.
    fn functions(&self) -> Vec<Arc<dyn Function>> {
        Vec::new()
    }

    /// Checks the configuration without touching the outside world. It may hold unknowns.
    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        let _ = (ctx, config);
        Diagnostics::none()
    }

    /// Takes the configuration, before anything that touches the outside world.
    ///
    /// While planning it may hold unknowns.
    async fn configure(&self, ctx: &Context, request: ConfigureRequest) -> Diagnostics;
}

/// The configuration of a provider.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigureRequest {
    /// The `provider` block.
    pub config: Value,
    /// Version of the Terraform that asks.
    pub terraform_version: String,
}
