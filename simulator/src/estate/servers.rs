//! The servers of one cluster, as far as documents show them: they boot, join, leave when asked, fall silent, and say
//! so in their status. No Consul: Raft is a set of voters here.

use std::collections::{BTreeMap, BTreeSet};

use hcs_planner::dataplane::{
    ClusterDocument, ConsulStatus, ServerPhase, ServerStatus, blob, container,
};
use hcs_planner::requests::{Request, RequestAction, RequestOutcome, RequestResult, argument};

use super::blobs::Blobs;
use super::quorum::Quorum;
use crate::world::World;

/// While a blob of this name is in `config`, no server can start what it was given.
pub const HOPELESS: &str = "hopeless";
/// From power to Raft, in rounds.
const BOOT_ROUNDS: u32 = 4;
/// Between two looks of a server.
const ROUND_MS: u64 = 5_000;

/// A machine with power.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    /// Since its power came.
    rounds: u32,
}

/// All servers of a cluster whose account is known. Called by the name of their scale set.
#[derive(Clone, Debug)]
pub struct Servers {
    account: String,
    next_round_ms: u64,
    /// Rounds so far; statuses count them.
    sequence: u64,
    reported: u64,
    machines: BTreeMap<String, Machine>,
    /// Raft's configuration.
    voters: BTreeSet<String>,
    /// Who left, and the request that asked for it.
    left: BTreeMap<String, String>,
    /// Whose machine runs and whose server is dead.
    dead: BTreeSet<String>,
    /// What works there and will not for long.
    attention: BTreeMap<String, String>,
    is_hopeless: bool,
    version: Option<String>,
    /// Etag of the document that `version` was read from.
    document_etag: String,
    quorum: Quorum,
    /// What whoever leads has answered, and what it has restored, in this order.
    results: Vec<RequestResult>,
    restored: Vec<String>,
    /// Servers of before, and the ids of their machines.
    before: BTreeMap<String, String>,
    /// Those of them whose machines have power.
    on: BTreeSet<String>,
}

impl Servers {
    /// Servers that meet in this account, from `now_ms` on.
    pub fn new(account: &str, now_ms: u64) -> Self {
        Self {
            account: account.to_owned(),
            next_round_ms: now_ms + ROUND_MS,
            sequence: 0,
            reported: 0,
            machines: BTreeMap::new(),
            voters: BTreeSet::new(),
            left: BTreeMap::new(),
            dead: BTreeSet::new(),
            attention: BTreeMap::new(),
            is_hopeless: false,
            version: None,
            document_etag: String::new(),
            quorum: Quorum::default(),
            results: vec![],
            restored: vec![],
            before: BTreeMap::new(),
            on: BTreeSet::new(),
        }
    }

    /// A server that somebody else made votes here.
    pub fn follow(&mut self, name: &str, machine_id: &str) {
        self.before.insert(name.to_owned(), machine_id.to_owned());
        self.on.insert(name.to_owned());
        self.voters.insert(name.to_owned());
    }

    /// Raft's configuration.
    pub fn voters(&self) -> &BTreeSet<String> {
        &self.voters
    }

    /// Snapshots that were restored, in this order.
    pub fn restored(&self) -> &[String] {
        &self.restored
    }

    /// The watch over their voters.
    pub fn quorum(&mut self) -> &mut Quorum {
        &mut self.quorum
    }

    /// A server dies; its machine runs on.
    pub fn kill(&mut self, name: &str) {
        self.dead.insert(name.to_owned());
    }

    /// A server says from now on that something will not last; `None`: that all will.
    pub fn set_attention(&mut self, name: &str, sentence: Option<&str>) {
        match sentence {
            None => drop(self.attention.remove(name)),
            Some(sentence) => drop(self.attention.insert(name.to_owned(), sentence.to_owned())),
        }
    }

    pub(super) fn next_round_ms(&self) -> u64 {
        self.next_round_ms
    }

    /// A machine has no power: it boots again, or is gone.
    pub(super) fn power_lost(&mut self, instance_id: &str, now_ms: u64) {
        let of_before =
            |(_, machine): &(&String, &String)| machine.eq_ignore_ascii_case(instance_id);
        if let Some(name) = self.before.iter().find(of_before).map(|(name, _)| name.clone()) {
            self.on.remove(&name);
            return self.note_quorum(now_ms);
        }
        let Some(name) = instance_id.rsplit('/').nth(2) else { return };
        if self.machines.remove(name).is_some() {
            self.note_quorum(now_ms);
        }
    }

    fn answers(&self, name: &str) -> bool {
        if self.before.contains_key(name) {
            return self.on.contains(name);
        }
        let boots = |machine: &Machine| machine.rounds < BOOT_ROUNDS;
        self.machines.get(name).is_some_and(|machine| !boots(machine))
            && !self.left.contains_key(name)
    }

    fn has_quorum(&self) -> bool {
        self.voters.iter().filter(|name| self.answers(name)).count() > self.voters.len() / 2
    }

    fn note_quorum(&mut self, now_ms: u64) {
        let answering = self.voters.iter().filter(|name| self.answers(name)).count();
        self.quorum.note(now_ms, self.voters.len(), answering);
    }

    /// One look of all servers at what they were told and at each other.
    pub(super) fn round(&mut self, world: &World, blobs: &Blobs, now_ms: u64) {
        self.next_round_ms = now_ms + ROUND_MS;
        self.sequence += 1;
        let mut powered = world.powered_scale_sets(&self.account);
        // Another machine, another server.
        self.dead.retain(|name| powered.contains(name));
        powered.retain(|name| !self.dead.contains(name));
        self.machines.retain(|name, _| powered.contains(name));
        self.left.retain(|name, _| powered.contains(name));
        let config = container::CONFIG;
        self.is_hopeless = blobs.get(&self.account, config, HOPELESS).is_some();
        self.read_version(blobs);
        for name in powered {
            let machine = self.machines.entry(name.clone()).or_default();
            machine.rounds += 1;
            let is_up = machine.rounds >= BOOT_ROUNDS;
            let request = blob::leave_request(slot_of(&name));
            match blobs.get(&self.account, container::REQUESTS, &request) {
                Some(asked) if !self.left.contains_key(&name) => {
                    if let Ok(asked) = serde_json::from_slice::<Request>(&asked.bytes) {
                        self.voters.remove(&name);
                        self.left.insert(name, asked.id);
                    }
                }
                // Who has no leader to join founds a cluster only where there is none.
                None if is_up
                    && !self.left.contains_key(&name)
                    && (self.voters.is_empty() || self.has_quorum()) =>
                {
                    self.voters.insert(name);
                }
                _ => {}
            }
        }
        self.note_quorum(now_ms);
        // What autopilot does with servers whose machines are gone, while there is a leader.
        if self.has_quorum() || !self.voters.iter().any(|name| self.answers(name)) {
            let machines = &self.machines;
            let before = &self.before;
            self.voters.retain(|name| machines.contains_key(name) || before.contains_key(name));
        }
        self.note_quorum(now_ms);
        self.restore(blobs, now_ms);
        self.part_from_before(blobs, now_ms);
        self.note_quorum(now_ms);
    }

    /// Whoever leads restores what it is asked for, each request once.
    fn restore(&mut self, blobs: &Blobs, now_ms: u64) {
        let asked = blobs.get(&self.account, container::REQUESTS, &blob::request(None));
        let asked = asked.and_then(|blob| serde_json::from_slice::<Request>(&blob.bytes).ok());
        let Some(asked) = asked.filter(|one| one.action == RequestAction::Restore) else { return };
        let is_answered = self.results.iter().any(|result| result.id == asked.id);
        if is_answered || self.voters.is_empty() || !self.has_quorum() {
            return;
        }
        let name = asked.arguments.get(argument::SNAPSHOT).and_then(|name| name.as_str());
        let name = name.unwrap_or_default().to_owned();
        let is_there = blobs.get(&self.account, container::SNAPSHOTS, &name).is_some();
        let (outcome, reason) = if is_there {
            self.restored.push(name);
            (RequestOutcome::Done, None)
        } else {
            (RequestOutcome::Refused, Some(format!("there is no snapshot {name}")))
        };
        let (id, ended_at) = (asked.id, crate::world::operations::rfc3339(now_ms));
        self.results.push(RequestResult { id, outcome, reason, values: BTreeMap::new(), ended_at });
    }

    /// Each server takes a server of before out whose machine is off, and cannot take the lead from one, as a Consul of 1.8.
    fn part_from_before(&mut self, blobs: &Blobs, now_ms: u64) {
        let names: Vec<String> =
            self.machines.keys().filter(|name| self.answers(name)).cloned().collect();
        for name in names {
            let request = blob::request(Some(slot_of(&name)));
            let asked = blobs.get(&self.account, container::REQUESTS, &request);
            let asked = asked.and_then(|blob| serde_json::from_slice::<Request>(&blob.bytes).ok());
            let Some(asked) =
                asked.filter(|asked| self.results.iter().all(|told| told.id != asked.id))
            else {
                continue;
            };
            let gone =
                asked.server_of_before().map(|(name, _)| name.to_owned()).unwrap_or_default();
            let (outcome, reason) = match asked.action {
                RequestAction::TakeLeadership => {
                    (RequestOutcome::Refused, Some("it cannot".to_owned()))
                }
                RequestAction::RemoveServer if self.on.contains(&gone) => {
                    (RequestOutcome::Failed, Some(format!("{gone} is alive")))
                }
                RequestAction::RemoveServer if self.has_quorum() => {
                    self.voters.remove(&gone);
                    (RequestOutcome::Done, None)
                }
                _ => continue,
            };
            let (id, ended_at) = (asked.id, crate::world::operations::rfc3339(now_ms));
            self.results.push(RequestResult {
                id,
                outcome,
                reason,
                values: BTreeMap::new(),
                ended_at,
            });
        }
    }

    fn read_version(&mut self, blobs: &Blobs) {
        let document = blobs.get(&self.account, container::CONFIG, blob::CLUSTER);
        let etag = document.map_or("", |blob| blob.etag.as_str());
        if etag != self.document_etag {
            etag.clone_into(&mut self.document_etag);
            let document = document
                .and_then(|blob| serde_json::from_slice::<ClusterDocument>(&blob.bytes).ok());
            self.version = document.map(|document| document.consul.version.to_string());
        }
    }

    /// Writes the statuses of the last round, unless they are written.
    pub(super) fn report(&mut self, blobs: &mut Blobs) {
        if std::mem::replace(&mut self.reported, self.sequence) == self.sequence {
            return;
        }
        let written_ms = self.next_round_ms - ROUND_MS;
        for name in self.machines.keys() {
            let status = self.status(name, written_ms);
            if let Ok(bytes) = serde_json::to_vec(&status) {
                let container = container::status(slot_of(name));
                blobs.put(&self.account, &container, blob::STATUS, bytes.into(), written_ms);
            }
        }
    }

    fn status(&self, name: &str, now_ms: u64) -> ServerStatus {
        let left = self.left.get(name);
        let answering: Vec<&String> =
            self.voters.iter().filter(|name| self.answers(name)).collect();
        let has_quorum = answering.len() > self.voters.len() / 2;
        let leader = answering.first().filter(|_| has_quorum);
        let voters: Vec<String> = self.voters.iter().cloned().collect();
        let is_server = left.is_none() && self.answers(name);
        let consul = (is_server && !self.is_hopeless).then(|| ConsulStatus {
            version: self.version.clone().unwrap_or_default(),
            leader: leader.map(|_| "10.0.0.4:8300".into()),
            is_leader: leader.is_some_and(|leader| leader.as_str() == name),
            healthy: has_quorum && answering.len() == voters.len(),
            failure_tolerance: u32::try_from(answering.len().saturating_sub(voters.len() / 2 + 1))
                .unwrap_or(0),
            peers: voters.clone(),
            voters,
            acl_ready: true,
        });
        ServerStatus {
            slot: slot_of(name),
            node_name: name.to_owned(),
            written_at: crate::world::operations::rfc3339(now_ms),
            sequence: self.sequence,
            address: [127, 0, 0, 1].into(),
            phase: if left.is_some() { ServerPhase::Left } else { ServerPhase::Running },
            last_error: self.is_hopeless.then(|| "server: this is another program".to_owned()),
            last_error_is_final: self.is_hopeless,
            consul,
            done_requests: left.cloned().into_iter().collect(),
            results: self.results.clone(),
            certificate_expires_at: None,
            consul_silent_seconds: 0,
            host_manager_version: env!("CARGO_PKG_VERSION").into(),
            host_manager_sha256: String::new(),
            attention: self.attention.get(name).cloned().into_iter().collect(),
            rotations: BTreeMap::new(),
            document_generation: None,
            upgrade: None,
            led_with: None,
        }
    }
}

fn slot_of(name: &str) -> u32 {
    name.rsplit('-').next().and_then(|slot| slot.parse().ok()).unwrap_or_default()
}
