//! Connecting and the early check: which setting is named when something is wrong.

use hcs_azure::environment::EnvironmentError;
use hcs_azure::transport::NoAnswer;
use hcs_azure::{AzureSettings, ConnectError, HttpSettings, connect_with};
use serde_json::json;

use crate::server::{CLIENT, OBJECT, Reply, SUBSCRIPTION, Server, TENANT, metadata, token_answer};

#[tokio::test]
async fn connecting_asks_the_metadata_host_and_nobody_else() {
    let server = Server::azure(|_| Reply::new(500, "")).await;
    let azure = connect_with(&server.settings(), &server.http()).await.unwrap();
    assert_eq!(azure.subscription_id, SUBSCRIPTION);
    assert_eq!(azure.environment.storage_suffix.as_deref(), Some(server.host.as_str()));
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].path.as_str(), seen[0].query.as_str()),
        ("/metadata/endpoints", "api-version=2022-09-01")
    );
    assert_eq!(seen[0].header("authorization"), "");
}

#[tokio::test]
async fn a_good_check_tells_principal_and_subscription() {
    let server = Server::azure(|seen| {
        assert_eq!(seen.path, format!("/subscriptions/{SUBSCRIPTION}"));
        assert_eq!(seen.query, "api-version=2022-12-01");
        Reply::json(200, &json!({"displayName": "Team", "state": "Enabled"}))
    })
    .await;
    let azure = connect_with(&server.settings(), &server.http()).await.unwrap();
    let checked = azure.check().await.unwrap();
    assert_eq!(checked.subscription_name, "Team");
    assert_eq!(checked.tenant_id.as_deref(), Some(TENANT));
    assert_eq!(checked.object_id.as_deref(), Some(OBJECT));
    assert_eq!(checked.credential, format!("client secret for client {CLIENT}"));
}

#[tokio::test]
async fn each_refusal_names_the_setting_that_mends_it() {
    let error = |code: &str| json!({"error": {"code": code, "message": "because"}});
    let table = [
        (404, error("SubscriptionNotFound"), Some("subscription_id")),
        (400, error("InvalidSubscriptionId"), Some("subscription_id")),
        (403, error("AuthorizationFailed"), Some("subscription_id")),
        (401, error("InvalidAuthenticationTokenTenant"), Some("tenant_id")),
        (500, error("InternalServerError"), None),
        (200, json!({"state": "Disabled"}), Some("subscription_id")),
        (200, json!("nothing"), Some("metadata_host")),
    ];
    for (status, body, attribute) in table {
        let shown = body.to_string();
        let server = Server::azure(move |_| Reply::json(status, &body)).await;
        let azure = connect_with(&server.settings(), &server.http()).await.unwrap();
        let error = azure.check().await.unwrap_err();
        assert_eq!(error.attribute(), attribute, "{status} {shown}: {error}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_told_before_anything_is_asked() {
    let server = Server::tls(|seen| match seen.path.as_str() {
        "/metadata/endpoints" => Reply::json(200, &metadata(seen.header("host"))),
        _ => Reply::json(
            401,
            &json!({
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret provided. Trace ID: 1",
            }),
        ),
    })
    .await;
    let azure = connect_with(&server.settings(), &server.http()).await.unwrap();
    let error = azure.check().await.unwrap_err();
    assert_eq!(error.attribute(), Some("client_secret"));
    let text = error.to_string();
    let wanted = format!(
        "no Azure credential worked: client secret for client {CLIENT}: 401 invalid_client AADSTS7000215: Invalid client secret provided.; not configured: client certificate, OIDC, managed identity, Azure CLI"
    );
    assert_eq!(text, wanted);
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn an_arm_without_trust_is_told_as_such() {
    let stranger = Server::tls(|_| Reply::json(200, &json!({}))).await;
    let arm = stranger.host.clone();
    let server = Server::tls(move |seen| match seen.path.as_str() {
        "/metadata/endpoints" => {
            let mut json = metadata(seen.header("host"));
            json["resourceManager"] = json!(format!("https://{arm}/"));
            Reply::json(200, &json)
        }
        _ => token_answer(3600),
    })
    .await;
    let azure = connect_with(&server.settings(), &server.http()).await.unwrap();
    let error = azure.check().await.unwrap_err();
    assert_eq!(error.attribute(), Some("metadata_host"));
    let ConnectError::Unreachable { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source, NoAnswer::UntrustedCertificate { .. }), "{source}");
}

#[tokio::test]
async fn a_metadata_host_without_trust_or_sense_is_told_as_such() {
    let server = Server::tls(|_| Reply::new(200, "<html>")).await;
    let untrusted = connect_with(&server.settings(), &HttpSettings::default()).await.unwrap_err();
    assert_eq!(untrusted.attribute(), Some("metadata_host"));
    let ConnectError::Environment(EnvironmentError::Unreachable { source, .. }) = untrusted else {
        panic!("{untrusted:?}")
    };
    assert!(matches!(source, NoAnswer::UntrustedCertificate { .. }), "{source}");
    let html = connect_with(&server.settings(), &server.http()).await.unwrap_err();
    let is_metadata_error =
        matches!(html, ConnectError::Environment(EnvironmentError::NotMetadata { .. }));
    assert!(is_metadata_error, "{html:?}");
}

#[tokio::test]
async fn a_host_without_address_is_told_as_such() {
    let host = "nothing.invalid".to_owned();
    let settings = AzureSettings {
        subscription_id: Some(SUBSCRIPTION.into()),
        metadata_host: Some(host),
        ..Default::default()
    };
    let error = connect_with(&settings, &HttpSettings::default()).await.unwrap_err();
    let ConnectError::Environment(EnvironmentError::Unreachable { source, .. }) = error else {
        panic!("{error:?}")
    };
    assert!(matches!(source, NoAnswer::Dns { .. }), "{source:?}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_told_without_any_request() {
    let good = AzureSettings { subscription_id: Some(SUBSCRIPTION.into()), ..Default::default() };
    let table: [(AzureSettings, &str); 6] = [
        (AzureSettings::default(), "subscription_id"),
        (AzureSettings { subscription_id: Some("x".into()), ..good.clone() }, "subscription_id"),
        (AzureSettings { tenant_id: Some("../x".into()), ..good.clone() }, "tenant_id"),
        (AzureSettings { environment: Some("german".into()), ..good.clone() }, "environment"),
        (AzureSettings { metadata_host: Some("a/b".into()), ..good.clone() }, "metadata_host"),
        (AzureSettings { metadata_host: Some("http://a".into()), ..good.clone() }, "metadata_host"),
    ];
    for (settings, attribute) in table {
        let error = connect_with(&settings, &HttpSettings::default()).await.unwrap_err();
        assert_eq!(error.attribute(), Some(attribute), "{error}");
    }
    assert!(connect_with(&good, &HttpSettings::default()).await.is_ok());
}
