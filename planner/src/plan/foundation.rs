//! The part of a plan that may run before its run is recorded: what the record itself needs, and beside it what takes
//! long. Two runs that do it at the same time, unknown to each other, do the same: it only makes, under names that
//! follow from the cluster's id, and nothing in it depends on what two declarations may differ in but tags.

use super::{Action, Plan, PlanError};
use crate::dataplane::container;
use crate::desired::object;
use crate::diff::Difference;
use crate::names::CLUSTER_TAG;
use crate::plan::build::PROVISIONING_STATE;

/// Objects that may be made before the record is there.
fn is_foundation(name: &str) -> bool {
    [object::RESOURCE_GROUP, object::STORAGE_ACCOUNT, object::NAT_IP, object::NAT_GATEWAY]
        .contains(&name)
        || name == object::container(container::CONFIG)
}

fn is_failure(difference: &Difference) -> bool {
    difference.path == PROVISIONING_STATE
}

/// Whether a group that was given becomes the cluster's by it.
fn takes_group(object: &str, differences: &[Difference]) -> bool {
    let tag = format!("tags.{CLUSTER_TAG}");
    let takes =
        |one: &Difference| one.observed.is_null() && (one.path == "tags" || one.path == tag);
    object == object::RESOURCE_GROUP && differences.iter().any(takes)
}

impl Plan {
    /// The foundation's steps of this plan, see this file's head. Empty when the foundation is there.
    pub fn foundation(&self) -> Result<Self, PlanError> {
        self.restricted(|action| match action {
            // One that failed while it was made is made all the same.
            Action::Put { object, update, differences, .. } => {
                is_foundation(object)
                    && (!update
                        || differences.iter().any(is_failure)
                        || takes_group(object, differences))
            }
            Action::AwaitProvisioned { object, .. } => is_foundation(object),
            Action::GrantCallerBlobAccess { .. } => true,
            _ => false,
        })
    }
}
