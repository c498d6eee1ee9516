//! A framework for Terraform providers, speaking plugin protocol 6.
//!
//! An author implements [`Provider`] with its [`Resource`]s, [`DataSource`]s, [`Ephemeral`]s and
//! [`Function`]s, and hands the provider to [`serve`] from `main`. Everything else is done here: the handshake, mutual TLS, the wire form
//! of values and schemas, cancellation, logs, and a barrier that turns panics into diagnostics.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod diag;
mod handshake;
mod logs;
mod orphan;
pub mod path;
pub mod provider;
mod rpc;
pub mod schema;
mod serve;
mod server;
mod services;
mod transport;
pub mod value;

pub use async_trait::async_trait;
pub use tokio_util::sync::CancellationToken;

pub use diag::{Diagnostic, Diagnostics, Severity};
pub use path::{Path, Step};
pub use provider::{
    Action, ActionPlan, ApplyRequest, ApplyResponse, ConfigureRequest, Context, DataResponse,
    DataSource, Deferred, Ephemeral, Found, Function, FunctionError, IdentityAttribute,
    IdentitySchema, ImportRequest, ImportResponse, ListItem, ListRequest, ListResource,
    MoveRequest, MoveResponse, OpenResponse, Parameter, PlanRequest, PlanResponse, Progress,
    Provider, RawState, ReadRequest, ReadResponse, RenewResponse, Resource, Signature,
    UpgradeRequest, UpgradeResponse, Upgrader,
};
pub use schema::{Attribute, Block, BlockNesting, NestedBlock, Nesting, Schema, Type};
pub use serve::serve;
pub use value::{Number, Refinement, Value};
