//! Hour after hour of a policy, with a real Consul and a clock of the test: two servers try at once, and storage, clock and
//! servers are away at random. `HCS_SNAPSHOT_HOURS` lives more of them; a year has 8,760.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hcs_engine::blob::delete_all;
use hcs_engine::clock::Clock;
use hcs_engine::error::chain;
use hcs_engine::snapshot::archive;
use hcs_host_manager::consul::client::ConsulClient;
use hcs_host_manager::host::Host;
use hcs_host_manager::snapshot::attempt::{Outcome, attempt};
use hcs_host_manager::snapshot::run::expire;
use hcs_host_manager::timing::Timing;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::snapshots::policy::{Kept, PolicyReport, SnapshotPolicyDocument};
use hcs_planner::snapshots::retention::Retention;
use hcs_planner::snapshots::{metadata, newest, time_in_name, time_of};
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use support::blobs::{BACKUPS, BACKUPS_ID};
use support::world::{MANAGEMENT, Server, World, elsewhere};
use support::{consul_binary, eventually};

const HOURS_IN_CI: u64 = 240;
const HOUR_MS: u64 = 3_600_000;
/// 2026-11-29T00:00:00Z.
const BEGIN_MS: u64 = 1_795_910_400_000;
const RETAIN: usize = 8;

/// Shows what the test says.
struct Hand(AtomicU64);

#[async_trait]
impl Clock for Hand {
    fn now_unix_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.now_unix_ms()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The server, once it leads.
async fn leading(world: &World) -> ConsulClient {
    let client = world.client(0, MANAGEMENT);
    eventually("it leads", Duration::from_mins(1), || async {
        client.put_only("kv/kept", &json!("yes")).await.ok()
    })
    .await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hour_has_one_snapshot_whatever_is_away_and_the_newest_are_kept() {
    let hours = std::env::var("HCS_SNAPSHOT_HOURS").ok();
    let hours = hours.map_or(HOURS_IN_CI, |text| text.parse().unwrap());
    let world = World::new(&consul_binary(), 1);
    let mut server = world.server(0);
    server.start_manager();
    let client = leading(&world).await;
    let policy: SnapshotPolicyDocument = serde_json::from_value(json!({
        "name": "hourly", "interval_seconds": 3600, "retain_count": RETAIN, "enabled": true,
    }))
    .unwrap();
    let clocks = [0, 1].map(|_| Arc::new(Hand(AtomicU64::new(BEGIN_MS))));
    let hosts = clocks.clone().map(|clock| Host {
        clock,
        timing: Timing::scaled(1.0),
        ..server.host.clone()
    });
    let names = || world.account.names(container::SNAPSHOTS);
    let (mut random, begun) = (StdRng::seed_from_u64(17), Instant::now());
    let (mut saved, mut away, mut raced) = (0_u64, 0_u64, 0_u64);
    for hour in 0..hours {
        let start_ms = BEGIN_MS + hour * HOUR_MS;
        let storage_is_away = random.gen_range(0..12) == 0;
        if storage_is_away {
            away += 1;
            world.account.set_away(true);
            clocks[0].0.store(start_ms, Ordering::Relaxed);
            attempt(&hosts[0], &client, &policy).await.unwrap_err();
            world.account.set_away(false);
        }
        // Both look within the hour, at clocks that are minutes apart; now and then one server is away.
        let at =
            [(); 2].map(|()| random.gen_range(0..50)).map(|minute: u64| start_ms + minute * 60_000);
        clocks.iter().zip(at).for_each(|(clock, at)| clock.0.store(at, Ordering::Relaxed));
        if random.gen_range(0..5) == 0 {
            attempt(&hosts[usize::try_from(hour % 2).unwrap()], &client, &policy).await.unwrap();
        } else {
            raced += 1;
            let (first, second) = tokio::join!(
                attempt(&hosts[0], &client, &policy),
                attempt(&hosts[1], &client, &policy)
            );
            first.unwrap();
            second.unwrap();
        }
        let found = names();
        let moment = |ms: u64| Timestamp::from_millisecond(ms.try_into().unwrap()).unwrap();
        let expected = format!("hourly/{}.snap", time_in_name(moment(start_ms)));
        let of_hour = found.iter().filter(|name| **name == expected).count();
        assert_eq!(of_hour, 1, "hour {hour}: {found:?}");
        saved += 1;
        let kept = usize::try_from(hour + 1).unwrap_or(usize::MAX).min(RETAIN);
        assert_eq!(found.len(), kept, "hour {hour}: {found:?}");
        let newest = newest("hourly", found.iter().map(String::as_str), moment(at[0]));
        assert_eq!(newest, Some(moment(start_ms)), "hour {hour}");
        let bytes = world.account.read(container::SNAPSHOTS, &expected).unwrap();
        archive::verify(bytes.as_ref()).unwrap();
    }
    println!(
        "{saved} snapshots in {:.1} s: {raced} hours with two that tried at once, {away} with a storage that was away",
        begun.elapsed().as_secs_f64()
    );
    server.stop_manager().await;
}

/// Fourteen months of hours that a new rule leaves little of.
#[tokio::test]
async fn ten_thousand_are_listed_and_pruned_and_the_right_ones_stay() {
    const COUNT: usize = 10_000;
    let world = World::new(&consul_binary(), 1);
    let server = world.server(0);
    let store = server.host.stores.shared.clone();
    let moment = |hour: u64| {
        let ms = i64::try_from(BEGIN_MS + hour * HOUR_MS).unwrap();
        Timestamp::from_millisecond(ms).unwrap()
    };
    let name = |hour: u64| format!("hourly/{}.snap", time_in_name(moment(hour)));
    for hour in 0..COUNT as u64 {
        world.account.write(container::SNAPSHOTS, &name(hour), "archive");
    }
    let retention = Retention { daily: Some(14), monthly: Some(12), ..Retention::default() };
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let began = Instant::now();
    let listed = store.list(container::SNAPSHOTS, "hourly/").await.unwrap();
    let times = listed.iter().filter_map(|entry| time_of("hourly", &entry.name));
    let now = moment(COUNT as u64);
    let superfluous = retention.superfluous(times, now, &zone);
    let names = superfluous.iter().map(|time| format!("hourly/{}.snap", time_in_name(*time)));
    let names = names.collect();
    let (gone, refused) = delete_all(store.as_ref(), container::SNAPSHOTS, names).await;
    println!("{gone} of {COUNT} pruned in {:.2} s", began.elapsed().as_secs_f64());
    assert!(refused.is_none());
    let left = world.account.names(container::SNAPSHOTS);
    assert_eq!(left.len() + gone, COUNT);
    // Fourteen days, and twelve months of which the last one's is the last day's.
    assert_eq!(left.len(), 14 + 12 - 1, "{left:?}");
    assert!(left.contains(&name(COUNT as u64 - 1)), "the newest");
}

#[tokio::test]
async fn what_has_expired_goes_and_the_rest_stays() {
    let world = World::new(&consul_binary(), 1);
    let server = world.server(0);
    let clock = Arc::new(Hand(AtomicU64::new(BEGIN_MS)));
    let host = Host { clock, ..server.host.clone() };
    let store = &host.stores.shared;
    let rows = [
        ("~on-demand/over.snap", Some("2026-11-28T23:59:59Z"), false),
        ("~on-demand/just-now.snap", Some("2026-11-29T00:00:00Z"), false),
        ("~on-demand/later.snap", Some("2026-11-29T00:00:01Z"), true),
        ("~on-demand/for-ever.snap", None, true),
        ("~on-demand/at-some-time.snap", Some("soon"), true),
        // A policy's own rules say what goes.
        ("hourly/20261128T000000Z.snap", Some("2026-11-28T00:00:00Z"), true),
    ];
    for (name, expires_at, _) in rows {
        world.account.write(container::SNAPSHOTS, name, "archive");
        let said = expires_at.map(|at| (metadata::EXPIRES_AT.to_owned(), at.to_owned()));
        let said = said.into_iter().collect();
        store.set_metadata(container::SNAPSHOTS, name, &said).await.unwrap();
    }
    expire(&host).await.unwrap();
    let left = world.account.names(container::SNAPSHOTS);
    for (name, expires_at, stays) in rows {
        assert_eq!(left.contains(&name.to_owned()), stays, "{name} {expires_at:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_deleted_is_no_failed_backup() {
    let world = World::new(&consul_binary(), 1);
    let mut server = world.server(0);
    server.start_manager();
    let client = leading(&world).await;
    let policy = SnapshotPolicyDocument {
        interval_seconds: Some(3600),
        retention: Retention { count: Some(1), ..Retention::default() },
        ..SnapshotPolicyDocument::named("hourly")
    };
    let clock = Arc::new(Hand(AtomicU64::new(BEGIN_MS)));
    let timing = Timing::scaled(1.0);
    let host = Host { clock: clock.clone(), timing, ..server.host.clone() };
    world.account.set_immutable("BlobImmutableDueToPolicy");
    for hour in 0..3 {
        clock.0.store(BEGIN_MS + hour * HOUR_MS, Ordering::Relaxed);
        let outcome = attempt(&host, &client, &policy).await.unwrap();
        let Outcome::Saved { pruned, unpruned, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((pruned, unpruned.is_some()), (0, hour > 0), "hour {hour}");
    }
    assert_eq!(world.account.names(container::SNAPSHOTS).len(), 3);
    server.stop_manager().await;
}

/// What stands under final names: whole archives, one for each hour at most.
fn kept(world: &World) -> Vec<String> {
    let names = world.account.names(container::SNAPSHOTS);
    for name in &names {
        let bytes = world.account.read(container::SNAPSHOTS, name).unwrap();
        archive::verify(bytes.as_ref()).unwrap();
        assert!(time_of("hourly", name).is_some(), "{name}");
    }
    names
}

/// A folder that takes no more.
#[derive(Debug)]
enum Full {
    /// A small disk of its own, filled to its end.
    Disk,
    /// No folder at all, where this process may not mount one.
    NoFolder,
}

impl Full {
    fn make(folder: &Path) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder);
        if !mount.output().is_ok_and(|output| output.status.success()) {
            std::fs::remove_dir_all(folder).unwrap();
            std::fs::write(folder, "no folder").unwrap();
            return Self::NoFolder;
        }
        let filled = std::fs::write(folder.join("filler"), vec![0; 128 * 1024]);
        assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        Self::Disk
    }

    fn end(&self, folder: &Path) {
        match self {
            // Consul may hold a file of it for a moment yet.
            Self::Disk => {
                let ended = Command::new("umount").arg("--lazy").arg(folder).status().unwrap();
                assert!(ended.success());
            }
            Self::NoFolder => {
                std::fs::remove_file(folder).unwrap();
                std::fs::create_dir(folder).unwrap();
            }
        }
    }
}

/// By fault: how it was told, and that nothing but whole archives is there afterwards, and that the next try is good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_lost_a_clock_that_jumps_and_a_disk_without_room_leave_no_half_snapshot() {
    let world = World::new(&consul_binary(), 1);
    let mut server = world.server(0);
    server.start_manager();
    let client = leading(&world).await;
    server.stop_manager().await;
    let policy = SnapshotPolicyDocument {
        interval_seconds: Some(3600),
        retention: Retention { count: Some(4), min: Some(2), ..Retention::default() },
        ..SnapshotPolicyDocument::named("hourly")
    };
    let clock = Arc::new(Hand(AtomicU64::new(BEGIN_MS)));
    let host = Host { clock: clock.clone(), timing: Timing::scaled(1.0), ..server.host.clone() };
    let mut hour = 0;
    let mut next_hour = || {
        hour += 1;
        clock.0.store(BEGIN_MS + hour * HOUR_MS, Ordering::Relaxed);
    };

    // Somebody ends the session while the archive goes up.
    next_hour();
    world.account.set_takes_no_parts(true);
    let ended = async {
        let session = eventually("it holds the lock", Duration::from_secs(20), || async {
            let rows: serde_json::Value = client.get("kv/hcs/snapshot/hourly").await.ok()?;
            rows[0]["Session"].as_str().map(str::to_owned)
        });
        client.destroy_session(&session.await).await.unwrap();
    };
    let (lost, ()) = tokio::join!(attempt(&host, &client, &policy), ended);
    let told = lost.unwrap_err().to_string();
    assert!(told.contains("the lock was lost"), "{told}");
    world.account.set_takes_no_parts(false);
    assert_eq!(kept(&world), [""; 0], "nothing of it is there");
    attempt(&host, &client, &policy).await.unwrap();
    assert_eq!(kept(&world).len(), 1);

    // Consul has no room for what it spools.
    let temporary = server.host.paths.temporary_dir();
    let full = Full::make(&temporary);
    next_hour();
    let before = kept(&world);
    let told = chain(&attempt(&host, &client, &policy).await.unwrap_err());
    println!("{full:?}: {told}");
    assert_eq!(kept(&world), before, "{told}");
    full.end(&temporary);
    attempt(&host, &client, &policy).await.unwrap();

    // A clock that is a day ahead, and right again.
    let right = clock.0.load(Ordering::Relaxed);
    clock.0.store(right + 24 * HOUR_MS, Ordering::Relaxed);
    attempt(&host, &client, &policy).await.unwrap();
    let ahead = kept(&world);
    clock.0.store(right, Ordering::Relaxed);
    for later in 1..=3 {
        clock.0.store(right + later * HOUR_MS, Ordering::Relaxed);
        attempt(&host, &client, &policy).await.unwrap();
        let expected = time_in_name(
            Timestamp::from_millisecond((right + later * HOUR_MS).try_into().unwrap()).unwrap(),
        );
        assert!(
            kept(&world).contains(&format!("hourly/{expected}.snap")),
            "hour {later}: kept and not pruned at once"
        );
    }
    assert!(
        kept(&world).contains(ahead.last().unwrap()),
        "what lies in the future pushes nothing out and goes by nobody"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_names_somebodys_container_keeps_all_there_and_says_what_it_lacks() {
    let world = World::new(&consul_binary(), 1);
    world.elsewhere.set_denied(true);
    let declare = |since: Timestamp| {
        let policy = SnapshotPolicyDocument {
            // Longer than this lasts, at the speed of these servers.
            interval_seconds: Some(7 * 86_400),
            drill_interval_seconds: Some(7 * 86_400),
            place: Some(elsewhere(since)),
            ..SnapshotPolicyDocument::named("hourly")
        };
        let document = serde_json::to_vec(&policy).unwrap();
        world.account.write(container::CONFIG, &blob::snapshot_policy("hourly"), document);
    };
    let report = || -> Option<PolicyReport> {
        let bytes = world.account.read(container::DECISIONS, &blob::policy_report("hourly"))?;
        Some(serde_json::from_slice(&bytes).unwrap())
    };
    let told = || world.status(0).and_then(|status| status.last_error);
    let mut server = world.server(0);
    server.start_manager();
    leading(&world).await;

    // A right that was given with the policy spreads for some minutes.
    declare(Timestamp::now());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((report(), told()), (None, None), "nothing is wrong yet");
    declare(Timestamp::now() - jiff::SignedDuration::from_mins(11));
    let soon = Duration::from_mins(1);
    let error = eventually("it is told", soon, || async { report()?.last_error }).await;
    for part in [BACKUPS_ID, "identity shared needs", "Storage Blob Data Contributor"] {
        assert!(error.contains(part), "{error}");
    }
    eventually("the server says it", soon, || async { told().filter(|it| it.contains(&error)) })
        .await;

    world.elsewhere.set_denied(false);
    let noted = eventually("it is there and was tried", soon, || async {
        report().filter(|report| report.last_verified_at.is_some() && report.kept.is_some())
    })
    .await;
    assert_eq!((noted.last_error, noted.drill_error), (None, None));
    let names = world.elsewhere.names(BACKUPS);
    let name = names.first().unwrap();
    assert!(time_of("demo-0a1b2c3d/hourly", name).is_some(), "{name}");
    let bytes = world.elsewhere.read(BACKUPS, name).unwrap();
    archive::verify(bytes.as_ref()).unwrap();
    let Kept { count, oldest, newest, total_size_bytes } = noted.kept.unwrap();
    assert_eq!((count, total_size_bytes), (1, bytes.len() as u64));
    assert_eq!((oldest, newest), (newest, time_of("demo-0a1b2c3d/hourly", name)));
    assert_eq!(world.account.names(container::SNAPSHOTS), [""; 0], "none in the cluster's own");
    eventually("all is well", soon, || async { told().is_none().then_some(()) }).await;
    server.stop_manager().await;
}

/// Whoever leads ends while the archive goes up. `HCS_LEADER_MIB` says how much state there is: from 48 on Consul has not
/// given all of it by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_ends_during_a_snapshot_leaves_a_whole_one_or_none() {
    let mib: u64 = std::env::var("HCS_LEADER_MIB").map_or(1, |text| text.parse().unwrap());
    let world = World::new(&consul_binary(), 3);
    let mut servers: Vec<_> = (0..3).map(|slot| world.server(slot)).collect();
    servers.iter_mut().for_each(Server::start_manager);
    let soon = Duration::from_mins(2);
    let leader = eventually("all vote and one leads", soon, || async {
        let rows: Vec<_> = (0..3).filter_map(|slot| world.status(slot)?.consul).collect();
        let all_vote = rows.len() == 3 && rows.iter().all(|consul| consul.voters.len() == 3);
        rows.iter().position(|consul| consul.is_leader).filter(|_| all_vote)
    })
    .await;
    let other = (leader + 1) % 3;
    let client = world.client(u32::try_from(other).unwrap(), MANAGEMENT);
    let mut random = StdRng::seed_from_u64(7);
    for number in 0..mib * 4 {
        let value: String =
            (0..262_144).map(|_| char::from(random.gen_range(b' '..b'~'))).collect();
        eventually("a key is written", soon, || async {
            client.put_only(&format!("kv/large/{number}"), &value).await.ok()
        })
        .await;
    }
    let policy = SnapshotPolicyDocument {
        interval_seconds: Some(3600),
        retention: Retention { count: Some(4), ..Retention::default() },
        ..SnapshotPolicyDocument::named("hourly")
    };
    let clock = Arc::new(Hand(AtomicU64::new(BEGIN_MS)));
    let timing = Timing::scaled(1.0);
    let host = Host { clock, timing, ..servers[other].host.clone() };

    world.account.set_takes_no_parts(true);
    let ends = async {
        let key = "kv/hcs/snapshot/hourly";
        eventually("it holds the lock", soon, || async {
            let rows: serde_json::Value = client.get(key).await.ok()?;
            rows[0]["Session"].as_str().map(drop)
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        servers[leader].service.kill();
        eventually("another one leads", soon, || async {
            client.put_only("kv/after", &json!("it")).await.ok()
        })
        .await;
        world.account.set_takes_no_parts(false);
    };
    let (first, ()) = tokio::join!(attempt(&host, &client, &policy), ends);
    println!("{mib} MiB: {first:?}");
    assert_eq!(kept(&world).len(), usize::from(first.is_ok()), "a whole one or none");
    eventually("the hour has its snapshot", soon, || async {
        // The lock of a try that was broken off is free a moment later.
        let tried = attempt(&host, &client, &policy).await.ok();
        tried.filter(|outcome| !matches!(outcome, Outcome::Busy))
    })
    .await;
    assert_eq!(kept(&world).len(), 1, "one for the hour");
    for mut server in servers {
        server.stop_manager().await;
    }
}
