//! Storage account, containers, the identity that all servers share and its rights.

use serde_json::{Value, json};

use super::{Builder, encryption, object, private, shared};
use crate::arm::{ArmId, Kind};
use crate::dataplane::container;
use crate::names::{
    ROLE_BLOB_CONTRIBUTOR, ROLE_BLOB_READER, role_assignment_id, role_definition_id,
};
use crate::reference::output;

/// Containers that every cluster has, and the shared identity's role on each.
pub(crate) const SHARED_CONTAINERS: [(&str, &str); 9] = [
    (container::CONFIG, ROLE_BLOB_READER),
    (container::CERTIFICATES, ROLE_BLOB_READER),
    (container::ARTIFACTS, ROLE_BLOB_READER),
    (container::SECRETS_SHARED, ROLE_BLOB_READER),
    (container::SECRETS_CLIENT, ROLE_BLOB_CONTRIBUTOR),
    (container::REQUESTS, ROLE_BLOB_READER),
    (container::SNAPSHOTS, ROLE_BLOB_CONTRIBUTOR),
    (container::DECISIONS, ROLE_BLOB_CONTRIBUTOR),
    (container::RELEASES, ROLE_BLOB_CONTRIBUTOR),
];

/// The containers in which each server tells how it is: all servers read all of them.
pub(crate) const SHARED_STATUS: &str = "status-*";

/// What is overwritten or deleted can be brought back for so long. Not as versions: those of a status that is written every
/// five seconds would stay until somebody deletes them.
pub const KEPT_DAYS: u32 = 7;

pub(super) fn build(builder: &mut Builder<'_>) {
    let location = builder.spec.location.clone();
    // Three copies in three zones where the region has them: snapshots survive what servers may not.
    let sku = if builder.spec.zones.len() >= 3 { "Standard_ZRS" } else { "Standard_LRS" };
    let mut account = json!({
        "location": location,
        "kind": "StorageV2",
        "sku": { "name": sku },
        "properties": {
            "minimumTlsVersion": "TLS1_2",
            "supportsHttpsTrafficOnly": true,
            "allowBlobPublicAccess": false,
            "allowSharedKeyAccess": false,
        },
    });
    if let (Some(properties), Value::Object(access)) =
        (account["properties"].as_object_mut(), private::access(builder))
    {
        properties.extend(access);
    }
    encryption::add(builder, &mut account);
    let id = builder.names.storage_account();
    builder.add(
        object::STORAGE_ACCOUNT,
        Kind::StorageAccount,
        id,
        account,
        &[object::RESOURCE_GROUP],
    );
    shared::tag(builder, object::STORAGE_ACCOUNT);
    let kept = json!({ "enabled": true, "days": KEPT_DAYS });
    builder.add(
        object::BLOB_SERVICE,
        Kind::BlobService,
        builder.names.blob_service(),
        json!({ "properties": {
            "deleteRetentionPolicy": kept,
            "containerDeleteRetentionPolicy": kept,
        } }),
        &[object::STORAGE_ACCOUNT],
    );
    let id = builder.names.shared_identity();
    if builder.has_identities() {
        builder.add(
            object::SHARED_IDENTITY,
            Kind::Identity,
            id.clone(),
            json!({ "location": location }),
            &[object::RESOURCE_GROUP],
        );
    }
    for (name, role) in SHARED_CONTAINERS {
        add_container(builder, name, None);
        add_role(builder, object::SHARED_IDENTITY, &id, name, role, None);
    }
}

/// A private container.
pub(super) fn add_container(builder: &mut Builder<'_>, name: &str, slot: Option<u32>) {
    let id = builder.names.container(name);
    builder.add_for_slot(
        object::container(name),
        Kind::BlobContainer,
        id,
        json!({ "properties": { "publicAccess": "None" } }),
        &[object::STORAGE_ACCOUNT],
        slot,
    );
}

/// Logical names of the roles that every server's boot depends on.
pub(super) fn shared_roles() -> impl Iterator<Item = String> {
    SHARED_CONTAINERS.iter().map(|(name, _)| role_of_servers(name))
}

/// Logical name of the role of all servers on one of the containers that every cluster has.
pub(crate) fn role_of_servers(container_name: &str) -> String {
    role_name(object::SHARED_IDENTITY, container_name)
}

fn role_name(identity_object: &str, container_name: &str) -> String {
    format!("role_{identity_object}_on_{}", container_name.replace('-', "_"))
}

/// A role of one identity on one container, which is where Azure's rights on blobs end; returns its logical name. Nothing
/// where somebody else assigns the roles.
pub(super) fn add_role(
    builder: &mut Builder<'_>,
    identity_object: &str,
    identity: &ArmId,
    container_name: &str,
    role: &str,
    slot: Option<u32>,
) -> Option<String> {
    if !builder.has_identities() {
        return None;
    }
    let scope = builder.names.container(container_name);
    let id = role_assignment_id(&scope, identity.as_str(), role);
    let definition = role_definition_id(&builder.spec.subscription_id, role);
    let body = json!({ "properties": {
        "roleDefinitionId": definition,
        "principalId": output(identity_object, "/properties/principalId"),
        // Without it a fresh identity is refused until Entra has replicated it.
        "principalType": "ServicePrincipal",
    } });
    let container_object = object::container(container_name);
    let name = role_name(identity_object, container_name);
    let needs = [identity_object, &container_object];
    builder.add_for_slot(&name, Kind::RoleAssignment, id, body, &needs, slot);
    Some(name)
}
