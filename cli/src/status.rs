//! `hcs status`: what a cluster says of itself, from its blobs.

use std::fmt::Write as _;
use std::sync::Arc;

use hcs_azure::environment::Environment;
use hcs_azure::settings::AzureSettings;
use hcs_azure::{Azure, connect};
use hcs_engine::arm::Arm;
use hcs_engine::blob::{BlobError, BlobStores as _, BlockStore};
use hcs_engine::clock::SystemClock;
use hcs_engine::cloud::{ArmRequest, Cloud as _, Method, Target};
use hcs_engine::error::{EngineError, chain};
use hcs_engine::status::{ClusterStatus, RunStatus, ServerRow, read_cluster_status};
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::storage_account_name;
use hcs_planner::ownership::RunFailure;
use tokio_util::sync::CancellationToken;

use crate::input::CliError;
use crate::plan::Answer;

/// Where the cluster's blobs are.
pub(crate) enum Place {
    /// Its managed group.
    Cluster(ArmId),
    /// The endpoint itself: nothing is asked of Resource Manager.
    Endpoint(String),
}

/// Reads and tells the status; `changes` when something needs attention.
pub(crate) fn status(place: &Place, as_json: bool) -> Result<Answer, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Azure { reason: error.to_string() })?;
    let status = runtime.block_on(read(place))?;
    let text = if as_json {
        let text = serde_json::to_string_pretty(&status);
        format!("{}\n", text.map_err(|error| CliError::Azure { reason: error.to_string() })?)
    } else {
        told(&status)
    };
    Ok(Answer { text, changes: !status.is_well })
}

/// Carries out what asks Azure and changes no plan.
pub(crate) fn run(
    work: impl Future<Output = Result<String, CliError>>,
) -> Result<Answer, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Azure { reason: error.to_string() })?;
    Ok(Answer { text: runtime.block_on(work)?, changes: false })
}

/// Who asks, for people.
pub(crate) fn user() -> String {
    let user = ["USER", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    user.unwrap_or_else(|| "somebody".to_owned())
}

/// Resource Manager, for one command.
pub(crate) fn arm(azure: &Azure) -> Arm {
    Arm::new(Arc::clone(&azure.cloud) as _, Arc::new(SystemClock), CancellationToken::new())
}

/// The cluster's blobs, and the way to Azure.
pub(crate) async fn open(place: &Place) -> Result<(Azure, Arc<dyn BlockStore>), CliError> {
    let refused = |error: &dyn std::error::Error| CliError::Azure { reason: chain(error) };
    let mut settings = AzureSettings::default();
    settings.merge_env(|name| std::env::var(name).ok()).map_err(|error| refused(&error))?;
    let azure = connect(&settings).await.map_err(|error| refused(&error))?;
    let endpoint = match place {
        Place::Endpoint(endpoint) => {
            check_endpoint(endpoint, settings.metadata_host.is_some(), &azure.environment)?;
            endpoint.clone()
        }
        Place::Cluster(id) => endpoint_of(&azure, id).await?,
    };
    let store = azure.blobs.open(&endpoint).map_err(|error| refused(&error))?;
    Ok((azure, store))
}

async fn read(place: &Place) -> Result<ClusterStatus, CliError> {
    let (_, store) = open(place).await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_unix_ms = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    read_cluster_status(store.as_ref(), now_unix_ms).await.map_err(|error| match error {
        EngineError::Blob(BlobError::Denied { account, container, code }) => CliError::Azure {
            reason: format!(
                "you may not read {container} of {account} ({code}). `Storage Blob Data Reader` on the account, or on its containers config, certificates, snapshots, decisions and status-*, lets you look"
            ),
        },
        EngineError::Blob(BlobError::NoContainer { .. }) => CliError::Azure {
            reason: "there is no cluster: the account has no container config".to_owned(),
        },
        error => CliError::Azure { reason: chain(&error) },
    })
}

/// No token goes to a host that is none of the cloud's; in a cloud that a metadata host describes, that is the user's word.
fn check_endpoint(
    endpoint: &str,
    is_custom: bool,
    environment: &Environment,
) -> Result<(), CliError> {
    let Some(suffix) = environment.storage_suffix.as_ref().filter(|_| !is_custom) else {
        return Ok(());
    };
    let ending = format!(".blob.{suffix}");
    let url = url::Url::parse(endpoint).ok();
    let host = url.as_ref().and_then(|url| url.host_str());
    if host.is_some_and(|host| host.ends_with(&ending)) {
        return Ok(());
    }
    let name = &environment.name;
    let reason = format!(
        "--blob-endpoint {endpoint:?} is no address of blobs in {name}: those are https://<account>{ending}/. No token was sent there; ARM_ENVIRONMENT names another cloud"
    );
    Err(CliError::Azure { reason })
}

/// The account's own word where its blobs are; one read of Resource Manager.
async fn endpoint_of(azure: &Azure, id: &ArmId) -> Result<String, CliError> {
    let account = id.resource(Kind::StorageAccount.resource_type(), &storage_account_name(id));
    let path = format!("{account}?api-version={}", Kind::StorageAccount.api_version());
    let request = ArmRequest::new(Method::Get, Target::Path(path));
    let answer = azure.cloud.send(&request).await;
    let answer = answer.map_err(|error| CliError::Azure { reason: chain(&error) })?;
    let reason = match answer.status {
        200 => {
            let endpoint = answer.body.pointer("/properties/primaryEndpoints/blob");
            match endpoint.and_then(serde_json::Value::as_str) {
                Some(endpoint) => return Ok(endpoint.to_owned()),
                None => format!("{account} names no endpoint for blobs"),
            }
        }
        404 => format!("there is no cluster {id}: it has no storage account {}", account.name()),
        status => format!(
            "Resource Manager does not show {account} (HTTP {status}); with --blob-endpoint https://{}.blob.… it is not asked",
            account.name()
        ),
    };
    Err(CliError::Azure { reason })
}

/// A phase of a rotation.
fn in_words(phase: &str) -> &str {
    match phase {
        "spreading" => "the servers take the new one",
        "known" => "all know the new one and use the old one",
        "in_use" => "the new one is in use, the old one is known still",
        other => other,
    }
}

fn told(status: &ClusterStatus) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "cluster {} ({}) in {}, Consul {}",
        status.name, status.datacenter, status.location, status.consul_version
    );
    let quorum = &status.quorum;
    let _ = match &quorum.leader {
        Some(leader) => writeln!(
            text,
            "  leader {leader}; {} voters, {} needed; {} may fail",
            quorum.voters, quorum.needed, quorum.failure_tolerance
        ),
        None => writeln!(text, "  no leader is known"),
    };
    if status.attention.is_empty() {
        text.push_str("  all is well\n");
    }
    for sentence in &status.attention {
        let _ = writeln!(text, "  ! {sentence}");
    }
    text.push_str("\nservers\n");
    for server in &status.servers {
        let _ = writeln!(text, "  {}", server_line(server));
    }
    text.push_str("\ncertificates\n");
    let authority = status.ca_certificate_expires_at.as_deref().unwrap_or("not known");
    let _ = writeln!(text, "  authority until {authority}");
    for server in &status.servers {
        if let Some(until) = &server.certificate_expires_at {
            let _ = writeln!(text, "  {} until {until}", server.name);
        }
    }
    if !status.rotations.is_empty() {
        text.push_str("\nrotations\n");
    }
    for row in &status.rotations {
        let since = row.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
        let _ = writeln!(text, "  {}: {}{since}", row.secret, in_words(&row.phase));
    }
    text.push_str("\nsnapshot policies\n");
    if status.policies.is_empty() {
        text.push_str("  none\n");
    }
    for policy in &status.policies {
        let is_off = if policy.is_enabled { "" } else { ", disabled" };
        let newest = match &policy.last_success_at {
            Some(at) => format!(", the newest of {at}"),
            None => String::new(),
        };
        let next = policy.next_run_at.as_deref().map(|at| format!("; the next one at {at}"));
        let _ = writeln!(
            text,
            "  {}: {}, keeps {}{is_off}; {} there{newest}{}",
            policy.name,
            policy.schedule,
            policy.keeps,
            policy.snapshot_count,
            next.unwrap_or_default()
        );
        if let Some(at) = &policy.last_verified_at {
            let _ = writeln!(text, "    a server that was thrown away restored the newest at {at}");
        }
        if let Some(error) = &policy.last_error {
            let _ = writeln!(text, "    the last try or drill failed: {error}");
        }
    }
    if status.upgrade.is_some() || status.next_maintenance_at.is_some() {
        text.push_str("\nmaintenance\n");
    }
    if let Some(at) = &status.next_maintenance_at {
        let _ = writeln!(text, "  the window opens at {at}");
    }
    if let Some(upgrade) = &status.upgrade {
        let _ = writeln!(text, "  {upgrade}");
    }
    text.push_str("\nrun\n");
    let _ = match &status.run {
        Some(run) => writeln!(text, "  {}", run_line(run)),
        None => writeln!(text, "  none is known"),
    };
    if let Some(job) = &status.job {
        let _ = writeln!(text, "\njob\n  {job}; an apply waits for its end");
    }
    if let Some(RunFailure { at, operation, step, reason }) = &status.last_failure {
        let _ = writeln!(
            text,
            "\nlast failure\n  {at}, {} at {step:?}:\n  {reason}",
            operation.as_str()
        );
    }
    text
}

/// In the largest unit that says it in whole numbers.
fn server_line(server: &ServerRow) -> String {
    let role = if server.is_leader { ", leads" } else { "" };
    let version = server.consul_version.as_deref().unwrap_or("?");
    let address = server.address.as_deref().unwrap_or("no address");
    let reported = match server.reported_seconds_ago {
        Some(seconds) => format!("reported {seconds} s ago"),
        None => "has never reported".to_owned(),
    };
    format!("{} {address}: {}{role}, Consul {version}, {reported}", server.name, server.phase)
}

fn run_line(run: &RunStatus) -> String {
    let operation = run.operation.as_str();
    let step = run.step.as_deref().map_or_else(String::new, |step| format!(", at {step:?}"));
    let beat = match run.beat_seconds_ago {
        Some(seconds) => format!("last sign of life {seconds} s ago"),
        None => "no sign of life is known".to_owned(),
    };
    match run.state.as_str() {
        "working" => {
            format!("{operation} of {} since {}{step}; {beat}", run.holder, run.started_at)
        }
        "dead" => format!(
            "{operation} of {} since {}{step} ended without a word; {beat}",
            run.holder, run.started_at
        ),
        state => format!(
            "none; the last one was {operation} of {}, begun {}: {state}",
            run.holder, run.started_at
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hcs_azure::environment::KnownCloud;
    use hcs_engine::status::QuorumStatus;
    use hcs_engine::status::RotationRow;
    use hcs_planner::ownership::Operation;

    #[test]
    fn a_token_goes_to_no_host_that_is_none_of_the_clouds() {
        let public = Environment::known(KnownCloud::Public).unwrap();
        let china = Environment::known(KnownCloud::China).unwrap();
        let own = "https://hcs4d2ee040945e.blob.core.windows.net/";
        assert!(check_endpoint(own, false, &public).is_ok());
        let foreign = [
            "https://hcs4d2ee040945e.blob.core.windows.net.example/",
            "https://example/hcs4d2ee040945e.blob.core.windows.net",
            "https://hcsblob.core.windows.net@example/",
            "hcs4d2ee040945e.blob.core.windows.net",
        ];
        for endpoint in foreign {
            assert!(check_endpoint(endpoint, false, &public).is_err(), "{endpoint}");
        }
        let told = check_endpoint(own, false, &china).unwrap_err().to_string();
        assert!(told.contains(".blob.core.chinacloudapi.cn"), "{told}");
        assert!(check_endpoint("https://blobs.stack.example/", true, &public).is_ok());
    }

    fn status() -> ClusterStatus {
        ClusterStatus {
            name: "demo".into(),
            datacenter: "dc1".into(),
            location: "westeurope".into(),
            consul_version: "1.22.2".into(),
            upgrade: None,
            next_maintenance_at: None,
            is_well: false,
            attention: vec!["the update of ada@laptop failed; see the last failure".into()],
            quorum: QuorumStatus {
                leader: Some("demo-server-1".into()),
                voters: 3,
                needed: 2,
                failure_tolerance: 1,
            },
            servers: vec![ServerRow {
                name: "demo-server-1".into(),
                slot: 1,
                address: Some("172.25.16.5".into()),
                phase: "running".into(),
                is_leader: true,
                consul_version: Some("1.22.2".into()),
                certificate_expires_at: Some("2029-11-26T10:00:00Z".into()),
                reported_seconds_ago: Some(4),
                last_error: None,
            }],
            ca_certificate_expires_at: Some("2036-11-24T10:00:00Z".into()),
            rotations: vec![RotationRow {
                secret: "gossip_key".into(),
                phase: "known".into(),
                since: Some("2026-11-27T08:00:00Z".into()),
            }],
            policies: vec![],
            run: Some(RunStatus {
                operation: Operation::Update,
                holder: "ada@laptop".into(),
                started_at: "2026-11-27T10:00:00Z".into(),
                state: "failed".into(),
                step: Some("create server_2".into()),
                beat_seconds_ago: Some(700),
            }),
            job: Some("server 1 restarts its Consul (another management token) since 2026-11-28T10:00:00Z".into()),
            last_failure: Some(RunFailure {
                at: "2026-11-27T10:04:00Z".into(),
                operation: Operation::Update,
                step: "create server_2".into(),
                reason: "PUT /x: SkuNotAvailable: full (HTTP 409, correlation id c)".into(),
            }),
        }
    }

    #[test]
    fn a_failed_update_is_told_with_its_step_and_azures_words() {
        let expected = "\
cluster demo (dc1) in westeurope, Consul 1.22.2
  leader demo-server-1; 3 voters, 2 needed; 1 may fail
  ! the update of ada@laptop failed; see the last failure

servers
  demo-server-1 172.25.16.5: running, leads, Consul 1.22.2, reported 4 s ago

certificates
  authority until 2036-11-24T10:00:00Z
  demo-server-1 until 2029-11-26T10:00:00Z

rotations
  gossip_key: all know the new one and use the old one since 2026-11-27T08:00:00Z

snapshot policies
  none

run
  none; the last one was update of ada@laptop, begun 2026-11-27T10:00:00Z: failed

job
  server 1 restarts its Consul (another management token) since 2026-11-28T10:00:00Z; an apply waits for its end

last failure
  2026-11-27T10:04:00Z, update at \"create server_2\":
  PUT /x: SkuNotAvailable: full (HTTP 409, correlation id c)
";
        assert_eq!(told(&status()), expected);
    }
}
