//! Documents of a newer version make no server mute and stop no Consul.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use hcs_planner::dataplane::{FORMAT, blob, container};
use serde_json::{Value, json};
use support::eventually;
use support::world::World;

const SOON: Duration = Duration::from_secs(20);

/// A program that calls itself Consul, likes every configuration, and runs.
const CONSUL: &str = "#!/bin/sh\ncase $1 in version) echo 'Consul v1.22.2';; validate) ;; *) exec sleep 600;; esac\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_version_writes_is_told_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("consul");
    std::fs::write(&program, CONSUL).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let world = World::new(&program, 3);
    let mut server = world.server(0);
    server.start_manager();
    let running = eventually("Consul runs", SOON, || async {
        let process = server.service.process();
        process.0.is_some().then_some(process)
    })
    .await;
    let read = || {
        let text = world.account.read(container::CONFIG, blob::CLUSTER).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()
    };
    let write = |container: &str, name: &str, document: &Value| {
        world.account.write(container, name, document.to_string());
    };
    let says = |sentence: &'static str| {
        let world = &world;
        async move {
            eventually(sentence, SOON, || async {
                let error = world.status(0)?.last_error?;
                error.contains(sentence).then_some(())
            })
            .await;
        }
    };
    let known = read();

    let mut newer = known.clone();
    newer["needs_format"] = json!(FORMAT + 1);
    newer["consul"] = json!({ "version": "9.9.9", "sha256": "", "file_name": "consul" });
    write(container::CONFIG, blob::CLUSTER, &newer);
    says("cluster.json needs form 2, and this host manager knows 1").await;
    assert_eq!(server.service.process(), running, "Consul goes on as it is");

    let mut grown = known.clone();
    grown["format"] = json!(FORMAT + 1);
    grown["added_later"] = json!([{ "a": 1 }]);
    write(container::CONFIG, blob::CLUSTER, &grown);
    eventually("a form that need not be understood is acted on", SOON, || async {
        let error = world.status(0)?.last_error.unwrap_or_default();
        (!error.contains("needs form")).then_some(())
    })
    .await;

    let request = json!({ "id": "later-1", "slot": 0, "action": "sing", "arguments": { "a": 1 } });
    write(container::REQUESTS, &blob::leave_request(0), &request);
    says("request later-1 asks for something that this host manager does not know").await;
    let status = world.status(0).unwrap();
    assert!(!status.done_requests.contains(&"later-1".to_owned()), "it is not called done");
    assert_eq!(server.service.process(), running, "Consul goes on as it is");
}
