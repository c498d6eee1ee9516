//! Microsoft's own definitions judge the world: paths, api-versions, success codes, names of
//! properties. They are no part of the product; without them this test says so and passes, except
//! under `CI=true`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use hcs_simulator::Method;
use serde_json::{Value, json};

use crate::support::*;

/// Where they should be.
pub(crate) fn specifications() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/azure-specs");
    std::env::var_os("HCS_AZURE_SPECS").map_or(beside, PathBuf::from)
}

pub(crate) fn bundle() -> Option<Value> {
    let path = specifications().join("bundle.json");
    if let Ok(text) = std::fs::read(&path) {
        return Some(serde_json::from_slice(&text).unwrap());
    }
    let hint = "skipped: Microsoft's definitions are not here. Set HCS_AZURE_SPECS to a folder \
                with bundle.json made from github.com/Azure/azure-rest-api-specs.";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{hint}");
    eprintln!("{hint}");
    None
}

/// One operation of Microsoft's definitions.
struct Operation<'b> {
    row: &'b Value,
    segments: Vec<String>,
}

struct Judge<'b> {
    bundle: &'b Value,
    operations: Vec<Operation<'b>>,
    judged: BTreeMap<String, u32>,
    complaints: RefCell<Vec<String>>,
}

impl<'b> Judge<'b> {
    fn new(bundle: &'b Value) -> Self {
        let operations = bundle["ops"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| Operation {
                row,
                segments: row["path"].as_str().unwrap().split('/').map(str::to_owned).collect(),
            })
            .collect();
        Self { bundle, operations, judged: BTreeMap::new(), complaints: RefCell::default() }
    }

    fn find(&self, method: Method, path: &str) -> &'b Value {
        let parts: Vec<&str> = path.split('/').collect();
        let scope = "/providers/Microsoft.Authorization/";
        let fits = |operation: &&Operation<'_>| {
            if operation.row["method"] != method.as_str() {
                return false;
            }
            let own = &operation.segments;
            if own.get(1).is_some_and(|s| s == "{scope}") {
                let tail: Vec<&str> = path.rsplit(scope).next().unwrap().split('/').collect();
                return path.contains(scope)
                    && tail.len() == own.len() - 4
                    && tail[0].eq_ignore_ascii_case(&own[4]);
            }
            own.len() == parts.len()
                && own.iter().zip(&parts).all(|(own, part)| {
                    own.eq_ignore_ascii_case(part) || (own.starts_with('{') && !part.is_empty())
                })
        };
        let literal = |operation: &&Operation<'_>| {
            operation.segments.iter().filter(|s| s.starts_with('{')).count()
        };
        let found = self.operations.iter().filter(fits).min_by_key(literal);
        found.unwrap_or_else(|| panic!("Microsoft defines no {} {path}", method.as_str())).row
    }

    /// Sends a request as Microsoft defines it and checks status and body against that.
    fn send(&mut self, sim: &mut Sim, method: Method, id: &str, body: Value) -> Value {
        let path = sim.id(id);
        let operation = self.find(method, &path);
        let version = operation["apiVersion"].as_str().unwrap();
        let answer = sim.send(method, &format!("{path}?api-version={version}"), body);
        let name = operation["operationId"].as_str().unwrap();
        let allowed: Vec<&str> =
            operation["success"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let status = answer.status.to_string();
        self.expect(allowed.contains(&status.as_str()), || {
            format!("{name}: {status} {} not in {allowed:?}", answer.body)
        });
        let schema = &operation["responses"][status.as_str()];
        if !schema.is_null() && !answer.body.is_null() && answer.body != json!({}) {
            self.conforms(schema, &answer.body, name);
        }
        *self.judged.entry(name.to_owned()).or_default() += 1;
        sim.settle();
        answer.body
    }

    fn resolve(&self, schema: &'b Value) -> &'b Value {
        let Some(reference) = schema["$ref"].as_str() else { return schema };
        let name = reference.trim_start_matches("#/schemas/").replace("~1", "/").replace("~0", "~");
        let found = &self.bundle["schemas"][&name];
        assert!(!found.is_null(), "{reference} is not in the bundle");
        self.resolve(found)
    }

    fn properties(&self, schema: &'b Value) -> (BTreeMap<&'b str, &'b Value>, bool) {
        let schema = self.resolve(schema);
        let mut open = schema.get("additionalProperties").is_some();
        let mut all = BTreeMap::new();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let (inner, inner_open) = self.properties(part);
            all.extend(inner);
            open |= inner_open;
        }
        for (name, value) in schema["properties"].as_object().into_iter().flatten() {
            all.insert(name.as_str(), value);
        }
        (all, open)
    }

    fn expect(&self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            self.complaints.borrow_mut().push(complaint());
        }
    }

    /// Types, enums and names of properties, as deep as the definitions go.
    fn conforms(&self, schema: &'b Value, value: &Value, at: &str) {
        let resolved = self.resolve(schema);
        if value.is_null() {
            return;
        }
        let kind = resolved["type"].as_str().unwrap_or("object");
        let fits = match kind {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            _ => true,
        };
        self.expect(fits, || format!("{at}: {value} is no {kind}"));
        if let Some(words) = resolved["enum"].as_array() {
            let closed = resolved["x-ms-enum"]["modelAsString"] == false;
            let known = words.iter().any(|w| {
                w.as_str().zip(value.as_str()).is_some_and(|(w, v)| w.eq_ignore_ascii_case(v))
            });
            self.expect(known || !closed, || format!("{at}: {value} is none of {words:?}"));
        }
        if let Some(rows) = value.as_array() {
            for (n, row) in rows.iter().enumerate() {
                self.conforms(&resolved["items"], row, &format!("{at}[{n}]"));
            }
        }
        if let Some(object) = value.as_object() {
            let (known, open) = self.properties(schema);
            for (name, inner) in object {
                match known.get(name.as_str()) {
                    Some(schema) => self.conforms(schema, inner, &format!("{at}.{name}")),
                    None => self.expect(open || known.is_empty() || name == "systemData", || {
                        format!("{at}: Microsoft defines no property '{name}'")
                    }),
                }
            }
        }
    }
}

fn cycle(judge: &mut Judge<'_>, sim: &mut Sim, id: &str, body: &Value) {
    judge.send(sim, Method::Put, id, body.clone());
    judge.send(sim, Method::Get, id, Value::Null);
    judge.send(sim, Method::Put, id, body.clone());
    if !id.is_empty() {
        let list = id.rsplit_once('/').unwrap().0;
        judge.send(sim, Method::Get, list, Value::Null);
    }
}

#[test]
fn answers_are_what_microsoft_defines() {
    let Some(bundle) = bundle() else { return };
    let mut judge = Judge::new(&bundle);
    let mut sim = Sim::new();
    let j = &mut judge;
    cycle(j, &mut sim, "", &json!({"location": "westeurope", "tags": {"a": "b"}}));
    j.send(&mut sim, Method::Head, "", Value::Null);
    let resources = format!("{}/resources", sim.id(""));
    j.send(&mut sim, Method::Get, &resources, Value::Null);
    j.send(&mut sim, Method::Patch, "", json!({"tags": {"a": "c"}}));
    let nsg = "Microsoft.Network/networkSecurityGroups/nsg";
    cycle(j, &mut sim, nsg, &json!({"location": "westeurope"}));
    let pip = "Microsoft.Network/publicIPAddresses/pip";
    cycle(
        j,
        &mut sim,
        pip,
        &json!({
            "location": "westeurope", "sku": {"name": "Standard"}, "zones": ["1", "2", "3"],
            "properties": {"publicIPAllocationMethod": "Static"},
        }),
    );
    let nat = "Microsoft.Network/natGateways/nat";
    let pip_id = sim.id(pip);
    cycle(
        j,
        &mut sim,
        nat,
        &json!({
            "location": "westeurope", "sku": {"name": "Standard"},
            "properties": {"publicIpAddresses": [{"id": pip_id}]},
        }),
    );
    let mut network = vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]);
    network["properties"]["subnets"][0]["properties"]["natGateway"] = json!({"id": sim.id(nat)});
    cycle(j, &mut sim, VNET, &network);
    cycle(
        j,
        &mut sim,
        &format!("{VNET}/subnets/t"),
        &json!({"properties": {"addressPrefix": "10.1.2.0/24"}}),
    );
    let other = "Microsoft.Network/virtualNetworks/other";
    cycle(j, &mut sim, other, &vnet("10.2.0.0/16", &[]));
    let remote = sim.id(other);
    cycle(
        j,
        &mut sim,
        &format!("{VNET}/virtualNetworkPeerings/p"),
        &json!({
            "properties": {"remoteVirtualNetwork": {"id": remote}},
        }),
    );
    let (lb, subnet) = ("Microsoft.Network/loadBalancers/lb", sim.id(SUBNET));
    cycle(
        j,
        &mut sim,
        lb,
        &json!({
            "location": "westeurope", "sku": {"name": "Standard"},
            "properties": {
                "frontendIPConfigurations": [{"name": "fe", "properties": {"subnet": {"id": subnet}}}],
                "backendAddressPools": [{"name": "pool"}],
                "probes": [{"name": "p", "properties": {"protocol": "Tcp", "port": 8501}}],
            },
        }),
    );
    let zone = "Microsoft.Network/privateDnsZones/c.internal";
    cycle(j, &mut sim, zone, &json!({"location": "global"}));
    let network_id = sim.id(VNET);
    cycle(
        j,
        &mut sim,
        &format!("{zone}/virtualNetworkLinks/l"),
        &json!({
            "location": "global",
            "properties": {"virtualNetwork": {"id": network_id}, "registrationEnabled": false},
        }),
    );
    cycle(
        j,
        &mut sim,
        &format!("{zone}/A/consul"),
        &json!({
            "properties": {"ttl": 10, "aRecords": [{"ipv4Address": "10.1.1.4"}]},
        }),
    );
    let identity = "Microsoft.ManagedIdentity/userAssignedIdentities/srv";
    cycle(j, &mut sim, identity, &json!({"location": "westeurope"}));
    cycle(j, &mut sim, ACCOUNT, &account());
    let container = format!("{ACCOUNT}/blobServices/default/containers/config");
    cycle(j, &mut sim, &container, &json!({"properties": {}}));
    let identity_id = sim.id(identity);
    cycle(j, &mut sim, SET, &scale_set(&subnet, &[&identity_id], ""));
    for list in [
        "virtualMachines",
        "networkInterfaces",
        "instanceView",
        "virtualMachines/0",
        "virtualMachines/0/instanceView",
    ] {
        j.send(&mut sim, Method::Get, &format!("{SET}/{list}"), Value::Null);
    }
    j.send(&mut sim, Method::Post, &format!("{SET}/restart"), Value::Null);
    let lock = "Microsoft.Authorization/locks/l";
    cycle(j, &mut sim, lock, &json!({"properties": {"level": "CanNotDelete"}}));
    j.send(&mut sim, Method::Delete, lock, Value::Null);
    sim.wait(6_000);
    let role = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions/{BLOB_READER}",
        sim.subscription()
    );
    let caller = sim.caller.clone();
    cycle(
        j,
        &mut sim,
        "Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-000000000001",
        &json!({
            "properties": {"roleDefinitionId": role, "principalId": caller, "principalType": "ServicePrincipal"},
        }),
    );
    let subscription = sim.subscription();
    for path in [
        "",
        "/locations",
        "/resourcegroups",
        "/providers",
        "/providers/Microsoft.Compute",
        "/providers/Microsoft.Compute/skus",
        "/providers/Microsoft.Compute/locations/westeurope/usages",
        "/providers/Microsoft.Network/locations/westeurope/usages",
        "/providers/Microsoft.Compute/locations/westeurope/publishers/Canonical/artifacttypes/vmimage/offers/ubuntu-24_04-lts/skus/server/versions",
    ] {
        j.send(&mut sim, Method::Get, &format!("{subscription}{path}"), Value::Null);
    }
    j.send(
        &mut sim,
        Method::Post,
        &format!("{subscription}/providers/Microsoft.Storage/checkNameAvailability"),
        json!({"name": "free1", "type": "Microsoft.Storage/storageAccounts"}),
    );
    for id in [
        SET,
        lb,
        &format!("{zone}/A/consul"),
        &format!("{zone}/virtualNetworkLinks/l"),
        zone,
        &format!("{VNET}/virtualNetworkPeerings/p"),
        VNET,
        nat,
        pip,
        nsg,
        &container,
        ACCOUNT,
        identity,
        "",
    ] {
        j.send(&mut sim, Method::Delete, id, Value::Null);
        if !id.is_empty() {
            j.send(&mut sim, Method::Delete, id, Value::Null);
        }
    }
    let mut complaints = judge.complaints.take();
    complaints.sort();
    complaints.dedup();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(judge.judged.len() >= 75, "only {} operations were judged", judge.judged.len());
}
