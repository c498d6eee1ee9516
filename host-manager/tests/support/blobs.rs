//! One storage account in memory, with roles: each identity sees what it may see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::blob::{
    BlobContent, BlobEntry, BlobError, BlobStore, BlobStores, BlockStore, WriteCondition,
};

/// The container of somebody's account, beside the cluster's own.
pub const BACKUPS: &str = "backups";
/// Its id.
pub const BACKUPS_ID: &str = "/subscriptions/s/resourceGroups/backups/providers/Microsoft.Storage/storageAccounts/acct/blobServices/default/containers/backups";

/// Which calls get no answer.
#[derive(Clone, Copy, Default, PartialEq)]
enum Waits {
    #[default]
    Nothing,
    Parts,
    All,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<String, Blobs>,
    writes: u64,
    /// Parts of blobs that are not there yet, by container, blob and id.
    staged: BTreeMap<String, Bytes>,
    /// What was said of blobs, by container and blob.
    metadata: BTreeMap<String, BTreeMap<String, String>>,
    /// Of parts and commits, the one that is refused, and whether it is done all the same.
    refused: Option<(u64, bool)>,
    /// Nothing can be deleted, for this reason.
    immutable: Option<&'static str>,
    is_away: bool,
    /// Requests end nowhere, or those that bring parts do not yet.
    waits: Waits,
    /// The roles on documents have not taken effect yet.
    is_denied: bool,
}

/// The blobs of one container.
pub type Blobs = BTreeMap<String, (Bytes, u64)>;

#[derive(Clone, Default)]
pub struct Account(Arc<Mutex<State>>);

impl Account {
    pub fn make_container(&self, name: &str) {
        self.0.lock().unwrap().containers.entry(name.to_owned()).or_default();
    }

    pub fn write(&self, container: &str, name: &str, bytes: impl Into<Bytes>) {
        let mut state = self.0.lock().unwrap();
        state.writes += 1;
        let version = state.writes;
        let blobs = state.containers.entry(container.to_owned()).or_default();
        blobs.insert(name.to_owned(), (bytes.into(), version));
    }

    pub fn read(&self, container: &str, name: &str) -> Option<Bytes> {
        let state = self.0.lock().unwrap();
        Some(state.containers.get(container)?.get(name)?.0.clone())
    }

    pub fn remove(&self, container: &str, name: &str) -> Option<Bytes> {
        let mut state = self.0.lock().unwrap();
        Some(state.containers.get_mut(container)?.remove(name)?.0)
    }

    pub fn names(&self, container: &str) -> Vec<String> {
        let state = self.0.lock().unwrap();
        state.containers.get(container).into_iter().flat_map(|c| c.keys().cloned()).collect()
    }

    /// Everything that was ever stored under the containers, for a look for secrets.
    pub fn all(&self) -> Vec<(String, Bytes)> {
        let state = self.0.lock().unwrap();
        let rows = state.containers.iter().flat_map(|(container, blobs)| {
            blobs
                .iter()
                .map(move |(name, (bytes, _))| (format!("{container}/{name}"), bytes.clone()))
        });
        rows.collect()
    }

    /// Breaks off the call of this number, of those that bring parts or make a blob of them: it is not done, or its answer is
    /// lost.
    pub fn refuse_write(&self, refused: Option<(u64, bool)>) {
        self.0.lock().unwrap().refused = refused;
    }

    /// Nothing can be deleted from now on.
    pub fn set_immutable(&self, code: &'static str) {
        self.0.lock().unwrap().immutable = Some(code);
    }

    /// The account does not answer while this is set.
    pub fn set_away(&self, is_away: bool) {
        self.0.lock().unwrap().is_away = is_away;
    }

    /// Parts of blobs are kept waiting while this is set.
    pub fn set_takes_no_parts(&self, takes_none: bool) {
        self.0.lock().unwrap().waits = if takes_none { Waits::Parts } else { Waits::Nothing };
    }

    /// Requests end nowhere while this is set.
    pub fn set_silent(&self, is_silent: bool) {
        self.0.lock().unwrap().waits = if is_silent { Waits::All } else { Waits::Nothing };
    }

    pub fn set_denied(&self, is_denied: bool) {
        self.0.lock().unwrap().is_denied = is_denied;
    }

    /// Removes a container and keeps what was in it.
    pub fn take(&self, container: &str) -> Blobs {
        self.0.lock().unwrap().containers.remove(container).unwrap()
    }

    pub fn put_back(&self, container: &str, blobs: Blobs) {
        self.0.lock().unwrap().containers.insert(container.to_owned(), blobs);
    }

    pub fn view(&self, readable: &[String], writable: &[String]) -> View {
        let writable: BTreeSet<String> = writable.iter().cloned().collect();
        let readable = readable.iter().cloned().chain(writable.iter().cloned()).collect();
        View { account: self.clone(), readable, writable }
    }
}

#[derive(Clone)]
pub struct View {
    account: Account,
    readable: BTreeSet<String>,
    writable: BTreeSet<String>,
}

/// How a call ends that is broken off.
#[derive(PartialEq)]
enum Ends {
    Well,
    Unasked,
    Unheard,
}

impl View {
    fn ends(&self) -> Ends {
        let mut state = self.account.0.lock().unwrap();
        match &mut state.refused {
            Some((0, is_done)) => {
                let ends = if *is_done { Ends::Unheard } else { Ends::Unasked };
                state.refused = None;
                ends
            }
            Some((left, _)) => {
                *left -= 1;
                Ends::Well
            }
            None => Ends::Well,
        }
    }

    fn reset() -> BlobError {
        BlobError::Unavailable { account: "memory".to_owned(), source: "connection reset".into() }
    }

    fn check(&self, container: &str, allowed: &BTreeSet<String>) -> Result<(), BlobError> {
        let (account, container) = ("memory".to_owned(), container.to_owned());
        let state = self.account.0.lock().unwrap();
        if state.is_away {
            let source = "connection refused".into();
            return Err(BlobError::Unavailable { account, source });
        }
        let is_early = state.is_denied && ["config", BACKUPS].contains(&container.as_str());
        if is_early || !allowed.contains(&container) {
            let code = "AuthorizationPermissionMismatch".to_owned();
            return Err(BlobError::Denied { account, container, code });
        }
        if state.containers.contains_key(&container) {
            return Ok(());
        }
        Err(BlobError::NoContainer { account, container })
    }
}

/// Whichever account is asked for.
impl BlobStores for View {
    fn open(&self, _: &str) -> Result<Arc<dyn BlockStore>, BlobError> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl BlobStore for View {
    async fn get(&self, container: &str, name: &str) -> Result<Option<BlobContent>, BlobError> {
        let is_silent = self.account.0.lock().unwrap().waits == Waits::All;
        if is_silent {
            std::future::pending::<()>().await;
        }
        self.check(container, &self.readable)?;
        let state = self.account.0.lock().unwrap();
        let found = state.containers.get(container).and_then(|blobs| blobs.get(name));
        Ok(found.map(|(bytes, version)| BlobContent {
            bytes: bytes.clone(),
            etag: version.to_string(),
            age: None,
            served_unix_s: Some(jiff::Timestamp::now().as_second()),
        }))
    }

    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        self.check(container, &self.writable)?;
        let mut state = self.account.0.lock().unwrap();
        let found = state.containers.get(container).and_then(|blobs| blobs.get(name));
        let holds = match (&condition, found) {
            (WriteCondition::Always, _) | (WriteCondition::Absent, None) => true,
            (WriteCondition::Matches(etag), Some((_, version))) => *etag == version.to_string(),
            (WriteCondition::Absent, Some(_)) | (WriteCondition::Matches(_), None) => false,
        };
        if !holds {
            let (container, name) = (container.to_owned(), name.to_owned());
            return Err(BlobError::ConditionFailed { container, name });
        }
        state.writes += 1;
        let version = state.writes;
        let blobs = state.containers.get_mut(container).unwrap();
        blobs.insert(name.to_owned(), (bytes, version));
        Ok(version.to_string())
    }

    async fn delete(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        self.check(container, &self.writable)?;
        let mut state = self.account.0.lock().unwrap();
        if let Some(code) = state.immutable {
            return Err(BlobError::Refused {
                operation: "delete",
                container: container.to_owned(),
                name: name.to_owned(),
                status: 409,
                code: code.to_owned(),
            });
        }
        Ok(state.containers.get_mut(container).unwrap().remove(name).is_some())
    }

    async fn set_metadata(
        &self,
        container: &str,
        name: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), BlobError> {
        self.check(container, &self.writable)?;
        let mut state = self.account.0.lock().unwrap();
        state.metadata.insert(format!("{container}/{name}"), metadata.clone());
        Ok(())
    }

    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError> {
        self.check(container, &self.readable)?;
        let state = self.account.0.lock().unwrap();
        let blobs = state.containers.get(container).unwrap().iter();
        let fits = blobs.filter(|(name, _)| name.starts_with(prefix));
        Ok(fits
            .map(|(name, (bytes, _))| BlobEntry {
                name: name.clone(),
                size_bytes: bytes.len() as u64,
                last_modified: None,
                metadata: state
                    .metadata
                    .get(&format!("{container}/{name}"))
                    .cloned()
                    .unwrap_or_default(),
            })
            .collect())
    }
}

#[async_trait]
impl BlockStore for View {
    async fn stage(
        &self,
        container: &str,
        name: &str,
        block_id: &str,
        bytes: Bytes,
    ) -> Result<(), BlobError> {
        self.check(container, &self.writable)?;
        tokio::task::yield_now().await;
        while self.account.0.lock().unwrap().waits == Waits::Parts {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ends = self.ends();
        if ends != Ends::Unasked {
            let mut state = self.account.0.lock().unwrap();
            state.staged.insert(format!("{container}/{name}/{block_id}"), bytes);
        }
        if ends == Ends::Well { Ok(()) } else { Err(Self::reset()) }
    }

    async fn commit(
        &self,
        container: &str,
        name: &str,
        block_ids: &[String],
        metadata: &BTreeMap<String, String>,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        tokio::task::yield_now().await;
        let ends = self.ends();
        if ends == Ends::Unasked {
            return Err(Self::reset());
        }
        let parts = block_ids.iter().map(|id| {
            let state = self.account.0.lock().unwrap();
            state.staged[&format!("{container}/{name}/{id}")].to_vec()
        });
        let bytes = parts.collect::<Vec<_>>().concat();
        let etag = self.put(container, name, bytes.into(), condition).await?;
        let mut state = self.account.0.lock().unwrap();
        let prefix = format!("{container}/{name}/");
        state.staged.retain(|id, _| !id.starts_with(&prefix));
        state.metadata.insert(format!("{container}/{name}"), metadata.clone());
        if ends == Ends::Well { Ok(etag) } else { Err(Self::reset()) }
    }

    async fn read_part(
        &self,
        container: &str,
        name: &str,
        offset: u64,
        bytes_max: usize,
        etag: Option<&str>,
    ) -> Result<Option<BlobContent>, BlobError> {
        let Some(content) = self.get(container, name).await? else { return Ok(None) };
        assert!(etag.is_none_or(|etag| etag == content.etag), "{name} changed while it was read");
        let start = usize::try_from(offset).unwrap().min(content.bytes.len());
        let end = (start + bytes_max).min(content.bytes.len());
        Ok(Some(BlobContent { bytes: content.bytes.slice(start..end), ..content }))
    }
}
