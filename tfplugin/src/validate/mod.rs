//! Checks of configurations that a schema declares: validators that compose, and their walk
//! through a configuration.
//!
//! A validator sees known values only; what is not known yet is checked when it is.

mod groups;
mod nulls;
mod standard;
mod walk;
mod write_only;

pub use nulls::null_elements;
pub use standard::{
    all, any, check, each, items, keys, length, matches, not, one_of, range, rule, text_rule, warn,
};
pub use walk::by_schema;
pub(crate) use write_only::write_only_values;

use crate::path::Path;
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

    /// Everything that is wrong with a value at a place, element by element where it is about elements.
    fn findings(&self, value: &Value, at: &Path) -> Vec<Finding> {
        if self.accepts(value) {
            return Vec::new();
        }
        vec![Finding::must_be(at.clone(), self.complain(value), value)]
    }

    /// Whether it judges a collection as a whole: then one with unknown elements waits until they are known.
    fn needs_all_known(&self) -> bool {
        true
    }
}

/// Something that a validator does not like.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Where.
    pub(crate) path: Path,
    pub(crate) words: Words,
    /// The value there.
    pub(crate) value: Value,
    /// Whether it can stay all the same.
    pub(crate) is_warning: bool,
}

/// How a finding is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Words {
    /// To follow "must be".
    MustBe(String),
    /// Sentences of their own, and the description to tell in their place where the value is secret.
    Sentences { told: String, description: String },
}

impl Finding {
    /// The value at this place must be something else.
    pub fn must_be(path: Path, what: impl Into<String>, value: &Value) -> Self {
        Self { path, words: Words::MustBe(what.into()), value: value.clone(), is_warning: false }
    }

    /// Sentences of one's own about the value at this place; the description is told in their place where it is secret.
    pub fn says(
        path: Path,
        told: impl Into<String>,
        description: impl Into<String>,
        value: &Value,
    ) -> Self {
        let words = Words::Sentences { told: told.into(), description: description.into() };
        Self { path, words, value: value.clone(), is_warning: false }
    }
}
