//! A framework for Terraform providers, speaking plugin protocol 6.
//!
//! An author implements [`Provider`] and hands it to [`serve`] from `main`. What it offers is
//! written over structs ([`ManagedResource`], [`TypedDataSource`]) or over values ([`Resource`],
//! [`DataSource`], [`Ephemeral`], [`Function`], [`ListResource`], [`Action`]). Everything else is
//! done here: the handshake, mutual TLS, the wire form of values and schemas, planning by the
//! schema's rules, cancellation, logs, and a barrier that turns panics into diagnostics.
//!
//! [`oracle`] holds the responses of any provider against Terraform's contract, and [`testing`] is
//! a kit for the tests of an author.
//!
//! # A first provider
//!
//! ```no_run
//! use std::{fs, io, process::ExitCode, sync::Arc};
//!
//! use tfplugin::{
//!     Attr, ConfigureRequest, ConfigureResponse, Context, Diagnostic, Diagnostics, Failure,
//!     ManagedResource, Model, Provider, Resource, Schema, async_trait, managed, serve,
//! };
//!
//! /// A text in a file.
//! #[derive(Model)]
//! struct Note {
//!     /// Where it lies; at another place it is another note.
//!     #[tf(required, replaces)]
//!     path: Attr<String>,
//!     /// What it says.
//!     #[tf(required)]
//!     text: Attr<String>,
//! }
//!
//! struct Notes;
//!
//! fn failed(error: io::Error) -> Diagnostic {
//!     Diagnostic::error("The note is out of reach", error.to_string()).at(Note::PATH)
//! }
//!
//! #[async_trait]
//! impl ManagedResource for Notes {
//!     type Model = Note;
//!
//!     fn type_name(&self) -> &'static str {
//!         "notes_note"
//!     }
//!
//!     async fn create(&self, _: &Context, plan: Note) -> Result<Note, Failure<Note>> {
//!         fs::write(plan.path.require(Note::PATH)?, plan.text.require(Note::TEXT)?).map_err(failed)?;
//!         Ok(plan)
//!     }
//!
//!     async fn read(&self, _: &Context, mut note: Note) -> Result<Option<Note>, Diagnostics> {
//!         note.text = match fs::read_to_string(note.path.require(Note::PATH)?) {
//!             Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
//!             read => read.map_err(failed)?.into(),
//!         };
//!         Ok(Some(note))
//!     }
//!
//!     async fn update(&self, ctx: &Context, _: Note, plan: Note) -> Result<Note, Failure<Note>> {
//!         self.create(ctx, plan).await
//!     }
//!
//!     async fn delete(&self, _: &Context, note: Note) -> Result<(), Failure<Note>> {
//!         Ok(fs::remove_file(note.path.require(Note::PATH)?).map_err(failed)?)
//!     }
//! }
//!
//! struct NotesProvider;
//!
//! #[async_trait]
//! impl Provider for NotesProvider {
//!     fn schema(&self) -> Schema {
//!         Schema::new(0)
//!     }
//!
//!     fn resources(&self) -> Vec<Arc<dyn Resource>> {
//!         vec![managed(Notes)]
//!     }
//!
//!     async fn configure(&self, _: &Context, _: ConfigureRequest) -> ConfigureResponse {
//!         ConfigureResponse::default()
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     serve(NotesProvider)
//! }
//! ```
//!
//! # Versions
//!
//! Rust: the newest stable release and the two before it; a newer one is asked for in a minor
//! version. Clients: Terraform from 1.0 and `OpenTofu` from 1.6, newer abilities by what a client
//! says that it can.
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
pub mod testing;
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
pub use serve::{Options, serve, serve_with};
pub use tfplugin_derive::Model;
pub use timeouts::{Timeouts, parse_duration};
pub use typed::{
    Attr, Failure, Finds, Listed, ManagedResource, Opened, Planned, Sensitive, TypedAction,
    TypedDataSource, TypedEphemeral, TypedFunction, TypedList, action, data_source, ephemeral,
    function, list, managed,
};
pub use value::{Number, Refinement, Value};
