//! By whose key the storage account and the servers' disks are encrypted.

use serde_json::{Map, Value, json};

use super::Builder;
use super::shared::{Shared, was_declared};
use crate::arm::ArmId;
use crate::customer_key::CustomerManagedKey;
use crate::diff::gone;
use crate::disks::HostEncryption;
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
    let before = before(builder);
    if let Some(key) = key {
        own.extend(of_vault(key, &builder.spec.location));
        account["identity"] = attached(builder, &key.user.identity_id, before.as_deref());
    } else if let Some(before) = before {
        own.insert("keySource".to_owned(), json!(AZURE));
        own.insert("keyvaultproperties".to_owned(), gone());
        own.insert("identity".to_owned(), gone());
        account["identity"] = detached(builder, &before);
    }
    if !own.is_empty() {
        account["properties"]["encryption"] = Value::Object(own);
    }
}

fn of_vault(key: &CustomerManagedKey, location: &str) -> [(String, Value); 3] {
    let properties = json!({
        "keyvaulturi": key.vault_uri(location),
        "keyname": key.key_name,
        // What is left out of a write stays as it was; an empty one is the newest (Microsoft's example).
        "keyversion": key.key_version.as_deref().unwrap_or_default(),
    });
    [
        ("keySource".to_owned(), json!(VAULT)),
        ("keyvaultproperties".to_owned(), properties),
        ("identity".to_owned(), json!({ "userAssignedIdentity": key.user.identity_id })),
    ]
}

fn account<'b>(builder: &'b Builder<'_>) -> Option<&'b Value> {
    builder.observed.object(&builder.names.storage_account())
}

/// The identity by which the account uses a key that was declared here.
fn before(builder: &Builder<'_>) -> Option<String> {
    if !was_declared(builder, &builder.names.storage_account(), Shared::AccountKey) {
        return None;
    }
    let user = "/properties/encryption/identity/userAssignedIdentity";
    let user = account(builder).and_then(|body| body.pointer(user)?.as_str());
    Some(user.unwrap_or_default().to_owned())
}

fn identity_kind<'b>(builder: &'b Builder<'_>) -> &'b str {
    let kind = account(builder).and_then(|body| body.pointer("/identity/type")?.as_str());
    kind.unwrap_or_default()
}

/// The account's identities with this one among them, beside one that somebody gave it. The one before goes: an account that
/// names an identity that is gone takes no write any more.
fn attached(builder: &Builder<'_>, identity: &ArmId, before: Option<&str>) -> Value {
    let mut all = Map::new();
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        all.insert(before.to_owned(), gone());
    }
    all.retain(|id, _| ArmId::new(id.as_str()) != *identity);
    all.insert(identity.as_str().to_owned(), json!({}));
    let kind = match identity_kind(builder) {
        kind if kind.contains("UserAssigned") => "UserAssigned",
        kind if kind.contains("SystemAssigned") => "SystemAssigned,UserAssigned",
        _ => "UserAssigned",
    };
    json!({ "type": kind, "userAssignedIdentities": all })
}

/// The account's identities without the one that used the key.
fn detached(builder: &Builder<'_>, before: &str) -> Value {
    let all = account(builder)
        .and_then(|body| body.pointer("/identity/userAssignedIdentities")?.as_object());
    let is_other = |id: &String| !id.eq_ignore_ascii_case(before);
    if all.into_iter().flat_map(Map::keys).any(is_other) {
        return json!({ "userAssignedIdentities": { before: gone() } });
    }
    let has_system = identity_kind(builder).contains("SystemAssigned");
    let kind = if has_system { "SystemAssigned" } else { "None" };
    json!({ "type": kind, "userAssignedIdentities": gone() })
}

/// The set by which a disk of this server is encrypted.
pub(super) fn disk_set(builder: &Builder<'_>, server: &ArmId) -> Option<Value> {
    match &builder.spec.disk_encryption_set_id {
        Some(id) => Some(json!({ "id": id })),
        None => was_declared(builder, server, Shared::DiskSet).then(gone),
    }
}

/// Whether this server's host encrypts. Where the subscription has no such feature Azure refuses the word, whatever it says.
pub(super) fn host(builder: &Builder<'_>, server: &ArmId) -> Option<Value> {
    match builder.spec.host_encryption {
        HostEncryption::On => Some(json!(true)),
        HostEncryption::Off => was_declared(builder, server, Shared::HostEncryption).then(gone),
    }
}
