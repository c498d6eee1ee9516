//! Spec and observed world as Terraform sees them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_engine::clock::{Clock as _, SystemClock};
use hcs_engine::roles::principal_of;
use hcs_engine::status::authority_expires_at;
use hcs_planner::arm::ArmId;
use hcs_planner::client_config::client_config;
use hcs_planner::dataplane::container;
use hcs_planner::desired::{Desired, DesiredObject, PRIVATE_ENDPOINT_ADDRESS, place_in};
use hcs_planner::diff::Difference;
use hcs_planner::fingerprint;
use hcs_planner::names::Names;
use hcs_planner::observed::{Observed, unhealthy_reason};
use hcs_planner::placement::{Survival, survival, zone_of};
use hcs_planner::plan::{Voter, survey};
use hcs_planner::reach::required_outbound;
use hcs_planner::roles::required;
use hcs_planner::spec::{ClusterSpec, ImageReference};
use tfplugin::typed::Model as _;
use tfplugin::{Attr, Value};

use super::drift::drift;
use super::model::{AzureResource, Cluster, Destination, Quorum, RoleAssignment, Server};
use super::phase;
use hcs_engine::regions::Region;

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
    let resource = AzureResource {
        r#type: object.kind.resource_type().into(),
        name: object.id.name().into(),
        fingerprint: fingerprint.into(),
    };
    resource.into_value()
}

/// `quorum` of servers that are where they belong: depends on the spec alone.
pub(super) fn quorum(spec: &ClusterSpec) -> Value {
    let survival = survival(spec.server_count, &spec.zones);
    let losses = Value::from(survival.zone_losses.clone());
    quorum_with(&survival, losses)
}

/// `quorum` whose zones are told by `zone_losses`.
pub(super) fn quorum_with(survival: &Survival, zone_losses: Value) -> Value {
    let known = Quorum {
        size: survival.size.into(),
        server_losses: survival.server_losses.into(),
        zone_losses: Attr::Unknown,
    };
    known.into_value().with(Quorum::ZONE_LOSSES, zone_losses)
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
        (Cluster::VNET_NAME, Value::from(names.vnet().name())),
        (
            Cluster::VNET_RESOURCE_GROUP_NAME,
            Value::from(names.vnet().segment("resourceGroups").unwrap_or_default()),
        ),
        (Cluster::STORAGE_ACCOUNT_NAME, Value::from(names.storage_account().name())),
        (Cluster::BLOB_CONTAINER_NAME, Value::from(container::SNAPSHOTS)),
        (Cluster::RETRY_JOIN, Value::from(vec![names.join_name()])),
        (
            Cluster::CONSUL_PRIVATE_ENDPOINT_URL,
            Value::from(format!("https://{}:8501", names.join_name())),
        ),
        (
            Cluster::CONSUL_CONFIG_FILE,
            Value::from(STANDARD.encode(format!("{:#}", client_config(spec)))),
        ),
        (Cluster::TAGS_ALL, spec.tags.clone().into()),
        (Cluster::REQUIRED_OUTBOUND, destinations(spec)),
    ]
}

/// `required_role_assignments`, with the principals of the identities that were read, and `unseen` for the others.
pub(super) fn role_assignments(
    spec: &ClusterSpec,
    observed: &Observed,
    unseen: &Attr<String>,
) -> Value {
    let all = required(spec).into_iter().map(|role| {
        let principal = principal_of(observed, &role.identity).map(str::to_owned);
        let model = RoleAssignment {
            scope: role.scope.to_string().into(),
            role_definition_name: role.role_name().into(),
            principal_id: principal.map_or_else(|| unseen.clone(), Into::into),
            condition: role.condition().into(),
            condition_version: "2.0".into(),
        };
        model.into_value()
    });
    Value::list(all)
}

fn destinations(spec: &ClusterSpec) -> Value {
    let all = required_outbound(spec).into_iter().map(|destination| {
        let model = Destination {
            name: destination.name.into(),
            port: u32::from(destination.port).into(),
            purpose: destination.purpose.into(),
        };
        model.into_value()
    });
    Value::list(all)
}

/// `incarnation_id` as an import finds it; a read keeps what the state has.
pub(crate) fn incarnation(spec: &ClusterSpec, observed: &Observed) -> (&'static str, Value) {
    let id = observed.incarnation_id(&Names::new(spec).cluster_id);
    (Cluster::INCARNATION_ID, Value::from(id.map(str::to_owned)))
}

/// The data centre behind a zone.
pub(super) fn physical_zone(zone: Option<&str>, region: Option<&Region>) -> Option<String> {
    region?.physical_zone(zone?).map(str::to_owned)
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
        (Cluster::ID, Value::from(names.cluster_id.as_str())),
        (Cluster::STATE, Value::from(state_word(&names, &desired, observed))),
        (Cluster::SERVERS, Value::list(servers)),
        (Cluster::QUORUM, observed_quorum(spec, &names, observed)),
        (Cluster::AZURE_RESOURCES, observed_resources(&desired, &survey)),
        (Cluster::DRIFT, Value::from(drift(&names, &desired, &survey, observed))),
        (Cluster::VNET_ID, Value::from(names.vnet().as_str())),
        (Cluster::SERVER_SUBNET_ID, Value::from(names.subnet().as_str())),
        (
            Cluster::NETWORK_SECURITY_GROUP_ID,
            Value::from(spec.subnet_id.is_none().then(|| names.security_group().to_string())),
        ),
        (Cluster::LOAD_BALANCER_ID, Value::from(names.load_balancer().as_str())),
        (Cluster::STORAGE_ACCOUNT_ID, Value::from(names.storage_account().as_str())),
        (Cluster::REQUIRED_ROLE_ASSIGNMENTS, role_assignments(spec, observed, &Attr::Null)),
        (
            Cluster::STORAGE_PRIVATE_ENDPOINT_IP_ADDRESS,
            Value::from(storage_address(&names, observed)),
        ),
        (Cluster::OUTBOUND_PUBLIC_IP_ADDRESS, Value::from(outbound_address(&names, observed))),
        (Cluster::CONSUL_CA_FILE, Value::from(ca_certificate.map(|pem| STANDARD.encode(pem)))),
        (Cluster::CONSUL_EXTERNAL_ENDPOINT_URL, Value::from(endpoint_url(&names, observed))),
        (Cluster::CERTIFICATES_EXPIRE_AT, Value::from(first_expiry(observed))),
        (
            Cluster::CA_CERTIFICATE_EXPIRES_AT,
            Value::from(ca_certificate.and_then(authority_expires_at)),
        ),
        (
            Cluster::CONSUL_PRIVATE_ENDPOINT_IP_ADDRESS,
            Value::from(balancer_address(&names, observed)),
        ),
        (Cluster::IMAGE_VERSION, Value::from(oldest_image(&names, &desired, observed))),
        (Cluster::NEXT_IMAGE_VERSION, Value::Null),
        (
            Cluster::NEXT_MAINTENANCE_AT,
            Value::from(spec.maintenance.next_at(SystemClock.now_unix_ms())),
        ),
    ]);
    attributes
}

/// The address of the internal balancer.
fn balancer_address(names: &Names, observed: &Observed) -> Option<String> {
    let balancer = observed.object(&names.load_balancer())?;
    balancer.pointer(PRIVATE_ENDPOINT_ADDRESS)?.as_str().map(str::to_owned)
}

/// From where the servers come to the outside, by a NAT gateway of the cluster's own.
fn outbound_address(names: &Names, observed: &Observed) -> Option<String> {
    let address = observed.object(&names.nat_ip())?.pointer("/properties/ipAddress")?;
    address.as_str().map(str::to_owned)
}

/// The address of the account's private endpoint: its zone group tells it, or itself where it has none.
fn storage_address(names: &Names, observed: &Observed) -> Option<String> {
    let told = "/properties/privateDnsZoneConfigs/0/properties/recordSets/0/ipAddresses/0";
    let own = "/properties/customDnsConfigs/0/ipAddresses/0";
    let of = |id: ArmId, pointer: &str| observed.object(&id)?.pointer(pointer)?.as_str();
    // Whoever made the group, and whatever it is called.
    let below = format!("{}/privatednszonegroups/", names.private_endpoint().key());
    let mut groups = observed.objects.iter().filter(|(key, _)| key.starts_with(&below));
    let told = groups.find_map(|(_, group)| group.pointer(told)?.as_str());
    told.or_else(|| of(names.private_endpoint(), own)).map(str::to_owned)
}

/// The oldest image that a server was made with; a gallery's ends in its version.
fn oldest_image(names: &Names, desired: &Desired, observed: &Observed) -> Option<String> {
    let image = "/properties/virtualMachineProfile/storageProfile/imageReference";
    let of = |slot: &u32| {
        let image = observed.object(&names.scale_set(*slot))?.pointer(image)?;
        let text = |pointer: &str| image.pointer(pointer)?.as_str();
        text("/version").or_else(|| text("/id")?.rsplit('/').next())
    };
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
    let physical_zone = physical_zone(zone.as_deref(), region);
    let version = observed
        .servers
        .get(&slot)
        .and_then(|server| server.status.consul.as_ref())
        .map(|consul| consul.version.clone());
    let status = observed.servers.get(&slot).map(|server| &server.status);
    let host_manager = status.map(|status| status.host_manager_version.clone());
    let server = Server {
        name: names.server(slot).into(),
        slot: slot.into(),
        zone: zone.into(),
        physical_zone: physical_zone.into(),
        vmss_id: names.scale_set(slot).as_str().into(),
        private_ip: observed.addresses.get(&slot).cloned().into(),
        consul_version: version.into(),
        host_manager_version: host_manager.into(),
    };
    server.into_value()
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
    match unhealthy_reason(&voters, observed.adoption.as_deref(), observed.fresh()) {
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
