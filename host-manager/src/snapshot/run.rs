//! Carries out the snapshot policies: one server at a time, under a lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use hcs_engine::blob::{BlobEntry, BlobError, delete_all};
use hcs_planner::dataplane::{blob, container};
use hcs_planner::snapshots::metadata;
use hcs_planner::snapshots::place::PolicyPlace;
use hcs_planner::snapshots::policy::{Kept, PolicyReport, SnapshotPolicyDocument};
use hcs_planner::snapshots::schedule::Schedule;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::AREA;
use super::attempt::{Outcome, SnapshotError, attempt, now, schedule};
use super::drill::{self, Drills};
use super::trial;
use crate::consul::client::ConsulClient;
use crate::host::Host;
use crate::report::chain;
use crate::status::{Board, written_at};

/// As long as Azure says that a role assignment may need to take effect.
const RIGHT_SPREADS: SignedDuration = SignedDuration::from_mins(10);

/// Between two looks for snapshots whose time is over.
const EXPIRY_SECONDS: u64 = 600;
const EXPIRY: &str = "snapshots that have expired";

/// What we remember of a policy between rounds, to spare listings.
#[derive(Debug, Default)]
struct Progress {
    newest: Option<Timestamp>,
    /// Where that is; a policy that goes somewhere else begins anew.
    place: Option<PolicyPlace>,
    /// Whether that was looked at.
    is_known: bool,
    failures: u32,
    not_before_ms: u64,
}

/// A policy, and what follows from its document alone.
#[derive(Clone)]
struct Watched {
    policy: SnapshotPolicyDocument,
    schedule: Schedule,
    stale_after: SignedDuration,
}

/// Carries out all policies until stopped.
pub async fn run(host: Arc<Host>, board: Arc<Board>, stop: CancellationToken) {
    let mut policies: Vec<Watched> = Vec::new();
    let mut progress: BTreeMap<String, Progress> = BTreeMap::new();
    let mut round: u32 = 0;
    let mut expires_ms = 0;
    let mut drills = Drills::default();
    while !stop.is_cancelled() {
        if let Err(error) = trial::sweep(&host).await {
            tracing::warn!(error = %chain(&error), "what a trial has left behind is there still");
        }
        if let Some(client) = board.serving() {
            if round.is_multiple_of(host.timing.rounds_per_refresh) {
                refresh(&host, &board, &mut policies).await;
                progress.retain(|name, _| {
                    let mut working = policies.iter().filter(|one| one.policy.enabled);
                    let is_working = working.any(|one| one.policy.name == *name);
                    if !is_working {
                        for area in areas(name) {
                            board.solved(&area);
                        }
                    }
                    is_working
                });
            }
            round = round.wrapping_add(1);
            for watched in policies.iter().filter(|one| one.policy.enabled) {
                let progress = progress.entry(watched.policy.name.clone()).or_default();
                attend(&host, &board, &client, watched, progress).await;
                drills.attend(&host, &board, &client, &watched.policy, progress.newest).await;
            }
            board.set_attention(AREA, late(&host, &policies, &progress));
            let now_ms = host.clock.now_unix_ms();
            if now_ms >= expires_ms {
                expires_ms = now_ms.saturating_add(host.timing.interval_ms(EXPIRY_SECONDS));
                match expire(&host).await {
                    Ok(()) => board.solved(EXPIRY),
                    Err(error) => board.problem(EXPIRY, chain(&error)),
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = host.clock.sleep(host.timing.tick) => {}
        }
    }
}

async fn refresh(host: &Host, board: &Board, policies: &mut Vec<Watched>) {
    match host.stores.snapshot_policies().await {
        Ok(found) => {
            let mut problem = None;
            let before = std::mem::take(policies);
            for policy in found {
                match policy {
                    Ok(policy) => match before.iter().position(|one| one.policy == policy) {
                        Some(at) => policies.push(before[at].clone()),
                        None => match watch(host, policy) {
                            Ok(watched) => policies.push(watched),
                            Err(error) => problem = problem.or(Some(chain(&error))),
                        },
                    },
                    Err(error) => problem = problem.or(Some(chain(&error))),
                }
            }
            match problem {
                Some(told) => board.problem("snapshot policies", told),
                None => board.solved("snapshot policies"),
            }
        }
        // The policies that are known go on.
        Err(error) => board.problem("snapshot policies", chain(&error)),
    }
}

fn watch(host: &Host, policy: SnapshotPolicyDocument) -> Result<Watched, SnapshotError> {
    let schedule = schedule(host, &policy)?;
    let stale_after = policy.stale_after(&schedule, now(host));
    Ok(Watched { policy, schedule, stale_after })
}

/// Under which problems of a policy are told: the policy's own, its retention's, and its drill's.
fn areas(policy: &str) -> [String; 3] {
    [
        format!("snapshot policy {policy}"),
        format!("retention of snapshot policy {policy}"),
        drill::area(policy),
    ]
}

async fn attend(
    host: &Host,
    board: &Board,
    client: &ConsulClient,
    watched: &Watched,
    progress: &mut Progress,
) {
    let policy = &watched.policy;
    if progress.place != policy.place {
        *progress = Progress { place: policy.place.clone(), ..Progress::default() };
    }
    let now_ms = host.clock.now_unix_ms();
    let known_fresh =
        progress.newest.is_some() && watched.schedule.due(now(host), progress.newest).is_none();
    if now_ms < progress.not_before_ms || known_fresh {
        return;
    }
    let [area, retention, _] = areas(&policy.name);
    let outcome = attempt(host, client, policy).await;
    progress.is_known |= !matches!(outcome, Ok(Outcome::Busy));
    match outcome {
        Ok(outcome) => {
            progress.failures = 0;
            board.solved(&area);
            match outcome {
                Outcome::NotDue(kept) => {
                    progress.newest = kept.newest;
                    note(host, policy, kept_elsewhere(policy, kept)).await;
                }
                Outcome::Busy => {}
                Outcome::Saved { time, facts, kept, pruned, unpruned } => {
                    progress.newest = Some(time);
                    match unpruned {
                        Some(error) => board.problem(&retention, chain(&error)),
                        None => board.solved(&retention),
                    }
                    let kept = kept_elsewhere(policy, kept);
                    note(host, policy, |report| kept(ended(None, now_ms)(report))).await;
                    let (policy, index) = (&policy.name, facts.index);
                    tracing::info!(policy, index, pruned, "snapshot saved and verified");
                }
            }
        }
        Err(error) => {
            progress.failures = progress.failures.saturating_add(1);
            let wait = host.timing.backoff(progress.failures);
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            progress.not_before_ms = now_ms.saturating_add(wait_ms);
            if is_of_the_beginning(policy, &error, now(host)) {
                tracing::debug!(policy = policy.name, error = %chain(&error), "not yet");
                return;
            }
            let told = chain(&error);
            note(host, policy, ended(Some(told.clone()), now_ms)).await;
            board.problem(&area, told);
        }
    }
}

/// A right that was given with the policy needs some minutes to spread: that is no news for anybody.
fn is_of_the_beginning(
    policy: &SnapshotPolicyDocument,
    error: &SnapshotError,
    now: Timestamp,
) -> bool {
    let since = policy.place.as_ref().and_then(|place| place.since.parse::<Timestamp>().ok());
    let is_new = since.is_some_and(|since| now.duration_since(since) < RIGHT_SPREADS);
    is_new && matches!(error, SnapshotError::NoRight { .. })
}

/// What is there, for whoever has no right to look.
fn kept_elsewhere(
    policy: &SnapshotPolicyDocument,
    kept: Kept,
) -> impl FnOnce(PolicyReport) -> PolicyReport {
    let kept_in = policy.place.as_ref().map(PolicyPlace::told);
    let kept = kept_in.is_some().then_some(kept);
    move |report| PolicyReport { kept, kept_in, ..report }
}

/// Notes how a policy goes, where that is news. Where it cannot be noted, the status says it.
pub(super) async fn note(
    host: &Host,
    policy: &SnapshotPolicyDocument,
    change: impl FnOnce(PolicyReport) -> PolicyReport,
) {
    let Ok((noted, etag)) = host.stores.policy_report(policy).await else { return };
    let report = change(noted.clone());
    if report == noted {
        return;
    }
    if let Err(error) = host.stores.note_policy_report(&policy.name, &report, etag).await {
        tracing::debug!(error = %chain(&error), "how a policy goes could not be noted");
    }
}

/// How the last try of whichever server ended; the time of an error is that of its first occurrence.
fn ended(last_error: Option<String>, now_ms: u64) -> impl FnOnce(PolicyReport) -> PolicyReport {
    move |noted| {
        if noted.last_error == last_error {
            return noted;
        }
        let failed_at = last_error.is_some().then(|| written_at(now_ms));
        PolicyReport { last_error, failed_at, ..noted }
    }
}

/// Which policies have kept nothing for too long.
fn late(
    host: &Host,
    policies: &[Watched],
    progress: &BTreeMap<String, Progress>,
) -> Option<String> {
    let told = policies.iter().filter_map(|Watched { policy, stale_after, .. }| {
        let newest = progress.get(&policy.name).filter(|progress| progress.is_known)?.newest;
        let since = newest.map_or_else(|| "at all".to_owned(), |time| format!("since {time}"));
        policy.is_stale(*stale_after, newest, now(host)).then(|| {
            let when = policy.told_schedule();
            format!("snapshot policy {} ({when}) has kept none {since}", policy.name)
        })
    });
    let late: Vec<String> = told.collect();
    (!late.is_empty()).then(|| late.join("; "))
}

/// Takes away what somebody asked for and whose time is over. Servers that do it at once do no more than one of them.
pub async fn expire(host: &Host) -> Result<(), BlobError> {
    let now = now(host);
    let listed = host.stores.shared.list(container::SNAPSHOTS, blob::ON_DEMAND).await?;
    let is_over = |entry: &BlobEntry| {
        let at = entry.metadata.get(metadata::EXPIRES_AT);
        let at = at.and_then(|at| at.parse::<Timestamp>().ok());
        at.is_some_and(|at| at <= now)
    };
    let over: Vec<String> = listed.into_iter().filter(is_over).map(|entry| entry.name).collect();
    for snapshot in &over {
        tracing::info!(snapshot, "a snapshot has expired");
    }
    // One that may not go keeps no other one.
    let (_, refused) = delete_all(host.stores.shared.as_ref(), container::SNAPSHOTS, over).await;
    refused.map_or(Ok(()), Err)
}
