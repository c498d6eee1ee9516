//! Rules of identities that somebody brings.

use super::is_id_of;
use crate::arm::{ArmId, Kind};
use crate::roles::{Identities, RoleAssignmentMode, server_identities_needed};
use crate::spec::ClusterSpec;

/// Roles by somebody else without identities that they could be given to beforehand.
pub const EXTERNAL_NEEDS_IDENTITIES: &str = "Somebody else assigns the roles before the cluster is made, to identities that are \
                                             there: set identities = { shared_id = ..., server_ids = [...] }.";

/// Identities whose roles the apply would assign.
pub const IDENTITIES_NEED_EXTERNAL: &str = "With role_assignment_mode = \"managed\" the cluster makes its own identities and \
                                            assigns their roles. Set role_assignment_mode = \"external\", or leave identities \
                                            out.";

/// Id of a user-assigned identity.
pub fn identity_id(text: &str) -> Result<(), String> {
    if is_id_of(text, Kind::Identity) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the id of a user-assigned identity; it ends in \
         Microsoft.ManagedIdentity/userAssignedIdentities/<name>."
    ))
}

/// Whether there is one for each server and the helper, and none twice.
pub fn enough_identities(identities: &Identities, server_count: u32) -> Result<(), String> {
    let needed = server_identities_needed(server_count) as usize;
    let there = identities.server_ids.len();
    if there < needed {
        return Err(format!(
            "identities.server_ids has {there}; {needed} are needed: one for each of {server_count} servers, by slot, and one \
             for the helper that joins while others are made anew."
        ));
    }
    let all: Vec<String> = identities.all().map(ArmId::key).collect();
    let twice = all.iter().enumerate().find(|(at, id)| all[..*at].contains(id));
    match twice {
        Some((_, id)) => Err(format!(
            "{id} is there twice. A server's own identity is what keeps its secrets from the others: give each its own."
        )),
        None => Ok(()),
    }
}

/// What of these is wrong together: the attribute, and why.
pub(super) fn broken(spec: &ClusterSpec) -> Vec<(&'static str, String)> {
    match (spec.role_assignment_mode, &spec.identities) {
        (RoleAssignmentMode::External, None) => {
            vec![("role_assignment_mode", EXTERNAL_NEEDS_IDENTITIES.to_owned())]
        }
        (RoleAssignmentMode::Managed, Some(_)) => {
            vec![("identities", IDENTITIES_NEED_EXTERNAL.to_owned())]
        }
        (_, Some(identities)) => {
            let ids = identities.all().filter_map(|id| identity_id(id.as_str()).err());
            let few = enough_identities(identities, spec.server_count).err();
            ids.chain(few).map(|told| ("identities", told)).collect()
        }
        (_, None) => vec![],
    }
}
