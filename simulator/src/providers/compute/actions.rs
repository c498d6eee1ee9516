//! POST actions on scale sets and instances: power, reimage, upgrade, delete.

use serde_json::json;

use super::instances::{INSTANCE, apply_model, model};
use super::scale_set::SCALE_SET;
use crate::world::World;
use crate::world::crud::missing;
use crate::world::errors::{Answer, ArmError, with_retry_after};
use crate::world::events::Event;
use crate::world::http::{Request, Response};
use crate::world::ids::{self, ArmPath};
use crate::world::operations::Action;
use crate::world::resource::{Resource, State, list};

/// Azure's time for a power action.
const POWER_MS: u64 = 20_000;

/// Runs an action. Its effect on power is immediate, its operation ends later.
pub(crate) fn run(world: &mut World, req: &Request, path: &ArmPath) -> Answer {
    let action = path.types.last().map(|w| w.to_ascii_lowercase()).unwrap_or_default();
    let known = [
        "start",
        "restart",
        "poweroff",
        "deallocate",
        "reimage",
        "reimageall",
        "manualupgrade",
        "delete",
        "redeploy",
    ];
    if !known.contains(&action.as_str()) {
        return Err(ArmError::method_not_allowed("POST"));
    }
    let single = path.names.len() == 2;
    let kind = if single { &INSTANCE } else { &SCALE_SET };
    let mut target = path.clone();
    target.types.truncate(path.names.len());
    let id = world.id_for(kind, &target)?;
    let verb = format!("{}/{action}/action", kind.rtype);
    world.require(&req.principal, &verb, &id)?;
    let set_path = ArmPath {
        types: path.types[..1].to_vec(),
        names: path.names[..1].to_vec(),
        ..path.clone()
    };
    let set_id = world.id_for(&SCALE_SET, &set_path)?;
    let Some(set) = world.visible(&set_id).cloned() else {
        return Err(missing(&SCALE_SET, &set_path));
    };
    world.check_locks(&id, action == "delete")?;
    let wanted: Vec<String> = if single {
        vec![path.names[1].clone()]
    } else {
        list(&req.body, "/instanceIds")
            .iter()
            .filter_map(|i| i.as_str().map(str::to_owned))
            .collect()
    };
    let set_key = set.key();
    let chosen: Vec<Resource> = world
        .below(&set_key)
        .filter(|r| r.rtype == INSTANCE.rtype)
        .filter(|r| wanted.is_empty() || wanted.iter().any(|w| w == r.name() || w == "*"))
        .cloned()
        .collect();
    if !wanted.is_empty() && chosen.is_empty() {
        return Err(ArmError::invalid(
            "InvalidParameter",
            format!(
                "The provided instanceId {} is not an active VMSS instance id.",
                wanted.join(",")
            ),
        ));
    }
    let moves = |instance: &Resource| {
        instance.secret["power"] == "running"
            && instance.body["sku"]["name"] != set.body["sku"]["name"]
    };
    if action == "manualupgrade"
        && chosen.iter().any(moves)
        && world
            .take_named_fault("hardware", SCALE_SET.rtype.rsplit('/').next().unwrap_or_default())
    {
        return Err(ArmError::new(
            409,
            "OperationNotAllowed",
            format!(
                "Unable to resize the VM '{}' because the requested size {} is not available in the current hardware \
                 cluster.",
                set.name(),
                set.body["sku"]["name"].as_str().unwrap_or_default()
            ),
        ));
    }
    let mut keys = vec![set_key.clone()];
    for instance in &chosen {
        keys.push(instance.key());
        if action == "manualupgrade" {
            apply_model(world, &set, &instance.key());
        } else {
            apply(world, &action, &set, instance);
        }
    }
    let location = set.location().to_owned();
    let operation =
        world.start_operation(&SCALE_SET, &set_key, keys, Action::Put, &location, POWER_MS);
    let urls = world.operation_urls(&operation);
    let response = Response::empty(202)
        .with("azure-asyncoperation", urls.status)
        .with("location", urls.result);
    Ok(with_retry_after(response, world.scaled(10_000)))
}

fn apply(world: &mut World, action: &str, set: &Resource, instance: &Resource) {
    let key = instance.key();
    let id = instance.id.clone();
    let running = instance.secret["power"] == "running";
    let power = match action {
        "poweroff" => "stopped",
        "deallocate" => "deallocated",
        _ => "running",
    };
    let fresh = action.starts_with("reimage");
    let model = model(set);
    let Some(stored) = world.resources.get_mut(&key) else { return };
    if action == "delete" {
        stored.state = State::Deleting;
        return;
    }
    stored.secret["power"] = json!(power);
    if fresh {
        stored.secret["customData"] = set.secret["customData"].clone();
        stored.secret["model"] = json!(model);
        stored.body["properties"]["latestModelApplied"] = json!(true);
    }
    let stops = power != "running" || action == "restart" || action == "redeploy" || fresh;
    if running && stops {
        world.events.push(Event::VmStopped { id: id.clone(), gone: fresh });
    }
    if power == "running"
        && (!running || stops)
        && let Some(machine) = world.machine(&ids::key(&id))
    {
        world.events.push(Event::VmStarted { machine: Box::new(machine), fresh });
    }
}
