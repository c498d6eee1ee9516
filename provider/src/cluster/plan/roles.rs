//! Roles and identities of somebody else.

use hcs_engine::roles::{missing_roles, observe_identities};
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::Names;
use hcs_planner::roles::RoleAssignmentMode;
use hcs_planner::spec::{ClusterSpec, LockLevel};

use super::Planner;
use super::worlds::is_invented;
use crate::cluster::model::Cluster;
use crate::diagnostics;

impl Planner {
    /// Reads the identities of a world: their principals are part of what is planned. What cannot be read is not known.
    pub(super) async fn read_identities(&mut self, spec: &ClusterSpec) {
        let Some(identities) = &spec.identities else { return };
        let is_known = |id: &ArmId| is_invented(id) || self.given.object(id).is_some();
        if identities.all().all(is_known) {
            return;
        }
        let mut given = std::mem::take(&mut self.given);
        if let Err(error) = observe_identities(&self.arm, spec, &mut given).await {
            self.unread("the identities of the servers", &error);
        }
        self.given = given;
    }

    /// What somebody has to assign before the apply, which looks again.
    pub(super) async fn check_roles(&mut self, spec: &ClusterSpec) {
        if spec.role_assignment_mode == RoleAssignmentMode::Managed {
            return;
        }
        if spec.lock != LockLevel::None {
            let detail = "The lock on the managed group is the apply's to make, at its end, which takes User Access Administrator \
                          or Owner there. Set lock = { kind = \"None\" } where the caller may not.";
            self.warn(Cluster::LOCK, "A lock needs rights of its own", detail);
        }
        let group = Names::new(spec).cluster_id;
        match self.arm.get(&group, Kind::ResourceGroup).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                let detail = format!(
                    "{group} does not exist. Somebody else assigns the roles at the managed group before the cluster is made: \
                     make that group first, empty, and name it in managed_resource_group_name."
                );
                self.error(Cluster::MANAGED_RESOURCE_GROUP_NAME, "No managed group", detail);
                return;
            }
            Err(error) => return self.unread(&format!("the group {group}"), &error),
        }
        match missing_roles(&self.arm, spec).await {
            Ok(Ok(missing)) if missing.is_empty() => {}
            Ok(Ok(missing)) => {
                let detail = format!(
                    "{}\n\nThe apply stops before it makes anything unless they are there by then.",
                    diagnostics::missing_roles(&missing)
                );
                self.warn(Cluster::ROLE_ASSIGNMENT_MODE, "Roles are missing", detail);
            }
            Ok(Err(absent)) => {
                let detail = format!("{absent}. That is fine when this run makes it.");
                self.warn(Cluster::IDENTITIES, "An identity does not exist yet", detail);
            }
            Err(error) => self.unread("the role assignments of the servers", &error),
        }
    }
}
