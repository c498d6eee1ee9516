//! A server that boots before everything is there waits, says for what, and goes on by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use hcs_planner::dataplane::{ServerPhase, container};
use support::eventually;
use support::world::World;

const SOON: Duration = Duration::from_secs(20);

async fn last_error(world: &World, wanted: &str) {
    eventually(&format!("the status says `{wanted}`"), SOON, || async {
        let status = world.status(0)?;
        assert_eq!(status.phase, ServerPhase::Preparing);
        status.last_error.filter(|error| error.contains(wanted))
    })
    .await;
}

#[tokio::test]
async fn roles_and_documents_may_come_late() {
    let folder = tempfile::tempdir().unwrap();
    // Not a Consul: this server never gets so far as to start it.
    let program = folder.path().join("consul");
    std::fs::write(&program, "#!/bin/sh\necho Consul v1.8.7\n[ \"$1\" = version ]\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let world = World::new(&program, 3);
    let config = world.account.take(container::CONFIG);
    let certificates = world.account.take(container::CERTIFICATES);
    let status = world.account.take(&container::status(0));
    let artifacts = world.account.take(container::ARTIFACTS);
    let mut server = world.server(0);
    server.start_manager();

    world.account.put_back(&container::status(0), status);
    last_error(&world, "container config does not exist").await;
    world.account.put_back(container::CONFIG, config);
    last_error(&world, "container certificates does not exist").await;
    world.account.set_denied(true);
    world.account.put_back(container::CERTIFICATES, certificates);
    last_error(&world, "access to config of memory is denied").await;
    world.account.set_denied(false);
    last_error(&world, "container artifacts does not exist").await;
    world.account.make_container(container::ARTIFACTS);
    last_error(&world, "does not exist yet").await;
    let name = artifacts.keys().next().unwrap().clone();
    world.account.write(container::ARTIFACTS, &name, "another program");
    last_error(&world, "it is not used").await;
    world.account.put_back(container::ARTIFACTS, artifacts);
    last_error(&world, "Consul refuses its configuration").await;
    assert_eq!(server.service.process(), (None, 0), "nothing was started");
    server.stop_manager().await;
}
