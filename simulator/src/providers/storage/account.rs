//! Storage accounts and their blob service.

use serde_json::{Value, json};

use super::{RESERVED, VERSIONS, firewall, retention};
use crate::providers::key_vault;
use crate::world::errors::{Answer, ArmError};
use crate::world::events::Event;
use crate::world::http::{Request, Response};
use crate::world::ids;
use crate::world::kind::{Kind, PLAIN, Prepared, Put, PutManner, own_parts};
use crate::world::operations::rfc3339;
use crate::world::resource::{State, default, text};
use crate::world::{World, names, regions};

/// Storage accounts.
pub(crate) const ACCOUNT: Kind = Kind {
    rtype: "Microsoft.Storage/storageAccounts",
    versions: VERSIONS,
    put: PutManner::Location { retry_after_ms: 17_000 },
    create_ms: 20_000,
    tracked: true,
    operation: "PutStorageAccountOperation",
    name: names::storage,
    prepare,
    settled: |world, key| {
        let Some(id) = world.resources.get(key).map(|a| a.id.clone()) else { return };
        let id = format!("{id}/blobServices/default");
        if world.visible(&id).is_none() {
            let body = json!({"properties": blob_service_defaults()});
            world.store(&BLOB_SERVICE, &id, body, None, State::Succeeded);
        }
    },
    render: |world, account, body| {
        let blob = match &world.settings.storage_suffix {
            None => format!("{}/{}/", world.settings.endpoint, account.name()),
            Some(suffix) => format!("https://{}.blob.{suffix}/", account.name()),
        };
        body["properties"]["primaryEndpoints"] = json!({"blob": blob});
        let connections = world.endpoints_of(&account.id).map(|endpoint| {
            let name = format!("{}.{}", account.name(), endpoint.name());
            json!({
                "id": format!("{}/privateEndpointConnections/{name}", account.id),
                "name": name,
                "type": "Microsoft.Storage/storageAccounts/privateEndpointConnections",
                "properties": {
                    "provisioningState": "Succeeded",
                    "privateEndpoint": {"id": endpoint.id},
                    "privateLinkServiceConnectionState": {"status": "Approved", "description": "Auto-Approved", "actionRequired": "None"},
                },
            })
        });
        body["properties"]["privateEndpointConnections"] = connections.collect();
    },
    deletable: retention::account_deletable,
    removed: |world, account| {
        let account = account.name().to_owned();
        world.events.push(Event::AccountDeleted { account });
    },
    ..PLAIN
};

/// `blobServices/default`.
pub(crate) const BLOB_SERVICE: Kind = Kind {
    rtype: "Microsoft.Storage/storageAccounts/blobServices",
    versions: VERSIONS,
    operation: "PutBlobServiceOperation",
    prepare: |_, put| {
        let mut body = own_parts(put.body);
        for (name, value) in blob_service_defaults().as_object().into_iter().flatten() {
            default(&mut body["properties"], name, value.clone());
        }
        Ok(Prepared { body, ..Prepared::default() })
    },
    deletable: |_, _| Err(ArmError::method_not_allowed("DELETE")),
    ..PLAIN
};

/// The services that a cluster has no use for. Every account has each of them, whether somebody wrote it or not.
const OTHER_SERVICE: Kind = Kind {
    versions: VERSIONS,
    operation: "PutServiceOperation",
    prepare: |_, put| {
        let mut body = own_parts(put.body);
        fill(&mut body, ids::type_segment(put.id));
        Ok(Prepared { body, ..Prepared::default() })
    },
    deletable: |_, _| Err(ArmError::method_not_allowed("DELETE")),
    ..PLAIN
};
/// `fileServices/default`.
pub(crate) const FILE_SERVICE: Kind =
    Kind { rtype: "Microsoft.Storage/storageAccounts/fileServices", ..OTHER_SERVICE };
/// `queueServices/default`.
pub(crate) const QUEUE_SERVICE: Kind =
    Kind { rtype: "Microsoft.Storage/storageAccounts/queueServices", ..OTHER_SERVICE };
/// `tableServices/default`.
pub(crate) const TABLE_SERVICE: Kind =
    Kind { rtype: "Microsoft.Storage/storageAccounts/tableServices", ..OTHER_SERVICE };

/// What a service says of itself where nobody said otherwise.
fn fill(body: &mut Value, service: &str) {
    default(&mut body["properties"], "cors", json!({"corsRules": []}));
    if service.eq_ignore_ascii_case("fileServices") {
        let kept = json!({"enabled": true, "days": 7});
        default(&mut body["properties"], "shareDeleteRetentionPolicy", kept);
        default(&mut body["properties"], "protocolSettings", json!({"smb": {}}));
    }
}

/// A service of an account that nobody has written yet; `None` for what is none, and for one that is there.
pub(crate) fn default_service(world: &World, req: &Request, kind: &Kind) -> Option<Response> {
    if kind.operation != OTHER_SERVICE.operation || world.visible(&req.path).is_some() {
        return None;
    }
    let (account, service) = req.path.rsplit_once('/').and_then(|(id, _)| id.rsplit_once('/'))?;
    let account = world.visible(account)?;
    let mut body = json!({
        "id": format!("{}/{service}/default", account.id),
        "name": "default",
        "type": kind.rtype,
        "properties": {},
    });
    fill(&mut body, service);
    Some(Response::json(200, body))
}

fn blob_service_defaults() -> Value {
    json!({
        "cors": {"corsRules": []},
        "deleteRetentionPolicy": {"allowPermanentDelete": false, "enabled": false},
    })
}

const SKUS: &[&str] = &[
    "Standard_LRS",
    "Standard_ZRS",
    "Standard_GRS",
    "Standard_RAGRS",
    "Standard_GZRS",
    "Standard_RAGZRS",
    "Premium_LRS",
    "Premium_ZRS",
];

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let name = ids::name_of(put.id);
    let sku = text(put.body, "/sku/name");
    if sku.is_empty() {
        return Err(ArmError::missing_property("sku.name"));
    }
    if !SKUS.contains(&sku) {
        let text = format!("The value '{sku}' of 'sku.name' is invalid.");
        return Err(ArmError::invalid("InvalidRequestPropertyValue", text));
    }
    let kind = text(put.body, "/kind");
    if !["StorageV2", "BlockBlobStorage", "BlobStorage", "Storage", "FileStorage"].contains(&kind) {
        return Err(ArmError::missing_property("kind"));
    }
    if sku.contains("ZRS") && regions::find(put.location).is_some_and(|r| r.zones == 0) {
        return Err(ArmError::invalid(
            "InvalidAccountType",
            format!("The AccountType {sku} is not available in location {}.", put.location),
        ));
    }
    if put.old.is_none() {
        if world.account_name_taken(name) {
            return Err(ArmError::new(
                409,
                "StorageAccountInAnotherResourceGroup",
                format!(
                    "The account {name} is already in another resource group in this subscription."
                ),
            ));
        }
        if RESERVED.contains(&name) {
            return Err(ArmError::new(
                409,
                "StorageAccountAlreadyTaken",
                format!("The storage account named {name} is already taken."),
            ));
        }
    } else if put.old.is_some_and(|old| old.text("/kind") != kind) {
        return Err(ArmError::new(
            409,
            "InvalidStorageAccountKind",
            "The kind of a storage account cannot be changed by this request.",
        ));
    }
    firewall::check(world, put.body)?;
    key_vault::check_account(world, put)?;
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    body["sku"]["tier"] = json!(if sku.starts_with("Premium") { "Premium" } else { "Standard" });
    let created = put.old.map_or(world.now_ms, |o| o.created_ms);
    let properties = &mut body["properties"];
    for (name, value) in [
        ("accessTier", json!("Hot")),
        ("allowBlobPublicAccess", json!(false)),
        ("allowCrossTenantReplication", json!(false)),
        ("allowSharedKeyAccess", json!(true)),
        ("minimumTlsVersion", json!("TLS1_0")),
        ("supportsHttpsTrafficOnly", json!(true)),
        ("publicNetworkAccess", json!("Enabled")),
        ("keyCreationTime", json!({"key1": rfc3339(created), "key2": rfc3339(created)})),
        (
            "networkAcls",
            json!({
                "bypass": "AzureServices", "defaultAction": "Allow", "ipRules": [],
                "virtualNetworkRules": [],
            }),
        ),
        (
            "encryption",
            json!({
                "keySource": "Microsoft.Storage",
                "services": {
                    "blob": {"enabled": true, "keyType": "Account"},
                    "file": {"enabled": true, "keyType": "Account"},
                },
            }),
        ),
    ] {
        default(properties, name, value);
    }
    for (name, value) in [
        ("bypass", json!("AzureServices")),
        ("ipRules", json!([])),
        ("virtualNetworkRules", json!([])),
    ] {
        default(&mut properties["networkAcls"], name, value);
    }
    key_vault::fill_account(world, &mut body);
    let properties = &mut body["properties"];
    properties["creationTime"] = json!(rfc3339(created));
    properties["primaryLocation"] = json!(put.location);
    properties["statusOfPrimary"] = json!("available");
    Ok(Prepared { body, ..Prepared::default() })
}

impl World {
    /// Account names are global.
    pub(crate) fn account_name_taken(&self, name: &str) -> bool {
        self.resources
            .values()
            .any(|r| r.rtype == ACCOUNT.rtype && r.name().eq_ignore_ascii_case(name))
    }
}
