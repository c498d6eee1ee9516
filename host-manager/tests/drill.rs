//! A policy's newest snapshot is tried by a server that does not lead, with real Consuls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use hcs_engine::snapshot::records::kind;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::snapshots::policy::PolicyReport;
use hcs_planner::snapshots::time_in_name;
use hcs_release_maker::archive::{STATE_HEADER, sealed};
use jiff::Timestamp;
use serde_json::json;
use support::world::{Server, World};
use support::{consul_binary, eventually};

const SOON: Duration = Duration::from_mins(2);

fn report(world: &World) -> Option<PolicyReport> {
    let bytes = world.account.read(container::DECISIONS, &blob::policy_report("hourly"))?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

fn declare(world: &World, drill_interval_seconds: Option<u64>) {
    let document = json!({
        "name": "hourly", "interval_seconds": 3600, "retain_count": 3, "enabled": true,
        "drill_interval_seconds": drill_interval_seconds,
    });
    world.account.write(container::CONFIG, &blob::snapshot_policy("hourly"), document.to_string());
}

fn told(world: &World) -> Option<String> {
    let errors = (0..3).filter_map(|slot| world.status(slot)?.last_error);
    errors.into_iter().find(|error| error.contains("is not known to be good"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_tries_the_newest_snapshot_and_what_consul_does_not_take_is_told() {
    let world = World::new(&consul_binary(), 3);
    let mut servers: Vec<Server> = (0..3).map(|slot| world.server(slot)).collect();
    servers.iter_mut().for_each(Server::start_manager);
    declare(&world, Some(600));
    let verified = eventually("a drill went well", SOON, || async {
        report(&world)?.last_verified_at?.parse::<Timestamp>().ok()
    })
    .await;
    let leads = |slot: u32| world.status(slot).is_some_and(|it| it.consul.unwrap().is_leader);
    let trials = |servers: &[Server]| -> Vec<u32> {
        servers.iter().map(|server| server.service.trials().0).collect()
    };
    let leader = usize::try_from((0..3).find(|slot| leads(*slot)).unwrap()).unwrap();
    assert_eq!(trials(&servers)[leader], 0, "whoever serves all is left alone");

    // Another one, that reads well and is none.
    let later = Timestamp::now() + jiff::SignedDuration::from_secs(1);
    let bad = sealed(&[STATE_HEADER, &[kind::ACL_TOKEN, 0xa1, b'x']].concat());
    let name = blob::snapshot("hourly", &time_in_name(later));
    world.account.write(container::SNAPSHOTS, &name, bad);
    // The newest is remembered by whoever took it, until the next one is due.
    for server in &mut servers {
        server.stop_manager().await;
        server.start_manager();
    }
    let problem = eventually("it is told", SOON, || async { told(&world) }).await;
    assert!(
        problem.contains(&name) && problem.contains("that was started to try it in"),
        "{problem}"
    );
    let noted = report(&world).unwrap();
    assert_eq!(noted.last_error, None, "taking them goes well");
    assert!(
        noted.drill_error.as_ref().unwrap().contains("that was started to try it in"),
        "{noted:?}"
    );
    assert!(noted.last_verified_at.unwrap().parse::<Timestamp>().unwrap() >= verified);
    let voters = world.status(0).unwrap().consul.unwrap().voters;
    assert_eq!(voters.len(), 3, "the cluster has not noticed");

    // It is gone, the one before it is good, and nothing is told any more.
    world.account.remove(container::SNAPSHOTS, &name);
    for server in &mut servers {
        server.stop_manager().await;
        server.start_manager();
    }
    eventually("a drill goes well again", SOON, || async {
        (report(&world)?.drill_error.is_none() && told(&world).is_none()).then_some(())
    })
    .await;
    assert!(servers.iter().all(|server| !server.host.paths.trial_dir().exists()));
    for mut server in servers {
        server.stop_manager().await;
    }
}
