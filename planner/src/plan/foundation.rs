//! The part of a plan that may run before its run is recorded: what the record itself needs, and beside it what takes
//! long. Two runs that do it at the same time, unknown to each other, do the same: it only makes, under names that
//! follow from the cluster's id, and nothing in it depends on what two declarations may differ in but tags.

use super::{Action, Plan, PlanError};
use crate::dataplane::container;
use crate::desired::object;
use crate::diff::Difference;
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

impl Plan {
    /// The foundation's steps of this plan, see this file's head. Empty when the foundation is there.
    pub fn foundation(&self) -> Result<Self, PlanError> {
        self.restricted(|action| match action {
            // One that failed while it was made is made all the same.
            Action::Put { object, update, differences, .. } => {
                is_foundation(object) && (!update || differences.iter().any(is_failure))
            }
            Action::AwaitProvisioned { object, .. } => is_foundation(object),
            Action::GrantCallerBlobAccess { .. } => true,
            _ => false,
        })
    }
}
