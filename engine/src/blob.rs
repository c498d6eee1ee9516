//! The port to one storage account's blobs.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// Name inside the container.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// RFC 3339, when it was last written; `None` when the service does not say.
    pub last_modified: Option<String>,
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

    /// Lists all blobs whose names start with `prefix`, sorted by name.
    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError>;
}

/// Makes [`BlobStore`]s for accounts that a plan has only just created.
pub trait BlobStores: Send + Sync {
    /// The account behind a blob endpoint (`properties.primaryEndpoints.blob`, verbatim).
    fn open(&self, blob_endpoint: &str) -> Result<std::sync::Arc<dyn BlobStore>, BlobError>;
}
