//! What the author of a provider writes: the traits and the requests and responses they exchange.
//!
//! Everything here speaks of values and diagnostics; nothing here knows the wire.

mod action;
mod configure;
mod context;
mod data_source;
mod deferred;
mod ephemeral;
mod function;
mod generate;
mod identity;
mod list;
mod moved;
mod resource;
mod upgrade;

use std::sync::Arc;

use async_trait::async_trait;

pub use action::{Action, ActionPlan, Progress};
pub use configure::{ConfigureRequest, ConfigureResponse, ProviderData};
pub use context::Context;
pub use data_source::{DataResponse, DataSource};
pub use deferred::Deferred;
pub use ephemeral::{Ephemeral, OpenResponse, RenewResponse};
pub use function::{Function, FunctionError, Parameter, Signature};
pub use generate::config_of_state;
pub use identity::{IdentityAttribute, IdentitySchema, ImportRequest};
pub use list::{Found, ListItem, ListRequest, ListResource};
pub use moved::{MoveRequest, MoveResponse};
pub use resource::{
    ApplyRequest, ApplyResponse, ImportResponse, PlanRequest, PlanResponse, ReadRequest,
    ReadResponse, Resource,
};
pub(crate) use upgrade::upgrade_by_type;
pub use upgrade::{RawState, UpgradeRequest, UpgradeResponse, Upgrader};

use crate::{Diagnostics, Schema, Value};

/// A provider: a configuration, and everything that uses it.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What the `provider` block may hold.
    fn schema(&self) -> Schema;

    /// Its full source address, such as `registry.terraform.io/example/boxes`; without one it is
    /// derived from the program's name. Only `--debug` needs it.
    fn address(&self) -> Option<&str> {
        None
    }

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

    /// All listings of resources.
    fn list_resources(&self) -> Vec<Arc<dyn ListResource>> {
        Vec::new()
    }

    /// All actions.
    fn actions(&self) -> Vec<Arc<dyn Action>> {
        Vec::new()
    }

    /// What the `provider_meta` block of a module may hold, if there may be one.
    fn meta_schema(&self) -> Option<Schema> {
        None
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
    /// While planning it may hold unknowns. What it answers, all later calls have at hand as [`Context::data`].
    async fn configure(&self, ctx: &Context, request: ConfigureRequest) -> ConfigureResponse;
}
