//! The data plane's part: documents, secrets, programs, addresses, and the last look that calls a cluster ready.

use serde_json::{Value, json};

use super::orphans::Orphan;
use super::{Planner, VERBS, WRITE_SPEC};
use crate::dataplane::{ClusterDocument, ConsulArtifact, blob, container};
use crate::desired::object;
use crate::observed::{READY_BLOB, ReadyDocument};
use crate::plan::{Action, Artifact, Secret};
use crate::reference;
use crate::reference::parameter::{CONSUL_FILE_NAME, CONSUL_SHA256};

impl Planner<'_> {
    /// `spec.json` and `cluster.json` where they differ; returns the document that will be in force.
    pub(super) fn documents(&mut self, orphans: &[Orphan]) -> ClusterDocument {
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
            || self
                .desired
                .slots
                .iter()
                .any(|slot| self.observed.object(&self.names.scale_set(*slot)).is_none());
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

    pub(super) fn write(&mut self, id: &str, name: &str, content: Value) {
        let action = Action::WriteDocument {
            container: container::CONFIG.into(),
            name: name.into(),
            content,
        };
        self.draft.add(id, action, None);
    }

    /// Secrets and programs of servers that do not exist yet. What is in the containers already is kept.
    pub(super) fn secrets(&mut self) {
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
            for before in [
                "mint gossip key",
                "mint management token",
                "upload host manager",
                "upload consul",
                "write cluster document",
            ] {
                self.draft.edge(before, &server);
            }
        }
    }

    /// Addresses of servers that no record names yet.
    pub(super) fn addresses(&mut self) {
        for slot in self.desired.slots.clone() {
            let server = object::server(slot);
            if self.observed.addresses.contains_key(&slot)
                && !self.draft.has(&format!("create {server}"))
            {
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
}
