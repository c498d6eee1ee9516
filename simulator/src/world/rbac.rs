//! Who may do what: built-in roles, their actions, and the scopes of assignments.

use super::World;
use super::condition::{self, Asked};
use super::errors::{Answer, ArmError};
use super::ids;
use crate::providers::authorization::ROLE_ASSIGNMENT;

/// A built-in role.
pub(crate) struct Role {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) actions: &'static [&'static str],
    pub(crate) not_actions: &'static [&'static str],
    pub(crate) data_actions: &'static [&'static str],
}

const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/";

const fn role(id: &'static str, name: &'static str, actions: &'static [&'static str]) -> Role {
    Role { id, name, actions, not_actions: &[], data_actions: &[] }
}

/// Microsoft's built-in roles that a cluster meets.
pub(crate) const ROLES: &[Role] = &[
    role("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner", &["*"]),
    Role {
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ],
        ..role("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor", &["*"])
    },
    role("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader", &["*/read"]),
    Role {
        data_actions: &[
            "Microsoft.KeyVault/vaults/keys/read",
            "Microsoft.KeyVault/vaults/keys/wrap/action",
            "Microsoft.KeyVault/vaults/keys/unwrap/action",
        ],
        ..role(
            "e147488a-f6f5-4113-8e2d-b22465e65bf6",
            "Key Vault Crypto Service Encryption User",
            &[
                "Microsoft.EventGrid/eventSubscriptions/write",
                "Microsoft.EventGrid/eventSubscriptions/read",
                "Microsoft.EventGrid/eventSubscriptions/delete",
            ],
        )
    },
    role(
        "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        "User Access Administrator",
        &["*/read", "Microsoft.Authorization/*"],
    ),
    Role {
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],
        ..role(
            "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
            "Storage Blob Data Owner",
            &["Microsoft.Storage/storageAccounts/blobServices/containers/*"],
        )
    },
    Role {
        data_actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
        ],
        ..role(
            "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
            "Storage Blob Data Contributor",
            &[
                "Microsoft.Storage/storageAccounts/blobServices/containers/read",
                "Microsoft.Storage/storageAccounts/blobServices/containers/write",
                "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
            ],
        )
    },
    Role {
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
        ..role(
            "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
            "Storage Blob Data Reader",
            &["Microsoft.Storage/storageAccounts/blobServices/containers/read"],
        )
    },
    role(
        "4d97b98b-1d4f-4787-a291-c67834d212e7",
        "Network Contributor",
        &["Microsoft.Network/*", "Microsoft.Authorization/*/read", "Microsoft.Resources/*/read"],
    ),
    role(
        "b12aa53e-6015-4669-85d0-8515ebb3ae7f",
        "Private DNS Zone Contributor",
        &["Microsoft.Network/privateDnsZones/*", "Microsoft.Authorization/*/read"],
    ),
    role(
        "f1a07417-d97a-45cb-824c-7a7467783830",
        "Managed Identity Operator",
        &[
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
        ],
    ),
];

/// The role behind a role definition id or its GUID.
pub(crate) fn find_role(definition: &str) -> Option<&'static Role> {
    let guid = ids::name_of(definition);
    ROLES.iter().find(|role| role.id.eq_ignore_ascii_case(guid))
}

fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = action.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut open = pattern.contains('*');
    if !open {
        return rest.is_empty();
    }
    for part in parts {
        if part.is_empty() {
            return true;
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        open = false;
    }
    open || rest.is_empty()
}

impl World {
    /// Those that reach a principal at a scope, which is a key.
    pub(crate) fn roles_at<'w>(
        &'w self,
        principal: &'w str,
        scope: &'w str,
    ) -> impl Iterator<Item = &'static Role> + 'w {
        self.assignments_at(principal, scope).map(|(role, _)| role)
    }

    /// The same with the conditions of the assignments.
    fn assignments_at<'w>(
        &'w self,
        principal: &'w str,
        scope: &'w str,
    ) -> impl Iterator<Item = (&'static Role, &'w str)> + 'w {
        self.resources
            .values()
            .filter(move |r| {
                r.rtype == ROLE_ASSIGNMENT.rtype
                    && r.effective_ms <= self.now_ms
                    && r.text("/properties/principalId").eq_ignore_ascii_case(principal)
                    && ids::within_any_case(scope, r.text("/properties/scope"))
            })
            .filter_map(|r| {
                let role = find_role(r.text("/properties/roleDefinitionId"))?;
                Some((role, r.text("/properties/condition")))
            })
    }

    /// Whether a principal may carry out a control-plane action on a scope.
    pub fn allows(&self, principal: &str, action: &str, scope: &str) -> bool {
        let scope = ids::key(scope);
        self.roles_at(principal, &scope).any(|role| {
            role.actions.iter().any(|p| matches(p, action))
                && !role.not_actions.iter().any(|p| matches(p, action))
        })
    }

    /// Whether a principal may do this to blobs of a container: `read`, `write`, `delete` or
    /// `add/action`. Owner and Contributor hold no such right.
    pub fn allows_blob(&self, principal: &str, account: &str, container: &str, what: &str) -> bool {
        let Some(account) = self.account(account) else { return false };
        let scope =
            ids::key(&format!("{}/blobServices/default/containers/{container}", account.id));
        let action = format!("{BLOBS}{what}");
        let asked = Asked { action: &action, container };
        self.assignments_at(principal, &scope).any(|(role, condition)| {
            role.data_actions.iter().any(|p| matches(p, &action))
                && (condition.is_empty() || condition::holds(condition, &asked))
        })
    }

    /// Whether a principal may do this to containers through the data plane: `read`, `write` or
    /// `delete`. Only the roles for blob data grant it.
    pub fn allows_container(
        &self,
        principal: &str,
        account: &str,
        container: &str,
        what: &str,
    ) -> bool {
        let Some(account) = self.account(account) else { return false };
        let mut scope = ids::key(&account.id);
        if !container.is_empty() {
            scope = ids::key(&format!("{scope}/blobservices/default/containers/{container}"));
        }
        let action = format!("Microsoft.Storage/storageAccounts/blobServices/containers/{what}");
        self.roles_at(principal, &scope).any(|role| {
            !role.data_actions.is_empty() && role.actions.iter().any(|p| matches(p, &action))
        })
    }

    pub(crate) fn require(&self, principal: &str, action: &str, scope: &str) -> Answer<()> {
        if self.allows(principal, action, scope) {
            return Ok(());
        }
        Err(ArmError::forbidden(principal, action, scope))
    }

    /// The right to use one object for the sake of another.
    pub(crate) fn require_linked(
        &self,
        principal: &str,
        action: &str,
        linked: &str,
        target: &str,
    ) -> Answer<()> {
        if self.allows(principal, action, linked) {
            return Ok(());
        }
        Err(ArmError::gateway(
            403,
            "LinkedAuthorizationFailed",
            format!(
                "The client '{principal}' with object id '{principal}' has permission to perform \
                 action on scope '{target}'; however, it does not have permission to perform \
                 action(s) '{action}' on the linked scope(s) '{linked}'."
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards_span_segments() {
        assert!(matches("*", "Microsoft.Network/virtualNetworks/write"));
        assert!(matches("*/read", "Microsoft.Network/virtualNetworks/read"));
        assert!(!matches("*/read", "Microsoft.Network/virtualNetworks/write"));
        assert!(matches("Microsoft.Authorization/*/Write", "microsoft.authorization/locks/write"));
        assert!(!matches("Microsoft.Network/vnets", "Microsoft.Network/vnets/read"));
    }
}
