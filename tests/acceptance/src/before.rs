//! Servers of Consul that somebody else made: one scale set over three zones, as HashiCorp's modules for Azure have it.
//!
//! What those modules bring from a package repository and a key vault the script brings along; the rest is as they do it:
//! one uniform set, a subnet, TLS with an authority of its own, encrypted gossip, tokens, HTTPS on 8501.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::consul::Consul;
use crate::scenario::GROUP;
use crate::{HarnessError, Scenario, tools, wait};

/// Token of before that may do everything.
pub const TOKEN: &str = "5a6c7e0c-3b1f-4c57-8a5d-0d9e4b7f1a11";
/// Datacenter of before.
pub const DATACENTER: &str = "dc1";

/// Nobody has its other half.
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1Yh5Z5t7m4mVZg2Yb2m3k4Zp5r6s7t8u9v0w1x2y3z before";

/// How they are made.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Name of the scale set, or how those of machines begin.
    pub name: &'static str,
    /// Whether each machine stands alone.
    pub is_alone: bool,
    /// How many.
    pub servers: usize,
    /// More of the servers' configuration, JSON of an object.
    pub more: &'static str,
}

/// Servers of before.
#[derive(Debug)]
pub struct Before {
    /// Their scale set, or their machines.
    pub ids: Vec<String>,
    /// Subnet for the servers of the cluster, beside theirs.
    pub subnet_id: String,
    /// Their authority.
    pub ca: PathBuf,
    /// Its key.
    pub ca_key: PathBuf,
    /// Their addresses.
    pub addresses: Vec<String>,
}

impl Before {
    /// Makes them, and waits until they have a leader.
    pub fn make(scenario: &Scenario, shape: Shape) -> Result<Self, Box<dyn Error>> {
        let folder = scenario.dir.join(shape.name);
        fs::create_dir_all(&folder).map_err(HarnessError::file(&folder))?;
        let program = tools::consul()?;
        let program = fs::canonicalize(&program).map_err(HarnessError::file(&program))?;
        let run = |arguments: &[&str]| -> Result<String, HarnessError> {
            let output = Command::new(&program).args(arguments).current_dir(&folder).output();
            let output = output.map_err(HarnessError::file(&program))?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        run(&["tls", "ca", "create"])?;
        run(&["tls", "cert", "create", "-server", "-dc", DATACENTER])?;
        let gossip_key = run(&["keygen"])?;
        let group = scenario.azure.group_id(GROUP);
        let vnet = format!("{group}/providers/Microsoft.Network/virtualNetworks/before");
        put(
            scenario,
            &vnet,
            "2024-01-01",
            &json!({
                "location": "westeurope",
                "properties": {
                    "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] },
                    "subnets": [
                        { "name": "before", "properties": { "addressPrefix": "10.9.1.0/24" } },
                        { "name": "consul", "properties": { "addressPrefix": "10.9.2.0/24" } },
                    ],
                },
            }),
        )?;
        let script = script(&folder, &program, &gossip_key, shape)?;
        let ids = if shape.is_alone {
            machines(scenario, &group, &vnet, &script, shape)?
        } else {
            let set = format!(
                "{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{}",
                shape.name
            );
            put(scenario, &set, "2024-07-01", &body(&vnet, &script, shape))?;
            vec![set]
        };
        let before = Self {
            ids,
            subnet_id: format!("{vnet}/subnets/consul"),
            ca: folder.join("consul-agent-ca.pem"),
            ca_key: folder.join("consul-agent-ca-key.pem"),
            addresses: Vec::new(),
        };
        before.joined(scenario, shape)
    }

    /// With a leader, and well.
    fn joined(mut self, scenario: &Scenario, shape: Shape) -> Result<Self, Box<dyn Error>> {
        let servers = shape.servers;
        let addresses = || -> Result<Vec<String>, HarnessError> {
            let vms = scenario.azure.vms()?;
            let is_own = |vm: &&Value| {
                vm["scaleSet"].as_str().is_some_and(|set| set.starts_with(shape.name))
            };
            let own = vms.iter().filter(is_own);
            Ok(own.filter_map(|vm| Some(vm["address"].as_str()?.to_owned())).collect())
        };
        wait("the machines of before", || Ok(addresses()?.len() == servers))?;
        self.addresses = addresses()?;
        let consul = self.consul();
        if !shape.more.contains("\"acl\"") {
            return Ok(self);
        }
        wait("a leader of before", || {
            Ok(consul.voters(0).is_ok_and(|voters| voters.len() == servers))
        })?;
        wait("health of before", || {
            Ok(consul
                .get(0, "operator/autopilot/health")
                .is_ok_and(|health| health["Healthy"] == true))
        })?;
        Ok(self)
    }

    /// Their Consul.
    #[must_use]
    pub fn consul(&self) -> Consul {
        Consul::at(&self.ca, TOKEN, DATACENTER, self.addresses.clone())
    }

    /// What `hcs adopt` reads of the environment.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let address = self.addresses.first().map(|address| format!("https://{address}:8501"));
        [
            ("CONSUL_HTTP_ADDR", address.unwrap_or_default()),
            ("CONSUL_HTTP_TOKEN", TOKEN.to_owned()),
            ("CONSUL_TLS_SERVER_NAME", format!("server.{DATACENTER}.consul")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

fn put(scenario: &Scenario, id: &str, version: &str, body: &Value) -> Result<(), Box<dyn Error>> {
    let path = format!("{id}?api-version={version}");
    let made = scenario.azure.arm("PUT", &path, Some(&body.to_string()))?;
    if made.status >= 300 {
        return Err(HarnessError::Unexpected(format!("{id}: {}", made.text())).into());
    }
    wait("an object of before", || {
        let state = scenario.azure.arm("GET", &path, None)?.json();
        let state = state.pointer("/properties/provisioningState").and_then(Value::as_str);
        Ok(state == Some("Succeeded"))
    })
}

/// What runs at the first boot of each machine.
fn script(
    folder: &Path,
    program: &Path,
    gossip_key: &str,
    shape: Shape,
) -> Result<String, HarnessError> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(HarnessError::file(path))
    };
    let (ca, certificate) = (read("consul-agent-ca.pem")?, read("dc1-server-consul-0.pem")?);
    let (key, program) = (read("dc1-server-consul-0-key.pem")?, program.display());
    let (servers, more) = (shape.servers, shape.more);
    let meet = folder.join("meet");
    let meet = meet.display();
    Ok(format!(
        r#"#!/bin/sh
set -e
instance="$(curl -s -H Metadata:true "$ARM_MSI_ENDPOINT/metadata/instance?api-version=2021-02-01")"
field() {{ printf '%s' "$instance" | tr ',{{}}[]' '\n\n\n\n\n' | sed -n "s/^\"$1\":\"\(.*\)\"$/\1/p" | head -1; }}
address="$(field privateIpAddress)"
name="$(field computerName)"
# As discovery by the scale set does it.
mkdir -p '{meet}'
printf '%s' "$address" > "{meet}/$name"
while [ "$(ls '{meet}' | wc -l)" -lt {servers} ]; do sleep 0.2; done
join="$(for one in '{meet}'/*; do printf '"%s",' "$(cat "$one")"; done | sed 's/,$//')"
mkdir -p "$HCS_ROOT/opt/consul/tls" "$HCS_ROOT/opt/consul/data" "$HCS_ROOT/etc/consul.d" "$HCS_ROOT/etc/systemd/system"
cat > "$HCS_ROOT/opt/consul/tls/ca.pem" <<'PEM'
{ca}PEM
cat > "$HCS_ROOT/opt/consul/tls/cert.pem" <<'PEM'
{certificate}PEM
cat > "$HCS_ROOT/opt/consul/tls/key.pem" <<'PEM'
{key}PEM
cat > "$HCS_ROOT/etc/consul.d/consul.json" <<JSON
{{ "server": true, "bootstrap_expect": {servers}, "retry_join": [$join], "retry_interval": "2s", "datacenter": "{DATACENTER}", "node_name": "$name",
  "data_dir": "$HCS_ROOT/opt/consul/data", "bind_addr": "$address", "client_addr": "$address",
  "encrypt": "{gossip_key}", "ports": {{ "https": 8501, "http": -1, "grpc": -1, "dns": -1 }},
  "ca_file": "$HCS_ROOT/opt/consul/tls/ca.pem", "cert_file": "$HCS_ROOT/opt/consul/tls/cert.pem",
  "key_file": "$HCS_ROOT/opt/consul/tls/key.pem",
  "verify_incoming_rpc": true, "verify_outgoing": true, "verify_server_hostname": true,
  "auto_encrypt": {{ "allow_tls": true }}, "disable_update_check": true }}
JSON
cat > "$HCS_ROOT/etc/consul.d/more.json" <<'JSON'
{more}
JSON
cat > "$HCS_ROOT/etc/systemd/system/consul.service" <<UNIT
[Service]
ExecStart={program} agent -config-dir $HCS_ROOT/etc/consul.d
KillMode=process
KillSignal=SIGTERM
Restart=on-failure
TimeoutStopSec=120
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now consul
"#
    ))
}

/// Machines that stand alone, each with an interface, one in each zone.
fn machines(
    scenario: &Scenario,
    group: &str,
    vnet: &str,
    script: &str,
    shape: Shape,
) -> Result<Vec<String>, Box<dyn Error>> {
    let mut ids = Vec::new();
    for number in 0..shape.servers {
        let name = format!("{}-{number}", shape.name);
        let interface = format!("{group}/providers/Microsoft.Network/networkInterfaces/{name}");
        let ip = json!({ "name": "consul", "properties": {
            "subnet": { "id": format!("{vnet}/subnets/before") }, "privateIPAllocationMethod": "Dynamic" } });
        let nic = json!({ "location": "westeurope", "properties": { "ipConfigurations": [ip] } });
        put(scenario, &interface, "2024-01-01", &nic)?;
        let id = format!("{group}/providers/Microsoft.Compute/virtualMachines/{name}");
        let machine = json!({
            "location": "westeurope", "zones": [(number % 3 + 1).to_string()],
            "properties": {
                "hardwareProfile": { "vmSize": "Standard_D2s_v5" },
                "osProfile": { "computerName": name, "adminUsername": "azureuser", "customData": STANDARD.encode(script),
                    "linuxConfiguration": { "disablePasswordAuthentication": true,
                        "ssh": { "publicKeys": [{ "path": "/home/azureuser/.ssh/authorized_keys", "keyData": SSH_KEY }] } } },
                "storageProfile": {
                    "imageReference": { "publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server",
                        "version": "latest" },
                    "osDisk": { "createOption": "FromImage", "managedDisk": { "storageAccountType": "Premium_LRS" } } },
                "networkProfile": { "networkInterfaces": [{ "id": interface, "properties": { "primary": true } }] },
            },
        });
        put(scenario, &id, "2024-07-01", &machine)?;
        ids.push(id);
    }
    Ok(ids)
}

/// One uniform scale set in three zones.
fn body(vnet: &str, script: &str, shape: Shape) -> Value {
    let ip = json!({ "name": "consul", "properties": { "primary": true,
        "subnet": { "id": format!("{vnet}/subnets/before") } } });
    let interface =
        json!({ "name": "consul", "properties": { "primary": true, "ipConfigurations": [ip] } });
    json!({
        "location": "westeurope",
        "sku": { "name": "Standard_D2s_v5", "capacity": shape.servers },
        "zones": ["1", "2", "3"],
        "properties": {
            "overprovision": false,
            "orchestrationMode": "Uniform",
            "upgradePolicy": { "mode": "Manual" },
            "virtualMachineProfile": {
                "osProfile": {
                    "computerNamePrefix": shape.name,
                    "adminUsername": "azureuser",
                    "customData": STANDARD.encode(script),
                    "linuxConfiguration": {
                        "disablePasswordAuthentication": true,
                        "ssh": { "publicKeys": [{ "path": "/home/azureuser/.ssh/authorized_keys",
                            "keyData": SSH_KEY }] },
                    },
                },
                "storageProfile": {
                    "imageReference": { "publisher": "Canonical", "offer": "ubuntu-24_04-lts",
                        "sku": "server", "version": "latest" },
                    "osDisk": { "createOption": "FromImage", "caching": "ReadWrite",
                        "managedDisk": { "storageAccountType": "Premium_LRS" } },
                },
                "networkProfile": { "networkInterfaceConfigurations": [interface] },
            },
        },
    })
}
