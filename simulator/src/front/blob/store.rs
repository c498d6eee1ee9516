//! Blobs as files: an index in memory, one record and one data file for each blob.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex, MutexGuard};

use super::meta::Meta;
use crate::front::{FrontError, file_error, make_dir, now_ms};

/// Blobs by account and container, then by name.
pub(crate) type Index = BTreeMap<(String, String), BTreeMap<String, Meta>>;

/// All blobs of an emulator.
pub(crate) struct BlobStore {
    root: PathBuf,
    index: Mutex<Index>,
    serial: AtomicU64,
}

impl BlobStore {
    pub(crate) fn open(root: &Path) -> Result<Self, FrontError> {
        let parts = root.join(".parts");
        // What was half received belongs to nobody any more.
        let _ = fs::remove_dir_all(&parts);
        make_dir(&parts)?;
        let mut index = Index::new();
        let folders = |path: &Path| -> Result<Vec<PathBuf>, FrontError> {
            let entries = fs::read_dir(path).map_err(file_error("list", path))?;
            let mut found: Vec<PathBuf> =
                entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir()).collect();
            found.sort();
            Ok(found)
        };
        let name = |path: &Path| {
            path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
        };
        for account in folders(root)?.into_iter().filter(|p| name(p) != ".parts") {
            for container in folders(&account)? {
                let blobs = index.entry((name(&account), name(&container))).or_default();
                let entries = fs::read_dir(&container).map_err(file_error("list", &container))?;
                for path in entries.filter_map(|e| Some(e.ok()?.path())) {
                    if path.extension().is_some_and(|e| e == "json") {
                        let text = fs::read(&path).map_err(file_error("read", &path))?;
                        let meta: Meta = serde_json::from_slice(&text)
                            .map_err(|source| FrontError::Format { path, source })?;
                        blobs.insert(meta.name.clone(), meta);
                    }
                }
            }
        }
        let serial = AtomicU64::new(now_ms() << 12);
        Ok(Self { root: root.to_owned(), index: Mutex::new(index), serial })
    }

    pub(crate) async fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().await
    }

    /// A number that no other call got, even before a restart.
    pub(crate) fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn etag(&self) -> String {
        format!("\"0x8D{:013X}\"", self.serial())
    }

    pub(crate) fn folder(&self, account: &str, container: &str) -> PathBuf {
        self.root.join(account).join(container)
    }

    /// Path stem of a blob's files.
    pub(crate) fn stem(&self, account: &str, container: &str, name: &str) -> PathBuf {
        let digest = Sha256::digest(name.as_bytes());
        let hex = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        self.folder(account, container).join(hex)
    }

    /// Folder of a blob's uncommitted blocks.
    pub(crate) fn blocks(&self, account: &str, container: &str, name: &str) -> PathBuf {
        self.stem(account, container, name).with_extension("blocks")
    }

    /// Streams a body into a file of its own; returns it and its length.
    pub(crate) async fn receive(&self, mut body: Incoming) -> io::Result<(PathBuf, u64)> {
        let path = self.root.join(".parts").join(self.serial().to_string());
        let file = tokio::fs::File::create(&path).await?;
        let mut file = tokio::io::BufWriter::with_capacity(1 << 18, file);
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(io::Error::other)?;
            if let Some(data) = frame.data_ref() {
                length += data.len() as u64;
                file.write_all(data).await?;
            }
        }
        file.flush().await?;
        Ok((path, length))
    }

    /// Writes a blob's record.
    pub(crate) fn save(&self, account: &str, container: &str, meta: &Meta) -> io::Result<()> {
        let path = self.stem(account, container, &meta.name).with_extension("json");
        let part = path.with_extension("record");
        fs::write(&part, serde_json::to_vec(meta)?)?;
        fs::rename(part, path)
    }

    /// Path of a blob's bytes.
    pub(crate) fn data(&self, account: &str, container: &str, meta: &Meta) -> PathBuf {
        self.folder(account, container).join(&meta.data)
    }

    /// Removes a blob's files.
    pub(crate) fn erase(&self, account: &str, container: &str, meta: &Meta) {
        let stem = self.stem(account, container, &meta.name);
        let _ = fs::remove_file(stem.with_extension("json"));
        let _ = fs::remove_file(self.data(account, container, meta));
        let _ = fs::remove_dir_all(stem.with_extension("blocks"));
    }

    /// Accounts that hold blobs.
    pub(crate) async fn accounts(&self) -> Vec<String> {
        let mut accounts: Vec<String> =
            self.index().await.keys().map(|(account, _)| account.clone()).collect();
        accounts.dedup();
        accounts
    }

    /// Forgets a container and its blobs.
    pub(crate) async fn drop_container(&self, account: &str, container: &str) {
        let mut index = self.index().await;
        index.remove(&(account.to_owned(), container.to_owned()));
        let _ = fs::remove_dir_all(self.folder(account, container));
    }

    /// Forgets an account and its blobs.
    pub(crate) async fn drop_account(&self, account: &str) {
        let mut index = self.index().await;
        index.retain(|(owner, _), _| owner != account);
        let _ = fs::remove_dir_all(self.root.join(account));
    }
}
