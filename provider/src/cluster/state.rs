//! Spec and observed world as Terraform sees them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_planner::arm::ArmId;
use hcs_planner::client_config::client_config;
use hcs_planner::dataplane::container;
use hcs_planner::desired::{Desired, DesiredObject, place_in};
use hcs_planner::diff::Difference;
use hcs_planner::fingerprint;
use hcs_planner::names::Names;
use hcs_planner::observed::{Observed, unhealthy_reason};
use hcs_planner::placement::{Survival, survival, zone_of};
use hcs_planner::plan::{Voter, survey};
use hcs_planner::spec::{ClusterSpec, ImageReference};
use tfplugin::Value;

use super::drift::drift;
use super::phase;
use crate::regions::Region;

/// Input attributes as an import restores them. What is empty is empty, never null: a configuration that leaves it out
/// and one that writes it empty both plan nothing then.
pub(crate) fn inputs(spec: &ClusterSpec, default_tags: &Value) -> Vec<(&'static str, Value)> {
    let artifact_source = spec.artifact_source.as_ref().map(|source| {
        Value::object([
            ("location", Value::from(&source.location)),
            ("sha256", Value::from(source.sha256.clone())),
        ])
    });
    let own_tags: BTreeMap<String, String> = spec
        .tags
        .iter()
        .filter(|(key, value)| default_tags.get(key).as_str() != Some(value.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let callers = spec.external_endpoint.iter().flat_map(|endpoint| &endpoint.allowed_cidrs);
    let callers: Vec<String> = callers.map(ToString::to_string).collect();
    let admins: Vec<String> = spec.ssh_allowed_cidrs.iter().map(ToString::to_string).collect();
    let peers: Vec<String> = spec.peer_vnet_ids.iter().map(|id| id.as_str().to_owned()).collect();
    vec![
        ("name", Value::from(&spec.name)),
        ("resource_group_name", Value::from(&spec.resource_group_name)),
        ("location", Value::from(&spec.location)),
        ("managed_resource_group_name", Value::from(&spec.managed_resource_group_name)),
        ("consul_datacenter", Value::from(&spec.consul_datacenter)),
        ("server_count", Value::from(i64::from(spec.server_count))),
        ("zones", Value::from(spec.zones.clone())),
        ("zone_fallback", Value::from(spec.zone_fallback.as_str())),
        ("vm_size", Value::from(&spec.vm_size)),
        ("vm_size_fallbacks", Value::from(spec.vm_size_fallbacks.clone())),
        ("image", image_value(&spec.image)),
        ("os_disk_gib", Value::from(i64::from(spec.os_disk_gib))),
        ("data_disk_gib", Value::from(i64::from(spec.data_disk_gib))),
        ("ssh_public_key", Value::from(spec.ssh_public_key.clone())),
        ("ssh_allowed_cidrs", Value::from(admins)),
        ("artifact_source", artifact_source.unwrap_or(Value::Null)),
        ("vnet_cidr", Value::from(spec.vnet_cidr.map(|cidr| cidr.to_string()))),
        ("subnet_id", Value::from(id_text(spec.subnet_id.as_ref()))),
        ("peer_vnet_ids", Value::from(peers)),
        ("private_dns_zone_id", Value::from(id_text(spec.private_dns_zone_id.as_ref()))),
        ("consul_external_endpoint", Value::from(spec.external_endpoint.is_some())),
        ("allowed_cidrs", Value::from(callers)),
        ("consul_version", Value::from(spec.consul_version.to_string())),
        ("lock", Value::from(spec.lock.as_str())),
        ("deletion_protection", Value::from(spec.deletion_protection)),
        ("force_destroy", Value::from(spec.force_destroy)),
        ("tags", own_tags.into()),
    ]
}

fn id_text(id: Option<&ArmId>) -> Option<String> {
    id.map(|id| id.as_str().to_owned())
}

/// An image as an attribute.
pub(super) fn image_value(image: &ImageReference) -> Value {
    Value::object([
        ("publisher", Value::from(&image.publisher)),
        ("offer", Value::from(&image.offer)),
        ("sku", Value::from(&image.sku)),
        ("version", Value::from(&image.version)),
    ])
}

/// The `timeouts` block as an import restores it.
pub(crate) fn timeouts(spec: &ClusterSpec) -> Value {
    let Some(timeouts) = &spec.timeouts else { return Value::Null };
    let text = |name: &str| Value::from(timeouts.get(name).cloned());
    Value::object(["create", "update", "delete"].map(|name| (name, text(name))))
}

/// `azure_resources` as it will be.
pub(super) fn desired_resources(desired: &Desired) -> Value {
    Value::map(
        desired
            .objects
            .values()
            .map(|object| (object.name.clone(), resource(object, fingerprint::desired(object)))),
    )
}

fn resource(object: &DesiredObject, fingerprint: String) -> Value {
    Value::object([
        ("type", Value::from(object.kind.resource_type())),
        ("name", Value::from(object.id.name())),
        ("fingerprint", Value::from(fingerprint)),
    ])
}

/// `quorum` of servers that are where they belong: depends on the spec alone.
pub(super) fn quorum(spec: &ClusterSpec) -> Value {
    let survival = survival(spec.server_count, &spec.zones);
    let losses = Value::from(survival.zone_losses.clone());
    quorum_with(&survival, losses)
}

/// `quorum` whose zones are told by `zone_losses`.
pub(super) fn quorum_with(survival: &Survival, zone_losses: Value) -> Value {
    Value::object([
        ("size", Value::from(i64::from(survival.size))),
        ("server_losses", Value::from(i64::from(survival.server_losses))),
        ("zone_losses", zone_losses),
    ])
}

/// `quorum` of the servers where they are.
fn observed_quorum(spec: &ClusterSpec, names: &Names, observed: &Observed) -> Value {
    let survival = survival(spec.server_count, &spec.zones);
    let zone = |slot| observed_zone(spec, names, observed, slot);
    let zones: Vec<Option<String>> = (0..spec.server_count).map(zone).collect();
    let survives = |zone: &&String| {
        let left = zones.iter().filter(|own| own.as_ref() != Some(*zone)).count();
        u32::try_from(left).is_ok_and(|left| left >= survival.size)
    };
    let losses: Vec<String> = spec.zones.iter().filter(survives).cloned().collect();
    quorum_with(&survival, losses.into())
}

/// The zone in which a server is, or belongs while it is not there.
fn observed_zone(
    spec: &ClusterSpec,
    names: &Names,
    observed: &Observed,
    slot: u32,
) -> Option<String> {
    match observed.object(&names.scale_set(slot)) {
        Some(body) => place_in(body).zone,
        None => zone_of(slot, &spec.zones).map(str::to_owned),
    }
}

/// Attributes that follow from the spec, known in every plan; with `id` only where the cluster exists.
pub(super) fn derived(spec: &ClusterSpec) -> Vec<(&'static str, Value)> {
    let names = Names::new(spec);
    vec![
        ("vnet_name", Value::from(names.vnet().name())),
        (
            "vnet_resource_group_name",
            Value::from(names.vnet().segment("resourceGroups").unwrap_or_default()),
        ),
        ("storage_account_name", Value::from(names.storage_account().name())),
        ("blob_container_name", Value::from(container::SNAPSHOTS)),
        ("retry_join", Value::from(vec![names.join_name()])),
        ("consul_private_endpoint_url", Value::from(format!("https://{}:8501", names.join_name()))),
        ("consul_config_file", Value::from(STANDARD.encode(format!("{:#}", client_config(spec))))),
        ("tags_all", spec.tags.clone().into()),
    ]
}

/// `incarnation_id` as an import finds it; a read keeps what the state has.
pub(crate) fn incarnation(spec: &ClusterSpec, observed: &Observed) -> (&'static str, Value) {
    let id = observed.incarnation_id(&Names::new(spec).cluster_id);
    ("incarnation_id", Value::from(id.map(str::to_owned)))
}

/// A zone and the data centre behind it.
pub(super) fn zone_values(zone: Option<&str>, region: Option<&Region>) -> [Value; 2] {
    let physical = zone.and_then(|zone| region.and_then(|region| region.physical_zone(zone)));
    [Value::from(zone.map(str::to_owned)), Value::from(physical.map(str::to_owned))]
}

/// Every computed attribute of a cluster that exists, as observed.
pub(crate) fn computed(
    spec: &ClusterSpec,
    observed: &Observed,
    region: Option<&Region>,
    ca_certificate: Option<&str>,
) -> Vec<(&'static str, Value)> {
    let names = Names::new(spec);
    let desired = Desired::for_world(spec, observed);
    let survey = survey(spec, observed);
    let mut attributes = derived(spec);
    let servers: Vec<Value> =
        desired.slots.iter().map(|slot| server(spec, &names, observed, region, *slot)).collect();
    attributes.extend([
        ("id", Value::from(names.cluster_id.as_str())),
        ("state", Value::from(state_word(&names, &desired, observed))),
        ("servers", Value::list(servers)),
        ("quorum", observed_quorum(spec, &names, observed)),
        ("azure_resources", observed_resources(&desired, &survey)),
        ("drift", Value::from(drift(&names, &desired, &survey, observed))),
        ("vnet_id", Value::from(names.vnet().as_str())),
        ("consul_ca_file", Value::from(ca_certificate.map(|pem| STANDARD.encode(pem)))),
        ("consul_external_endpoint_url", Value::from(endpoint_url(&names, observed))),
        ("certificates_expire_at", Value::from(first_expiry(observed))),
        ("consul_private_endpoint_ip_address", Value::from(balancer_address(&names, observed))),
        ("image_version", Value::from(oldest_image(&names, &desired, observed))),
    ]);
    attributes
}

/// The address of the internal balancer.
fn balancer_address(names: &Names, observed: &Observed) -> Option<String> {
    let balancer = observed.object(&names.load_balancer())?;
    let address = "/properties/frontendIPConfigurations/0/properties/privateIPAddress";
    balancer.pointer(address)?.as_str().map(str::to_owned)
}

/// The oldest image that a server was made with.
fn oldest_image(names: &Names, desired: &Desired, observed: &Observed) -> Option<String> {
    let version = "/properties/virtualMachineProfile/storageProfile/imageReference/version";
    let of = |slot: &u32| observed.object(&names.scale_set(*slot))?.pointer(version)?.as_str();
    let versions = desired.slots.iter().filter_map(of);
    versions.min_by_key(|version| ImageReference::version_order(version)).map(str::to_owned)
}

fn server(
    spec: &ClusterSpec,
    names: &Names,
    observed: &Observed,
    region: Option<&Region>,
    slot: u32,
) -> Value {
    let zone = observed_zone(spec, names, observed, slot);
    let [zone, physical_zone] = zone_values(zone.as_deref(), region);
    let version = observed
        .servers
        .get(&slot)
        .and_then(|server| server.status.consul.as_ref())
        .map(|consul| consul.version.clone());
    Value::object([
        ("name", Value::from(names.server(slot))),
        ("slot", Value::from(i64::from(slot))),
        ("zone", zone),
        ("physical_zone", physical_zone),
        ("vmss_id", Value::from(names.scale_set(slot).as_str())),
        ("private_ip", Value::from(observed.addresses.get(&slot).cloned())),
        ("consul_version", Value::from(version)),
    ])
}

fn state_word(names: &Names, desired: &Desired, observed: &Observed) -> &'static str {
    if !observed.is_ready() {
        return phase::CONVERGING;
    }
    let voter = |slot: &u32| Voter { slot: *slot, node_name: names.server(*slot) };
    let voters: Vec<Voter> = desired.slots.iter().map(voter).collect();
    let wants_attention = observed
        .fresh()
        .any(|status| desired.slots.contains(&status.slot) && !status.attention.is_empty());
    match unhealthy_reason(&voters, observed.fresh()) {
        None if !wants_attention => phase::RUNNING,
        _ => phase::DEGRADED,
    }
}

fn observed_resources(
    desired: &Desired,
    survey: &BTreeMap<String, Option<Vec<Difference>>>,
) -> Value {
    Value::map(desired.objects.values().filter_map(|object| {
        let differences = survey.get(&object.name)?.as_ref()?;
        let fingerprint = fingerprint::observed(object, differences);
        Some((object.name.clone(), resource(object, fingerprint)))
    }))
}

fn endpoint_url(names: &Names, observed: &Observed) -> Option<String> {
    let name = observed.object(&names.endpoint_ip())?.pointer("/properties/dnsSettings/fqdn")?;
    Some(format!("https://{}:8501", name.as_str()?))
}

fn first_expiry(observed: &Observed) -> Option<String> {
    let expiries = observed.servers.values();
    expiries.filter_map(|server| server.status.certificate_expires_at.clone()).min()
}
