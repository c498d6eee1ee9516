//! `hcs support`: one archive for somebody who helps, of what the cluster's blobs say and what each server collects.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::join_all;
use hcs_engine::blob::{BlobError, BlobStore, BlockStore};
use hcs_engine::clock::{Clock as _, SystemClock};
use hcs_engine::error::chain;
use hcs_engine::redact;
use hcs_engine::status::read_cluster_status;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::requests::{Request, RequestAction};
use hcs_planner::snapshots::time_in_name;
use jiff::Timestamp;
use tar::{Builder, Header};

use crate::input::CliError;
use crate::plan::Answer;
use crate::requests::{GOOD_FOR, asked, new_id, slots};
use crate::status::{Place, open, run};

/// What is in no container that holds secrets: whole, as it is.
const DOCUMENTS: [&str; 4] =
    [container::CONFIG, container::DECISIONS, container::REQUESTS, container::CERTIFICATES];

/// Collects, and says where it is.
pub(crate) fn collect(place: &Place, out: Option<&Path>) -> Result<Answer, CliError> {
    run(async {
        let (_, store) = open(place).await?;
        let slots = slots(store.as_ref()).await?;
        let now_unix_ms = SystemClock.now_unix_ms();
        let mut files = documents(store.as_ref(), &slots).await;
        let status = read_cluster_status(store.as_ref(), now_unix_ms).await;
        let (name, text) = match status {
            Ok(status) => {
                let text = serde_json::to_string_pretty(&status);
                let text = text.map_err(|error| CliError::Azure { reason: error.to_string() })?;
                (status.name, redact::document(&text).into_bytes())
            }
            Err(error) => ("cluster".to_owned(), chain(&error).into_bytes()),
        };
        files.push(("status.json".to_owned(), text));
        let mut told = String::new();
        for (slot, bundle) in join_all(slots.iter().map(|slot| of_server(&store, *slot))).await {
            match bundle {
                Ok(bytes) => {
                    let _ = writeln!(told, "server {slot}: {} bytes", bytes.len());
                    files.push((format!("servers/{slot}.tar.gz"), bytes));
                }
                Err(error) => {
                    let _ = writeln!(told, "server {slot}: {error}");
                }
            }
        }
        files.push(("servers.txt".to_owned(), told.clone().into_bytes()));
        let time = time_in_name(Timestamp::now());
        let path = out.map_or_else(
            || PathBuf::from(format!("hcs-support-{name}-{time}.tar.gz")),
            Path::to_owned,
        );
        write(&path, &files, now_unix_ms / 1000)
            .map_err(|error| CliError::File { path: path.clone(), reason: error.to_string() })?;
        Ok(format!(
            "{told}{}\n  it holds no secrets; names and addresses it does\n",
            path.display()
        ))
    })
}

/// What a server collects now. An older one knows no such request.
async fn of_server(store: &Arc<dyn BlockStore>, slot: u32) -> (u32, Result<Vec<u8>, CliError>) {
    let bundle = async {
        let request = Request::new(new_id()?, Some(slot), RequestAction::SupportBundle);
        asked(store.as_ref(), request, GOOD_FOR).await?;
        let place = container::status(slot);
        let read = |error: BlobError| CliError::Azure { reason: chain(&error) };
        let found = store.get(&place, blob::SUPPORT).await.map_err(read)?;
        let found = found.ok_or_else(|| CliError::Azure {
            reason: format!("{place}/{} is not there any more", blob::SUPPORT),
        })?;
        Ok(found.bytes.to_vec())
    };
    (slot, bundle.await)
}

/// Every document, or why it cannot be read.
async fn documents(store: &dyn BlobStore, slots: &[u32]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for place in DOCUMENTS {
        match store.list(place, "").await {
            Ok(entries) => {
                for entry in entries {
                    files.push(document(store, place, &entry.name).await);
                }
            }
            Err(error) => {
                files.push((format!("documents/{place}.txt"), chain(&error).into_bytes()));
            }
        }
    }
    for slot in slots {
        files.push(document(store, &container::status(*slot), blob::STATUS).await);
    }
    files
}

async fn document(store: &dyn BlobStore, place: &str, name: &str) -> (String, Vec<u8>) {
    let bytes = match store.get(place, name).await {
        Ok(Some(found)) => match std::str::from_utf8(&found.bytes) {
            Ok(text) => redact::document(text).into_bytes(),
            Err(_) => b"it is no text\n".to_vec(),
        },
        Ok(None) => b"it is not there\n".to_vec(),
        Err(error) => chain(&error).into_bytes(),
    };
    (format!("documents/{place}/{name}"), bytes)
}

fn write(path: &Path, files: &[(String, Vec<u8>)], modified_s: u64) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    // One that was there before may be read by others.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let mut archive = Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(modified_s);
        archive.append_data(&mut header, name, bytes.as_slice())?;
    }
    archive.into_inner()?.finish()?.flush()
}
