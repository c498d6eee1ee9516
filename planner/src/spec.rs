//! The spec: what the user declared, resolved to plain values.

use serde::{Deserialize, Serialize};

/// What the user declared for one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Name of the cluster.
    pub name: String,
}
