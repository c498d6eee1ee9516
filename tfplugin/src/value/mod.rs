//! Terraform values as plain data.
//!
//! A [`Value`] carries no type of its own: the schema says what it must be, the codecs in
//! [`msgpack`] and [`json`] hold it against the schema.
//! The one exception is a value of a dynamic attribute, which travels with its concrete type.

mod build;
mod conform;
mod error;
pub(crate) mod json;
mod number;
mod read;
mod refinement;

use std::collections::BTreeMap;

pub use conform::conform;
pub use error::ValueError;
pub use number::{Number, NumberError};
pub use refinement::{Bound, Refinement};

use crate::schema::Type;

/// A value of a configuration, plan or state.
///
/// Objects and maps are both [`Value::Map`]; lists, sets and tuples are [`Value::List`].
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// Not known before apply; the refinement is what is known about it all the same.
    Unknown(Refinement),
    /// A truth value.
    Bool(bool),
    /// A number, exact at any size.
    Number(Number),
    /// A text.
    String(String),
    /// The elements of a list, set or tuple.
    List(Vec<Value>),
    /// The elements of a map or the attributes of an object.
    Map(BTreeMap<String, Value>),
    /// The value of a dynamic attribute with its concrete type. All readers look through it.
    Typed(Box<Typed>),
}

/// A value with the type that it was given where the schema leaves the type open.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// The concrete type.
    pub ty: Type,
    /// The value, which conforms to the type.
    pub value: Value,
}

/// Deepest nesting of values and types that is read or written.
pub(crate) const DEPTH_MAX: usize = 128;
