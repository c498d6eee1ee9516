//! The end of an adoption: servers of before leave one after the other, or the cluster's own do.
//!
//! Nothing is remembered but in Azure and Consul: whoever is cut off begins again, and goes on with what is there.

mod finish;
mod undo;

use std::sync::Arc;
use std::time::Duration;

use hcs_planner::adoption::{AdoptedServer, Adoption};
use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::{ClusterDocument, ServerStatus, blob};
use hcs_planner::names::Names;
use hcs_planner::observed::{ObservedServer, unhealthy_reason};
use hcs_planner::plan::Voter;

use crate::arm::Arm;
use crate::blob::{BlobError, BlobStore};
use crate::error::EngineError;
use crate::lease::Fence;
use crate::observe::{old_news, power_words, read_status};
use crate::requests::AskError;
use crate::stored_run::{NoRun, StoredRun, needed};

pub use finish::{Finished, finish};
pub use undo::undo;

/// Between two looks at what servers say.
const LOOK: Duration = Duration::from_secs(2);
/// How long all may take to be well again after one has gone.
const WELL_MINUTES_MAX: u64 = 15;
/// Of a power action, so that both kinds of machines know it.
const COMPUTE_API_VERSION: &str = "2024-07-01";

/// Why an adoption does not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum AdoptionError {
    /// There is none.
    #[error("nothing is adopted here: config/adoption.json is missing")]
    Nothing,
    /// The cluster was not made yet, or somebody works on it.
    #[error(transparent)]
    Run(#[from] NoRun),
    /// Not all is well.
    #[error("the cluster is not well after {minutes} minutes: {reason}")]
    NotWell {
        /// So long it was waited for.
        minutes: u64,
        /// What is missing.
        reason: String,
    },
    /// One more may not go.
    #[error("{server} may not go: Autopilot says that no server may fail now")]
    NoRoom {
        /// Who would go.
        server: String,
    },
    /// It cannot be undone any more.
    #[error("{} of before no longer vote", .0.join(", "))]
    Gone(Vec<String>),
    /// Who would go on alone is not all there.
    #[error("{} of before have no power", .0.join(", "))]
    Off(Vec<String>),
    /// A server did not do what it was asked for.
    #[error("{action} of {server}: {reason}")]
    NotDone {
        /// What.
        action: &'static str,
        /// Of whom.
        server: String,
        /// Why.
        reason: String,
    },
    /// A server was asked and did not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Azure.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<BlobError> for AdoptionError {
    fn from(error: BlobError) -> Self {
        Self::Engine(error.into())
    }
}

/// Tells what happens, as it happens.
pub type Tell<'t> = &'t (dyn Fn(&str) + Sync);

/// A cluster and the servers of before, under the lease of a run.
struct Adopting<'a> {
    arm: Arm,
    store: Arc<dyn BlobStore>,
    names: Names,
    document: ClusterDocument,
    adoption: Adoption,
    tell: Tell<'a>,
}

/// Opens a run on the cluster, works, and closes it.
async fn under_lease<'a, T, F>(
    arm: &Arm,
    store: Arc<dyn BlobStore>,
    holder: &str,
    tell: Tell<'a>,
    work: impl FnOnce(Adopting<'a>) -> F,
) -> Result<T, AdoptionError>
where
    F: Future<Output = Result<T, AdoptionError>>,
{
    let adoption = match needed(store.as_ref(), blob::ADOPTION).await {
        Err(NoRun::NoCluster(_)) => return Err(AdoptionError::Nothing),
        adoption => adoption?.0,
    };
    let run = StoredRun::open(arm, &store, holder).await?;
    let worked = async {
        run.lease.wait_for_jobs().await?;
        let arm = arm.fenced(Arc::clone(&run.lease) as Arc<dyn Fence>);
        let (names, document) =
            (Names::new(&run.spec), needed(store.as_ref(), blob::CLUSTER).await?.0);
        work(Adopting { arm, store: Arc::clone(&store), names, document, adoption, tell }).await
    };
    run.end(worked).await
}

/// What the cluster's servers say at one moment.
struct View {
    statuses: Vec<ServerStatus>,
}

impl View {
    /// `address:port` of whoever leads, as the servers see it.
    fn leader(&self) -> Option<&str> {
        self.consuls().find_map(|consul| consul.leader.as_deref())
    }

    /// Names in Raft's configuration, as any server sees it.
    fn peers(&self) -> Vec<String> {
        let mut peers: Vec<String> =
            self.consuls().flat_map(|consul| consul.peers.iter().cloned()).collect();
        peers.sort();
        peers.dedup();
        peers
    }

    /// How many servers may fail now, as whoever says least says.
    fn failure_tolerance(&self) -> u32 {
        self.consuls().map(|consul| consul.failure_tolerance).min().unwrap_or(0)
    }

    fn consuls(&self) -> impl Iterator<Item = &hcs_planner::dataplane::ConsulStatus> {
        self.statuses.iter().filter_map(|status| status.consul.as_ref())
    }
}

impl Adopting<'_> {
    async fn look(&self) -> Result<View, AdoptionError> {
        let mut statuses = Vec::new();
        for slot in &self.document.slots {
            let (_, server) = read_status(self.store.as_ref(), *slot).await?;
            statuses.extend(server.filter(ObservedServer::is_fresh).map(|server| server.status));
        }
        Ok(View { statuses })
    }

    fn voters(&self) -> Vec<Voter> {
        let voter = |slot: &u32| Voter { slot: *slot, node_name: self.names.server(*slot) };
        self.document.slots.iter().map(voter).collect()
    }

    /// Waits until all are well, and nobody lists `gone` any more, by what is said from now on.
    async fn until_well(&self, gone: Option<&AdoptedServer>) -> Result<View, AdoptionError> {
        let (before, started_ms) = (self.look().await?, self.arm.clock.monotonic_ms());
        loop {
            let view = self.look().await?;
            let voters = self.voters();
            let listed = gone.filter(|gone| view.peers().contains(&gone.node_name));
            let reason = unhealthy_reason(&voters, Some(&self.adoption), view.statuses.iter())
                .or_else(|| old_news(&before.statuses, &view.statuses))
                .or_else(|| Some(format!("{} is still listed", listed?.node_name)));
            let Some(reason) = reason else { return Ok(view) };
            let waited_ms = self.arm.clock.monotonic_ms().saturating_sub(started_ms);
            if waited_ms > WELL_MINUTES_MAX * 60_000 {
                return Err(AdoptionError::NotWell { minutes: WELL_MINUTES_MAX, reason });
            }
            self.arm.sleep(LOOK).await?;
        }
    }

    /// Whether a machine of before has power. One that is gone has none.
    async fn is_on(&self, server: &AdoptedServer) -> Result<bool, EngineError> {
        has_power(&self.arm, &server.machine_id).await
    }
}

/// Whether a machine, of a scale set or alone, has power.
async fn has_power(arm: &Arm, machine_id: &ArmId) -> Result<bool, EngineError> {
    let Some(words) = power_words(arm, machine_id.as_str(), COMPUTE_API_VERSION).await? else {
        return Ok(false);
    };
    let off = ["stopped", "deallocated", "deallocating"];
    Ok(!words.iter().any(|word| off.contains(&word.as_str())))
}
