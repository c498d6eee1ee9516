//! A cluster as the laws see it: machines, a Consul of few rules, and blobs.
//!
//! Nothing here decides: who leads is drawn, who serves follows from what was started when.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hcs_planner::dataplane::{
    ClusterDocument, ConsulArtifact, ConsulStatus, ServerPhase, ServerStatus,
};
use hcs_planner::upgrade::Upgrade;
use jiff::Timestamp;
use rand::Rng as _;
use rand::rngs::StdRng;
use semver::Version;

use crate::laws::Laws;
use crate::server::Server;

/// A server that has been told to start answers after so long.
const ANSWERS_AFTER_S: u64 = 3;

/// A Consul process.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) runs: ConsulArtifact,
    pub(crate) since_s: u64,
    /// From then on it is a healthy voter; never, for a release that does not serve.
    pub(crate) well_s: u64,
}

/// What somebody asked for.
pub(crate) struct TakeBack {
    pub(crate) since_s: u64,
}

pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) now_s: u64,
    pub(crate) document: Rc<ClusterDocument>,
    pub(crate) note: Option<Upgrade>,
    pub(crate) etag: u64,
    pub(crate) servers: BTreeMap<u32, Server>,
    /// Slots in the Raft configuration.
    pub(crate) raft: BTreeSet<u32>,
    pub(crate) leader: Option<u32>,
    pub(crate) elects_s: u64,
    /// Who restarts, and until when nobody else may.
    pub(crate) lock: Option<(u32, u64)>,
    pub(crate) apply_until_s: u64,
    pub(crate) storage_back_s: u64,
    pub(crate) offered: Vec<Version>,
    /// Releases with which no server gets well.
    pub(crate) broken: BTreeSet<Version>,
    /// Releases whose files the index does not have.
    pub(crate) missing: BTreeSet<Version>,
    pub(crate) request: Option<TakeBack>,
    pub(crate) laws: Laws,
    pub(crate) is_troubled: bool,
    /// So many steps in a row in which nothing did.
    pub(crate) quiet: u64,
    /// Something happened in this step.
    pub(crate) is_busy: bool,
}

pub(crate) fn node(slot: u32) -> String {
    format!("server-{slot}")
}

impl World {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_second(self.now_s.try_into().unwrap()).unwrap()
    }

    pub(crate) fn has_storage(&self) -> bool {
        self.now_s >= self.storage_back_s
    }

    pub(crate) fn is_apply_open(&self) -> bool {
        self.now_s < self.apply_until_s
    }

    pub(crate) fn serves(&self, slot: u32) -> bool {
        self.servers
            .get(&slot)
            .and_then(|server| server.process.as_ref())
            .is_some_and(|process| process.well_s <= self.now_s && self.raft.contains(&slot))
    }

    fn quorum(&self) -> usize {
        self.raft.len() / 2 + 1
    }

    fn serving(&self) -> Vec<u32> {
        self.raft.iter().copied().filter(|slot| self.serves(*slot)).collect()
    }

    /// Consul by itself: servers that are let in, a leader that is lost, another one.
    pub(crate) fn elect(&mut self) {
        let is_lost = self.leader.is_some_and(|leader| !self.serves(leader))
            || self.serving().len() < self.quorum();
        if is_lost && self.leader.take().is_some() {
            self.is_busy = true;
            self.elects_s = self.now_s + self.rng.gen_range(3..12);
        }
        let serving = self.serving();
        if self.leader.is_none() && serving.len() >= self.quorum() && self.now_s >= self.elects_s {
            let leader = serving[self.rng.gen_range(0..serving.len())];
            self.leader = Some(leader);
            self.is_busy = true;
            let runs = self.servers[&leader].process.as_ref().unwrap().runs.clone();
            self.laws.leads(&runs.version);
            self.laws.happens(self.now(), &format!("{leader} leads with {}", runs.version));
        }
        if self.leader.is_some() {
            let new = self.servers.iter().filter(|(slot, server)| {
                let is_well = |process: &Process| process.well_s <= self.now_s;
                !self.raft.contains(slot) && server.process.as_ref().is_some_and(is_well)
            });
            let new: Vec<u32> = new.map(|(slot, _)| *slot).collect();
            self.is_busy |= !new.is_empty();
            self.raft.extend(new);
        }
    }

    /// What the Consul of a slot says; nothing while it does not answer.
    pub(crate) fn consul(&self, slot: u32) -> Option<ConsulStatus> {
        let process = self.servers[&slot].process.as_ref()?;
        if process.well_s == u64::MAX || self.now_s < process.since_s + ANSWERS_AFTER_S {
            return None;
        }
        let serving = self.raft.iter().filter(|slot| self.serves(**slot)).count();
        let is_led = self.leader.is_some() && self.serves(slot);
        let names: Vec<String> = self.raft.iter().map(|slot| node(*slot)).collect();
        let tolerance = serving.saturating_sub(self.quorum());
        let leader = self.leader.filter(|_| is_led);
        Some(ConsulStatus {
            version: process.runs.version.to_string(),
            leader: leader.map(node),
            is_leader: leader == Some(slot),
            healthy: is_led && serving == self.raft.len(),
            failure_tolerance: if is_led { tolerance.try_into().unwrap() } else { 0 },
            voters: names.clone(),
            peers: names,
            acl_ready: true,
        })
    }

    /// The service manager starts it, or starts it anew.
    pub(crate) fn start(&mut self, slot: u32, consul: &ConsulArtifact, is_turn: bool) {
        let others_serve = self.raft.iter().all(|other| *other == slot || self.serves(*other));
        let server = &self.servers[&slot];
        let before = server.last.clone().filter(|_| server.is_member);
        let is_broken = self.broken.contains(&consul.version);
        let (now, window) = (self.now(), self.document.maintenance.clone());
        if let Some(before) = before.filter(|before| before.version != consul.version) {
            let note = self.note.as_ref();
            self.laws.changes(now, slot, &before, consul, note, &window, others_serve && is_turn);
        }
        let turn = if is_turn { " in its turn" } else { "" };
        let not_well = if is_broken { ", which does not serve" } else { "" };
        let told = format!("{slot} is started with {}{turn}{not_well}", consul.version);
        self.laws.happens(now, &told);
        if is_broken {
            self.laws.starts_broken(&consul.version, slot);
        }
        if is_turn && self.leader == Some(slot) {
            let behind = self.raft.iter().filter(|other| **other != slot).any(|other| {
                let process = self.servers[other].process.as_ref();
                process.is_none_or(|process| process.runs.version < consul.version)
            });
            if behind {
                self.laws.faults.push(format!("{now}: the leader {slot} goes before others"));
            }
        }
        let most_s = if self.rng.gen_bool(0.1) { 170 } else { 25 };
        let takes_s = self.rng.gen_range(5..most_s);
        let well_s = if is_broken { u64::MAX } else { self.now_s + takes_s };
        let server = self.servers.get_mut(&slot).unwrap();
        server.last = Some(consul.clone());
        server.process = Some(Process { runs: consul.clone(), since_s: self.now_s, well_s });
        self.is_busy = true;
        if self.leader == Some(slot) {
            self.leader = None;
            self.elects_s = self.now_s + 5;
        }
    }

    /// Writes a note, where the last one is the one with this etag.
    pub(crate) fn put_note(&mut self, note: Upgrade, etag: u64) -> Result<u64, ()> {
        if etag != self.etag || !self.has_storage() {
            return Err(());
        }
        let was_open_s = 90;
        let is_apply_open = self.now_s < self.apply_until_s + was_open_s;
        self.laws.notes(self.now(), self.note.as_ref(), &note, &self.document, is_apply_open);
        let told = format!("{} by {:?}: {}", note.id, note.by, note.told());
        self.laws.happens(self.now(), &told);
        self.note = Some(note);
        self.etag += 1;
        self.is_busy = true;
        Ok(self.etag)
    }

    /// Every server that is on says what it knows.
    pub(crate) fn publish(&mut self) {
        if !self.has_storage() {
            return;
        }
        let slots: Vec<u32> = self.servers.keys().copied().collect();
        for slot in slots {
            let consul = self.consul(slot);
            let written_at = self.now().to_string();
            let now_s = self.now_s;
            let server = self.servers.get_mut(&slot).unwrap();
            if server.off_until_s > now_s {
                continue;
            }
            let Some(view) = &server.view else { continue };
            // What the machine before it has led with, it reads in its own last status.
            let former = server.status.take().and_then(|(_, status)| status.led_with);
            server.led_with = server.led_with.take().max(former);
            server.status = Some((
                now_s,
                ServerStatus {
                    consul,
                    written_at,
                    document_generation: Some(view.cluster.generation),
                    led_with: server.led_with.clone(),
                    ..silent(slot)
                },
            ));
        }
    }

    /// What the other servers said last, and those alone that said it within a minute.
    pub(crate) fn statuses(&self, own: u32, newest_only: bool) -> Vec<ServerStatus> {
        let in_document =
            |slot: &u32| self.document.slots.contains(slot) || self.document.others.contains(slot);
        let others = self.servers.iter().filter(|(slot, _)| **slot != own && in_document(slot));
        let said = others.filter_map(|(_, server)| server.status.as_ref());
        said.filter(|(at_s, _)| !newest_only || self.now_s - at_s <= 60)
            .map(|(_, status)| status.clone())
            .collect()
    }
}

fn silent(slot: u32) -> ServerStatus {
    ServerStatus {
        slot,
        node_name: node(slot),
        written_at: String::new(),
        sequence: 1,
        address: "10.0.0.4".parse().unwrap(),
        phase: ServerPhase::Running,
        last_error: None,
        last_error_is_final: false,
        consul: None,
        done_requests: vec![],
        results: vec![],
        certificate_expires_at: None,
        consul_silent_seconds: 0,
        host_manager_version: String::new(),
        host_manager_sha256: String::new(),
        attention: vec![],
        rotations: [].into(),
        document_generation: None,
        upgrade: None,
        led_with: None,
    }
}
