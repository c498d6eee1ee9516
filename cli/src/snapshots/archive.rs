//! Archives of snapshots: verified, copied and uploaded, part by part.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use hcs_engine::blob::{BlobError, BlockStore};
use hcs_engine::error::chain;
use hcs_engine::snapshot::archive::{ArchiveError, SnapshotFacts};
use hcs_engine::snapshot::records;
use hcs_engine::snapshot::save::{self, Place as Stand, SaveError};
use hcs_planner::dataplane::{blob, container};
use hcs_planner::snapshots::metadata;
use indicatif::{ProgressBar, ProgressStyle};
use semver::Version;
use serde_json::{Value, json};

use super::stored::{self, Stored};
use crate::input::CliError;
use crate::plan::Answer;
use crate::requests::refused;
use crate::status::{Place, open, run};

/// Read at once from a file.
const CHUNK_BYTES: usize = 256 * 1024;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Shown to whoever sits in front of a terminal, and to nobody else.
fn bar(length_bytes: u64, doing: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
    let bar = ProgressBar::new(length_bytes).with_message(doing.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Says whether an archive on this machine is whole, and whether Consul of a version can restore it. Needs no credentials.
pub(crate) fn verify_file(
    file: &Path,
    version: Option<&Version>,
    as_json: bool,
) -> Result<Answer, CliError> {
    run(async {
        let name = file.display().to_string();
        let (length_bytes, chunks) = of_file(file)?;
        let bar = bar(length_bytes, "verifying");
        let chunks = chunks.inspect_ok(|chunk| bar.inc(chunk.len() as u64));
        let verified = save::verify(Box::pin(chunks)).await;
        bar.finish_and_clear();
        let facts = verified.map_err(|error| no_good(&name, error))?;
        judged(&name, &facts, version, as_json)
    })
}

/// The same for one in an account.
pub(crate) fn verify_stored(
    place: &Place,
    name: &str,
    version: Option<&Version>,
    as_json: bool,
) -> Result<Answer, CliError> {
    run(async {
        let stored = stored::find(place, name).await?;
        let bar = bar(stored.entry.size_bytes, "verifying");
        let verified = save::verify(Box::pin(read(&stored, &bar))).await;
        bar.finish_and_clear();
        judged(name, &verified.map_err(|error| no_good(name, error))?, version, as_json)
    })
}

/// Size and content of a file.
fn of_file(file: &Path) -> Result<(u64, impl Stream<Item = Result<Bytes, Cause>>), CliError> {
    let failed =
        |error: io::Error| CliError::File { path: file.to_owned(), reason: error.to_string() };
    let mut opened = File::open(file).map_err(failed)?;
    let length_bytes = opened.metadata().map_err(failed)?.len();
    let chunks = std::iter::from_fn(move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        match opened.read(&mut chunk) {
            Ok(0) => None,
            Ok(count) => {
                chunk.truncate(count);
                Some(Ok(chunk.into()))
            }
            Err(error) => Some(Err(error.into())),
        }
    });
    Ok((length_bytes, futures::stream::iter(chunks)))
}

fn read(stored: &Stored, bar: &ProgressBar) -> impl Stream<Item = Result<Bytes, BlobError>> + Send {
    let (container, path) = (stored.container.clone(), stored.entry.name.clone());
    let bar = bar.clone();
    save::read(Arc::clone(&stored.store), container, path, None)
        .inspect_ok(move |chunk| bar.inc(chunk.len() as u64))
}

fn no_good(name: &str, error: SaveError) -> CliError {
    match error {
        SaveError::Blob(error) => refused(&error.into(), container::SNAPSHOTS),
        error => CliError::Azure { reason: format!("{name}: {}", chain(&error)) },
    }
}

fn judged(
    name: &str,
    facts: &SnapshotFacts,
    version: Option<&Version>,
    as_json: bool,
) -> Result<String, CliError> {
    let no_good =
        |error: ArchiveError| CliError::Azure { reason: format!("{name}: {}", chain(&error)) };
    facts.check_for(version).map_err(no_good)?;
    Ok(if as_json { told_as_json(name, facts) } else { told(name, facts, version) })
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

/// Brings an archive from this machine into a cluster's account, from where it can be restored.
pub(crate) fn upload(place: &Place, file: &Path) -> Result<Answer, CliError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // What no Consul can restore is told before anybody is asked for credentials.
    verify_file(file, None, false)?;
    run(async {
        let (length_bytes, chunks) = of_file(file)?;
        let (_, store) = open(place).await?;
        let path = format!("{}{}.snap", blob::ON_DEMAND, plain(&name));
        let bar = bar(length_bytes, "uploading");
        let chunks = chunks.inspect_ok(|chunk| bar.inc(chunk.len() as u64));
        let kept = put_new(&store, &path, chunks, BTreeMap::new(), &name).await;
        bar.finish_and_clear();
        kept?;
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

/// Copies one that is whole to somewhere else. One that is not is nowhere afterwards.
pub(crate) fn copy(place: &Place, name: &str, to: &Copy) -> Result<Answer, CliError> {
    run(async {
        let stored = stored::find(place, name).await?;
        let bar = bar(stored.entry.size_bytes, "copying");
        let copied = match to {
            Copy::File(path) => into_file(&stored, name, path, &bar).await,
            Copy::Cluster(other) => into_another(other, &stored, name, &bar).await,
        };
        bar.finish_and_clear();
        copied
    })
}

async fn into_file(
    stored: &Stored,
    name: &str,
    path: &Path,
    bar: &ProgressBar,
) -> Result<String, CliError> {
    let failed =
        |error: io::Error| CliError::File { path: path.to_owned(), reason: error.to_string() };
    if path.exists() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    // It has its name when all of it is good, and not before.
    let part = path.with_added_extension("part");
    let mut file = new_private(&part).map_err(failed)?;
    let (mut size_bytes, mut broken) = (0, None);
    let written = read(stored, bar).map(|chunk| -> Result<Bytes, Cause> {
        let chunk = chunk?;
        if let Err(error) = file.write_all(&chunk) {
            broken = Some(error);
            return Err("the file takes no more".into());
        }
        size_bytes += chunk.len();
        Ok(chunk)
    });
    let verified = save::verify(Box::pin(written)).await;
    // A link takes no name that somebody has taken meanwhile.
    let named = match (verified, broken) {
        (_, Some(error)) => Err(failed(error)),
        (Err(error), None) => Err(no_good(name, error)),
        (Ok(_), None) => {
            file.sync_all().and_then(|()| std::fs::hard_link(&part, path)).map_err(failed)
        }
    };
    let _ = std::fs::remove_file(&part);
    named?;
    let path = path.display();
    Ok(format!("{name} is in {path}, {size_bytes} bytes; it holds secrets\n"))
}

async fn into_another(
    other: &Place,
    stored: &Stored,
    name: &str,
    bar: &ProgressBar,
) -> Result<String, CliError> {
    let (_, store) = open(other).await?;
    let copied = format!("{}copy-{}.snap", blob::ON_DEMAND, plain(&stored.entry.name));
    let kept = [metadata::CONSUL_VERSION, metadata::CREATED_AT];
    let said = kept
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), stored.entry.metadata.get(*key)?.clone())));
    put_new(&store, &copied, read(stored, bar), said.collect(), name).await?;
    Ok(format!("{name} is {copied} there\n"))
}

async fn put_new<E: Into<Cause>>(
    store: &Arc<dyn BlockStore>,
    path: &str,
    chunks: impl Stream<Item = Result<Bytes, E>>,
    said: BTreeMap<String, String>,
    name: &str,
) -> Result<(), CliError> {
    let stand = Stand { store, container: container::SNAPSHOTS, name: path };
    match save::keep(Box::pin(chunks), stand, said).await {
        Ok(_) => Ok(()),
        Err(SaveError::Blob(BlobError::ConditionFailed { .. })) => Err(CliError::Azure {
            reason: format!("there is a snapshot {path} already; nothing was copied"),
        }),
        Err(error) => Err(no_good(name, error)),
    }
}

/// Path of a snapshot as a part of a name.
fn plain(name: &str) -> String {
    let name = name.strip_suffix(".snap").unwrap_or(name).trim_start_matches('~');
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// A file that only its owner reads; what an earlier try has left of it goes.
fn new_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let _ = std::fs::remove_file(path);
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
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
