//! A cluster that there is: whether it can be looked at, and how it is.

use hcs_azure::Azure;
use hcs_engine::arm::Arm;
use hcs_engine::blob::{BlobError, BlobStore, BlobStores as _};
use hcs_engine::clock::{Clock as _, SystemClock};
use hcs_engine::error::{EngineError, chain};
use hcs_engine::status::read_cluster_status;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::dataplane::{blob, container};
use hcs_planner::names::storage_account_name;
use hcs_planner::spec::ClusterSpec;

use super::Finding;

/// What was declared of it last, and what was found.
pub(super) async fn looked_at(
    azure: &Azure,
    arm: &Arm,
    id: &ArmId,
) -> (Option<ClusterSpec>, Vec<Finding>) {
    let account = id.resource(Kind::StorageAccount.resource_type(), &storage_account_name(id));
    let body = match arm.get(&account, Kind::StorageAccount).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            let found = format!("{id} has no storage account {}", account.name());
            let mend =
                "Look at the id: it is `hcs_cluster.id`, or subscription/resource-group/name.";
            return (None, vec![Finding::problem("cluster", found, mend)]);
        }
        Err(error) => {
            let mend = format!("Reader on {id} lets you look.");
            return (None, vec![Finding::problem("cluster", chain(&error), mend)]);
        }
    };
    let access = body.pointer("/properties/publicNetworkAccess").and_then(|it| it.as_str());
    let unread = |error: &EngineError| unread(error, &account, access == Some("Disabled"));
    let endpoint = body.pointer("/properties/primaryEndpoints/blob").and_then(|it| it.as_str());
    let store = match azure.blobs.open(endpoint.unwrap_or_default()) {
        Ok(store) => store,
        Err(error) => return (None, vec![unread(&error.into())]),
    };
    let spec = match stored_spec(store.as_ref()).await {
        Ok(spec) => spec,
        Err(error) => return (None, vec![unread(&error)]),
    };
    let mut findings =
        vec![Finding::good("storage", format!("the blobs of {} can be read", account.name()))];
    findings.extend(status(store.as_ref(), unread).await);
    (spec, findings)
}

async fn stored_spec(store: &dyn BlobStore) -> Result<Option<ClusterSpec>, EngineError> {
    let found = store.get(container::CONFIG, blob::SPEC).await?;
    // What cannot be read of it, the status tells.
    Ok(found.and_then(|found| serde_json::from_slice(&found.bytes).ok()))
}

async fn status(store: &dyn BlobStore, unread: impl Fn(&EngineError) -> Finding) -> Vec<Finding> {
    let status = match read_cluster_status(store, SystemClock.now_unix_ms()).await {
        Ok(status) => status,
        Err(error) => return vec![unread(&error)],
    };
    let quorum = &status.quorum;
    let leader = quorum.leader.as_deref().unwrap_or("nobody");
    let mut findings: Vec<Finding> = status
        .attention
        .iter()
        .map(|told| {
            let mend = "`hcs status` shows each server; docs/guides/operations.md says what to do.";
            Finding::problem("servers", told.clone(), mend)
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::good(
            "servers",
            format!(
                "{} of Consul {}, {leader} leads, {} may fail",
                status.servers.len(),
                status.consul_version,
                quorum.failure_tolerance
            ),
        ));
    }
    findings
}

/// A role, a firewall and a name are three things.
fn unread(error: &EngineError, account: &ArmId, is_closed: bool) -> Finding {
    let mend = match error {
        EngineError::Blob(BlobError::Denied { code, .. })
            if is_closed && code == "AuthorizationFailure" =>
        {
            format!(
                "{} answers at its private endpoint only: run this from a machine with a route there, on which the \
                 account's name leads to it.",
                account.name()
            )
        }
        EngineError::Blob(BlobError::Denied { code, .. }) if code == "AuthorizationFailure" => {
            format!(
                "{} does not let this machine in: its firewall or network rules, not a role.",
                account.name()
            )
        }
        EngineError::Blob(BlobError::Denied { .. }) => format!(
            "Storage Blob Data Reader on {account} lets you look; an apply gives its caller Storage Blob Data Contributor."
        ),
        EngineError::Blob(BlobError::Unavailable { .. }) => {
            "Look at DNS and the way from this machine to the account; a private endpoint needs its private zone.".to_owned()
        }
        _ => "`hcs status` tells the same in other words.".to_owned(),
    };
    Finding::problem("storage", chain(error), mend)
}
