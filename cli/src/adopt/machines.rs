//! The machines of servers of before, as Resource Manager has them.

use std::net::IpAddr;

use hcs_engine::arm::Arm;
use hcs_engine::error::chain;
use hcs_planner::adoption::{Machine, MachinesBefore};
use hcs_planner::arm::ArmId;
use serde_json::Value;

/// Version of what is asked of machines and their sets.
const COMPUTE: &str = "2024-07-01";
const NETWORK: &str = "2024-05-01";
/// Interfaces of a scale set have versions of their own.
const SCALE_SET_INTERFACES: &str = "2018-10-01";
const AUTOSCALE: &str = "2022-10-01";

/// The machines of these scale sets, and these machines.
pub(super) async fn look(arm: &Arm, ids: &[ArmId]) -> Result<MachinesBefore, String> {
    let mut found = MachinesBefore::default();
    for id in ids {
        match kind_of(id) {
            Some(Named::ScaleSet) => scale_set(arm, id, &mut found).await?,
            Some(Named::Machine) => found.machines.push(machine(arm, id).await?),
            None => {
                return Err(format!(
                    "--from {id} is neither a scale set (…/Microsoft.Compute/virtualMachineScaleSets/<name>) nor a machine \
                     (…/Microsoft.Compute/virtualMachines/<name>)"
                ));
            }
        }
    }
    Ok(found)
}

enum Named {
    ScaleSet,
    Machine,
}

fn kind_of(id: &ArmId) -> Option<Named> {
    let text = id.as_str().to_lowercase();
    let (_, tail) = text.split_once("/providers/microsoft.compute/")?;
    match tail.split('/').collect::<Vec<_>>().as_slice() {
        ["virtualmachinescalesets", name] if !name.is_empty() => Some(Named::ScaleSet),
        ["virtualmachines", name] if !name.is_empty() => Some(Named::Machine),
        _ => None,
    }
}

async fn get(arm: &Arm, path: &str) -> Result<Value, String> {
    match arm.get_path(path).await {
        Ok(Some(body)) => Ok(body),
        Ok(None) => Err(format!("{} is not there", path.split('?').next().unwrap_or_default())),
        Err(error) => Err(chain(&error)),
    }
}

async fn scale_set(arm: &Arm, id: &ArmId, found: &mut MachinesBefore) -> Result<(), String> {
    let set = get(arm, &format!("{id}?api-version={COMPUTE}")).await?;
    let text = |pointer: &str| set.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if text("/properties/orchestrationMode").eq_ignore_ascii_case("Flexible") {
        return Err(format!(
            "{id} is a flexible scale set: name its machines with --from, each by its own id"
        ));
    }
    if set.pointer("/properties/automaticRepairsPolicy/enabled") == Some(&Value::Bool(true)) {
        found
            .revivers
            .push(format!("automatic repairs of {} make a stopped machine anew", id.name()));
    }
    if let Some(reviver) = autoscale(arm, id).await? {
        found.revivers.push(reviver);
    }
    let list = |path: String| async move { arm.list(&path).await.map_err(|error| chain(&error)) };
    let machines = list(format!("{id}/virtualMachines?api-version={COMPUTE}")).await?;
    let interfaces =
        list(format!("{id}/networkInterfaces?api-version={SCALE_SET_INTERFACES}")).await?;
    for machine in machines {
        let Some(number) = machine["instanceId"].as_str() else { continue };
        let own = ArmId::new(format!("{id}/virtualMachines/{number}"));
        let is_its = |interface: &&Value| {
            let of = interface.pointer("/properties/virtualMachine/id").and_then(Value::as_str);
            of.is_some_and(|of| ArmId::new(of).key() == own.key())
        };
        let of: Vec<&Value> = interfaces.iter().filter(is_its).collect();
        found.machines.push(of_bodies(own, &machine, &of));
    }
    Ok(())
}

/// What would start a stopped machine, or make another one: a rule that scales the set.
async fn autoscale(arm: &Arm, set: &ArmId) -> Result<Option<String>, String> {
    let Some(at) = set.as_str().to_lowercase().find("/providers/") else { return Ok(None) };
    let group = &set.as_str()[..at];
    let path =
        format!("{group}/providers/Microsoft.Insights/autoscaleSettings?api-version={AUTOSCALE}");
    let Some(list) = arm.get_path(&path).await.map_err(|error| chain(&error))? else {
        return Ok(None);
    };
    let is_its = |setting: &&Value| {
        let target = setting.pointer("/properties/targetResourceUri").and_then(Value::as_str);
        setting.pointer("/properties/enabled") != Some(&Value::Bool(false))
            && target.is_some_and(|target| ArmId::new(target).key() == set.key())
    };
    let rule = list["value"].as_array().into_iter().flatten().find(is_its);
    Ok(rule.map(|rule| {
        format!("autoscale setting {} counts the machines of {}", rule["name"], set.name())
    }))
}

async fn machine(arm: &Arm, id: &ArmId) -> Result<Machine, String> {
    let body = get(arm, &format!("{id}?api-version={COMPUTE}")).await?;
    let interfaces = body.pointer("/properties/networkProfile/networkInterfaces");
    let mut found = Vec::new();
    for interface in interfaces.and_then(Value::as_array).into_iter().flatten() {
        if let Some(interface) = interface["id"].as_str() {
            found.push(get(arm, &format!("{interface}?api-version={NETWORK}")).await?);
        }
    }
    Ok(of_bodies(id.clone(), &body, &found.iter().collect::<Vec<_>>()))
}

fn of_bodies(id: ArmId, machine: &Value, interfaces: &[&Value]) -> Machine {
    let configurations = || {
        interfaces
            .iter()
            .filter_map(|one| one.pointer("/properties/ipConfigurations").and_then(Value::as_array))
            .flatten()
    };
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    };
    let addresses = configurations().filter_map(|one| text(one, "/properties/privateIPAddress"));
    let addresses: Vec<IpAddr> = addresses.filter_map(|address| address.parse().ok()).collect();
    let subnet = configurations().find_map(|one| text(one, "/properties/subnet/id"));
    let vnet_id = subnet.and_then(|id| id.rfind("/subnets/").map(|at| ArmId::new(&id[..at])));
    let computer_name = text(machine, "/properties/osProfile/computerName").unwrap_or_default();
    Machine { id, computer_name, addresses, vnet_id }
}
