//! Says whether two worlds are the same, whether a world is what somebody wrote down by hand, and whether a secret is
//! where it must not be. Knows JSON and a few facts of Azure, and nothing of the product.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod canary;
mod compare;
mod expect;
mod plain;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use compare::differences;
pub use expect::departures;

/// A world at rest.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Every ARM object as GET shows it, with `id` and `type`.
    pub objects: Vec<Value>,
    /// Private address of the machine of each scale set, by the set's name.
    pub addresses: BTreeMap<String, String>,
    /// Documents of the `config` container by name.
    pub documents: BTreeMap<String, Value>,
    /// `container/name` of every blob.
    pub blobs: BTreeSet<String>,
}
