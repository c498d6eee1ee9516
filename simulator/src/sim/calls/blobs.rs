//! Blobs of a run whose calls are counted, and of which any may go wrong.

use std::collections::BTreeMap;
use std::hash::Hash as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::blob::{
    BlobContent, BlobEntry, BlobError, BlobStore, BlobStores, BlockStore, WriteCondition,
};
use hcs_planner::dataplane::{blob, container as names};
use serde_json::Value;

use super::{Answered, Call, CallFault, Calls, Sort};

impl BlobStores for Calls {
    fn open(&self, blob_endpoint: &str) -> Result<Arc<dyn BlockStore>, BlobError> {
        let store = self.cloud.open(blob_endpoint)?;
        Ok(Arc::new(CountedBlobs { store, calls: self.clone() }))
    }
}

struct CountedBlobs {
    store: Arc<dyn BlockStore>,
    calls: Calls,
}

fn label(verb: &'static str, container: &str, name: &str) -> Call {
    Call {
        number: 0,
        step: None,
        verb,
        of: container.to_owned(),
        name: name.to_owned(),
        is_blob: true,
        sort: match verb {
            "PUT" | "DELETE" => Sort::Write,
            "LIST" => Sort::List,
            _ => Sort::Read,
        },
        answered: Answered::default(),
    }
}

impl CountedBlobs {
    async fn call<T>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, BlobError>>,
    ) -> Result<T, BlobError> {
        let container = call.of.clone();
        let account = || "the account".to_owned();
        let (number, fault) = self.calls.begin(call);
        self.calls.before(fault).await;
        let away =
            |why: &'static str| BlobError::Unavailable { account: account(), source: why.into() };
        let refused = match fault {
            Some(CallFault::BlobAway) => Some(away("injected: the service is away")),
            Some(CallFault::BlobDenied) => Some(BlobError::Denied {
                account: account(),
                container: container.clone(),
                code: "AuthorizationPermissionMismatch".to_owned(),
            }),
            Some(CallFault::ContainerUnseen) => {
                Some(BlobError::NoContainer { account: account(), container: container.clone() })
            }
            Some(CallFault::BlobRefused) => Some(BlobError::Refused {
                operation: "injected",
                container: container.clone(),
                name: String::new(),
                status: 500,
                code: "InternalError".to_owned(),
            }),
            _ => None,
        };
        if let Some(error) = refused {
            self.note(Err(&error));
            return Err(error);
        }
        if fault == Some(CallFault::Overtaken) {
            self.overtake();
        }
        let result = work.await;
        self.calls.after(number, fault).await;
        self.note(result.as_ref().map(|_| ()));
        match fault {
            Some(CallFault::BlobAnswerLost) => Err(away("injected: the answer was lost")),
            _ => result,
        }
    }

    /// Somebody else writes the cluster's document: a later one of the same content.
    fn overtake(&self) {
        let now_ms = self.calls.clock.true_unix_ms();
        self.calls.cloud.with_estate(|estate| {
            let found = estate.blobs.all().find(|(_, container, name, _)| {
                (*container, *name) == (names::CONFIG, blob::CLUSTER)
            });
            let Some((account, _, _, known)) = found else { return };
            let (account, bytes) = (account.to_owned(), known.bytes.clone());
            let Ok(mut document) = serde_json::from_slice::<Value>(&bytes) else { return };
            document["generation"] = (document["generation"].as_u64().unwrap_or(0) + 1_000).into();
            let bytes = serde_json::to_vec(&document).unwrap_or_default();
            estate.blobs.put(&account, names::CONFIG, blob::CLUSTER, bytes.into(), now_ms);
        });
    }

    fn note(&self, result: Result<(), &BlobError>) {
        let mut state = self.calls.script.lock();
        match result {
            Ok(()) => true.hash(&mut state.trace),
            Err(error) => error.to_string().hash(&mut state.trace),
        }
    }

    fn note_bytes(&self, container: &str, bytes: &Bytes) {
        // A key or a certificate is another one each time.
        if container == names::CONFIG || container == names::REQUESTS {
            bytes.hash(&mut self.calls.script.lock().trace);
        }
    }

    fn ignores_conditions(&self) -> bool {
        self.calls.script.lock().ignores_conditions
    }
}

#[async_trait]
impl BlobStore for CountedBlobs {
    async fn get(&self, container: &str, name: &str) -> Result<Option<BlobContent>, BlobError> {
        if container.starts_with("secrets") && self.ignores_conditions() {
            return Ok(None);
        }
        let call = label("GET", container, name);
        let found = self.call(call, self.store.get(container, name)).await?;
        if let Some(content) = &found {
            self.note_bytes(container, &content.bytes);
        }
        Ok(found)
    }

    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        let condition = if self.ignores_conditions() { WriteCondition::Always } else { condition };
        self.note_bytes(container, &bytes);
        let call = label("PUT", container, name);
        self.call(call, self.store.put(container, name, bytes, condition)).await
    }

    async fn delete(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        self.call(label("DELETE", container, name), self.store.delete(container, name)).await
    }

    async fn set_metadata(
        &self,
        container: &str,
        name: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), BlobError> {
        let call = label("PUT", container, name);
        self.call(call, self.store.set_metadata(container, name, metadata)).await
    }

    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError> {
        self.call(label("LIST", container, prefix), self.store.list(container, prefix)).await
    }
}

#[async_trait]
impl BlockStore for CountedBlobs {
    async fn stage(
        &self,
        container: &str,
        name: &str,
        block_id: &str,
        bytes: Bytes,
    ) -> Result<(), BlobError> {
        let call = label("PUT", container, name);
        self.call(call, self.store.stage(container, name, block_id, bytes)).await
    }

    async fn commit(
        &self,
        container: &str,
        name: &str,
        block_ids: &[String],
        metadata: &BTreeMap<String, String>,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        let condition = if self.ignores_conditions() { WriteCondition::Always } else { condition };
        let call = label("PUT", container, name);
        self.call(call, self.store.commit(container, name, block_ids, metadata, condition)).await
    }

    async fn read_part(
        &self,
        container: &str,
        name: &str,
        offset: u64,
        bytes_max: usize,
        etag: Option<&str>,
    ) -> Result<Option<BlobContent>, BlobError> {
        let call = label("GET", container, name);
        self.call(call, self.store.read_part(container, name, offset, bytes_max, etag)).await
    }
}
