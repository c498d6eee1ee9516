//! Disks of scale sets: kinds, whose key encrypts them, and whether the host does, too. Sources: Microsoft's pages on types
//! of managed disks and on encryption at host, and answers that users of it cite.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::http::{Method, Request, Response};
use crate::world::ids::{self, ArmPath};
use crate::world::kind::{Kind, PLAIN, Prepared, Put, PutManner, own_parts};
use crate::world::resource::{list, text};
use crate::world::{names, regions};

/// Disk encryption sets. Users make them; a cluster names one.
pub(crate) const DISK_ENCRYPTION_SET: Kind = Kind {
    rtype: "Microsoft.Compute/diskEncryptionSets",
    versions: &["2022-07-02", "2024-03-02"],
    put: PutManner::Async { retry_after_ms: 2_000 },
    delete_async: true,
    create_ms: 2_000,
    update_ms: 2_000,
    delete_ms: 2_000,
    tracked: true,
    operation: "PutDiskEncryptionSetOperation",
    name: names::scale_set,
    prepare,
    ..PLAIN
};

/// Versions of Microsoft.Features.
pub(super) const FEATURE_VERSIONS: &[&str] = &["2021-07-01", "2015-12-01"];
/// Azure's time to register a feature ("up to 15 minutes").
const REGISTER_MS: u64 = 600_000;
const AT_HOST: &str = "EncryptionAtHost";

const PROFILE: &str = "/properties/virtualMachineProfile";

fn prepare(_: &World, put: &Put<'_>) -> Answer<Prepared> {
    if text(put.body, "/properties/activeKey/keyUrl").is_empty() {
        return Err(ArmError::missing_property("diskEncryptionSet.activeKey.keyUrl"));
    }
    if text(put.body, "/identity/type").is_empty() {
        return Err(ArmError::missing_property("diskEncryptionSet.identity"));
    }
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    let properties = &mut body["properties"];
    if properties["encryptionType"].is_null() {
        properties["encryptionType"] = json!("EncryptionAtRestWithCustomerKey");
    }
    Ok(Prepared { body, ..Prepared::default() })
}

/// What Azure says of the disks of a scale set.
pub(super) fn check(world: &World, put: &Put<'_>) -> Answer<()> {
    let at_host = format!("{PROFILE}/securityProfile/encryptionAtHost");
    if put.body.pointer(&at_host).is_some_and(|word| !word.is_null())
        && state(world, put.id, AT_HOST) != "Registered"
    {
        return Err(ArmError::invalid(
            "InvalidParameter",
            format!(
                "The property 'securityProfile.encryptionAtHost' is not valid because the 'Microsoft.Compute/{AT_HOST}' \
                 feature is not enabled for this subscription."
            ),
        ));
    }
    let os = put.body.pointer(&format!("{PROFILE}/storageProfile/osDisk"));
    if os.is_some_and(|disk| kind_of(disk) == "PremiumV2_LRS") {
        return Err(ArmError::invalid(
            "InvalidParameter",
            "The value 'PremiumV2_LRS' of parameter 'osDisk.managedDisk.storageAccountType' is not allowed for an OS disk.",
        ));
    }
    let data = list(put.body, &format!("{PROFILE}/storageProfile/dataDisks"));
    let has_zones = regions::find(put.location).is_some_and(|region| region.zones > 0);
    for disk in data.iter().filter(|disk| kind_of(disk) == "PremiumV2_LRS") {
        let caching = text(disk, "/caching");
        if !caching.is_empty() && caching != "None" {
            return Err(ArmError::invalid(
                "InvalidParameter",
                "Disks of the type 'PremiumV2_LRS' take no caching but 'None'.",
            ));
        }
        if has_zones && list(put.body, "/zones").is_empty() {
            return Err(ArmError::invalid(
                "InvalidParameter",
                "Managed disks with 'PremiumV2_LRS' storage account type can be used only with Virtual Machines in an \
                 Availability Zone.",
            ));
        }
    }
    for disk in os.into_iter().chain(data) {
        check_set(world, put, text(disk, "/managedDisk/diskEncryptionSet/id"))?;
    }
    Ok(())
}

/// The set must be there, beside the machines, and one that the caller may see.
fn check_set(world: &World, put: &Put<'_>, id: &str) -> Answer<()> {
    if id.is_empty() {
        return Ok(());
    }
    let set = world.referenced(id, put.id)?;
    let subscription = |id: &str| ArmPath::parse(id).subscription.to_ascii_lowercase();
    if set.rtype != DISK_ENCRYPTION_SET.rtype
        || set.text("/location") != put.location
        || subscription(id) != subscription(put.id)
    {
        return Err(ArmError::invalid(
            "InvalidParameter",
            format!(
                "The disk encryption set '{id}' must be in the subscription and the location '{}' of '{}'.",
                put.location,
                ids::name_of(put.id)
            ),
        ));
    }
    world.require_linked(put.principal, "Microsoft.Compute/diskEncryptionSets/read", id, put.id)
}

fn kind_of(disk: &Value) -> &str {
    text(disk, "/managedDisk/storageAccountType")
}

fn key(subscription: &str, feature: &str) -> String {
    format!("{subscription}/Microsoft.Compute/{feature}").to_ascii_lowercase()
}

/// State of a feature of the subscription in which an object is.
fn state(world: &World, id: &str, feature: &str) -> &'static str {
    match world.features.get(&key(&ArmPath::parse(id).subscription, feature)) {
        None => "NotRegistered",
        Some(at) if *at > world.now_ms => "Registering",
        Some(_) => "Registered",
    }
}

/// `…/Microsoft.Features/providers/Microsoft.Compute/features/{name}`, and `…/register`.
pub(super) fn feature(world: &mut World, req: &Request, path: &ArmPath) -> Answer {
    let name = path.names.first().map(String::as_str).unwrap_or_default();
    if !name.eq_ignore_ascii_case(AT_HOST) {
        let message = format!("The feature '{name}' could not be found.");
        return Err(ArmError::new(404, "FeatureNotFound", message));
    }
    let subscription = format!("/subscriptions/{}", path.subscription);
    if req.method == Method::Post {
        let action = "Microsoft.Features/providers/features/register/action";
        world.require(&req.principal, action, &subscription)?;
        let at = world.now_ms + world.scaled(REGISTER_MS);
        world.features.entry(key(&path.subscription, AT_HOST)).or_insert(at);
    } else {
        let action = "Microsoft.Features/providers/features/read";
        world.require(&req.principal, action, &subscription)?;
    }
    Ok(Response::json(
        200,
        json!({
            "id": format!("{subscription}/providers/Microsoft.Features/providers/Microsoft.Compute/features/{AT_HOST}"),
            "name": format!("Microsoft.Compute/{AT_HOST}"),
            "type": "Microsoft.Features/providers/features",
            "properties": { "state": state(world, &subscription, AT_HOST) },
        }),
    ))
}
