//! Key vaults and their keys, as far as a storage account asks for them. Sources: Microsoft's page "Customer-managed keys for
//! Azure Storage encryption", its definitions, and refusals that users of it cite.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{Kind, PLAIN, Prepared, Put, own_parts};
use crate::world::resource::{default, text};

const VERSIONS: &[&str] = &["2023-07-01"];

/// Key vaults.
pub(crate) const VAULT: Kind = Kind {
    rtype: "Microsoft.KeyVault/vaults",
    versions: VERSIONS,
    tracked: true,
    operation: "PutVaultOperation",
    prepare: |_, put| {
        let mut body = own_parts(put.body);
        body["location"] = json!(put.location);
        let name = ids::name_of(put.id).to_lowercase();
        default(&mut body["properties"], "enableSoftDelete", json!(true));
        body["properties"]["vaultUri"] = json!(format!("https://{name}.vault.azure.net/"));
        Ok(Prepared { body, ..Prepared::default() })
    },
    ..PLAIN
};

/// Keys that Resource Manager makes.
pub(crate) const KEY: Kind = Kind {
    rtype: "Microsoft.KeyVault/vaults/keys",
    versions: VERSIONS,
    operation: "PutKeyOperation",
    ..PLAIN
};

/// What is needed to wrap an account's key with one of a vault.
const WRAP: &str = "Microsoft.KeyVault/vaults/keys/wrap/action";

/// Whether an account may be encrypted as its body says.
pub(crate) fn check_account(world: &World, put: &Put<'_>) -> Answer<()> {
    check_identities(world, put)?;
    let at = |tail: &str| text(put.body, &format!("/properties/encryption/{tail}"));
    if !at("keySource").eq_ignore_ascii_case("Microsoft.Keyvault") {
        return Ok(());
    }
    let (uri, name) = (at("keyvaultproperties/keyvaulturi"), at("keyvaultproperties/keyname"));
    if uri.is_empty() || name.is_empty() {
        return Err(ArmError::missing_property("encryption.keyvaultproperties"));
    }
    let identity = at("identity/userAssignedIdentity");
    let attached = put.body.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
    let is_attached =
        |id: &str| attached.is_some_and(|all| all.keys().any(|own| own.eq_ignore_ascii_case(id)));
    if !is_attached(identity) {
        return Err(ArmError::invalid(
            "InvalidValuesForRequestParameters",
            "Values for request parameters are invalid: encryption.identity.userAssignedIdentity.",
        ));
    }
    let principal = world.identity_ids(identity).map(|(principal, _)| principal);
    let vault = world.resources.values().find(|one| {
        one.rtype == VAULT.rtype
            && same_address(one.text("/properties/vaultUri"), uri)
            && world.visible(&one.id).is_some()
    });
    let refused = || {
        ArmError::new(
            403,
            "KeyVaultAuthenticationFailure",
            "The operation failed because of authentication issue on the keyvault. For more information, see - \
             https://aka.ms/storagekeyvaultaccesscontrol",
        )
    };
    let (Some(vault), Some(principal)) = (vault, principal) else { return Err(refused()) };
    let recoverable = vault.body.pointer("/properties/enablePurgeProtection");
    if recoverable.and_then(Value::as_bool) != Some(true) {
        return Err(ArmError::new(
            400,
            "KeyVaultPolicyError",
            "Keyvault policy recoverable is not set.",
        ));
    }
    let key = format!("{}/keys/{name}", vault.id);
    let may =
        world.roles_at(&principal, &ids::key(&key)).any(|role| role.data_actions.contains(&WRAP));
    if !may {
        return Err(refused());
    }
    if world.visible(&key).is_none() {
        let message = format!("The key '{name}' was not found in the vault '{uri}'.");
        return Err(ArmError::new(404, "KeyVaultEncryptionKeyNotFound", message));
    }
    Ok(())
}

/// Identities of an account are there, and the caller may use them.
fn check_identities(world: &World, put: &Put<'_>) -> Answer<()> {
    let attached = put.body.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
    for id in attached.into_iter().flat_map(|all| all.keys()) {
        if world.visible(id).is_none() {
            return Err(ArmError::invalid(
                "FailedIdentityOperation",
                format!(
                    "Identity operation for resource '{}' failed: resource '{id}' was not found.",
                    put.id
                ),
            ));
        }
        let action = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";
        world.require_linked(put.principal, action, id, put.id)?;
    }
    Ok(())
}

/// What Azure adds: whose keys encrypt where nobody says, and principals of the account's identities.
pub(crate) fn fill_account(world: &World, account: &mut Value) {
    default(&mut account["properties"]["encryption"], "keySource", json!("Microsoft.Storage"));
    let Some(attached) = account.pointer_mut("/identity/userAssignedIdentities") else { return };
    for (id, shown) in attached.as_object_mut().into_iter().flatten() {
        let (principal, client) = world.identity_ids(id).unwrap_or_default();
        *shown = json!({"principalId": principal, "clientId": client});
    }
}

fn same_address(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}
