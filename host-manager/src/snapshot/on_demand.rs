//! A snapshot that somebody asked for: verified, and kept under the name that the request gives.

use std::collections::BTreeMap;

use bytes::Bytes;
use hcs_engine::blob::{BlobError, WriteCondition};
use hcs_planner::dataplane::{blob, container};
use hcs_planner::requests::argument;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::run::{SnapshotError, verified};
use crate::artifact::hex;
use crate::consul::client::ConsulClient;
use crate::host::Host;

/// No policy is at work here: for messages.
const PLACE: &str = "on demand";

/// Whether a request may name this blob: in its own folder, and no path of its own.
pub fn may_be_named(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let file = name.strip_prefix(blob::ON_DEMAND).and_then(|rest| rest.strip_suffix(".snap"));
    file.is_some_and(|file| !file.is_empty() && file.chars().all(plain))
}

/// Takes, verifies and keeps one. A try that was cut off after the write finds what it wrote.
pub async fn take(
    host: &Host,
    client: &ConsulClient,
    name: &str,
) -> Result<BTreeMap<String, Value>, SnapshotError> {
    let failed = |action, source| SnapshotError::Blob { action, policy: PLACE.to_owned(), source };
    let store = &host.stores.shared;
    let archive = client.snapshot().await?;
    let facts = verified(archive.clone()).await?;
    let written =
        store.put(container::SNAPSHOTS, name, archive.clone(), WriteCondition::Absent).await;
    let (archive, facts) = match written {
        Ok(_) => (archive, facts),
        Err(error @ BlobError::ConditionFailed { .. }) => {
            let found = store.get(container::SNAPSHOTS, name).await;
            let Some(found) = found.map_err(|error| failed("read", error))? else {
                return Err(failed("save", error));
            };
            (found.bytes.clone(), verified(found.bytes).await?)
        }
        Err(error) => return Err(failed("save", error)),
    };
    Ok(told(name, &archive, facts.index))
}

fn told(name: &str, archive: &Bytes, index: u64) -> BTreeMap<String, Value> {
    [
        (argument::SNAPSHOT, json!(name)),
        (argument::RAFT_INDEX, json!(index)),
        (argument::SIZE_BYTES, json!(archive.len())),
        (argument::SHA256, json!(hex(&Sha256::digest(archive)))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_a_blob_in_its_own_folder_only() {
        assert!(may_be_named("~on-demand/20261128T101500Z-0a1b2c3d.snap"));
        for name in [
            "hourly/20261128T101500Z.snap",
            "~on-demand/.snap",
            "~on-demand/../x.snap",
            "~on-demand/a",
        ] {
            assert!(!may_be_named(name), "{name}");
        }
    }
}
