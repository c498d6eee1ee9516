//! What the judge is shown of an estate.

use hcs_judge::Snapshot;
use hcs_simulator::estate::Estate;
use serde_json::Value;

/// Everything as it is now. Statuses of servers, run records and probes are left out: they tell of runs, not of the
/// cluster.
pub fn snapshot(estate: &Estate) -> Snapshot {
    let world = &estate.world;
    let objects = world.objects().iter().filter_map(|row| world.inspect(&row.id)).collect();
    let machines = world.running_machines();
    let addresses =
        machines.into_iter().map(|machine| (machine.scale_set, machine.private_ip)).collect();
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
