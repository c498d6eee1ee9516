//! Bodies and headers on the wire, shared by all parts of the front.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;

/// Body of every answer.
pub(crate) type Body = BoxBody<Bytes, io::Error>;
/// An answer on the wire.
pub(crate) type Reply = http::Response<Body>;

/// ARM refuses larger requests.
const MAX_JSON_BYTES: usize = 8 * 1024 * 1024;

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

pub(crate) fn reply(status: u16, content_type: &str, bytes: impl Into<Bytes>) -> Reply {
    let mut reply = http::Response::new(full(bytes));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    if !content_type.is_empty() {
        set(&mut reply, "content-type", content_type);
    }
    reply
}

pub(crate) fn json(status: u16, body: &Value) -> Reply {
    reply(status, "application/json; charset=utf-8", body.to_string())
}

/// Sets a header; values that HTTP cannot carry are left out.
pub(crate) fn set(reply: &mut Reply, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) =
        (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
    {
        reply.headers_mut().insert(name, value);
    }
}

/// Headers with names in lower case; repeated ones keep the last value.
pub(crate) fn headers(map: &HeaderMap) -> BTreeMap<String, String> {
    map.iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect()
}

/// A whole body of modest size.
pub(crate) async fn collect(body: Incoming) -> Result<Bytes, io::Error> {
    Limited::new(body, MAX_JSON_BYTES)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(io::Error::other)
}
