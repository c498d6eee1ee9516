//! What Azure and the servers say now.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adoption::Adoption;
use crate::arm::ArmId;
use crate::dataplane::{ClusterDocument, ServerStatus};
use crate::given_group;
use crate::names::{INCARNATION_TAG, Names};
use crate::ownership::RunRecord;
use crate::plan::Voter;
use crate::reference::point;
use crate::requests::Request;
use crate::spec::ClusterSpec;
use crate::upgrade::{By, Upgrade, in_force};

/// One look at a cluster's world.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Bodies of ARM objects by [`ArmId::key`].
    pub objects: BTreeMap<String, Value>,
    /// Private addresses of servers, by slot, as their DNS records say.
    pub addresses: BTreeMap<u32, String>,
    /// `config/spec.json`.
    pub stored_spec: Option<ClusterSpec>,
    /// `config/cluster.json`.
    pub document: Option<ClusterDocument>,
    /// The last way from one Consul to another, as the servers say. [`Self::document`] names what is in force by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Box<Upgrade>>,
    /// The generation of [`Self::document`] at which the cluster last reported healthy.
    pub ready: Option<ReadyDocument>,
    /// Latest status of each server.
    pub servers: BTreeMap<u32, ObservedServer>,
    /// Requests to leave that wait for their server, by slot.
    #[serde(default)]
    pub leave_requests: BTreeMap<u32, Request>,
    /// The machines of the scale sets, by slot. Looked at while a change is under way, or where a set is not as
    /// declared: otherwise the machines follow their sets.
    #[serde(default)]
    pub machines: BTreeMap<u32, ObservedMachine>,
    /// `config/run.json`.
    #[serde(default)]
    pub run: Option<RunRecord>,
    /// `config/adoption.json`: servers of before that the cluster takes over from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<Box<Adoption>>,
    /// Etags of the documents, by blob: what was read is overwritten, nothing newer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub etags: BTreeMap<String, String>,
    /// What could not be seen; a look for display goes on without it, a change does not.
    #[serde(skip)]
    pub problems: Vec<Unseen>,
    /// Whether blobs could be read; without it the fields above that come from blobs are empty.
    pub blobs_readable: bool,
}

/// What could not be seen of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// What, and why.
    pub sentence: String,
    /// Why, as far as it matters.
    pub why: UnseenWhy,
}

/// Why something could not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnseenWhy {
    /// The storage service does not let the caller in.
    Denied {
        /// Its code: a role that is missing or has not spread yet, a firewall, a token.
        code: String,
    },
    /// A container is missing.
    NoContainer,
    /// The storage account is out of reach.
    Away,
    /// What is there cannot be read.
    Unreadable,
}

/// The one machine of a server's scale set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedMachine {
    /// Size that it runs with; the model of its set may say another one by now.
    pub vm_size: String,
    /// Whether it has no power: a run that was to start it again was cut off, or somebody stopped it.
    #[serde(default)]
    pub is_off: bool,
}

/// A server's status and its age.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObservedServer {
    /// What the server says.
    pub status: ServerStatus,
    /// Seconds since it said so, by the storage service's clock; `None` when the service did not say: then it is neither
    /// fresh nor old.
    pub age_seconds: Option<u64>,
}

impl ObservedServer {
    /// Whether it says how things are now.
    pub fn is_fresh(&self) -> bool {
        self.age_seconds.is_some_and(|age| age <= STATUS_FRESH_SECONDS)
    }

    /// Whether the machine of this scale set wrote it: what one of an earlier set said tells nothing of this one. `None`
    /// where a time is missing. Both times are UTC, to the second.
    pub fn is_of(&self, scale_set: &Value) -> Option<bool> {
        let made = point(scale_set, "/properties/timeCreated").and_then(Value::as_str)?;
        Some(made.get(..19)? < self.status.written_at.get(..19)?)
    }
}

/// `config/ready.json`: the cluster has reported healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyDocument {
    /// Generation of the cluster document that was in force.
    pub generation: u64,
}

/// Name of [`ReadyDocument`] in the `config` container.
pub const READY_BLOB: &str = "ready.json";

/// A status older than this says nothing about now: host managers write every few seconds.
pub const STATUS_FRESH_SECONDS: u64 = 60;

/// Who is silent for so long, while the others go on without it, does not come back by itself: a restart or a move to
/// another host takes minutes.
pub const LOST_AFTER_SECONDS: u64 = 900;

impl Observed {
    /// Ids of the locks that are the cluster's, whether they are there or not: the declared one, and the one of the
    /// declaration before, which may have had another name.
    pub fn own_locks(&self, names: &Names) -> Vec<ArmId> {
        let mut own = vec![names.lock()];
        let before = self.stored_spec.as_ref().map(|spec| Names::new(spec).lock());
        own.extend(before.filter(|before| *before != names.lock()));
        own
    }

    /// Takes over what the servers decided since the document was written. Whoever leads knows best, then who spoke last.
    pub fn follow_servers(&mut self) {
        let known = self.servers.values().filter(|server| server.status.upgrade.is_some());
        let best = known.max_by_key(|server| {
            let leads = server.status.consul.as_ref().is_some_and(|consul| consul.is_leader);
            (server.is_fresh() && leads, server.status.written_at.clone())
        });
        self.upgrade = best.and_then(|server| server.status.upgrade.clone());
        if let Some(document) = &mut self.document {
            document.consul = in_force(document, self.upgrade.as_deref()).clone();
        }
    }

    /// Whether the servers are on their way to the version in force by themselves, and may wait for their window.
    pub fn upgrades_itself(&self) -> bool {
        let (Some(document), Some(upgrade)) = (&self.document, &self.upgrade) else { return false };
        let is_in_force = document.consul == upgrade.to || document.consul == upgrade.from;
        upgrade.goes_on() && upgrade.by == By::Channel && is_in_force
    }

    /// The same declaration, where the cluster went further by itself since it was planned.
    pub fn moved_on(&self, spec: &ClusterSpec) -> Option<ClusterSpec> {
        let in_force = &self.document.as_ref()?.consul.version;
        let has_moved = spec.maintenance.channel.is_on() && *in_force > spec.consul_version;
        has_moved.then(|| ClusterSpec { consul_version: in_force.clone(), ..spec.clone() })
    }

    /// An object's body.
    pub fn object(&self, id: &ArmId) -> Option<&Value> {
        self.objects.get(&id.key())
    }

    /// Adds an object by the id in its body.
    pub fn insert(&mut self, body: Value) {
        if let Some(id) = body.get("id").and_then(Value::as_str) {
            self.objects.insert(ArmId::new(id).key(), body);
        }
    }

    /// Whether the machine of a slot's scale set has ever spoken, as far as can be told: its disk may hold all that is left
    /// of the cluster.
    pub fn has_spoken(&self, slot: u32, scale_set: &Value) -> bool {
        self.servers.get(&slot).is_some_and(|server| server.is_of(scale_set) != Some(false))
    }

    /// Whether the managed group is there at all.
    pub fn exists(&self, cluster_id: &ArmId) -> bool {
        self.object(cluster_id).is_some()
    }

    /// Whether the cluster is there: its group, and in it more than a group that was given and has been left again.
    pub fn has_cluster(&self, names: &Names) -> bool {
        self.exists(&names.cluster_id) && !given_group::is_released(names, self)
    }

    /// Which cluster of its id this is: as its record says, else as its group is tagged.
    pub fn incarnation_id(&self, cluster_id: &ArmId) -> Option<&str> {
        let tag =
            || self.object(cluster_id)?.pointer(&format!("/tags/{INCARNATION_TAG}"))?.as_str();
        self.run.as_ref().map(|run| run.incarnation_id.as_str()).or_else(tag)
    }

    /// Whether the cluster has ever been healthy.
    pub fn was_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// Whether every step of the last change was seen to its healthy end.
    pub fn is_ready(&self) -> bool {
        match (&self.document, &self.ready) {
            (Some(document), Some(ready)) => document.generation == ready.generation,
            _ => false,
        }
    }

    /// Fresh statuses only.
    pub fn fresh(&self) -> impl Iterator<Item = &ServerStatus> {
        self.servers.values().filter(|server| server.is_fresh()).map(|server| &server.status)
    }
}

/// Why a cluster of exactly these voters, beside those of before that it follows, is not healthy yet; `None` when it is.
///
/// Healthy: every one of them speaks, runs, sees one and the same leader, calls all well, and knows just these voters.
pub fn unhealthy_reason<'a>(
    voters: &[Voter],
    adoption: Option<&Adoption>,
    statuses: impl Iterator<Item = &'a ServerStatus>,
) -> Option<String> {
    let statuses: BTreeMap<&str, &ServerStatus> =
        statuses.map(|status| (status.node_name.as_str(), status)).collect();
    let mut names: Vec<&str> = voters.iter().map(|voter| voter.node_name.as_str()).collect();
    names.sort_unstable();
    let mut leader: Option<&str> = None;
    for name in &names {
        let Some(status) = statuses.get(name) else {
            return Some(format!("{name} has not reported yet"));
        };
        let error = status.last_error.as_deref().unwrap_or("no error reported");
        let Some(consul) = &status.consul else {
            return Some(format!(
                "{name} is {:?}, its Consul does not answer ({error})",
                status.phase
            ));
        };
        let Some(own_leader) = consul.leader.as_deref() else {
            return Some(format!("{name} sees no leader ({error})"));
        };
        if leader.is_some_and(|leader| leader != own_leader) {
            return Some(format!("{name} follows another leader than the other servers"));
        }
        leader = Some(own_leader);
        let before = adoption.map(Adoption::node_names).unwrap_or_default();
        let seen: Vec<&str> =
            consul.voters.iter().map(String::as_str).filter(|v| !before.contains(v)).collect();
        if seen != names {
            return Some(format!(
                "{name} sees voters {}, expected {}",
                seen.join(", "),
                names.join(", ")
            ));
        }
        if !consul.healthy {
            return Some(format!("{name}: autopilot does not call the cluster healthy yet"));
        }
        if !consul.acl_ready {
            return Some(format!("{name} has no working ACL token yet ({error})"));
        }
    }
    None
}

/// Whether a server that reports this runs this Consul. Autopilot and `agent/self` say `1.23.0` of a `1.23.0-dev` and
/// `1.8.7` of a `1.8.7+dfsg1`, so on both sides only the numbers count.
pub fn is_same_consul(reported: &str, wanted: &semver::Version) -> bool {
    let plain = reported.split(['+', '-']).next().unwrap_or_default();
    plain == format!("{}.{}.{}", wanted.major, wanted.minor, wanted.patch)
}

/// Why these voters do not all run this Consul yet; `None` when they do.
pub fn other_version_reason<'a>(
    voters: &[Voter],
    wanted: &semver::Version,
    statuses: impl Iterator<Item = &'a ServerStatus>,
) -> Option<String> {
    let mut others =
        statuses.filter(|status| voters.iter().any(|v| v.node_name == status.node_name));
    others.find_map(|status| {
        let version = &status.consul.as_ref()?.version;
        let error = status.last_error.as_deref().unwrap_or("no error reported");
        (!is_same_consul(version, wanted)).then(|| {
            format!("{} runs Consul {version}, not {wanted} yet ({error})", status.node_name)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::{ConsulStatus, ServerPhase};

    fn status(slot: u32, voters: &[&str]) -> ServerStatus {
        ServerStatus {
            slot,
            node_name: format!("s{slot}"),
            written_at: String::new(),
            sequence: 1,
            address: [127, 0, 0, 1].into(),
            phase: ServerPhase::Running,
            last_error: None,
            last_error_is_final: false,
            consul: Some(ConsulStatus {
                version: "1.8.7".into(),
                leader: Some("127.0.0.1:8300".into()),
                is_leader: slot == 0,
                healthy: true,
                failure_tolerance: 1,
                voters: voters.iter().map(|v| (*v).to_owned()).collect(),
                peers: vec![],
                acl_ready: true,
            }),
            done_requests: vec![],
            results: vec![],
            certificate_expires_at: None,
            consul_silent_seconds: 0,
            host_manager_version: String::new(),
            host_manager_sha256: String::new(),
            attention: vec![],
            rotations: BTreeMap::new(),
            document_generation: None,
            upgrade: None,
            led_with: None,
        }
    }

    fn voters() -> Vec<Voter> {
        (0..3).map(|slot| Voter { slot, node_name: format!("s{slot}") }).collect()
    }

    fn reason(statuses: &[ServerStatus]) -> Option<String> {
        unhealthy_reason(&voters(), None, statuses.iter())
    }

    #[test]
    fn only_three_agreeing_healthy_voters_are_healthy() {
        let all = ["s0", "s1", "s2"];
        let good: Vec<_> = (0..3).map(|slot| status(slot, &all)).collect();
        assert_eq!(reason(&good), None);
        assert_eq!(reason(&good[..2]).unwrap(), "s2 has not reported yet");

        let mut two_voters = good.clone();
        two_voters[1] = status(1, &["s0", "s1"]);
        assert_eq!(reason(&two_voters).unwrap(), "s1 sees voters s0, s1, expected s0, s1, s2");

        let mut split = good.clone();
        split[2].consul.as_mut().unwrap().leader = Some("127.0.0.3:8300".into());
        assert!(reason(&split).unwrap().contains("another leader"));

        let mut leaderless = good;
        leaderless[0].consul.as_mut().unwrap().leader = None;
        assert!(reason(&leaderless).unwrap().contains("sees no leader"));
    }

    #[test]
    fn servers_of_before_may_vote_beside_those_that_are_expected() {
        let good: Vec<_> = (0..3).map(|slot| status(slot, &["old", "s0", "s1", "s2"])).collect();
        let server = crate::adoption::AdoptedServer {
            node_name: "old".into(),
            address: [127, 0, 0, 9].into(),
            machine_id: ArmId::new("/old"),
        };
        let adoption = Adoption {
            servers: vec![server],
            prepared_at: String::new(),
            is_prepared: true,
            form: crate::dataplane::Form::default(),
        };
        let told = |adoption| unhealthy_reason(&voters(), adoption, good.iter());
        assert_eq!(told(Some(&adoption)), None);
        let stranger = told(None).unwrap();
        assert_eq!(stranger, "s0 sees voters old, s0, s1, s2, expected s0, s1, s2");
    }

    #[test]
    fn a_build_and_a_pre_release_count_as_their_numbers() {
        let all = ["s0", "s1", "s2"];
        let mut statuses: Vec<_> = (0..3).map(|slot| status(slot, &all)).collect();
        statuses[1].consul.as_mut().unwrap().version = "1.8.7+dfsg1".into();
        let wanted = semver::Version::new(1, 8, 7);
        assert_eq!(other_version_reason(&voters(), &wanted, statuses.iter()), None);
        let dev = "1.8.7-dev".parse().unwrap();
        assert_eq!(other_version_reason(&voters(), &dev, statuses.iter()), None);
        statuses[2].consul.as_mut().unwrap().version = "1.8.6".into();
        let reason = other_version_reason(&voters(), &wanted, statuses.iter()).unwrap();
        assert!(reason.starts_with("s2 runs Consul 1.8.6, not 1.8.7 yet"), "{reason}");
    }
}
