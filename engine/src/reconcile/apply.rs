//! Brings a cluster to what is declared, as its only owner.

use std::sync::Arc;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::ownership::{Claim, RunOutcome, RunRecord};
use hcs_planner::plan::plan;

use super::{Beginning, GROUP_READS_MAX, Intent, Outcome, Reconciler, RefusedError};
use crate::blob::{BlobError, BlobStore};
use crate::error::EngineError;
use crate::execute::{Report, ensure_blob_access};
use crate::lease::{ClaimError, Lease};
use crate::observe;

/// Looks and plans after somebody changed what was about to be written.
const OVERTAKEN_MAX: u32 = 5;

/// Looks at blobs that should be readable before the last problem stands: about a minute.
const LOOKS_MAX: u32 = 9;

/// Where an apply stands once the cluster has a place for its record.
enum Ground {
    /// It can be claimed.
    Ready(Arc<dyn BlobStore>),
    /// The place could not be made.
    Unfinished(Report),
}

impl Reconciler<'_> {
    /// Brings the cluster to what is declared. Nothing is written before the cluster is claimed but its foundation, which
    /// is the same whoever lays it.
    pub async fn apply(&self, intent: Intent) -> Result<Outcome, RefusedError> {
        let names = Names::new(self.spec);
        self.check_group().await?;
        let existed = self.arm.get_group(&names.cluster_id).await?.is_some();
        let mut earlier = Report::default();
        let store = match self.ground(&names, existed, &mut earlier).await? {
            Ground::Ready(store) => store,
            Ground::Unfinished(report) => {
                let beginning = Beginning::Fresh;
                let report = report.after(earlier);
                return Ok(Outcome { beginning, incarnation_id: None, report, observed: None });
            }
        };
        let is_create = intent == Intent::Create;
        let claim = match intent {
            Intent::Create => Claim::Create,
            Intent::Update { incarnation_id } => Claim::Update(incarnation_id),
        };
        let (lease, before) = self.claim_written(&names, store, &claim).await?;
        let beginning = match (is_create, existed || before.is_some()) {
            (false, _) => Beginning::Known,
            (true, false) => Beginning::Fresh,
            (true, true) => Beginning::Resumed,
        };
        let result = self.work(&names, &lease).await;
        // A create whose answer is an error without a state belongs to nobody: the next one goes on with it.
        let belongs_to_a_state = result.is_ok() || !is_create;
        let observed = match &result {
            Ok(_) => self.observe().await.ok(),
            Err(_) => None,
        };
        let outcome = match &result {
            Ok(report) if report.is_complete() => RunOutcome::Done,
            Ok(report) if report.failures.is_empty() => RunOutcome::Stopped,
            Ok(_) => RunOutcome::Failed,
            Err(_) => RunOutcome::Refused,
        };
        let ended = if belongs_to_a_state {
            lease.close(outcome).await
        } else {
            lease.release(outcome).await
        };
        if let Err(error) = ended {
            tracing::warn!(error = %crate::error::chain(&error), "the run record stays open");
        }
        let incarnation_id = Some(lease.incarnation_id().to_owned());
        let report = result?.after(earlier);
        Ok(Outcome { beginning, incarnation_id, report, observed })
    }

    /// A store in which the cluster can be claimed; the foundation is laid where it is missing.
    async fn ground(
        &self,
        names: &Names,
        existed: bool,
        earlier: &mut Report,
    ) -> Result<Ground, RefusedError> {
        if existed && let Some(store) = self.account_store(names).await? {
            let container = names.container(hcs_planner::dataplane::container::CONFIG);
            if self.arm.get(&container, Kind::BlobContainer).await?.is_some() {
                return Ok(Ground::Ready(store));
            }
        }
        let mut observed = if existed { self.observe().await? } else { Observed::default() };
        observe::observe_new_peers(&self.arm, names, self.spec, &mut observed).await?;
        // What the whole plan is refused for is told before anything is made.
        let whole = plan(self.spec, &observed)?;
        let foundation = whole.foundation()?;
        if !foundation.is_empty() {
            self.parameters(&whole).await?;
        }
        let report = self.run(&foundation, &observed, None).await?;
        if !report.is_complete() {
            return Ok(Ground::Unfinished(report));
        }
        *earlier = report;
        match self.account_store(names).await? {
            Some(store) => Ok(Ground::Ready(store)),
            None => {
                let id = names.storage_account().as_str().to_owned();
                Err(EngineError::Contradiction { id }.into())
            }
        }
    }

    /// Claims the cluster, with the right to write its record where that is missing.
    async fn claim_written(
        &self,
        names: &Names,
        store: Arc<dyn BlobStore>,
        claim: &Claim,
    ) -> Result<(Arc<Lease>, Option<RunRecord>), RefusedError> {
        match self.claim(Arc::clone(&store), claim).await {
            Err(ClaimError::Engine(EngineError::Blob(
                BlobError::Denied { .. } | BlobError::Unavailable { .. },
            ))) => {}
            result => return Ok(result?),
        }
        ensure_blob_access(&self.arm, &names.storage_account(), store.as_ref()).await?;
        Ok(self.claim(store, claim).await?)
    }

    /// Observes, plans and executes under the lease, again where somebody changed what was to be written meanwhile.
    async fn work(&self, names: &Names, lease: &Arc<Lease>) -> Result<Report, RefusedError> {
        let mut earlier = Report::default();
        for attempt in 1.. {
            let mut observed = self.observe_whole(names).await?;
            observe::confirm_absences(&self.arm, self.spec, &mut observed).await?;
            observe::observe_machines(&self.arm, names, self.spec, &mut observed).await?;
            observe::observe_new_peers(&self.arm, names, self.spec, &mut observed).await?;
            let plan = plan(self.spec, &observed)?;
            let report = self.run(&plan, &observed, Some(lease)).await?;
            if report.is_overtaken() && attempt < OVERTAKEN_MAX {
                tracing::info!(attempt, "somebody changed what was to be written; looking again");
                let Report { done, spans, .. } = report;
                earlier = Report { done, spans, ..Report::default() }.after(earlier);
                continue;
            }
            return Ok(report.after(earlier));
        }
        Ok(earlier)
    }

    /// A look that misses nothing: under the lease the blobs are ours to read, so what keeps one back must pass.
    async fn observe_whole(&self, names: &Names) -> Result<Observed, EngineError> {
        for attempt in 1.. {
            let mut observed = self.observe().await?;
            if let Some(store) = observe::open_store(self.stores.as_ref(), names, &observed)?
                && let Err(error) = observe::observe_requests(store.as_ref(), &mut observed).await
            {
                observed.problems.push(crate::error::chain(&error));
            }
            let Some(problem) = observed.problems.first() else { return Ok(observed) };
            if attempt == LOOKS_MAX {
                return Err(EngineError::Unseen { reason: problem.clone() });
            }
            self.arm.sleep(crate::arm::backoff(attempt)).await?;
        }
        self.observe().await
    }

    async fn check_group(&self) -> Result<(), RefusedError> {
        let group = &self.spec.resource_group_name;
        let id = ArmId::resource_group(&self.spec.subscription_id, group);
        // A group that the same run has just made may read 404 for some seconds (azurerm#18268).
        for attempt in 1..=GROUP_READS_MAX {
            if self.arm.get(&id, Kind::ResourceGroup).await?.is_some() {
                return Ok(());
            }
            if attempt < GROUP_READS_MAX {
                self.arm.sleep(crate::arm::backoff(attempt)).await?;
            }
        }
        Err(RefusedError::NoResourceGroup(group.clone()))
    }
}
