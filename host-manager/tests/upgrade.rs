//! Another Consul by itself, with real servers: two labels of one program, or the two programs of `HCS_CONSUL_BINS`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use hcs_engine::snapshot::archive;
use hcs_host_manager::rollout::Basis;
use hcs_host_manager::upgrade::Way;
use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact, ServerStatus, blob, container};
use hcs_planner::maintenance::Window;
use hcs_planner::observed::is_same_consul;
use hcs_planner::requests::{Request, RequestAction, RequestOutcome, RequestResult};
use hcs_planner::snapshots::place::PolicyPlace;
use hcs_planner::upgrade::{By, Channel, Upgrade, UpgradePhase};
use hcs_release_maker::{next_patch, relabelled, zipped};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use semver::Version;
use serde_json::json;
use support::blobs::{BACKUPS, BACKUPS_ID};
use support::releases::Publisher;
use support::world::{MANAGEMENT, Server, World, elsewhere, forget_answers};
use support::writer::Writer;
use support::{consul_binary, eventually};

const SOON: Duration = Duration::from_mins(3);

/// The program that runs first, and the one that comes, with its version.
fn programs() -> (PathBuf, Vec<u8>, Version) {
    let Some(both) = std::env::var_os("HCS_CONSUL_BINS") else {
        let first = consul_binary();
        let program = std::fs::read(&first).unwrap();
        let (from, to) = (version_of(&first), next_patch(&version_of(&first)));
        return (first, relabelled(&program, &from, &to), to);
    };
    let both: Vec<PathBuf> = std::env::split_paths(&both).collect();
    let from = version_of(&both[1]);
    let to = Version::new(from.major, from.minor, from.patch);
    (both[0].clone(), relabelled(&std::fs::read(&both[1]).unwrap(), &from, &to), to)
}

fn version_of(program: &Path) -> Version {
    let said = std::process::Command::new(program).arg("version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    said.split_whitespace().nth(1).unwrap().trim_start_matches('v').parse().unwrap()
}

/// A window each day that begins so many hours from now.
fn window(hours: i64) -> Window {
    let start = Timestamp::now().to_zoned(TimeZone::UTC).checked_add(hours.hours()).unwrap();
    Window {
        days: vec![],
        start: format!("{:02}:{:02}", start.hour(), start.minute()),
        duration_seconds: 4 * 3600,
        time_zone: "UTC".to_owned(),
    }
}

fn note(world: &World) -> Option<Upgrade> {
    let bytes = world.account.read(container::DECISIONS, blob::UPGRADE)?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

async fn noted(world: &World, phase: UpgradePhase) -> Upgrade {
    eventually(&format!("{phase:?}"), SOON, || async {
        note(world).filter(|upgrade| upgrade.phase == phase)
    })
    .await
}

fn statuses(world: &World) -> Vec<ServerStatus> {
    (0..5).filter_map(|slot| world.status(slot)).collect()
}

fn all_run(world: &World, version: &Version) -> Option<()> {
    let document = world.account.read(container::CONFIG, blob::CLUSTER)?;
    let document: ClusterDocument = serde_json::from_slice(&document).unwrap();
    let (statuses, all) = (statuses(world), document.slots.len());
    let is_well = |status: &ServerStatus| {
        status.consul.as_ref().is_some_and(|consul| {
            is_same_consul(&consul.version, version) && consul.healthy && consul.voters.len() == all
        })
    };
    (statuses.len() == all && statuses.iter().all(is_well)).then_some(())
}

fn starts(servers: &[Server]) -> Vec<u32> {
    servers.iter().map(|server| server.service.process().1).collect()
}

async fn three(world: &World) -> Vec<Server> {
    formed(world, 3).await
}

async fn formed(world: &World, count: u32) -> Vec<Server> {
    let mut servers: Vec<Server> = (0..count).map(|slot| world.server(slot)).collect();
    servers.iter_mut().for_each(Server::start_manager);
    eventually("all have a vote", SOON, || async { all_run(world, &world.version) }).await;
    let client = world.client(0, MANAGEMENT);
    client.put_only("kv/kept", &json!("through it")).await.unwrap();
    servers
}

/// A cluster of three that takes what this publisher offers.
async fn world_of(program: &Path, channel: Channel) -> (World, Publisher) {
    let maker = Publisher::start().await;
    let mut world = World::new(program, 3);
    world.release_keys = maker.keys();
    world.maintenance.channel = channel;
    world.maintenance.release_index = Some(maker.index.clone());
    (world, maker)
}

/// Declares a policy whose own moments are far away.
fn keeps_before_upgrades(world: &World, policy: &str, place: Option<&PolicyPlace>) {
    let document = json!({
        "name": policy, "interval_seconds": 30 * 86_400, "retain_count": 3, "enabled": true, "before_upgrade": true,
        "place": place,
    });
    let path = format!("{}{policy}.json", blob::SNAPSHOT_POLICIES);
    world.account.write(container::CONFIG, &path, document.to_string());
}

async fn answer(world: &World, request: &Request) -> RequestResult {
    let text = serde_json::to_string(request).unwrap();
    world.account.write(container::REQUESTS, &blob::request(request.slot), text);
    eventually("an answer", SOON, || async {
        let results = statuses(world).into_iter().flat_map(|status| status.results);
        results.into_iter().find(|result| result.id == request.id)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_release_comes_in_its_window_after_a_snapshot_and_the_leader_goes_last() {
    let (first, next, to) = programs();
    let (mut world, maker) = world_of(&first, Channel::Minor).await;
    world.maintenance.windows = vec![window(3)];
    keeps_before_upgrades(&world, "monthly", None);
    // The checksums are signed, and the archive is not the one that was.
    maker.publish(&to, &next);
    maker.put(&to, &format!("consul_{to}_linux_amd64.zip"), &zipped(b"#!/bin/sh\nevil\n"));
    world.set_server_count(3);
    let servers = three(&world).await;
    let before = starts(&servers);
    eventually("a refusal", SOON, || async {
        let errors = statuses(&world).into_iter().filter_map(|status| status.last_error);
        errors.into_iter().find(|error| error.contains("was signed; it is not used"))
    })
    .await;
    assert!(note(&world).is_none(), "what is not proven is not chosen");

    maker.publish(&to, &next);
    let chosen = noted(&world, UpgradePhase::Chosen).await;
    assert_eq!((&chosen.to.version, chosen.by), (&to, By::Channel));
    let opens: Timestamp =
        eventually("when", SOON, || async { note(&world)?.not_before }).await.parse().unwrap();
    let in_hours = opens.duration_since(Timestamp::now()).as_hours();
    assert!((2..=3).contains(&in_hours), "{opens}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(starts(&servers), before, "no window is open");

    let leads = |status: &ServerStatus| status.consul.as_ref().is_some_and(|one| one.is_leader);
    let leader = statuses(&world).into_iter().find(leads).unwrap().slot;

    // The window opens.
    world.maintenance.windows = vec![window(-1)];
    world.set_server_count(3);
    noted(&world, UpgradePhase::Running).await;
    let order: Mutex<Vec<u32>> = Mutex::default();
    let done = eventually("done", SOON, || async {
        for status in statuses(&world) {
            let is_new = status.consul.is_some_and(|consul| is_same_consul(&consul.version, &to));
            let mut order = order.lock().unwrap();
            if is_new && !order.contains(&status.slot) {
                order.push(status.slot);
            }
        }
        note(&world).filter(|upgrade| upgrade.phase == UpgradePhase::Done)
    })
    .await;
    assert_eq!(order.lock().unwrap().last(), Some(&leader), "the leader goes last");
    eventually("all run it", SOON, || async { all_run(&world, &to) }).await;
    assert_eq!(starts(&servers), before.iter().map(|n| n + 1).collect::<Vec<_>>(), "once each");
    let name = done.snapshot.expect("a snapshot was taken first");
    assert!(name.starts_with("monthly/"), "the policy that says so keeps it: {name}");
    let snapshot = world.account.read(container::SNAPSHOTS, &name).expect("it is kept");
    archive::verify(snapshot.as_ref()).unwrap();
    let kept: String = world.client(1, MANAGEMENT).get("kv/kept?raw").await.unwrap();
    assert_eq!(kept, "through it");

    // A declaration goes the same way beside the apply that brings it, whatever the window.
    if to.patch < 9 && std::env::var_os("HCS_CONSUL_BINS").is_none() {
        let later = next_patch(&to);
        world.maintenance.windows = vec![window(3)];
        world.consul_before = Some(Box::new(done.to.clone()));
        world.bring(&later, &relabelled(&next, &to, &later), 3);
        let waits = eventually("it waits for the window", SOON, || async {
            let told = statuses(&world).into_iter().flat_map(|status| status.attention);
            told.into_iter().find(|told| told.contains("begins in a maintenance window"))
        })
        .await;
        assert!(waits.contains(&later.to_string()), "{waits}");
        world.set_apply_works(true);
        let declared = eventually("what is declared runs", SOON, || async {
            note(&world).filter(|one| one.phase == UpgradePhase::Done && one.to.version == later)
        })
        .await;
        assert_eq!((declared.by, declared.from.version), (By::Declaration, to));
        eventually("all run it", SOON, || async { all_run(&world, &later) }).await;
        world.set_apply_works(false);
    }
    for mut server in servers {
        server.stop_manager().await;
    }
}

/// A program that says it is the release, and never serves.
fn liar(real: &Path) -> Vec<u8> {
    let real = real.display();
    format!("#!/bin/sh\n[ \"$1\" = agent ] && exec sleep 1000\nexec {real} \"$@\"\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_does_not_serve_reaches_one_server_and_is_taken_back() {
    let first = consul_binary();
    let (world, maker) = world_of(&first, Channel::Patch).await;
    let to = next_patch(&world.version);
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("consul");
    let program = relabelled(&std::fs::read(&first).unwrap(), &world.version, &to);
    std::fs::write(&real, program).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&real, mode).unwrap();
    maker.publish(&to, &liar(&real));
    world.set_server_count(3);
    let mut servers = three(&world).await;
    let before = starts(&servers);

    let stopped = noted(&world, UpgradePhase::Stopped).await;
    assert!(stopped.reason.as_ref().unwrap().contains("no healthy voter"), "{stopped:?}");
    let restarted = |servers: &[Server]| {
        starts(servers).iter().zip(&before).filter(|(now, before)| now > before).count()
    };
    assert_eq!(restarted(&servers), 1, "{:?}", starts(&servers));
    let told = eventually("it is told", SOON, || async {
        statuses(&world).into_iter().find(|status| status.last_error_is_final)
    })
    .await;
    assert!(told.attention.iter().any(|told| told.contains("hcs upgrade take-back")), "{told:?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(restarted(&servers), 1, "nobody follows");

    let request = Request::new("b-1".to_owned(), None, RequestAction::TakeBackUpgrade);
    let taken = answer(&world, &request).await;
    assert_eq!(taken.outcome, RequestOutcome::Done, "{taken:?}");
    let from = world.version.clone();
    eventually("all run what ran before", SOON, || async { all_run(&world, &from) }).await;
    // Whichever server serves it, and however often.
    forget_answers(&world, &mut servers).await;
    let taken = answer(&world, &request).await;
    assert_eq!(taken.outcome, RequestOutcome::Done, "{taken:?}");
    // What was taken back is not chosen again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(note(&world).unwrap().phase, UpgradePhase::TakenBack);
    let kept: String = world.client(1, MANAGEMENT).get("kv/kept?raw").await.unwrap();
    assert_eq!(kept, "through it");
    let again = Request::new("b-2".to_owned(), None, RequestAction::TakeBackUpgrade);
    let refused = answer(&world, &again).await;
    assert_eq!(refused.outcome, RequestOutcome::Refused, "{refused:?}");
    for mut server in servers {
        server.stop_manager().await;
    }
}

/// Nothing leads then, and nobody but the server itself could serve the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_one_that_does_not_come_up_goes_back() {
    let first = consul_binary();
    let (world, maker) = world_of(&first, Channel::Patch).await;
    let to = next_patch(&world.version);
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("consul");
    let program = relabelled(&std::fs::read(&first).unwrap(), &world.version, &to);
    std::fs::write(&real, program).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&real, mode).unwrap();
    maker.publish(&to, &liar(&real));
    world.set_server_count(1);
    let mut server = world.server(0);
    // An upgrade waits for nobody's account: what is taken before it is in the cluster's own then.
    world.elsewhere.set_denied(true);
    keeps_before_upgrades(&world, "offsite", Some(&elsewhere(Timestamp::now())));
    server.start_manager();
    let name = noted(&world, UpgradePhase::Stopped).await.snapshot.expect("a snapshot");
    assert!(name.starts_with("~on-demand/before-"), "{name}");
    let request = Request::new("b-4".to_owned(), None, RequestAction::TakeBackUpgrade);
    let taken = answer(&world, &request).await;
    assert_eq!(taken.outcome, RequestOutcome::Done, "{taken:?}");
    eventually("it leads again", SOON, || async {
        let consul = world.status(0)?.consul?;
        (consul.is_leader && is_same_consul(&consul.version, &world.version)).then_some(())
    })
    .await;
    server.stop_manager().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_gone_already_goes_back_with_its_data() {
    let (first, next, to) = programs();
    let (world, maker) = world_of(&first, Channel::Minor).await;
    maker.publish(&to, &next);
    world.set_server_count(3);
    let servers = three(&world).await;
    let runs_it = |status: &ServerStatus| {
        status.consul.as_ref().is_some_and(|consul| is_same_consul(&consul.version, &to))
    };
    let gone = eventually("one has gone", SOON, || async {
        statuses(&world).into_iter().find(runs_it).map(|status| status.slot)
    })
    .await;
    let request = Request::new("b-3".to_owned(), None, RequestAction::TakeBackUpgrade);
    let taken = answer(&world, &request).await;
    assert_eq!(taken.outcome, RequestOutcome::Done, "{taken:?}");
    let from = world.version.clone();
    eventually("all run what ran before", SOON, || async { all_run(&world, &from) }).await;
    assert_eq!(note(&world).unwrap().phase, UpgradePhase::TakenBack);
    let kept: String = world.client(gone, MANAGEMENT).get("kv/kept?raw&stale").await.unwrap();
    assert_eq!(kept, "through it");
    for mut server in servers {
        server.stop_manager().await;
    }
}

/// Somebody writes all the time: nothing that was acknowledged is lost, and what the elections cost is printed. Three
/// servers where `HCS_UPGRADE_SERVERS` does not say how many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_go_one_after_the_other_and_lose_no_write() {
    let count = std::env::var("HCS_UPGRADE_SERVERS").map_or(3, |text| text.parse().unwrap());
    let (first, next, to) = programs();
    let (world, maker) = world_of(&first, Channel::Minor).await;
    world.set_server_count(count);
    keeps_before_upgrades(&world, "offsite", Some(&elsewhere(Timestamp::now())));
    let servers = formed(&world, count).await;
    let writer = Writer::start(&world, count);
    maker.publish(&to, &next);
    let done = noted(&world, UpgradePhase::Done).await;
    eventually("all run it", SOON, || async { all_run(&world, &to) }).await;
    let written = writer.stop().await;
    let snapshot = done.snapshot.expect("a snapshot");
    let path = snapshot.strip_prefix(&format!("{BACKUPS_ID}/blobs/")).expect("its whole id");
    assert!(world.elsewhere.read(BACKUPS, path).is_some(), "{snapshot}");
    println!(
        "{count} servers from Consul {} to {to}: {} writes acknowledged, the longest time without one {:?}",
        done.from.version,
        written.keys.len(),
        written.longest_gap
    );
    let there: Vec<String> = world.client(0, MANAGEMENT).get("kv/written/?keys").await.unwrap();
    let there: BTreeSet<&String> = there.iter().collect();
    let lost: Vec<&String> = written.keys.iter().filter(|key| !there.contains(key)).collect();
    assert_eq!(lost, [""; 0], "what was acknowledged is there");
    assert!(written.keys.len() > 20, "{}", written.keys.len());
    for mut server in servers {
        server.stop_manager().await;
    }
}

/// A turn is taken by what is written when the lock is held, and not by what was read half a minute before.
#[tokio::test]
async fn no_turn_is_taken_by_a_note_or_a_document_of_before() {
    let (world, _maker) = world_of(&consul_binary(), Channel::Patch).await;
    world.set_server_count(3);
    let stores = world.server(0).host.stores.clone();
    let generation = stores.cluster().await.unwrap().generation;
    let at_first = Basis { generation, upgrade_etag: None };
    assert!(at_first.is_current(&stores).await);

    let way = Way {
        from: stores.cluster().await.unwrap().consul,
        to: ConsulArtifact {
            version: next_patch(&world.version),
            sha256: "0".repeat(64),
            file_name: "consul".to_owned(),
        },
        by: By::Channel,
        after: None,
    };
    let note = way.note("1".to_owned(), UpgradePhase::Running, generation, Timestamp::now());
    world.account.write(container::DECISIONS, blob::UPGRADE, serde_json::to_string(&note).unwrap());
    let (_, etag) = stores.upgrade().await.unwrap();
    let running = Basis { generation, upgrade_etag: etag.as_deref() };
    assert!(running.is_current(&stores).await && !at_first.is_current(&stores).await);

    let back = Upgrade { phase: UpgradePhase::TakenBack, ..note };
    world.account.write(container::DECISIONS, blob::UPGRADE, serde_json::to_string(&back).unwrap());
    assert!(!running.is_current(&stores).await, "what was taken back reaches nobody else");
    let (_, etag) = stores.upgrade().await.unwrap();
    let taken_back = Basis { generation, upgrade_etag: etag.as_deref() };
    assert!(taken_back.is_current(&stores).await);
    world.set_server_count(3);
    assert!(!taken_back.is_current(&stores).await, "a later document");
    let generation = stores.cluster().await.unwrap().generation;
    let latest = Basis { generation, ..taken_back };
    assert!(latest.is_current(&stores).await);
    world.account.set_away(true);
    assert!(!latest.is_current(&stores).await, "what cannot be read is not known");
}

/// A machine that is made anew knows nothing, and what its slot has led with must not be forgotten: whatever was written then
/// lies in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_made_anew_says_what_its_slot_has_led_with() {
    let (world, _maker) = world_of(&consul_binary(), Channel::Patch).await;
    world.set_server_count(1);
    let mut servers = formed(&world, 1).await;
    let slot = container::status(0);
    let led = next_patch(&world.version);
    servers[0].stop_manager().await;
    let mut former: serde_json::Value =
        serde_json::from_slice(&world.account.read(&slot, blob::STATUS).unwrap()).unwrap();
    let sequence = former["sequence"].as_u64().unwrap();
    former["led_with"] = json!(led.to_string());
    world.account.write(&slot, blob::STATUS, former.to_string());
    std::fs::remove_file(servers[0].host.paths.state_dir().join("memory.json")).unwrap();
    servers[0].start_manager();
    eventually("another status", SOON, || async {
        world.status(0).filter(|status| status.sequence != sequence && status.consul.is_some())
    })
    .await;
    assert_eq!(world.status(0).unwrap().led_with, Some(led));
    servers[0].stop_manager().await;
}
