//! What the judge is shown of an estate.

use hcs_judge::Snapshot;
use hcs_simulator::estate::Estate;
use serde_json::Value;

/// Everything as it is now. Statuses of servers, run records and probes are left out: they tell of runs, not of the
/// cluster.
pub fn snapshot(estate: &Estate) -> Snapshot {
    let world = &estate.world;
    let objects: Vec<Value> =
        world.objects().iter().filter_map(|row| world.inspect(&row.id)).collect();
    let machines = world.running_machines();
    // Who came first has the first address, and who did may be one or the other.
    let own = machines.into_iter().map(|machine| (machine.scale_set, machine.private_ip));
    let addresses = own.chain(objects.iter().filter_map(address_of)).collect();
    let mut snapshot = Snapshot { objects, addresses, ..Snapshot::default() };
    for (_, container, name, blob) in estate.blobs.all() {
        let told = ["run.json", "access-probe"].contains(&name) || container.starts_with("status-");
        if told {
            continue;
        }
        if container == "config" {
            let body = serde_json::from_slice(&blob.bytes).unwrap_or(Value::Null);
            snapshot.documents.insert(name.to_owned(), body);
        } else {
            snapshot.blobs.insert(format!("{container}/{name}"));
        }
    }
    snapshot
}

/// The address of a balancer or of a private endpoint's interface.
fn address_of(body: &Value) -> Option<(String, String)> {
    let addresses = [
        "/properties/frontendIPConfigurations/0/properties/privateIPAddress",
        "/properties/ipConfigurations/0/properties/privateIPAddress",
    ];
    let address = addresses.iter().find_map(|pointer| body.pointer(pointer)?.as_str())?;
    Some((body.get("id")?.as_str()?.to_owned(), address.to_owned()))
}
