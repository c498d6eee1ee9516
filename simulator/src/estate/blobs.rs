//! Blobs in memory: accounts, containers, names. Knows no rights; who asks has checked them.

use std::collections::BTreeMap;

use bytes::Bytes;

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Content.
    pub bytes: Bytes,
    /// Changes with every write.
    pub etag: String,
    /// Milliseconds since the Unix epoch.
    pub written_ms: u64,
    /// What is said of it.
    pub metadata: BTreeMap<String, String>,
}

type Container = BTreeMap<String, Blob>;

/// All blobs of all accounts.
#[derive(Clone, Debug, Default)]
pub struct Blobs {
    accounts: BTreeMap<String, BTreeMap<String, Container>>,
    /// Parts of blobs that are not there yet, by account, container, blob and id.
    staged: BTreeMap<(String, String, String), BTreeMap<String, Bytes>>,
    writes: u64,
}

impl Blobs {
    /// The blob of this name.
    pub fn get(&self, account: &str, container: &str, name: &str) -> Option<&Blob> {
        self.accounts.get(account)?.get(container)?.get(name)
    }

    /// Writes a blob, whatever was there; returns its etag.
    pub fn put(
        &mut self,
        account: &str,
        container: &str,
        name: &str,
        bytes: Bytes,
        now_ms: u64,
    ) -> String {
        let etag = self.next_etag();
        let blob =
            Blob { bytes, etag: etag.clone(), written_ms: now_ms, metadata: BTreeMap::new() };
        let containers = self.accounts.entry(account.to_owned()).or_default();
        containers.entry(container.to_owned()).or_default().insert(name.to_owned(), blob);
        etag
    }

    /// Writes what is said of a blob; `false` where none is.
    pub fn set_metadata(
        &mut self,
        account: &str,
        container: &str,
        name: &str,
        metadata: BTreeMap<String, String>,
        now_ms: u64,
    ) -> bool {
        let etag = self.next_etag();
        let containers = self.accounts.get_mut(account);
        let blobs = containers.and_then(|containers| containers.get_mut(container));
        let Some(blob) = blobs.and_then(|blobs| blobs.get_mut(name)) else { return false };
        (blob.metadata, blob.etag, blob.written_ms) = (metadata, etag, now_ms);
        true
    }

    /// Keeps a part of a blob that is not there yet.
    pub fn stage(&mut self, account: &str, container: &str, name: &str, id: &str, bytes: Bytes) {
        let blob = (account.to_owned(), container.to_owned(), name.to_owned());
        self.staged.entry(blob).or_default().insert(id.to_owned(), bytes);
    }

    /// These parts as one, where all of them are there; the others are forgotten.
    pub fn take_staged(
        &mut self,
        account: &str,
        container: &str,
        name: &str,
        ids: &[String],
    ) -> Option<Bytes> {
        let blob = (account.to_owned(), container.to_owned(), name.to_owned());
        let parts = self.staged.get(&blob)?;
        let all: Option<Vec<&[u8]>> =
            ids.iter().map(|id| parts.get(id).map(AsRef::as_ref)).collect();
        let bytes = all?.concat();
        self.staged.remove(&blob);
        Some(bytes.into())
    }

    fn next_etag(&mut self) -> String {
        self.writes += 1;
        format!("\"0x8D{:013X}\"", self.writes)
    }

    /// Removes a blob; `false` where none was.
    pub fn remove(&mut self, account: &str, container: &str, name: &str) -> bool {
        let containers = self.accounts.get_mut(account);
        let blobs = containers.and_then(|containers| containers.get_mut(container));
        blobs.is_some_and(|blobs| blobs.remove(name).is_some())
    }

    /// Blobs of a container whose names start with `prefix`, by name.
    pub fn list<'b>(
        &'b self,
        account: &str,
        container: &str,
        prefix: &'b str,
    ) -> impl Iterator<Item = (&'b str, &'b Blob)> {
        let blobs = self.accounts.get(account).and_then(|containers| containers.get(container));
        blobs
            .into_iter()
            .flat_map(move |blobs| blobs.range(prefix.to_owned()..))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, blob)| (name.as_str(), blob))
    }

    /// All blobs of an account, by `container/name`.
    pub fn of_account(&self, account: &str) -> BTreeMap<String, Bytes> {
        let containers = self.accounts.get(account).into_iter().flatten();
        containers
            .flat_map(|(container, blobs)| {
                blobs
                    .iter()
                    .map(move |(name, blob)| (format!("{container}/{name}"), blob.bytes.clone()))
            })
            .collect()
    }

    /// All blobs: account, container, name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &str, &Blob)> {
        self.accounts.iter().flat_map(|(account, containers)| {
            containers.iter().flat_map(move |(container, blobs)| {
                blobs.iter().map(move |(name, blob)| {
                    (account.as_str(), container.as_str(), name.as_str(), blob)
                })
            })
        })
    }

    /// The account is gone.
    pub(crate) fn remove_account(&mut self, account: &str) {
        self.accounts.remove(account);
    }

    /// The container is gone.
    pub(crate) fn remove_container(&mut self, account: &str, container: &str) {
        if let Some(containers) = self.accounts.get_mut(account) {
            containers.remove(container);
        }
    }
}
