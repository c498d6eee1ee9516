//! The managed identity of a machine against a metadata service.

use std::sync::atomic::{AtomicUsize, Ordering};

use hcs_azure::{ManagedIdentity, Secret, TokenCredential};
use serde_json::{Value, json};

use crate::server::{Reply, Server};

const SCOPE: &str = "https://storage.azure.com/.default";
const IDENTITY: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";

fn good() -> Value {
    json!({
        "access_token": "token-1",
        "expires_in": "3600",
        "expires_on": "2000000000",
        "resource": "https://storage.azure.com/",
        "token_type": "Bearer",
    })
}

#[tokio::test]
async fn the_identity_is_always_named() {
    let server = Server::plain(|_| Reply::json(200, &good())).await;
    let endpoint = format!("http://{}", server.host);
    let msi = ManagedIdentity::new(&endpoint, Some(IDENTITY.into())).unwrap();
    let token = msi.get_token(&[SCOPE], None).await.unwrap();
    assert_eq!(token.token.secret(), "token-1");
    assert_eq!(token.expires_on.unix_timestamp(), 2_000_000_000);
    let seen = &server.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("GET", "/metadata/identity/oauth2/token")
    );
    assert_eq!(seen.header("metadata"), "true");
    assert_eq!(seen.parameter("api-version").as_deref(), Some("2018-02-01"));
    assert_eq!(seen.parameter("resource").as_deref(), Some("https://storage.azure.com/"));
    assert_eq!(seen.parameter("msi_res_id").as_deref(), Some(IDENTITY));
}

#[tokio::test]
async fn gone_throttled_and_broken_are_tried_again() {
    let calls = AtomicUsize::new(0);
    let server = Server::plain(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(410, ""),
        1 => Reply::new(429, ""),
        _ => Reply::json(200, &good()),
    })
    .await;
    let endpoint = format!("http://{}", server.host);
    let msi = ManagedIdentity::new(&endpoint, None).unwrap();
    assert!(msi.get_token(&[SCOPE], None).await.is_ok());
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_final_and_told_in_the_services_words() {
    let server = Server::plain(|_| {
        let text = "Multiple user assigned identities exist";
        Reply::json(400, &json!({"error": "invalid_request", "error_description": text}))
    })
    .await;
    let endpoint = format!("http://{}", server.host);
    let msi = ManagedIdentity::new(&endpoint, None).unwrap();
    let error = msi.get_token(&[SCOPE], None).await.unwrap_err();
    let wanted = "400 invalid_request Multiple user assigned identities exist";
    assert_eq!(error.to_string(), wanted);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn without_retries_one_request_is_all() {
    let server = Server::plain(|_| Reply::new(503, "")).await;
    let endpoint = format!("http://{}", server.host);
    let msi = ManagedIdentity::new(&endpoint, None).unwrap().without_retries();
    assert!(msi.get_token(&[SCOPE], None).await.is_err());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn no_metadata_service_is_told_at_once() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let msi = ManagedIdentity::new(&format!("http://{closed}"), None).unwrap();
    let error = msi.get_token(&[SCOPE], None).await.unwrap_err();
    assert!(error.to_string().starts_with("no connection to 127.0.0.1"), "{error}");
}

#[tokio::test]
async fn app_service_is_asked_in_its_own_way() {
    let server = Server::plain(|_| Reply::json(200, &good())).await;
    let endpoint = format!("http://{}/msi/token", server.host);
    let msi = ManagedIdentity::new(&endpoint, Some(IDENTITY.into())).unwrap();
    let msi = msi.in_app_service(Secret::new("of-this-app"));
    assert!(!format!("{msi:?}").contains("of-this-app"));
    msi.get_token(&[SCOPE], None).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/msi/token"));
    assert_eq!(seen.header("x-identity-header"), "of-this-app");
    assert_eq!(seen.parameter("api-version").as_deref(), Some("2019-08-01"));
    assert_eq!(seen.parameter("mi_res_id").as_deref(), Some(IDENTITY));
    assert_eq!(seen.parameter("msi_res_id"), None);
}
