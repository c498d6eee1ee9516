//! How the storage account is encrypted: by whose key, and how often.

use serde_json::{Map, Value, json};

use super::Builder;
use crate::customer_key::CustomerManagedKey;
use crate::diff::gone;
use crate::reach::StorageAccess;

/// Azure's word for keys of its own.
const AZURE: &str = "Microsoft.Storage";
/// Azure's word for keys of a vault, in its own spelling.
const VAULT: &str = "Microsoft.Keyvault";

/// Writes what is ours of it into the account's body; nothing where nobody said anything.
pub(super) fn add(builder: &Builder<'_>, account: &mut Value) {
    let mut own = Map::new();
    let is_closed = builder.spec.storage_access == StorageAccess::PrivateEndpoint;
    let key = builder.spec.customer_managed_key.as_ref();
    if is_closed || key.is_some() {
        let (keyed, enabled) =
            (json!({ "keyType": "Account" }), json!({ "enabled": true, "keyType": "Account" }));
        let services = json!({ "blob": enabled, "file": enabled, "queue": keyed, "table": keyed });
        // Both count at creation only. Whoever closes an account, or brings a key, has rules for how often it is
        // encrypted, too (docs/guides/landing-zones.md).
        own.insert("services".to_owned(), services);
        own.insert("requireInfrastructureEncryption".to_owned(), json!(true));
    }
    if let Some(key) = key {
        account["identity"] = json!({
            "type": "UserAssigned",
            "userAssignedIdentities": { key.identity_id.as_str(): {} },
        });
        own.extend(of_vault(key, &builder.spec.location));
    } else if had_key(builder) {
        own.insert("keySource".to_owned(), json!(AZURE));
        own.insert("keyvaultproperties".to_owned(), gone());
        own.insert("identity".to_owned(), gone());
    } else if is_closed {
        own.insert("keySource".to_owned(), json!(AZURE));
    }
    if !own.is_empty() {
        account["properties"]["encryption"] = Value::Object(own);
    }
}

fn of_vault(key: &CustomerManagedKey, location: &str) -> [(String, Value); 3] {
    let version = key.key_version.as_ref().map_or_else(gone, |version| json!(version));
    let properties = json!({
        "keyvaulturi": key.vault_uri(location),
        "keyname": key.key_name,
        "keyversion": version,
    });
    [
        ("keySource".to_owned(), json!(VAULT)),
        ("keyvaultproperties".to_owned(), properties),
        ("identity".to_owned(), json!({ "userAssignedIdentity": key.identity_id })),
    ]
}

/// What somebody else set stays; only a key that was declared here is taken away here.
fn had_key(builder: &Builder<'_>) -> bool {
    let stored = builder.observed.stored_spec.as_ref();
    stored.is_some_and(|stored| stored.customer_managed_key.is_some())
}
