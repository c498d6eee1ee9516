//! What each kind of step does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use hcs_planner::adoption::Adoption;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::dataplane::{ServerStatus, blob, container};
use hcs_planner::desired::object;
use hcs_planner::observed::{ObservedServer, other_version_reason, unhealthy_reason};
use hcs_planner::plan::{Action, Artifact, Step, Voter};
use hcs_planner::reference::{Outputs, Unresolved, resolve};
use hcs_planner::requests::{Request, RequestAction, leave_request_id};
use hcs_planner::roles::RoleAssignmentMode;
use serde_json::{Value, json};

use super::Run;
use super::access::{await_told, ensure_blob_access};
use crate::blob::{BlobError, BlobStore, BlockStore, WriteCondition};
use crate::document;
use crate::error::{Awaited, EngineError};
use crate::observe::{old_news, read_status};
use crate::secrets::Mint;

/// VM boot, download and election take two to five minutes on Azure.
const HEALTHY_MINUTES_MAX: u64 = 20;
/// Leaving takes seconds; a server that cannot is found out well before this.
const LEAVE_MINUTES_MAX: u64 = 10;
/// Host managers read their documents twice a minute; an error that no waiting heals stands when they have.
const HOPELESS_AFTER: Duration = Duration::from_mins(1);
/// A wait says so often in the log what it waits for.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// Between two looks at the servers' status, first and last: they write every five seconds.
const STATUS_POLL_MIN: Duration = Duration::from_millis(500);
const STATUS_POLL_MAX: Duration = Duration::from_secs(5);
/// Scale sets show their NICs through this api-version of the network provider only.
const SCALE_SET_NIC_API_VERSION: &str = "2018-10-01";

impl Run<'_> {
    pub(super) async fn carry_out(&self, step: &Step) -> Result<(), EngineError> {
        match &step.action {
            Action::Put { object, kind, id, body, update: true, alternatives, .. }
                if alternatives.is_empty() =>
            {
                if *kind == Kind::StorageAccount && closes(body) {
                    await_told(&self.arm, id).await?;
                }
                let body = self.put_over(object, id, *kind, body).await?;
                self.set_output(object, body);
            }
            Action::Put { object, kind, id, body, alternatives, .. } => {
                let body = self.put_somewhere(id, *kind, body, alternatives).await?;
                self.set_output(object, body);
            }
            Action::AwaitProvisioned { object, kind, id } => {
                let body = self.arm.await_provisioned(id, *kind).await?;
                self.set_output(object, body);
            }
            Action::Delete { kind: Kind::ResourceGroup, id, .. } => {
                if let Some(lease) = &self.lease {
                    lease.let_go().await?;
                }
                let incarnation_id = self.incarnation_id.as_deref();
                self.arm.delete_group(id, incarnation_id, self.lock_was_removed()).await?;
            }
            Action::Delete { kind, id, .. } => {
                // With the account goes the record of the run.
                if let (Kind::StorageAccount, Some(lease)) = (kind, &self.lease)
                    && lease.is_destroy()
                {
                    lease.let_go().await?;
                }
                self.arm.delete(id, *kind, self.lock_was_removed()).await?;
                if *kind == Kind::Lock {
                    self.note_lock_removed();
                }
            }
            Action::Restart { slot, scale_set, is_off, .. } => {
                self.restart(*slot, scale_set, *is_off).await?;
            }
            Action::GrantCallerBlobAccess { account } => self.grant(account).await?,
            Action::WriteDocument { container, name, content, .. } => {
                let content = resolve(content, self)?;
                self.write_document(container, name, document::bytes(name, &content)?).await?;
            }
            Action::MintSecret { secret } => {
                let mint = Mint {
                    store: self.store()?,
                    spec: self.spec,
                    names: &self.names,
                    now_unix_ms: self.arm.clock.now_unix_ms(),
                    entropy: self.arm.entropy.as_ref(),
                };
                mint.mint(secret).await?;
            }
            Action::UploadArtifact { artifact } => self.upload(artifact).await?,
            Action::ReadAddress { slot, scale_set } => self.read_address(*slot, scale_set).await?,
            Action::Withdraw { slot } => {
                self.store()?.delete(container::REQUESTS, &blob::leave_request(*slot)).await?;
            }
            Action::Ask { slot, node_name, request, remaining } => {
                self.ask(*slot, node_name, *request, remaining).await?;
            }
            Action::RestoreSnapshot { snapshot_id } => self.restore_snapshot(snapshot_id).await?,
            Action::WaitHealthy { voters, consul_version } => {
                let (version, adoption) = (consul_version.as_ref(), self.adoption.as_deref());
                let goal = Goal { voters, version, gone: None, adoption };
                self.wait_healthy(&goal, HEALTHY_MINUTES_MAX).await?;
            }
        }
        Ok(())
    }

    /// The cluster's blobs: no write without the lease, and no denial is believed soon after a grant.
    pub(super) fn store(&self) -> Result<Arc<dyn BlockStore>, EngineError> {
        let store = self.bare_store()?;
        Ok(self.patience.over(&self.arm, store, self.lease.as_ref()))
    }

    fn bare_store(&self) -> Result<Arc<dyn BlockStore>, EngineError> {
        let pointer = "/properties/primaryEndpoints/blob";
        let endpoint = self.output(object::STORAGE_ACCOUNT, pointer);
        let endpoint = endpoint
            .as_ref()
            .and_then(Value::as_str)
            .ok_or_else(|| Unresolved { what: "the storage account's blob endpoint".into() })?;
        Ok(self.stores.open(endpoint)?)
    }

    async fn grant(&self, account: &ArmId) -> Result<(), EngineError> {
        let grants = self.spec.role_assignment_mode == RoleAssignmentMode::Managed;
        if ensure_blob_access(&self.arm, account, self.bare_store()?.as_ref(), grants).await? {
            self.patience.note_grant(&self.arm);
        }
        Ok(())
    }

    /// Writes a document over the one that was read, or where none was.
    async fn write_document(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
    ) -> Result<(), EngineError> {
        let known = self.etags.lock().ok().and_then(|etags| etags.get(name).cloned());
        let etag = put_over(self.store()?.as_ref(), container, name, bytes, known).await?;
        if let Ok(mut etags) = self.etags.lock() {
            etags.insert(name.to_owned(), etag);
        }
        Ok(())
    }

    async fn upload(&self, artifact: &Artifact) -> Result<(), EngineError> {
        let (file, name) = match artifact {
            Artifact::Consul { .. } => {
                let file = self.parameters.consul.as_ref();
                (file, file.map(|file| blob::consul_artifact(&file.sha256, &file.file_name)))
            }
            Artifact::HostManager => {
                let file = self.parameters.host_manager.as_ref();
                (file, file.map(|file| blob::host_manager_artifact(&file.sha256)))
            }
        };
        let (Some(file), Some(name)) = (file, name) else {
            return Err(Unresolved { what: format!("{artifact:?}") }.into());
        };
        let (store, bytes) = (self.store()?, file.bytes.clone());
        match store.put(container::ARTIFACTS, &name, bytes, WriteCondition::Absent).await {
            Ok(_) | Err(BlobError::ConditionFailed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn read_address(&self, slot: u32, scale_set: &ArmId) -> Result<(), EngineError> {
        let path = format!("{scale_set}/networkInterfaces?api-version={SCALE_SET_NIC_API_VERSION}");
        // The NIC list of a scale set that was just made may lag behind the set itself.
        for attempt in 1..=10 {
            let interfaces = self.arm.list(&path).await?;
            let address = interfaces.iter().find_map(|interface| {
                interface.pointer("/properties/ipConfigurations/0/properties/privateIPAddress")
            });
            if let Some(address) = address.and_then(Value::as_str) {
                self.set_output(&object::address(slot), json!({ "privateIp": address }));
                return Ok(());
            }
            self.arm.sleep(crate::arm::backoff(attempt)).await?;
        }
        Err(Unresolved { what: format!("the private address of {scale_set}") }.into())
    }

    /// The request's id comes from what it asks of whom, so that a resumed run repeats the same request.
    async fn ask(
        &self,
        slot: u32,
        node_name: &str,
        action: RequestAction,
        remaining: &[Voter],
    ) -> Result<(), EngineError> {
        if action != RequestAction::Leave {
            return self.ask_for(slot, node_name, action).await;
        }
        let server = self.arm.get(&self.names.scale_set(slot), Kind::ScaleSet).await?;
        let unique = server.as_ref().and_then(|body| body.pointer("/properties/uniqueId"));
        let unique = unique.and_then(Value::as_str).unwrap_or_default();
        let id = leave_request_id(node_name, unique);
        let request = Request::new(id, Some(slot), action);
        let bytes = document::bytes("a request", &request)?;
        let (store, name) = (self.store()?, blob::leave_request(slot));
        // A try that comes late, after another run went on, meets that one's etag.
        let known = store.get(container::REQUESTS, &name).await?.map(|content| content.etag);
        put_over(store.as_ref(), container::REQUESTS, &name, bytes, known).await?;
        let adoption = self.adoption.as_deref();
        let goal = Goal { voters: remaining, version: None, gone: Some(node_name), adoption };
        self.wait_healthy(&goal, LEAVE_MINUTES_MAX).await?;
        store.delete(container::REQUESTS, &name).await?;
        Ok(())
    }

    async fn wait_healthy(&self, goal: &Goal<'_>, minutes_max: u64) -> Result<(), EngineError> {
        // The only server has left: nobody is there to say anything.
        if goal.voters.is_empty() {
            return Ok(());
        }
        let store = self.store()?;
        let started_ms = self.arm.clock.monotonic_ms();
        // A server that has just restarted may still be told of as it was before: only what is written from now on counts.
        let before = match goal.gone {
            Some(_) => Vec::new(),
            None => self.statuses(&store, goal.voters).await?,
        };
        let (mut wait, mut told) = (STATUS_POLL_MIN, TELL_EVERY);
        loop {
            let statuses = self.statuses(&store, goal.voters).await?;
            let reason = goal.missing(&statuses).or_else(|| old_news(&before, &statuses));
            let Some(reason) = reason else { return Ok(()) };
            let waited =
                Duration::from_millis(self.arm.clock.monotonic_ms().saturating_sub(started_ms));
            // A server that is told better a moment ago may still speak of what it was told before.
            let hopeless = goal.hopeless(&statuses).filter(|_| waited >= HOPELESS_AFTER);
            if let Some(error) = hopeless {
                return Err(error);
            }
            if waited > Duration::from_secs(minutes_max * 60) {
                return Err(EngineError::TimedOut {
                    what: goal.told(),
                    awaited: Awaited::Servers,
                    waited,
                    last: reason,
                });
            }
            if waited >= told {
                let waited_seconds = waited.as_secs();
                tracing::info!(waiting_for = %goal.told(), waited_seconds, %reason, "not there yet");
                told += TELL_EVERY;
            }
            self.arm.sleep(wait).await?;
            wait = (wait * 5 / 4).min(STATUS_POLL_MAX);
        }
    }

    /// Fresh statuses of these servers.
    async fn statuses(
        &self,
        store: &Arc<dyn BlockStore>,
        voters: &[Voter],
    ) -> Result<Vec<ServerStatus>, EngineError> {
        let reads = voters.iter().map(|voter| read_status(store.as_ref(), voter.slot));
        let statuses = try_join_all(reads).await?;
        Ok(statuses
            .into_iter()
            .filter_map(|(_, server)| server)
            .filter(ObservedServer::is_fresh)
            .map(|server| server.status)
            .collect())
    }
}

/// What a wait waits for.
struct Goal<'a> {
    /// Exactly these are healthy voters under one leader.
    voters: &'a [Voter],
    /// All of them run this Consul.
    version: Option<&'a semver::Version>,
    /// Whose departure it is about.
    gone: Option<&'a str>,
    /// Servers of before that vote as well.
    adoption: Option<&'a Adoption>,
}

impl Goal<'_> {
    /// What is not yet as wanted.
    fn missing(&self, statuses: &[ServerStatus]) -> Option<String> {
        unhealthy_reason(self.voters, self.adoption, statuses.iter())
            .or_else(|| other_version_reason(self.voters, self.version?, statuses.iter()))
    }

    /// An error of a server that no waiting heals.
    fn hopeless(&self, statuses: &[ServerStatus]) -> Option<EngineError> {
        let is_one = |status: &&ServerStatus| {
            let mut voters = self.voters.iter();
            status.last_error_is_final && voters.any(|v| v.node_name == status.node_name)
        };
        statuses.iter().find(is_one).map(|status| EngineError::Hopeless {
            what: self.told(),
            server: status.node_name.clone(),
            reason: status.last_error.clone().unwrap_or_default(),
        })
    }

    fn told(&self) -> String {
        let names: Vec<&str> = self.voters.iter().map(|v| v.node_name.as_str()).collect();
        match (self.gone, self.version) {
            (Some(gone), _) => format!("the departure of {gone}"),
            (None, Some(version)) => {
                format!("a healthy cluster of {} with Consul {version}", names.join(", "))
            }
            (None, None) => format!("a healthy cluster of {}", names.join(", ")),
        }
    }
}

/// Whether a written account answers to private endpoints only.
fn closes(account: &Value) -> bool {
    account.pointer("/properties/publicNetworkAccess").and_then(Value::as_str) == Some("Disabled")
}

/// Writes a blob over the one with this etag, or where none was; returns its etag. One that is there already, word for
/// word, was written by this step, whose answer was lost.
async fn put_over(
    store: &dyn BlobStore,
    container: &str,
    name: &str,
    bytes: Bytes,
    known: Option<String>,
) -> Result<String, EngineError> {
    let condition = known.map_or(WriteCondition::Absent, WriteCondition::Matches);
    match store.put(container, name, bytes.clone(), condition).await {
        Ok(etag) => Ok(etag),
        Err(BlobError::ConditionFailed { .. }) => match store.get(container, name).await? {
            Some(content) if content.bytes == bytes => Ok(content.etag),
            _ => Err(EngineError::Changed { id: format!("{container}/{name}") }),
        },
        Err(error) => Err(error.into()),
    }
}
