//! The subscription, its tenant, its locations and its resource providers.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::http::{Method, Request, Response};
use crate::world::ids::ArmPath;
use crate::world::kind::KINDS;
use crate::world::regions::{self, REGIONS};

/// Azure's time to register a provider.
const REGISTER_MS: u64 = 60_000;

fn subscription(world: &World, id: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{id}"),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": id,
        "tenantId": world.settings.tenant_id,
        "displayName": "Emulated subscription",
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

fn locations(subscription: &str) -> Vec<Value> {
    REGIONS
        .iter()
        .map(|region| {
            let mut row = json!({
                "id": format!("/subscriptions/{subscription}/locations/{}", region.name),
                "name": region.name,
                "type": "Region",
                "displayName": region.display,
                "regionalDisplayName": region.display,
                "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
            });
            if region.zones > 0 {
                row["availabilityZoneMappings"] = (1..=region.zones)
                    .map(|zone| {
                        json!({
                            "logicalZone": zone.to_string(),
                            "physicalZone": regions::physical_zone(subscription, region, zone),
                        })
                    })
                    .collect();
            }
            row
        })
        .collect()
}

/// Paths without `/providers/`.
pub(crate) fn route(world: &mut World, req: &Request, path: &ArmPath) -> Answer {
    let rest: Vec<String> = path.rest.iter().map(|w| w.to_ascii_lowercase()).collect();
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    let in_subscription = !path.subscription.is_empty();
    match (req.method, in_subscription, words.as_slice()) {
        (Method::Get, true, []) if path.lists_providers => {
            Ok(world.page(req, providers(world, &path.subscription)))
        }
        (Method::Get, true, []) => Ok(Response::json(200, subscription(world, &path.subscription))),
        (Method::Get, true, ["locations"]) => {
            Ok(Response::json(200, json!({"value": locations(&path.subscription)})))
        }
        (Method::Get, false, ["subscriptions"]) => {
            let rows: Vec<Value> = world
                .settings
                .subscriptions()
                .filter(|id| {
                    let scope = format!("/subscriptions/{id}");
                    world.allows(&req.principal, "Microsoft.Resources/subscriptions/read", &scope)
                })
                .map(|id| subscription(world, id))
                .collect();
            let count = json!({"type": "Total", "value": rows.len()});
            Ok(Response::json(200, json!({"value": rows, "count": count})))
        }
        (Method::Get, false, ["tenants"]) => {
            let tenant = &world.settings().tenant_id;
            let row = json!({"id": format!("/tenants/{tenant}"), "tenantId": tenant});
            Ok(Response::json(200, json!({"value": [row]})))
        }
        _ => Err(ArmError::gateway(
            404,
            "InvalidResource",
            format!("The path '{}' names nothing that ARM knows.", req.path),
        )),
    }
}

fn namespaces() -> Vec<&'static str> {
    let mut found: Vec<&str> = Vec::new();
    for kind in KINDS {
        let namespace = kind.rtype.split('/').next().unwrap_or_default();
        if !found.contains(&namespace) {
            found.push(namespace);
        }
    }
    found
}

fn provider(world: &World, subscription: &str, namespace: &str) -> Value {
    let since = world.registrations.get(&namespace.to_ascii_lowercase());
    let state = match since {
        None => "NotRegistered",
        Some(at) if *at > world.now_ms => "Registering",
        Some(_) => "Registered",
    };
    let all: Vec<&str> = REGIONS.iter().map(|r| r.display).collect();
    let mappings: Vec<Value> = REGIONS
        .iter()
        .filter(|r| r.zones > 0)
        .map(|r| {
            let zones: Vec<String> = (1..=r.zones).map(|z| z.to_string()).collect();
            json!({"location": r.display, "zones": zones})
        })
        .collect();
    let types: Vec<Value> = KINDS
        .iter()
        .filter_map(|k| k.rtype.strip_prefix(namespace)?.strip_prefix('/').map(|t| (k, t)))
        .map(|(kind, rtype)| {
            json!({
                "resourceType": rtype,
                "locations": if kind.tracked { json!(all) } else { json!([]) },
                "apiVersions": kind.versions,
                "zoneMappings": mappings,
                "capabilities": if kind.tracked { "SupportsTags, SupportsLocation" } else { "None" },
            })
        })
        .collect();
    json!({
        "id": format!("/subscriptions/{subscription}/providers/{namespace}"),
        "namespace": namespace,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": state,
        "resourceTypes": types,
    })
}

fn providers(world: &World, subscription: &str) -> Vec<Value> {
    namespaces().into_iter().map(|n| provider(world, subscription, n)).collect()
}

/// `…/providers`, `…/providers/{namespace}` and its registration.
pub(crate) fn route_providers(
    world: &mut World,
    req: &Request,
    path: &ArmPath,
    _version: &str,
) -> Option<Answer> {
    let namespace = namespaces().into_iter().find(|n| n.eq_ignore_ascii_case(&path.namespace))?;
    let action = path.types.first().map(|w| w.to_ascii_lowercase());
    match (req.method, action.as_deref()) {
        (Method::Get, None) => {
            Some(Ok(Response::json(200, provider(world, &path.subscription, namespace))))
        }
        (Method::Post, Some("register")) => {
            let at = world.now_ms + world.scaled(REGISTER_MS);
            world.registrations.entry(namespace.to_ascii_lowercase()).or_insert(at);
            Some(Ok(Response::json(200, provider(world, &path.subscription, namespace))))
        }
        (Method::Post, Some("unregister")) => {
            world.registrations.remove(&namespace.to_ascii_lowercase());
            Some(Ok(Response::json(200, provider(world, &path.subscription, namespace))))
        }
        _ => None,
    }
}
