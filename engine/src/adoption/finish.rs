//! Servers of before go: each is stopped when all are well and one may fail, then taken out of Raft and gossip; whoever
//! leads goes last.

use std::sync::Arc;
use std::time::Duration;

use hcs_planner::adoption::AdoptedServer;
use hcs_planner::arm::Kind;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::requests::{Request, RequestOutcome, RequestResult};
use serde_json::json;

use super::{Adopting, AdoptionError, Tell, View, under_lease};
use crate::arm::Arm;
use crate::blob::BlobStore;
use crate::entropy::uuid;
use crate::requests::ask;
use crate::stored_run::NoRun;

/// A request to a server that answers within seconds, and waits for gossip to notice that a machine is off.
const GOOD_FOR: Duration = Duration::from_mins(10);

/// What became of the servers of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// They are off; nothing of them was deleted.
    pub stopped: Vec<AdoptedServer>,
}

/// Has the servers of before go, one after the other. Their machines stay, off, with their disks.
pub async fn finish(
    arm: &Arm,
    store: Arc<dyn BlobStore>,
    holder: &str,
    tell: Tell<'_>,
) -> Result<Finished, AdoptionError> {
    under_lease(arm, store, holder, tell, |adopting| async move { adopting.finish().await }).await
}

impl Adopting<'_> {
    async fn finish(&self) -> Result<Finished, AdoptionError> {
        loop {
            // An earlier run may have been cut off between a stop and what follows it.
            let view = self.look().await?;
            if let Some(half_gone) = self.off_and_listed(&view).await? {
                self.take_out(&half_gone).await?;
                continue;
            }
            let view = self.until_well(None).await?;
            let Some(next) = self.adoption.next_to_go(&view.peers(), view.leader()) else { break };
            if view.failure_tolerance() == 0 {
                return Err(AdoptionError::NoRoom { server: next.node_name.clone() });
            }
            self.hand_over(next, &view).await?;
            self.stop(next).await?;
            self.take_out(next).await?;
        }
        // One that left by itself comes again when its machine is started.
        for server in &self.adoption.servers {
            if self.is_on(server).await? {
                self.stop(server).await?;
                self.take_out(server).await?;
            }
        }
        self.store.delete(container::CONFIG, blob::ADOPTION).await?;
        Ok(Finished { stopped: self.adoption.servers.clone() })
    }

    async fn off_and_listed(&self, view: &View) -> Result<Option<AdoptedServer>, AdoptionError> {
        let peers = view.peers();
        for server in &self.adoption.servers {
            if peers.contains(&server.node_name) && !self.is_on(server).await? {
                return Ok(Some(server.clone()));
            }
        }
        Ok(None)
    }

    /// Where the one that goes leads, one of the cluster's own leads first: without it nobody would for an election. A
    /// Consul that cannot hand over elects.
    async fn hand_over(&self, from: &AdoptedServer, view: &View) -> Result<(), AdoptionError> {
        let leads = view.leader().is_some_and(|leader| from.is_at(leader));
        if !leads {
            return Ok(());
        }
        let slot = self.speaker().await?;
        let id = uuid(self.arm.entropy.as_ref())?;
        let result = self.ask(Request::take_leadership(id, slot, from)).await?;
        match (result.outcome, result.reason) {
            (RequestOutcome::Done, _) => {
                (self.tell)(&format!("another server leads instead of {}", from.node_name));
            }
            (_, reason) => (self.tell)(&format!(
                "{} leads until it stops, and the others elect then: {}",
                from.node_name,
                reason.unwrap_or_default()
            )),
        }
        Ok(())
    }

    async fn stop(&self, server: &AdoptedServer) -> Result<(), AdoptionError> {
        (self.tell)(&format!("{} is stopped: {}", server.node_name, server.machine_id));
        self.arm.post(&server.machine_id, Kind::ScaleSet, "powerOff", json!({})).await?;
        Ok(())
    }

    async fn take_out(&self, server: &AdoptedServer) -> Result<(), AdoptionError> {
        let id = uuid(self.arm.entropy.as_ref())?;
        let request = Request::remove_server(id, self.speaker().await?, server);
        let result = self.ask(request).await?;
        if result.outcome != RequestOutcome::Done {
            return Err(AdoptionError::NotDone {
                action: "the removal",
                server: server.node_name.clone(),
                reason: result.reason.unwrap_or_default(),
            });
        }
        // What the others say of it may be of a moment ago.
        let view = self.until_well(Some(server)).await?;
        let (voters, tolerance) = (view.peers().len(), view.failure_tolerance());
        (self.tell)(&format!(
            "{} is out; {voters} servers vote, and {tolerance} of them may fail",
            server.node_name
        ));
        Ok(())
    }

    /// A server of the cluster that speaks now; the first one where none does.
    async fn speaker(&self) -> Result<u32, AdoptionError> {
        let speaks = self.look().await?.statuses.first().map(|status| status.slot);
        let first = || NoRun::NoCluster(blob::CLUSTER);
        Ok(speaks.or_else(|| self.document.slots.first().copied()).ok_or_else(first)?)
    }

    async fn ask(&self, mut request: Request) -> Result<RequestResult, AdoptionError> {
        let clock = self.arm.clock.as_ref();
        request.expires_unix_s = Some(clock.now_unix_ms() / 1000 + GOOD_FOR.as_secs());
        request.asked_by = Some("the adoption of servers of before".to_owned());
        Ok(ask(self.store.as_ref(), clock, &self.arm.cancel, &request, GOOD_FOR).await?)
    }
}
