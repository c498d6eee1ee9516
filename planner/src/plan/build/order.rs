//! Which step waits for which: objects for what they need, blobs for the caller's right to write them, the lock for all.

use super::{Planner, VERBS, WRITE_SPEC, create};
use crate::arm::Kind;
use crate::dataplane::container;
use crate::desired::object;
use crate::plan::{Action, Secret};

impl Planner<'_> {
    /// Edges between puts, and from the storage account's chain to everything that writes blobs.
    pub(super) fn order(&mut self, recreated: &[String]) {
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
    pub(super) fn grant(&mut self) {
        let blob_steps: Vec<(String, Vec<String>)> = self
            .draft
            .steps
            .iter()
            .map(|step| (step.id.clone(), blob_containers(&step.action)))
            .filter(|(_, containers)| !containers.is_empty())
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
        for (step, containers) in blob_steps {
            self.draft.edge(grant, &step);
            for container in containers {
                self.draft.edge(&format!("create {}", object::container(&container)), &step);
            }
        }
    }

    /// The lock goes first where something is deleted, and is put back last.
    pub(super) fn lock(&mut self) {
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
            let reason =
                if wanted { "it is in the way; it is put back last" } else { "lock = none" };
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
            .filter(|step| {
                ![create_lock.as_str(), "mark ready", WRITE_SPEC].contains(&step.id.as_str())
            })
            .map(|step| step.id.clone())
            .collect();
        for other in others {
            self.draft.edge(&other, &create_lock);
        }
        self.draft.edge(&create_lock, "mark ready");
    }

    /// A first spec is stored at once, so that whoever finds half a cluster knows what it was to be. A changed one
    /// comes last: until then the stored one tells which tags and peerings were ours.
    pub(super) fn store_spec(&mut self) {
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

/// Containers that a step reads or writes; none for steps that need no blobs.
fn blob_containers(action: &Action) -> Vec<String> {
    let one = |name: &str| vec![name.to_owned()];
    match action {
        Action::WriteDocument { container, .. } => one(container),
        Action::UploadArtifact { .. } => one(container::ARTIFACTS),
        Action::MintSecret { secret } => match secret {
            Secret::CertificateAuthority => {
                vec![container::SECRETS_SHARED.into(), container::CERTIFICATES.into()]
            }
            Secret::GossipKey | Secret::ManagementToken => one(container::SECRETS_SHARED),
            Secret::ServerCertificate { slot } | Secret::AgentToken { slot } => {
                vec![container::secrets(*slot)]
            }
        },
        Action::Ask { .. } => one(container::REQUESTS),
        Action::WaitHealthy { .. } => one(container::CONFIG),
        Action::Put { .. }
        | Action::AwaitProvisioned { .. }
        | Action::Delete { .. }
        | Action::GrantCallerBlobAccess { .. }
        | Action::ReadAddress { .. } => vec![],
    }
}
