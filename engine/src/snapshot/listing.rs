//! What a cluster has kept, wherever its policies keep it.

use std::collections::BTreeMap;

use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::snapshots::id::parse_container;
use hcs_planner::snapshots::place::PolicyPlace;
use hcs_planner::snapshots::policy::SnapshotPolicyDocument;

use crate::arm::Arm;
use crate::blob::{BlobEntry, BlobError, BlobStore, BlobStores};
use crate::error::chain;

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Account and container of somebody; none: in the cluster's own.
    pub elsewhere: Option<(ArmId, String)>,
    /// Folder of its policy, or of those that somebody asked for.
    pub folder: String,
    /// Its row.
    pub entry: BlobEntry,
}

/// All of them, and in words which containers of somebody could not be looked at. Only reads.
///
/// # Errors
///
/// Where the cluster's own account cannot be read.
pub async fn list(
    arm: &Arm,
    stores: &dyn BlobStores,
    own: &dyn BlobStore,
) -> Result<(Vec<Listed>, Vec<String>), BlobError> {
    let own_rows = own.list(container::SNAPSHOTS, "").await?;
    let mut all: Vec<Listed> = rows(own_rows, "", None).collect();
    let mut unread = Vec::new();
    match places(own).await {
        Ok(places) => {
            for ((_, folder), container_id) in places {
                match there(arm, stores, &container_id, &folder).await {
                    Ok(found) => all.extend(found),
                    Err(why) => unread.push(format!("{container_id}: {why}")),
                }
            }
        }
        Err(error) => {
            unread.push(format!("what policies keep in other accounts: {}", chain(&error)));
        }
    }
    Ok((all, unread))
}

fn rows(
    entries: Vec<BlobEntry>,
    below: &str,
    elsewhere: Option<&(ArmId, String)>,
) -> impl Iterator<Item = Listed> {
    let is_one = |entry: &BlobEntry| entry.name.ends_with(".snap");
    entries.into_iter().filter(is_one).map(move |entry| {
        let folder = entry.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = folder.strip_prefix(below).unwrap_or(folder).to_owned();
        Listed { elsewhere: elsewhere.cloned(), folder, entry }
    })
}

/// Containers of somebody that policies name, however they spell them, each with the cluster's folder in it.
async fn places(own: &dyn BlobStore) -> Result<BTreeMap<(String, String), String>, BlobError> {
    let mut places = BTreeMap::new();
    for entry in own.list(container::CONFIG, blob::SNAPSHOT_POLICIES).await? {
        let Some(found) = own.get(container::CONFIG, &entry.name).await? else { continue };
        let policy = serde_json::from_slice::<SnapshotPolicyDocument>(&found.bytes).ok();
        if let Some(PolicyPlace { container_id, folder, .. }) = policy.and_then(|it| it.place) {
            places.insert((container_id.to_lowercase(), folder), container_id);
        }
    }
    Ok(places)
}

async fn there(
    arm: &Arm,
    stores: &dyn BlobStores,
    container_id: &str,
    folder: &str,
) -> Result<Vec<Listed>, String> {
    let place = parse_container(container_id)?;
    let (account, name) = &place;
    let store = arm.blobs_of(stores, account).await;
    let store =
        store.map_err(|error| format!("{}; it takes Reader on {account}", chain(&error)))?;
    let store = store.ok_or_else(|| format!("there is no {account}, or you may not see it"))?;
    let below = format!("{folder}/");
    let listed = store.list(name, &below).await.map_err(|error| {
        let mend = if error.is_of_the_firewall() {
            "its firewall does not let this machine in"
        } else {
            "it takes Storage Blob Data Reader there"
        };
        format!("{}; {mend}", chain(&error))
    })?;
    Ok(rows(listed, &below, Some(&place)).collect())
}
