//! The private way to the storage account: an endpoint in the servers' network, and who tells its address.

use serde_json::{Value, json};

use super::{Builder, named, object};
use crate::arm::Kind;
use crate::names::Names;
use crate::observed::Observed;
use crate::reach::{StorageAccess, StorageZone};

/// Azure's word for an account's blobs.
const BLOBS: &str = "blob";

pub(super) fn build(builder: &mut Builder<'_>) {
    if builder.spec.storage_access != StorageAccess::PrivateEndpoint {
        return;
    }
    endpoint(builder);
    if builder.spec.storage_zone == StorageZone::System {
        zone(builder);
    }
    if let Some(zone) = builder.names.storage_zone() {
        let config = named("blob", json!({ "privateDnsZoneId": zone }));
        let mut needs = vec![object::PRIVATE_ENDPOINT];
        if builder.spec.storage_zone == StorageZone::System {
            needs.push(object::STORAGE_ZONE_LINK);
        }
        builder.add(
            object::STORAGE_ZONE_GROUP,
            Kind::PrivateDnsZoneGroup,
            builder.names.storage_zone_group(),
            json!({ "properties": { "privateDnsZoneConfigs": [config] } }),
            &needs,
        );
    }
}

fn endpoint(builder: &mut Builder<'_>) {
    let names = &builder.names;
    let connection = json!({
        "privateLinkServiceId": names.storage_account(),
        "groupIds": [BLOBS],
    });
    let body = json!({
        "location": builder.spec.location,
        "properties": {
            "subnet": { "id": names.subnet() },
            // Its interface lies in the group like an object of somebody else: so it is known by its name.
            "customNetworkInterfaceName": names.private_endpoint_interface().name(),
            "privateLinkServiceConnections": [named(BLOBS, connection)],
        },
    });
    let id = names.private_endpoint();
    let needs = [builder.network_needs(), &[object::STORAGE_ACCOUNT]].concat();
    builder.add(object::PRIVATE_ENDPOINT, Kind::PrivateEndpoint, id, body, &needs);
}

/// It answers in the servers' network alone: in somebody else's it would stand before the names of other accounts.
fn zone(builder: &mut Builder<'_>) {
    builder.add(
        object::STORAGE_ZONE,
        Kind::PrivateDnsZone,
        builder.names.own_storage_zone(),
        json!({ "location": "global" }),
        &[object::RESOURCE_GROUP],
    );
    let link = json!({
        "location": "global",
        "properties": {
            "virtualNetwork": { "id": builder.names.vnet() },
            "registrationEnabled": false,
            // Accounts of others that have private endpoints somewhere are found at their public addresses.
            "resolutionPolicy": "NxDomainRedirect",
        },
    });
    let mut needs = builder.network_needs().to_vec();
    needs.push(object::STORAGE_ZONE);
    let id = builder.names.storage_zone_link();
    builder.add(object::STORAGE_ZONE_LINK, Kind::PrivateDnsLink, id, link, &needs);
}

/// Whether the account takes no calls from outside of the networks that it has endpoints in.
pub(crate) fn is_closed(observed: &Observed, names: &Names) -> bool {
    let account = observed.object(&names.storage_account());
    let access = account.and_then(|body| body.pointer("/properties/publicNetworkAccess"));
    access.and_then(Value::as_str).is_some_and(|word| word.eq_ignore_ascii_case("Disabled"))
}

/// Who may call the account from where.
pub(super) fn access(builder: &Builder<'_>) -> Value {
    if builder.spec.storage_access == StorageAccess::PrivateEndpoint {
        // Whoever closes an account has rules for the rest of it, too (docs/guides/landing-zones.md).
        return json!({
            "publicNetworkAccess": "Disabled",
            "networkAcls": { "defaultAction": "Deny", "bypass": "AzureServices" },
            "allowCrossTenantReplication": false,
            "allowedCopyScope": "AAD",
            "isLocalUserEnabled": false,
        });
    }
    // Whom the account lets in is its owner's to say, but for one that was closed by us.
    if was_closed_by_us(builder) {
        return json!({
            "publicNetworkAccess": "Enabled",
            "networkAcls": { "defaultAction": "Allow" },
        });
    }
    json!({})
}

/// By the declaration that is stored; before there is one, by the endpoint that came with it.
fn was_closed_by_us(builder: &Builder<'_>) -> bool {
    match &builder.observed.stored_spec {
        Some(stored) => stored.storage_access == StorageAccess::PrivateEndpoint,
        None => {
            is_closed(builder.observed, &builder.names)
                && builder.observed.object(&builder.names.private_endpoint()).is_some()
        }
    }
}
