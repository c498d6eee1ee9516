//! Blobs: what the port promises, over the SDK's clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hcs_azure::connect_with;
use hcs_engine::blob::{BlobError, BlobStore, BlobStores, WriteCondition};

use crate::blob_service::BlobService;
use crate::server::{Reply, Server};

async fn service() -> (Server, Arc<dyn BlobStore>) {
    let service = BlobService::default();
    let server = Server::azure(move |seen| service.answer(seen)).await;
    let store = store(&server).await;
    (server, store)
}

async fn store(server: &Server) -> Arc<dyn BlobStore> {
    let azure = connect_with(&server.settings(), &server.http()).await.unwrap();
    azure.blobs.open(&format!("https://{}/acct/", server.host)).unwrap()
}

#[tokio::test]
async fn a_blob_is_written_read_and_deleted() {
    let (server, store) = service().await;
    let name = "consul/ab12/consul_1.21.zip";
    assert_eq!(store.get("config", name).await.unwrap(), None);
    let body = Bytes::from_static(b"hello");
    let etag = store.put("config", name, body.clone(), WriteCondition::Always).await.unwrap();
    let read = store.get("config", name).await.unwrap().unwrap();
    assert_eq!((read.bytes, read.etag), (body, etag));
    assert_eq!(read.age, Some(Duration::from_mins(2)), "by the service's clock");
    assert!(store.delete("config", name).await.unwrap());
    assert!(!store.delete("config", name).await.unwrap());
    let path = "/acct/config/consul/ab12/consul_1.21.zip";
    assert!(server.calls().iter().all(|seen| seen.path == path));
    let body = String::from_utf8_lossy(&server.token_requests()[0].body).into_owned();
    assert!(body.contains("scope=https%3A%2F%2Fstorage.azure.com%2F.default"), "{body}");
    assert_eq!(server.token_requests().len(), 1);
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let (_server, store) = service().await;
    store.put("config", "empty", Bytes::new(), WriteCondition::Always).await.unwrap();
    let read = store.get("config", "empty").await.unwrap().unwrap();
    assert!(read.bytes.is_empty());
}

#[tokio::test]
async fn conditions_hold() {
    let (_server, store) = service().await;
    let put = async |text: &'static str, condition| {
        store.put("config", "c", Bytes::from_static(text.as_bytes()), condition).await
    };
    let gone = put("0", WriteCondition::Matches("\"0x9\"".into())).await;
    assert!(matches!(gone, Err(BlobError::ConditionFailed { .. })), "{gone:?}");
    let first = put("1", WriteCondition::Absent).await.unwrap();
    let again = put("2", WriteCondition::Absent).await;
    assert!(matches!(again, Err(BlobError::ConditionFailed { .. })), "{again:?}");
    let second = put("3", WriteCondition::Matches(first.clone())).await.unwrap();
    assert_ne!(first, second);
    let stale = put("4", WriteCondition::Matches(first)).await;
    assert!(matches!(stale, Err(BlobError::ConditionFailed { .. })), "{stale:?}");
    let read = store.get("config", "c").await.unwrap().unwrap();
    assert_eq!((&read.bytes[..], read.etag), (&b"3"[..], second));
}

#[tokio::test]
async fn a_large_blob_goes_up_in_blocks_and_comes_down_in_ranges() {
    let (server, store) = service().await;
    let body: Bytes = (0..9 * 1024 * 1024 + 17_u32).map(|i| (i % 251) as u8).collect();
    store.put("config", "big", body.clone(), WriteCondition::Absent).await.unwrap();
    let largest = server.calls().iter().map(|seen| seen.body.len()).max().unwrap();
    assert_eq!(largest, 4 * 1024 * 1024);
    let calls = server.calls();
    let blocks =
        calls.iter().filter(|seen| seen.parameter("comp").as_deref() == Some("block")).count();
    assert_eq!(blocks, 3);
    let read = store.get("config", "big").await.unwrap().unwrap();
    assert!(read.bytes == body, "the bytes are the same");
    assert_eq!(server.calls().iter().filter(|seen| seen.method == "GET").count(), 3);
    let again = store.put("config", "big", body, WriteCondition::Absent).await;
    assert!(matches!(again, Err(BlobError::ConditionFailed { .. })), "{again:?}");
}

#[tokio::test]
async fn lists_are_paged_filtered_and_sorted() {
    let (server, store) = service().await;
    for name in ["p/c", "p/a", "q", "p/b", "p/d e", "o"] {
        let body = Bytes::from_static(b"xyz");
        store.put("config", name, body, WriteCondition::Always).await.unwrap();
    }
    let all = store.list("config", "").await.unwrap();
    assert_eq!(all.len(), 6);
    let before = server.calls().len();
    let some = store.list("config", "p/").await.unwrap();
    let names: Vec<&str> = some.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["p/a", "p/b", "p/c", "p/d%20e"]);
    assert_eq!(some[0].size_bytes, 3);
    assert_eq!(some[0].last_modified.as_deref(), Some("2021-01-01T00:00:00Z"));
    assert_eq!(server.calls().len() - before, 2, "two pages");
    assert!(store.list("config", "zzz").await.unwrap().is_empty());
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (server, store) = service().await;
    let body = || Bytes::from_static(b"x");
    for error in [
        store.get("absent", "a").await.unwrap_err(),
        store.put("absent", "a", body(), WriteCondition::Absent).await.unwrap_err(),
        store.delete("absent", "a").await.unwrap_err(),
        store.list("absent", "").await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, BlobError::NoContainer { container, .. } if container == "absent")
        );
    }
    for error in [
        store.get("denied", "a").await.unwrap_err(),
        store.put("denied", "a", body(), WriteCondition::Absent).await.unwrap_err(),
        store.list("denied", "").await.unwrap_err(),
    ] {
        let BlobError::Denied { account, container, code } = error else { panic!("{error:?}") };
        assert_eq!(
            (container.as_str(), code.as_str()),
            ("denied", "AuthorizationPermissionMismatch")
        );
        assert_eq!(account, format!("{}/acct", server.host));
    }
}

#[tokio::test]
async fn a_busy_service_is_asked_again_and_then_told() {
    let calls = AtomicUsize::new(0);
    let server = Server::azure(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(503, "").header("x-ms-error-code", "ServerBusy"),
        _ => Reply::new(200, "ok").header("etag", "\"1\""),
    })
    .await;
    let store = store(&server).await;
    assert_eq!(&store.get("c", "n").await.unwrap().unwrap().bytes[..], b"ok");
    let (server, store) = service().await;
    let error = store.delete("busy", "n").await.unwrap_err();
    assert!(matches!(error, BlobError::Unavailable { .. }), "{error:?}");
    assert_eq!(server.calls().len(), 5, "the tries are bounded");
}

#[tokio::test]
async fn a_refused_token_is_renewed_for_blobs_too() {
    let calls = AtomicUsize::new(0);
    let server = Server::azure(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(401, "").header("x-ms-error-code", "InvalidAuthenticationInfo"),
        _ => Reply::new(200, "ok").header("etag", "\"1\""),
    })
    .await;
    let store = store(&server).await;
    assert!(store.get("c", "n").await.unwrap().is_some());
    assert_eq!(server.token_requests().len(), 2);
}

#[tokio::test]
async fn redirects_of_the_blob_service_are_not_followed() {
    let other = Server::tls(|_| Reply::new(200, "stolen")).await;
    let target = format!("https://{}/acct/c/n", other.host);
    let server = Server::azure(move |_| Reply::new(302, "").header("location", &target)).await;
    let error = store(&server).await.get("c", "n").await.unwrap_err();
    assert!(matches!(error, BlobError::Refused { status: 302, .. }), "{error:?}");
    assert!(other.seen().is_empty());
}
