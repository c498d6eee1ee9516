//! Networks: overlap, what is in use, serial writes, balancers, peerings, DNS.

use serde_json::json;

use crate::support::*;

const PIP: &str = "Microsoft.Network/publicIPAddresses/pip";
const NAT: &str = "Microsoft.Network/natGateways/nat";
const LB: &str = "Microsoft.Network/loadBalancers/lb";
const ZONE: &str = "Microsoft.Network/privateDnsZones/c.internal";

fn rule(name: &str, priority: i64) -> serde_json::Value {
    json!({"name": name, "properties": {
        "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": priority,
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "8501",
    }})
}

#[test]
fn subnets_lie_inside_and_do_not_overlap() {
    let mut sim = Sim::with_group();
    for (space, subnets, code) in [
        ("10.1.0.0/16", vec![("s", "10.2.0.0/24")], "NetcfgSubnetRangeOutsideVnet"),
        (
            "10.1.0.0/16",
            vec![("s", "10.1.0.0/24"), ("t", "10.1.0.128/25")],
            "NetcfgSubnetRangesOverlap",
        ),
        ("10.1.0.1/16", vec![], "InvalidCIDRNotation"),
        ("10.1.0.0/16", vec![("s", "10.1.0.0/30")], "NetcfgSubnetRangeOutsideVnet"),
    ] {
        let answer = sim.put(VNET, NETWORK, &vnet(space, &subnets));
        assert_eq!((answer.status, answer.error_code()), (400, Some(code)), "{space} {subnets:?}");
    }
}

#[test]
fn writes_to_one_network_are_serial() {
    let mut sim = Sim::with_group();
    sim.network();
    let subnet = |n: u8| json!({"properties": {"addressPrefix": format!("10.1.{n}.0/24")}});
    assert_eq!(sim.put(&format!("{VNET}/subnets/a"), NETWORK, &subnet(2)).status, 201);
    let second = sim.put(&format!("{VNET}/subnets/b"), NETWORK, &subnet(3));
    assert_eq!((second.status, second.error_code()), (429, Some("RetryableError")));
    assert_eq!(second.body["error"]["details"][0]["code"], "ReferencedResourceNotProvisioned");
    assert!(second.header("retry-after").is_some());
    let whole = sim.put(VNET, NETWORK, &vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]));
    assert_eq!((whole.status, whole.error_code()), (409, Some("AnotherOperationInProgress")));
    sim.settle();
    assert_eq!(sim.put(&format!("{VNET}/subnets/b"), NETWORK, &subnet(3)).status, 201);
}

#[test]
fn what_is_used_stays() {
    let mut sim = Sim::with_group();
    sim.make(NSG, NETWORK, &json!({"location": "westeurope"}));
    sim.make(
        PIP,
        NETWORK,
        &json!({
            "location": "westeurope", "sku": {"name": "Standard"}, "zones": ["1", "2", "3"],
            "properties": {"publicIPAllocationMethod": "Static"},
        }),
    );
    let pip = sim.id(PIP);
    sim.make(
        NAT,
        NETWORK,
        &json!({
            "location": "westeurope", "sku": {"name": "Standard"},
            "properties": {"publicIpAddresses": [{"id": pip}]},
        }),
    );
    let mut network = vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]);
    network["properties"]["subnets"][0]["properties"]["networkSecurityGroup"] =
        json!({"id": sim.id(NSG)});
    network["properties"]["subnets"][0]["properties"]["natGateway"] = json!({"id": sim.id(NAT)});
    sim.make(VNET, NETWORK, &network);
    let subnet = sim.id(SUBNET);
    sim.make(SET, COMPUTE, &scale_set(&subnet, &[], ""));
    for (id, code) in [
        (NSG, "InUseNetworkSecurityGroupCannotBeDeleted"),
        (PIP, "PublicIPAddressCannotBeDeleted"),
        (NAT, "NatGatewayInUseBySubnet"),
        (SUBNET, "InUseSubnetCannotBeDeleted"),
        (VNET, "InUseSubnetCannotBeDeleted"),
    ] {
        let answer = sim.delete(id, NETWORK);
        assert_eq!((answer.status, answer.error_code()), (400, Some(code)), "{id}");
    }
    let without = sim.put(VNET, NETWORK, &vnet("10.1.0.0/16", &[("t", "10.1.2.0/24")]));
    assert_eq!(without.error_code(), Some("InUseSubnetCannotBeDeleted"));
    sim.unmake(SET, COMPUTE);
    for id in [VNET, NAT, PIP, NSG] {
        sim.unmake(id, NETWORK);
    }
}

#[test]
fn security_rules_are_complete_and_distinct() {
    let mut sim = Sim::with_group();
    let with = |rules: Vec<serde_json::Value>| json!({"location": "westeurope", "properties": {"securityRules": rules}});
    for (rules, code) in [
        (vec![rule("a", 100), rule("b", 100)], "SecurityRuleConflict"),
        (vec![rule("a", 99)], "SecurityRuleInvalidPriority"),
        (vec![json!({"name": "a", "properties": {"priority": 100}})], "InvalidRequestFormat"),
    ] {
        assert_eq!(sim.put(NSG, NETWORK, &with(rules)).error_code(), Some(code));
    }
    let nsg = sim.make(NSG, NETWORK, &with(vec![rule("a", 100), rule("b", 110)]));
    assert_eq!(nsg["properties"]["securityRules"].as_array().unwrap().len(), 2);
    assert_eq!(nsg["properties"]["defaultSecurityRules"].as_array().unwrap().len(), 6);
    let nsg = sim.make(NSG, NETWORK, &with(vec![rule("b", 110)]));
    assert_eq!(nsg["properties"]["securityRules"][0]["name"], "b");
}

#[test]
fn a_balancer_takes_an_address_and_knows_its_own_parts_only() {
    let mut sim = Sim::with_group();
    let subnet = sim.network();
    let lb = sim.id(LB);
    let body = |pool: &str| {
        json!({
            "location": "westeurope", "sku": {"name": "Standard"},
            "properties": {
                "frontendIPConfigurations": [{
                    "name": "fe", "zones": ["1", "2", "3"], "properties": {"subnet": {"id": subnet}},
                }],
                "backendAddressPools": [{"name": "pool"}],
                "probes": [{"name": "p", "properties": {"protocol": "Tcp", "port": 8501}}],
                "loadBalancingRules": [{"name": "r", "properties": {
                    "protocol": "Tcp", "frontendPort": 8501, "backendPort": 8501,
                    "frontendIPConfiguration": {"id": format!("{lb}/frontendIPConfigurations/fe")},
                    "backendAddressPool": {"id": format!("{lb}/backendAddressPools/{pool}")},
                    "probe": {"id": format!("{lb}/probes/p")},
                }}],
            },
        })
    };
    let wrong = sim.put(LB, NETWORK, &body("elsewhere"));
    assert_eq!(wrong.error_code(), Some("InvalidResourceReference"));
    let made = sim.make(LB, NETWORK, &body("pool"));
    let frontend = &made["properties"]["frontendIPConfigurations"][0];
    assert_eq!(
        frontend["properties"]["privateIPAddress"], "10.1.1.4",
        "Azure keeps the first four"
    );
    let mut set = scale_set(&subnet, &[], "");
    set["properties"]["virtualMachineProfile"]["networkProfile"]["networkInterfaceConfigurations"]
        [0]["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] =
        json!([{"id": format!("{lb}/backendAddressPools/pool")}]);
    sim.make(SET, COMPUTE, &set);
    let pool = sim.get(&format!("{LB}/backendAddressPools/pool"), NETWORK);
    assert_eq!(pool.body["properties"]["backendIPConfigurations"].as_array().unwrap().len(), 1);
    let refused = sim.delete(LB, NETWORK);
    assert_eq!(refused.error_code(), Some("LoadBalancerInUseByVirtualMachineScaleSet"));
    let nics = sim.get(&format!("{SET}/networkInterfaces"), "2018-10-01");
    let ip = &nics.body["value"][0]["properties"]["ipConfigurations"][0]["properties"];
    assert_eq!(ip["privateIPAddress"], "10.1.1.5");
}

#[test]
fn a_peering_is_connected_when_both_sides_exist() {
    let mut sim = Sim::with_group();
    sim.network();
    let other = "Microsoft.Network/virtualNetworks/other";
    sim.make(other, NETWORK, &vnet("10.2.0.0/16", &[]));
    let clash = "Microsoft.Network/virtualNetworks/clash";
    sim.make(clash, NETWORK, &vnet("10.1.0.0/16", &[]));
    let to = |sim: &Sim, id: &str| {
        json!({"properties": {
            "remoteVirtualNetwork": {"id": sim.id(id)}, "allowVirtualNetworkAccess": true,
        }})
    };
    let there = format!("{VNET}/virtualNetworkPeerings/there");
    let back = format!("{other}/virtualNetworkPeerings/back");
    let overlap = sim.put(&there, NETWORK, &to(&sim, clash));
    assert_eq!(overlap.error_code(), Some("VnetAddressSpacesOverlap"));
    let first = sim.make(&there, NETWORK, &to(&sim, other));
    assert_eq!(first["properties"]["peeringState"], "Initiated");
    assert_eq!(sim.put(&back, NETWORK, &to(&sim, VNET)).status, 201);
    let busy = sim.put(&format!("{other}/virtualNetworkPeerings/x"), NETWORK, &to(&sim, clash));
    assert_eq!((busy.status, busy.error_code()), (400, Some("ReferencedResourceNotProvisioned")));
    sim.settle();
    for side in [&there, &back] {
        assert_eq!(sim.get(side, NETWORK).body["properties"]["peeringState"], "Connected");
    }
    sim.unmake(&back, NETWORK);
    assert_eq!(sim.get(&there, NETWORK).body["properties"]["peeringState"], "Disconnected");
    let back_again = sim.put(&back, NETWORK, &to(&sim, VNET));
    assert_eq!(back_again.error_code(), Some("RemotePeeringIsDisconnected"));
    sim.unmake(&there, NETWORK);
    for (side, network) in [(&there, other), (&back, VNET)] {
        let body = to(&sim, network);
        sim.make(side, NETWORK, &body);
    }
    assert_eq!(sim.get(&there, NETWORK).body["properties"]["peeringState"], "Connected");
    sim.make(other, NETWORK, &vnet("10.3.0.0/16", &[]));
    assert_eq!(sim.get(&there, NETWORK).body["properties"]["peeringSyncLevel"], "LocalNotInSync");
    let body = to(&sim, other);
    sim.make(&there, NETWORK, &body);
    assert_eq!(sim.get(&there, NETWORK).body["properties"]["peeringSyncLevel"], "FullyInSync");
}

#[test]
fn a_private_zone_is_accepted_with_202_and_goes_after_its_links() {
    let mut sim = Sim::with_group();
    sim.network();
    let accepted = sim.put(ZONE, DNS, &json!({"location": "global"}));
    assert_eq!((accepted.status, &accepted.body), (202, &json!({})));
    assert!(accepted.header("azure-asyncoperation").is_some());
    assert_eq!(sim.get(ZONE, DNS).status, 404);
    sim.settle();
    assert_eq!(sim.get(ZONE, DNS).status, 200);
    let link = format!("{ZONE}/virtualNetworkLinks/l");
    let network = sim.id(VNET);
    sim.make(
        &link,
        DNS,
        &json!({
            "location": "global",
            "properties": {"virtualNetwork": {"id": network}, "registrationEnabled": false},
        }),
    );
    let record = format!("{ZONE}/A/consul");
    let body = json!({"properties": {"ttl": 10, "aRecords": [{"ipv4Address": "10.1.1.4"}]}});
    assert_eq!(sim.put(&record, DNS, &body).status, 201);
    assert_eq!(sim.put(&record, DNS, &body).status, 200);
    let bad = json!({"properties": {"ttl": 0, "aRecords": []}});
    assert_eq!(sim.put(&record, DNS, &bad).status, 400);
    let all = sim.get(&format!("{ZONE}/ALL"), DNS).body["value"].as_array().unwrap().len();
    assert_eq!(all, 2, "the SOA and ours");
    let refused = sim.delete(ZONE, DNS);
    assert_eq!((refused.status, refused.error_code()), (409, Some("CannotDeleteResource")));
    sim.unmake(&link, DNS);
    sim.unmake(ZONE, DNS);
    assert_eq!(sim.get(&record, DNS).status, 404);
}
