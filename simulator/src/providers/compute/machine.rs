//! Virtual machines that stand alone: enough of them for a client that finds some, stops them and starts them again.

use serde_json::{Value, json};

use super::{images, skus};
use crate::world::World;
use crate::world::crud::missing;
use crate::world::errors::{Answer, ArmError, with_retry_after};
use crate::world::events::Event;
use crate::world::http::{Request, Response};
use crate::world::ids::{self, ArmPath};
use crate::world::kind::{COMPUTE_VERSIONS, Kind, PLAIN, Prepared, Put, PutManner, own_parts};
use crate::world::operations::{Action, rfc3339};
use crate::world::resource::{Resource, list, text};

/// Virtual machines.
pub(crate) const MACHINE: Kind = Kind {
    rtype: "Microsoft.Compute/virtualMachines",
    versions: COMPUTE_VERSIONS,
    put: PutManner::Async { retry_after_ms: 10_000 },
    delete_async: true,
    create_ms: 60_000,
    update_ms: 20_000,
    delete_ms: 60_000,
    tracked: true,
    operation: "PutVirtualMachineOperation",
    prepare,
    settled: |world, key| {
        let Some(machine) = world.resources.get_mut(key) else { return };
        if machine.secret["power"] != "starting" {
            return;
        }
        machine.secret["power"] = json!("running");
        if let Some(machine) = world.machine(key) {
            world.events.push(Event::VmStarted { machine: Box::new(machine), fresh: true });
        }
    },
    removed: |world, machine| {
        world.events.push(Event::VmStopped { id: machine.id.clone(), gone: true });
    },
    ..PLAIN
};

/// Azure's time for a power action.
const POWER_MS: u64 = 20_000;

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let size = text(put.body, "/properties/hardwareProfile/vmSize");
    if skus::find(size).is_none() {
        return Err(ArmError::invalid(
            "InvalidParameter",
            format!("The value {size} provided for the VM size is not valid."),
        ));
    }
    let image =
        |name: &str| text(put.body, &format!("/properties/storageProfile/imageReference/{name}"));
    images::check(world, image("publisher"), image("offer"), image("sku"), image("version"))?;
    let interfaces = list(put.body, "/properties/networkProfile/networkInterfaces");
    let [interface, ..] = interfaces else {
        return Err(ArmError::missing_property("networkProfile.networkInterfaces"));
    };
    let interface = world.referenced(text(interface, "/id"), put.id)?;
    let address =
        text(&interface.body, "/properties/ipConfigurations/0/properties/privateIPAddress");
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    let made_ms = put.old.map_or(world.now_ms, |old| old.created_ms);
    body["properties"]["timeCreated"] = json!(rfc3339(made_ms));
    body["properties"]["vmId"] = json!(world.drawn_for(&ids::key(put.id)).guid());
    let mut secret = put.old.map_or(json!({ "power": "starting" }), |old| old.secret.clone());
    secret["privateIp"] = json!(address);
    if let Some(os) = body["properties"]["osProfile"].as_object_mut() {
        for name in ["customData", "adminPassword"] {
            if let Some(value) = os.remove(name) {
                secret[name] = value;
            }
        }
    }
    Ok(Prepared { body, secret, ..Prepared::default() })
}

fn found(world: &World, path: &ArmPath) -> Answer<Resource> {
    let own = ArmPath {
        types: path.types[..1].to_vec(),
        names: path.names[..1].to_vec(),
        ..path.clone()
    };
    let id = world.id_for(&MACHINE, &own)?;
    world.visible(&id).cloned().ok_or_else(|| missing(&MACHINE, &own))
}

/// `GET …/virtualMachines/{n}/instanceView`.
pub(crate) fn view(world: &World, path: &ArmPath) -> Answer {
    let machine = found(world, path)?;
    let power = machine.secret["power"].as_str().unwrap_or("starting");
    let state = machine.state.as_str().to_ascii_lowercase();
    let status = |code: String, shown: Value| json!({ "code": code, "level": "Info", "displayStatus": shown });
    let body = json!({ "statuses": [
        status(format!("ProvisioningState/{state}"), json!("Provisioning state")),
        status(format!("PowerState/{power}"), json!(format!("VM {power}"))),
    ] });
    Ok(Response::json(200, body))
}

/// `POST …/virtualMachines/{n}/{action}`: power. Its effect is immediate, its operation ends later.
pub(crate) fn run(world: &mut World, req: &Request, path: &ArmPath) -> Answer {
    let action = path.types.last().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    let power = match action.as_str() {
        "poweroff" => "stopped",
        "deallocate" => "deallocated",
        "start" | "restart" => "running",
        _ => return Err(ArmError::method_not_allowed("POST")),
    };
    let machine = found(world, path)?;
    world.require(&req.principal, &format!("{}/{action}/action", MACHINE.rtype), &machine.id)?;
    world.check_locks(&machine.id, false)?;
    let (key, was_running) = (machine.key(), machine.secret["power"] == "running");
    if let Some(stored) = world.resources.get_mut(&key) {
        stored.secret["power"] = json!(power);
    }
    if was_running && (power != "running" || action == "restart") {
        world.events.push(Event::VmStopped { id: machine.id.clone(), gone: false });
    }
    if power == "running"
        && (!was_running || action == "restart")
        && let Some(machine) = world.machine(&key)
    {
        world.events.push(Event::VmStarted { machine: Box::new(machine), fresh: false });
    }
    let location = machine.location().to_owned();
    let operation =
        world.start_operation(&MACHINE, &key, vec![key.clone()], Action::Put, &location, POWER_MS);
    let urls = world.operation_urls(&operation);
    let response = Response::empty(202)
        .with("azure-asyncoperation", urls.status)
        .with("location", urls.result);
    Ok(with_retry_after(response, world.scaled(10_000)))
}
