//! What a cluster says of itself, from its blobs alone: no Resource Manager, no Consul, no route into its network.

mod before;

use std::time::Duration;

use hcs_planner::adoption::Adoption;
use hcs_planner::dataplane::{ClusterDocument, ConsulStatus, ServerPhase, blob, container};
use hcs_planner::observed::{ObservedServer, READY_BLOB, ReadyDocument, is_same_consul};
use hcs_planner::ownership::{
    Operation, RUN_DEAD_AFTER_SECONDS, RunFailure, RunOutcome, RunPhase, RunRecord,
};
use hcs_planner::placement::quorum;
use hcs_planner::rotation::{Phase, Rotated, Turn};
use hcs_planner::snapshots::policy::{Kept, PolicyReport, SnapshotPolicyDocument};
use hcs_planner::spec::ClusterSpec;
use hcs_planner::upgrade::{Upgrade, UpgradePhase, in_force};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use x509_parser::pem::parse_x509_pem;

use crate::blob::{BlobError, BlobStore};
use crate::error::{EngineError, chain};
use crate::observe::read_status;
use crate::versions::Versions;
use crate::{jobs, rfc3339};

/// A cluster as its blobs tell of it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// Consul datacenter.
    pub datacenter: String,
    /// Region.
    pub location: String,
    /// The Consul that its servers are to run.
    pub consul_version: String,
    /// Whether all that is declared serves, and nothing is left open.
    pub is_well: bool,
    /// Sentences on what is not as it should be.
    pub attention: Vec<String>,
    /// Leader, voters and what may be lost.
    pub quorum: QuorumStatus,
    /// One row a server.
    pub servers: Vec<ServerRow>,
    /// RFC 3339; when the certificate authority ends.
    pub ca_certificate_expires_at: Option<String>,
    /// Secrets that were rotated, and how far the servers are.
    #[serde(default)]
    pub rotations: Vec<RotationRow>,
    /// Snapshot policies and what they have kept.
    pub policies: Vec<PolicyRow>,
    /// The run that works, or the last one.
    pub run: Option<RunStatus>,
    /// The last way to another Consul, in words.
    #[serde(default)]
    pub upgrade: Option<String>,
    /// RFC 3339; when the maintenance window opens that is open now, or the next one. `None` without windows.
    #[serde(default)]
    pub next_maintenance_at: Option<String>,
    /// What the servers do by themselves now, for which an apply would wait.
    #[serde(default)]
    pub job: Option<String>,
    /// How a run failed last.
    pub last_failure: Option<RunFailure>,
}

/// The voters, as the servers see them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct QuorumStatus {
    /// Node name of the leader.
    pub leader: Option<String>,
    /// Votes that count.
    pub voters: u32,
    /// Votes that are needed.
    pub needed: u32,
    /// How many servers may fail now.
    pub failure_tolerance: u32,
}

/// A server.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ServerRow {
    /// Node name.
    pub name: String,
    /// Its slot.
    pub slot: u32,
    /// Address on which Consul serves.
    pub address: Option<String>,
    /// `preparing`, `starting`, `running`, `left`, or `silent` when it has not reported lately.
    pub phase: String,
    /// Whether it leads.
    pub is_leader: bool,
    /// The Consul that runs.
    pub consul_version: Option<String>,
    /// RFC 3339; when its certificate ends.
    pub certificate_expires_at: Option<String>,
    /// Seconds since it reported, by the storage service's clock.
    pub reported_seconds_ago: Option<u64>,
    /// What it says is wrong.
    pub last_error: Option<String>,
}

/// A secret that was rotated.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct RotationRow {
    /// Which one, as `rotation_triggers` names it.
    pub secret: String,
    /// `spreading` (servers take the new one), `known` (all know it and use the old one), `in_use` (all use it, and the old
    /// one is known still) or `done`.
    pub phase: String,
    /// RFC 3339; since when. `None` before the servers have begun.
    pub since: Option<String>,
}

/// A snapshot policy.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct PolicyRow {
    /// Its name.
    pub name: String,
    /// Whether it takes any.
    pub is_enabled: bool,
    /// When it takes them, in words.
    pub schedule: String,
    /// Which ones it keeps, in words.
    pub keeps: String,
    /// How many there are.
    pub snapshot_count: usize,
    /// Size of all of them.
    pub total_size_bytes: u64,
    /// RFC 3339; time of the newest.
    pub last_success_at: Option<String>,
    /// RFC 3339; when the next one is due.
    pub next_run_at: Option<String>,
    /// Why the last try failed, or the last drill; none since one succeeded.
    pub last_error: Option<String>,
    /// RFC 3339; when a throw-away server last restored the newest one.
    #[serde(default)]
    pub last_verified_at: Option<String>,
}

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct RunStatus {
    /// What it does, or did.
    pub operation: Operation,
    /// Who runs it.
    pub holder: String,
    /// RFC 3339.
    pub started_at: String,
    /// `working`, `dead` (it ended without a word), `done`, `stopped`, `failed` or `refused`.
    pub state: String,
    /// The step that it began last.
    pub step: Option<String>,
    /// Seconds since its last sign of life, by the storage service's clock.
    pub beat_seconds_ago: Option<u64>,
}

/// A server that has not reported for so long is called silent.
const SILENT_AFTER: Duration = Duration::from_mins(2);

/// Reads the status of the cluster whose blobs these are; certificates are measured by `now_unix_ms`.
pub async fn read_cluster_status(
    store: &dyn BlobStore,
    now_unix_ms: u64,
) -> Result<ClusterStatus, EngineError> {
    let mut attention = Vec::new();
    let spec: Option<ClusterSpec> = document(store, blob::SPEC, &mut attention).await?;
    let cluster: Option<ClusterDocument> = document(store, blob::CLUSTER, &mut attention).await?;
    let (run, last_failure) = run_status(store, &mut attention).await?;
    let upgrade = upgrade(store).await?;
    let cluster = cluster.map(|cluster| {
        let consul = in_force(&cluster, upgrade.as_ref()).clone();
        ClusterDocument { consul, ..cluster }
    });
    let adoption: Option<Adoption> = document(store, blob::ADOPTION, &mut attention).await?;
    let described = Described { spec: spec.as_ref(), cluster: cluster.as_ref(), adoption };
    let (servers, quorum) = servers(store, &described, &mut attention).await?;
    let is_working = run.as_ref().is_some_and(|run| run.state == "working");
    if let Some(cluster) = &cluster {
        let ready: Option<ReadyDocument> = document(store, READY_BLOB, &mut attention).await?;
        let is_ready = ready.is_some_and(|ready| ready.generation == cluster.generation);
        if !is_ready && !is_working {
            attention.push(
                "the last change was not seen to its end: no run has found the cluster as its document wants it"
                    .to_owned(),
            );
        }
        let other_version = |row: &&ServerRow| {
            row.consul_version
                .as_ref()
                .is_some_and(|runs| !is_same_consul(runs, &cluster.consul.version))
        };
        // While the servers go on by themselves there is nothing to mend.
        let is_on_the_way = upgrade.as_ref().is_some_and(|one| one.phase == UpgradePhase::Running);
        for row in servers.iter().filter(other_version).filter(|_| !is_on_the_way) {
            let runs = row.consul_version.as_deref().unwrap_or_default();
            attention.push(format!(
                "{} runs Consul {runs}, wanted {}",
                row.name, cluster.consul.version
            ));
        }
    }
    let policies = policies(store, &mut attention).await?;
    let versions = versions(store, cluster.as_ref()).await?;
    let job = match jobs::running(store).await {
        // Who may not look there is told of the rest.
        Err(EngineError::Blob(BlobError::Denied { .. })) => None,
        job => job?.map(|job| job.told()),
    };
    let ca_certificate_expires_at = authority(store, &versions).await?;
    let now = rfc3339(now_unix_ms);
    let ends = |name: &str, until: &Option<String>| {
        let is_over = until.as_ref().is_some_and(|until| *until <= now);
        is_over.then(|| format!("the certificate of {name} has ended"))
    };
    attention.extend(ends("the authority", &ca_certificate_expires_at));
    attention.extend(servers.iter().filter_map(|row| ends(&row.name, &row.certificate_expires_at)));
    if spec.is_none() && cluster.is_none() {
        attention.push("no cluster is described here yet".to_owned());
    }
    let text = |of: fn(&ClusterSpec) -> &String| spec.as_ref().map(of).cloned().unwrap_or_default();
    let next_maintenance_at =
        cluster.as_ref().and_then(|cluster| cluster.maintenance.next_at(now_unix_ms));
    Ok(ClusterStatus {
        upgrade: upgrade.map(|upgrade| upgrade.told()),
        next_maintenance_at,
        name: text(|spec| &spec.name),
        datacenter: text(|spec| &spec.consul_datacenter),
        location: text(|spec| &spec.location),
        consul_version: cluster
            .map_or_else(String::new, |cluster| cluster.consul.version.to_string()),
        is_well: attention.is_empty(),
        attention,
        quorum,
        servers,
        ca_certificate_expires_at,
        rotations: versions.rotated().map(|(what, turn)| rotation_row(what, &turn)).collect(),
        policies,
        run,
        job,
        last_failure,
    })
}

/// The last way to another Consul. Who may not look there is told of the rest.
async fn upgrade(store: &dyn BlobStore) -> Result<Option<Upgrade>, EngineError> {
    match store.get(container::DECISIONS, blob::UPGRADE).await {
        Ok(found) => Ok(found.and_then(|found| serde_json::from_slice(&found.bytes).ok())),
        Err(BlobError::NoContainer { .. } | BlobError::Denied { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A document of `config`; one that cannot be read is told, and who may read nothing is told at once.
async fn document<T: serde::de::DeserializeOwned>(
    store: &dyn BlobStore,
    name: &str,
    attention: &mut Vec<String>,
) -> Result<Option<T>, EngineError> {
    let Some(content) = store.get(container::CONFIG, name).await? else { return Ok(None) };
    match serde_json::from_slice(&content.bytes) {
        Ok(document) => Ok(Some(document)),
        Err(error) => {
            attention.push(format!("config/{name} is not readable: {error}"));
            Ok(None)
        }
    }
}

async fn run_status(
    store: &dyn BlobStore,
    attention: &mut Vec<String>,
) -> Result<(Option<RunStatus>, Option<RunFailure>), EngineError> {
    let age = store.get(container::CONFIG, blob::RUN).await?.and_then(|content| content.age);
    let Some(record): Option<RunRecord> = document(store, blob::RUN, attention).await? else {
        return Ok((None, None));
    };
    let is_dead = age.is_some_and(|age| age > Duration::from_secs(RUN_DEAD_AFTER_SECONDS));
    let state = match (record.phase, record.outcome) {
        (RunPhase::Open, _) if is_dead => "dead",
        (RunPhase::Open, _) => "working",
        (_, Some(RunOutcome::Stopped)) => "stopped",
        (_, Some(RunOutcome::Failed)) => "failed",
        (_, Some(RunOutcome::Refused)) => "refused",
        (_, Some(RunOutcome::Done) | None) => "done",
    };
    let (operation, holder) = (record.operation.as_str(), &record.holder);
    match state {
        "dead" => attention.push(format!(
            "the {operation} of {holder} ended without a word; the next terraform apply or destroy goes on from there"
        )),
        "stopped" => attention.push(format!("the {operation} of {holder} was stopped; the next one goes on")),
        "failed" => {
            let is_told =
                record.last_failure.as_ref().is_some_and(|failure| failure.at >= record.started_at);
            let why = if is_told { "; see the last failure" } else { "" };
            attention.push(format!("the {operation} of {holder} failed{why}"));
        }
        "refused" if record.operation != Operation::Destroy => attention.push(format!(
            "the {operation} of {holder} changed nothing: what it found did not allow what it was to do"
        )),
        _ => {}
    }
    if record.phase == RunPhase::Released {
        attention.push(
            "no Terraform state holds the cluster; the next create goes on with it".to_owned(),
        );
    }
    let run = RunStatus {
        operation: record.operation,
        holder: record.holder,
        started_at: record.started_at,
        state: state.to_owned(),
        step: record.step,
        beat_seconds_ago: age.map(|age| age.as_secs()),
    };
    Ok((Some(run), record.last_failure))
}

/// Documents that tell whose servers are to be looked at.
struct Described<'d> {
    spec: Option<&'d ClusterSpec>,
    cluster: Option<&'d ClusterDocument>,
    adoption: Option<Adoption>,
}

async fn servers(
    store: &dyn BlobStore,
    Described { spec, cluster, adoption }: &Described<'_>,
    attention: &mut Vec<String>,
) -> Result<(Vec<ServerRow>, QuorumStatus), EngineError> {
    let own = cluster.map_or(&[][..], |cluster| &cluster.slots);
    let others = cluster.map_or(&[][..], |cluster| &cluster.others);
    let slots: Vec<(u32, bool)> = own
        .iter()
        .map(|slot| (*slot, true))
        .chain(others.iter().map(|slot| (*slot, false)))
        .collect();
    let (mut rows, mut consuls): (_, Vec<ConsulStatus>) = (Vec::new(), Vec::new());
    let mut led: Option<(String, ConsulStatus)> = None;
    for (slot, is_own) in slots {
        let name = spec
            .map_or_else(|| format!("slot {slot}"), |spec| format!("{}-server-{slot}", spec.name));
        let (age, observed) = match store.get(&container::status(slot), blob::STATUS).await {
            Ok(content) => {
                (content.and_then(|content| content.age), read_status(store, slot).await?.1)
            }
            // Who is there for a while may not be there yet, or not any more.
            Err(BlobError::NoContainer { .. }) if !is_own => continue,
            Err(error @ (BlobError::Denied { .. } | BlobError::NoContainer { .. })) => {
                attention.push(format!("{name}: {}", chain(&error)));
                (None, None)
            }
            Err(error) => return Err(error.into()),
        };
        let row = server_row(name, slot, observed.as_ref(), age);
        if row.phase != "running" {
            attention.push(format!("{} is {}", row.name, row.phase));
        }
        if let Some(error) = &row.last_error {
            attention.push(format!("{}: {error}", row.name));
        }
        let told = observed.iter().flat_map(|server| &server.status.attention);
        attention.extend(told.map(|sentence| format!("{}: {sentence}", row.name)));
        let consul = observed.as_ref().and_then(|server| server.status.consul.as_ref());
        let consul = consul.filter(|_| row.phase == "running");
        consuls.extend(consul.cloned());
        if let Some(consul) = consul.filter(|consul| consul.is_leader) {
            led = Some((row.name.clone(), consul.clone()));
        }
        rows.push(row);
    }
    if let Some(adoption) = adoption {
        attention.extend(before::told(adoption, &consuls));
        led = led.or_else(|| before::led(adoption, &consuls));
    }
    match &led {
        Some((_, consul)) if !consul.healthy => {
            attention.push("autopilot does not call the cluster healthy".to_owned());
        }
        None if !rows.is_empty() => attention.push("no server says that it leads".to_owned()),
        _ => {}
    }
    Ok((rows, led.map(|(leader, consul)| quorum_status(leader, &consul)).unwrap_or_default()))
}

fn quorum_status(leader: String, consul: &ConsulStatus) -> QuorumStatus {
    let voters = u32::try_from(consul.voters.len()).unwrap_or(u32::MAX);
    QuorumStatus {
        leader: Some(leader),
        voters,
        needed: quorum(voters),
        failure_tolerance: consul.failure_tolerance,
    }
}

fn server_row(
    name: String,
    slot: u32,
    observed: Option<&ObservedServer>,
    age: Option<Duration>,
) -> ServerRow {
    let status = observed.map(|server| &server.status);
    let is_silent = age.is_none_or(|age| age > SILENT_AFTER);
    let phase = match status.map(|status| status.phase) {
        _ if is_silent => "silent",
        Some(ServerPhase::Preparing) => "preparing",
        Some(ServerPhase::Starting) => "starting",
        Some(ServerPhase::Running) => "running",
        Some(ServerPhase::Left) => "left",
        Some(ServerPhase::Unknown) => "unknown",
        None => "silent",
    };
    let consul = status.and_then(|status| status.consul.as_ref());
    ServerRow {
        name,
        slot,
        address: status.map(|status| status.address.to_string()),
        phase: phase.to_owned(),
        is_leader: consul.is_some_and(|consul| consul.is_leader),
        consul_version: consul.map(|consul| consul.version.clone()),
        certificate_expires_at: status.and_then(|status| status.certificate_expires_at.clone()),
        reported_seconds_ago: age.map(|age| age.as_secs()),
        last_error: status.and_then(|status| status.last_error.clone()),
    }
}

async fn policies(
    store: &dyn BlobStore,
    attention: &mut Vec<String>,
) -> Result<Vec<PolicyRow>, EngineError> {
    let mut rows = Vec::new();
    let listed = store.list(container::CONFIG, blob::SNAPSHOT_POLICIES).await?;
    for entry in listed {
        let policy: Option<SnapshotPolicyDocument> =
            document(store, &entry.name, attention).await?;
        let Some(policy) = policy else { continue };
        let now = Timestamp::now();
        let report = report(store, &policy).await?;
        let kept = match kept(store, &policy, &report, now).await {
            Ok(kept) => kept,
            Err(BlobError::Denied { .. }) => Kept::default(),
            Err(error) => return Err(error.into()),
        };
        let schedule = policy.schedule(1.0).ok().filter(|_| policy.enabled);
        let next_run = schedule.and_then(|schedule| schedule.next_run(kept.newest, now));
        rows.push(PolicyRow {
            schedule: policy.told_schedule(),
            keeps: policy.retention.told(),
            is_enabled: policy.enabled,
            snapshot_count: kept.count,
            total_size_bytes: kept.total_size_bytes,
            last_success_at: kept.newest.map(|time| time.to_string()),
            next_run_at: next_run.map(|time| time.to_string()),
            last_error: report.problem(&policy).map(str::to_owned),
            last_verified_at: report.last_verified_at,
            name: policy.name,
        });
    }
    Ok(rows)
}

/// What a policy has kept: by a listing in the cluster's own account, and as the servers say where that is another one.
pub async fn kept(
    store: &dyn BlobStore,
    policy: &SnapshotPolicyDocument,
    report: &PolicyReport,
    now: Timestamp,
) -> Result<Kept, BlobError> {
    if let Some(place) = &policy.place {
        return Ok(report.kept_elsewhere(place));
    }
    let listed = match store.list(container::SNAPSHOTS, &format!("{}/", policy.name)).await {
        Ok(listed) => listed,
        Err(BlobError::NoContainer { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    let listed = listed.iter().map(|entry| (entry.name.as_str(), entry.size_bytes));
    Ok(Kept::of(&policy.name, listed, now))
}

/// How a policy goes, as the servers say; nothing where they have said nothing yet, or to whoever may not read it.
pub async fn report(
    store: &dyn BlobStore,
    policy: &SnapshotPolicyDocument,
) -> Result<PolicyReport, BlobError> {
    let found = match store.get(container::DECISIONS, &blob::policy_report(&policy.name)).await {
        Ok(found) => found,
        Err(BlobError::Denied { .. } | BlobError::NoContainer { .. }) => None,
        Err(error) => return Err(error),
    };
    let noted = found.and_then(|found| serde_json::from_slice(&found.bytes).ok());
    Ok(PolicyReport::of(policy, noted))
}

/// Whoever may not read what the servers say is told what was in use before.
async fn versions(
    store: &dyn BlobStore,
    cluster: Option<&ClusterDocument>,
) -> Result<Versions, EngineError> {
    match Versions::of(store, cluster).await {
        Ok(versions) => Ok(versions),
        Err(BlobError::Denied { .. }) => Ok(Versions::default()),
        Err(error) => Err(error.into()),
    }
}

fn rotation_row(what: Rotated, turn: &Turn<'_>) -> RotationRow {
    let phase = match turn.phase {
        None | Some(Phase::Spreading) => "spreading",
        Some(Phase::Known) => "known",
        Some(Phase::InUse) => "in_use",
        Some(Phase::Done) => "done",
        Some(Phase::Unknown) => "unknown",
    };
    RotationRow {
        secret: what.as_str().to_owned(),
        phase: phase.to_owned(),
        since: (turn.since_unix_ms > 0).then(|| rfc3339(turn.since_unix_ms)),
    }
}

async fn authority(
    store: &dyn BlobStore,
    versions: &Versions,
) -> Result<Option<String>, EngineError> {
    let pem = match versions.authorities(store).await {
        Ok(pem) => pem,
        Err(BlobError::Denied { .. } | BlobError::NoContainer { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(pem.as_deref().and_then(authority_expires_at))
}

/// When the CA that signs ends, RFC 3339; it is the first in its document.
pub fn authority_expires_at(ca_pem: &str) -> Option<String> {
    let (_, pem) = parse_x509_pem(ca_pem.as_bytes()).ok()?;
    let seconds = pem.parse_x509().ok()?.validity().not_after.timestamp();
    u64::try_from(seconds).ok().map(|seconds| rfc3339(seconds * 1000))
}
