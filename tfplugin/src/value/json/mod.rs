//! Values as JSON, the form in which Terraform stores state.
//!
//! Numbers are taken as the text that they are, never through a float. Both directions follow a
//! type and tell the path of everything that does not fit it.

mod decode;
mod encode;

pub(crate) use decode::{decode, decode_dropping, decode_untyped};
pub(crate) use encode::encode;

#[cfg(test)]
mod tests;
