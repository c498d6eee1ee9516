//! What has to be true of servers of before, so that a cluster can take over from them and nothing be lost: each fact
//! with what it means. What cannot be proven blocks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use semver::Version;
use serde::Serialize;

use super::AdoptedServer;
use crate::arm::ArmId;
use crate::names::Names;
use crate::plan::MAX_SLOTS;
use crate::spec::ClusterSpec;

/// What Consul says of itself. Source of the words: `/v1/agent/self`, `/v1/operator/raft/configuration`,
/// `/v1/operator/autopilot/health`, `/v1/operator/keyring` of Consul 1.8.7 and 1.23.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct ConsulBefore {
    /// Its datacenter.
    pub datacenter: String,
    /// The datacenter that rules tokens and intentions; the same where there is one.
    pub primary_datacenter: String,
    /// All datacenters that it knows.
    pub datacenters: Vec<String>,
    /// Its DNS domain, without the dot at the end.
    pub domain: String,
    /// Version, as the server that was asked has it: `1.21.5+ent` is Enterprise.
    pub version: String,
    /// Whether tokens are asked for.
    pub has_acls: bool,
    /// What happens to who has no token that says otherwise.
    pub default_policy: String,
    /// Whether servers talk to each other with TLS.
    pub verifies_outgoing: bool,
    /// Whether gossip is encrypted.
    pub is_gossip_encrypted: bool,
    /// How many gossip keys are in use.
    pub gossip_keys: usize,
    /// Whether the caller's token may do everything.
    pub is_management: bool,
    /// Whether Autopilot calls all well.
    pub is_healthy: bool,
    /// The servers.
    pub servers: Vec<BeforeServer>,
}

/// A server, as Autopilot and Raft have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeforeServer {
    /// What Consul calls it.
    pub node_name: String,
    /// Where it answers.
    pub address: IpAddr,
    /// Its version.
    pub version: String,
    /// Whether it votes.
    pub is_voter: bool,
    /// Whether it leads.
    pub is_leader: bool,
    /// Whether Autopilot calls it well.
    pub is_healthy: bool,
}

/// The machines that were named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachinesBefore {
    /// All of them.
    pub machines: Vec<Machine>,
    /// What of their scale sets would start a stopped machine again, in words.
    pub revivers: Vec<String>,
}

/// A machine that may be a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its id.
    pub id: ArmId,
    /// What it calls itself.
    pub computer_name: String,
    /// Its private addresses.
    pub addresses: Vec<IpAddr>,
    /// The network that it is in.
    pub vnet_id: Option<ArmId>,
}

/// What a fact means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it has to be.
    Good,
    /// Somebody should know it.
    Note,
    /// Nothing is adopted as long as it is so.
    Blocks,
}

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// What it means.
    pub level: Level,
    /// What there is.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

fn good(check: &'static str, found: impl Into<String>) -> Finding {
    Finding { check, level: Level::Good, found: found.into(), mend: None }
}

fn note(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { check, level: Level::Note, found: found.into(), mend: Some(mend.into()) }
}

fn blocks(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { check, level: Level::Blocks, found: found.into(), mend: Some(mend.into()) }
}

/// Everything, in the order in which people ask. `authority` says why the CA that was given cannot sign for the servers.
pub fn judge(
    spec: &ClusterSpec,
    consul: &ConsulBefore,
    machines: &MachinesBefore,
    authority: &Result<(), String>,
) -> Vec<Finding> {
    let mut findings = vec![
        edition(consul),
        version(spec, consul),
        datacenter(spec, consul),
        federation(consul),
        tokens(consul),
        gossip(consul),
        tls(consul),
        signer(authority),
        health(consul),
        count(spec),
        who(spec, consul, machines),
        network(spec, machines),
        revivers(machines),
    ];
    findings.extend(what_changes_for_clients());
    findings
}

/// The machine of each server: by its address, else by its name.
///
/// # Errors
/// Names of the servers that no machine, or more than one, can be told to be.
pub fn matched(
    servers: &[BeforeServer],
    machines: &[Machine],
) -> Result<Vec<AdoptedServer>, Vec<String>> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for server in servers {
        let by_address =
            machines.iter().filter(|machine| machine.addresses.contains(&server.address));
        let by_name = machines
            .iter()
            .filter(|machine| machine.computer_name.eq_ignore_ascii_case(&server.node_name));
        let mut candidates: Vec<&Machine> = by_address.collect();
        if candidates.is_empty() {
            candidates = by_name.collect();
        }
        match candidates.as_slice() {
            [machine] => found.push(AdoptedServer {
                node_name: server.node_name.clone(),
                address: server.address,
                machine_id: machine.id.clone(),
            }),
            _ => missing.push(server.node_name.clone()),
        }
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for server in &found {
        *taken.entry(server.machine_id.key()).or_default() += 1;
    }
    let is_double = |server: &&AdoptedServer| taken.get(&server.machine_id.key()) > Some(&1);
    missing.extend(found.iter().filter(is_double).map(|server| server.node_name.clone()));
    if missing.is_empty() { Ok(found) } else { Err(missing) }
}

fn numbers(version: &str) -> Option<Version> {
    Version::parse(version.split(['+', '-', ':']).next()?).ok()
}

fn edition(consul: &ConsulBefore) -> Finding {
    let (check, version) = ("edition", &consul.version);
    let is_enterprise =
        |version: &str| version.split_once('+').is_some_and(|(_, more)| more.contains("ent"));
    let all = consul.servers.iter().map(|server| server.version.as_str()).chain([version.as_str()]);
    if all.into_iter().any(is_enterprise) {
        return blocks(
            check,
            format!("Consul {version} is Enterprise; hcs runs the Community Edition"),
            "A Community server does not understand what an Enterprise one may have written (namespaces, partitions, \
             sentinel). Copy what is needed over Consul's API into a new cluster.",
        );
    }
    good(check, format!("Community, {version}"))
}

fn version(spec: &ClusterSpec, consul: &ConsulBefore) -> Finding {
    let (check, wanted) = ("version", &spec.consul_version);
    let mut all: Vec<Version> =
        consul.servers.iter().filter_map(|server| numbers(&server.version)).collect();
    all.sort();
    all.dedup();
    let [runs] = all.as_slice() else {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        return blocks(
            check,
            format!(
                "the servers run {}",
                if all.is_empty() {
                    "no version that is known".to_owned()
                } else {
                    all.join(" and ")
                }
            ),
            "Bring all of them to one version first.",
        );
    };
    let plain = Version::new(wanted.major, wanted.minor, wanted.patch);
    if plain == *runs {
        return good(check, format!("{runs}, as consul_version declares"));
    }
    if (plain.major, plain.minor) == (runs.major, runs.minor) && plain > *runs {
        return good(
            check,
            format!("{runs}; consul_version declares {wanted}, a later patch of it"),
        );
    }
    blocks(
        check,
        format!("the servers run {runs}, and consul_version declares {wanted}"),
        format!(
            "Declare consul_version = \"{runs}\" (or a later patch of it) for the adoption, and upgrade when it has ended."
        ),
    )
}

fn datacenter(spec: &ClusterSpec, consul: &ConsulBefore) -> Finding {
    let check = "datacenter";
    if consul.domain != "consul" {
        return blocks(
            check,
            format!("the DNS domain is {:?}", consul.domain),
            "Certificates of hcs name the servers server.<datacenter>.consul: servers of another domain would refuse them.",
        );
    }
    if consul.datacenter == spec.consul_datacenter {
        return good(check, consul.datacenter.clone());
    }
    blocks(
        check,
        format!(
            "Consul calls it {:?}, and consul_datacenter declares {:?}",
            consul.datacenter, spec.consul_datacenter
        ),
        format!("Declare consul_datacenter = \"{}\".", consul.datacenter),
    )
}

fn federation(consul: &ConsulBefore) -> Finding {
    let check = "federation";
    let is_primary =
        consul.primary_datacenter.is_empty() || consul.primary_datacenter == consul.datacenter;
    let others: Vec<&str> = consul
        .datacenters
        .iter()
        .map(String::as_str)
        .filter(|name| *name != consul.datacenter)
        .collect();
    if is_primary && others.is_empty() {
        return good(check, "one datacenter");
    }
    blocks(
        check,
        format!(
            "it is joined with {}",
            if others.is_empty() { &consul.primary_datacenter } else { others[0] }
        ),
        "hcs does not federate clusters yet: the other datacenters would lose this one with its last server of before.",
    )
}

fn tokens(consul: &ConsulBefore) -> Finding {
    let check = "tokens";
    if !consul.has_acls {
        return blocks(
            check,
            "ACLs are off",
            "Servers of hcs ask for tokens, and clients without one would be refused. Switch ACLs on first: \
             https://developer.hashicorp.com/consul/docs/secure/acl/bootstrap",
        );
    }
    if consul.default_policy != "deny" {
        return blocks(
            check,
            format!("the default policy is {:?}", consul.default_policy),
            "Servers of hcs have deny: whoever works without a token would be refused. Give them tokens, and set \
             default_policy = \"deny\" on the servers of before.",
        );
    }
    if !consul.is_management {
        return blocks(
            check,
            "the token in CONSUL_HTTP_TOKEN has not the policy global-management",
            "Use one that has: a token of its own is made for the cluster with it, and it is stored nowhere.",
        );
    }
    good(check, "asked for, default policy deny")
}

fn gossip(consul: &ConsulBefore) -> Finding {
    let check = "gossip";
    if !consul.is_gossip_encrypted {
        return blocks(
            check,
            "it is not encrypted",
            "Encrypt it first, without an outage: \
             https://developer.hashicorp.com/consul/docs/secure/encryption/gossip/existing",
        );
    }
    if consul.gossip_keys != 1 {
        return blocks(
            check,
            format!("{} keys are in use", consul.gossip_keys),
            "End the rotation first: `consul keyring -list`, then `consul keyring -remove` for the old ones.",
        );
    }
    good(check, "encrypted with one key, which is kept")
}

fn tls(consul: &ConsulBefore) -> Finding {
    let check = "tls";
    if consul.verifies_outgoing {
        return good(check, "servers talk to each other with TLS");
    }
    blocks(
        check,
        "servers talk to each other without TLS (verify_outgoing is off)",
        "Servers of hcs take TLS alone. Switch it on first: \
         https://developer.hashicorp.com/consul/docs/secure/encryption/tls/rotate",
    )
}

fn signer(authority: &Result<(), String>) -> Finding {
    let check = "authority";
    match authority {
        Ok(()) => good(check, "it has signed for the servers, and its key is there"),
        Err(reason) => blocks(
            check,
            reason.clone(),
            "Give the authority that signed the servers' certificates with --ca-file, and its key with --ca-key-file: \
             servers of hcs sign for themselves with it. When all is done, another word in \
             rotation_triggers.certificate_authority replaces it.",
        ),
    }
}

fn health(consul: &ConsulBefore) -> Finding {
    let check = "health";
    let ill: Vec<&str> = consul
        .servers
        .iter()
        .filter(|server| !server.is_healthy || !server.is_voter)
        .map(|server| server.node_name.as_str())
        .collect();
    if !consul.is_healthy || !ill.is_empty() || consul.servers.is_empty() {
        let ill = if ill.is_empty() { "the cluster".to_owned() } else { ill.join(", ") };
        return blocks(
            check,
            format!("Autopilot does not call {ill} a healthy voter"),
            "`consul operator autopilot state` tells why. Nothing is taken over from a cluster that is not well.",
        );
    }
    let leader = consul.servers.iter().find(|server| server.is_leader);
    let leader = leader.map_or("nobody", |server| server.node_name.as_str());
    good(check, format!("{} healthy voters, {leader} leads", consul.servers.len()))
}

fn count(spec: &ClusterSpec) -> Finding {
    let (check, count) = ("servers", spec.server_count);
    if count >= 3 {
        return good(check, format!("{count} are declared"));
    }
    blocks(
        check,
        "one is declared",
        "Beside one server the last one of before cannot go without an outage: of two voters none can be spared. Declare \
         three; server_count = 1 works when the adoption has ended.",
    )
}

fn who(spec: &ClusterSpec, consul: &ConsulBefore, machines: &MachinesBefore) -> Finding {
    let (check, names) = ("machines", Names::new(spec));
    let own: Vec<String> = (0..MAX_SLOTS).map(|slot| names.server(slot)).collect();
    let mut doubles = consul.servers.iter().filter(|server| own.contains(&server.node_name));
    if let Some(double) = doubles.next() {
        return blocks(
            check,
            format!(
                "a server of before is called {} already, as one of the cluster's would be",
                double.node_name
            ),
            "Declare another name.",
        );
    }
    match matched(&consul.servers, &machines.machines) {
        Ok(servers) => {
            let rows = servers.iter().map(|server| {
                format!("{} ({}) is {}", server.node_name, server.address, server.machine_id)
            });
            good(check, rows.collect::<Vec<_>>().join("; "))
        }
        Err(missing) => blocks(
            check,
            format!("no one machine can be told to be {}", missing.join(", ")),
            "Name the scale sets or machines of all servers with --from. A server is told by its private address, else by \
             its host's name. One that hcs cannot stop is not adopted.",
        ),
    }
}

fn network(spec: &ClusterSpec, machines: &MachinesBefore) -> Finding {
    let check = "network";
    let names = Names::new(spec);
    let subnet =
        |id: &ArmId| id.as_str().rfind("/subnets/").map(|at| ArmId::new(&id.as_str()[..at]));
    let own = match &spec.subnet_id {
        Some(id) => subnet(id),
        None => Some(names.vnet()),
    };
    let is_reached = |vnet: &ArmId| {
        own.as_ref().is_some_and(|own| own.key() == vnet.key())
            || spec.peer_vnet_ids.iter().any(|peer| peer.key() == vnet.key())
    };
    let away: Vec<&ArmId> = machines
        .machines
        .iter()
        .filter_map(|machine| machine.vnet_id.as_ref())
        .filter(|vnet| !is_reached(vnet))
        .collect();
    match away.first() {
        None => note(
            check,
            "the servers of before are in the same network, or in a peered one",
            "Let 8300-8302 through in both directions, TCP and UDP, in the security groups of both.",
        ),
        Some(vnet) => blocks(
            check,
            format!(
                "servers of before are in {vnet}, which is not the cluster's network and not peered with it"
            ),
            "Declare a subnet_id in it, or add it to peer_vnet_ids.",
        ),
    }
}

fn revivers(machines: &MachinesBefore) -> Finding {
    let check = "machines stay off";
    match machines.revivers.first() {
        None => good(check, "nothing starts a stopped machine again"),
        Some(reviver) => blocks(
            check,
            reviver.clone(),
            "Switch it off: a server of before that is stopped would come again, without a vote or with one.",
        ),
    }
}

fn what_changes_for_clients() -> Vec<Finding> {
    vec![
        note(
            "clients",
            "the servers of before leave in the end, and their addresses with them",
            "Running agents follow by gossip. Before `hcs adopt finish` set retry_join of all clients to the cluster's \
             name (the output retry_join): an agent that restarts later finds nobody at the old addresses.",
        ),
        note(
            "ports",
            "servers of hcs serve HTTPS on 8501, no plain HTTP on 8500 and no DNS on 8600",
            "Whoever asks a server directly on those goes to 8501, or asks its own agent.",
        ),
    ]
}

#[cfg(test)]
mod tests;
