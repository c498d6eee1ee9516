//! Resources and data sources over Rust structs.
//!
//! A [`Model`] is a struct with a field for each attribute. A field is an [`Attr`], which is
//! null, not known yet, or known: code that forgets one of the three does not compile.
//!
//! ```compile_fail
//! #[derive(tfplugin::Model)]
//! struct Note {
//!     title: String, // cannot hold what is not known yet
//! }
//! ```
//!
//! ```
//! #[derive(tfplugin::Model)]
//! struct Note {
//!     title: tfplugin::Attr<String>,
//!     tags: tfplugin::Attr<std::collections::BTreeSet<String>>,
//! }
//! ```

mod action;
mod attr;
mod content;
mod data_source;
mod ephemeral;
mod failure;
mod function;
mod list;
mod managed;
mod schema;
mod sensitive;

pub use action::{TypedAction, action};
pub use attr::Attr;
pub(crate) use content::read_block;
pub use content::{
    Content, Field, FieldShape, Model, ModelField, object_shape, read_field, read_object,
};
pub use data_source::{TypedDataSource, data_source};
pub use ephemeral::{Opened, TypedEphemeral, ephemeral};
pub use failure::Failure;
pub use function::{TypedFunction, function};
pub use list::{Finds, Listed, TypedList, list};
pub use managed::{ManagedResource, Planned, managed};
pub use schema::{attribute, nested_block};
pub use sensitive::Sensitive;
