//! What the guides say of ports is what the security group lets in.

use std::path::Path;

use crate::support::spec;
use hcs_planner::desired::{Desired, object};
use hcs_planner::spec::{ClusterSpec, ExternalEndpoint};
use serde_json::Value;

/// Port, protocol and source of every rule that lets something in, sorted.
fn rules(spec: &ClusterSpec) -> Vec<[String; 3]> {
    let desired = Desired::new(spec);
    let body = &desired.objects[object::SECURITY_GROUP].body;
    let rules = body["properties"]["securityRules"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let open =
        rules.iter().map(|rule| &rule["properties"]).filter(|rule| rule["access"] == "Allow");
    let mut open: Vec<[String; 3]> = open
        .map(|rule| {
            let from = match &rule["sourceAddressPrefixes"] {
                Value::Array(prefixes) => prefixes.iter().map(text).collect::<Vec<_>>().join(","),
                _ => text(&rule["sourceAddressPrefix"]),
            };
            [text(&rule["destinationPortRange"]), text(&rule["protocol"]), from]
        })
        .collect();
    open.sort();
    open
}

/// Rows of the guide's table, sorted: port, protocol, source, when it is there.
fn guide() -> Vec<[String; 4]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/network.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("## Ports").unwrap();
    let (table, _) = table.split_once("## Names").unwrap();
    let mut rows: Vec<[String; 4]> = table
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").map(str::trim).collect();
            cells[0].parse::<u16>().ok()?;
            let there = cells[4].trim_end_matches('|').trim();
            Some([cells[0], cells[1], cells[2], there].map(str::to_owned))
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn the_ports_of_the_guide_are_those_of_the_security_group() {
    let (endpoint, admins) = ("203.0.113.0/24", "10.9.0.0/24");
    for (version, has_endpoint, has_ssh) in [
        ("1.22.7", true, true),
        ("1.22.7", false, false),
        ("1.13.9", true, false),
        ("1.8.7", false, true),
    ] {
        let mut spec = spec(3, 3);
        spec.consul_version = version.parse().unwrap();
        let cidrs = vec![endpoint.parse().unwrap()];
        spec.external_endpoint = has_endpoint.then_some(ExternalEndpoint { allowed_cidrs: cidrs });
        spec.ssh_allowed_cidrs = has_ssh.then(|| admins.parse().unwrap()).into_iter().collect();
        let network = spec.vnet_cidr.unwrap().to_string();
        let is_there = |when: &str| match when {
            "always" => true,
            "Consul 1.14 and newer" => spec.consul_version.minor >= 14,
            "with consul_external_endpoint" => has_endpoint,
            "with ssh_allowed_cidrs" => has_ssh,
            other => panic!("{other}"),
        };
        let mut expected: Vec<[String; 3]> = guide()
            .into_iter()
            .filter(|[_, _, _, when]| is_there(when))
            .map(|[port, protocol, from, _]| {
                let from = match from.as_str() {
                    "vnet_cidr" => network.as_str(),
                    "consul_external_endpoint_allowed_cidrs" => endpoint,
                    "ssh_allowed_cidrs" => admins,
                    word => word,
                };
                let from = from.to_owned();
                [port, protocol, from]
            })
            .collect();
        expected.sort();
        assert_eq!(rules(&spec), expected, "Consul {version}");
    }
}
