//! `GET /ready` over TLS with the server's certificate: 200 or 503, and why in one line.
//!
//! Azure's balancers take an instance out at the first answer that is not 200, and do not check the certificate
//! (Microsoft: "Azure Load Balancer health probes"). Nobody else is let to this port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hcs_planner::dataplane::port;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Unready, look};
use crate::host::Host;
use crate::leaf::Leaf;
use crate::status::Board;

/// The path that the balancers ask.
pub use hcs_planner::dataplane::READY_PATH;

/// Two balancers ask; more at one time is none of them.
const CONNECTIONS_MAX: usize = 32;
/// One that says nothing is closed.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Serves until stopped. A port that cannot be had is told, and tried again.
pub async fn run(host: Arc<Host>, board: Arc<Board>, stop: CancellationToken) {
    let address = SocketAddr::new(host.instance.address, port::READY);
    while !stop.is_cancelled() {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                board.solved("readiness");
                accept(&listener, &host, &board, &stop).await;
            }
            Err(error) => {
                let sentence = format!("balancers cannot ask this server on {address}: {error}");
                board.problem("readiness", sentence);
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = host.clock.sleep(host.timing.tick) => {}
        }
    }
}

async fn accept(
    listener: &TcpListener,
    host: &Arc<Host>,
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
        let (host, board, stop) = (Arc::clone(host), Arc::clone(board), stop.clone());
        tokio::spawn(async move {
            let answered = answer(stream, &host, &board);
            tokio::select! {
                answered = answered => if let Some(error) = answered.err() {
                    tracing::debug!(%error, "a question about readiness was not answered");
                },
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn answer(stream: TcpStream, host: &Host, board: &Board) -> Result<(), Failure> {
    let leaf = board.leaf().ok_or("there is no certificate yet")?;
    let acceptor = TlsAcceptor::from(Arc::new(configuration(&leaf)?));
    let stream = tokio::time::timeout(IDLE_MAX, acceptor.accept(stream)).await??;
    let service = service_fn(|request| respond(request, host, board));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

async fn respond(
    request: Request<Incoming>,
    host: &Host,
    board: &Board,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_asked = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, text) = if request.uri().path() != READY_PATH {
        (StatusCode::NOT_FOUND, format!("only {READY_PATH} is answered here\n"))
    } else if !is_asked {
        (StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".to_owned())
    } else {
        let now_unix_s = i64::try_from(host.clock.now_unix_ms() / 1000).unwrap_or(i64::MAX);
        let has_ended = board.leaf().is_none_or(|leaf| leaf.facts.expires_unix_s <= now_unix_s);
        let looked = if board.restarts() {
            Err(Unready::Restarts)
        } else {
            look(board.client(), has_ended).await
        };
        match looked {
            Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
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
