//! Which step waits for which: objects for what they need, blobs for the caller's right to write them, the lock for all.

use super::look::is_address_book;
use super::{MARK_READY, Planner, Servers, WRITE_DOCUMENT, WRITE_SPEC};
use crate::arm::{ArmId, Kind};
use crate::dataplane::container;
use crate::desired::object;
use crate::plan::graph::StepRef;
use crate::plan::{Action, SecretKind};

impl Planner<'_> {
    /// Objects wait for what they need.
    pub(super) fn order_of_needs(&mut self, servers: &Servers) {
        for object in self.desired.objects.values() {
            let Some((first, last)) = self.writes.get(&object.name) else { continue };
            // A stale half of a peering goes before the other comes, and comes after it.
            let own = if object.kind == Kind::Peering { last } else { first };
            for need in &object.needs {
                // A book is written before and after a server is made anew; who comes when is told there.
                if is_address_book(object) && is_of_replaced(need, servers) {
                    continue;
                }
                // An account that is there is written after its private way came.
                if object.name == object::PRIVATE_ENDPOINT && self.updates_account(need) {
                    continue;
                }
                if let Some((_, need)) = self.writes.get(need) {
                    self.draft.edge(*need, *own);
                }
            }
        }
    }

    pub(super) fn order(&mut self, servers: &Servers) {
        self.order_of_needs(servers);
        self.stale_halves_first();
        self.private_way_first();
        self.document_first();
        self.grant();
        let lock = self.lock();
        self.store_spec();
        if let (Some(lock), Some(ready)) = (lock, self.draft.find(MARK_READY)) {
            self.draft.edge(lock, ready);
        }
    }

    /// Azure makes no half of a peering while the other one is disconnected (`RemotePeeringIsDisconnected`).
    fn stale_halves_first(&mut self) {
        for index in 0..self.spec.peer_vnet_ids.len() {
            let stale = self.draft.find(&format!("delete stale peering_in_{index}"));
            let out = self.writes.get(&format!("peering_out_{index}"));
            if let (Some(stale), Some((_, out))) = (stale, out) {
                self.draft.edge(stale, *out);
            }
        }
    }

    fn updates_account(&self, object: &str) -> bool {
        object == object::STORAGE_ACCOUNT
            && self.draft.find(&format!("update {}", object::STORAGE_ACCOUNT)).is_some()
    }

    /// Servers are never without their account: it closes when there is another way, which goes when it is open again.
    fn private_way_first(&mut self) {
        let Some(update) = self.draft.find(&format!("update {}", object::STORAGE_ACCOUNT)) else {
            return;
        };
        for name in object::PRIVATE_WAY {
            if let Some(written) = self.written(name) {
                self.draft.edge(written, update);
            } else if let Some(gone) = self.draft.find(&format!("delete {name}")) {
                self.draft.edge(update, gone);
            }
        }
    }

    /// A server that boots reads the status of everybody whom the document counts on: it may go when the document does
    /// not any more.
    fn document_first(&mut self) {
        let statuses: Vec<String> =
            self.desired.slots.iter().map(|slot| container::status(*slot)).collect();
        let is_other = |id: &ArmId| {
            id.as_str().contains("/status-")
                && !statuses
                    .iter()
                    .any(|name| id.as_str().split('/').any(|segment| segment == name))
        };
        let gone: Vec<StepRef> = self
            .draft
            .refs()
            .filter(|(_, step)| {
                matches!(
                    &step.action,
                    Action::Delete { kind: Kind::BlobContainer | Kind::RoleAssignment, id, .. }
                        if is_other(id)
                )
            })
            .map(|(at, _)| at)
            .collect();
        for step in gone {
            self.draft.edge_from(WRITE_DOCUMENT, step);
        }
    }

    /// The caller's own right on blobs comes right after the account and before the first blob.
    fn grant(&mut self) {
        let blob_steps: Vec<(StepRef, Vec<String>)> = self
            .draft
            .refs()
            .map(|(at, step)| (at, blob_containers(&step.action)))
            .filter(|(_, containers)| !containers.is_empty())
            .collect();
        if blob_steps.is_empty() {
            return;
        }
        let account = self.names.storage_account();
        let action = Action::GrantCallerBlobAccess { account };
        let grant = self.draft.add("grant caller blob access", action, None);
        let config = object::container(container::CONFIG);
        // Where the account has a private way nobody comes to it by another one.
        let way = [&[object::STORAGE_ACCOUNT, config.as_str()], &object::PRIVATE_WAY[..]].concat();
        for object in way {
            if let Some(written) = self.written(object) {
                self.draft.edge(written, grant);
            }
        }
        for (step, containers) in blob_steps {
            self.draft.edge(grant, step);
            for container in containers {
                self.draft.edge_from(&format!("create {}", object::container(&container)), step);
            }
        }
    }

    /// The lock goes first where something is deleted or may have to be, and is put back last.
    fn lock(&mut self) -> Option<StepRef> {
        let (lock, mut present) = (self.names.lock(), self.observed.own_locks(&self.names));
        present.retain(|own| self.observed.object(own).is_some());
        let wanted = self.desired.objects.get(object::LOCK).cloned();
        let deletes: Vec<StepRef> = self
            .draft
            .refs()
            .filter(|(_, step)| match &step.action {
                Action::Delete { .. } => true,
                Action::Put { alternatives, .. } => !alternatives.is_empty(),
                _ => false,
            })
            .map(|(at, _)| at)
            .collect();
        for own in present {
            let reason = match (&wanted, own == lock) {
                (None, _) => "lock.kind is None",
                (Some(_), true) if deletes.is_empty() => continue,
                (Some(_), true) => "it is in the way; it is put back last",
                (Some(_), false) => "it has another name now",
            };
            let (step, is_present) = if own == lock {
                ("delete lock".to_owned(), true)
            } else {
                (format!("delete lock {}", own.name()), false)
            };
            let action = Action::Delete { kind: Kind::Lock, id: own, reason: reason.to_owned() };
            let gone = self.draft.add(step, action, None);
            for delete in &deletes {
                self.draft.edge(gone, *delete);
            }
            if let (Some(wanted), true) = (wanted.clone(), is_present) {
                self.draft.forget(&format!("update {}", object::LOCK));
                let action = self.create(&wanted, vec![]);
                let id = format!("create {}", object::LOCK);
                let back = self.draft.add(id, action, None);
                self.draft.edge(gone, back);
            }
        }
        let back = self.draft.find(&format!("create {}", object::LOCK))?;
        let after = [MARK_READY, WRITE_SPEC].map(|id| self.draft.find(id));
        self.draft.last(back, &after);
        Some(back)
    }

    /// A first spec is stored at once, so that whoever finds half a cluster knows what it was to be. A changed one
    /// comes last: until then the stored one tells which tags and peerings were ours.
    fn store_spec(&mut self) {
        let (spec, ready) = (self.draft.find(WRITE_SPEC), self.draft.find(MARK_READY));
        let Some(spec) = spec else { return };
        if let Some(ready) = ready {
            self.draft.edge(spec, ready);
        }
        if self.observed.stored_spec.is_some() {
            self.draft.last(spec, &[ready]);
        }
    }
}

/// Whether the object is of a server that is made anew.
fn is_of_replaced(object_name: &str, servers: &Servers) -> bool {
    servers.replaced.keys().any(|slot| {
        object_name == object::server(*slot) || object_name == object::server_record(*slot)
    })
}

/// Containers that a step reads or writes; none for steps that need no blobs.
fn blob_containers(action: &Action) -> Vec<String> {
    let one = |name: &str| vec![name.to_owned()];
    match action {
        Action::WriteDocument { container, .. } => one(container),
        Action::UploadArtifact { .. } => one(container::ARTIFACTS),
        Action::MintSecret { secret } => match secret.kind {
            SecretKind::CertificateAuthority => {
                vec![container::SECRETS_SHARED.into(), container::CERTIFICATES.into()]
            }
            SecretKind::GossipKey | SecretKind::ManagementToken => one(container::SECRETS_SHARED),
            SecretKind::AgentToken { slot } => one(&container::secrets(slot)),
        },
        Action::Ask { .. } | Action::Withdraw { .. } => one(container::REQUESTS),
        Action::RestoreSnapshot { .. } => {
            vec![container::SNAPSHOTS.to_owned(), container::REQUESTS.to_owned()]
        }
        Action::WaitHealthy { .. } => one(container::CONFIG),
        Action::Put { .. }
        | Action::AwaitProvisioned { .. }
        | Action::Delete { .. }
        | Action::Restart { .. }
        | Action::GrantCallerBlobAccess { .. }
        | Action::ReadAddress { .. } => vec![],
    }
}
