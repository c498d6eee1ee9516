//! What a user adds to the servers' configuration, with a real Consul.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hcs_planner::dataplane::{READY_PATH, port};
use hcs_planner::server_config::parse;
use serde_json::{Value, json};
use support::world::{MANAGEMENT, Server, World};
use support::{consul_binary, eventually};

const SOON: Duration = Duration::from_mins(1);
const LATER: Duration = Duration::from_mins(3);

/// What balancers are told by a server.
async fn readiness(world: &World, slot: u32) -> Option<String> {
    let client = reqwest::Client::builder().danger_accept_invalid_certs(true);
    let client = client.timeout(Duration::from_secs(5)).build().unwrap();
    let url = format!("https://{}:{}{READY_PATH}", world.address(slot), port::READY);
    client.get(url).send().await.ok()?.text().await.ok()
}

/// All three serve, and vote.
fn are_well(world: &World) -> Option<()> {
    let is_well = |slot| {
        let consul = world.status(slot).and_then(|status| status.consul);
        consul.is_some_and(|consul| consul.healthy && consul.voters.len() == 3)
    };
    (0..3).all(is_well).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_leaves_the_balancers_before_its_turn() {
    let mut world = World::new(&consul_binary(), 3);
    let mut servers: Vec<_> = (0..3).map(|slot| world.server(slot)).collect();
    servers.iter_mut().for_each(Server::start_manager);
    eventually("three serve", LATER, || async { are_well(&world) }).await;
    let before: Vec<u32> = servers.iter().map(|server| server.service.process().1).collect();
    world.server_config = parse(&json!({ "log_level": "WARN" }).to_string()).unwrap();
    world.set_server_count(3);
    let mut left = BTreeSet::new();
    let begun = Instant::now();
    while left.len() < 3 {
        assert!(begun.elapsed() < LATER, "only {left:?} left the balancers before they restarted");
        for slot in 0..3 {
            let told = readiness(&world, slot).await.unwrap_or_default();
            let starts = servers[usize::try_from(slot).unwrap()].service.process().1;
            if told.contains("about to be restarted")
                && starts == before[usize::try_from(slot).unwrap()]
            {
                left.insert(slot);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eventually("each was restarted", LATER, || async {
        let all = servers.iter().zip(&before);
        let are_new =
            all.into_iter().all(|(server, before)| server.service.process().1 == before + 1);
        are_new.then_some(())
    })
    .await;
    for slot in 0..3 {
        eventually("it is ready", LATER, || async {
            readiness(&world, slot).await.filter(|told| told == "ready\n")
        })
        .await;
    }
    for server in &mut servers {
        server.stop_manager().await;
    }
}

/// `consul validate` has nothing against it, and Consul ends with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_with_which_nothing_serves_is_replaced() {
    let mut world = World::new(&consul_binary(), 3);
    let mut servers: Vec<_> = (0..3).map(|slot| world.server(slot)).collect();
    servers.iter_mut().for_each(Server::start_manager);
    eventually("three serve", LATER, || async { are_well(&world) }).await;
    let starts = |servers: &[Server]| -> Vec<u32> {
        servers.iter().map(|server| server.service.process().1).collect()
    };
    let before = starts(&servers);
    let ends = json!({ "watches": [{ "type": "nonsense", "args": ["true"] }] });
    world.server_config = parse(&ends.to_string()).unwrap();
    world.set_server_count(3);
    eventually("one does not come back", LATER, || async {
        let statuses = (0..3).filter_map(|slot| world.status(slot));
        let mut errors = statuses.filter_map(|status| status.last_error);
        errors.find(|error| error.contains("no healthy voter"))
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let reached = starts(&servers).iter().zip(&before).filter(|(now, before)| now > before).count();
    assert_eq!(reached, 1, "nobody follows one that does not come back");
    world.server_config = serde_json::Map::new();
    world.set_server_count(3);
    eventually("all are well again", LATER, || async { are_well(&world) }).await;
    for server in &mut servers {
        server.stop_manager().await;
    }
}

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
