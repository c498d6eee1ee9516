//! A snapshot that somebody asked for: verified, and kept under the name that the request gives.

use std::collections::BTreeMap;

use hcs_engine::blob::BlobError;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::requests::argument;
use hcs_planner::snapshots::metadata;
use serde_json::{Value, json};

use super::save::{self, Place, SaveError, Saved};
use crate::consul::client::ConsulClient;
use crate::host::Host;
use crate::status::written_at;

/// Whether a request may name this blob: in its own folder, and no path of its own.
pub fn may_be_named(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let file = name.strip_prefix(blob::ON_DEMAND).and_then(|rest| rest.strip_suffix(".snap"));
    file.is_some_and(|file| !file.is_empty() && file.chars().all(plain))
}

/// What is said of every snapshot.
pub async fn said(host: &Host, client: &ConsulClient) -> BTreeMap<String, String> {
    let mut said = BTreeMap::from([
        (metadata::NODE.to_owned(), host.bootstrap.node_name.clone()),
        (metadata::CREATED_AT.to_owned(), written_at(host.clock.now_unix_ms())),
    ]);
    // It is a help for whoever restores it one day, and no reason to have none.
    if let Ok(version) = client.version().await {
        said.insert(metadata::CONSUL_VERSION.to_owned(), version);
    }
    said
}

/// Takes, verifies and keeps one. A try that was cut off after the write finds what it wrote.
pub async fn take(
    host: &Host,
    client: &ConsulClient,
    name: &str,
    more: BTreeMap<String, String>,
) -> Result<BTreeMap<String, Value>, SaveError> {
    let place = Place { store: &host.stores.shared, container: container::SNAPSHOTS, name };
    take_at(host, client, place, more).await
}

/// The same, wherever it is to be kept.
pub async fn take_at(
    host: &Host,
    client: &ConsulClient,
    place: Place<'_>,
    more: BTreeMap<String, String>,
) -> Result<BTreeMap<String, Value>, SaveError> {
    let mut said = said(host, client).await;
    said.extend(more);
    let saved = match save::save(host, client, place, said.clone()).await {
        Err(error @ SaveError::Blob(BlobError::ConditionFailed { .. })) => {
            save::look(place).await?.ok_or(error)?.0
        }
        saved => saved?,
    };
    Ok(told(place.name, &saved, &said))
}

fn told(name: &str, saved: &Saved, said: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let mut told: BTreeMap<String, Value> = [
        (argument::SNAPSHOT, json!(name)),
        (argument::RAFT_INDEX, json!(saved.facts.index)),
        (argument::SIZE_BYTES, json!(saved.size_bytes)),
        (argument::SHA256, json!(saved.sha256)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(version) = said.get(metadata::CONSUL_VERSION) {
        told.insert(argument::CONSUL_VERSION.to_owned(), json!(version));
    }
    told
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
