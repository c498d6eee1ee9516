//! The port to one storage account's blobs.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

/// A blob and what the service says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobContent {
    /// The bytes.
    pub bytes: Bytes,
    /// Changes with every write.
    pub etag: String,
    /// Time since the last write, by the service's own clock; `None` when it does not say.
    pub age: Option<Duration>,
    /// When it was served, by the same clock, Unix time; `None` when it does not say.
    pub served_unix_s: Option<i64>,
}

/// One row of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobEntry {
    /// Name inside the container.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// RFC 3339, when it was last written; `None` when the service does not say.
    pub last_modified: Option<String>,
    /// What its writer said of it.
    pub metadata: BTreeMap<String, String>,
}

/// Under which condition a write happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteCondition {
    /// Always.
    Always,
    /// Only when no blob of this name exists (`If-None-Match: *`).
    Absent,
    /// Only when the blob still has this etag.
    Matches(String),
}

/// Why a blob operation failed.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The write condition did not hold; nothing was written.
    #[error("blob {container}/{name} was written by someone else")]
    ConditionFailed {
        /// Container.
        container: String,
        /// Blob.
        name: String,
    },
    /// The caller's role assignment is missing or not effective yet.
    #[error("access to {container} of {account} is denied ({code})")]
    Denied {
        /// Host or account.
        account: String,
        /// Container.
        container: String,
        /// The service's error code.
        code: String,
    },
    /// The container does not exist.
    #[error("container {container} does not exist in {account}")]
    NoContainer {
        /// Host or account.
        account: String,
        /// Container.
        container: String,
    },
    /// The service could not be reached or answered 5xx or 429 until retries ran out.
    #[error("storage account {account} is not reachable")]
    Unavailable {
        /// Host or account.
        account: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The run lost its turn, or was stopped: nothing was asked of the service.
    #[error(transparent)]
    Fenced(Box<crate::error::EngineError>),
    /// Any other refusal.
    #[error("{operation} on {container}/{name} failed: {status} {code}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// Container.
        container: String,
        /// Blob, empty for a container operation.
        name: String,
        /// HTTP status.
        status: u16,
        /// The service's error code.
        code: String,
    },
}

impl BlobError {
    /// Whether the account's firewall refuses, whatever rights there are.
    pub fn is_of_the_firewall(&self) -> bool {
        matches!(self, Self::Denied { code, .. } if code == "AuthorizationFailure")
    }
}

/// Blobs of one storage account, as one identity sees them.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Reads a blob; `None` when the blob does not exist.
    async fn get(&self, container: &str, name: &str) -> Result<Option<BlobContent>, BlobError>;

    /// Writes a blob whole; returns its etag. Bodies above 4 MiB go up in blocks.
    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError>;

    /// Deletes a blob; `false` when it did not exist.
    async fn delete(&self, container: &str, name: &str) -> Result<bool, BlobError>;

    /// Writes what is said of a blob, in place of what was said; the blob must be there.
    async fn set_metadata(
        &self,
        container: &str,
        name: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), BlobError>;

    /// Lists all blobs whose names start with `prefix`, sorted by name.
    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError>;

    /// What a listing says of one blob; `None` when the blob does not exist.
    async fn find(&self, container: &str, name: &str) -> Result<Option<BlobEntry>, BlobError> {
        let listed = self.list(container, name).await?;
        Ok(listed.into_iter().find(|entry| entry.name == name))
    }
}

/// Blobs that are too large to be held: they come and go in parts.
#[async_trait]
pub trait BlockStore: BlobStore {
    /// Brings a part of a blob that is not there before [`Self::commit`]. Ids of a blob's parts are of one length; parts of
    /// two writers are mixed up unless each has ids of its own.
    async fn stage(
        &self,
        container: &str,
        name: &str,
        block_id: &str,
        bytes: Bytes,
    ) -> Result<(), BlobError>;

    /// Makes a blob of parts that were brought, in this order, and forgets the others; returns its etag. Parts of a blob
    /// that is never made the service forgets within a week.
    async fn commit(
        &self,
        container: &str,
        name: &str,
        block_ids: &[String],
        metadata: &BTreeMap<String, String>,
        condition: WriteCondition,
    ) -> Result<String, BlobError>;

    /// Reads a blob from `offset` on, at most so many bytes; of the version `etag`, where one is given. None where there is
    /// no blob; the bytes are empty where it ends before.
    async fn read_part(
        &self,
        container: &str,
        name: &str,
        offset: u64,
        bytes_max: usize,
        etag: Option<&str>,
    ) -> Result<Option<BlobContent>, BlobError>;
}

/// Deletes so many at a time: one after the other, thousands would take minutes.
const DELETES_AT_ONCE: usize = 32;

/// Deletes all of these, whichever of them cannot go; returns how many went, and why the first that could not did not.
pub async fn delete_all(
    store: &dyn BlobStore,
    container: &str,
    names: Vec<String>,
) -> (usize, Option<BlobError>) {
    let (mut gone, mut refused) = (0, None);
    let mut under_way = FuturesUnordered::new();
    let mut names = names.into_iter();
    loop {
        while under_way.len() < DELETES_AT_ONCE
            && let Some(name) = names.next()
        {
            under_way.push(delete(store, container, name));
        }
        match under_way.next().await {
            Some(Ok(_)) => gone += 1,
            Some(Err(error)) => refused = refused.or(Some(error)),
            None => return (gone, refused),
        }
    }
}

async fn delete(store: &dyn BlobStore, container: &str, name: String) -> Result<bool, BlobError> {
    store.delete(container, &name).await
}

/// Opens accounts: those that a plan has only just created, and those of somebody.
pub trait BlobStores: Send + Sync {
    /// The account behind a blob endpoint (`properties.primaryEndpoints.blob`, verbatim).
    fn open(&self, blob_endpoint: &str) -> Result<std::sync::Arc<dyn BlockStore>, BlobError>;
}
