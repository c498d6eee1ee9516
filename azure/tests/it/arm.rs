//! Resource Manager: what is sent, what is trusted, what an answer may be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hcs_azure::arm::correlation_id;
use hcs_azure::transport::NoAnswer;
use hcs_azure::{Azure, HttpSettings, connect_with};
use hcs_engine::cloud::{ArmRequest, Cloud, Method, Target, TransportError};
use serde_json::json;

use crate::server::{OBJECT, Reply, Server, metadata, token_answer};

async fn azure(server: &Server) -> Azure {
    connect_with(&server.settings(), &server.http()).await.unwrap()
}

fn get(path: &str) -> ArmRequest {
    ArmRequest::new(Method::Get, Target::Path(path.into()))
}

#[tokio::test]
async fn a_request_carries_token_agent_correlation_and_body() {
    let server = Server::azure(|_| Reply::json(201, &json!({"id": "x"}))).await;
    let azure = azure(&server).await;
    let request = ArmRequest {
        method: Method::Put,
        target: Target::Path("/a?api-version=1".into()),
        body: Some(json!({"location": "westeurope"})),
        headers: vec![("If-None-Match".into(), "*".into())],
    };
    let answer = azure.cloud.send(&request).await.unwrap();
    assert_eq!((answer.status, answer.body), (201, json!({"id": "x"})));
    let seen = &server.calls()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("PUT", "/a"));
    assert_eq!(seen.query, "api-version=1");
    assert_eq!(seen.body, Bytes::from_static(br#"{"location":"westeurope"}"#));
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("if-none-match"), "*");
    assert!(seen.header("authorization").starts_with("Bearer eyJ"));
    assert_eq!(seen.header("user-agent"), concat!("hcs/", env!("CARGO_PKG_VERSION")));
    assert_eq!(seen.header("x-ms-correlation-request-id"), correlation_id());
    assert_eq!(seen.header("x-ms-client-request-id").len(), 36);
}

#[tokio::test]
async fn the_token_is_asked_for_once_and_for_the_clouds_audience() {
    let server = Server::azure(|_| Reply::json(200, &json!({}))).await;
    let azure = azure(&server).await;
    for _ in 0..3 {
        azure.cloud.send(&get("/a")).await.unwrap();
    }
    assert_eq!(azure.cloud.caller_object_id().await.unwrap(), OBJECT);
    let tokens = server.token_requests();
    assert_eq!(tokens.len(), 1);
    let body = String::from_utf8_lossy(&tokens[0].body).into_owned();
    assert!(body.contains("scope=https%3A%2F%2Fmanagement.azure.com%2F.default"), "{body}");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_request_repeated() {
    let calls = AtomicUsize::new(0);
    let server = Server::azure(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::json(401, &json!({"error": {"code": "ExpiredAuthenticationToken"}})),
        _ => Reply::json(200, &json!({"ok": true})),
    })
    .await;
    let azure = azure(&server).await;
    let mut request = get("/a");
    request.method = Method::Put;
    request.body = Some(json!({"n": 1}));
    assert_eq!(azure.cloud.send(&request).await.unwrap().status, 200);
    let calls = server.calls();
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0].header("authorization"), calls[1].header("authorization"));
    assert_eq!(calls[0].body, calls[1].body);
    assert_eq!(server.token_requests().len(), 2);
}

#[tokio::test]
async fn a_second_401_is_an_answer_like_any_other() {
    let server = Server::azure(|_| Reply::json(401, &json!({"error": {"code": "No"}}))).await;
    let azure = azure(&server).await;
    assert_eq!(azure.cloud.send(&get("/a")).await.unwrap().status, 401);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn nothing_is_retried_and_retry_headers_pass_through() {
    for status in [429, 500, 503] {
        let server = Server::azure(move |_| {
            Reply::json(status, &json!({"error": {"code": "Busy"}}))
                .header("Retry-After", "7")
                .header("x-ms-ratelimit-remaining-subscription-global-writes", "0")
        })
        .await;
        let answer = azure(&server).await.cloud.send(&get("/a")).await.unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (status, Some("7")));
        let limit = answer.header("x-ms-ratelimit-remaining-subscription-global-writes");
        assert_eq!(limit, Some("0"));
        assert_eq!(server.calls().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let other = Server::tls(|_| Reply::json(200, &json!({}))).await;
    let target = format!("https://{}/stolen", other.host);
    let server = Server::azure(move |_| Reply::new(307, "").header("Location", &target)).await;
    let answer = azure(&server).await.cloud.send(&get("/a")).await.unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(server.calls().len(), 1);
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn urls_off_the_arm_host_get_no_request_and_no_token() {
    let other = Server::tls(|_| Reply::json(200, &json!({}))).await;
    let server = Server::azure(|_| Reply::json(200, &json!({}))).await;
    let azure = azure(&server).await;
    let (host, port) = server.host.split_once(':').unwrap();
    for url in [
        format!("https://{}/operations/1", other.host),
        format!("http://{}/operations/1", server.host),
        format!("https://{host}/operations/1"),
        format!("https://{}.evil.example/operations/1", server.host.replace(':', ".")),
        format!("https://user:pass@{}/operations/1", server.host),
        format!("https://{host}@evil.example:{port}/operations/1"),
    ] {
        let request = ArmRequest::new(Method::Get, Target::Url(url.clone()));
        let error = azure.cloud.send(&request).await.unwrap_err();
        assert!(matches!(error, TransportError::ForeignHost { .. }), "{url}: {error}");
    }
    assert!(other.seen().is_empty() && server.calls().is_empty());
    assert!(server.token_requests().is_empty(), "not even a token was needed");
    let own = format!("https://{}/operations/1?t=a%2Fb&c=%7b", server.host);
    azure.cloud.send(&ArmRequest::new(Method::Get, Target::Url(own))).await.unwrap();
    assert_eq!(server.calls()[0].query, "t=a%2Fb&c=%7b", "verbatim");
}

#[tokio::test]
async fn paths_cannot_leave_the_endpoint() {
    let server = Server::azure(|_| Reply::json(200, &json!({}))).await;
    let azure = azure(&server).await;
    for path in ["//evil.example/a", "a", "@evil.example/a", "/a/../b", "https://evil.example/"] {
        let error = azure.cloud.send(&get(path)).await.unwrap_err();
        assert!(matches!(error, TransportError::NotSent { .. }), "{path}: {error}");
    }
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn answers_are_read_tolerantly_but_only_json_counts_as_success() {
    let server = Server::azure(|seen| match seen.path.as_str() {
        "/bom" => {
            Reply::new(200, &b"\xef\xbb\xbf{\"a\":1}"[..]).header("content-type", "text/plain")
        }
        "/empty" => Reply::new(202, "").header("Azure-AsyncOperation", "https://x/y"),
        "/html" => Reply::new(502, "<html>bad gateway</html>"),
        "/cut" => Reply::new(200, "{\"a\":"),
        _ => Reply::new(200, vec![b' '; 33 * 1024 * 1024]),
    })
    .await;
    let azure = azure(&server).await;
    let bom = azure.cloud.send(&get("/bom")).await.unwrap();
    assert_eq!(bom.body, json!({"a": 1}));
    let empty = azure.cloud.send(&get("/empty")).await.unwrap();
    assert!(empty.body.is_null());
    assert_eq!(empty.header("azure-asyncoperation"), Some("https://x/y"));
    let html = azure.cloud.send(&get("/html")).await.unwrap();
    assert_eq!(html.status, 502);
    assert_eq!(html.body["error"]["code"], "NonJson");
    assert_eq!(html.body["error"]["message"], "<html>bad gateway</html>");
    for path in ["/cut", "/huge"] {
        let error = azure.cloud.send(&get(path)).await.unwrap_err();
        assert!(matches!(error, TransportError::Malformed { .. }), "{path}: {error}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_unknown() {
    let server = Server::azure(|seen| match seen.path.as_str() {
        "/silent" => Reply::Silence,
        _ => Reply::HangUp,
    })
    .await;
    let http = HttpSettings { request_timeout: Duration::from_millis(400), ..server.http() };
    let azure = connect_with(&server.settings(), &http).await.unwrap();
    for path in ["/broken", "/silent"] {
        let mut request = get(path);
        request.method = Method::Put;
        let error = azure.cloud.send(&request).await.unwrap_err();
        assert!(matches!(error, TransportError::OutcomeUnknown { .. }), "{path}: {error:?}");
    }
    assert_eq!(server.calls().len(), 2, "a write is never repeated below the engine");
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_got_nothing() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let stranger = Server::tls(|_| Reply::json(200, &json!({}))).await;
    let wrong_name = format!("localhost:{}", stranger.host.split_once(':').unwrap().1);
    for (arm, trust_stranger, wanted) in [
        (closed.as_str(), false, "Connect"),
        (stranger.host.as_str(), false, "UntrustedCertificate"),
        (wrong_name.as_str(), true, "InvalidCertificate"),
    ] {
        let arm = arm.to_owned();
        let server = Server::tls(move |seen| match seen.path.as_str() {
            "/metadata/endpoints" => {
                let mut json = metadata(seen.header("host"));
                json["resourceManager"] = json!(format!("https://{arm}/"));
                Reply::json(200, &json)
            }
            _ => token_answer(3600),
        })
        .await;
        let mut http = server.http();
        if trust_stranger {
            let both = format!("{}{}", server.ca_pem, stranger.ca_pem);
            http.extra_roots_pem = Some(both.into_bytes());
        }
        let azure = connect_with(&server.settings(), &http).await.unwrap();
        let error = azure.cloud.send(&get("/a")).await.unwrap_err();
        let TransportError::NotSent { source, .. } = error else { panic!("{error:?}") };
        let cause = source.downcast::<NoAnswer>().unwrap();
        assert!(format!("{cause:?}").starts_with(wanted), "{cause:?}");
        assert_eq!(cause.to_string().contains("SSL_CERT_FILE"), wanted == "UntrustedCertificate");
    }
    assert!(stranger.seen().is_empty());
}
