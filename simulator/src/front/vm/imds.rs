//! The metadata service of one machine: its identity tokens, its instance data, its `systemctl`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use http::Request as HttpRequest;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::{Running, systemctl};
use crate::front::state::Shared;
use crate::front::wire::{self, Reply};
use crate::front::{now_ms, token};
use crate::world::events::Machine;
use crate::world::ids;

/// Seconds that a managed identity's token lives.
const LIFETIME_S: u64 = 86_399;

/// Who asks.
#[derive(Clone)]
pub(crate) struct Asker {
    /// What it is told is its address.
    pub(crate) address: IpAddr,
    pub(crate) machine: Machine,
    /// Its services, where the emulator runs them.
    pub(crate) services: Option<Arc<Running>>,
}

/// Serves one machine until its power goes.
pub(crate) async fn serve(shared: Arc<Shared>, vm: Arc<Running>, listener: TcpListener) {
    let asker =
        Asker { address: vm.own_address.into(), machine: vm.machine.clone(), services: Some(vm) };
    // Connections end with this set, and this set ends with the task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(Arc::clone(&shared), asker.clone(), stream));
    }
}

/// Answers what comes on one connection.
pub(crate) async fn connection(shared: Arc<Shared>, asker: Asker, stream: TcpStream) {
    let service = service_fn(move |req| {
        let (shared, asker) = (Arc::clone(&shared), asker.clone());
        async move { Ok::<_, Infallible>(answer(&shared, &asker, req).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "metadata connection ended");
    }
}

fn refuse(text: &str) -> Reply {
    let body = json!({"error": "invalid_request", "error_description": text});
    wire::json(400, &body)
}

async fn answer(shared: &Shared, asker: &Asker, req: HttpRequest<Incoming>) -> Reply {
    let path = req.uri().path().to_ascii_lowercase();
    if let Some(vm) = &asker.services
        && path == "/emulator/systemctl"
        && req.method() == "POST"
    {
        let body = wire::collect(req.into_body()).await.unwrap_or_default();
        let words: Vec<String> = serde_json::from_slice(&body).unwrap_or_default();
        return wire::json(200, &systemctl::run(vm, &words).await);
    }
    let headers = wire::headers(req.headers());
    let is_meant = headers.get("metadata").is_some_and(|m| m.eq_ignore_ascii_case("true"));
    if !is_meant || headers.contains_key("x-forwarded-for") {
        return refuse("Required metadata header not specified");
    }
    let query = req.uri().query().unwrap_or_default();
    let query: std::collections::BTreeMap<String, String> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let get = |name: &str| query.get(name).map_or("", String::as_str);
    if get("api-version").is_empty() {
        return refuse("The api-version query parameter is missing.");
    }
    match path.trim_end_matches('/') {
        "/metadata/identity/oauth2/token" => {
            let named = ["msi_res_id", "mi_res_id", "client_id", "object_id"]
                .iter()
                .find_map(|name| query.get(*name).map(|value| (*name, value.as_str())));
            identity_token(shared, asker, get("resource"), named)
        }
        "/metadata/instance" => wire::json(200, &instance(shared, asker)),
        "/metadata/instance/compute" => wire::json(200, &instance(shared, asker)["compute"]),
        _ => wire::json(404, &json!({"error": "Not found"})),
    }
}

fn identity_token(
    shared: &Shared,
    asker: &Asker,
    resource: &str,
    named: Option<(&str, &str)>,
) -> Reply {
    if resource.is_empty() {
        return refuse("Required query variable 'resource' is missing");
    }
    // Identities can change while a machine runs: ask the world, not the boot.
    let world = shared.world();
    let attached = world.machine(&asker.machine.id).map(|m| m.identities).unwrap_or_default();
    let principals: Vec<_> =
        attached.iter().filter_map(|id| world.principal_of_identity(id)).collect();
    let found = match named {
        Some(("client_id", id)) => principals.iter().find(|p| p.client_id.eq_ignore_ascii_case(id)),
        Some(("object_id", id)) => principals.iter().find(|p| p.object_id.eq_ignore_ascii_case(id)),
        Some((_, id)) => principals.iter().find(|p| ids::key(&p.identity_id) == ids::key(id)),
        None if principals.len() > 1 => {
            return refuse(
                "Multiple user assigned identities exist, please specify the clientId / \
                 resourceId of the identity in the token request",
            );
        }
        None => principals.first(),
    };
    let Some(principal) = found.map(|p| (*p).clone()) else { return refuse("Identity not found") };
    drop(principals);
    drop(world);
    let audience = resource.trim_end_matches('/');
    let token =
        token::issue(shared, &principal.object_id, &principal.client_id, audience, LIFETIME_S);
    let now_s = now_ms() / 1000;
    let body = json!({
        "access_token": token,
        "client_id": principal.client_id,
        "expires_in": LIFETIME_S.to_string(),
        "expires_on": (now_s + LIFETIME_S).to_string(),
        "ext_expires_in": LIFETIME_S.to_string(),
        "not_before": now_s.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    wire::json(200, &body)
}

fn instance(shared: &Shared, asker: &Asker) -> Value {
    let machine = &asker.machine;
    json!({
        "compute": {
            "azEnvironment": "AzurePublicCloud",
            "location": machine.location,
            "name": format!("{}_{}", machine.scale_set, machine.instance_id),
            "osProfile": { "computerName": machine.computer_name },
            "osType": "Linux",
            "resourceGroupName": machine.group,
            "resourceId": machine.id,
            "subscriptionId": shared.identity.subscription_id,
            "vmScaleSetName": machine.scale_set,
            "vmSize": machine.size,
            "zone": machine.zone.clone().unwrap_or_default(),
        },
        "network": {"interface": [{
            "ipv4": {
                "ipAddress": [{"privateIpAddress": asker.address, "publicIpAddress": ""}],
                "subnet": [{"address": "127.0.0.0", "prefix": "8"}],
            },
            "ipv6": {"ipAddress": []},
            "macAddress": "000D3A000001",
        }]},
    })
}
