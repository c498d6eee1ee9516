//! Network: security group, NAT, virtual network, load balancer, private DNS, peerings.

use serde_json::{Value, json};

use super::{Builder, object};
use crate::arm::Kind;
use crate::names::{CLUSTER_RECORD, SUBNET};
use crate::reference::output;

/// Consul's ports that other servers and clients in the address space need; HTTPS replaces HTTP.
const RULES: [(&str, u32, &str, &[&str]); 4] = [
    ("consul-rpc", 100, "Tcp", &["8300"]),
    ("consul-gossip", 110, "*", &["8301", "8302"]),
    ("consul-https", 120, "Tcp", &["8501"]),
    ("consul-dns", 130, "*", &["8600"]),
];

pub(super) fn build(builder: &mut Builder<'_>) {
    security_group(builder);
    nat(builder);
    vnet(builder);
    load_balancer(builder);
    dns(builder);
    peerings(builder);
}

fn security_group(builder: &mut Builder<'_>) {
    let mut rules: Vec<Value> = RULES
        .iter()
        .map(|(name, priority, protocol, ports)| {
            rule(name, *priority, protocol, "Allow", "VirtualNetwork", ports)
        })
        .collect();
    rules.push(rule("health-probe", 140, "Tcp", "Allow", "AzureLoadBalancer", &["8501"]));
    rules.push(rule("deny-everything-else", 4096, "*", "Deny", "*", &["*"]));
    let location = &builder.spec.location;
    let body = json!({ "location": location, "properties": { "securityRules": rules } });
    let id = builder.names.security_group();
    builder.add(
        object::SECURITY_GROUP,
        Kind::NetworkSecurityGroup,
        id,
        body,
        &[object::RESOURCE_GROUP],
    );
}

fn rule(
    name: &str,
    priority: u32,
    protocol: &str,
    access: &str,
    source: &str,
    ports: &[&str],
) -> Value {
    let mut properties = json!({
        "priority": priority,
        "direction": "Inbound",
        "access": access,
        "protocol": protocol,
        "sourceAddressPrefix": source,
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
    });
    match ports {
        [port] => properties["destinationPortRange"] = json!(port),
        ports => properties["destinationPortRanges"] = json!(ports),
    }
    json!({ "name": name, "properties": properties })
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
    let cidr = builder.spec.vnet_cidr.trunc();
    let body = json!({
        "location": builder.spec.location,
        "properties": {
            "addressSpace": { "addressPrefixes": [cidr] },
            "subnets": [ {
                "name": SUBNET,
                "properties": {
                    "addressPrefix": cidr,
                    "networkSecurityGroup": { "id": builder.names.security_group() },
                    "natGateway": { "id": builder.names.nat_gateway() },
                    "defaultOutboundAccess": false,
                },
            } ],
        },
    });
    let id = builder.names.vnet();
    builder.add(
        object::VNET,
        Kind::VirtualNetwork,
        id,
        body,
        &[object::RESOURCE_GROUP, object::SECURITY_GROUP, object::NAT_GATEWAY],
    );
}

fn load_balancer(builder: &mut Builder<'_>) {
    let id = builder.names.load_balancer();
    let child = |segment: &str, name: &str| json!({ "id": id.child(segment, name) });
    let body = json!({
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
            // A TCP probe asks whether the server is there; /v1/status/leader answers 200 without a leader, too.
            "probes": [ {
                "name": "https",
                "properties": { "protocol": "Tcp", "port": 8501, "intervalInSeconds": 5, "probeThreshold": 2 },
            } ],
            "loadBalancingRules": [ {
                "name": "https",
                "properties": {
                    "frontendIPConfiguration": child("frontendIPConfigurations", "servers"),
                    "backendAddressPool": child("backendAddressPools", "servers"),
                    "probe": child("probes", "https"),
                    "protocol": "Tcp",
                    "frontendPort": 8501,
                    "backendPort": 8501,
                    "idleTimeoutInMinutes": 15,
                    "enableTcpReset": true,
                },
            } ],
        },
    });
    builder.add(
        object::LOAD_BALANCER,
        Kind::LoadBalancer,
        id,
        body,
        &[object::RESOURCE_GROUP, object::VNET],
    );
}

fn dns(builder: &mut Builder<'_>) {
    let zone = builder.names.dns_zone();
    builder.add(
        object::DNS_ZONE,
        Kind::PrivateDnsZone,
        zone,
        json!({ "location": "global" }),
        &[object::RESOURCE_GROUP],
    );
    let link = json!({
        "location": "global",
        "properties": {
            "virtualNetwork": { "id": builder.names.vnet() },
            "registrationEnabled": false,
        },
    });
    let id = builder.names.dns_link();
    builder.add(
        object::DNS_LINK,
        Kind::PrivateDnsLink,
        id,
        link,
        &[object::DNS_ZONE, object::VNET],
    );
}

fn peerings(builder: &mut Builder<'_>) {
    let vnet = builder.names.vnet();
    for (index, peer) in builder.spec.peer_vnet_ids.iter().enumerate() {
        let side = |remote: &crate::arm::ArmId| {
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

/// Records come last: they hold the addresses of the servers.
pub(super) fn build_records(builder: &mut Builder<'_>) {
    let address =
        |slot: u32| json!({ "ipv4Address": output(&object::address(slot), "/privateIp") });
    let slots: Vec<u32> = (0..builder.spec.server_count).collect();
    for slot in &slots {
        let body = json!({ "properties": { "ttl": 30, "aRecords": [address(*slot)] } });
        let id = builder.names.dns_record(&format!("server-{slot}"));
        let server = object::server(*slot);
        builder.add_for_slot(
            object::server_record(*slot),
            Kind::PrivateDnsRecord,
            id,
            body,
            &[object::DNS_ZONE, &server],
            Some(*slot),
        );
    }
    let records: Vec<Value> = slots.iter().map(|slot| address(*slot)).collect();
    let body = json!({ "properties": { "ttl": 30, "aRecords": records } });
    // After the servers' own records, which remember the addresses if the run ends in between.
    let servers: Vec<String> = slots.iter().map(|slot| object::server_record(*slot)).collect();
    let mut needs = vec![object::DNS_ZONE];
    needs.extend(servers.iter().map(String::as_str));
    let id = builder.names.dns_record(CLUSTER_RECORD);
    builder.add(object::DNS_RECORD, Kind::PrivateDnsRecord, id, body, &needs);
}
