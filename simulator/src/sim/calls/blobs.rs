//! Blobs of a run whose calls are counted, and of which any may go wrong.

use std::hash::Hash as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::blob::{BlobContent, BlobEntry, BlobError, BlobStore, BlobStores, WriteCondition};
use hcs_planner::dataplane::container as names;

use super::{Answered, Call, CallFault, Calls, Sort};

impl BlobStores for Calls {
    fn open(&self, blob_endpoint: &str) -> Result<Arc<dyn BlobStore>, BlobError> {
        let store = self.cloud.open(blob_endpoint)?;
        Ok(Arc::new(CountedBlobs { store, calls: self.clone() }))
    }
}

struct CountedBlobs {
    store: Arc<dyn BlobStore>,
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
        let result = work.await;
        self.calls.after(number, fault).await;
        self.note(result.as_ref().map(|_| ()));
        match fault {
            Some(CallFault::BlobAnswerLost) => Err(away("injected: the answer was lost")),
            _ => result,
        }
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

    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError> {
        self.call(label("LIST", container, prefix), self.store.list(container, prefix)).await
    }
}
