//! A server whose answers a test writes down, with a certificate of its own authority.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hcs_azure::{AzureSettings, HttpSettings, Secret};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto};

pub(crate) const SUBSCRIPTION: &str = "11111111-1111-1111-1111-111111111111";
pub(crate) const TENANT: &str = "22222222-2222-2222-2222-222222222222";
pub(crate) const CLIENT: &str = "33333333-3333-3333-3333-333333333333";
pub(crate) const OBJECT: &str = "44444444-4444-4444-4444-444444444444";
pub(crate) const CANARY: &str = "canary/with+odd characters";

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// What the server does with a request.
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
    },
    /// Reads the request and closes the connection.
    HangUp,
    /// Reads the request and never answers.
    Silence,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.into()));
        }
        self
    }
}

pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) ca_pem: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Handler = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

impl Server {
    /// Serves HTTPS on a free port.
    pub(crate) async fn tls(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let (acceptor, ca_pem) = identity();
        Self::serve(Some(acceptor), ca_pem, Arc::new(handler)).await
    }

    /// Serves plain HTTP, as the instance metadata service does.
    pub(crate) async fn plain(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(None, String::new(), Arc::new(handler)).await
    }

    /// Metadata and token endpoint as they should be; everything else is the test's.
    pub(crate) async fn azure(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::tls(move |seen| {
            if seen.path == "/metadata/endpoints" {
                return Reply::json(200, &metadata(seen.header("host")));
            }
            if seen.path.ends_with("/oauth2/v2.0/token") {
                return token_answer(3600);
            }
            handler(seen)
        })
        .await
    }

    async fn serve(acceptor: Option<TlsAcceptor>, ca_pem: String, handler: Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (acceptor, handler, log) = (acceptor.clone(), handler.clone(), log.clone());
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, &handler, &log));
                    let http = hyper::server::conn::http1::Builder::new();
                    let Some(acceptor) = acceptor else {
                        let _ = http.serve_connection(TokioIo::new(stream), service).await;
                        return;
                    };
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = http.serve_connection(TokioIo::new(stream), service).await;
                    }
                });
            }
        });
        Self { host, ca_pem, seen, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Requests beside metadata and tokens.
    pub(crate) fn calls(&self) -> Vec<Seen> {
        let is_call = |seen: &Seen| {
            seen.path != "/metadata/endpoints" && !seen.path.ends_with("/oauth2/v2.0/token")
        };
        self.seen().into_iter().filter(is_call).collect()
    }

    pub(crate) fn token_requests(&self) -> Vec<Seen> {
        let is_token = |seen: &Seen| seen.path.ends_with("/oauth2/v2.0/token");
        self.seen().into_iter().filter(is_token).collect()
    }

    /// A client secret, this server as metadata host, nothing else.
    pub(crate) fn settings(&self) -> AzureSettings {
        AzureSettings {
            subscription_id: Some(SUBSCRIPTION.into()),
            tenant_id: Some(TENANT.into()),
            client_id: Some(CLIENT.into()),
            client_secret: Some(Secret::new(CANARY)),
            use_cli: Some(false),
            metadata_host: Some(self.host.clone()),
            ..Default::default()
        }
    }

    pub(crate) fn http(&self) -> HttpSettings {
        let extra_roots_pem = Some(self.ca_pem.clone().into_bytes());
        let retry_delay = std::time::Duration::from_millis(1);
        HttpSettings { extra_roots_pem, retry_delay, ..Default::default() }
    }
}

async fn answer(
    request: Request<Incoming>,
    handler: &Handler,
    log: &Mutex<Vec<Seen>>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let text =
        |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.iter().map(|(k, v)| (k.to_string(), text(v))).collect(),
        body: body.collect().await.map_err(std::io::Error::other)?.to_bytes(),
    };
    log.lock().unwrap().push(seen.clone());
    match handler(&seen) {
        Reply::Answer { status, headers, body } => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Full::new(body)).map_err(std::io::Error::other)
        }
        Reply::HangUp => Err(std::io::Error::other("hung up")),
        Reply::Silence => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

fn identity() -> (TlsAcceptor, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), issuer.pem())
}

pub(crate) fn metadata(host: &str) -> Value {
    json!({
        "name": "Local",
        "resourceManager": format!("https://{host}/"),
        "authentication": {
            "loginEndpoint": format!("https://{host}/"),
            "audiences": ["https://management.azure.com/"],
        },
        "suffixes": {"storage": host},
    })
}

/// Each token is another one.
pub(crate) fn token_answer(lifetime_seconds: u64) -> Reply {
    let token = jwt();
    let body = json!({
        "token_type": "Bearer",
        "expires_in": lifetime_seconds,
        "access_token": token,
    });
    Reply::json(200, &body)
}

pub(crate) fn jwt() -> String {
    let claims = json!({"oid": OBJECT, "tid": TENANT, "jti": uuid::Uuid::new_v4().to_string()});
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "none"})), part(&claims))
}
