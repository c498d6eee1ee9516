//! The storage accounts of a simulated Azure, as one caller sees them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::blob::{
    BlobContent, BlobEntry, BlobError, BlobStore, BlobStores, BlockStore, WriteCondition,
};

use super::SimCloud;
use crate::estate::Estate;
use crate::world::http;
use crate::world::operations::rfc3339;

impl BlobStores for SimCloud {
    fn open(&self, blob_endpoint: &str) -> Result<Arc<dyn BlockStore>, BlobError> {
        let account = blob_endpoint.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        Ok(Arc::new(SimBlobs { cloud: self.clone(), account: account.to_owned() }))
    }
}

/// One account's blobs, as one caller.
struct SimBlobs {
    cloud: SimCloud,
    account: String,
}

impl SimBlobs {
    fn away(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BlobError {
        BlobError::Unavailable { account: self.account.clone(), source: why.into() }
    }

    fn check(
        &self,
        estate: &Estate,
        container: &str,
        name: &str,
        condition: &WriteCondition,
    ) -> Result<(), BlobError> {
        let old = estate.blobs.get(&self.account, container, name);
        let holds = match condition {
            WriteCondition::Always => true,
            WriteCondition::Absent => old.is_none(),
            WriteCondition::Matches(etag) => old.is_some_and(|blob| blob.etag == *etag),
        };
        let (container, name) = (container.to_owned(), name.to_owned());
        if holds { Ok(()) } else { Err(BlobError::ConditionFailed { container, name }) }
    }

    /// Does this to blobs of an existing container, when the caller may.
    fn work<T>(
        &self,
        container: &str,
        what: &str,
        verb: http::Method,
        work: impl FnOnce(&mut Estate, u64) -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        let mut estate = self.cloud.lock();
        let now_ms = self.cloud.clock.true_unix_ms();
        let fault = estate.world.data_fault(verb);
        if let Some((status, false, _)) = fault {
            return Err(self.away(format!("injected: status {status}")));
        }
        if !estate.world.account_serves(&self.account) {
            return Err(self.away("the account does not exist"));
        }
        let denied = |code: &str| BlobError::Denied {
            account: self.account.clone(),
            container: container.to_owned(),
            code: code.to_owned(),
        };
        if !estate.world.firewall_lets_in(&self.cloud.principal, &self.account) {
            return Err(denied("AuthorizationFailure"));
        }
        if !estate.world.allows_blob(&self.cloud.principal, &self.account, container, what) {
            return Err(denied("AuthorizationPermissionMismatch"));
        }
        if !estate.world.container_exists(&self.account, container) {
            return Err(BlobError::NoContainer {
                account: self.account.clone(),
                container: container.to_owned(),
            });
        }
        let result = work(&mut estate, now_ms);
        match fault {
            Some(_) => Err(self.away("injected: the answer was lost")),
            None => result,
        }
    }
}

#[async_trait]
impl BlobStore for SimBlobs {
    async fn get(&self, container: &str, name: &str) -> Result<Option<BlobContent>, BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "read", http::Method::Get, |estate, now_ms| {
            Ok(estate.blobs.get(&self.account, container, name).map(|blob| BlobContent {
                bytes: blob.bytes.clone(),
                etag: blob.etag.clone(),
                age: Some(Duration::from_millis(now_ms.saturating_sub(blob.written_ms))),
                served_unix_s: i64::try_from(now_ms / 1000).ok(),
            }))
        })
    }

    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "write", http::Method::Put, |estate, now_ms| {
            self.check(estate, container, name, &condition)?;
            Ok(estate.blobs.put(&self.account, container, name, bytes, now_ms))
        })
    }

    async fn delete(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "delete", http::Method::Delete, |estate, _| {
            Ok(estate.blobs.remove(&self.account, container, name))
        })
    }

    async fn set_metadata(
        &self,
        container: &str,
        name: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "write", http::Method::Put, |estate, now_ms| {
            let (account, said) = (&self.account, metadata.clone());
            let is_set = estate.blobs.set_metadata(account, container, name, said, now_ms);
            is_set.then_some(()).ok_or_else(|| BlobError::Refused {
                operation: "Set metadata",
                container: container.to_owned(),
                name: name.to_owned(),
                status: 404,
                code: "BlobNotFound".to_owned(),
            })
        })
    }

    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "read", http::Method::Get, |estate, _| {
            let rows = estate.blobs.list(&self.account, container, prefix);
            Ok(rows
                .map(|(name, blob)| BlobEntry {
                    name: name.to_owned(),
                    size_bytes: blob.bytes.len() as u64,
                    last_modified: Some(rfc3339(blob.written_ms)),
                    metadata: blob.metadata.clone(),
                })
                .collect())
        })
    }
}

#[async_trait]
impl BlockStore for SimBlobs {
    async fn stage(
        &self,
        container: &str,
        name: &str,
        block_id: &str,
        bytes: Bytes,
    ) -> Result<(), BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "write", http::Method::Put, |estate, _| {
            estate.blobs.stage(&self.account, container, name, block_id, bytes);
            Ok(())
        })
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
        self.work(container, "write", http::Method::Put, |estate, now_ms| {
            self.check(estate, container, name, &condition)?;
            let parts = estate.blobs.take_staged(&self.account, container, name, block_ids);
            let bytes = parts.ok_or_else(|| BlobError::Refused {
                operation: "Put block list",
                container: container.to_owned(),
                name: name.to_owned(),
                status: 400,
                code: "InvalidBlockList".to_owned(),
            })?;
            estate.blobs.put(&self.account, container, name, bytes, now_ms);
            let (account, said) = (&self.account, metadata.clone());
            estate.blobs.set_metadata(account, container, name, said, now_ms);
            let written = estate.blobs.get(&self.account, container, name);
            Ok(written.map(|blob| blob.etag.clone()).unwrap_or_default())
        })
    }

    async fn read_part(
        &self,
        container: &str,
        name: &str,
        offset: u64,
        bytes_max: usize,
        etag: Option<&str>,
    ) -> Result<Option<BlobContent>, BlobError> {
        let Some(found) = self.get(container, name).await? else { return Ok(None) };
        if etag.is_some_and(|etag| etag != found.etag) {
            return Err(BlobError::ConditionFailed {
                container: container.to_owned(),
                name: name.to_owned(),
            });
        }
        let length = found.bytes.len();
        let from = usize::try_from(offset).unwrap_or(length).min(length);
        let to = from.saturating_add(bytes_max).min(length);
        Ok(Some(BlobContent { bytes: found.bytes.slice(from..to), ..found }))
    }
}
