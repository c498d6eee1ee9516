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

/// What may be made before the record is there, too, where nobody comes to the account without it. Of two declarations with
/// different networks the second one meets a subnet in use, and is refused by Azure.
fn is_private_way(name: &str) -> bool {
    object::PRIVATE_WAY.contains(&name) || [object::SECURITY_GROUP, object::VNET].contains(&name)
}

impl Plan {
    /// The foundation's steps of this plan, see this file's head. Empty when the foundation is there.
    pub fn foundation(&self) -> Result<Self, PlanError> {
        let is_update = |action: &Action| matches!(action, Action::Put { object, update: true, .. } if object == object::STORAGE_ACCOUNT);
        let makes_way = |action: &Action| matches!(action, Action::Put { object, update: false, .. } if object::PRIVATE_WAY.contains(&object.as_str()));
        let has = |what: &dyn Fn(&Action) -> bool| {
            self.steps().iter().any(|(_, step)| what(&step.action))
        };
        // One that is only about to be closed is reached as it is.
        let needs_way = has(&makes_way) && !has(&is_update);
        let is_foundation = |name: &str| is_foundation(name) || (needs_way && is_private_way(name));
        self.making(is_foundation)
    }

    /// The foundation, and where the secrets are kept: what is made before a cluster can be given secrets of before.
    pub fn foundation_for_secrets(&self) -> Result<Self, PlanError> {
        let keeps = [container::SECRETS_SHARED, container::CERTIFICATES].map(object::container);
        self.making(|name| is_foundation(name) || keeps.iter().any(|keep| keep == name))
    }

    fn making(&self, is_foundation: impl Fn(&str) -> bool) -> Result<Self, PlanError> {
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
