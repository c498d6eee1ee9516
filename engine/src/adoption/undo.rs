//! The way back, as long as all servers of before vote: the cluster's own leave, one after the other, and can be destroyed
//! then.

use std::sync::Arc;

use hcs_planner::arm::Kind;
use hcs_planner::dataplane::{ServerPhase, blob, container};
use hcs_planner::requests::{Request, RequestAction, leave_request_id};
use serde_json::Value;

use super::{Adopting, AdoptionError, LOOK, Tell, WELL_MINUTES_MAX, under_lease};
use crate::arm::Arm;
use crate::blob::{BlobStore, WriteCondition};
use crate::document;
use crate::observe::read_status;

/// Has the cluster's own servers leave; those of before go on as they did. Returns who has left.
pub async fn undo(
    arm: &Arm,
    store: Arc<dyn BlobStore>,
    holder: &str,
    tell: Tell<'_>,
) -> Result<Vec<String>, AdoptionError> {
    under_lease(arm, store, holder, tell, |adopting| async move { adopting.undo().await }).await
}

impl Adopting<'_> {
    async fn undo(&self) -> Result<Vec<String>, AdoptionError> {
        let view = self.look().await?;
        let peers = view.peers();
        let (mut gone, mut off) = (Vec::new(), Vec::new());
        for server in &self.adoption.servers {
            let is_listed = peers.contains(&server.node_name);
            match (is_listed, self.is_on(server).await?) {
                (true, true) => {}
                (true, false) => off.push(server.node_name.clone()),
                // Where nobody of the cluster speaks, a machine that is on is taken for one that votes.
                (false, is_on) if is_on && peers.is_empty() => {}
                (false, _) => gone.push(server.node_name.clone()),
            }
        }
        if !gone.is_empty() {
            return Err(AdoptionError::Gone(gone));
        }
        if !off.is_empty() {
            return Err(AdoptionError::Off(off));
        }
        let leads = |slot: u32| {
            let mut statuses = view.statuses.iter().filter(|status| status.slot == slot);
            statuses.any(|status| status.consul.as_ref().is_some_and(|consul| consul.is_leader))
        };
        let mut slots = self.document.slots.clone();
        slots.sort_by_key(|slot| (leads(*slot), std::cmp::Reverse(*slot)));
        let mut left = Vec::new();
        for slot in slots {
            if self.leave(slot).await? {
                left.push(self.names.server(slot));
                (self.tell)(&format!("{} has left", self.names.server(slot)));
            }
        }
        Ok(left)
    }

    /// The server leaves Raft and gossip by itself, which it does not where the others would lose their quorum. `false` for
    /// one that never came up.
    async fn leave(&self, slot: u32) -> Result<bool, AdoptionError> {
        let name = self.names.server(slot);
        if read_status(self.store.as_ref(), slot).await?.1.is_none() {
            return Ok(false);
        }
        let set = self.arm.get(&self.names.scale_set(slot), Kind::ScaleSet).await?;
        let unique = set.as_ref().and_then(|body| body.pointer("/properties/uniqueId"));
        let id = leave_request_id(&name, unique.and_then(Value::as_str).unwrap_or_default());
        let request = Request::new(id.clone(), Some(slot), RequestAction::Leave);
        let bytes = document::bytes("a request", &request)?;
        let (blob_name, started_ms) = (blob::leave_request(slot), self.arm.clock.monotonic_ms());
        self.store.put(container::REQUESTS, &blob_name, bytes, WriteCondition::Always).await?;
        loop {
            let (_, server) = read_status(self.store.as_ref(), slot).await?;
            let status = server.map(|server| server.status);
            let has_left = status.as_ref().is_some_and(|status| {
                status.phase == ServerPhase::Left && status.done_requests.contains(&id)
            });
            if has_left {
                return Ok(true);
            }
            let waited_ms = self.arm.clock.monotonic_ms().saturating_sub(started_ms);
            if waited_ms > WELL_MINUTES_MAX * 60_000 {
                let reason = status.and_then(|status| status.last_error);
                return Err(AdoptionError::NotDone {
                    action: "the departure",
                    server: name,
                    reason: reason.unwrap_or_else(|| "it did not say that it has left".to_owned()),
                });
            }
            self.arm.sleep(LOOK).await?;
        }
    }
}
