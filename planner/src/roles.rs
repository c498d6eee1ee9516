//! Roles that somebody else assigns: which ones a cluster needs, and whether they are there.
//!
//! A cluster's own assignments are one to each container ([`crate::desired`]), and made after it. Somebody else's are made
//! before: at the group, with a condition that says the same by the containers' names. Source: Microsoft's page "Example
//! Azure role assignment conditions for Blob Storage".

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::ArmId;
use crate::dataplane::container;
use crate::desired::{SHARED_CONTAINERS, SHARED_STATUS};
use crate::names::{Names, ROLE_BLOB_CONTRIBUTOR, ROLE_BLOB_OWNER, ROLE_BLOB_READER};
use crate::spec::ClusterSpec;

/// Who assigns the roles that a cluster needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleAssignmentMode {
    /// The apply.
    #[default]
    Managed,
    /// Somebody else, to identities of theirs.
    External,
}

impl RoleAssignmentMode {
    /// Every word that a configuration may have.
    pub const ALL: [Self; 2] = [Self::Managed, Self::External];

    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::External => "external",
        }
    }
}

/// Identities that somebody made for the servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identities {
    /// The one that all servers share.
    pub shared_id: ArmId,
    /// One for each server, by slot, and one for the helper that joins while others are made anew.
    pub server_ids: Vec<ArmId>,
}

impl Identities {
    /// All of them, the shared one first.
    pub fn all(&self) -> impl Iterator<Item = &ArmId> {
        std::iter::once(&self.shared_id).chain(&self.server_ids)
    }
}

/// So many identities of servers a cluster needs beside the shared one.
pub fn server_identities_needed(server_count: u32) -> u32 {
    server_count + 1
}

/// One assignment that a cluster needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredRole {
    /// Id of the identity that needs it.
    pub identity: ArmId,
    /// Where: the managed group, which is there before the cluster.
    pub scope: ArmId,
    /// GUID of the built-in role.
    pub role: &'static str,
    /// Containers on which it counts; `status-*` is each that begins so.
    containers: Vec<String>,
}

impl RequiredRole {
    /// What the role is called.
    pub fn role_name(&self) -> &'static str {
        role_name(self.role)
    }

    /// The condition that keeps it to the containers that it is for.
    pub fn condition(&self) -> String {
        const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/";
        const NAME: &str =
            "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]";
        let actions: &[&str] = if self.role == ROLE_BLOB_READER {
            &["read"]
        } else {
            &["read", "write", "delete", "add/action"]
        };
        let others: Vec<String> =
            actions.iter().map(|action| format!("!(ActionMatches{{'{BLOBS}{action}'}})")).collect();
        let quoted = |names: &[&String]| {
            names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
        };
        let (like, exact): (Vec<&String>, Vec<&String>) =
            self.containers.iter().partition(|name| name.ends_with('*'));
        let exact = (!exact.is_empty())
            .then(|| format!("{NAME} ForAnyOfAnyValues:StringEquals {{{}}}", quoted(&exact)));
        let like = like.iter().map(|name| format!("{NAME} StringLike '{name}'"));
        let names: Vec<String> = exact.into_iter().chain(like).collect();
        format!("(({}) OR ({}))", others.join(" AND "), names.join(" OR "))
    }

    /// Whether these assignments, as ARM lists them for the identity's principal, give it.
    fn is_given(&self, names: &Names, assignments: &[Value]) -> bool {
        self.containers.iter().all(|wanted| {
            let scope = names.container(wanted);
            assignments.iter().any(|one| gives(one, self.role, &scope, Some(wanted)))
        })
    }
}

fn role_name(role: &str) -> &'static str {
    match role {
        ROLE_BLOB_READER => "Storage Blob Data Reader",
        _ => "Storage Blob Data Contributor",
    }
}

/// Whether an assignment gives a role at a scope. One with a condition counts where that names the container: what else it
/// says nobody but Azure knows.
fn gives(assignment: &Value, role: &str, scope: &ArmId, container: Option<&str>) -> bool {
    let text = |name: &str| assignment.pointer(&format!("/properties/{name}"))?.as_str();
    let definition = text("roleDefinitionId").and_then(|id| id.rsplit('/').next());
    let enough: &[&str] = if role == ROLE_BLOB_READER {
        &[ROLE_BLOB_READER, ROLE_BLOB_CONTRIBUTOR, ROLE_BLOB_OWNER]
    } else {
        &[ROLE_BLOB_CONTRIBUTOR, ROLE_BLOB_OWNER]
    };
    let is_role =
        definition.is_some_and(|own| enough.iter().any(|role| own.eq_ignore_ascii_case(role)));
    let reaches = text("scope").is_some_and(|own| {
        let own = ArmId::new(own);
        own.as_str().is_empty() || scope.is_within(&own)
    });
    let counts = match (text("condition").filter(|text| !text.is_empty()), container) {
        (None, _) => true,
        (Some(condition), Some(name)) => condition.contains(&format!("'{name}'")),
        (Some(_), None) => false,
    };
    is_role && reaches && counts
}

/// Whether a caller may write the blobs of the cluster's account by these assignments of its own.
pub fn may_write_blobs(names: &Names, assignments: &[Value]) -> bool {
    let account = names.storage_account();
    assignments.iter().any(|one| gives(one, ROLE_BLOB_CONTRIBUTOR, &account, None))
}

/// All that the cluster needs, the same for every caller; empty where the apply assigns its roles.
pub fn required(spec: &ClusterSpec) -> Vec<RequiredRole> {
    let Some(identities) = &spec.identities else { return vec![] };
    let names = Names::new(spec);
    let scope = names.cluster_id;
    let need = |identity: &ArmId, role: &'static str, containers: Vec<String>| RequiredRole {
        identity: identity.clone(),
        scope: scope.clone(),
        role,
        containers,
    };
    let of_all = |wanted: &'static str| {
        let own = SHARED_CONTAINERS.iter().filter(|(_, role)| *role == wanted);
        let status = (wanted == ROLE_BLOB_READER).then(|| SHARED_STATUS.to_owned());
        own.map(|(name, _)| (*name).to_owned()).chain(status).collect()
    };
    let roles = [ROLE_BLOB_READER, ROLE_BLOB_CONTRIBUTOR];
    let mut all: Vec<RequiredRole> =
        roles.map(|role| need(&identities.shared_id, role, of_all(role))).to_vec();
    for (slot, id) in (0..).zip(&identities.server_ids) {
        all.push(need(id, ROLE_BLOB_READER, vec![container::secrets(slot)]));
        all.push(need(id, ROLE_BLOB_CONTRIBUTOR, vec![container::status(slot)]));
    }
    all
}

/// Those that are not given; `assigned` says what ARM lists for an identity.
pub fn missing<'a>(
    spec: &ClusterSpec,
    assigned: impl Fn(&ArmId) -> &'a [Value],
) -> Vec<RequiredRole> {
    let names = Names::new(spec);
    required(spec)
        .into_iter()
        .filter(|one| !one.is_given(&names, assigned(&one.identity)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> ClusterSpec {
        let id = |name: &str| {
            ArmId::new(format!(
                "/subscriptions/s/resourceGroups/ids/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
            ))
        };
        ClusterSpec {
            role_assignment_mode: RoleAssignmentMode::External,
            identities: Some(Identities {
                shared_id: id("shared"),
                server_ids: (0..2).map(|slot| id(&format!("server-{slot}"))).collect(),
            }),
            server_count: 1,
            ..ClusterSpec::new("s", "demo", "rg", "westeurope")
        }
    }

    fn assignment(role: &str, scope: &str, condition: Option<&str>) -> Value {
        json!({ "properties": {
            "roleDefinitionId": format!("/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/{role}"),
            "scope": scope, "condition": condition,
        } })
    }

    #[test]
    fn two_roles_for_all_and_two_for_each_server() {
        let all = required(&spec());
        let told: Vec<(&str, &str)> =
            all.iter().map(|one| (one.identity.name(), one.role_name())).collect();
        let (reader, contributor) = ("Storage Blob Data Reader", "Storage Blob Data Contributor");
        assert_eq!(
            told,
            [
                ("shared", reader),
                ("shared", contributor),
                ("server-0", reader),
                ("server-0", contributor),
                ("server-1", reader),
                ("server-1", contributor),
            ]
        );
        assert_eq!(
            all[2].condition(),
            "((!(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'})) OR \
             (@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] \
             ForAnyOfAnyValues:StringEquals {'secrets-0'}))"
        );
        assert!(all[0].condition().ends_with("StringLike 'status-*'))"), "{}", all[0].condition());
    }

    #[test]
    fn what_is_given_above_or_under_its_condition_is_not_missing() {
        let spec = spec();
        let group = "/subscriptions/s/resourceGroups/rg-mrg-demo";
        let table = [
            (assignment(ROLE_BLOB_CONTRIBUTOR, "/subscriptions/s", None), true),
            (assignment(ROLE_BLOB_OWNER, group, None), true),
            (
                assignment(ROLE_BLOB_OWNER, "/subscriptions/s/resourceGroups/rg-mrg-dem", None),
                false,
            ),
            (assignment(ROLE_BLOB_READER, group, None), false),
            (assignment("b24988ac-6180-42a0-ab88-20f7382dd24c", group, None), false),
            (assignment(ROLE_BLOB_CONTRIBUTOR, group, Some("'another'")), false),
        ];
        for (one, is_enough) in table {
            let given = [one];
            let missing = missing(&spec, |_| &given);
            assert_eq!(missing.is_empty(), is_enough, "{given:?}: {missing:?}");
        }
        let own: Vec<Value> = required(&spec)
            .iter()
            .map(|one| assignment(one.role, one.scope.as_str(), Some(&one.condition())))
            .collect();
        assert!(missing(&spec, |_| &own).is_empty());
        for left_out in 0..own.len() {
            let needs = &required(&spec)[left_out];
            // Of each identity its own assignments alone.
            let of = |identity: &ArmId| -> Vec<Value> {
                let all = required(&spec);
                let kept = all.iter().enumerate().filter(|(at, _)| *at != left_out);
                kept.filter(|(_, one)| one.identity == *identity)
                    .map(|(at, _)| own[at].clone())
                    .collect()
            };
            let lists: Vec<(ArmId, Vec<Value>)> = required(&spec)
                .into_iter()
                .map(|one| (one.identity.clone(), of(&one.identity)))
                .collect();
            let found = missing(&spec, |identity| {
                lists.iter().find(|(id, _)| id == identity).map_or(&[], |(_, list)| list.as_slice())
            });
            assert_eq!(found.as_slice(), std::slice::from_ref(needs));
        }
    }
}
