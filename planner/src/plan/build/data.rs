//! The data plane's part: documents, secrets, programs, and the last look that calls a cluster ready.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    MARK_READY, Planner, RESTORE, Servers, WAIT_HEALTHY, WAIT_HEALTHY_AGAIN, WRITE_DOCUMENT,
    WRITE_SPEC,
};
use crate::arm::Kind;
use crate::dataplane::{
    ClusterDocument, ConsulArtifact, FORMAT, Form, HostManagerArtifact, ServerCertificates, blob,
    container, own_version,
};
use crate::desired::{object, role_of_servers};
use crate::observed::{READY_BLOB, ReadyDocument};
use crate::plan::graph::StepRef;
use crate::plan::{Action, Artifact, PlanError, Secret, SecretKind};
use crate::reference;
use crate::reference::has_reference;
use crate::reference::parameter::{CONSUL_FILE_NAME, CONSUL_SHA256, HOST_MANAGER_SHA256};
use crate::releases::{UpgradeRefused, check_choice, check_upgrade};
use crate::rotation::{Rotated, Rotations, SecretVersion, declared};
use crate::server_config::added_config;
use crate::upgrade::UpgradePhase;

const UPLOAD_CONSUL: &str = "upload consul";
const UPLOAD_HOST_MANAGER: &str = "upload host manager";
const FORGET_OTHERS: &str = "settle cluster document";

impl Planner<'_> {
    /// `spec.json` and `cluster.json` where they differ; returns the document that will be in force.
    pub(super) fn documents(&mut self, servers: &Servers) -> Result<ClusterDocument, PlanError> {
        let stored = self.observed.document.as_ref();
        self.check_forms()?;
        let version = &self.spec.consul_version;
        let runs = stored.filter(|_| !self.situation.present.is_empty());
        match (runs, stored) {
            (Some(document), _) => self
                .check_under_way(document)
                .and_then(|()| check_upgrade(&document.consul.version, version)),
            (None, Some(document)) if document.consul.version == *version => Ok(()),
            (None, _) => check_choice(version),
        }
        .map_err(PlanError::Upgrade)?;
        let upgrades = runs.is_some_and(|document| document.consul.version != *version);
        let keeps_consul = stored.filter(|document| document.consul.version == *version);
        let mut wanted = ClusterDocument {
            generation: stored.map_or(0, |document| document.generation),
            datacenter: self.spec.consul_datacenter.clone(),
            server_count: self.spec.server_count,
            slots: self.desired.slots.clone(),
            others: self.others_meanwhile(servers),
            consul: keeps_consul.map_or_else(
                || ConsulArtifact {
                    version: version.clone(),
                    sha256: String::new(),
                    file_name: String::new(),
                },
                |document| document.consul.clone(),
            ),
            consul_before: match (runs, stored) {
                (Some(runs), _) if upgrades => Some(Box::new(runs.consul.clone())),
                (_, stored) => stored.and_then(|document| document.consul_before.clone()),
            },
            consul_declared_at: stored.map_or(0, |document| document.consul_declared_at),
            consul_server_config: added_config(self.spec),
            maintenance: self.spec.maintenance.clone(),
            certificates: ServerCertificates::new(self.spec, &self.names),
            host_manager: None,
            host_manager_before: None,
            rotations: declared(
                stored.map(|document| &document.rotations),
                &self.spec.rotation_triggers,
                &BTreeMap::new(),
                self.names.cluster_id.as_str(),
            ),
            form: stored.map_or_else(Form::default, |document| Form {
                format: document.form.format.max(FORMAT),
                ..document.form.clone()
            }),
        };
        let brings_host_manager = self.name_host_manager(&mut wanted)?;
        let balancers = self.balancers();
        wanted.certificates.addresses = balancers.known;
        let differs = stored != Some(&wanted) || !balancers.coming.is_empty();
        if differs || (servers.change() && self.observed.is_ready()) {
            wanted.generation += 1;
            if upgrades {
                wanted.consul_declared_at = wanted.generation;
            }
            let content = content(&wanted, &balancers.all);
            let mut uploads = Vec::new();
            if brings_host_manager {
                uploads.push(self.upload_host_manager());
            }
            if keeps_consul.is_none() {
                let artifact = Artifact::Consul { version: version.clone() };
                let action = Action::UploadArtifact { artifact };
                uploads.push(self.draft.add(UPLOAD_CONSUL, action, None));
            }
            uploads.extend(self.mint_rotated(&wanted));
            let document = self.write(WRITE_DOCUMENT, blob::CLUSTER, content, upgrades);
            for before in uploads.into_iter().chain(balancers.coming) {
                self.draft.edge(before, document);
            }
            // Servers that are told of a version note how far they are with it.
            if wanted.rotations.values().any(|rotation| !rotation.version.is_first()) {
                let place = object::container(container::DECISIONS);
                for object in [place, role_of_servers(container::DECISIONS)] {
                    self.draft.edge_from(&format!("create {object}"), document);
                }
            }
        }
        if self.observed.stored_spec.as_ref() != Some(self.spec) {
            self.write(WRITE_SPEC, blob::SPEC, json!(self.spec), false);
        }
        Ok(wanted)
    }

    /// Servers that are on a way may stand at its beginning still, and one that has stopped is ended first: no other way
    /// begins while a server is ill.
    fn check_under_way(&self, document: &ClusterDocument) -> Result<(), Box<UpgradeRefused>> {
        let version = &self.spec.consul_version;
        let Some(upgrade) = self.observed.upgrade.as_deref() else { return Ok(()) };
        if *version == document.consul.version || document.consul != upgrade.to {
            return Ok(());
        }
        let (from, to) = (upgrade.from.version.clone(), upgrade.to.version.clone());
        match upgrade.phase {
            UpgradePhase::Stopped => {
                Err(Box::new(UpgradeRefused::Stopped { from, to, wanted: version.clone() }))
            }
            UpgradePhase::Running => check_upgrade(&from, version),
            _ => Ok(()),
        }
    }

    /// The version that a look at the servers waits for. On a way that they go by themselves they may wait for their window.
    pub(super) fn awaited_version(&self) -> Option<semver::Version> {
        (!self.observed.upgrades_itself()).then(|| self.spec.consul_version.clone())
    }

    /// New versions of secrets: they are there before the document names them. The clients' token is made by the servers.
    fn mint_rotated(&mut self, wanted: &ClusterDocument) -> Vec<StepRef> {
        let stored = self.observed.document.as_ref().map(|document| &document.rotations);
        let mut minted = Vec::new();
        for what in Rotated::ALL {
            let version = version_of(&wanted.rotations, what);
            let before = stored.map(|stored| version_of(stored, what)).unwrap_or_default();
            if version == before {
                continue;
            }
            let kinds = SecretKind::of_rotation(what, self.situation.present.keys().copied());
            for kind in kinds {
                let (id, slot) = match kind {
                    SecretKind::AgentToken { slot } => {
                        (format!("mint another agent token of server {slot}"), Some(slot))
                    }
                    _ => (format!("mint another version of {}", what.in_words()), None),
                };
                let secret = Secret { kind, version: version.clone() };
                minted.push(self.draft.add(id, Action::MintSecret { secret }, slot));
            }
        }
        minted
    }

    /// What a newer provider wrote and this one does not understand is left as it is.
    fn check_forms(&self) -> Result<(), PlanError> {
        let document = self.observed.document.as_ref().map(|document| document.form.needs_format);
        let spec = self.observed.stored_spec.as_ref().map(|spec| spec.needs_format);
        for (name, needs) in [(blob::CLUSTER, document), (blob::SPEC, spec)] {
            if let Some(needs) = needs.filter(|needs| *needs > FORMAT) {
                return Err(PlanError::NewerForm { name: name.to_owned(), needs });
            }
        }
        Ok(())
    }

    /// The host manager that the servers shall have: what runs while its version is the wanted one, else the one before or
    /// the one that this provider brings. Says whether it is the last, whose hash is known when it is uploaded.
    fn name_host_manager(&self, wanted: &mut ClusterDocument) -> Result<bool, PlanError> {
        let stored = self.observed.document.as_ref();
        let runs = stored.and_then(|document| document.host_manager.clone());
        let before = stored.and_then(|document| document.host_manager_before.clone());
        let own = own_version();
        let version = self.spec.host_manager_version.clone().unwrap_or_else(|| own.clone());
        if runs.as_ref().is_some_and(|program| program.version == version) {
            (wanted.host_manager, wanted.host_manager_before) = (runs, before);
            return Ok(false);
        }
        let before = before.filter(|program| program.version == version);
        let brings = before.is_none();
        wanted.host_manager = match before {
            Some(program) => Some(program),
            None if version == own => Some(HostManagerArtifact { version, sha256: String::new() }),
            None => {
                let known = runs.into_iter().map(|program| program.version).chain([own]);
                let known: BTreeSet<_> = known.collect();
                return Err(PlanError::HostManager { version, known });
            }
        };
        wanted.host_manager_before = runs;
        Ok(brings)
    }

    /// Once in a plan, whoever needs it.
    fn upload_host_manager(&mut self) -> StepRef {
        self.draft.find(UPLOAD_HOST_MANAGER).unwrap_or_else(|| {
            let action = Action::UploadArtifact { artifact: Artifact::HostManager };
            self.draft.add(UPLOAD_HOST_MANAGER, action, None)
        })
    }

    /// Who is there for a while. Nobody is forgotten before all of them are gone.
    fn others_meanwhile(&self, servers: &Servers) -> Vec<u32> {
        if !servers.change() {
            return Vec::new();
        }
        let known = self.observed.document.iter().flat_map(|document| &document.others).copied();
        let mut others: BTreeSet<u32> =
            known.chain(servers.surplus.iter().copied()).chain(servers.helper).collect();
        others.retain(|slot| !self.desired.slots.contains(slot));
        others.into_iter().collect()
    }

    /// Whoever was there for a while is gone in the end, and the document says so: a server that is made anew one day
    /// would wait for them. Returns the document that is in force then.
    pub(super) fn forget_others(&mut self, mut document: ClusterDocument) -> ClusterDocument {
        if document.others.is_empty() {
            return document;
        }
        let gone: Vec<StepRef> = std::mem::take(&mut document.others)
            .into_iter()
            .filter_map(|slot| self.draft.find(&format!("delete {}", object::server(slot))))
            .chain(self.draft.find(WRITE_DOCUMENT))
            .collect();
        document.generation += 1;
        let content = content(&document, &self.balancers().all);
        let last = self.write(FORGET_OTHERS, blob::CLUSTER, content, false);
        for step in gone {
            self.draft.edge(step, last);
        }
        document
    }

    fn write(&mut self, id: &str, name: &str, content: Value, restarts_servers: bool) -> StepRef {
        let (container, name) = (container::CONFIG.to_owned(), name.to_owned());
        let action = Action::WriteDocument { container, name, content, restarts_servers };
        self.draft.add(id, action, None)
    }

    /// Secrets and programs of servers that come: what all of them share is there when one of them is.
    pub(super) fn secrets(&mut self, document: &ClusterDocument) {
        let new: Vec<(StepRef, u32, bool)> = self
            .draft
            .refs()
            .filter(|(_, step)| step.action.boots_server())
            .filter_map(|(at, step)| {
                let slot = step.slot?;
                Some((at, slot, self.situation.present.contains_key(&slot)))
            })
            .collect();
        if new.is_empty() {
            return;
        }
        let mut shared = Vec::new();
        if self.situation.present.is_empty() {
            let mint = |draft: &mut super::Draft, id: &str, kind| {
                draft.add(id, Action::MintSecret { secret: Secret::first(kind) }, None)
            };
            let draft = &mut self.draft;
            // Each server signs its own certificate.
            shared.push(mint(
                draft,
                "mint certificate authority",
                SecretKind::CertificateAuthority,
            ));
            shared.push(mint(draft, "mint gossip key", SecretKind::GossipKey));
            shared.push(mint(draft, "mint management token", SecretKind::ManagementToken));
        }
        shared.push(self.upload_host_manager());
        shared.extend([UPLOAD_CONSUL, WRITE_DOCUMENT].iter().filter_map(|id| self.draft.find(id)));
        for (server, slot, is_anew) in new {
            for before in &shared {
                self.draft.edge(*before, server);
            }
            // Its own secrets outlive its machine.
            if is_anew {
                continue;
            }
            let version = version_of(&document.rotations, Rotated::AgentTokens);
            let secret = Secret { kind: SecretKind::AgentToken { slot }, version };
            let action = Action::MintSecret { secret };
            let id = format!("mint agent token of server {slot}");
            let mint = self.draft.add(id, action, Some(slot));
            self.draft.edge(mint, server);
        }
    }

    /// The last look: all voters healthy, then the generation is marked ready.
    pub(super) fn readiness(&mut self, document: &ClusterDocument) {
        let generation_ready = self
            .observed
            .ready
            .as_ref()
            .is_some_and(|ready| ready.generation == document.generation);
        if generation_ready {
            return;
        }
        let known = self.draft.find(WAIT_HEALTHY);
        let wait = known.unwrap_or_else(|| self.wait_until_all_are_healthy(WAIT_HEALTHY));
        let before: Vec<StepRef> = self
            .draft
            .refs()
            .filter(|(_, step)| changes_servers(&step.action) || step.id == WRITE_DOCUMENT)
            .map(|(at, _)| at)
            .collect();
        for step in before {
            self.draft.edge(step, wait);
        }
        let content = json!(ReadyDocument { generation: document.generation });
        let ready = self.write(MARK_READY, READY_BLOB, content, false);
        self.draft.edge(wait, ready);
        self.first_state(wait, ready);
        self.draft.edge_from(FORGET_OTHERS, ready);
    }

    fn wait_until_all_are_healthy(&mut self, id: &str) -> StepRef {
        let slots = self.desired.slots.iter().copied().collect();
        let (voters, consul_version) = (self.voters(&slots), self.awaited_version());
        self.draft.add(id, Action::WaitHealthy { voters, consul_version }, None)
    }

    /// A cluster that is made from a snapshot is not ready before it has that state.
    fn first_state(&mut self, healthy: StepRef, ready: StepRef) {
        let Some(snapshot_id) = self.spec.restore_from_snapshot_id.clone() else { return };
        if self.observed.ready.is_some() {
            return;
        }
        let restore = self.draft.add(RESTORE, Action::RestoreSnapshot { snapshot_id }, None);
        let again = self.wait_until_all_are_healthy(WAIT_HEALTHY_AGAIN);
        self.draft.edge(healthy, restore);
        self.draft.edge(restore, again);
        self.draft.edge(again, ready);
    }
}

fn version_of(rotations: &Rotations, what: Rotated) -> SecretVersion {
    rotations.get(what.as_str()).map(|rotation| rotation.version.clone()).unwrap_or_default()
}

/// A document as it is written: what is not known yet is given when a program is uploaded or a balancer is there.
fn content(document: &ClusterDocument, balancers: &[Value]) -> Value {
    let mut content = json!(document);
    if balancers.iter().any(has_reference) {
        content["certificates"]["addresses"] = json!(balancers);
    }
    if document.consul.sha256.is_empty() {
        content["consul"]["sha256"] = reference::parameter(CONSUL_SHA256);
        content["consul"]["file_name"] = reference::parameter(CONSUL_FILE_NAME);
    }
    if document.host_manager.as_ref().is_some_and(|program| program.sha256.is_empty()) {
        content["host_manager"]["sha256"] = reference::parameter(HOST_MANAGER_SHA256);
    }
    content
}

fn changes_servers(action: &Action) -> bool {
    matches!(
        action,
        Action::Put { kind: Kind::ScaleSet, .. }
            | Action::AwaitProvisioned { kind: Kind::ScaleSet, .. }
            | Action::Delete { kind: Kind::ScaleSet, .. }
            | Action::Restart { .. }
    )
}
