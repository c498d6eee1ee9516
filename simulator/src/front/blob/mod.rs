//! The blob service: `/{account}/{container}/{blob}`, bearer tokens, roles per container.

pub(crate) mod containers;
pub(crate) mod errors;
pub(crate) mod lease;
pub(crate) mod list;
pub(crate) mod meta;
pub(crate) mod past;
pub(crate) mod read;
pub(crate) mod store;
pub(crate) mod write;

use std::collections::BTreeMap;

use http::Request as HttpRequest;
use hyper::body::Incoming;

use self::errors::{BAD_HEADER, BlobError, DENIED, FIREWALL, NO_CONTAINER, error};
use self::meta::Headers;
use super::state::Shared;
use super::token;
use super::wire::{self, Reply};
use crate::world::http::{Method, decode};

/// Audience of tokens for storage.
const AUDIENCE: &str = "https://storage.azure.com";

/// A request to one account, read and split.
pub(crate) struct Call<'s> {
    pub(crate) shared: &'s Shared,
    pub(crate) account: String,
    pub(crate) container: String,
    pub(crate) blob: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: Headers,
    pub(crate) principal: String,
    pub(crate) head: bool,
}

impl Call<'_> {
    pub(crate) fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Key of the container in the index.
    pub(crate) fn place(&self) -> (String, String) {
        (self.account.clone(), self.container.clone())
    }

    /// Refuses what no role on the container grants; then what has no container.
    pub(crate) fn allow(&self, what: &str) -> Result<(), BlobError> {
        let world = self.shared.world();
        if !world.allows_blob(&self.principal, &self.account, &self.container, what) {
            return Err(DENIED);
        }
        if !world.container_exists(&self.account, &self.container) {
            return Err(NO_CONTAINER);
        }
        Ok(())
    }
}

/// Answers one request; `None`: the connection must break.
pub(crate) async fn serve(shared: &Shared, req: HttpRequest<Incoming>) -> Option<Reply> {
    let head = req.method() == "HEAD";
    let headers = wire::headers(req.headers());
    let version = headers.get("x-ms-version").cloned();
    let client_id = headers.get("x-ms-client-request-id").cloned();
    let fault =
        Method::parse(req.method().as_str()).and_then(|method| shared.world().data_fault(method));
    let mut reply = match fault {
        Some((_, false, true)) => return None,
        Some((status, false, false)) => injected(status, head),
        Some((status, true, dropped)) => {
            let _ = run(shared, req, headers).await;
            if dropped {
                return None;
            }
            injected(status, head)
        }
        None => run(shared, req, headers).await.unwrap_or_else(|error| error.reply(head)),
    };
    wire::set(&mut reply, "server", "Windows-Azure-Blob/1.0");
    wire::set(&mut reply, "x-ms-version", version.as_deref().unwrap_or("2026-04-06"));
    if let Some(id) = client_id {
        wire::set(&mut reply, "x-ms-client-request-id", &id);
    }
    Some(reply)
}

fn injected(status: u16, head: bool) -> Reply {
    let code = if status == 503 { "ServerBusy" } else { "InternalError" };
    let mut reply = error(status, code, "Injected fault.").reply(head);
    if status == 429 || status == 503 {
        wire::set(&mut reply, "retry-after", "1");
    }
    reply
}

async fn run(
    shared: &Shared,
    req: HttpRequest<Incoming>,
    headers: Headers,
) -> Result<Reply, BlobError> {
    let path = decode(req.uri().path());
    let mut parts = path.trim_start_matches('/').splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (account, container, blob) = (part(), part(), part());
    if !shared.world().account_serves(&account) {
        let text = "The specified account does not exist.";
        return Err(error(404, "ResourceNotFound", text));
    }
    let query = req.uri().query().unwrap_or_default();
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut call = Call {
        shared,
        account,
        container,
        blob,
        query,
        headers,
        principal: String::new(),
        head: req.method() == "HEAD",
    };
    match authenticate(&call) {
        Ok(principal) if !shared.world().firewall_lets_in(&principal, &call.account) => {
            return Err(FIREWALL);
        }
        Ok(principal) => call.principal = principal,
        Err(error) => {
            let mut reply = error.reply(call.head);
            if error.status == 401 {
                let tenant = &shared.identity.tenant_id;
                let challenge = format!(
                    "Bearer authorization_uri={}/{tenant}/oauth2/authorize \
                     resource_id={AUDIENCE}",
                    shared.endpoint
                );
                wire::set(&mut reply, "www-authenticate", &challenge);
            }
            return Ok(reply);
        }
    }
    let method = req.method().as_str().to_owned();
    dispatch(&call, &method, req.into_body()).await
}

fn authenticate(call: &Call<'_>) -> Result<String, BlobError> {
    let header = call.header("authorization").ok_or(error(
        401,
        "NoAuthenticationInformation",
        "Server failed to authenticate the request. Please refer to the information in the \
         www-authenticate header.",
    ))?;
    if header.to_ascii_lowercase().starts_with("sharedkey") {
        return Err(error(
            403,
            "KeyBasedAuthenticationNotPermitted",
            "Key based authentication is not permitted on this storage account.",
        ));
    }
    let recent = call.header("x-ms-version").is_some_and(|v| v.len() == 10 && v >= "2017-11-09");
    if !recent {
        return Err(error(
            403,
            "AuthenticationFailed",
            "Bearer tokens need the header x-ms-version with 2017-11-09 or later.",
        ));
    }
    let claims = token::check(call.shared, Some(header)).map_err(|_| {
        error(401, "InvalidAuthenticationInfo", "Server failed to authenticate the request.")
    })?;
    let own = format!("{}/{}", call.shared.endpoint, call.account);
    if claims.audience != AUDIENCE && claims.audience != own {
        return Err(error(
            401,
            "InvalidAuthenticationInfo",
            "Authentication failed because the token has the wrong audience.",
        ));
    }
    Ok(claims.object_id)
}

async fn dispatch(call: &Call<'_>, method: &str, body: Incoming) -> Result<Reply, BlobError> {
    let comp = call.query("comp").to_owned();
    if call.container.is_empty() {
        return match (method, comp.as_str()) {
            ("GET", "list") => containers::list(call),
            ("GET" | "HEAD", "properties") => containers::account_info(call),
            _ => Err(BAD_HEADER),
        };
    }
    if call.blob.is_empty() && call.query("restype") == "container" {
        return match (method, comp.as_str()) {
            ("GET", "list") => list::blobs(call).await,
            ("GET" | "HEAD", "" | "metadata") => containers::properties(call),
            ("PUT", "") => containers::create(call),
            ("DELETE", "") => containers::delete(call),
            _ => Err(UNSUPPORTED),
        };
    }
    if call.blob.is_empty() {
        return Err(NO_CONTAINER);
    }
    match (method, comp.as_str()) {
        ("GET" | "HEAD", "") => read::get(call).await,
        ("GET" | "HEAD", "metadata") => read::properties(call).await,
        ("GET", "blocklist") => read::block_list(call).await,
        ("PUT", "") => write::put(call, body).await,
        ("PUT", "block") => write::put_block(call, body).await,
        ("PUT", "blocklist") => write::put_block_list(call, body).await,
        ("PUT", "appendblock") => write::append(call, body).await,
        ("PUT", "metadata") => write::set_metadata(call).await,
        ("PUT", "properties") => write::set_properties(call).await,
        ("PUT", "undelete") => write::undelete(call).await,
        ("PUT", "lease") => write::lease(call).await,
        ("DELETE", "") => write::delete(call).await,
        _ => Err(UNSUPPORTED),
    }
}

const UNSUPPORTED: BlobError =
    error(400, "InvalidQueryParameterValue", "This emulator does not know this operation.");
