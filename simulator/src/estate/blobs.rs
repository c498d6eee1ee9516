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
}

type Container = BTreeMap<String, Blob>;

/// All blobs of all accounts.
#[derive(Clone, Debug, Default)]
pub struct Blobs {
    accounts: BTreeMap<String, BTreeMap<String, Container>>,
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
        self.writes += 1;
        let etag = format!("\"0x8D{:013X}\"", self.writes);
        let blob = Blob { bytes, etag: etag.clone(), written_ms: now_ms };
        let containers = self.accounts.entry(account.to_owned()).or_default();
        containers.entry(container.to_owned()).or_default().insert(name.to_owned(), blob);
        etag
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
