//! A world that does at once what a step asks for, and refuses what Azure, Consul or a server would not do.

use std::collections::{BTreeMap, BTreeSet};

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::dataplane::{
    ConsulStatus, Request, RequestAction, ServerPhase, ServerStatus, blob, container,
    leave_request_id,
};
use hcs_planner::desired::{object, place_in};
use hcs_planner::names::{Names, ROLE_BLOB_READER, SERVER_METADATA, role_assignment_id};
use hcs_planner::observed::{Observed, ObservedMachine, ObservedServer, READY_BLOB};
use hcs_planner::placement::quorum;
use hcs_planner::plan::{Action, Artifact, Plan, Secret, Step, Voter};
use hcs_planner::reference::{Outputs, resolve};
use hcs_planner::spec::ClusterSpec;
use serde_json::{Value, json};

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
    /// Who leads while it can.
    pub(crate) leader: u32,
    /// Every object that was ever written, by key, with how often.
    pub(crate) writes: BTreeMap<String, u32>,
    made: u32,
}

struct Resolver<'a> {
    outputs: &'a BTreeMap<String, Value>,
}

impl Outputs for Resolver<'_> {
    fn output(&self, object: &str, pointer: &str) -> Option<Value> {
        self.outputs.get(object)?.pointer(pointer).cloned()
    }
    fn parameter(&self, name: &str) -> Option<Value> {
        Some(json!(format!("parameter {name}")))
    }
}

/// A run of steps: what the engine holds while it runs.
pub(crate) struct Run<'w> {
    world: &'w mut World,
    names: Names,
    outputs: BTreeMap<String, Value>,
    granted: bool,
    /// How many addresses the books may have wrong at one time: that of the server whose turn it is, or of those that
    /// were missing from the beginning.
    wrong_max: usize,
    spec: ClusterSpec,
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
            let request = Request { id: id.clone(), slot: *slot, action: RequestAction::Leave };
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
            observed.servers.insert(slot, self.status(&names, slot));
            let differs = place_in(set).vm_size != spec.vm_size;
            if (!is_ready || differs)
                && let Some(size) = self.machines.get(&slot)
            {
                observed.machines.insert(slot, ObservedMachine { vm_size: size.clone() });
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
            let truth = self.addresses.get(slot).map(String::as_str);
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

    /// Raft's members whose machine runs.
    fn alive(&self) -> impl Iterator<Item = u32> + '_ {
        self.raft.iter().copied().filter(|slot| self.machines.contains_key(slot))
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
            certificate_expires_at: None,
            host_manager_version: String::new(),
        };
        ObservedServer { status, age_seconds: 1 }
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

    /// Whether so many servers vote and all of them live.
    pub(crate) fn is_whole(&self, servers: u32) -> bool {
        self.raft.len() == servers as usize && self.alive().count() == servers as usize
    }

    /// A machine is gone without a word.
    pub(crate) fn lose_machine(&mut self, slot: u32) {
        self.machines.remove(&slot);
        self.addresses.remove(&slot);
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

impl<'w> Run<'w> {
    pub(crate) fn new(world: &'w mut World, spec: &ClusterSpec) -> Self {
        let observed = world.observe(spec);
        let outputs = hcs_planner::desired::outputs(spec, &observed);
        let wrong_max = world.wrong_addresses(spec).max(1);
        let spec = spec.clone();
        Self { world, names: Names::new(&spec), outputs, granted: false, wrong_max, spec }
    }

    /// An object as it is now.
    pub(crate) fn body(&self, id: &ArmId) -> Option<Value> {
        self.world.objects.get(&id.key()).cloned()
    }

    /// Carries out one step, or says why it cannot be.
    pub(crate) fn carry_out(&mut self, step: &Step) -> Result<(), String> {
        match &step.action {
            Action::Put { object, kind, id, body, update, .. } => {
                self.put(object, *kind, id, body, *update, step.slot)?;
            }
            Action::AwaitProvisioned { object, id, .. } => {
                let body = self.world.objects.get_mut(&id.key()).ok_or("it is not there")?;
                body["properties"]["provisioningState"] = json!("Succeeded");
                self.outputs.insert(object.clone(), body.clone());
            }
            Action::Delete { kind, id, .. } => self.delete(*kind, id, step.slot)?,
            Action::Restart { slot, scale_set, .. } => {
                let set = self.world.objects.get(&scale_set.key()).ok_or("no scale set")?;
                self.world.machines.insert(*slot, place_in(set).vm_size);
                self.healthy_without(*slot)?;
            }
            Action::GrantCallerBlobAccess { .. } => {
                self.container(container::CONFIG)?;
                self.granted = true;
            }
            Action::WriteDocument { container, name, content, .. } => {
                self.container(container)?;
                let content = resolve(content, &Resolver { outputs: &self.outputs })
                    .map_err(|error| error.to_string())?;
                self.rights()?;
                if name == blob::CLUSTER {
                    self.roll(&content)?;
                }
                self.world.documents.insert(name.clone(), content);
            }
            Action::MintSecret { secret } => {
                self.rights()?;
                self.mint(*secret)?;
            }
            Action::UploadArtifact { artifact } => {
                self.rights()?;
                self.container(container::ARTIFACTS)?;
                let name = match artifact {
                    Artifact::Consul { version } => format!("consul {version}"),
                    Artifact::HostManager => "host manager".to_owned(),
                };
                self.world.blobs.insert(name);
            }
            Action::ReadAddress { slot, .. } => {
                let address = self.world.addresses.get(slot).ok_or("no machine")?;
                self.outputs.insert(object::address(*slot), json!({ "privateIp": address }));
            }
            Action::Withdraw { slot } => {
                self.rights()?;
                self.world.asked.remove(slot);
            }
            Action::Ask { slot, remaining, .. } => {
                self.rights()?;
                self.leave(*slot, remaining)?;
            }
            Action::WaitHealthy { voters, consul_version } => {
                self.healthy(voters)?;
                for voter in voters {
                    let runs = self.world.versions.get(&voter.slot);
                    if runs != Some(consul_version) {
                        return Err(format!("{} runs {runs:?}", voter.node_name));
                    }
                }
            }
        }
        let wrong = self.world.wrong_addresses(&self.spec);
        if wrong > self.wrong_max {
            return Err(format!(
                "clients would find {wrong} addresses of servers that are not there"
            ));
        }
        self.wrong_max = self.wrong_max.min(wrong.max(1));
        let alive = u32::try_from(self.world.alive().count()).unwrap();
        let members = u32::try_from(self.world.raft.len()).unwrap();
        if members > 0 && alive < quorum(members) {
            return Err(format!("the quorum is lost: {alive} of {members} voters are left"));
        }
        Ok(())
    }

    /// The host managers give every server the document's Consul.
    fn roll(&mut self, document: &Value) -> Result<(), String> {
        let version: semver::Version = from(document["consul"]["version"].clone());
        if !self.world.blobs.contains(&format!("consul {version}")) {
            return Err(format!("Consul {version} was not uploaded"));
        }
        for slot in self.world.raft.clone() {
            self.world.versions.insert(slot, version.clone());
        }
        Ok(())
    }

    fn rights(&self) -> Result<(), String> {
        if self.granted { Ok(()) } else { Err("the caller may not write blobs".into()) }
    }

    fn container(&self, name: &str) -> Result<(), String> {
        let is_there = self.world.has(&self.names.container(name));
        if is_there { Ok(()) } else { Err(format!("container {name} is not there")) }
    }

    fn mint(&mut self, secret: Secret) -> Result<(), String> {
        let (within, name) = match secret {
            Secret::CertificateAuthority => (container::SECRETS_SHARED.to_owned(), "ca"),
            Secret::GossipKey => (container::SECRETS_SHARED.to_owned(), "gossip"),
            Secret::ManagementToken => (container::SECRETS_SHARED.to_owned(), "management"),
            Secret::ServerCertificate { slot } => (container::secrets(slot), "certificate"),
            Secret::AgentToken { slot } => (container::secrets(slot), "token"),
        };
        self.container(&within)?;
        if name == "certificate" && !self.world.blobs.contains("secrets-shared/ca") {
            return Err("no certificate authority signs it".into());
        }
        self.world.blobs.insert(format!("{within}/{name}"));
        Ok(())
    }

    fn healthy(&self, voters: &[Voter]) -> Result<(), String> {
        let wanted: BTreeSet<u32> = voters.iter().map(|voter| voter.slot).collect();
        let alive: BTreeSet<u32> = self.world.alive().collect();
        if wanted == alive {
            return Ok(());
        }
        Err(format!("the voters are {alive:?}, waited for are {wanted:?}"))
    }

    fn healthy_without(&self, slot: u32) -> Result<(), String> {
        let alive = self.world.alive().filter(|other| *other != slot).count();
        let members = self.world.raft.len();
        let needed = usize::try_from(quorum(u32::try_from(members).unwrap())).unwrap();
        if alive >= needed || members == 1 {
            return Ok(());
        }
        Err(format!("without server {slot} {alive} of {members} are left"))
    }

    fn leave(&mut self, slot: u32, remaining: &[Voter]) -> Result<(), String> {
        let set = self.world.objects.get(&self.names.scale_set(slot).key());
        let unique = set.and_then(|set| set["properties"]["uniqueId"].as_str());
        let id = leave_request_id(&self.names.server(slot), unique.ok_or("no scale set")?);
        self.world.forget_the_dead();
        self.world.raft.remove(&slot);
        self.world.left.insert(slot, id);
        self.world.asked.remove(&slot);
        self.healthy(remaining)
    }

    fn put(
        &mut self,
        object: &str,
        kind: Kind,
        id: &ArmId,
        body: &Value,
        update: bool,
        slot: Option<u32>,
    ) -> Result<(), String> {
        let resolver = Resolver { outputs: &self.outputs };
        let mut body = resolve(body, &resolver).map_err(|error| error.to_string())?;
        let old = self.world.objects.get(&id.key()).cloned();
        if old.is_some() != update {
            return Err(format!("update is {update}, but it exists: {}", old.is_some()));
        }
        if old.as_ref().is_some_and(|old| old["properties"]["provisioningState"] == "Updating") {
            return Err("another write is under way".into());
        }
        body["id"] = json!(id);
        body["properties"]["provisioningState"] = json!("Succeeded");
        if let Some(old) = &old {
            fixed(kind, old, &body)?;
        }
        match kind {
            Kind::Identity => {
                self.world.made += 1;
                let known = old.map(|old| old["properties"]["principalId"].clone());
                let fresh = json!(format!("p-{}-{}", id.name(), self.world.made));
                body["properties"]["principalId"] = known.unwrap_or(fresh);
            }
            Kind::StorageAccount => {
                body["properties"]["primaryEndpoints"] = json!({ "blob": "https://acct/" });
            }
            Kind::ScaleSet => {
                let slot = slot.ok_or("a scale set without a slot")?;
                if let Some(old) = old {
                    body["properties"]["uniqueId"] = old["properties"]["uniqueId"].clone();
                } else {
                    self.boot(slot, &mut body)?;
                }
            }
            Kind::Peering if !self.world.has(&self.names.vnet()) => return Err("no network".into()),
            _ => {}
        }
        *self.world.writes.entry(id.key()).or_default() += 1;
        self.outputs.insert(object.to_owned(), body.clone());
        self.world.objects.insert(id.key(), body);
        Ok(())
    }

    /// A machine starts: all that it reads must be there.
    fn boot(&mut self, slot: u32, body: &mut Value) -> Result<(), String> {
        for secret in ["ca", "gossip", "management"] {
            if !self.world.blobs.contains(&format!("secrets-shared/{secret}")) {
                return Err(format!("{secret} was not made"));
            }
        }
        let own = container::secrets(slot);
        for secret in ["certificate", "token"] {
            if !self.world.blobs.contains(&format!("{own}/{secret}")) {
                return Err(format!("its {secret} was not made"));
            }
        }
        if !self.world.blobs.contains("host manager") {
            return Err("the host manager was not uploaded".into());
        }
        if self.world.asked.contains_key(&slot) {
            return Err("a request to leave waits for it".into());
        }
        for container in [&own, &container::status(slot)] {
            self.container(container)?;
        }
        let status = self.names.container(&container::status(slot));
        let shared = self.names.shared_identity();
        if !self.world.has(&role_assignment_id(&status, shared.as_str(), ROLE_BLOB_READER)) {
            return Err("the others may not read its status".into());
        }
        let document = self.world.documents.get(blob::CLUSTER).ok_or("no cluster document")?;
        let version: semver::Version = from(document["consul"]["version"].clone());
        let roles = self.world.objects.values().filter(|body| {
            let principal = body["properties"]["principalId"].as_str().unwrap_or_default();
            principal.starts_with(&format!("p-{}-", self.names.server(slot)))
        });
        // The identity itself and its roles on its two containers.
        if roles.count() < 3 {
            return Err("its identity has no rights".into());
        }
        let subnet = "/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations/0/properties/ipConfigurations/0/properties/subnet/id";
        let subnet = body.pointer(subnet).and_then(Value::as_str).ok_or("no subnet")?;
        if ArmId::new(subnet) != self.names.subnet() {
            return Err(format!("{subnet} is not the cluster's"));
        }
        if ArmId::new(subnet).is_within(&self.names.cluster_id)
            && !self.world.has(&self.names.vnet())
        {
            return Err("no network".into());
        }
        self.world.made += 1;
        let made = self.world.made;
        body["properties"]["uniqueId"] = json!(format!("unique-{made}"));
        self.world.addresses.insert(slot, format!("172.25.16.{}", 4 + made % 250));
        self.world.machines.insert(slot, place_in(body).vm_size);
        self.world.versions.insert(slot, version);
        self.world.left.remove(&slot);
        self.world.raft.insert(slot);
        Ok(())
    }

    fn delete(&mut self, kind: Kind, id: &ArmId, slot: Option<u32>) -> Result<(), String> {
        let lock = self.names.lock();
        if *id != lock && id.is_within(&self.names.cluster_id) && self.world.has(&lock) {
            return Err("the lock forbids it".into());
        }
        let old = self.world.objects.get(&id.key());
        if old.is_some_and(|old| old["properties"]["provisioningState"] == "Updating") {
            return Err("a write is under way".into());
        }
        if kind == Kind::ScaleSet {
            let slot = slot.ok_or("a scale set without a slot")?;
            self.world.machines.remove(&slot);
            self.world.addresses.remove(&slot);
        }
        if kind == Kind::BlobContainer {
            let prefix = format!("{}/", id.name());
            self.world.blobs.retain(|name| !name.starts_with(&prefix));
        }
        if kind == Kind::ResourceGroup {
            *self.world =
                World { objects: std::mem::take(&mut self.world.objects), ..World::empty() };
        }
        // Rights outlive what they are on, unless their group goes.
        let rights = "/providers/microsoft.authorization/roleassignments/";
        let whole = kind == Kind::ResourceGroup;
        self.world.objects.retain(|key, body| {
            let own = ArmId::new(body["id"].as_str().unwrap_or_default());
            !own.is_within(id) || (own != *id && !whole && key.contains(rights))
        });
        Ok(())
    }
}

/// What Azure never changes.
fn fixed(kind: Kind, old: &Value, new: &Value) -> Result<(), String> {
    let pointers: &[&str] = match kind {
        Kind::ScaleSet => &[
            "/zones",
            "/properties/virtualMachineProfile/storageProfile",
            "/properties/platformFaultDomainCount",
        ],
        Kind::PublicIpAddress => &["/zones", "/sku"],
        Kind::StorageAccount => &["/sku", "/kind"],
        Kind::RoleAssignment => &["/properties"],
        _ => &[],
    };
    let strip = |value: Option<&Value>| {
        let mut value = value.cloned().unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.remove("provisioningState");
        }
        value
    };
    match pointers.iter().find(|pointer| strip(old.pointer(pointer)) != strip(new.pointer(pointer)))
    {
        Some(pointer) => Err(format!("Azure does not change {pointer}")),
        None => Ok(()),
    }
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a document")
}
