//! Blobs as files: an index in memory, one record and one data file for each blob.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex as StdMutex, MutexGuard as StdMutexGuard, PoisonError};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex, MutexGuard};

use super::meta::Meta;
use super::past::Past;
use crate::front::{FrontError, file_error, make_dir, now_ms};

/// Blobs by account and container, then by name.
pub(crate) type Index = BTreeMap<(String, String), BTreeMap<String, Meta>>;

/// All blobs of an emulator.
pub(crate) struct BlobStore {
    root: PathBuf,
    index: Mutex<Index>,
    past: StdMutex<BTreeMap<(String, String), Vec<Past>>>,
    serial: AtomicU64,
}

impl BlobStore {
    pub(crate) fn open(root: &Path) -> Result<Self, FrontError> {
        let parts = root.join(".parts");
        // What was half received belongs to nobody any more.
        let _ = fs::remove_dir_all(&parts);
        make_dir(&parts)?;
        let mut index = Index::new();
        let mut past: BTreeMap<(String, String), Vec<Past>> = BTreeMap::new();
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
                    } else if path.extension().is_some_and(|e| e == "past") {
                        let text = fs::read(&path).map_err(file_error("read", &path))?;
                        let kept: Past = serde_json::from_slice(&text)
                            .map_err(|source| FrontError::Format { path, source })?;
                        past.entry((name(&account), name(&container))).or_default().push(kept);
                    }
                }
            }
        }
        let serial = AtomicU64::new(now_ms() << 12);
        let (index, past) = (Mutex::new(index), StdMutex::new(past));
        Ok(Self { root: root.to_owned(), index, past, serial })
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

    /// A time that no other version has, to a tenth of a microsecond as the service's are.
    pub(crate) fn version(&self) -> String {
        let time = crate::world::operations::rfc3339(now_ms());
        format!("{}{:04}Z", time.trim_end_matches('Z'), self.serial() % 10_000)
    }

    fn pasts(&self) -> StdMutexGuard<'_, BTreeMap<(String, String), Vec<Past>>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept of a container beside its blobs, oldest first.
    pub(crate) fn past(&self, account: &str, container: &str) -> Vec<Past> {
        let place = (account.to_owned(), container.to_owned());
        self.pasts().get(&place).cloned().unwrap_or_default()
    }

    /// Keeps what is no longer current.
    pub(crate) fn keep(&self, account: &str, container: &str, past: Past) -> io::Result<()> {
        let path = self.data(account, container, &past.meta).with_added_extension("past");
        fs::write(path, serde_json::to_vec(&past)?)?;
        self.pasts().entry((account.to_owned(), container.to_owned())).or_default().push(past);
        Ok(())
    }

    /// Forgets what was deleted so long ago that nobody can bring it back, from the oldest on.
    pub(crate) fn prune(&self, account: &str, container: &str, now_ms: u64, kept_ms: u64) {
        let is_over =
            |past: &Past| past.deleted_ms.is_some_and(|at| now_ms.saturating_sub(at) >= kept_ms);
        let over: Vec<Past> = match self.pasts().get(&(account.to_owned(), container.to_owned())) {
            Some(kept) => kept.iter().take_while(|past| is_over(past)).cloned().collect(),
            None => return,
        };
        for past in over {
            self.forget(account, container, &past);
        }
    }

    /// Takes something back out of what is kept; its bytes stay.
    pub(crate) fn forget_record(&self, account: &str, container: &str, past: &Past) {
        let path = self.data(account, container, &past.meta).with_added_extension("past");
        let _ = fs::remove_file(path);
        if let Some(kept) = self.pasts().get_mut(&(account.to_owned(), container.to_owned())) {
            kept.retain(|own| own.meta.data != past.meta.data);
        }
    }

    /// Forgets something kept, bytes and all.
    pub(crate) fn forget(&self, account: &str, container: &str, past: &Past) {
        self.forget_record(account, container, past);
        let _ = fs::remove_file(self.data(account, container, &past.meta));
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

    /// Removes a blob's record and its blocks; its bytes stay.
    pub(crate) fn erase_record(&self, account: &str, container: &str, meta: &Meta) {
        let stem = self.stem(account, container, &meta.name);
        let _ = fs::remove_file(stem.with_extension("json"));
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
        let place = (account.to_owned(), container.to_owned());
        index.remove(&place);
        self.pasts().remove(&place);
        let _ = fs::remove_dir_all(self.folder(account, container));
    }

    /// Forgets an account and its blobs.
    pub(crate) async fn drop_account(&self, account: &str) {
        let mut index = self.index().await;
        index.retain(|(owner, _), _| owner != account);
        self.pasts().retain(|(owner, _), _| owner != account);
        let _ = fs::remove_dir_all(self.root.join(account));
    }
}
