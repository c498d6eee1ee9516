//! Values as msgpack, the form in which they travel.
//!
//! A number is an integer, a double or decimal text, whichever is exact; an unknown is an
//! extension; a value of open type is a pair of its type and itself. Both directions follow a type
//! and tell the path of everything that does not fit it.

mod decode;
mod encode;
mod reader;

pub(crate) use decode::decode;
pub(crate) use encode::encode;

/// Extension type of a refined unknown. All other extension types are plain unknowns.
const REFINED: i8 = 12;

/// Keys of the map inside a refined unknown.
mod refinement_key {
    pub(super) const NULL: i64 = 1;
    pub(super) const STRING_PREFIX: i64 = 2;
    pub(super) const NUMBER_MIN: i64 = 3;
    pub(super) const NUMBER_MAX: i64 = 4;
    pub(super) const LENGTH_MIN: i64 = 5;
    pub(super) const LENGTH_MAX: i64 = 6;
}

#[cfg(test)]
mod tests;
