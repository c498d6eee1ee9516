//! A key of the user's, with which the storage account is encrypted.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;
use crate::names::by_cloud;

/// The key, and who may use it for the account. Stored as Azure Verified Modules write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerManagedKey {
    /// The vault, or the managed HSM.
    #[serde(rename = "key_vault_resource_id")]
    pub key_vault_id: ArmId,
    /// Name of the key.
    pub key_name: String,
    /// Its version; absent: the newest, which Azure looks for each day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_version: Option<String>,
    /// Who wraps and unwraps with it.
    #[serde(rename = "user_assigned_identity")]
    pub user: KeyUser,
}

/// Who uses the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUser {
    /// Id of a user-assigned identity.
    #[serde(rename = "resource_id")]
    pub identity_id: ArmId,
}

impl CustomerManagedKey {
    /// Type of a vault.
    pub const VAULT: &str = "Microsoft.KeyVault/vaults";
    /// Type of a managed HSM.
    pub const HSM: &str = "Microsoft.KeyVault/managedHSMs";

    /// Whether the key lies in a managed HSM.
    pub fn is_in_hsm(&self) -> bool {
        let (_, kind) = self.key_vault_id.as_str().rsplit_once("/providers/").unwrap_or_default();
        let start = kind.get(..Self::HSM.len()).unwrap_or_default();
        start.eq_ignore_ascii_case(Self::HSM)
    }

    /// Where the vault answers in the cloud of this region (Microsoft's pages on endpoints of Key Vault).
    pub fn vault_uri(&self, location: &str) -> String {
        let suffix = if self.is_in_hsm() {
            by_cloud(
                location,
                "managedhsm.azure.net",
                "managedhsm.usgovcloudapi.net",
                "managedhsm.azure.cn",
            )
        } else {
            by_cloud(location, "vault.azure.net", "vault.usgovcloudapi.net", "vault.azure.cn")
        };
        format!("https://{}.{suffix}", self.key_vault_id.name().to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_answers_by_its_kind_and_cloud() {
        let key = |kind: &str| CustomerManagedKey {
            key_vault_id: ArmId::new(format!(
                "/subscriptions/s/resourceGroups/g/providers/{kind}/Keys"
            )),
            key_name: "consul".to_owned(),
            key_version: None,
            user: KeyUser { identity_id: ArmId::new("/i") },
        };
        let table = [
            ("Microsoft.KeyVault/vaults", "westeurope", "https://keys.vault.azure.net"),
            ("microsoft.keyvault/managedhsms", "westeurope", "https://keys.managedhsm.azure.net"),
            ("Microsoft.KeyVault/vaults", "usgovvirginia", "https://keys.vault.usgovcloudapi.net"),
            ("Microsoft.KeyVault/vaults", "chinanorth3", "https://keys.vault.azure.cn"),
        ];
        for (kind, location, expected) in table {
            assert_eq!(key(kind).vault_uri(location), expected);
        }
    }
}
