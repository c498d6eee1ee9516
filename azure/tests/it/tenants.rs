//! One principal in several tenants.

use hcs_azure::{AzureSettings, ConnectError, connect_with};
use hcs_engine::cloud::{ArmRequest, Cloud, Method, Target};
use serde_json::json;

use crate::server::{Reply, SUBSCRIPTION, Server, TENANT, metadata};

const OTHER: &str = "77777777-7777-4777-8777-777777777777";
const THIRD: &str = "88888888-8888-4888-8888-888888888888";
/// A subscription that trusts the other tenant.
const THEIRS: &str = "99999999-9999-4999-8999-999999999999";

/// Tokens name their tenant; each subscription takes those of its own only.
async fn azure() -> Server {
    Server::tls(|seen| {
        if seen.path == "/metadata/endpoints" {
            return Reply::json(200, &metadata(seen.header("host")));
        }
        if let Some(tenant) = seen.path.strip_suffix("/oauth2/v2.0/token") {
            if tenant.trim_start_matches('/') == THIRD {
                let text = "AADSTS700016: Application was not found in the directory 'Third'.";
                let body = json!({ "error": "unauthorized_client", "error_description": text });
                return Reply::json(400, &body);
            }
            let token = format!("token-of-{}", tenant.trim_start_matches('/'));
            let body = json!({ "access_token": token, "expires_in": 3600, "token_type": "Bearer" });
            return Reply::json(200, &body);
        }
        let trusted = if seen.path.contains(THEIRS) { OTHER } else { TENANT };
        if seen.header("authorization") == format!("Bearer token-of-{trusted}") {
            return Reply::json(200, &json!({ "displayName": "Team", "state": "Enabled" }));
        }
        let code = "InvalidAuthenticationTokenTenant";
        Reply::json(401, &json!({ "error": { "code": code, "message": "wrong issuer" } })).header(
            "www-authenticate",
            format!(
                "Bearer authorization_uri=\"https://login.windows.net/{trusted}\", error=\"invalid_token\""
            ),
        )
    })
    .await
}

fn with_tenants(server: &Server, tenants: &[&str]) -> AzureSettings {
    let auxiliary_tenant_ids = tenants.iter().map(|id| (*id).to_owned()).collect();
    AzureSettings { auxiliary_tenant_ids, ..server.settings() }
}

fn put(subscription: &str) -> ArmRequest {
    let path = format!("/subscriptions/{subscription}/resourceGroups/hub?api-version=1");
    let mut request = ArmRequest::new(Method::Put, Target::Path(path));
    request.body = Some(json!({ "location": "westeurope" }));
    request
}

#[tokio::test]
async fn each_subscription_gets_its_tenants_token_and_the_others_go_along() {
    let server = azure().await;
    let settings = with_tenants(&server, &[OTHER]);
    let azure = connect_with(&settings, &server.http()).await.unwrap();
    azure.check().await.unwrap();
    for subscription in [SUBSCRIPTION, THEIRS, THEIRS, SUBSCRIPTION] {
        assert_eq!(azure.cloud.send(&put(subscription)).await.unwrap().status, 200);
    }
    let sent: Vec<(String, String)> = server
        .calls()
        .iter()
        .filter(|seen| seen.method == "PUT")
        .map(|seen| {
            let word = |name: &str| seen.header(name).replace("Bearer token-of-", "");
            assert!(!seen.body.is_empty(), "a repeated request has its body");
            (word("authorization"), word("x-ms-authorization-auxiliary"))
        })
        .collect();
    let pair = |own: &str, beside: &str| (own.to_owned(), beside.to_owned());
    // What is learned of a subscription is asked once.
    let expected = [
        pair(TENANT, OTHER),
        pair(TENANT, OTHER),
        pair(OTHER, TENANT),
        pair(OTHER, TENANT),
        pair(TENANT, OTHER),
    ];
    assert_eq!(sent, expected);
}

/// A tenant that stops giving tokens is in the way of what concerns it, and of nothing else.
#[tokio::test]
async fn what_concerns_the_home_tenant_alone_goes_on_without_the_others() {
    let server = azure().await;
    let settings = with_tenants(&server, &[THIRD, OTHER]);
    let azure = connect_with(&settings, &server.http()).await.unwrap();
    assert_eq!(azure.cloud.send(&put(SUBSCRIPTION)).await.unwrap().status, 200);
    azure.cloud.authorize().await.unwrap();
    let beside = server.calls()[0].header("x-ms-authorization-auxiliary").to_owned();
    assert_eq!(beside, format!("Bearer token-of-{OTHER}"));
}

/// The variable may be meant for another provider of the same run.
#[tokio::test]
async fn a_managed_identity_does_without_tenants_of_the_environment() {
    let server = azure().await;
    let mut settings =
        AzureSettings { client_secret: None, use_msi: Some(true), ..server.settings() };
    let named = |name: &str| (name == "ARM_AUXILIARY_TENANT_IDS").then(|| OTHER.to_owned());
    settings.merge_env(named).unwrap();
    connect_with(&settings, &server.http()).await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_nobody_named_gets_no_token_and_no_repetition() {
    let server = azure().await;
    let azure = connect_with(&server.settings(), &server.http()).await.unwrap();
    let answer = azure.cloud.send(&put(THEIRS)).await.unwrap();
    assert_eq!(answer.status, 401);
    let tenants: Vec<String> = server.token_requests().iter().map(|s| s.path.clone()).collect();
    assert!(tenants.iter().all(|path| path.contains(TENANT)), "{tenants:?}");
    assert!(server.calls().iter().all(|s| s.header("x-ms-authorization-auxiliary").is_empty()));
}

#[tokio::test]
async fn what_is_wrong_with_other_tenants_is_told_before_any_plan() {
    let server = azure().await;
    let told = async |settings: AzureSettings| {
        let azure = connect_with(&settings, &server.http()).await;
        let error = match azure {
            Ok(azure) => azure.check().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.attribute(), Some("auxiliary_tenant_ids"), "{error}");
        assert!(matches!(error, ConnectError::InvalidSetting { .. }));
        error.to_string()
    };
    let unknown = told(with_tenants(&server, &[OTHER, THIRD])).await;
    assert!(unknown.contains(THIRD) && unknown.contains("AADSTS700016"), "{unknown}");
    assert!(told(with_tenants(&server, &[OTHER; 4])).await.contains("names 4 tenants"));
    assert!(told(with_tenants(&server, &["contoso.com"])).await.contains("no tenant's id"));
    let identity = AzureSettings {
        client_secret: None,
        use_msi: Some(true),
        ..with_tenants(&server, &[OTHER])
    };
    assert!(told(identity).await.contains("managed identity"));
}
