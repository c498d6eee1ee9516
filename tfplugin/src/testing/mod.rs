//! A kit for the tests of a provider's author.
//!
//! * [`Client`] plays Terraform inside the test: every call passes the wire form, every response is
//!   held against the contract of [`crate::oracle`], and [`Client::object`] takes an object through
//!   whole lives. No Terraform is needed, and nothing is started.
//! * [`Workspace`] is a folder with a configuration in which a real Terraform, or a real `OpenTofu`,
//!   runs the program of the provider.
//!
//! What a test cannot go on without is a panic here, with a text that says what is missing.
//!
//! ```
//! # use std::sync::Arc;
//! # use tfplugin::{*, testing::Client};
//! # struct Notes;
//! # #[async_trait]
//! # impl Resource for Notes {
//! #     fn type_name(&self) -> &'static str { "notes_note" }
//! #     fn schema(&self) -> Schema { Schema::new(0).attribute(Attribute::string("text").required()) }
//! #     async fn apply(&self, _: &Context, r: ApplyRequest) -> ApplyResponse { ApplyResponse::new(r.planned) }
//! #     async fn read(&self, _: &Context, r: ReadRequest) -> ReadResponse { ReadResponse::new(r.state) }
//! # }
//! # struct NotesProvider;
//! # #[async_trait]
//! # impl Provider for NotesProvider {
//! #     fn schema(&self) -> Schema { Schema::new(0) }
//! #     fn resources(&self) -> Vec<Arc<dyn Resource>> { vec![Arc::new(Notes)] }
//! #     async fn configure(&self, _: &Context, _: ConfigureRequest) -> ConfigureResponse { ConfigureResponse::default() }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Diagnostics> {
//! let client = Client::configured(NotesProvider, &Value::Null).await?;
//! let mut note = client.object("notes_note")?;
//! let config = Value::object([("text", Value::from("buy milk"))]);
//! note.apply(&config, &config).await?;
//! assert_eq!(note.state().get("text").as_str(), Some("buy milk"));
//! note.destroy().await?;
//! assert!(note.violations().is_empty());
//! # Ok(())
//! # }
//! ```

// A kit for tests fails as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod client;
mod received;
mod wired;
mod workspace;

pub use client::Client;
pub use workspace::{By, Running, Workspace, program};
