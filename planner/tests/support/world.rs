//! A world that does at once what a step asks for.

mod network;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::dataplane::{ConsulStatus, ServerPhase, ServerStatus, blob, container};
use hcs_planner::desired::{object, place_in};
use hcs_planner::names::{Names, ROLE_BLOB_READER, SERVER_METADATA, role_assignment_id};
use hcs_planner::observed::{Observed, ObservedMachine, ObservedServer, READY_BLOB};
use hcs_planner::placement::quorum;
use hcs_planner::plan::{Action, Artifact, Plan, Secret, SecretKind, Step, Voter};
use hcs_planner::reach::{OutboundType, StorageAccess, StorageZone};
use hcs_planner::reference::{Outputs, resolve};
use hcs_planner::requests::{Request, RequestAction, leave_request_id};
use hcs_planner::rotation::{Rotated, Rotation, SecretVersion};
use hcs_planner::spec::ClusterSpec;
use serde_json::{Value, json};

pub(crate) use network::subnet_in;
pub(crate) use run::Run;

/// Azure, its blobs and its servers.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Bodies of ARM objects by key.
    pub(crate) objects: BTreeMap<String, Value>,
    /// Documents by name.
    documents: BTreeMap<String, Value>,
    /// Secrets and programs, by container and name.
    blobs: BTreeSet<String>,
    /// Private addresses of the machines, by slot.
    addresses: BTreeMap<u32, String>,
    /// Sizes that the machines run with.
    machines: BTreeMap<u32, String>,
    /// Versions that the servers run.
    versions: BTreeMap<u32, semver::Version>,
    /// Raft's voters.
    pub(crate) raft: BTreeSet<u32>,
    /// Servers that have left, with the request that they obeyed.
    left: BTreeMap<u32, String>,
    /// Servers that were asked to leave and have not.
    pub(crate) asked: BTreeMap<u32, String>,
    /// Servers that died, their machines still being there, and when they spoke last.
    died: BTreeMap<u32, String>,
    /// The state of a snapshot was restored.
    restored: bool,
    /// Who leads while it can.
    pub(crate) leader: u32,
    /// Every object that was ever written, by key, with how often.
    pub(crate) writes: BTreeMap<String, u32>,
    made: u32,
}

impl World {
    /// Nothing is there.
    pub(crate) fn empty() -> Self {
        Self {
            objects: BTreeMap::new(),
            documents: BTreeMap::new(),
            blobs: BTreeSet::new(),
            addresses: BTreeMap::new(),
            machines: BTreeMap::new(),
            versions: BTreeMap::new(),
            raft: BTreeSet::new(),
            left: BTreeMap::new(),
            asked: BTreeMap::new(),
            died: BTreeMap::new(),
            restored: false,
            leader: 0,
            writes: BTreeMap::new(),
            made: 0,
        }
    }

    /// The world of a finished cluster.
    pub(crate) fn finished(spec: &ClusterSpec) -> Self {
        let mut world = Self::empty();
        let plan = hcs_planner::plan::plan(spec, &world.observe(spec)).expect("a plan");
        world.run(spec, &plan, usize::MAX).expect("it runs");
        world
    }

    /// What a look at this world shows.
    pub(crate) fn observe(&self, spec: &ClusterSpec) -> Observed {
        let names = Names::new(spec);
        let mut observed = Observed { objects: self.objects.clone(), ..Observed::default() };
        let document = |name: &str| self.documents.get(name).cloned();
        observed.stored_spec = document(blob::SPEC).map(from);
        observed.document = document(blob::CLUSTER).map(from);
        observed.ready = document(READY_BLOB).map(from);
        observed.blobs_readable = true;
        let is_ready = observed.is_ready();
        for (slot, id) in &self.asked {
            let request = Request::new(id.clone(), Some(*slot), RequestAction::Leave);
            observed.leave_requests.insert(*slot, request);
        }
        for slot in 0..hcs_planner::plan::MAX_SLOTS {
            let Some(set) = self.objects.get(&names.scale_set(slot).key()) else { continue };
            let record = self.objects.get(&names.dns_record(&format!("server-{slot}")).key());
            let metadata = record.and_then(|r| r["properties"]["metadata"].get(SERVER_METADATA));
            if metadata == set.pointer("/properties/uniqueId")
                && let Some(address) =
                    record.map(|r| &r["properties"]["aRecords"][0]["ipv4Address"])
            {
                observed.addresses.insert(slot, address.as_str().unwrap().to_owned());
            }
            // Who never came up has never spoken.
            if self.machines.contains_key(&slot) || self.left.contains_key(&slot) {
                let mut server = self.status(&names, slot);
                if let Some(spoke) = self.died.get(&slot) {
                    server.status.written_at.clone_from(spoke);
                    server.age_seconds = Some(3600);
                }
                observed.servers.insert(slot, server);
            }
            let differs = place_in(set).vm_size != spec.vm_size;
            if (!is_ready || differs)
                && let Some(size) = self.machines.get(&slot)
            {
                observed
                    .machines
                    .insert(slot, ObservedMachine { vm_size: size.clone(), is_off: false });
            }
        }
        observed
    }

    /// Servers that a book of all servers does not tell, or tells wrongly; the worse one counts.
    fn wrong_addresses(&self, spec: &ClusterSpec) -> usize {
        let names = Names::new(spec);
        let books = [
            (names.dns_record("consul"), "/properties/aRecords", "/ipv4Address"),
            (
                names.endpoint(),
                "/properties/backendAddressPools/0/properties/loadBalancerBackendAddresses",
                "/properties/ipAddress",
            ),
        ];
        let wrong = books.iter().filter_map(|(id, rows, address)| {
            let rows = self.objects.get(&id.key())?.pointer(rows)?.as_array()?;
            let told = rows.iter().filter_map(|row| row.pointer(address)?.as_str()).collect();
            Some(self.not_told(spec, &told))
        });
        wrong.max().unwrap_or(0)
    }

    fn not_told(&self, spec: &ClusterSpec, told: &BTreeSet<&str>) -> usize {
        let is_wrong = |slot: &u32| {
            let lives = !self.died.contains_key(slot);
            let truth = self.addresses.get(slot).filter(|_| lives).map(String::as_str);
            truth.is_none_or(|truth| !told.contains(truth))
        };
        (0..spec.server_count).filter(is_wrong).count()
    }

    /// What is published of the servers and is not true, and machines that do not follow their sets.
    pub(crate) fn untruths(&self, spec: &ClusterSpec) -> Vec<String> {
        let names = Names::new(spec);
        let mut found = Vec::new();
        let mut check = |what: String, said: Option<&Value>, truth: Option<&String>| {
            if said.and_then(Value::as_str) != truth.map(String::as_str) {
                found.push(format!("{what} is {said:?}, but in truth {truth:?}"));
            }
        };
        for slot in 0..spec.server_count {
            let truth = self.addresses.get(&slot);
            let at = slot as usize;
            let record = self.objects.get(&names.dns_record(&format!("server-{slot}")).key());
            let address = record.and_then(|r| r.pointer("/properties/aRecords/0/ipv4Address"));
            check(format!("the record of server {slot}"), address, truth);
            let book = self.objects.get(&names.dns_record("consul").key());
            let address =
                book.and_then(|b| b.pointer(&format!("/properties/aRecords/{at}/ipv4Address")));
            check(format!("address {slot} of consul"), address, truth);
            if spec.external_endpoint.is_some() {
                let pointer = format!(
                    "/properties/backendAddressPools/0/properties/loadBalancerBackendAddresses/{at}/properties/ipAddress"
                );
                let endpoint = self.objects.get(&names.endpoint().key());
                let address = endpoint.and_then(|b| b.pointer(&pointer));
                check(format!("address {slot} of the endpoint"), address, truth);
            }
            let set = self.objects.get(&names.scale_set(slot).key());
            let size = set.and_then(|set| set.pointer("/sku/name"));
            check(format!("the size of server {slot}"), size, self.machines.get(&slot));
        }
        found
    }

    fn leader(&self) -> Option<u32> {
        let alive: Vec<u32> = self.alive().collect();
        alive.iter().copied().find(|slot| *slot == self.leader).or(alive.first().copied())
    }

    /// Raft's members that live.
    fn alive(&self) -> impl Iterator<Item = u32> + '_ {
        let lives = |slot: &u32| self.machines.contains_key(slot) && !self.died.contains_key(slot);
        self.raft.iter().copied().filter(lives)
    }

    fn status(&self, names: &Names, slot: u32) -> ObservedServer {
        let is_voter = self.raft.contains(&slot);
        let voters: Vec<String> = self.raft.iter().map(|slot| names.server(*slot)).collect();
        let status = ServerStatus {
            slot,
            node_name: names.server(slot),
            written_at: String::new(),
            sequence: 1,
            address: [127, 0, 0, 1].into(),
            phase: if is_voter { ServerPhase::Running } else { ServerPhase::Left },
            last_error: None,
            last_error_is_final: false,
            consul: is_voter.then(|| ConsulStatus {
                version: self.versions.get(&slot).map(ToString::to_string).unwrap_or_default(),
                leader: self.leader().map(|_| "10.0.0.4:8300".into()),
                is_leader: self.leader() == Some(slot),
                healthy: true,
                failure_tolerance: 1,
                peers: voters.clone(),
                voters,
                acl_ready: true,
            }),
            done_requests: self.left.get(&slot).cloned().into_iter().collect(),
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
        };
        ObservedServer { status, age_seconds: Some(1) }
    }

    /// Carries out the first `count` steps of the plan.
    pub(crate) fn run(
        &mut self,
        spec: &ClusterSpec,
        plan: &Plan,
        count: usize,
    ) -> Result<(), String> {
        let mut run = Run::new(self, spec);
        for (_, step) in plan.steps().into_iter().take(count) {
            run.carry_out(step).map_err(|error| format!("{}: {error}", step.id))?;
        }
        Ok(())
    }

    /// What Autopilot does with servers whose machine is gone, as long as the others have a quorum.
    fn forget_the_dead(&mut self) {
        let alive: BTreeSet<u32> = self.alive().collect();
        if alive.len() > self.raft.len() / 2 {
            self.raft = alive;
        }
    }

    /// Whether so many servers vote, all of them live, and nobody's turn has begun: one turn at a time is ours.
    pub(crate) fn is_whole(&self, servers: u32) -> bool {
        self.raft.len() == servers as usize && self.raft.iter().eq(self.machines.keys())
    }

    /// A machine is gone without a word.
    pub(crate) fn lose_machine(&mut self, slot: u32) {
        self.machines.remove(&slot);
        self.addresses.remove(&slot);
    }

    /// A server died a while ago; its machine is still there.
    pub(crate) fn die(&mut self, slot: u32) {
        self.died.insert(slot, time(self.made + 1));
        self.forget_the_dead();
    }

    /// The others still count a server that died.
    pub(crate) fn still_know(&mut self, slot: u32) {
        self.raft.insert(slot);
    }

    /// A server's machine never came up, and no other server knows it.
    pub(crate) fn never_came_up(&mut self, slot: u32) {
        self.lose_machine(slot);
        self.raft.remove(&slot);
    }

    /// A server still runs this version.
    pub(crate) fn runs(&mut self, slot: u32, version: &str) {
        self.versions.insert(slot, version.parse().expect("a version"));
    }

    /// A run asked a server to leave and was killed.
    pub(crate) fn ask(&mut self, spec: &ClusterSpec, slot: u32) {
        let names = Names::new(spec);
        let set = self.objects.get(&names.scale_set(slot).key()).expect("a scale set");
        let unique = set["properties"]["uniqueId"].as_str().expect("a unique id");
        self.asked.insert(slot, leave_request_id(&names.server(slot), unique));
    }

    fn has(&self, id: &ArmId) -> bool {
        self.objects.contains_key(&id.key())
    }
}

/// The time at which so many objects were made.
fn time(made: u32) -> String {
    format!("2026-11-01T{:02}:{:02}:{:02}Z", made / 3600, made / 60 % 60, made % 60)
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a document")
}
