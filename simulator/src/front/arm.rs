//! Resource Manager over HTTP: tokens in, the world's answers out.

use http::Request as HttpRequest;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::now_ms;
use super::state::Shared;
use super::token;
use super::wire::{self, Reply};
use crate::world::http::{Method, Request, split_target};

const AUDIENCES: &[&str] = &["https://management.azure.com", "https://management.core.windows.net"];

fn unauthorized(shared: &Shared, code: &str, text: &str) -> Reply {
    let body = json!({"error": {"code": code, "message": text}});
    let mut reply = wire::json(401, &body);
    let tenant = &shared.identity.tenant_id;
    let challenge = format!(
        "Bearer authorization_uri=\"{}/{tenant}\", error=\"invalid_token\", \
         error_description=\"{text}\"",
        shared.endpoint
    );
    wire::set(&mut reply, "www-authenticate", &challenge);
    wire::set(&mut reply, "x-ms-failure-cause", "gateway");
    reply
}

/// Answers one request; `None`: the connection must break.
pub(crate) async fn serve(shared: &Shared, req: HttpRequest<Incoming>) -> Option<Reply> {
    let headers = wire::headers(req.headers());
    let claims = match token::check(shared, headers.get("authorization").map(String::as_str)) {
        Ok(claims) => claims,
        Err(text) => {
            let code = if headers.contains_key("authorization") {
                "InvalidAuthenticationToken"
            } else {
                "AuthenticationFailed"
            };
            return Some(unauthorized(shared, code, text));
        }
    };
    let own = shared.endpoint.as_str();
    if !AUDIENCES.contains(&claims.audience.as_str()) && claims.audience != own {
        let text =
            format!("The access token has been obtained for wrong audience '{}'.", claims.audience);
        return Some(unauthorized(shared, "InvalidAuthenticationTokenAudience", &text));
    }
    let Some(method) = Method::parse(req.method().as_str()) else {
        return Some(wire::json(
            405,
            &json!({"error": {"code": "HttpMethodNotSupported", "message": "Unknown method."}}),
        ));
    };
    let target = req.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let Ok(bytes) = wire::collect(req.into_body()).await else {
        return Some(wire::json(
            413,
            &json!({"error": {"code": "RequestEntityTooLarge", "message": "The request is too large or broke off."}}),
        ));
    };
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(error) => {
                let text = format!(
                    "The request content was invalid and could not be deserialized: '{error}'."
                );
                let body = json!({"error": {"code": "InvalidRequestContent", "message": text}});
                return Some(wire::json(400, &body));
            }
        }
    };
    let (path, query) = split_target(&target);
    let principal = claims.object_id;
    let request = Request { method, path, query, headers, body, principal };
    let response = shared.world().handle(&request, now_ms());
    if !matches!(method, Method::Get | Method::Head) {
        shared.keep();
    }
    if response.dropped {
        return None;
    }
    let mut reply = if response.body.is_null() {
        wire::reply(response.status, "", "")
    } else {
        wire::json(response.status, &response.body)
    };
    for (name, value) in &response.headers {
        wire::set(&mut reply, name, value);
    }
    Some(reply)
}
