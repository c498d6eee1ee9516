//! A policy's newest snapshot is restored into a throw-away server from time to time: what can be read to its end may still
//! be something that Consul does not take.

use std::collections::BTreeMap;
use std::sync::Arc;

use hcs_planner::dataplane::blob;
use hcs_planner::snapshots::policy::{PolicyReport, SnapshotPolicyDocument};
use hcs_planner::snapshots::time_in_name;
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::folder::Folder;
use super::run::note;
use super::save::{self, SaveError};
use super::trial::{self, TrialError};
use crate::consul::client::{ConsulClient, ConsulError};
use crate::documents::DocumentError;
use crate::host::Host;
use crate::lock::{Lock, LockError};
use crate::report::chain;
use crate::status::{Board, written_at};

const LOCK_TTL_S: u32 = 30;
/// After a drill that was not done well, and between two looks at what others have done.
const AGAIN_SECONDS: u64 = 3600;
const LOOK_SECONDS: u64 = 60;

/// Why a snapshot is not known to be good.
#[derive(Debug, thiserror::Error)]
enum DrillError {
    /// Consul.
    #[error(transparent)]
    Consul(#[from] ConsulError),
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What is noted of the policy.
    #[error(transparent)]
    Report(#[from] DocumentError),
    /// It cannot be read.
    #[error(transparent)]
    Look(#[from] SaveError),
    /// It is not there any more.
    #[error("it has gone")]
    Gone,
    /// Trying it.
    #[error(transparent)]
    Trial(#[from] TrialError),
}

impl DrillError {
    /// Whether it speaks of the snapshot, or of what this server has.
    fn lasts(&self) -> bool {
        match self {
            Self::Trial(error) => error.lasts(),
            Self::Look(error) => matches!(error, SaveError::Archive(_)),
            Self::Consul(_) | Self::Lock(_) | Self::Report(_) | Self::Gone => false,
        }
    }
}

/// The drills of a server: one at a time, beside the policies' own work.
#[derive(Default)]
pub(super) struct Drills {
    under_way: Option<(String, JoinHandle<u64>)>,
    /// Nothing of a policy's drill is looked at before, Unix milliseconds.
    at_ms: BTreeMap<String, u64>,
}

impl Drop for Drills {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.under_way {
            task.abort();
        }
    }
}

impl Drills {
    /// Begins the drill of a policy where it may be due and none goes on.
    pub(super) async fn attend(
        &mut self,
        host: &Arc<Host>,
        board: &Arc<Board>,
        client: &ConsulClient,
        policy: &SnapshotPolicyDocument,
        newest: Option<Timestamp>,
    ) {
        if let Some((name, task)) = self.under_way.take_if(|(_, task)| task.is_finished()) {
            self.at_ms.insert(name, task.await.unwrap_or(0));
        }
        let at_ms = self.at_ms.get(&policy.name).copied().unwrap_or(0);
        if policy.drill_interval_seconds.is_none() {
            board.solved(&area(&policy.name));
        } else if self.under_way.is_none() && host.clock.now_unix_ms() >= at_ms {
            let (host, board, client) = (Arc::clone(host), Arc::clone(board), client.clone());
            let (name, policy) = (policy.name.clone(), policy.clone());
            let task =
                tokio::spawn(async move { attend(&host, &board, &client, &policy, newest).await });
            self.under_way = Some((name, task));
        }
    }
}

/// Does the drill of a policy when it is due; returns when to look again, Unix milliseconds. A server that leads others
/// leaves it to them.
async fn attend(
    host: &Host,
    board: &Board,
    client: &ConsulClient,
    policy: &SnapshotPolicyDocument,
    newest: Option<Timestamp>,
) -> u64 {
    let now_ms = host.clock.now_unix_ms();
    let after = |seconds: u64| now_ms.saturating_add(host.timing.interval_ms(seconds));
    let (Some(interval_seconds), Some(newest)) = (policy.drill_interval_seconds, newest) else {
        return after(LOOK_SECONDS);
    };
    let area = area(&policy.name);
    let leads_others = board.consul().is_some_and(|own| own.is_leader && own.voters.len() > 1);
    if leads_others {
        board.solved(&area);
        return after(LOOK_SECONDS);
    }
    match drilled(host, client, policy, interval_seconds, newest).await {
        Ok(Some(due_ms)) => {
            board.solved(&area);
            due_ms
        }
        Ok(None) => after(LOOK_SECONDS),
        // An election, an account that is away, a snapshot that was pruned meanwhile: that is of the moment.
        Err(error) if !error.lasts() => {
            tracing::debug!(policy = policy.name, error = %chain(&error), "no drill now");
            after(LOOK_SECONDS)
        }
        Err(error) => {
            let name = blob::snapshot(&policy.folder(), &time_in_name(newest));
            let told = format!("{name} is not known to be good: {}", chain(&error));
            let failed_at = Some(written_at(now_ms));
            note(host, policy, |report| PolicyReport {
                drill_error: Some(told.clone()),
                drill_failed_at: failed_at,
                ..report
            })
            .await;
            board.problem(&area, told);
            after(AGAIN_SECONDS)
        }
    }
}

/// Of the problems of a server.
pub(super) fn area(policy: &str) -> String {
    format!("drill of snapshot policy {policy}")
}

/// Tries it where that is due, one server at a time. When the next one is due, Unix milliseconds; none, where another server
/// is at it.
async fn drilled(
    host: &Host,
    client: &ConsulClient,
    policy: &SnapshotPolicyDocument,
    interval_seconds: u64,
    newest: Timestamp,
) -> Result<Option<u64>, DrillError> {
    let interval_ms = host.timing.interval_ms(interval_seconds);
    let due_ms = || async {
        let report = host.stores.policy_report(policy).await?.0;
        Ok::<_, DrillError>(due_ms(&report, interval_ms, host.timing.interval_ms(AGAIN_SECONDS)))
    };
    let now_ms = host.clock.now_unix_ms();
    let due = due_ms().await?;
    if due > now_ms {
        return Ok(Some(due));
    }
    let key = format!("hcs/drill/{}", policy.name);
    let holder = &host.bootstrap.node_name;
    let Some(lock) = Lock::acquire(client, &key, holder, LOCK_TTL_S).await? else {
        return Ok(None);
    };
    let work = async {
        // Another server may have done it between our look and the lock.
        let due = due_ms().await?;
        if due > now_ms {
            return Ok(due);
        }
        let folder = Folder::of(host, policy).map_err(SaveError::from)?;
        let name = folder.snapshot(newest);
        let place = folder.place(&name);
        let (saved, etag) = save::look(place).await?.ok_or(DrillError::Gone)?;
        let version = client.version().await?;
        let took = trial::try_out(host, &version, place, &saved, etag).await?;
        let took_ms = took.as_millis();
        tracing::info!(name, took_ms, "a throw-away server has restored the newest snapshot");
        let now_ms = host.clock.now_unix_ms();
        let last_verified_at = Some(written_at(now_ms));
        note(host, policy, |report| PolicyReport {
            last_verified_at,
            drill_error: None,
            drill_failed_at: None,
            ..report
        })
        .await;
        Ok(now_ms.saturating_add(interval_ms))
    };
    lock.hold(work).await?.map(Some)
}

/// When a drill is due by what is noted: an interval after the last one that ended well, and not at once after one that did
/// not. Pure.
fn due_ms(report: &PolicyReport, interval_ms: u64, again_ms: u64) -> u64 {
    let at = |text: &Option<String>| {
        let time = text.as_deref()?.parse::<Timestamp>().ok()?;
        u64::try_from(time.as_millisecond()).ok()
    };
    let verified = at(&report.last_verified_at).map(|at| at.saturating_add(interval_ms));
    let failed = at(&report.drill_failed_at).map(|at| at.saturating_add(again_ms));
    verified.max(failed).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_is_due_an_interval_after_the_last_good_one_and_not_at_once_after_a_bad_one() {
        const DAY_MS: u64 = 86_400_000;
        const HOUR_MS: u64 = 3_600_000;
        let report = |verified: Option<&str>, failed: Option<&str>| PolicyReport {
            last_verified_at: verified.map(str::to_owned),
            drill_failed_at: failed.map(str::to_owned),
            ..PolicyReport::default()
        };
        let due = |verified, failed| due_ms(&report(verified, failed), DAY_MS, HOUR_MS);
        let (first, second) = ("1970-01-03T00:00:00Z", "1970-01-04T06:00:00Z");
        assert_eq!(due(None, None), 0);
        assert_eq!(due(Some(first), None), 3 * DAY_MS);
        assert_eq!(due(None, Some(first)), 2 * DAY_MS + HOUR_MS);
        assert_eq!(due(Some(first), Some(second)), 3 * DAY_MS + 7 * HOUR_MS);
        assert_eq!(due(Some("yesterday"), None), 0, "what is not understood is done again");
    }
}
