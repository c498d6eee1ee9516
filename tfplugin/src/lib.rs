//! A framework for Terraform providers, speaking plugin protocol 6.
//!
//! An author implements [`Provider`] and hands it to [`serve`] from `main`. What it offers is
//! written over structs ([`ManagedResource`], [`TypedDataSource`]) or over values ([`Resource`],
//! [`DataSource`], [`Ephemeral`], [`Function`], [`ListResource`], [`Action`]). Everything else is
//! done here: the handshake, mutual TLS, the wire form of values and schemas, planning by the
//! schema's rules, cancellation, logs, and a barrier that turns panics into diagnostics.
//!
//! [`oracle`] holds the responses of any provider against Terraform's contract.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

// The derive names this crate from the outside, also where it is used inside.
extern crate self as tfplugin;

pub mod diag;
#[cfg(test)]
mod fuzz;
mod handshake;
mod logs;
pub mod oracle;
mod orphan;
pub mod path;
pub mod plan;
mod private;
pub mod provider;
mod rpc;
pub mod schema;
mod serve;
mod server;
mod services;
mod timeouts;
mod transport;
pub mod typed;
pub mod validate;
pub mod value;

pub use async_trait::async_trait;
pub use tokio_util::sync::CancellationToken;

pub use diag::{Diagnostic, Diagnostics, Severity};
pub use logs::log_layer;
pub use path::{Path, Step};
pub use private::Private;
pub use provider::{
    Action, ActionPlan, ApplyRequest, ApplyResponse, ConfigureRequest, ConfigureResponse, Context,
    DataResponse, DataSource, Deferred, Ephemeral, Found, Function, FunctionError,
    IdentityAttribute, IdentitySchema, ImportRequest, ImportResponse, ListItem, ListRequest,
    ListResource, MoveRequest, MoveResponse, OpenResponse, Parameter, PlanRequest, PlanResponse,
    Progress, Provider, ProviderData, RawState, ReadRequest, ReadResponse, RenewResponse, Resource,
    Signature, UpgradeRequest, UpgradeResponse, Upgrader,
};
pub use schema::{Attribute, Block, BlockNesting, Group, NestedBlock, Nesting, Schema, Type};
pub use serve::serve;
pub use tfplugin_derive::Model;
pub use timeouts::{Timeouts, parse_duration};
pub use typed::{
    Attr, Failure, ManagedResource, Opened, Planned, Sensitive, TypedAction, TypedDataSource,
    TypedEphemeral, TypedFunction, action, data_source, ephemeral, function, managed,
};
pub use value::{Number, Refinement, Value};
