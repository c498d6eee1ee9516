//! What a user adds to the servers' configuration, with a real Consul.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use hcs_planner::server_config::parse;
use serde_json::{Value, json};
use support::world::{MANAGEMENT, World};
use support::{consul_binary, eventually};

const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_adds_is_taken_and_what_consul_refuses_is_told_while_it_goes_on() {
    let mut world = World::new(&consul_binary(), 1);
    let mut server = world.server(0);
    server.start_manager();
    let is_well = |world: &World| {
        let consul = world.status(0)?.consul?;
        (consul.acl_ready && consul.healthy).then_some(())
    };
    eventually("it serves", SOON, || async { is_well(&world) }).await;
    let before = server.service.process();
    let add = |world: &mut World, config: Value| {
        world.server_config = parse(&config.to_string()).unwrap();
        world.set_server_count(1);
    };

    add(
        &mut world,
        json!({ "log_level": "WARN", "ui_config": { "dashboard_url_templates": { "service": "x" } } }),
    );
    // 1.8 does not know the second one, and does not start with it.
    let is_old = world.version < semver::Version::new(1, 12, 0);
    if is_old {
        let told = eventually("a refusal", SOON, || async {
            let status = world.status(0)?;
            status.attention.into_iter().find(|told| told.contains("Consul refuses"))
        })
        .await;
        assert!(told.contains("ui_config"), "{told}");
        assert_eq!(server.service.process(), before, "what ran goes on");
    }
    add(&mut world, json!({ "log_level": "WARN" }));
    let level = eventually("another level", SOON, || async {
        let own: Value = world.client(0, MANAGEMENT).get("agent/self").await.ok()?;
        let level = own["DebugConfig"]
            .get("LogLevel")
            .or_else(|| own["DebugConfig"]["Logging"].get("LogLevel"))?;
        (level == "WARN").then(|| level.clone())
    })
    .await;
    assert_eq!(level, "WARN");
    eventually("it serves", SOON, || async { is_well(&world) }).await;
    eventually("nothing is told any more", SOON, || async {
        world.status(0)?.attention.is_empty().then_some(())
    })
    .await;
    server.stop_manager().await;
}
