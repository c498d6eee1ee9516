//! `hcs snapshots`: taken, listed, restored, verified, copied and uploaded.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hcs_engine::blob::{BlobError, BlobStore, WriteCondition};
use hcs_engine::error::chain;
use hcs_engine::requests::{RESTORE_GOOD_FOR, SNAPSHOT_GOOD_FOR};
use hcs_engine::snapshot::archive::{self, SnapshotFacts};
use hcs_engine::snapshot::records;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::requests::{Request, argument};
use hcs_planner::snapshots::name_on_demand;
use jiff::Timestamp;
use semver::Version;
use serde_json::{Value, json};

use crate::input::CliError;
use crate::plan::Answer;
use crate::requests::{asked, new_id, refused, text_of};
use crate::status::{Place, open, run};

/// Takes a snapshot now, and says where it is.
pub(crate) fn take_snapshot(place: &Place, as_json: bool) -> Result<Answer, CliError> {
    run(async {
        let (_, store) = open(place).await?;
        let id = new_id()?;
        let name = format!("{}{}.snap", blob::ON_DEMAND, name_on_demand(Timestamp::now(), &id));
        let request = Request::snapshot(id, &name, None);
        let result = asked(&store, request, SNAPSHOT_GOOD_FOR).await?;
        if as_json {
            return Ok(format!("{}\n", json!(result.values)));
        }
        let say = |name: &str| text_of(result.values.get(name));
        Ok(format!(
            "snapshot {}/{}\n  {} bytes, Raft index {}, verified\n  SHA-256 {}\n",
            container::SNAPSHOTS,
            say(argument::SNAPSHOT),
            say(argument::SIZE_BYTES),
            say(argument::RAFT_INDEX),
            say(argument::SHA256),
        ))
    })
}

/// Puts the cluster's state back to a snapshot.
pub(crate) fn restore(
    place: &Place,
    snapshot: &str,
    is_meant: bool,
    is_tried: bool,
) -> Result<Answer, CliError> {
    if !is_meant {
        let reason = format!(
            "this puts the whole state of Consul back to {snapshot}: keys, services, ACLs, intentions and the mesh's CA. \
             What was written since is gone, tokens that were made since do not work any more, and tokens that were \
             revoked since work again. What is there now is kept as a snapshot first. Say --yes if that is meant"
        );
        return Err(CliError::Azure { reason });
    }
    run(async {
        let (_, store) = open(place).await?;
        let request = Request::restore(new_id()?, snapshot);
        let request = if is_tried { request } else { request.without_trial() };
        let result = asked(&store, request, RESTORE_GOOD_FOR).await?;
        let tried = result.values.get(argument::UNTRIED).map_or_else(
            || "a server that was thrown away restored it first".to_owned(),
            |why| format!("no trial has proven it before: {}", text_of(Some(why))),
        );
        Ok(format!(
            "Consul is back at {snapshot}\n  {tried}\n  what was there before: {}/{}\n  `hcs status` tells how the servers are\n",
            container::SNAPSHOTS,
            text_of(result.values.get(argument::SAFETY_SNAPSHOT)),
        ))
    })
}

/// All snapshots that the account holds, those of policies and those that somebody asked for, the newest last.
pub(crate) fn list_snapshots(place: &Place, as_json: bool) -> Result<Answer, CliError> {
    run(async {
        let (_, store) = open(place).await?;
        let listed = store.list(container::SNAPSHOTS, "").await;
        let mut entries = listed.map_err(|error| refused(&error.into(), container::SNAPSHOTS))?;
        entries.retain(|entry| entry.name.ends_with(".snap"));
        entries.sort_by(|a, b| (&a.last_modified, &a.name).cmp(&(&b.last_modified, &b.name)));
        if as_json {
            let rows: Vec<Value> = entries
                .iter()
                .map(|entry| {
                    json!({ "name": entry.name, "size_bytes": entry.size_bytes, "written_at": entry.last_modified })
                })
                .collect();
            return Ok(format!("{}\n", json!(rows)));
        }
        if entries.is_empty() {
            return Ok("there is no snapshot\n".to_owned());
        }
        let mut text = String::new();
        for entry in &entries {
            let at = entry.last_modified.as_deref().unwrap_or("at some time");
            let _ = writeln!(text, "{at}  {:>12} bytes  {}", entry.size_bytes, entry.name);
        }
        Ok(text)
    })
}

/// Says whether an archive on this machine is whole, and whether Consul of a version can restore it. Needs no credentials.
pub(crate) fn verify_file(
    file: &Path,
    version: Option<&Version>,
    as_json: bool,
) -> Result<Answer, CliError> {
    let failed = |reason: String| CliError::File { path: file.to_owned(), reason };
    let opened = File::open(file).map_err(|error| failed(error.to_string()))?;
    let text = judged(&file.display().to_string(), opened, version, as_json)?;
    Ok(Answer { text, changes: false })
}

/// The same for one in a cluster's account.
pub(crate) fn verify_stored(
    place: &Place,
    name: &str,
    version: Option<&Version>,
    as_json: bool,
) -> Result<Answer, CliError> {
    run(async { judged(name, read(place, name).await?.as_ref(), version, as_json) })
}

fn judged(
    name: &str,
    archive: impl Read,
    version: Option<&Version>,
    as_json: bool,
) -> Result<String, CliError> {
    let no_good = |error: &archive::ArchiveError| CliError::Azure {
        reason: format!("{name}: {}", chain(error)),
    };
    let facts = archive::verify(archive).map_err(|error| no_good(&error))?;
    facts.check_for(version).map_err(|error| no_good(&error))?;
    Ok(if as_json { told_as_json(name, &facts) } else { told(name, &facts, version) })
}

fn told(name: &str, facts: &SnapshotFacts, version: Option<&Version>) -> String {
    let by = version.map_or_else(|| "Consul".to_owned(), |version| format!("Consul {version}"));
    let mut text = format!(
        "{name} is whole, and {by} knows all that it holds\n  Raft index {}, term {}; the state has {} bytes\n",
        facts.index, facts.term, facts.state_bytes
    );
    for (kind, count) in &facts.records {
        let _ = writeln!(text, "  {count:>9}  {}", records::name(*kind));
    }
    text
}

fn told_as_json(name: &str, facts: &SnapshotFacts) -> String {
    let records: serde_json::Map<String, Value> =
        facts.records.iter().map(|(kind, count)| (records::name(*kind), json!(count))).collect();
    let (index, term, bytes) = (facts.index, facts.term, facts.state_bytes);
    let told = json!({
        "snapshot": name, "raft_index": index, "raft_term": term, "state_bytes": bytes, "records": records,
    });
    format!("{told}\n")
}

async fn read(place: &Place, name: &str) -> Result<Bytes, CliError> {
    let (_, store) = open(place).await?;
    let found = store.get(container::SNAPSHOTS, name).await;
    let found = found.map_err(|error| refused(&error.into(), container::SNAPSHOTS))?;
    let missing = || CliError::Azure {
        reason: format!("there is no snapshot {name}: `hcs snapshots list` names them"),
    };
    Ok(found.ok_or_else(missing)?.bytes)
}

/// Brings an archive from this machine into a cluster's account, from where it can be restored.
pub(crate) fn upload(place: &Place, file: &Path) -> Result<Answer, CliError> {
    let failed = |reason: String| CliError::File { path: file.to_owned(), reason };
    let bytes = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    judged(&file.display().to_string(), bytes.as_slice(), None, false)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    run(async {
        let (_, store) = open(place).await?;
        let path = format!("{}{}.snap", blob::ON_DEMAND, plain(&name));
        put_new(store.as_ref(), &path, bytes.into()).await?;
        Ok(format!("{path} can be restored: hcs snapshots restore <cluster> {path}\n"))
    })
}

/// Where a copy goes.
pub(crate) enum Copy {
    /// A file on this machine.
    File(PathBuf),
    /// The account of another cluster.
    Cluster(Place),
}

/// Copies one that is whole to somewhere else.
pub(crate) fn copy(place: &Place, name: &str, to: &Copy) -> Result<Answer, CliError> {
    run(async {
        let bytes = read(place, name).await?;
        judged(name, bytes.as_ref(), None, false)?;
        match to {
            Copy::File(path) => {
                let written = write_privately(path, &bytes);
                written.map_err(|error| CliError::File {
                    path: path.clone(),
                    reason: error.to_string(),
                })?;
                let (path, size) = (path.display(), bytes.len());
                Ok(format!("{name} is in {path}, {size} bytes; it holds secrets\n"))
            }
            Copy::Cluster(other) => into_another(other, name, bytes).await,
        }
    })
}

async fn into_another(other: &Place, name: &str, bytes: Bytes) -> Result<String, CliError> {
    let (_, store) = open(other).await?;
    let copied = format!("{}copy-{}.snap", blob::ON_DEMAND, plain(name));
    put_new(store.as_ref(), &copied, bytes).await?;
    Ok(format!("{name} is {copied} there\n"))
}

async fn put_new(store: &dyn BlobStore, path: &str, bytes: Bytes) -> Result<(), CliError> {
    match store.put(container::SNAPSHOTS, path, bytes, WriteCondition::Absent).await {
        Ok(_) => Ok(()),
        Err(BlobError::ConditionFailed { .. }) => Err(CliError::Azure {
            reason: format!("there is a snapshot {path} already; nothing was copied"),
        }),
        Err(error) => Err(refused(&error.into(), container::SNAPSHOTS)),
    }
}

/// Path of a snapshot as a part of a name.
fn plain(name: &str) -> String {
    let name = name.strip_suffix(".snap").unwrap_or(name).trim_start_matches('~');
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// A file that only its owner reads, and that was not there before.
fn write_privately(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_named_after_what_it_is_a_copy_of() {
        assert_eq!(plain("hourly/20261129T020000Z.snap"), "hourly-20261129T020000Z");
        assert_eq!(plain("~on-demand/before.snap"), "on-demand-before");
    }
}
