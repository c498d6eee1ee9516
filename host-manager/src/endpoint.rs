//! A port of our own: HTTP/1.1 over TLS with the server's certificate, few connections, short waits.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::leaf::Leaf;
use crate::status::Board;

/// A few ask; more at one time is none of them.
const CONNECTIONS_MAX: usize = 32;
/// Prometheus' text; without a type its collectors refuse an answer.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// From the connection to the end of its one answer: places are few.
const LIFE_MAX: Duration = Duration::from_secs(30);
/// One that says nothing is closed.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// What is answered on a port.
#[async_trait]
pub trait Endpoint: Send + Sync + 'static {
    /// The port.
    fn port(&self) -> u16;

    /// For messages: a problem with the port is told in this area, in these words.
    fn area(&self) -> (&'static str, &'static str);

    /// Answers one request.
    async fn respond(&self, request: &Request<Incoming>) -> (StatusCode, String);
}

/// Serves until stopped. A port that cannot be had is told, and tried again.
pub async fn run(
    endpoint: Arc<dyn Endpoint>,
    host: Arc<Host>,
    board: Arc<Board>,
    stop: CancellationToken,
) {
    let address = SocketAddr::new(host.instance.address, endpoint.port());
    let (area, words) = endpoint.area();
    while !stop.is_cancelled() {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                board.solved(area);
                accept(&listener, &endpoint, &board, &stop).await;
            }
            Err(error) => board.problem(area, format!("{words} on {address}: {error}")),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = host.clock.sleep(host.timing.tick) => {}
        }
    }
}

async fn accept(
    listener: &TcpListener,
    endpoint: &Arc<dyn Endpoint>,
    board: &Arc<Board>,
    stop: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { return };
        // Who comes when all places are taken is turned away, and not kept waiting.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (endpoint, board, stop) = (Arc::clone(endpoint), Arc::clone(board), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                answered = tokio::time::timeout(LIFE_MAX, answer(stream, endpoint.as_ref(), &board)) => {
                    if let Ok(Err(error)) = answered {
                        tracing::debug!(%error, port = endpoint.port(), "a request was not answered");
                    }
                }
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn answer(stream: TcpStream, endpoint: &dyn Endpoint, board: &Board) -> Result<(), Failure> {
    let leaf = board.leaf().ok_or("there is no certificate yet")?;
    let acceptor = TlsAcceptor::from(Arc::new(configuration(&leaf)?));
    let stream = tokio::time::timeout(IDLE_MAX, acceptor.accept(stream)).await??;
    let service = service_fn(async |request: Request<Incoming>| {
        let (status, text) = endpoint.respond(&request).await;
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
        Ok::<_, Infallible>(response)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(IDLE_MAX)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

fn configuration(leaf: &Leaf) -> Result<ServerConfig, Failure> {
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.expose().as_bytes())?;
    let chain = vec![CertificateDer::from(leaf.facts.der.clone())];
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?)
}
