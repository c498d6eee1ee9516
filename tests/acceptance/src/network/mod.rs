//! A network of clients beside the cluster's: a network namespace that reaches the servers where a peering leads to
//! them, through the ports that their security group lets in, and finds their names where a zone is linked to it. What
//! Azure would do is read from the emulator's objects; what it means is done by the kernel's routes and rules.
//!
//! Replies to what servers begin come from the agent's gossip port, and pass: Azure's groups know connections.

pub mod dns;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::{Emulator, HarnessError, tools};

/// Set in the run of a test that is alone in its network.
const ALONE: &str = "HCS_TEST_ALONE_IN_ITS_NETWORK";
const NETWORK_VERSION: &str = "2024-01-01";
const DNS_VERSION: &str = "2024-06-01";
/// Before the rules of a security group, whose priorities go to 4096.
const FIRST_RULE: u64 = 100;
/// The kernel's own last ones.
const KERNELS_RULES: u64 = 32_766;
/// Where an agent gossips.
const GOSSIP: &str = "8301";

/// Whether the calling test is alone in a network namespace. If not, it is run again in one of its own, as its only
/// test, and the caller has nothing more to do. Needs user namespaces, and no rights.
pub fn alone(test: &str) -> Result<bool, HarnessError> {
    if std::env::var_os(ALONE).is_some() {
        tools::run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        return Ok(true);
    }
    let own = std::env::current_exe().map_err(HarnessError::file("this test"))?;
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--kill-child"])
        .arg(own)
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .status()
        .map_err(HarnessError::file("unshare"))?;
    if status.success() {
        return Ok(false);
    }
    Err(HarnessError::Unexpected(format!(
        "{test} failed in a network namespace of its own ({status}); where `unshare --user --map-root-user --net true` is \
         refused, allow user namespaces"
    )))
}

/// A network of clients, peered or not. One at a time in a namespace.
#[derive(Debug)]
pub struct Spoke {
    /// Keeps the namespace.
    holder: Child,
    azure: Emulator,
    network_id: String,
    resolving: Arc<AtomicBool>,
}

impl Spoke {
    /// The one host in it.
    pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 4);
    /// Its address space.
    pub const SPACE: &str = "10.99.0.0/16";
    /// The far end of its cable, and its resolver.
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

    /// Makes the network in `group`, and a host in it. Nothing is reached from it yet: see [`Self::follow`].
    pub fn new(azure: &Emulator, group: &str, dir: &Path) -> Result<Self, HarnessError> {
        let network_id =
            format!("{}/providers/Microsoft.Network/virtualNetworks/apps", azure.group_id(group));
        let body = format!(
            r#"{{"location":"westeurope","properties":{{"addressSpace":{{"addressPrefixes":["{}"]}}}}}}"#,
            Self::SPACE
        );
        let path = format!("{network_id}?api-version={NETWORK_VERSION}");
        let made = azure.arm("PUT", &path, Some(&body))?;
        if made.status >= 300 {
            return Err(HarnessError::Unexpected(format!("PUT {path}: {}", made.text())));
        }
        let holder = Command::new("unshare")
            .args(["--net", "--mount", "--kill-child", "--fork", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .map_err(HarnessError::file("unshare"))?;
        let resolving = Arc::new(AtomicBool::new(true));
        let spoke = Self { holder, azure: azure.handle(), network_id, resolving };
        spoke.connect(dir)?;
        spoke.resolve()?;
        Ok(spoke)
    }

    /// Id of the network.
    pub fn network_id(&self) -> &str {
        &self.network_id
    }

    /// A cable between the namespaces, and a resolver behind it.
    fn connect(&self, dir: &Path) -> Result<(), HarnessError> {
        // Whoever forks has a moment without a namespace of its own.
        let own = std::fs::read_link("/proc/self/ns/net").map_err(HarnessError::file("/proc"))?;
        let theirs = format!("/proc/{}/ns/net", self.holder.id());
        for _ in 0..200 {
            if std::fs::read_link(&theirs).is_ok_and(|theirs| theirs != own) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let resolver = dir.join("resolv.conf");
        std::fs::write(&resolver, format!("nameserver {}\n", Self::GATEWAY))
            .map_err(HarnessError::file(&resolver))?;
        let (gateway, host) = (Self::GATEWAY, Self::HOST);
        let pid = self.holder.id().to_string();
        ip(&["link", "add", "apps", "type", "veth", "peer", "name", "eth0", "netns", &pid])?;
        ip(&["addr", "add", &format!("{gateway}/24"), "dev", "apps"])?;
        ip(&["link", "set", "apps", "up"])?;
        // Whoever runs Terraform sits in a network that finds the names, too.
        let mount = format!("mount --bind {} /etc/resolv.conf", resolver.display());
        tools::run(Command::new("sh").args(["-c", &mount]))?;
        for words in [
            format!("ip addr add {host}/24 dev eth0"),
            "ip link set eth0 up".to_owned(),
            "ip link set lo up".to_owned(),
            mount,
        ] {
            self.run(&words)?;
        }
        Ok(())
    }

    /// A command on the host.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.holder.id().to_string();
        command.args(["--target", &pid, "--net", "--mount"]).arg(program);
        command
    }

    fn run(&self, words: &str) -> Result<String, HarnessError> {
        let mut words = words.split_whitespace();
        tools::run(self.command(words.next().unwrap_or_default()).args(words))
    }

    /// Lets through what Azure would let through to `servers`, a range behind this security group, as both are now.
    pub fn follow(&self, security_group: &str, servers: &str) -> Result<(), HarnessError> {
        let read = |id: &str| {
            let path = format!("{id}?api-version={NETWORK_VERSION}");
            self.azure.arm("GET", &path, None).map(|answer| answer.json())
        };
        let peerings = read(&self.network_id)?;
        let peerings = peerings["properties"]["virtualNetworkPeerings"].as_array().cloned();
        let is_peered = peerings.into_iter().flatten().any(|one| {
            one["properties"]["peeringState"] == "Connected"
                && one["properties"]["remoteAddressSpace"]["addressPrefixes"][0] == servers
        });
        let _ = self.run(&format!("ip route del {servers}"));
        if is_peered {
            self.run(&format!("ip route add {servers} via {}", Self::GATEWAY))?;
        }
        for priority in self.own_rules()? {
            self.run(&format!("ip rule del priority {priority}"))?;
        }
        self.run(&format!(
            "ip rule add priority {FIRST_RULE} to {servers} ipproto tcp sport {GOSSIP} lookup main"
        ))?;
        let group = read(security_group)?;
        for rule in group["properties"]["securityRules"].as_array().into_iter().flatten() {
            let rule = &rule["properties"];
            if rule["direction"] == "Inbound" && Self::comes_from_here(rule) {
                self.add(rule, servers)?;
            }
        }
        Ok(())
    }

    /// Priorities of the rules of the last time, each as often as it is there.
    fn own_rules(&self) -> Result<Vec<u64>, HarnessError> {
        let shown = self.run("ip rule")?;
        let all = shown.lines().filter_map(|line| line.split(':').next()?.trim().parse().ok());
        Ok(all.filter(|number| (FIRST_RULE..KERNELS_RULES).contains(number)).collect())
    }

    /// Whether a rule speaks of this host as the source. A network that is peered is `VirtualNetwork`.
    fn comes_from_here(rule: &Value) -> bool {
        let one = rule["sourceAddressPrefix"].as_str();
        let many = rule["sourceAddressPrefixes"].as_array().into_iter().flatten();
        let holds = |prefix: &str| match prefix {
            "*" | "VirtualNetwork" => true,
            range => in_range(range, Self::HOST),
        };
        one.into_iter().chain(many.filter_map(Value::as_str)).any(holds)
    }

    fn add(&self, rule: &Value, servers: &str) -> Result<(), HarnessError> {
        let word = |name: &str| rule[name].as_str().unwrap_or_default().to_lowercase();
        let priority = rule["priority"].as_u64().unwrap_or_default();
        let then = if word("access") == "allow" { "lookup main" } else { "prohibit" };
        let protocols = match word("protocol").as_str() {
            "*" => vec!["tcp", "udp"],
            "tcp" => vec!["tcp"],
            _ => vec!["udp"],
        };
        let port = match word("destinationPortRange").as_str() {
            "*" => String::new(),
            port => format!("dport {port}"),
        };
        for protocol in protocols {
            self.run(&format!(
                "ip rule add priority {} to {servers} ipproto {protocol} {port} {then}",
                FIRST_RULE + priority
            ))?;
        }
        Ok(())
    }

    /// Answers names as Azure does in this network: from the private zones that are linked to it, and from no other.
    fn resolve(&self) -> Result<(), HarnessError> {
        let socket = UdpSocket::bind((Self::GATEWAY, 53)).map_err(HarnessError::file("port 53"))?;
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .map_err(HarnessError::file("port 53"))?;
        let (azure, network) = (self.azure.handle(), self.network_id.clone());
        let resolving = Arc::clone(&self.resolving);
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while resolving.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let Some((name, ..)) = dns::question(&buffer[..length]) else { continue };
                let found = look_up(&azure, &network, &name.to_lowercase()).ok().flatten();
                if let Some(reply) = dns::answer(&buffer[..length], found.as_deref()) {
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        Ok(())
    }
}

impl Drop for Spoke {
    fn drop(&mut self) {
        self.resolving.store(false, Ordering::Relaxed);
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn ip(words: &[&str]) -> Result<String, HarnessError> {
    tools::run(Command::new("ip").args(words))
}

fn in_range(range: &str, address: Ipv4Addr) -> bool {
    let Some((base, bits)) = range.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<Ipv4Addr>(), bits.parse::<u32>()) else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    u32::from(base) & mask == u32::from(address) & mask
}

/// The addresses of a name in a network.
fn look_up(
    azure: &Emulator,
    network: &str,
    name: &str,
) -> Result<Option<Vec<Ipv4Addr>>, HarnessError> {
    let list = |path: &str| {
        let answer = azure.arm("GET", &format!("{path}?api-version={DNS_VERSION}"), None)?;
        Ok::<_, HarnessError>(answer.json()["value"].as_array().cloned().unwrap_or_default())
    };
    let id = |row: &Value| row["id"].as_str().unwrap_or_default().to_owned();
    let subscription = format!("/subscriptions/{}", azure.variable("ARM_SUBSCRIPTION_ID"));
    let zones = list(&format!("{subscription}/providers/Microsoft.Network/privateDnsZones"))?;
    for zone in zones.iter().map(id) {
        let domain = zone.rsplit('/').next().unwrap_or_default().to_lowercase();
        let Some(label) = name.strip_suffix(&domain).and_then(|rest| rest.strip_suffix('.')) else {
            continue;
        };
        let links = list(&format!("{zone}/virtualNetworkLinks"))?;
        let is_linked = links.iter().any(|link| {
            let to = link["properties"]["virtualNetwork"]["id"].as_str().unwrap_or_default();
            to.eq_ignore_ascii_case(network)
        });
        if !is_linked {
            continue;
        }
        let records = list(&format!("{zone}/A"))?;
        let own = |row: &&Value| {
            id(row).rsplit('/').next().is_some_and(|own| own.eq_ignore_ascii_case(label))
        };
        let Some(record) = records.iter().find(own) else { continue };
        let rows = record["properties"]["aRecords"].as_array().into_iter().flatten();
        let addresses = rows.filter_map(|row| row["ipv4Address"].as_str()?.parse().ok());
        return Ok(Some(addresses.collect()));
    }
    Ok(None)
}
