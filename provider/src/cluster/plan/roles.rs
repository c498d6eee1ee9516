//! Roles and identities of somebody else.

use hcs_engine::error::EngineError;
use hcs_engine::roles::{missing_roles, observe_identities};
use hcs_planner::names::Names;
use hcs_planner::roles::RoleAssignmentMode;
use hcs_planner::spec::ClusterSpec;
use tfplugin::Path;

use super::Planner;
use crate::cluster::model::{Cluster, Identities};
use crate::diagnostics;

impl Planner {
    /// Reads the identities of a world: their principals are part of what is planned. What cannot be read is not known.
    pub(super) async fn read_identities(&mut self, spec: &ClusterSpec) {
        let Some(identities) = &spec.identities else { return };
        if identities.all().all(|id| self.given.object(id).is_some()) {
            return;
        }
        let mut given = std::mem::take(&mut self.given);
        if let Err(error) = observe_identities(&self.arm, spec, &mut given).await {
            self.unread("the identities of the servers", &error);
        }
        self.given = given;
    }

    /// What somebody has to assign before the apply, which looks again.
    pub(super) async fn check_roles(&mut self, prior: Option<&ClusterSpec>, spec: &ClusterSpec) {
        if spec.role_assignment_mode == RoleAssignmentMode::Managed {
            return;
        }
        self.check_kept(prior, spec);
        let group = Names::new(spec).cluster_id;
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
            Err(EngineError::Arm(error)) if error.status == 404 => {
                let detail = format!(
                    "{group} does not exist. Somebody else assigns the roles at the managed group before the cluster is made: \
                     make that group first, empty, and name it in managed_resource_group_name."
                );
                self.error(Cluster::MANAGED_RESOURCE_GROUP_NAME, "No managed group", detail);
            }
            Err(error) => self.unread("the role assignments of the servers", &error),
        }
    }

    /// A machine knows its identity from its birth.
    fn check_kept(&mut self, prior: Option<&ClusterSpec>, spec: &ClusterSpec) {
        let own = spec.identities.as_ref();
        let Some((before, now)) = prior.and_then(|prior| prior.identities.as_ref()).zip(own) else {
            return;
        };
        let servers = prior.map_or(0, |prior| prior.server_count).min(spec.server_count) as usize;
        let kept = |path: Path, planner: &mut Self| {
            let detail = "A server knows its identities from the day it was made, and would go on with those. Leave them as they \
                          are; identities of servers that come are added at the end.";
            planner.error(path, "Identities of running servers cannot be changed", detail);
        };
        if before.shared_id != now.shared_id {
            kept(Path::root(Cluster::IDENTITIES).attr(Identities::SHARED_ID), self);
        }
        let pairs = before.server_ids.iter().zip(&now.server_ids).take(servers);
        for (at, _) in pairs.enumerate().filter(|(_, (before, now))| before != now) {
            let path = Path::root(Cluster::IDENTITIES).attr(Identities::SERVER_IDS).index(at);
            kept(path, self);
        }
    }
}
