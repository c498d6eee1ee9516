//! Terraform values as plain data.
//!
//! A [`Value`] carries no type of its own: the schema says what it must be, and the codecs for
//! msgpack and JSON hold it against the schema.
//! The one exception is a value of a dynamic attribute, which travels with its concrete type.

mod build;
mod conform;
mod error;
pub(crate) mod flatmap;
mod infer;
pub(crate) mod json;
pub(crate) mod msgpack;
mod number;
mod read;
mod refinement;
#[cfg(test)]
pub(crate) mod strategy;

use std::collections::BTreeMap;

pub use conform::conform;
pub use error::ValueError;
pub(crate) use error::index;
pub use number::{Number, NumberError};
pub(crate) use read::first_unknown;
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

impl Value {
    /// Reads msgpack by a type. Absent attributes become null.
    pub fn from_msgpack(document: &[u8], ty: &Type) -> Result<Self, ValueError> {
        msgpack::decode(document, ty)
    }

    /// Writes msgpack by a type.
    pub fn to_msgpack(&self, ty: &Type) -> Result<Vec<u8>, ValueError> {
        msgpack::encode(self, ty)
    }

    /// Reads JSON by a type. Absent attributes become null, further ones are refused.
    pub fn from_json(document: &[u8], ty: &Type) -> Result<Self, ValueError> {
        json::decode(document, ty)
    }

    /// Writes JSON by a type. The value must be wholly known.
    pub fn to_json(&self, ty: &Type) -> Result<String, ValueError> {
        json::encode(self, ty)
    }
}
