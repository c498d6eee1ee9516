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

mod attr;
mod content;
mod data_source;
mod failure;
mod managed;
mod sensitive;

pub use attr::Attr;
pub use content::{
    Content, Field, FieldShape, Model, ModelField, object_shape, read_field, read_object,
};
pub use data_source::{TypedDataSource, data_source};
pub use failure::Failure;
pub use managed::{ManagedResource, Planned, managed};
pub use sensitive::Sensitive;
