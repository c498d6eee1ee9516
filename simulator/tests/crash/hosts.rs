//! The servers, as far as the engine sees them: they join some time after their VM boots, leave when asked, and say so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hcs_engine::clock::Clock as _;
use hcs_planner::dataplane::{
    ClusterDocument, ConsulStatus, Request, ServerPhase, ServerStatus, blob, container,
};
use hcs_simulator::{SimClock, SimCloud};

/// While a blob of this name is in `config`, no server can start what it was given.
pub(crate) const HOPELESS: &str = "hopeless";
/// From power to Raft.
const JOIN_SECONDS: u64 = 20;
/// Between two looks.
const ROUND_SECONDS: u64 = 5;

/// Scale sets whose machine runs and whose server is dead.
pub(crate) type Dead = Arc<Mutex<BTreeSet<String>>>;

/// Runs for ever; dropped with the world.
pub(crate) async fn run(cloud: SimCloud, clock: SimClock, account: String, dead: Dead) {
    let mut up_seconds: BTreeMap<String, u64> = BTreeMap::new();
    let mut members: BTreeSet<String> = BTreeSet::new();
    let mut gone: BTreeMap<String, String> = BTreeMap::new();
    for sequence in 1.. {
        tokio::time::sleep(Duration::from_secs(ROUND_SECONDS)).await;
        let machines = cloud.with_world(|world| world.running_machines());
        let mut running: BTreeMap<String, String> =
            machines.into_iter().map(|m| (m.scale_set, m.id)).collect();
        if let Ok(mut dead) = dead.lock() {
            // Another machine, another server.
            dead.retain(|name| running.contains_key(name));
            running.retain(|name, _| !dead.contains(name));
        }
        up_seconds.retain(|name, _| running.contains_key(name));
        gone.retain(|name, _| running.contains_key(name));
        // What autopilot does with a server that is gone.
        members.retain(|name| running.contains_key(name));
        for name in running.keys() {
            let up = up_seconds.entry(name.clone()).or_default();
            *up += ROUND_SECONDS;
            let request = blob::leave_request(slot_of(name));
            let request: Option<Request> = read(&cloud, &account, container::REQUESTS, &request);
            if let Some(request) = request {
                members.remove(name);
                gone.insert(name.clone(), request.id);
            } else if *up >= JOIN_SECONDS && !gone.contains_key(name) {
                members.insert(name.clone());
            }
        }
        let document: Option<ClusterDocument> =
            read(&cloud, &account, container::CONFIG, blob::CLUSTER);
        let version = document.map(|document| document.consul.version.to_string());
        let now = i64::try_from(clock.now_unix_ms()).expect("a time");
        let now = jiff::Timestamp::from_millisecond(now).expect("a time").to_string();
        for name in running.keys() {
            let mut status = status(name, sequence, &members, gone.get(name), version.as_deref());
            status.written_at.clone_from(&now);
            if cloud.has_blob(&account, container::CONFIG, HOPELESS) {
                status.consul = None;
                status.last_error = Some("server: this is another program".to_owned());
                status.last_error_is_final = true;
            }
            let bytes = serde_json::to_vec(&status).expect("a status").into();
            cloud.plant_blob(&account, &container::status(slot_of(name)), blob::STATUS, bytes);
        }
    }
}

fn slot_of(name: &str) -> u32 {
    name.rsplit('-').next().and_then(|slot| slot.parse().ok()).expect("a slot")
}

fn read<T: serde::de::DeserializeOwned>(
    cloud: &SimCloud,
    account: &str,
    container: &str,
    name: &str,
) -> Option<T> {
    let blobs = cloud.blobs(account);
    serde_json::from_slice(blobs.get(&format!("{container}/{name}"))?).ok()
}

fn status(
    name: &str,
    sequence: u64,
    members: &BTreeSet<String>,
    left: Option<&String>,
    version: Option<&str>,
) -> ServerStatus {
    let voters: Vec<String> = members.iter().cloned().collect();
    let consul = (left.is_none() && !members.is_empty()).then(|| ConsulStatus {
        version: version.unwrap_or_default().to_owned(),
        leader: Some("10.0.0.4:8300".into()),
        is_leader: voters.first().is_some_and(|first| first == name),
        healthy: true,
        failure_tolerance: 1,
        peers: voters.clone(),
        voters,
        acl_ready: true,
    });
    ServerStatus {
        slot: slot_of(name),
        node_name: name.to_owned(),
        written_at: String::new(),
        sequence,
        address: [127, 0, 0, 1].into(),
        phase: if left.is_some() { ServerPhase::Left } else { ServerPhase::Running },
        last_error: None,
        last_error_is_final: false,
        consul,
        done_requests: left.cloned().into_iter().collect(),
        certificate_expires_at: None,
        consul_silent_seconds: 0,
        host_manager_version: "0".into(),
    }
}
