//! The chain: order, what it says of failures, and that no secret gets out.

use std::time::Duration;

use hcs_azure::{AzureSettings, ConnectError, HttpSettings, Secret, connect_with};
use hcs_engine::blob::BlobStores;
use hcs_engine::cloud::{ArmRequest, Cloud, Target, TransportError};
use serde_json::json;

use crate::server::{CANARY, CLIENT, Reply, Seen, Server, TENANT, metadata, token_answer};
use crate::traced::Traced;

fn form(seen: &Seen, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(&seen.body);
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn subscription() -> Reply {
    Reply::json(200, &json!({"displayName": "Team", "state": "Enabled"}))
}

#[tokio::test]
async fn a_client_secret_is_exchanged_at_the_tenants_endpoint() {
    let server = Server::azure(|_| subscription()).await;
    connect_with(&server.settings(), &server.http()).await.unwrap().check().await.unwrap();
    let seen = &server.token_requests()[0];
    assert_eq!(seen.path, format!("/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(form(seen, "client_id").as_deref(), Some(CLIENT));
    assert_eq!(form(seen, "client_secret").as_deref(), Some(CANARY));
    assert_eq!(form(seen, "grant_type").as_deref(), Some("client_credentials"));
}

#[tokio::test]
async fn federated_tokens_are_read_anew_for_every_exchange() {
    let server = Server::azure(|_| subscription()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "assertion-1\n").unwrap();
    let settings = AzureSettings {
        client_secret: None,
        use_oidc: Some(true),
        oidc_token_file_path: Some(file.clone()),
        ..server.settings()
    };
    let azure = connect_with(&settings, &server.http()).await.unwrap();
    let checked = azure.check().await.unwrap();
    assert_eq!(checked.credential, format!("OIDC token file for client {CLIENT}"));
    std::fs::write(&file, "assertion-2").unwrap();
    azure.tokens.token("https://storage.azure.com/.default").await.unwrap();
    let sent: Vec<_> =
        server.token_requests().iter().map(|seen| form(seen, "client_assertion")).collect();
    assert_eq!(sent, [Some("assertion-1".to_owned()), Some("assertion-2".to_owned())]);
}

#[tokio::test]
async fn a_pipelines_token_url_is_asked_with_its_own_bearer() {
    let server = Server::azure(|seen| match seen.path.as_str() {
        "/idtoken" => Reply::json(200, &json!({"value": "pipeline-assertion"})),
        _ => subscription(),
    })
    .await;
    let settings = AzureSettings {
        client_secret: None,
        use_oidc: Some(true),
        oidc_request_url: Some(format!("https://{}/idtoken?job=1", server.host)),
        oidc_request_token: Some(Secret::new("pipeline-bearer")),
        ..server.settings()
    };
    connect_with(&settings, &server.http()).await.unwrap().check().await.unwrap();
    let asked = server.calls().into_iter().find(|seen| seen.path == "/idtoken").unwrap();
    assert_eq!(asked.header("authorization"), "Bearer pipeline-bearer");
    assert_eq!(asked.parameter("audience").as_deref(), Some("api://AzureADTokenExchange"));
    assert_eq!(asked.parameter("job").as_deref(), Some("1"));
    let exchanged = form(&server.token_requests()[0], "client_assertion");
    assert_eq!(exchanged.as_deref(), Some("pipeline-assertion"));
}

#[tokio::test]
async fn an_azure_devops_pipeline_is_asked_for_its_service_connections_token() {
    let server = Server::azure(|seen| match seen.path.as_str() {
        "/oidctoken" if seen.method == "POST" => {
            Reply::json(200, &json!({"oidcToken": "devops-assertion"}))
        }
        "/oidctoken" => Reply::json(405, &json!({})),
        _ => subscription(),
    })
    .await;
    let settings = AzureSettings {
        client_secret: None,
        use_oidc: Some(true),
        oidc_request_url: Some(format!("https://{}/oidctoken", server.host)),
        oidc_request_token: Some(Secret::new("pipeline-bearer")),
        ado_pipeline_service_connection_id: Some("connection-1".to_owned()),
        ..server.settings()
    };
    connect_with(&settings, &server.http()).await.unwrap().check().await.unwrap();
    let asked = server.calls().into_iter().find(|seen| seen.path == "/oidctoken").unwrap();
    assert_eq!(asked.header("authorization"), "Bearer pipeline-bearer");
    assert_eq!(asked.header("x-tfs-fedauthredirect"), "Suppress");
    assert_eq!(asked.parameter("serviceConnectionId").as_deref(), Some("connection-1"));
    assert_eq!(asked.parameter("api-version").as_deref(), Some("7.1"));
    let exchanged = form(&server.token_requests()[0], "client_assertion");
    assert_eq!(exchanged.as_deref(), Some("devops-assertion"));
}

#[tokio::test]
async fn a_certificate_signs_its_own_assertion() {
    let server = Server::azure(|_| subscription()).await;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("client.pem");
    std::fs::write(&file, format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();
    let settings = AzureSettings { client_certificate_path: Some(file), ..server.settings() };
    let azure = connect_with(&settings, &server.http()).await.unwrap();
    let checked = azure.check().await.unwrap();
    assert_eq!(checked.credential, format!("client certificate for client {CLIENT}"));
    let seen = &server.token_requests()[0];
    assert_eq!(form(seen, "client_assertion").unwrap().split('.').count(), 3);
    assert_eq!(form(seen, "client_secret"), None);
}

/// Whoever gave a secret meant the application, not whoever is logged in on the machine.
#[tokio::test]
async fn a_credential_that_was_given_and_fails_is_an_error_and_nobody_else_is_asked() {
    let server = Server::tls(|seen| match seen.path.as_str() {
        "/metadata/endpoints" => Reply::json(200, &metadata(seen.header("host"))),
        path if path.ends_with("/token") && form(seen, "client_secret").is_some() => {
            Reply::json(401, &json!({"error": "invalid_client", "error_description": "no"}))
        }
        path if path.ends_with("/token") => token_answer(3600),
        _ => subscription(),
    })
    .await;
    let settings = AzureSettings {
        use_oidc: Some(true),
        oidc_token: Some(Secret::new("federated")),
        use_cli: Some(true),
        ..server.settings()
    };
    let azure = connect_with(&settings, &server.http()).await.unwrap();
    let error = azure.check().await.unwrap_err();
    assert_eq!(error.attribute(), Some("client_secret"));
    let text = error.to_string();
    let behind = "not tried, as the one before was given: OIDC, Azure CLI";
    assert!(text.contains("client secret for client") && text.contains(behind), "{text}");
    assert!(server.token_requests().iter().all(|seen| form(seen, "client_assertion").is_none()));
}

#[tokio::test]
async fn each_way_that_fails_is_named_with_its_reason() {
    let server = Server::azure(|_| subscription()).await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let base = AzureSettings { client_id: None, client_secret: None, ..server.settings() };
    let table = [
        (
            AzureSettings {
                client_certificate_path: Some("/nowhere/client.pfx".into()),
                ..base.clone()
            },
            "client certificate: client_id is not set; ",
        ),
        (
            AzureSettings { client_secret: Some(Secret::new("s")), ..base.clone() },
            "client secret: client_id is not set; ",
        ),
        (
            AzureSettings { use_aks_workload_identity: Some(true), ..base.clone() },
            "AKS workload identity: client_id is not set; ",
        ),
        (
            AzureSettings {
                use_msi: Some(true),
                msi_endpoint: Some(format!("http://{closed}")),
                ..base.clone()
            },
            "managed identity: no connection to 127.0.0.1",
        ),
    ];
    for (settings, reason) in table {
        let azure = connect_with(&settings, &server.http()).await.unwrap();
        let text = azure.check().await.unwrap_err().to_string();
        assert!(text.contains(reason) && text.contains("; not configured: "), "{reason}: {text}");
    }
}

#[tokio::test]
async fn a_token_endpoint_without_trust_is_told_without_a_retry() {
    let stranger = Server::tls(|_| token_answer(3600)).await;
    let login = stranger.host.clone();
    let server = Server::tls(move |seen| {
        let mut json = metadata(seen.header("host"));
        json["authentication"]["loginEndpoint"] = json!(format!("https://{login}/"));
        Reply::json(200, &json)
    })
    .await;
    let http = HttpSettings { retry_delay: Duration::from_hours(1), ..server.http() };
    let azure = connect_with(&server.settings(), &http).await.unwrap();
    let text = azure.check().await.unwrap_err().to_string();
    let wanted = format!("the TLS certificate of {} is not trusted", stranger.host);
    assert!(text.contains(&wanted), "{text}");
}

#[tokio::test]
async fn nothing_configured_is_told_too() {
    let server = Server::azure(|_| subscription()).await;
    let settings = AzureSettings { client_secret: None, ..server.settings() };
    let azure = connect_with(&settings, &server.http()).await.unwrap();
    let error = azure.check().await.unwrap_err();
    assert!(matches!(&error, ConnectError::Credential(chain) if chain.attempts.is_empty()));
    assert_eq!(
        error.to_string(),
        "no Azure credential worked: not configured: client certificate, client secret, OIDC, managed identity, Azure CLI"
    );
}

/// The server repeats everything that it was sent, in its errors.
fn echo(seen: &Seen) -> Reply {
    if seen.path == "/metadata/endpoints" {
        return Reply::json(200, &metadata(seen.header("host")));
    }
    let raw = String::from_utf8_lossy(&seen.body).into_owned();
    let decoded: Vec<String> =
        url::form_urlencoded::parse(&seen.body).map(|(k, v)| format!("{k}={v}")).collect();
    let text = format!("AADSTS1: you sent {raw} that is {}", decoded.join(" "));
    Reply::json(400, &json!({"error": "invalid_request", "error_description": text}))
}

#[tokio::test]
async fn no_secret_reaches_an_error_a_debug_text_or_a_trace() {
    let traced = Traced::start();
    let server = Server::tls(echo).await;
    let federated = crate::server::jwt();
    let settings = AzureSettings {
        use_oidc: Some(true),
        oidc_token: Some(Secret::new(federated.clone())),
        client_certificate_password: Some(Secret::new("canary-password")),
        ..server.settings()
    };
    let azure = connect_with(&settings, &server.http()).await.unwrap();
    let checked = azure.check().await.unwrap_err();
    let request = ArmRequest::new(hcs_engine::cloud::Method::Get, Target::Path("/a".into()));
    let sent = azure.cloud.send(&request).await.unwrap_err();
    assert!(matches!(sent, TransportError::Credential { .. }), "{sent:?}");
    let store = azure.blobs.open(&format!("https://{}/acct/", server.host)).unwrap();
    let read = store.get("config", "spec.json").await.unwrap_err();
    let mut texts = vec![
        checked.to_string(),
        format!("{checked:?}"),
        sent.to_string(),
        format!("{sent:?}"),
        format!("{read:?}"),
        format!("{azure:?} {settings:?}"),
    ];
    assert!(texts[0].contains("you sent client_id="), "the echo arrives: {}", texts[0]);
    texts.push(traced.text());
    assert!(texts.last().unwrap().contains("typespec_client_core"), "the SDK was traced");
    let encoded: String = url::form_urlencoded::byte_serialize(CANARY.as_bytes()).collect();
    for secret in [CANARY, &encoded, &federated, "canary-password"] {
        for text in &texts {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn no_access_token_reaches_a_trace() {
    let traced = Traced::start();
    let server = Server::azure(|_| subscription()).await;
    let azure = connect_with(&server.settings(), &server.http()).await.unwrap();
    azure.check().await.unwrap();
    let text = traced.text();
    let sent = server.calls()[0].header("authorization").to_owned();
    let token = sent.strip_prefix("Bearer ").unwrap();
    assert!(text.contains("typespec_client_core"), "the SDK was traced");
    assert!(!text.contains(token) && !text.contains(CANARY));
    assert!(!format!("{azure:?}").contains(token));
}
