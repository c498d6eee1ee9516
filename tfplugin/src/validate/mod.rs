//! Checks of configurations that a schema declares: validators that compose, and their walk
//! through a configuration.
//!
//! A validator sees known values only; what is not known yet is checked when it is.

mod groups;
mod nulls;
mod standard;
mod walk;

pub use nulls::null_elements;
pub use standard::{all, any, check, each, items, keys, length, matches, not, one_of, range};
pub(crate) use walk::validate;

use crate::value::Value;

/// A check of one value that is neither null nor unknown.
pub trait Validator: Send + Sync {
    /// What a value must be, to follow "must be": `3 to 32 characters long`.
    fn describe(&self) -> String;

    /// Whether the value passes.
    fn accepts(&self, value: &Value) -> bool;

    /// What is wrong, to follow "must be"; by default the whole description.
    fn complain(&self, value: &Value) -> String {
        let _ = value;
        self.describe()
    }
}
