//! A snapshot is put back, once, however often whoever leads is cut off meanwhile.
//!
//! The snapshot is tried in a server that is thrown away, then what is there is saved. A key in Consul marks that state: a restore takes the key away, so whoever goes on after a
//! cut sees by looking whether Consul was given the snapshot before. Consul itself may answer with an error although it has
//! done it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hcs_engine::blob::BlobError;
use hcs_engine::jobs::{HeldJob, NotNow, open_run};
use hcs_planner::dataplane::{blob, container};
use hcs_planner::jobs::JobKind;
use hcs_planner::requests::{Request, RequestOutcome, argument};
use hcs_planner::restore::{MARKER, Restore, RestorePhase};
use hcs_planner::snapshots::time_in_name;
use hcs_planner::upgrade::UpgradePhase;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::consul::client::{ConsulClient, ConsulError};
use crate::host::Host;
use crate::lock::Lock;
use crate::report::chain;
use crate::snapshot::on_demand;
use crate::snapshot::save::{self, Place, SaveError, Saved};
use crate::snapshot::trial;
use crate::status::written_at;

/// Servers and their keepers need a moment after it: tokens of another time may have to be made again.
const SETTLED_MAX: Duration = Duration::from_mins(5);
const LOOK: Duration = Duration::from_secs(1);
/// One server at a time tries the snapshot and notes that it begins.
const TURN: &str = "hcs/restore-turn";
const TURN_TTL_S: u32 = 60;
/// A trial, a snapshot, and somebody who died over them.
const TURN_MAX: Duration = Duration::from_mins(25);

/// How it ended, and what it brought.
type Answer = Result<BTreeMap<String, Value>, (RequestOutcome, String)>;

fn refused<T>(reason: impl Into<String>) -> Result<T, (RequestOutcome, String)> {
    Err((RequestOutcome::Refused, reason.into()))
}

fn failed(error: &(dyn std::error::Error + 'static)) -> (RequestOutcome, String) {
    (RequestOutcome::Failed, chain(error))
}

/// Whether a request may name this snapshot: a file of a policy or of somebody who asked, and no path of its own.
pub fn may_be_named(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '~');
    let parts = name.strip_suffix(".snap").and_then(|name| name.split_once('/'));
    parts.is_some_and(|(folder, file)| {
        [folder, file].iter().all(|part| !part.is_empty() && part.chars().all(plain))
    })
}

/// Serves the request, from wherever it was left. No apply but the one that asks for it, and no job of another server, goes
/// on beside it.
pub async fn serve(host: &Host, client: &ConsulClient, request: &Request) -> Answer {
    let lock = turn(host, client, request).await?;
    let (noted, etag) = noted(host, request).await?;
    if let Some(noted) = noted.as_ref().filter(|noted| noted.phase == RestorePhase::Done) {
        give_back(lock).await;
        return Ok(told(noted));
    }
    let held = match held(host, request, noted.is_some()).await {
        Ok(held) => held,
        Err(refused) => {
            give_back(lock).await;
            return Err(refused);
        }
    };
    let work = Box::pin(async {
        let begun = match (noted, lock) {
            (Some(noted), lock) => {
                give_back(lock).await;
                (noted, etag)
            }
            (None, Some(lock)) => lock
                .hold(begin(host, client, request, etag))
                .await
                .map_err(|error| failed(&error))??,
            (None, None) => return refused("another server began it, and its note is gone"),
        };
        put_back(host, client, &begun.0).await?;
        Ok(begun)
    });
    let begun = match held {
        Held::Apply => work.await?,
        Held::Job(job) => match job.hold(work).await {
            Ok(done) => done?,
            // What was under way was dropped, and Consul may have done it all the same.
            Err(lost) => match host.stores.restore().await {
                Ok((Some(noted), etag))
                    if noted.id == request.id && is_restored(client, &noted).await? =>
                {
                    (noted, etag)
                }
                _ => return Err(failed(&lost)),
            },
        },
    };
    finish(host, client, begun).await
}

/// What is noted of this request, and the etag to note more.
async fn noted(
    host: &Host,
    request: &Request,
) -> Result<(Option<Restore>, Option<String>), (RequestOutcome, String)> {
    let (noted, etag) = host.stores.restore().await.map_err(|error| failed(&error))?;
    Ok((noted.filter(|noted| noted.id == request.id), etag))
}

/// Whose turn it is to begin: whoever leads next finds the request, too, while a trial goes on. None, where it was begun.
async fn turn<'a>(
    host: &Host,
    client: &'a ConsulClient,
    request: &Request,
) -> Result<Option<Lock<'a>>, (RequestOutcome, String)> {
    let mut waited = Duration::ZERO;
    loop {
        if noted(host, request).await?.0.is_some() {
            return Ok(None);
        }
        let holder = &host.bootstrap.node_name;
        let lock = Lock::acquire(client, TURN, holder, TURN_TTL_S).await;
        if let Some(lock) = lock.map_err(|error| failed(&error))? {
            return Ok(Some(lock));
        }
        if waited >= TURN_MAX {
            return refused("another server is at it and does not get on");
        }
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
    }
}

async fn give_back(lock: Option<Lock<'_>>) {
    if let Some(lock) = lock {
        let _ = lock.hold(std::future::ready(())).await;
    }
}

/// The state is back: waits until all is well with it, and notes that.
async fn finish(
    host: &Host,
    client: &ConsulClient,
    (restore, etag): (Restore, Option<String>),
) -> Answer {
    // The keepers may have to restart servers for tokens of another time, which is a job of theirs.
    settle(host, client).await;
    // The state of before a restore holds both.
    for key in [MARKER, TURN] {
        let _ = client.delete(&format!("kv/{key}")).await;
    }
    let since = written_at(host.clock.now_unix_ms());
    let done = Restore { phase: RestorePhase::Done, since, ..restore };
    // The state is back whether that can be noted or not: whoever serves the request again sees it by the key.
    match host.stores.note_restore(&done, etag).await {
        Ok(_) | Err(BlobError::ConditionFailed { .. }) => Ok(told(&done)),
        Err(error) => Err(failed(&error)),
    }
}

/// What keeps applies and other servers away.
enum Held {
    /// A job of ours.
    Job(Box<HeldJob>),
    /// The apply that asked for it and waits for it: no job begins beside an apply.
    Apply,
}

/// Takes it. What was begun is gone on with as soon as that may be: the job of a server
/// that was cut off counts as alive for half a minute.
async fn held(
    host: &Host,
    request: &Request,
    is_begun: bool,
) -> Result<Held, (RequestOutcome, String)> {
    let by = request.asked_by.as_deref().unwrap_or("somebody");
    let reason = format!("asked for by {by}");
    let mut waited = Duration::ZERO;
    loop {
        let (store, clock) = (Arc::clone(&host.stores.shared), Arc::clone(&host.clock));
        let slot = host.bootstrap.slot;
        let begun = HeldJob::begin(store, clock, JobKind::Restore, slot, &reason).await;
        match begun.map_err(|error| failed(&error))? {
            Ok(job) => return Ok(Held::Job(Box::new(job))),
            Err(NotNow::Run) if is_asked_by_the_run(host, request).await? => {
                return Ok(Held::Apply);
            }
            Err(_) if is_begun && waited < SETTLED_MAX => {
                host.clock.sleep(LOOK).await;
                waited += LOOK;
            }
            Err(NotNow::Run) => return refused("an apply works on the cluster: wait for its end"),
            Err(NotNow::Job) => {
                return refused("the servers do something else: try again in a minute");
            }
        }
    }
}

/// What is looked at before anything is touched, and what is kept before anything is lost.
async fn begin(
    host: &Host,
    client: &ConsulClient,
    request: &Request,
    etag: Option<String>,
) -> Result<(Restore, Option<String>), (RequestOutcome, String)> {
    let name = request.arguments.get(argument::SNAPSHOT).and_then(Value::as_str);
    let name = name.unwrap_or_default().to_owned();
    let good = good(host, client, &name).await?;
    let (upgrade, _) = host.stores.upgrade().await.map_err(|error| failed(&error))?;
    let is_under_way = |phase| matches!(phase, UpgradePhase::Running | UpgradePhase::Stopped);
    if let Some(upgrade) = upgrade.filter(|upgrade| is_under_way(upgrade.phase)) {
        return refused(format!("{}: wait for its end, or take it back", upgrade.told()));
    }
    let raft_index = Some(good.saved.facts.index);
    let is_asked_without =
        request.arguments.get(argument::WITHOUT_TRIAL).and_then(Value::as_bool).unwrap_or(false);
    let untried = if is_asked_without {
        Some("nobody wanted it to be tried".to_owned())
    } else {
        tried(host, &name, good).await?
    };
    is_wanted_still(host, request).await?;
    let short = request.id.split('-').next().unwrap_or_default();
    // Each try has its own: what was written since the last one is kept as well.
    let now_ms = i64::try_from(host.clock.now_unix_ms()).unwrap_or(i64::MAX);
    let time = time_in_name(Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::MAX));
    let safety_snapshot = format!("{}before-restore-{time}-{short}.snap", blob::ON_DEMAND);
    let taken = on_demand::take(host, client, &safety_snapshot, BTreeMap::new()).await;
    taken.map_err(|error| failed(&error))?;
    // First the key, then the note: a note without the key would say that it is done.
    let marked = client.put_only(&format!("kv/{MARKER}"), &json!(request.id)).await;
    marked.map_err(|error| failed(&error))?;
    let restore = Restore {
        id: request.id.clone(),
        snapshot: name,
        safety_snapshot,
        raft_index,
        untried,
        phase: RestorePhase::Begun,
        since: written_at(host.clock.now_unix_ms()),
        unknown: BTreeMap::new(),
    };
    match host.stores.note_restore(&restore, etag).await {
        Ok(etag) => Ok((restore, Some(etag))),
        Err(BlobError::ConditionFailed { .. }) => refused("another server restores just now"),
        Err(error) => Err(failed(&error)),
    }
}

/// Whether the apply that works on the cluster now is the one that asked.
async fn is_asked_by_the_run(
    host: &Host,
    request: &Request,
) -> Result<bool, (RequestOutcome, String)> {
    let Some(asking) = request.asking_run() else { return Ok(false) };
    let open = open_run(host.stores.shared.as_ref()).await.map_err(|error| failed(&error))?;
    Ok(open.as_deref() == Some(asking))
}

/// A trial takes its time: who asked may have taken it back, and the apply that waited for it may be dead.
async fn is_wanted_still(host: &Host, request: &Request) -> Result<(), (RequestOutcome, String)> {
    let found = host.stores.request(None).await.map_err(|error| failed(&error))?;
    let now_unix_ms = host.clock.now_unix_ms();
    // An apply that was begun again asks the same anew.
    let Some(found) = found.filter(|it| it.id == request.id && !it.is_over(now_unix_ms)) else {
        return refused(
            "it was taken back, or has expired, while the snapshot was tried. Nothing was touched",
        );
    };
    if found.asking_run().is_some() && !is_asked_by_the_run(host, &found).await? {
        return refused("the apply that asked for it has ended. Nothing was touched");
    }
    Ok(())
}

/// Restores it into a server that is thrown away. What it cannot be tried for is no reason to leave a cluster without its
/// state, and is told: none, where it was tried.
async fn tried(
    host: &Host,
    name: &str,
    good: Good,
) -> Result<Option<String>, (RequestOutcome, String)> {
    let place = Place { store: &host.stores.shared, container: container::SNAPSHOTS, name };
    let Good { saved, etag, version } = good;
    match trial::try_out(host, &version, place, &saved, etag).await {
        Ok(took) => {
            let took_ms = took.as_millis();
            tracing::info!(snapshot = name, took_ms, "a throw-away server has restored it");
            Ok(None)
        }
        Err(error) if error.is_no_snapshot() => {
            refused(format!("{name}: {}. Nothing was touched", chain(&error)))
        }
        Err(error) => {
            tracing::warn!(error = %chain(&error), snapshot = name, "it was not tried");
            Ok(Some(chain(&error)))
        }
    }
}

/// A snapshot that was looked at.
struct Good {
    saved: Saved,
    /// Of the version of the blob that was looked at.
    etag: String,
    /// Of the Consul that is to restore it.
    version: String,
}

/// It is there, whole, and this Consul knows all that it holds.
async fn good(
    host: &Host,
    client: &ConsulClient,
    name: &str,
) -> Result<Good, (RequestOutcome, String)> {
    if !may_be_named(name) {
        return refused(format!("{name:?} names no snapshot: `hcs snapshots list` names them"));
    }
    let place = Place { store: &host.stores.shared, container: container::SNAPSHOTS, name };
    let (saved, etag) = match save::look(place).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return refused(format!(
                "there is no snapshot {name}: `hcs snapshots list` names them"
            ));
        }
        Err(SaveError::Archive(error)) => {
            return refused(format!("{name} is not whole: {}. Nothing was touched", chain(&error)));
        }
        Err(error) => return Err(failed(&error)),
    };
    let version = client.version().await.map_err(|error| failed(&error))?;
    match saved.facts.check_for(version.parse().ok().as_ref()) {
        Ok(()) => Ok(Good { saved, etag, version }),
        Err(error) => refused(format!("{name}: {}. Nothing was touched", chain(&error))),
    }
}

async fn put_back(
    host: &Host,
    client: &ConsulClient,
    restore: &Restore,
) -> Result<(), (RequestOutcome, String)> {
    if is_restored(client, restore).await? {
        return Ok(());
    }
    let Good { etag, .. } = good(host, client, &restore.snapshot).await?;
    tracing::warn!(snapshot = restore.snapshot, before = restore.safety_snapshot, "restoring");
    let store = Arc::clone(&host.stores.shared);
    let archive =
        save::read(store, container::SNAPSHOTS.to_owned(), restore.snapshot.clone(), Some(etag));
    let Err(error) = client.restore(archive).await else { return Ok(()) };
    tracing::warn!(error = %chain(&error), "Consul says that it did not restore; looking");
    if is_restored(client, restore).await? {
        return Ok(());
    }
    Err((RequestOutcome::Failed, format!("Consul did not restore it: {}", chain(&error))))
}

/// Whether Consul holds another state than the one that was marked.
async fn is_restored(
    client: &ConsulClient,
    restore: &Restore,
) -> Result<bool, (RequestOutcome, String)> {
    let path = format!("kv/{MARKER}?raw&consistent");
    let mut waited = Duration::ZERO;
    loop {
        match client.get::<String>(&path).await {
            Ok(id) => return Ok(id != restore.id),
            Err(ConsulError::Refused { status: 404, .. }) => return Ok(true),
            // No leader; or tokens of another time, which the keepers make anew.
            Err(error) if waited >= SETTLED_MAX => return Err(failed(&error)),
            Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
    }
}

/// Waits until Consul serves us again and calls all servers healthy. What is not well by then, the status says.
async fn settle(host: &Host, client: &ConsulClient) {
    let mut waited = Duration::ZERO;
    while waited < SETTLED_MAX {
        if client.autopilot_health().await.is_ok_and(|health| health.healthy) {
            return;
        }
        host.clock.sleep(LOOK).await;
        waited += LOOK;
    }
    tracing::warn!("Autopilot does not call all servers healthy after the restore");
}

fn told(restore: &Restore) -> BTreeMap<String, Value> {
    let untried = restore.untried.as_ref().map(|why| (argument::UNTRIED.to_owned(), json!(why)));
    let index = restore.raft_index.map(|index| (argument::RAFT_INDEX.to_owned(), json!(index)));
    [
        (argument::SNAPSHOT.to_owned(), json!(restore.snapshot)),
        (argument::SAFETY_SNAPSHOT.to_owned(), json!(restore.safety_snapshot)),
    ]
    .into_iter()
    .chain(untried)
    .chain(index)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_a_snapshot_and_no_path() {
        for name in ["hourly/20261128T101500Z.snap", "~on-demand/20261128T101500Z-0a1b2c3d.snap"] {
            assert!(may_be_named(name), "{name}");
        }
        for name in ["", ".snap", "a.snap", "hourly/.snap", "../x.snap", "a/b/c.snap", "hourly/x"] {
            assert!(!may_be_named(name), "{name}");
        }
    }
}
