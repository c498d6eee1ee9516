//! A world in virtual time with short words for its requests.

use hcs_simulator::{Event, Method, Request, Response, Settings, World};
use serde_json::{Value, json};

pub(crate) const NETWORK: &str = "2024-01-01";
pub(crate) const COMPUTE: &str = "2024-07-01";
pub(crate) const STORAGE: &str = "2023-05-01";
pub(crate) const GROUPS: &str = "2024-07-01";
pub(crate) const IDENTITY: &str = "2023-01-31";
pub(crate) const DNS: &str = "2024-06-01";
pub(crate) const LOCKS: &str = "2020-05-01";
pub(crate) const ROLES: &str = "2022-04-01";

pub(crate) const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
pub(crate) const BLOB_READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
pub(crate) const BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";

/// A world and its time.
pub(crate) struct Sim {
    pub(crate) world: World,
    pub(crate) now_ms: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) caller: String,
}

impl Sim {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let caller = settings.caller_object_id.clone();
        let now_ms = 1_795_000_000_000;
        Self { world: World::new(settings, now_ms), now_ms, events: Vec::new(), caller }
    }

    /// A world with the group `g` in westeurope.
    pub(crate) fn with_group() -> Self {
        let mut sim = Self::new();
        assert_eq!(sim.put("", GROUPS, &json!({"location": "westeurope"})).status, 201);
        sim
    }

    pub(crate) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.world.settings().subscription_id)
    }

    /// `id` below group `g`: `Microsoft.Network/…` or empty for the group; absolute ids stay.
    pub(crate) fn id(&self, id: &str) -> String {
        let group = format!("{}/resourceGroups/g", self.subscription());
        match id {
            "" => group,
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            below => format!("{group}/providers/{below}"),
        }
    }

    pub(crate) fn send(&mut self, method: Method, target: &str, body: Value) -> Response {
        let request = Request::new(method, target, &self.caller).with_body(body);
        self.world.handle(&request, self.now_ms)
    }

    fn at(&self, id: &str, version: &str) -> String {
        format!("{}?api-version={version}", self.id(id))
    }

    pub(crate) fn put(&mut self, id: &str, version: &str, body: &Value) -> Response {
        self.send(Method::Put, &self.at(id, version), body.clone())
    }

    pub(crate) fn patch(&mut self, id: &str, version: &str, body: &Value) -> Response {
        self.send(Method::Patch, &self.at(id, version), body.clone())
    }

    pub(crate) fn get(&mut self, id: &str, version: &str) -> Response {
        self.send(Method::Get, &self.at(id, version), Value::Null)
    }

    pub(crate) fn delete(&mut self, id: &str, version: &str) -> Response {
        self.send(Method::Delete, &self.at(id, version), Value::Null)
    }

    pub(crate) fn follow(&mut self, url: &str) -> Response {
        self.send(Method::Get, url, Value::Null)
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        let events = self.world.advance(self.now_ms);
        self.events.extend(events);
    }

    /// Lets every operation end.
    pub(crate) fn settle(&mut self) {
        while let Some(at) = self.world.next_change_ms() {
            self.now_ms = self.now_ms.max(at);
            self.wait(0);
        }
    }

    /// A PUT that must be accepted, to its end; returns the object.
    pub(crate) fn make(&mut self, id: &str, version: &str, body: &Value) -> Value {
        let response = self.put(id, version, body);
        assert!(response.status < 300, "PUT {id}: {} {}", response.status, response.body);
        self.settle();
        let shown = self.get(id, version);
        assert_eq!(shown.status, 200, "{id}: {}", shown.body);
        shown.body
    }

    /// A DELETE that must be accepted, to its end.
    pub(crate) fn unmake(&mut self, id: &str, version: &str) {
        let response = self.delete(id, version);
        assert!(response.status < 300, "DELETE {id}: {} {}", response.status, response.body);
        self.settle();
        assert_eq!(self.get(id, version).status, 404, "{id} is still there");
    }

    /// Network `v` (10.1.0.0/16) with subnet `s` (10.1.1.0/24).
    pub(crate) fn network(&mut self) -> String {
        self.make(VNET, NETWORK, &vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]));
        self.id(SUBNET)
    }

    /// An identity; returns its body.
    pub(crate) fn identity(&mut self, name: &str) -> Value {
        let id = format!("Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
        self.make(&id, IDENTITY, &json!({"location": "westeurope"}))
    }

    /// Assigns a role; returns the response.
    pub(crate) fn assign(&mut self, scope: &str, role: &str, principal: &str, n: u32) -> Response {
        let name = format!("00000000-0000-4000-8000-{n:012}");
        let id =
            format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}", self.id(scope));
        let body = json!({"properties": {
            "roleDefinitionId": format!(
                "{}/providers/Microsoft.Authorization/roleDefinitions/{role}",
                self.subscription()
            ),
            "principalId": principal,
            "principalType": "ServicePrincipal",
        }});
        self.put(&id, ROLES, &body)
    }
}

pub(crate) const VNET: &str = "Microsoft.Network/virtualNetworks/v-net";
pub(crate) const NSG: &str = "Microsoft.Network/networkSecurityGroups/nsg";
pub(crate) const SUBNET: &str = "Microsoft.Network/virtualNetworks/v-net/subnets/s";
pub(crate) const SET: &str = "Microsoft.Compute/virtualMachineScaleSets/set";
pub(crate) const ACCOUNT: &str = "Microsoft.Storage/storageAccounts/acct1";

pub(crate) fn vnet(space: &str, subnets: &[(&str, &str)]) -> Value {
    let subnets: Vec<Value> = subnets
        .iter()
        .map(|(name, prefix)| json!({"name": name, "properties": {"addressPrefix": prefix}}))
        .collect();
    json!({
        "location": "westeurope",
        "properties": {"addressSpace": {"addressPrefixes": [space]}, "subnets": subnets},
    })
}

pub(crate) fn account() -> Value {
    json!({
        "location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_ZRS"},
        "properties": {"allowSharedKeyAccess": false},
    })
}

/// A scale set of capacity 1 in zone 1.
pub(crate) fn scale_set(subnet: &str, identities: &[&str], custom_data: &str) -> Value {
    let identities: serde_json::Map<String, Value> =
        identities.iter().map(|id| ((*id).to_owned(), json!({}))).collect();
    let mut body = json!({
        "location": "westeurope",
        "zones": ["1"],
        "sku": {"name": "Standard_D2s_v5", "tier": "Standard", "capacity": 1},
        "properties": {
            "orchestrationMode": "Uniform",
            "overprovision": false,
            "upgradePolicy": {"mode": "Manual"},
            "virtualMachineProfile": {
                "storageProfile": {
                    "imageReference": {
                        "publisher": "Canonical", "offer": "ubuntu-24_04-lts",
                        "sku": "server", "version": "latest",
                    },
                    "osDisk": {"createOption": "FromImage"},
                },
                "osProfile": {
                    "computerNamePrefix": "srv", "adminUsername": "azureuser",
                    "customData": custom_data,
                    "linuxConfiguration": {
                        "disablePasswordAuthentication": true,
                        "ssh": {"publicKeys": [{
                            "path": "/home/azureuser/.ssh/authorized_keys",
                            "keyData": "ssh-ed25519 AAAA",
                        }]},
                    },
                },
                "networkProfile": {"networkInterfaceConfigurations": [{
                    "name": "nic",
                    "properties": {"primary": true, "ipConfigurations": [{
                        "name": "ip", "properties": {"subnet": {"id": subnet}},
                    }]},
                }]},
            },
        },
    });
    if !identities.is_empty() {
        body["identity"] = json!({"type": "UserAssigned", "userAssignedIdentities": identities});
    }
    body
}
