//! A snapshot is put back, with real Consuls: what was there is kept, the keepers stay in, and it happens once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use hcs_engine::snapshot::archive;
use hcs_engine::snapshot::records::kind;
use hcs_host_manager::restore;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::observed::is_same_consul;
use hcs_planner::requests::{Request, RequestAction, RequestOutcome, RequestResult, argument};
use hcs_planner::restore::{MARKER, Restore, RestorePhase};
use hcs_planner::rotation::{Phase, Rotated};
use hcs_release_maker::archive::{STATE_HEADER, sealed};
use hcs_release_maker::{next_patch, relabelled};
use serde_json::{Value, json};
use support::world::{MANAGEMENT, Server, World, forget_answers};
use support::{consul_binary, eventually};

const SOON: Duration = Duration::from_mins(2);

async fn all_well(world: &World, servers: u32) {
    let voters = usize::try_from(servers).unwrap();
    eventually("all are well", SOON, || async {
        let is_well = |slot| {
            let consul = world.status(slot)?.consul?;
            (consul.healthy && consul.acl_ready && consul.voters.len() == voters).then_some(())
        };
        (0..servers).all(|slot| is_well(slot).is_some()).then_some(())
    })
    .await;
}

async fn formed(world: &World, count: u32) -> Vec<Server> {
    let mut servers: Vec<Server> = (0..count).map(|slot| world.server(slot)).collect();
    servers.iter_mut().for_each(Server::start_manager);
    all_well(world, count).await;
    servers
}

async fn asked(world: &World, id: &str, action: RequestAction, snapshot: &str) -> RequestResult {
    let mut request = Request::new(id.to_owned(), None, action);
    request.arguments = [(argument::SNAPSHOT.to_owned(), json!(snapshot))].into();
    let text = serde_json::to_string(&request).unwrap();
    world.account.write(container::REQUESTS, &blob::request(None), text);
    eventually(&format!("an answer to {id}"), SOON, || async {
        let results = (0..3).filter_map(|slot| world.status(slot)).flat_map(|one| one.results);
        let mut results = results.filter(|result| result.id == id);
        results.next()
    })
    .await
}

async fn write(world: &World, key: &str, value: &str) {
    let client = world.client(0, MANAGEMENT);
    eventually("a write is taken", SOON, || async {
        client.put_only(&format!("kv/{key}"), &json!(value)).await.ok()
    })
    .await;
}

async fn read(world: &World, token: &str, key: &str) -> Option<String> {
    let client = world.client(0, token);
    eventually("Consul answers", SOON, || async {
        match client.get::<String>(&format!("kv/{key}?raw&consistent")).await {
            Ok(value) => Some(Some(value)),
            Err(error) if error.status() == Some(404) => Some(None),
            Err(_) => None,
        }
    })
    .await
}

fn note(world: &World) -> Option<Restore> {
    let bytes = world.account.read(container::DECISIONS, blob::RESTORE)?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_put_back_once_and_what_was_there_is_kept() {
    let world = World::new(&consul_binary(), 1);
    let mut servers = formed(&world, 1).await;
    write(&world, "a", "1").await;
    let taken = "~on-demand/20261129T060000Z-0a1b2c3d.snap";
    let outcome = asked(&world, "t-1", RequestAction::Snapshot, taken).await;
    assert_eq!(outcome.outcome, RequestOutcome::Done, "{outcome:?}");
    write(&world, "a", "2").await;
    write(&world, "b", "later").await;

    // What cannot be had touches nothing.
    world.account.write(container::SNAPSHOTS, "hourly/torn.snap", "no archive");
    for (id, name, words) in [
        ("r-1", "hourly/none.snap", "there is no snapshot"),
        ("r-2", "hourly/torn.snap", "is not whole"),
        ("r-3", "../config/cluster.json", "names no snapshot"),
    ] {
        let refused = asked(&world, id, RequestAction::Restore, name).await;
        assert_eq!(refused.outcome, RequestOutcome::Refused, "{refused:?}");
        assert!(refused.reason.unwrap().contains(words), "{name}");
    }
    world.set_apply_works(true);
    let refused = asked(&world, "r-4", RequestAction::Restore, taken).await;
    assert!(refused.reason.unwrap().contains("an apply works on the cluster"));
    world.set_apply_works(false);
    assert_eq!(read(&world, MANAGEMENT, "a").await.as_deref(), Some("2"));

    assert_eq!(servers[0].service.trials().0, 0, "what is told by looking needs no trial");

    let restored = asked(&world, "r-5", RequestAction::Restore, taken).await;
    assert_eq!(restored.outcome, RequestOutcome::Done, "{restored:?}");
    assert_eq!(restored.values.get(argument::UNTRIED), None, "{restored:?}");
    assert_eq!(servers[0].service.trials(), (1, false), "tried first, and thrown away");
    assert!(!servers[0].host.paths.trial_dir().exists());
    assert_eq!(read(&world, MANAGEMENT, "a").await.as_deref(), Some("1"));
    assert_eq!(read(&world, MANAGEMENT, "b").await, None);
    assert_eq!(read(&world, MANAGEMENT, MARKER).await, None, "nothing of ours is left in it");
    let before = restored.values[argument::SAFETY_SNAPSHOT].as_str().unwrap().to_owned();
    let kept = world.account.read(container::SNAPSHOTS, &before).unwrap();
    archive::verify(kept.as_ref()).unwrap();
    all_well(&world, 1).await;

    // Asked again after a cut, it is done; and it is not done again.
    write(&world, "c", "since").await;
    forget_answers(&world, &mut servers).await;
    let again = asked(&world, "r-5", RequestAction::Restore, taken).await;
    assert_eq!(again.outcome, RequestOutcome::Done, "{again:?}");
    assert_eq!(read(&world, MANAGEMENT, "c").await.as_deref(), Some("since"));

    // Cut off before Consul was given it, and after.
    all_well(&world, 1).await;
    let mut begun = note(&world).unwrap();
    begun.phase = RestorePhase::Begun;
    for (id, is_marked, expected) in [("r-6", true, None), ("r-7", false, Some("since"))] {
        begun.id = id.to_owned();
        write(&world, "c", "since").await;
        if is_marked {
            write(&world, MARKER, id).await;
        }
        let text = serde_json::to_string(&begun).unwrap();
        world.account.write(container::DECISIONS, blob::RESTORE, text);
        // The job of whoever was cut off lives for a while yet.
        let job = json!({
            "id": "j", "kind": "restore", "slot": 9, "reason": "a test",
            "started_at": "2026-11-29T06:00:00Z", "beats": 1,
        });
        world.account.write(container::DECISIONS, blob::JOB, job.to_string());
        let dies = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            world.account.remove(container::DECISIONS, blob::JOB);
        };
        let (finished, ()) = tokio::join!(asked(&world, id, RequestAction::Restore, taken), dies);
        assert_eq!(finished.outcome, RequestOutcome::Done, "{finished:?}");
        assert_eq!(read(&world, MANAGEMENT, "c").await.as_deref(), expected, "{id}");
        assert_eq!(note(&world).unwrap().phase, RestorePhase::Done);
    }

    // The state of before comes back the same way.
    let back = asked(&world, "r-8", RequestAction::Restore, &before).await;
    assert_eq!(back.outcome, RequestOutcome::Done, "{back:?}");
    assert_eq!(read(&world, MANAGEMENT, "a").await.as_deref(), Some("2"));
    assert_eq!(read(&world, MANAGEMENT, "b").await.as_deref(), Some("later"));
    for server in &mut servers {
        server.stop_manager().await;
    }
}

/// The management token was rotated since, so the snapshot knows another one, and none of the servers' own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_from_before_a_rotation_keeps_nobody_out() {
    let mut world = World::new(&consul_binary(), 3);
    let mut servers = formed(&world, 3).await;
    write(&world, "a", "1").await;
    let taken = "~on-demand/20261129T060000Z-0a1b2c3d.snap";
    let outcome = asked(&world, "t-1", RequestAction::Snapshot, taken).await;
    assert_eq!(outcome.outcome, RequestOutcome::Done, "{outcome:?}");
    let mut new = String::new();
    for what in [Rotated::AgentTokens, Rotated::ManagementToken] {
        new = world.rotate(what, 3);
        eventually("the rotation has ended", Duration::from_mins(4), || async {
            (world.phase(what) >= Some(Phase::Done)).then_some(())
        })
        .await;
    }
    let _: Value = world.client(0, &new).get("agent/self").await.unwrap();

    let restored = asked(&world, "r-1", RequestAction::Restore, taken).await;
    assert_eq!(restored.outcome, RequestOutcome::Done, "{restored:?}");
    assert_eq!(read(&world, &new, "a").await.as_deref(), Some("1"), "by the token of today");
    all_well(&world, 3).await;
    for server in &mut servers {
        server.stop_manager().await;
    }
}

/// Whoever leads next finds the request, too, while the one before it tries the snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_find_one_request_restore_it_once_and_say_the_same() {
    let world = World::new(&consul_binary(), 1);
    let mut servers = formed(&world, 1).await;
    write(&world, "a", "1").await;
    let taken = "~on-demand/20261129T060000Z-0a1b2c3d.snap";
    asked(&world, "t-1", RequestAction::Snapshot, taken).await;
    write(&world, "a", "2").await;
    servers[0].stop_manager().await;

    let request = Request::restore("r-1".to_owned(), taken);
    let text = serde_json::to_string(&request).unwrap();
    world.account.write(container::REQUESTS, &blob::request(None), text);
    let (host, client) = (servers[0].host.clone(), world.client(0, MANAGEMENT));
    let (first, second) = tokio::join!(
        restore::serve(&host, &client, &request),
        restore::serve(&host, &client, &request)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first, second);
    assert_eq!(servers[0].service.trials().0, 1, "tried once");
    let names = world.account.names(container::SNAPSHOTS);
    let before = names.iter().filter(|name| name.contains("before-restore"));
    assert_eq!(before.count(), 1, "{names:?}");
    assert_eq!(note(&world).unwrap().phase, RestorePhase::Done);
    assert_eq!(read(&world, MANAGEMENT, "a").await.as_deref(), Some("1"));
}

/// An apply that makes a clone asks for its state and waits for it; it must not come when nobody waits any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_goes_on_beside_the_apply_that_asks_and_only_while_it_is_wanted() {
    let world = World::new(&consul_binary(), 1);
    let mut servers = formed(&world, 1).await;
    write(&world, "a", "1").await;
    let taken = "~on-demand/20261129T060000Z-0a1b2c3d.snap";
    asked(&world, "t-1", RequestAction::Snapshot, taken).await;
    write(&world, "a", "2").await;
    let put = |id: &str, run_id: &str| {
        let request = Request::restore(id.to_owned(), taken).beside_run(run_id);
        let text = serde_json::to_string(&request).unwrap();
        world.account.write(container::REQUESTS, &blob::request(None), text);
    };
    let answered = |id: &'static str| {
        let world = &world;
        eventually("an answer", SOON, move || async move {
            world.status(0)?.results.into_iter().find(|result| result.id == id)
        })
    };
    world.set_apply_works(true);
    put("r-1", "another run");
    let refused = answered("r-1").await;
    assert!(refused.reason.unwrap().contains("an apply works on the cluster"));

    // It is taken back while the snapshot is tried.
    world.set_apply_works(true);
    put("r-2", "r");
    eventually("it is tried", SOON, || async {
        (servers[0].service.trials().0 == 1).then_some(())
    })
    .await;
    world.account.remove(container::REQUESTS, &blob::request(None));
    let refused = answered("r-2").await.reason.unwrap();
    assert!(refused.contains("taken back") && refused.contains("Nothing was touched"), "{refused}");
    assert_eq!((read(&world, MANAGEMENT, "a").await.as_deref(), note(&world)), (Some("2"), None));

    // The apply dies while it is tried.
    world.set_apply_works(true);
    put("r-3", "r");
    eventually("it is tried", SOON, || async {
        (servers[0].service.trials().0 == 2).then_some(())
    })
    .await;
    world.set_apply_works(false);
    let refused = answered("r-3").await.reason.unwrap();
    assert!(refused.contains("the apply that asked for it has ended"), "{refused}");
    assert_eq!((read(&world, MANAGEMENT, "a").await.as_deref(), note(&world)), (Some("2"), None));

    world.set_apply_works(true);
    put("r-4", "r");
    let done = answered("r-4").await;
    assert_eq!(done.outcome, RequestOutcome::Done, "{done:?}");
    assert_eq!(read(&world, MANAGEMENT, "a").await.as_deref(), Some("1"));
    world.set_apply_works(false);
    servers[0].stop_manager().await;
}

/// A record that is well formed and no token: Consul's leader would panic over it with the bad snapshot as its newest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_consul_cannot_restore_is_found_by_the_trial_and_touches_nothing() {
    let world = World::new(&consul_binary(), 1);
    let mut servers = formed(&world, 1).await;
    write(&world, "a", "1").await;
    let (_, starts) = servers[0].service.process();
    let bad = sealed(&[STATE_HEADER, &[kind::ACL_TOKEN, 0xa1, b'x']].concat());
    archive::verify(bad.as_ref()).expect("nothing can be seen by reading it");
    let name = "hourly/20261129T060000Z.snap";
    world.account.write(container::SNAPSHOTS, name, bad);

    let refused = asked(&world, "r-1", RequestAction::Restore, name).await;
    assert_eq!(refused.outcome, RequestOutcome::Refused, "{refused:?}");
    let reason = refused.reason.unwrap();
    assert!(reason.contains("that was started to try it in"), "{reason}");
    assert!(reason.ends_with("Nothing was touched"), "{reason}");
    assert_eq!(servers[0].service.trials(), (1, false));
    assert_eq!(servers[0].service.process().1, starts, "the one that serves has not even noticed");
    assert_eq!(read(&world, MANAGEMENT, "a").await.as_deref(), Some("1"));
    assert_eq!(note(&world), None);
    let kept = world.account.names(container::SNAPSHOTS);
    assert_eq!(kept, [name], "nothing was kept for it");
    servers[0].stop_manager().await;
}

/// Whose state comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    /// The cluster's own, of a moment ago.
    Itself,
    /// Its own, from before its agent and management tokens were rotated.
    ItselfBeforeARotation,
    /// Another cluster's, with tokens, nodes and a mesh of its own.
    AStranger,
}

const TAKEN: &str = "~on-demand/20261129T060000Z-0a1b2c3d.snap";

/// A snapshot of another cluster, which knows nothing of this one.
async fn of_a_stranger() -> Vec<u8> {
    let world = World::new(&consul_binary(), 1);
    let mut servers = formed(&world, 1).await;
    write(&world, "a", "1").await;
    let taken = asked(&world, "t-1", RequestAction::Snapshot, TAKEN).await;
    assert_eq!(taken.outcome, RequestOutcome::Done, "{taken:?}");
    servers[0].stop_manager().await;
    world.account.read(container::SNAPSHOTS, TAKEN).unwrap().to_vec()
}

/// After a restore a cluster goes on as any other: its policy runs, it grows, and it is upgraded. The farthest kind here, all
/// of them with `HCS_RESTORES=all`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_the_policy_runs_the_cluster_grows_and_is_upgraded() {
    let all = std::env::var_os("HCS_RESTORES").is_some();
    for of in [Of::AStranger, Of::Itself, Of::ItselfBeforeARotation] {
        if all || of == Of::AStranger {
            goes_on_after(of).await;
            println!("{of:?}: a snapshot kept, 3 -> 5, another Consul on all");
        }
    }
}

async fn goes_on_after(of: Of) {
    let stranger = if of == Of::AStranger { Some(of_a_stranger().await) } else { None };
    let first = consul_binary();
    let mut world = World::new(&first, 3);
    let mut servers = formed(&world, 3).await;
    match stranger {
        Some(archive) => world.account.write(container::SNAPSHOTS, TAKEN, archive),
        None => {
            write(&world, "a", "1").await;
            let taken = asked(&world, "t-1", RequestAction::Snapshot, TAKEN).await;
            assert_eq!(taken.outcome, RequestOutcome::Done, "{taken:?}");
        }
    }
    let mut token = MANAGEMENT.to_owned();
    if of == Of::ItselfBeforeARotation {
        for what in [Rotated::AgentTokens, Rotated::ManagementToken] {
            token = world.rotate(what, 3);
            eventually("the rotation has ended", Duration::from_mins(4), || async {
                (world.phase(what) >= Some(Phase::Done)).then_some(())
            })
            .await;
        }
    }
    let restored = asked(&world, "r-1", RequestAction::Restore, TAKEN).await;
    assert_eq!(restored.outcome, RequestOutcome::Done, "{restored:?}");
    all_well(&world, 3).await;
    assert_eq!(read(&world, &token, "a").await.as_deref(), Some("1"), "{of:?}");

    let policy =
        json!({ "name": "hourly", "interval_seconds": 3600, "retain_count": 3, "enabled": true });
    world.account.write(container::CONFIG, &blob::snapshot_policy("hourly"), policy.to_string());
    eventually("the policy keeps one", SOON, || async {
        let names = world.account.names(container::SNAPSHOTS);
        names.iter().any(|name| name.starts_with("hourly/")).then_some(())
    })
    .await;

    world.set_server_count(5);
    for slot in 3..5 {
        let mut server = world.server(slot);
        server.start_manager();
        servers.push(server);
    }
    all_well(&world, 5).await;

    let (from, to) = (world.version.clone(), next_patch(&world.version));
    let program = relabelled(&std::fs::read(&first).unwrap(), &from, &to);
    world.set_apply_works(true);
    world.bring(&to, &program, 5);
    let later = Duration::from_mins(4);
    eventually("all run the other Consul", later, || async {
        let runs = |slot| {
            let consul = world.status(slot)?.consul?;
            let is_well = consul.healthy && consul.voters.len() == 5;
            (is_well && is_same_consul(&consul.version, &to)).then_some(())
        };
        (0..5).all(|slot| runs(slot).is_some()).then_some(())
    })
    .await;
    world.set_apply_works(false);
    assert_eq!(read(&world, &token, "a").await.as_deref(), Some("1"), "{of:?}");
    for slot in 0..5 {
        let status = world.status(slot).unwrap();
        assert_eq!(status.last_error, None, "{of:?}, server {slot}");
    }
    for mut server in servers {
        server.stop_manager().await;
    }
}
