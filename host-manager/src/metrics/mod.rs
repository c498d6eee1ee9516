//! `GET /metrics`: Consul's metrics and our own in Prometheus' text, on a port of their own.
//!
//! The credential is a token of Consul with `agent:read`, in `Authorization: Bearer` or `X-Consul-Token`: it opens this and
//! what any reader of agents sees. Consul itself judges it, so it is made, bounded and withdrawn where all tokens are. A
//! token that was good within the last hour is let in while Consul does not answer: that is when one wants to know.

mod text;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use hcs_planner::dataplane::port;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::consul::client::ConsulError;
use crate::endpoint::Endpoint;
use crate::host::Host;
use crate::readiness::serve::is_ready;
use crate::report::chain;
use crate::room::Room;
use crate::secrets::Secret;
use crate::snapshot::AREA as SNAPSHOTS;
use crate::status::Board;

/// The path that collectors ask.
pub const PATH: &str = "/metrics";
/// So long a token is believed without Consul's word.
const BELIEVED_MS: u64 = 3_600_000;
/// So many tokens are remembered, as digests.
const TOKENS_MAX: usize = 16;

/// What this server tells of itself.
pub struct Metrics {
    host: Arc<Host>,
    board: Arc<Board>,
    /// Digests of tokens that Consul let in, and when.
    let_in: Mutex<Vec<([u8; 32], u64)>>,
}

impl Metrics {
    /// Of this server.
    pub fn new(host: Arc<Host>, board: Arc<Board>) -> Self {
        Self { host, board, let_in: Mutex::default() }
    }

    fn is_believed(&self, token: &[u8; 32], now_unix_ms: u64) -> bool {
        let let_in = self.let_in.lock().unwrap_or_else(PoisonError::into_inner);
        let_in.iter().any(|(own, at)| own == token && now_unix_ms.abs_diff(*at) < BELIEVED_MS)
    }

    fn remember(&self, token: [u8; 32], now_unix_ms: u64, is_good: bool) {
        let mut let_in = self.let_in.lock().unwrap_or_else(PoisonError::into_inner);
        let_in.retain(|(own, _)| *own != token);
        if is_good {
            let_in.push((token, now_unix_ms));
        }
        let surplus = let_in.len().saturating_sub(TOKENS_MAX);
        let_in.drain(..surplus);
    }

    /// Consul's own, if it answers and the token is good.
    async fn of_consul(&self, token: Secret) -> Result<String, (StatusCode, String)> {
        let now_unix_ms = self.host.clock.now_unix_ms();
        let digest: [u8; 32] = Sha256::digest(token.expose().as_bytes()).into();
        let silent = |why: String| {
            if self.is_believed(&digest, now_unix_ms) {
                return Ok(String::new());
            }
            Err((StatusCode::SERVICE_UNAVAILABLE, format!("the token cannot be judged: {why}\n")))
        };
        let Some(client) = self.board.client() else { return silent("Consul does not run".into()) };
        match client.metrics_as(&token).await {
            Ok(text) => {
                self.remember(digest, now_unix_ms, true);
                Ok(text)
            }
            Err(error @ ConsulError::Refused { status: 401 | 403, .. }) => {
                self.remember(digest, now_unix_ms, false);
                Err((StatusCode::FORBIDDEN, format!("{}\n", chain(&error))))
            }
            Err(error) => silent(chain(&error)),
        }
    }
}

#[async_trait]
impl Endpoint for Metrics {
    fn port(&self) -> u16 {
        port::METRICS
    }

    fn area(&self) -> (&'static str, &'static str) {
        ("metrics", "collectors cannot ask this server")
    }

    async fn respond(&self, request: &Request<Incoming>) -> (StatusCode, String) {
        if request.uri().path() != PATH {
            return (StatusCode::NOT_FOUND, format!("only {PATH} is answered here\n"));
        }
        if *request.method() != Method::GET {
            return (StatusCode::METHOD_NOT_ALLOWED, "GET\n".to_owned());
        }
        let Some(token) = token_of(request) else {
            let text = "a token of Consul with agent:read is needed, as Authorization: Bearer\n";
            return (StatusCode::UNAUTHORIZED, text.to_owned());
        };
        let (of_consul, ready) =
            tokio::join!(self.of_consul(token), is_ready(&self.host, &self.board));
        let of_consul = match of_consul {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let facts = text::Facts {
            status: self.board.status(&self.host, 0),
            has_answered: !of_consul.is_empty(),
            is_ready: ready.is_ok(),
            room: Room::of(&self.host.paths.data_disk()).ok(),
            leaf_unix_s: self
                .board
                .leaf()
                .map(|leaf| (leaf.facts.starts_unix_s, leaf.facts.expires_unix_s)),
            are_snapshots_late: self.board.has_attention(SNAPSHOTS),
        };
        (StatusCode::OK, text::own(&facts) + &of_consul)
    }
}

fn token_of(request: &Request<Incoming>) -> Option<Secret> {
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let bearer = header(AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let token = bearer.or_else(|| header("x-consul-token")).filter(|token| !token.is_empty());
    token.map(Secret::new)
}
