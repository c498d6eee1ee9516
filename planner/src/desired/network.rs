//! Network: security group, NAT, virtual network, load balancer, private DNS, peerings.

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{Builder, named, object};
use crate::arm::{ArmId, Kind};
use crate::dataplane::{READY_PATH, port};
use crate::diff::{absent, gone};
use crate::names::{CLUSTER_RECORD, OWNER_METADATA, SERVER_METADATA, SUBNET};
use crate::reach::OutboundType;
use crate::reference::output;

/// Where the internal balancer tells its address.
pub const PRIVATE_ENDPOINT_ADDRESS: &str =
    "/properties/frontendIPConfigurations/0/properties/privateIPAddress";

/// Consul's ports that clients in this and in peered networks need, whatever the version; HTTPS replaces HTTP. DNS is
/// served by the clients' own agents.
const RULES: [(&str, u32, &str, u16); 3] = [
    ("consul-rpc", 100, "Tcp", port::RPC),
    ("consul-gossip", 110, "*", port::GOSSIP),
    ("consul-https", 120, "Tcp", port::HTTPS),
];

/// For data planes; there when the version serves it.
const GRPC_RULE: &str = "consul-grpc-tls";

/// Lets the external endpoint's callers in; there while there is an endpoint.
const ENDPOINT_RULE: &str = "consul-https-external";

/// Lets people in who look after a machine; there while the spec names where they come from.
const SSH_RULE: &str = "ssh";

pub(super) fn build(builder: &mut Builder<'_>) {
    if builder.has_network() {
        security_group(builder);
        if builder.spec.outbound_type == OutboundType::NatGateway {
            nat(builder);
        }
        vnet(builder);
    }
    load_balancer(builder);
    dns(builder);
    peerings(builder);
    if builder.spec.external_endpoint.is_some() {
        endpoint_ip(builder);
    }
}

fn security_group(builder: &mut Builder<'_>) {
    let mut rules: Vec<Value> = RULES
        .iter()
        .map(|(name, priority, protocol, port)| allow(name, *priority, protocol, IN_REACH, *port))
        .collect();
    // Servers meet in this pool, too; clients are no part of it.
    let own = builder.spec.vnet_cidr.map(|cidr| cidr.trunc().to_string()).unwrap_or_default();
    rules.push(allow("consul-gossip-wan", 115, "*", &own, port::GOSSIP_WAN));
    rules.push(if port::has_grpc_tls(&builder.spec.consul_version) {
        allow(GRPC_RULE, 130, "Tcp", IN_REACH, port::GRPC_TLS)
    } else {
        absent(GRPC_RULE)
    });
    let endpoint = builder.spec.external_endpoint.as_ref();
    let callers = endpoint.map_or(&[][..], |endpoint| &endpoint.allowed_cidrs);
    rules.push(allow_from(ENDPOINT_RULE, 125, callers, port::HTTPS));
    rules.push(allow_from(SSH_RULE, 135, &builder.spec.ssh_allowed_cidrs, port::SSH));
    rules.push(allow("health-probe", 140, "Tcp", "AzureLoadBalancer", port::READY));
    rules.push(allow("metrics", 145, "Tcp", IN_REACH, port::METRICS));
    rules.push(rule("deny-everything-else", 4096, "*", "Deny", "*", "*"));
    let location = &builder.spec.location;
    let mut body = json!({ "location": location, "properties": {} });
    body["properties"]["securityRules"] = Value::Array(rules);
    let id = builder.names.security_group();
    builder.add(
        object::SECURITY_GROUP,
        Kind::NetworkSecurityGroup,
        id,
        body,
        &[object::RESOURCE_GROUP],
    );
}

/// Azure's word for this network, those that are peered with it, and what lies behind its gateways.
const IN_REACH: &str = "VirtualNetwork";

fn allow(name: &str, priority: u32, protocol: &str, source: &str, port: u16) -> Value {
    rule(name, priority, protocol, "Allow", source, &port.to_string())
}

/// Lets these ranges in; no range, no rule.
fn allow_from(name: &str, priority: u32, sources: &[Ipv4Net], port: u16) -> Value {
    if sources.is_empty() {
        return absent(name);
    }
    let mut rule = allow(name, priority, "Tcp", "", port);
    rule["properties"]["sourceAddressPrefixes"] = json!(sources);
    if let Some(map) = rule["properties"].as_object_mut() {
        map.remove("sourceAddressPrefix");
    }
    rule
}

fn rule(
    name: &str,
    priority: u32,
    protocol: &str,
    access: &str,
    source: &str,
    port: &str,
) -> Value {
    let properties = json!({
        "priority": priority,
        "direction": "Inbound",
        "access": access,
        "protocol": protocol,
        "sourceAddressPrefix": source,
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": port,
    });
    named(name, properties)
}

fn nat(builder: &mut Builder<'_>) {
    let location = builder.spec.location.clone();
    let mut ip = json!({
        "location": location,
        "sku": { "name": "Standard" },
        "properties": { "publicIPAllocationMethod": "Static" },
    });
    // A zone-redundant address names all three zones; fewer would tie the cluster's way out to one of them.
    if builder.spec.zones.len() >= 3 {
        ip["zones"] = json!(builder.spec.zones[..3]);
    }
    let ip_id = builder.names.nat_ip();
    let gateway = json!({
        "location": location,
        "sku": { "name": "Standard" },
        "properties": { "publicIpAddresses": [ { "id": ip_id } ] },
    });
    builder.add(object::NAT_IP, Kind::PublicIpAddress, ip_id, ip, &[object::RESOURCE_GROUP]);
    let id = builder.names.nat_gateway();
    builder.add(
        object::NAT_GATEWAY,
        Kind::NatGateway,
        id,
        gateway,
        &[object::RESOURCE_GROUP, object::NAT_IP],
    );
}

/// One PUT with the subnet inline, its security group and NAT gateway attached: a subnet never exists unguarded.
fn vnet(builder: &mut Builder<'_>) {
    let Some(cidr) = builder.spec.vnet_cidr.map(|cidr| cidr.trunc()) else { return };
    let has_nat = builder.spec.outbound_type == OutboundType::NatGateway;
    let way_out = if has_nat { json!({ "id": builder.names.nat_gateway() }) } else { gone() };
    let body = json!({
        "location": builder.spec.location,
        "properties": {
            "addressSpace": { "addressPrefixes": [cidr] },
            "subnets": [ {
                "name": SUBNET,
                "properties": {
                    "addressPrefix": cidr,
                    "networkSecurityGroup": { "id": builder.names.security_group() },
                    "natGateway": way_out,
                    "defaultOutboundAccess": false,
                    // The way to the account stays within Azure, whatever becomes of the NAT gateway.
                    "serviceEndpoints": [ { "service": "Microsoft.Storage" } ],
                },
            } ],
        },
    });
    let id = builder.names.vnet();
    let mut needs = vec![object::RESOURCE_GROUP, object::SECURITY_GROUP];
    needs.extend(has_nat.then_some(object::NAT_GATEWAY));
    builder.add(object::VNET, Kind::VirtualNetwork, id, body, &needs);
}

/// Where the balancers that a cluster may have tell their addresses: logical names and JSON pointers.
pub(crate) fn balancer_addresses() -> [(&'static str, &'static str); 2] {
    [
        (object::LOAD_BALANCER, PRIVATE_ENDPOINT_ADDRESS),
        (object::ENDPOINT_IP, "/properties/ipAddress"),
    ]
}

fn load_balancer(builder: &mut Builder<'_>) {
    let id = builder.names.load_balancer();
    let mut body = json!({
        "location": builder.spec.location,
        "sku": { "name": "Standard" },
        "properties": {
            "frontendIPConfigurations": [ {
                "name": "servers",
                "properties": {
                    "subnet": { "id": builder.names.subnet() },
                    "privateIPAllocationMethod": "Dynamic",
                },
            } ],
            "backendAddressPools": [ { "name": "servers" } ],
        },
    });
    serve_https(&mut body, https_rule(&id, "servers"));
    let needs = builder.network_needs();
    builder.add(object::LOAD_BALANCER, Kind::LoadBalancer, id, body, needs);
}

/// Gives a balancer its rule and the probe of it. Consul itself has nothing to ask: a port that is open says little, and
/// `/v1/status/leader` answers 200 without a leader, too. So the host manager is asked.
fn serve_https(body: &mut Value, rule: Value) {
    let probe = json!({
        "protocol": "Https",
        "port": port::READY,
        "requestPath": READY_PATH,
        "intervalInSeconds": 5,
        "probeThreshold": 1,
    });
    body["properties"]["probes"] = Value::Array(vec![named("https", probe)]);
    body["properties"]["loadBalancingRules"] = Value::Array(vec![rule]);
}

/// From a frontend of this balancer to Consul's HTTPS API.
fn https_rule(balancer: &ArmId, frontend: &str) -> Value {
    let rule = json!({
        "frontendIPConfiguration": { "id": balancer.child("frontendIPConfigurations", frontend) },
        "backendAddressPool": { "id": balancer.child("backendAddressPools", "servers") },
        "probe": { "id": balancer.child("probes", "https") },
        "protocol": "Tcp",
        "frontendPort": port::HTTPS,
        "backendPort": port::HTTPS,
        "idleTimeoutInMinutes": 15,
        "enableTcpReset": true,
    });
    named("https", rule)
}

/// The address of the external endpoint, with a name in Azure's public DNS.
fn endpoint_ip(builder: &mut Builder<'_>) {
    let mut body = json!({
        "location": builder.spec.location,
        "sku": { "name": "Standard" },
        "properties": {
            "publicIPAllocationMethod": "Static",
            "dnsSettings": { "domainNameLabel": builder.names.endpoint_label() },
        },
    });
    if builder.spec.zones.len() >= 3 {
        body["zones"] = json!(builder.spec.zones[..3]);
    }
    let id = builder.names.endpoint_ip();
    let needs = [object::RESOURCE_GROUP];
    builder.add(object::ENDPOINT_IP, Kind::PublicIpAddress, id, body, &needs);
}

/// Its pool holds addresses, not interfaces: the servers' scale sets do not know of the endpoint.
fn endpoint(builder: &mut Builder<'_>) {
    let id = builder.names.endpoint();
    let mut rule = https_rule(&id, "outside");
    // The way out is the NAT gateway's.
    rule["properties"]["disableOutboundSnat"] = json!(true);
    let vnet = builder.names.vnet();
    let slots = 0..builder.spec.server_count;
    let backends: Vec<Value> = slots
        .clone()
        .map(|slot| {
            json!({ "name": format!("server-{slot}"), "properties": {
                "ipAddress": output(&object::address(slot), "/privateIp"),
                "virtualNetwork": { "id": vnet },
            } })
        })
        .collect();
    let mut body = json!({
        "location": builder.spec.location,
        "sku": { "name": "Standard" },
        "properties": {
            "frontendIPConfigurations": [ {
                "name": "outside",
                "properties": { "publicIPAddress": { "id": builder.names.endpoint_ip() } },
            } ],
            "backendAddressPools": [ {
                "name": "servers",
                "properties": { "loadBalancerBackendAddresses": backends },
            } ],
        },
    });
    serve_https(&mut body, rule);
    let servers: Vec<String> = slots.map(object::server).collect();
    let mut needs = builder.network_needs().to_vec();
    needs.push(object::ENDPOINT_IP);
    needs.extend(servers.iter().map(String::as_str));
    builder.add(object::ENDPOINT, Kind::LoadBalancer, id, body, &needs);
}

/// The cluster's own zone and where it answers. A shared one is linked by whoever keeps it.
fn dns(builder: &mut Builder<'_>) {
    if builder.names.shared_zone().is_some() {
        return;
    }
    let zone = builder.names.dns_zone();
    builder.add(
        object::DNS_ZONE,
        Kind::PrivateDnsZone,
        zone,
        json!({ "location": "global" }),
        &[object::RESOURCE_GROUP],
    );
    let link = |network: &ArmId| {
        json!({
            "location": "global",
            "properties": { "virtualNetwork": { "id": network }, "registrationEnabled": false },
        })
    };
    let id = builder.names.dns_link();
    let mut needs = builder.network_needs().to_vec();
    needs.push(object::DNS_ZONE);
    let own = link(&builder.names.vnet());
    builder.add(object::DNS_LINK, Kind::PrivateDnsLink, id, own, &needs);
    // A zone answers in the networks that it is linked to and in no other, peered or not.
    for (index, peer) in builder.spec.peer_vnet_ids.iter().enumerate() {
        let (name, id) = (format!("dns_link_{index}"), builder.names.dns_link_of(peer));
        builder.add(&name, Kind::PrivateDnsLink, id, link(peer), &[object::DNS_ZONE]);
    }
}

fn peerings(builder: &mut Builder<'_>) {
    let vnet = builder.names.vnet();
    for (index, peer) in builder.spec.peer_vnet_ids.iter().enumerate() {
        let side = |remote: &ArmId| {
            json!({ "properties": {
                "remoteVirtualNetwork": { "id": remote },
                "allowVirtualNetworkAccess": true,
                "allowForwardedTraffic": true,
            } })
        };
        let (out_name, in_name) = (format!("peering_out_{index}"), format!("peering_in_{index}"));
        let (out_id, in_id) = (builder.names.peering_out(peer), builder.names.peering_in(peer));
        // Writes to one network are serial: each side waits for the one before it.
        let before = if index == 0 {
            object::LOAD_BALANCER.to_owned()
        } else {
            format!("peering_in_{}", index - 1)
        };
        builder.add(&out_name, Kind::Peering, out_id, side(peer), &[object::VNET, &before]);
        builder.add(&in_name, Kind::Peering, in_id, side(&vnet), &[&out_name]);
    }
}

/// What holds the addresses of the servers comes last.
pub(super) fn build_addresses(builder: &mut Builder<'_>) {
    let address =
        |slot: u32| json!({ "ipv4Address": output(&object::address(slot), "/privateIp") });
    let slots: Vec<u32> = (0..builder.spec.server_count).collect();
    let is_shared = builder.names.shared_zone().is_some();
    let owner = json!(builder.names.uid);
    let zone: &[&str] = if is_shared { &[] } else { &[object::DNS_ZONE] };
    for slot in &slots {
        let server = object::server(*slot);
        // A record says of which scale set it speaks: one that was made anew has another address.
        let mut body = json!({ "properties": {
            "ttl": 30,
            "aRecords": [address(*slot)],
            "metadata": { SERVER_METADATA: output(&server, "/properties/uniqueId") },
        } });
        if is_shared {
            body["properties"]["metadata"][OWNER_METADATA] = owner.clone();
        }
        let id = builder.names.dns_record(&format!("server-{slot}"));
        builder.add_for_slot(
            object::server_record(*slot),
            Kind::PrivateDnsRecord,
            id,
            body,
            &[zone, &[&server]].concat(),
            Some(*slot),
        );
    }
    let records: Vec<Value> = slots.iter().map(|slot| address(*slot)).collect();
    let mut body = json!({ "properties": { "ttl": 30, "aRecords": records } });
    if is_shared {
        body["properties"]["metadata"] = json!({ OWNER_METADATA: owner });
    }
    // After the servers' own records, which remember the addresses if the run ends in between.
    let servers: Vec<String> = slots.iter().map(|slot| object::server_record(*slot)).collect();
    let mut needs = zone.to_vec();
    needs.extend(servers.iter().map(String::as_str));
    let id = builder.names.dns_record(CLUSTER_RECORD);
    builder.add(object::DNS_RECORD, Kind::PrivateDnsRecord, id, body, &needs);
    if builder.spec.external_endpoint.is_some() {
        endpoint(builder);
    }
}
