//! `GET /ready`: 200 or 503, and why in one line.
//!
//! Azure's balancers take an instance out at the first answer that is not 200, and do not check the certificate
//! (Microsoft: "Azure Load Balancer health probes"). Nobody else is let to this port.

use std::sync::Arc;

use async_trait::async_trait;
use hcs_planner::dataplane::port;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use super::{Unready, look};
use crate::endpoint::Endpoint;
use crate::host::Host;
use crate::status::Board;

/// The path that the balancers ask.
pub use hcs_planner::dataplane::READY_PATH;

/// Whether this server may be given clients.
pub struct Ready {
    host: Arc<Host>,
    board: Arc<Board>,
}

impl Ready {
    /// Of this server.
    pub fn new(host: Arc<Host>, board: Arc<Board>) -> Self {
        Self { host, board }
    }
}

#[async_trait]
impl Endpoint for Ready {
    fn port(&self) -> u16 {
        port::READY
    }

    fn area(&self) -> (&'static str, &'static str) {
        ("readiness", "balancers cannot ask this server")
    }

    async fn respond(&self, request: &Request<Incoming>) -> (StatusCode, String) {
        if request.uri().path() != READY_PATH {
            return (StatusCode::NOT_FOUND, format!("only {READY_PATH} is answered here\n"));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".to_owned());
        }
        match is_ready(&self.host, &self.board).await {
            Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        }
    }
}

/// Whether this server may be given clients now.
pub async fn is_ready(host: &Host, board: &Board) -> Result<(), Unready> {
    let now_unix_s = i64::try_from(host.clock.now_unix_ms() / 1000).unwrap_or(i64::MAX);
    let has_ended = board.leaf().is_none_or(|leaf| leaf.facts.expires_unix_s <= now_unix_s);
    if board.restarts() { Err(Unready::Restarts) } else { look(board.client(), has_ended).await }
}
