//! Diff of desired and observed, turned into steps and edges.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Action, Artifact, Draft, Plan, Secret};
use crate::arm::{ArmId, Kind};
use crate::dataplane::{ClusterDocument, ConsulArtifact, RequestAction, blob, container};
use crate::desired::{Desired, DesiredObject, object};
use crate::diff::{Difference, differences, merged};
use crate::names::{CLUSTER_TAG, Names, SLOT_TAG};
use crate::observed::{Observed, READY_BLOB, ReadyDocument};
use crate::reference::parameter::{CONSUL_FILE_NAME, CONSUL_SHA256};
use crate::reference::{self, Outputs, resolve};
use crate::spec::ClusterSpec;

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A bug of ours.
    #[error("the plan has a cycle through step {step:?}; please report this")]
    Cycle {
        /// A step on the cycle.
        step: String,
    },
    /// An object has our id but is not this cluster's.
    #[error(
        "{id} exists already and does not belong to this cluster (its tag hcs-cluster is {tag}); \
         move or delete it, or give the cluster another name"
    )]
    Foreign {
        /// Its id.
        id: ArmId,
        /// What its tag says.
        tag: String,
    },
    /// The managed group holds objects that are not ours.
    #[error(
        "the managed resource group holds objects that hcs did not make: {}; move or delete them first",
        ids.iter().map(ArmId::as_str).collect::<Vec<_>>().join(", ")
    )]
    NotOurs {
        /// Their ids.
        ids: Vec<ArmId>,
    },
}

/// Steps from `observed` to what `spec` declares. Pure and deterministic; empty when nothing is to do.
pub fn plan(spec: &ClusterSpec, observed: &Observed) -> Result<Plan, PlanError> {
    let planner = Planner {
        spec,
        observed,
        names: Names::new(spec),
        desired: Desired::new(spec),
        draft: Draft::default(),
    };
    planner.run()
}

struct Planner<'a> {
    spec: &'a ClusterSpec,
    observed: &'a Observed,
    names: Names,
    desired: Desired,
    draft: Draft,
}

impl Planner<'_> {
    fn run(mut self) -> Result<Plan, PlanError> {
        let orphans = self.orphans();
        let recreated = self.objects()?;
        let document = self.documents(&orphans);
        self.secrets();
        self.addresses();
        self.removals(&orphans);
        self.readiness(document);
        self.order(&recreated);
        self.lock();
        self.store_spec();
        self.draft.finish()
    }

    /// Puts for all that is missing or differs; returns the objects that have to be deleted first.
    fn objects(&mut self) -> Result<Vec<String>, PlanError> {
        let mut recreated = Vec::new();
        for object in self.desired.objects.values() {
            let Some(have) = self.observed.object(&object.id) else {
                let id = format!("create {}", object.name);
                self.draft.add(id, create(object), object.slot);
                continue;
            };
            self.check_owner(object, have)?;
            match provisioning(have) {
                Provisioning::Running => {
                    let (name, id) = (object.name.clone(), object.id.clone());
                    let action = Action::AwaitProvisioned { object: name, kind: object.kind, id };
                    self.draft.add(format!("await {}", object.name), action, object.slot);
                    continue;
                }
                Provisioning::Failed => {
                    let id = format!("update {}", object.name);
                    let difference = Difference {
                        path: "properties.provisioningState".into(),
                        observed: have.pointer("/properties/provisioningState").cloned().unwrap_or_default(),
                        desired: json!("Succeeded"),
                    };
                    self.draft.add(id, update(object, object.body.clone(), vec![difference]), object.slot);
                    continue;
                }
                Provisioning::Done => {}
            }
            let want = resolve_known(&object.body, self);
            // What refers to an object that is still to come differs by definition: it is written again then.
            let found = differences(&want, have, object.create_only);
            let stale_tags = self.stale_tags(object, have);
            if found.is_empty() && stale_tags.is_empty() {
                continue;
            }
            if object.kind == Kind::RoleAssignment {
                // Azure refuses to change an assignment: its principal died, so it goes and comes back.
                let reason = "its principal changed".to_owned();
                let action = Action::Delete { kind: object.kind, id: object.id.clone(), reason };
                self.draft.add(format!("delete stale {}", object.name), action, object.slot);
                let id = format!("create {}", object.name);
                self.draft.add(id, create(object), object.slot);
                recreated.push(object.name.clone());
                continue;
            }
            let mut body = merged(&without_create_only(object), have);
            if let Some(tags) = body.get_mut("tags").and_then(Value::as_object_mut) {
                tags.retain(|key, _| !stale_tags.contains(key));
            }
            let id = format!("update {}", object.name);
            self.draft.add(id, update(object, body, found), object.slot);
        }
        Ok(recreated)
    }

    /// Tags that an earlier spec set and this one does not; anybody else's tags stay.
    fn stale_tags(&self, object: &DesiredObject, have: &Value) -> Vec<String> {
        let (Some(stored), true) = (&self.observed.stored_spec, object.kind.has_tags()) else {
            return vec![];
        };
        let present = have.get("tags").and_then(Value::as_object);
        stored
            .tags
            .keys()
            .filter(|key| !self.spec.tags.contains_key(*key))
            .filter(|key| present.is_some_and(|tags| tags.contains_key(*key)))
            .cloned()
            .collect()
    }

    fn check_owner(&self, object: &DesiredObject, have: &Value) -> Result<(), PlanError> {
        let tag = have.pointer(&format!("/tags/{CLUSTER_TAG}")).and_then(Value::as_str);
        if !object.kind.has_tags() || tag == Some(self.names.uid.as_str()) {
            return Ok(());
        }
        // A group that carries the cluster's storage account lost its tag; anything else is somebody's.
        if tag.is_none() && object.kind != Kind::ResourceGroup && self.group_is_ours() {
            return Ok(());
        }
        let tag = tag.map_or_else(|| "missing".to_owned(), |tag| format!("{tag:?}"));
        Err(PlanError::Foreign { id: object.id.clone(), tag })
    }

    fn group_is_ours(&self) -> bool {
        self.observed
            .object(&self.names.cluster_id)
            .and_then(|group| group.pointer(&format!("/tags/{CLUSTER_TAG}")))
            .is_some_and(|tag| tag == self.names.uid.as_str())
    }

    /// Objects of this cluster that the spec no longer wants.
    fn orphans(&self) -> Vec<Orphan> {
        let mut orphans = Vec::new();
        for body in self.observed.objects.values() {
            let Some(id) = body.get("id").and_then(Value::as_str).map(ArmId::new) else { continue };
            if self.desired.by_id(&id).is_some() {
                continue;
            }
            if let Some((kind, slot)) = self.classify(&id, body) {
                orphans.push(Orphan { kind, id, slot });
            }
        }
        orphans
    }

    /// Kind and slot of an object that is ours; `None` for anything that we must not touch.
    fn classify(&self, id: &ArmId, body: &Value) -> Option<(Kind, Option<u32>)> {
        let tag = |name: &str| body.pointer(&format!("/tags/{name}")).and_then(Value::as_str);
        if tag(CLUSTER_TAG) == Some(self.names.uid.as_str()) {
            let slot = tag(SLOT_TAG).and_then(|slot| slot.parse().ok());
            let kind = [Kind::ScaleSet, Kind::Identity]
                .into_iter()
                .find(|kind| kind_of(id, *kind))?;
            return slot.map(|slot| (kind, Some(slot)));
        }
        if *id == self.names.lock() {
            return Some((Kind::Lock, None));
        }
        // Untagged objects are ours when their deterministic id is that of a slot we may have had, or of a past peer.
        let past = self.observed.stored_spec.as_ref();
        for slot in self.spec.server_count..MAX_SLOTS {
            let containers = [container::secrets(slot), container::status(slot)];
            if containers.iter().any(|name| self.names.container(name) == *id) {
                return Some((Kind::BlobContainer, Some(slot)));
            }
            if self.names.dns_record(&format!("server-{slot}")) == *id {
                return Some((Kind::PrivateDnsRecord, Some(slot)));
            }
            let scopes = containers.map(|name| self.names.container(&name));
            if kind_of(id, Kind::RoleAssignment) && scopes.iter().any(|scope| id.is_within(scope)) {
                return Some((Kind::RoleAssignment, Some(slot)));
            }
        }
        let peers = past.map(|spec| spec.peer_vnet_ids.as_slice()).unwrap_or_default();
        let is_peering = peers.iter().any(|peer| {
            self.names.peering_out(peer) == *id || self.names.peering_in(peer) == *id
        });
        is_peering.then_some((Kind::Peering, None))
    }

    /// `spec.json` and `cluster.json` where they differ; returns the document that will be in force.
    fn documents(&mut self, orphans: &[Orphan]) -> ClusterDocument {
        let stored = self.observed.document.as_ref();
        let keeps_consul =
            stored.filter(|document| document.consul.version == self.spec.consul_version);
        let mut wanted = ClusterDocument {
            generation: stored.map_or(0, |document| document.generation),
            datacenter: self.spec.consul_datacenter.clone(),
            server_count: self.spec.server_count,
            slots: self.desired.slots.clone(),
            consul: keeps_consul.map_or_else(
                || ConsulArtifact {
                    version: self.spec.consul_version.clone(),
                    sha256: String::new(),
                    file_name: String::new(),
                },
                |document| document.consul.clone(),
            ),
        };
        let servers_change = !orphans.is_empty()
            || self.desired.slots.iter().any(|slot| {
                self.observed.object(&self.names.scale_set(*slot)).is_none()
            });
        if stored != Some(&wanted) || (servers_change && self.observed.is_ready()) {
            wanted.generation += 1;
            let mut content = json!(wanted);
            if keeps_consul.is_none() {
                content["consul"]["sha256"] = reference::parameter(CONSUL_SHA256);
                content["consul"]["file_name"] = reference::parameter(CONSUL_FILE_NAME);
                let version = self.spec.consul_version.clone();
                let artifact = Artifact::Consul { version };
                self.draft.add("upload consul", Action::UploadArtifact { artifact }, None);
                self.draft.edge("upload consul", "write cluster document");
            }
            self.write("write cluster document", blob::CLUSTER, content);
        }
        if self.observed.stored_spec.as_ref() != Some(self.spec) {
            self.write(WRITE_SPEC, blob::SPEC, json!(self.spec));
        }
        wanted
    }

    fn write(&mut self, id: &str, name: &str, content: Value) {
        let action = Action::WriteDocument {
            container: container::CONFIG.into(),
            name: name.into(),
            content,
        };
        self.draft.add(id, action, None);
    }

    /// Secrets and programs of servers that do not exist yet. What is in the containers already is kept.
    fn secrets(&mut self) {
        let new: Vec<u32> = self
            .desired
            .slots
            .iter()
            .copied()
            .filter(|slot| self.draft.has(&format!("create {}", object::server(*slot))))
            .collect();
        if new.is_empty() {
            return;
        }
        let shared = [
            ("mint certificate authority", Secret::CertificateAuthority),
            ("mint gossip key", Secret::GossipKey),
            ("mint management token", Secret::ManagementToken),
        ];
        for (id, secret) in shared {
            self.draft.add(id, Action::MintSecret { secret }, None);
        }
        let artifact = Artifact::HostManager;
        self.draft.add("upload host manager", Action::UploadArtifact { artifact }, None);
        for slot in new {
            let server = format!("create {}", object::server(slot));
            let certificate = format!("mint certificate of server {slot}");
            let token = format!("mint agent token of server {slot}");
            let secret = Secret::ServerCertificate { slot };
            self.draft.add(&certificate, Action::MintSecret { secret }, Some(slot));
            let secret = Secret::AgentToken { slot };
            self.draft.add(&token, Action::MintSecret { secret }, Some(slot));
            self.draft.edge("mint certificate authority", &certificate);
            for before in [&certificate, &token] {
                self.draft.edge(before, &server);
            }
            for before in
                ["mint gossip key", "mint management token", "upload host manager", "upload consul", "write cluster document"]
            {
                self.draft.edge(before, &server);
            }
        }
    }

    /// Addresses of servers that no record names yet.
    fn addresses(&mut self) {
        for slot in self.desired.slots.clone() {
            let server = object::server(slot);
            if self.observed.addresses.contains_key(&slot) && !self.draft.has(&format!("create {server}")) {
                continue;
            }
            let address = format!("read address of server {slot}");
            let scale_set = self.names.scale_set(slot);
            self.draft.add(&address, Action::ReadAddress { slot, scale_set }, Some(slot));
            for verb in VERBS {
                self.draft.edge(&format!("{verb} {server}"), &address);
            }
            for record in [object::server_record(slot), object::DNS_RECORD.to_owned()] {
                self.draft.edge(&address, &format!("create {record}"));
                self.draft.edge(&address, &format!("update {record}"));
            }
        }
    }

    /// Scale-down and leftovers: highest slot first, each server leaves before its VM goes.
    fn removals(&mut self, orphans: &[Orphan]) {
        let mut servers: Vec<&Orphan> =
            orphans.iter().filter(|orphan| orphan.kind == Kind::ScaleSet).collect();
        servers.sort_by_key(|orphan| std::cmp::Reverse(orphan.slot));
        let mut present: Vec<u32> = self.present_slots();
        let mut previous: Option<String> = None;
        for orphan in servers {
            let Some(slot) = orphan.slot else { continue };
            present.retain(|other| *other != slot);
            let leave = format!("leave server_{slot}");
            let action = Action::Ask {
                slot,
                node_name: self.names.server(slot),
                request: RequestAction::Leave,
                remaining: self.node_names(&present),
            };
            self.draft.add(&leave, action, Some(slot));
            let delete = format!("delete server_{slot}");
            self.draft.add(&delete, delete_action(orphan), Some(slot));
            self.draft.edge(&leave, &delete);
            self.draft.edge("write cluster document", &leave);
            // Clients stop asking a server before it goes.
            self.draft.edge(&format!("update {}", object::DNS_RECORD), &leave);
            if let Some(previous) = &previous {
                self.draft.edge(previous, &leave);
            }
            previous = Some(delete);
        }
        for orphan in orphans.iter().filter(|orphan| orphan.kind != Kind::ScaleSet) {
            if orphan.kind == Kind::Lock {
                continue;
            }
            let id = format!("delete {}", leftover_name(orphan));
            self.draft.add(&id, delete_action(orphan), orphan.slot);
            if let Some(slot) = orphan.slot {
                self.draft.edge(&format!("delete server_{slot}"), &id);
            }
        }
    }

    fn present_slots(&self) -> Vec<u32> {
        let wanted = self.desired.slots.iter().copied();
        let extra = (self.spec.server_count..MAX_SLOTS)
            .filter(|slot| self.observed.object(&self.names.scale_set(*slot)).is_some());
        wanted.chain(extra).collect()
    }

    fn node_names(&self, slots: &[u32]) -> Vec<String> {
        let mut names: Vec<String> = slots.iter().map(|slot| self.names.server(*slot)).collect();
        names.sort();
        names
    }

    /// The last look: all voters healthy, then the generation is marked ready.
    fn readiness(&mut self, document: ClusterDocument) {
        let generation_ready =
            self.observed.ready.as_ref().is_some_and(|ready| ready.generation == document.generation);
        if generation_ready {
            return;
        }
        let voters = self.node_names(&self.desired.slots);
        let wait = self.draft.add("wait until healthy", Action::WaitHealthy { voters }, None);
        let servers: Vec<String> = self
            .draft
            .steps
            .iter()
            .filter(|step| {
                step.id.starts_with("create server_")
                    || step.id.starts_with("update server_")
                    || step.id.starts_with("await server_")
                    || step.id.starts_with("delete server_")
                    || step.id == "write cluster document"
            })
            .map(|step| step.id.clone())
            .collect();
        for server in servers {
            self.draft.edge(&server, &wait);
        }
        let content = json!(ReadyDocument { generation: document.generation });
        self.write("mark ready", READY_BLOB, content);
        self.draft.edge(&wait, "mark ready");
    }

    /// Edges between puts, and from the storage account's chain to everything that writes blobs.
    fn order(&mut self, recreated: &[String]) {
        for object in self.desired.objects.values() {
            for verb in VERBS {
                let own = format!("{verb} {}", object.name);
                for need in &object.needs {
                    for before in VERBS {
                        self.draft.edge(&format!("{before} {need}"), &own);
                    }
                }
            }
            if recreated.contains(&object.name) {
                let own = format!("create {}", object.name);
                self.draft.edge(&format!("delete stale {}", object.name), &own);
            }
        }
        self.grant();
    }

    /// The caller's own right on blobs comes right after the account and before the first blob.
    fn grant(&mut self) {
        let blob_steps: Vec<(String, Option<String>)> = self
            .draft
            .steps
            .iter()
            .filter_map(|step| blob_container(&step.action).map(|c| (step.id.clone(), c)))
            .collect();
        if blob_steps.is_empty() {
            return;
        }
        let account = self.names.storage_account();
        let grant = "grant caller blob access";
        self.draft.add(grant, Action::GrantCallerBlobAccess { account }, None);
        for verb in VERBS {
            self.draft.edge(&format!("{verb} {}", object::STORAGE_ACCOUNT), grant);
            self.draft.edge(&format!("{verb} {}", object::container(container::CONFIG)), grant);
        }
        for (step, container) in blob_steps {
            self.draft.edge(grant, &step);
            if let Some(container) = container {
                self.draft.edge(&format!("create {}", object::container(&container)), &step);
            }
        }
    }

    /// The lock goes first where something is deleted, and is put back last.
    fn lock(&mut self) {
        let lock = self.names.lock();
        let present = self.observed.object(&lock).is_some();
        let wanted = self.desired.objects.contains_key(object::LOCK);
        let deletes: Vec<String> = self
            .draft
            .steps
            .iter()
            .filter(|step| matches!(step.action, Action::Delete { .. }))
            .map(|step| step.id.clone())
            .collect();
        let create_lock = format!("create {}", object::LOCK);
        if present && (!wanted || !deletes.is_empty()) {
            let reason = if wanted { "it is in the way; it is put back last" } else { "lock = none" };
            let reason = reason.to_owned();
            let action = Action::Delete { kind: Kind::Lock, id: lock, reason };
            self.draft.add("delete lock", action, None);
            for delete in &deletes {
                self.draft.edge("delete lock", delete);
            }
            if let (true, Some(object)) = (wanted, self.desired.objects.get(object::LOCK)) {
                let update = format!("update {}", object::LOCK);
                self.draft.steps.retain(|step| step.id != update);
                self.draft.add(create_lock.clone(), create(object), None);
                self.draft.edge("delete lock", &create_lock);
            }
        }
        let others: Vec<String> = self
            .draft
            .steps
            .iter()
            .filter(|step| ![create_lock.as_str(), "mark ready", WRITE_SPEC].contains(&step.id.as_str()))
            .map(|step| step.id.clone())
            .collect();
        for other in others {
            self.draft.edge(&other, &create_lock);
        }
        self.draft.edge(&create_lock, "mark ready");
    }

    /// A first spec is stored at once, so that whoever finds half a cluster knows what it was to be. A changed one
    /// comes last: until then the stored one tells which tags and peerings were ours.
    fn store_spec(&mut self) {
        self.draft.edge(WRITE_SPEC, "mark ready");
        if self.observed.stored_spec.is_none() {
            return;
        }
        let others: Vec<String> = self
            .draft
            .steps
            .iter()
            .filter(|step| step.id != WRITE_SPEC && step.id != "mark ready")
            .map(|step| step.id.clone())
            .collect();
        for other in others {
            self.draft.edge(&other, WRITE_SPEC);
        }
    }
}

/// References resolve to what is observed where it is; the rest stays a reference.
fn resolve_known(body: &Value, planner: &Planner<'_>) -> Value {
    match resolve(body, planner) {
        Ok(value) => value,
        Err(_) => match body {
            Value::Object(map) => Value::Object(
                map.iter().map(|(key, item)| (key.clone(), resolve_known_item(item, planner))).collect(),
            ),
            other => other.clone(),
        },
    }
}

fn resolve_known_item(item: &Value, planner: &Planner<'_>) -> Value {
    match item {
        Value::Object(map) if !map.keys().any(|key| key.starts_with('$')) => {
            resolve_known(item, planner)
        }
        other => resolve(other, planner).unwrap_or_else(|_| other.clone()),
    }
}

impl Outputs for Planner<'_> {
    fn output(&self, object_name: &str, pointer: &str) -> Option<Value> {
        if let Some(slot) = object_name.strip_prefix("address_server_") {
            let address = self.observed.addresses.get(&slot.parse().ok()?)?;
            return Some(json!(address));
        }
        let object = self.desired.objects.get(object_name)?;
        self.observed.object(&object.id)?.pointer(pointer).cloned()
    }

    fn parameter(&self, _: &str) -> Option<Value> {
        None
    }
}

/// An object of this cluster that the spec no longer wants.
struct Orphan {
    kind: Kind,
    id: ArmId,
    slot: Option<u32>,
}

/// What ARM says of an object's last write.
enum Provisioning {
    Done,
    Running,
    Failed,
}

/// Absent means done; a word that we do not know is never success.
fn provisioning(body: &Value) -> Provisioning {
    match body.pointer("/properties/provisioningState").and_then(Value::as_str) {
        None => Provisioning::Done,
        Some(word) if word.eq_ignore_ascii_case("Succeeded") => Provisioning::Done,
        Some(word) if ["failed", "canceled", "cancelled"].contains(&word.to_lowercase().as_str()) => {
            Provisioning::Failed
        }
        Some(_) => Provisioning::Running,
    }
}

/// What a step may do to a desired object.
const VERBS: [&str; 3] = ["create", "update", "await"];

const WRITE_SPEC: &str = "write spec";

/// Slots that a cluster can ever have had: seven servers, and room for servers that are replaced add-first.
pub const MAX_SLOTS: u32 = 9;

fn kind_of(id: &ArmId, kind: Kind) -> bool {
    let marker = format!("/providers/{}/", kind.resource_type()).to_lowercase();
    let key = id.key();
    key.rfind("/providers/").is_some_and(|at| key[at..].starts_with(&marker))
}

fn create(object: &DesiredObject) -> Action {
    let (name, id, body) = (object.name.clone(), object.id.clone(), object.body.clone());
    Action::Put { object: name, kind: object.kind, id, body, update: false, differences: vec![] }
}

fn update(object: &DesiredObject, body: Value, differences: Vec<Difference>) -> Action {
    let (name, id) = (object.name.clone(), object.id.clone());
    Action::Put { object: name, kind: object.kind, id, body, update: true, differences }
}

fn without_create_only(object: &DesiredObject) -> Value {
    let mut body = object.body.clone();
    for pointer in object.create_only {
        if let Some((parent, key)) = pointer.rsplit_once('/')
            && let Some(map) = body.pointer_mut(parent).and_then(Value::as_object_mut)
        {
            map.remove(key);
        }
    }
    body
}

fn delete_action(orphan: &Orphan) -> Action {
    let reason = orphan.slot.map_or_else(
        || "the configuration no longer asks for it".to_owned(),
        |slot| format!("the cluster no longer has a slot {slot}"),
    );
    Action::Delete { kind: orphan.kind, id: orphan.id.clone(), reason }
}

fn leftover_name(orphan: &Orphan) -> String {
    let kind = match orphan.kind {
        Kind::Identity => "identity",
        Kind::BlobContainer => "container",
        Kind::RoleAssignment => "role assignment",
        Kind::PrivateDnsRecord => "dns record",
        Kind::Peering => "peering",
        _ => "object",
    };
    format!("{kind} {}", orphan.id.name())
}

/// `Some` for steps that need blobs, with the container that must exist.
fn blob_container(action: &Action) -> Option<Option<String>> {
    match action {
        Action::WriteDocument { container, .. } => Some(Some(container.clone())),
        Action::UploadArtifact { .. } => Some(Some(container::ARTIFACTS.into())),
        Action::MintSecret { secret } => Some(Some(match secret {
            Secret::CertificateAuthority | Secret::GossipKey | Secret::ManagementToken => {
                container::SECRETS_SHARED.into()
            }
            Secret::ServerCertificate { slot } | Secret::AgentToken { slot } => {
                container::secrets(*slot)
            }
        })),
        Action::Ask { .. } => Some(Some(container::REQUESTS.into())),
        Action::WaitHealthy { .. } => Some(None),
        Action::Put { .. }
        | Action::AwaitProvisioned { .. }
        | Action::Delete { .. }
        | Action::GrantCallerBlobAccess { .. }
        | Action::ReadAddress { .. } => None,
    }
}

/// Differences of every desired object from what is observed, by logical name; a missing object is `None`.
pub fn survey(spec: &ClusterSpec, observed: &Observed) -> BTreeMap<String, Option<Vec<Difference>>> {
    let planner = Planner {
        spec,
        observed,
        names: Names::new(spec),
        desired: Desired::new(spec),
        draft: Draft::default(),
    };
    let look = |object: &DesiredObject| {
        let have = observed.object(&object.id)?;
        let want = resolve_known(&object.body, &planner);
        Some(differences(&want, have, object.create_only))
    };
    planner.desired.objects.values().map(|o| (o.name.clone(), look(o))).collect()
}
