//! Instances of scale sets: they follow the capacity, hold an address, and have power.

use serde_json::{Value, json};

use super::scale_set::{SCALE_SET, nics as nic_configs};
use crate::providers::network::nic;
use crate::world::World;
use crate::world::crud::missing;
use crate::world::errors::Answer;
use crate::world::events::Event;
use crate::world::http::{Request, Response};
use crate::world::ids::{self, ArmPath};
use crate::world::kind::{COMPUTE_VERSIONS, Kind, PLAIN, PutManner};
use crate::world::operations::rfc3339;
use crate::world::resource::{Resource, State, list, text};

/// Instances.
pub(crate) const INSTANCE: Kind = Kind {
    rtype: "Microsoft.Compute/virtualMachineScaleSets/virtualMachines",
    versions: COMPUTE_VERSIONS,
    put: PutManner::Async { retry_after_ms: 10_000 },
    delete_async: true,
    delete_ms: 60_000,
    operation: "PutVirtualMachineScaleSetVMOperation",
    settled: |world, key| {
        let set = ids::parent_of(key).to_owned();
        settle(world, &set);
    },
    removed,
    ..PLAIN
};

fn removed(world: &mut World, instance: &Resource) {
    world.events.push(Event::VmStopped { id: instance.id.clone(), gone: true });
    let set_key = ids::key(ids::parent_of(&instance.id));
    let left = world.below(&set_key).filter(|r| r.rtype == INSTANCE.rtype).count();
    if let Some(set) = world.resources.get_mut(&set_key) {
        set.body["sku"]["capacity"] = json!(left);
    }
}

fn instances(world: &World, set_key: &str) -> Vec<Resource> {
    let mut rows: Vec<Resource> =
        world.below(set_key).filter(|r| r.rtype == INSTANCE.rtype).cloned().collect();
    rows.sort_by_key(|r| r.sequence);
    rows
}

/// After a PUT of a scale set: instances appear as Creating or turn to Deleting.
pub(crate) fn reconcile(world: &mut World, set_key: &str) {
    let Some(set) = world.resources.get(set_key).cloned() else { return };
    let capacity = set.body.pointer("/sku/capacity").and_then(Value::as_u64).unwrap_or(0);
    let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
    let rows = instances(world, set_key);
    for failed in rows.iter().filter(|r| r.state == State::Failed) {
        if let Some(instance) = world.resources.get_mut(&failed.key()) {
            instance.state = State::Creating;
        }
    }
    let manual = text(&set.body, "/properties/upgradePolicy/mode") != "Automatic";
    let model = model(&set);
    for row in &rows {
        if manual {
            let Some(instance) = world.resources.get_mut(&row.key()) else { continue };
            let same = instance.secret["model"].as_str() == Some(model.as_str());
            instance.body["properties"]["latestModelApplied"] = json!(same);
        } else {
            apply_model(world, &set, &row.key());
        }
    }
    for surplus in rows.iter().skip(capacity) {
        if let Some(instance) = world.resources.get_mut(&surplus.key()) {
            instance.state = State::Deleting;
        }
    }
    for _ in rows.len()..capacity {
        add(world, &set, &model);
    }
}

/// What an instance is made after: size and profile.
pub(crate) fn model(set: &Resource) -> String {
    let profile = set.body.pointer("/properties/virtualMachineProfile");
    format!("{} {}", text(&set.body, "/sku/name"), profile.unwrap_or(&Value::Null))
}

/// Gives an instance its set's model. A running one restarts where its size or an image changed; another image, or
/// another OS disk, is a fresh one.
pub(crate) fn apply_model(world: &mut World, set: &Resource, key: &str) {
    let model = model(set);
    let Some(instance) = world.resources.get_mut(key) else { return };
    let storage = "/properties/storageProfile";
    let fresh = {
        let of_set = |tail: &str| {
            set.body
                .pointer(&format!("/properties/virtualMachineProfile/storageProfile/{tail}"))
                .cloned()
        };
        let own = |tail: &str| instance.body.pointer(&format!("{storage}/{tail}")).cloned();
        ["imageReference", "osDisk"].iter().any(|tail| of_set(tail) != own(tail))
    };
    let resized = instance.body["sku"]["name"] != set.body["sku"]["name"];
    let running = instance.secret["power"] == "running";
    instance.body["sku"]["name"] = set.body["sku"]["name"].clone();
    instance.body["properties"]["latestModelApplied"] = json!(true);
    instance.body["properties"]["storageProfile"] =
        set.body["properties"]["virtualMachineProfile"]["storageProfile"].clone();
    instance.secret["model"] = json!(model);
    if fresh {
        instance.secret["customData"] = set.secret["customData"].clone();
    }
    let id = instance.id.clone();
    if running && (resized || fresh) {
        world.events.push(Event::VmStopped { id: id.clone(), gone: fresh });
        if let Some(machine) = world.machine(&ids::key(&id)) {
            world.events.push(Event::VmStarted { machine: Box::new(machine), fresh });
        }
    }
}

fn add(world: &mut World, set: &Resource, model: &str) {
    let set_key = set.key();
    let mut number = set.secret["nextInstance"].as_u64().unwrap_or(0);
    while world.resources.contains_key(&format!("{set_key}/virtualmachines/{number}")) {
        number += 1;
    }
    if let Some(stored) = world.resources.get_mut(&set_key) {
        number = number.max(stored.secret["nextInstance"].as_u64().unwrap_or(0));
        if !stored.secret.is_object() {
            stored.secret = json!({});
        }
        stored.secret["nextInstance"] = json!(number + 1);
    }
    let nic = nic_configs(&set.body).next().cloned().unwrap_or_default();
    let ip = list(&nic, "/properties/ipConfigurations").first().cloned().unwrap_or_default();
    let subnet = text(&ip, "/properties/subnet/id").to_owned();
    let address = world.free_address(&subnet, &[]).unwrap_or_default();
    let pool_ids: Vec<String> = list(&ip, "/properties/loadBalancerBackendAddressPools")
        .iter()
        .map(|p| text(p, "/id").to_owned())
        .collect();
    let zones = list(&set.body, "/zones");
    let zone = zones.get(usize::try_from(number).unwrap_or(0) % zones.len().max(1));
    let mut drawn = world.drawn_for(&format!("{set_key}/virtualmachines/{number}"));
    let vm_id = drawn.guid();
    let mac = format!("{:012X}", 0x000D_3A00_0000 | (drawn.next() & 0xFF_FFFF));
    let mac: Vec<&str> =
        mac.as_bytes().chunks(2).filter_map(|c| std::str::from_utf8(c).ok()).collect();
    let prefix = text(&set.body, "/properties/virtualMachineProfile/osProfile/computerNamePrefix");
    let profile = &set.body["properties"]["virtualMachineProfile"];
    let mut body = json!({
        "location": set.location(),
        "instanceId": number.to_string(),
        "sku": {"name": set.body["sku"]["name"], "tier": "Standard"},
        "properties": {
            "latestModelApplied": true,
            "modelDefinitionApplied": "VirtualMachineScaleSet",
            "vmId": vm_id,
            "hardwareProfile": {},
            "timeCreated": rfc3339(world.now_ms),
            "osProfile": {
                "computerName": format!("{prefix}{number:06}"),
                "adminUsername": profile["osProfile"]["adminUsername"],
                "linuxConfiguration": profile["osProfile"]["linuxConfiguration"],
                "secrets": [],
                "allowExtensionOperations": true,
            },
            "storageProfile": profile["storageProfile"],
            "networkProfileConfiguration": profile["networkProfile"],
        },
    });
    if let Some(tags) = set.body.get("tags") {
        body["tags"] = tags.clone();
    }
    if let Some(zone) = zone {
        body["zones"] = json!([zone]);
    }
    let secret = json!({
        "privateIp": address,
        "subnetId": subnet,
        "nicName": text(&nic, "/name"),
        "ipConfigurationName": text(&ip, "/name"),
        "pools": pool_ids.iter().map(|p| ids::key(p)).collect::<Vec<_>>(),
        "poolIds": pool_ids,
        "mac": mac.join("-"),
        "customData": set.secret["customData"],
        "model": model,
        "power": "starting",
    });
    let id = format!("{}/virtualMachines/{number}", set.id);
    let key = world.store(&INSTANCE, &id, body, Some(secret), State::Creating);
    if let Some(instance) = world.resources.get(&key).cloned()
        && let Some(stored) = world.resources.get_mut(&key)
    {
        stored.body["properties"]["networkProfile"] =
            json!({"networkInterfaces": [{"id": nic::nic_id(&instance)}]});
    }
}

/// At the end of an operation: new instances have power, surplus ones are gone.
pub(crate) fn settle(world: &mut World, set_key: &str) {
    for row in instances(world, set_key) {
        match row.state {
            State::Deleting if row.busy.is_none() => world.remove_tree(&row.key()),
            State::Creating => {
                if let Some(instance) = world.resources.get_mut(&row.key()) {
                    instance.state = State::Succeeded;
                    instance.secret["power"] = json!("running");
                }
                if let Some(machine) = world.machine(&row.id) {
                    world.events.push(Event::VmStarted { machine: Box::new(machine), fresh: true });
                }
            }
            _ => {}
        }
    }
}

/// After a failed operation of a scale set: what did not come up says so.
pub(crate) fn fail(world: &mut World, set_key: &str) {
    for row in instances(world, set_key) {
        if row.state == State::Creating
            && let Some(instance) = world.resources.get_mut(&row.key())
        {
            instance.state = State::Failed;
        }
    }
}

fn statuses(instance: &Resource) -> Value {
    let power = instance.secret["power"].as_str().unwrap_or("starting");
    let display = format!("VM {power}");
    json!([
        {
            "code": format!("ProvisioningState/{}", instance.state.as_str().to_ascii_lowercase()),
            "level": "Info",
            "displayStatus": "Provisioning state",
        },
        {"code": format!("PowerState/{power}"), "level": "Info", "displayStatus": display},
    ])
}

/// GET of an instance, with `$expand=instanceView`.
pub(crate) fn get_expanded(
    world: &World,
    req: &Request,
    path: &ArmPath,
    kind: &'static Kind,
) -> Answer {
    let mut response = world.get(path, kind)?;
    if kind.rtype == INSTANCE.rtype {
        let id = world.id_for(kind, path)?;
        let expand = req.query("$expand").is_some_and(|e| e.eq_ignore_ascii_case("instanceView"));
        if let Some(instance) = world.visible(&id) {
            let set = instance.id.rsplitn(3, '/').nth(2).map(ids::name_of).unwrap_or_default();
            response.body["name"] = json!(format!("{set}_{}", instance.name()));
            if expand {
                response.body["properties"]["instanceView"] =
                    json!({"statuses": statuses(instance), "platformFaultDomain": 0});
            }
        }
    }
    Ok(response)
}

fn set_of(world: &World, path: &ArmPath) -> Answer<Resource> {
    let mut parent = path.clone();
    parent.types.truncate(1);
    parent.names.truncate(1);
    let id = world.id_for(&SCALE_SET, &parent)?;
    world.visible(&id).cloned().ok_or_else(|| missing(&SCALE_SET, &parent))
}

/// `GET …/virtualMachineScaleSets/{n}/instanceView`.
pub(crate) fn set_view(world: &World, path: &ArmPath) -> Answer {
    let set = set_of(world, path)?;
    let count = instances(world, &set.key()).len();
    let state = set.state.as_str().to_ascii_lowercase();
    let body = json!({
        "virtualMachine": {"statusesSummary": [
            {"code": format!("ProvisioningState/{state}"), "count": count},
        ]},
        "statuses": [{
            "code": format!("ProvisioningState/{state}"), "level": "Info",
            "displayStatus": "Provisioning state",
        }],
    });
    Ok(Response::json(200, body))
}

/// `GET …/virtualMachines/{i}/instanceView`.
pub(crate) fn view(world: &World, path: &ArmPath) -> Answer {
    let set = set_of(world, path)?;
    let key =
        format!("{}/virtualmachines/{}", set.key(), path.names.get(1).cloned().unwrap_or_default());
    let instance = world.visible(&key).ok_or_else(|| missing(&INSTANCE, path))?;
    let body = json!({"statuses": statuses(instance), "platformFaultDomain": 0});
    Ok(Response::json(200, body))
}

/// Interfaces of a scale set or of one instance.
pub(crate) fn nics(world: &World, req: &Request, path: &ArmPath) -> Answer {
    let set = set_of(world, path)?;
    let wanted = path.names.get(1);
    let rows = instances(world, &set.key())
        .iter()
        .filter(|i| wanted.is_none_or(|w| i.name() == w))
        .map(|i| nic::render(world, i))
        .collect();
    Ok(world.page(req, rows))
}
