//! The one HTTP client that everything shares. Must never follow a redirect or talk without TLS.

use std::sync::Arc;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, ExponentialRetryOptions, Request, RetryOptions, Transport,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::transport::NoAnswer;

/// How requests are made.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Time for name, connection and TLS.
    pub connect_timeout: Duration,
    /// Time for one whole request, its answer's body included.
    pub request_timeout: Duration,
    /// First wait before a request for a token or a blob is repeated; it doubles each time.
    pub retry_delay: Duration,
    /// PEM certificates that are trusted besides the system's.
    pub extra_roots_pem: Option<Vec<u8>>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(90),
            retry_delay: Duration::from_millis(250),
            extra_roots_pem: None,
        }
    }
}

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up")]
pub struct HttpSetupError(#[source] reqwest::Error);

/// A shared connection pool.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    retry_delay: Duration,
}

impl HttpClient {
    /// Sets up the pool: system trust store (`SSL_CERT_FILE` is honoured), HTTPS only, no redirects.
    pub fn new(settings: &HttpSettings) -> Result<Self, HttpSetupError> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true)
            .referer(false)
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            // Ranged reads count bytes of the blob, not of a compressed form of it.
            .no_gzip()
            .no_deflate()
            .no_brotli()
            .no_zstd();
        if let Some(pem) = &settings.extra_roots_pem {
            let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(HttpSetupError)?;
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build().map_err(HttpSetupError)?;
        Ok(Self { client, retry_delay: settings.retry_delay })
    }

    /// Whether something answers there, and how: nothing of the body is read, and no token is sent.
    pub async fn status_of(&self, url: &str) -> Result<u16, NoAnswer> {
        let host = || url::Url::parse(url).map(|url| host_of(&url)).unwrap_or_default();
        let told = |error: reqwest::Error| NoAnswer::of(&error, &host());
        let status = self.client.head(url).send().await.map_err(told)?.status();
        if status.is_success() || status.is_redirection() {
            return Ok(status.as_u16());
        }
        // A signature may be good for GET alone, and some hosts know no HEAD.
        let first = self.client.get(url).header("range", "bytes=0-0");
        Ok(first.send().await.map_err(told)?.status().as_u16())
    }

    /// The pool as the SDK's transport.
    pub fn transport(&self) -> Transport {
        Transport::new(Arc::new(ImpatientClient(self.client.clone())))
    }

    /// Options of an SDK client that retries briefly by itself.
    pub(crate) fn retrying_options(&self) -> ClientOptions {
        ClientOptions {
            transport: Some(self.transport()),
            retry: RetryOptions::exponential(ExponentialRetryOptions {
                initial_delay: self.retry_delay.try_into().unwrap_or_default(),
                max_retries: 4,
                max_total_elapsed: azure_core::time::Duration::seconds(30),
                max_delay: azure_core::time::Duration::seconds(10),
            }),
            ..Default::default()
        }
    }

    /// Options of an SDK client that leaves retries to its caller.
    pub(crate) fn single_try_options(&self) -> ClientOptions {
        ClientOptions {
            transport: Some(self.transport()),
            retry: RetryOptions::none(),
            ..Default::default()
        }
    }

    pub(crate) fn raw(&self) -> &reqwest::Client {
        &self.client
    }
}

/// Says at once what no retry would mend: the SDK repeats every failed connection.
#[derive(Debug)]
struct ImpatientClient(reqwest::Client);

#[async_trait::async_trait]
impl azure_core::http::HttpClient for ImpatientClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let error = match self.0.execute_request(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let cause = NoAnswer::of(&error, &host_of(request.url()));
        if cause.is_lasting() {
            return Err(azure_core::Error::with_error(ErrorKind::Other, error, cause.to_string()));
        }
        Err(error)
    }
}

/// An answer's body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError<E> {
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("the body broke off")]
    Broken(#[source] E),
}

/// Reads a body up to a limit.
pub(crate) async fn read_capped<S, E>(
    mut body: S,
    limit_bytes: usize,
) -> Result<Bytes, BodyError<E>>
where
    S: futures::Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(BodyError::Broken)?;
        if whole.len() + chunk.len() > limit_bytes {
            return Err(BodyError::TooLarge { limit_bytes });
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// JSON with or without a byte order mark.
pub(crate) fn parse_json(bytes: &[u8]) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_slice(without_bom(bytes))
}

/// Some services put a byte order mark before their text.
pub(crate) fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Host and port as they stand in a URL.
pub(crate) fn host_of(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
