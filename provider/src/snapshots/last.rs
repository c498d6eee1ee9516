//! The last snapshot of a cluster that goes, in an account that stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use hcs_engine::blob::BlobError;
use hcs_engine::error::chain;
use hcs_engine::observe::read_status;
use hcs_engine::requests::SNAPSHOT_GOOD_FOR;
use hcs_engine::snapshot::save::{self, Place, SaveError};
use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::{ClusterDocument, blob, container};
use hcs_planner::observed::{ObservedServer, READY_BLOB};
use hcs_planner::ownership::{Operation, RunRecord};
use hcs_planner::requests::{Request, argument};
use hcs_planner::snapshots::{metadata, time_in_name};
use jiff::Timestamp;
use serde_json::Value as Json;
use tfplugin::{Context, Diagnostic, Diagnostics};

use super::ask::Account;
use crate::cluster::Cluster;
use hcs_planner::snapshots::id::{SnapshotId, parse_container};

const ATTRIBUTE: &str = Cluster::FINAL_SNAPSHOT_STORAGE_CONTAINER_ID;

/// The cluster that goes.
pub(crate) struct Last<'a> {
    pub(crate) cluster_id: &'a ArmId,
    pub(crate) name: &'a str,
    pub(crate) incarnation_id: Option<&'a str>,
}

impl Last<'_> {
    /// Takes it and puts it where it stays. Nothing is deleted unless this ends well. A cluster that never was ready has
    /// nothing to keep, and what is no more the state's is left alone.
    pub(crate) async fn keep(&self, ctx: &Context, container_id: &str) -> Result<(), Diagnostics> {
        let (account_id, container) = parse_container(container_id).map_err(|detail| {
            Diagnostic::error("Invalid storage container", detail).at(ATTRIBUTE)
        })?;
        if account_id.is_within(self.cluster_id) {
            let detail = format!(
                "{container_id} lies in the cluster's own group, which goes. Name one of yours."
            );
            return Err(Diagnostic::error("The last snapshot would go, too", detail)
                .at(ATTRIBUTE)
                .into());
        }
        let own_id = hcs_planner::names::storage_account(self.cluster_id);
        let Some(own) = Account::open(ctx, &own_id).await? else { return Ok(()) };
        own.gain_access(ctx).await?;
        let Some(is_going) = self.is_to_be_kept(&own).await? else { return Ok(()) };
        let there = Account::open(ctx, &account_id).await?.ok_or_else(|| {
            let detail = format!(
                "There is no {account_id}, so the last snapshot has no place. Nothing was deleted."
            );
            Diagnostic::error("Storage account does not exist", detail).at(ATTRIBUTE)
        })?;
        let folder = format!("{}/", self.name);
        let listed = there.store.list(&container, &folder).await;
        let listed = listed.map_err(|error| unreachable(&account_id, &container, &error))?;
        let is_own = |said: &BTreeMap<String, String>| {
            said.get(metadata::INCARNATION_ID).map(String::as_str) == self.incarnation_id
        };
        // A destroy that has begun has taken it, and nobody is left to take another one.
        let is_taken = listed.iter().any(|entry| is_own(&entry.metadata));
        if is_going && is_taken && !leads(&own).await? {
            return Ok(());
        }
        let time = time_in_name(Timestamp::now());
        let id = SnapshotId::named(self.cluster_id, &format!("final-{time}"));
        let request = Request::snapshot(uuid::Uuid::new_v4().to_string(), &id.path, None);
        let told = own.ask(ctx, request, SNAPSHOT_GOOD_FOR).await.map_err(refused)?;
        let said = |name: &str, key: &str| {
            let value = told.get(name).map(|value| match value {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            });
            value.map(|value| (key.to_owned(), value))
        };
        let own_id =
            self.incarnation_id.map(|id| (metadata::INCARNATION_ID.to_owned(), id.to_owned()));
        let metadata: BTreeMap<String, String> =
            [said(argument::CONSUL_VERSION, metadata::CONSUL_VERSION), own_id]
                .into_iter()
                .flatten()
                .collect();
        let from = Place { store: &own.store, container: container::SNAPSHOTS, name: &id.path };
        let looked = save::look(from).await.map_err(|error| unread(&id, &error))?;
        let sha256 = told.get(argument::SHA256).and_then(Json::as_str);
        let Some((_, etag)) = looked.filter(|(saved, _)| Some(saved.sha256.as_str()) == sha256)
        else {
            let detail =
                format!("{id} is not what the servers wrote. Nothing was deleted; apply again.");
            return Err(Diagnostics::error("The last snapshot was changed on its way", detail));
        };
        let path = format!("{folder}final-{time}.snap");
        let stream =
            save::read(Arc::clone(&own.store), id.container.clone(), id.path.clone(), Some(etag));
        let place = Place { store: &there.store, container: &container, name: &path };
        save::keep(Box::pin(stream), place, metadata).await.map_err(|error| match error {
            SaveError::Blob(error) => unreachable(&account_id, &container, &error),
            error => unread(&id, &error),
        })?;
        let kept = SnapshotId { account: account_id, container, path };
        ctx.warn(Diagnostic::warning("The last snapshot is kept", format!("{kept}")));
        Ok(())
    }

    /// Whether there is a state to keep, and then whether a destroy has begun before; none where there is none.
    async fn is_to_be_kept(&self, own: &Account) -> Result<Option<bool>, Diagnostics> {
        let read = async |name: &str| match own.store.get(container::CONFIG, name).await {
            Ok(found) => Ok(found),
            Err(BlobError::NoContainer { .. }) => Ok(None),
            Err(error) => Err(own.failed(error)),
        };
        if read(READY_BLOB).await?.is_none() {
            return Ok(None);
        }
        let record = read(blob::RUN).await?;
        let record =
            record.and_then(|found| serde_json::from_slice::<RunRecord>(&found.bytes).ok());
        let Some(record) = record else { return Ok(Some(false)) };
        if self.incarnation_id.is_some_and(|known| known != record.incarnation_id) {
            return Ok(None);
        }
        Ok(Some(record.operation == Operation::Destroy))
    }
}

/// Whether a server says now that it leads.
async fn leads(own: &Account) -> Result<bool, Diagnostics> {
    let cluster = own.store.get(container::CONFIG, blob::CLUSTER).await;
    let cluster = cluster.map_err(|error| own.failed(error))?;
    let cluster = cluster.and_then(|found| serde_json::from_slice(&found.bytes).ok());
    let slots = cluster.map(|cluster: ClusterDocument| cluster.slots).unwrap_or_default();
    for slot in slots {
        let read = read_status(own.store.as_ref(), slot).await;
        let (_, server) = read.map_err(|error| own.told(&error))?;
        let consul =
            server.filter(ObservedServer::is_fresh).and_then(|server| server.status.consul);
        if consul.is_some_and(|consul| consul.is_leader) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unread(id: &SnapshotId, error: &SaveError) -> Diagnostics {
    let detail = format!("{id}: {}. Nothing was deleted; apply again.", chain(error));
    Diagnostics::error("The last snapshot cannot be brought to where it stays", detail)
}

fn unreachable(account: &ArmId, container: &str, error: &BlobError) -> Diagnostics {
    let detail = format!(
        "The container {container:?} of {account} does not take it: {}. The caller needs Storage Blob Data Contributor there. \
         Nothing was deleted.",
        chain(error)
    );
    Diagnostic::error("The last snapshot has no place", detail).at(ATTRIBUTE).into()
}

/// Without it nothing is deleted; how to go on without it.
fn refused(found: Diagnostics) -> Diagnostics {
    let more = "Nothing was deleted. Where the cluster cannot give one any more (its quorum is lost), set \
                skip_final_snapshot = true, apply that, and destroy again.";
    let told = found.into_iter().map(|one| Diagnostic {
        summary: format!("No last snapshot: {}", one.summary),
        detail: format!("{} {more}", one.detail),
        ..one
    });
    told.collect()
}
