//! Brings a cluster to what is declared, as its only owner.

use std::sync::Arc;
use std::time::Duration;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::dataplane::container;
use hcs_planner::names::{CLUSTER_TAG, GIVEN_TAG, Names};
use hcs_planner::observed::{Observed, UnseenWhy};
use hcs_planner::ownership::{Claim, Operation, RunOutcome, RunRecord};
use hcs_planner::plan::{plan, private_way};
use hcs_planner::reach::StorageAccess;
use serde_json::Value;

use super::{Beginning, GROUP_READS_MAX, Intent, Outcome, Reconciler, RefusedError};
use crate::arm::incarnation;
use crate::blob::{BlobError, BlobStore};
use crate::error::{EngineError, chain};
use crate::execute::{ACCESS_MINUTES_MAX, Failure, Report, ensure_blob_access};
use crate::lease::{ClaimError, GroupSays, Lease};
use crate::observe::{self, unseen};
use crate::roles;

/// Looks and plans after somebody changed what was about to be written.
const OVERTAKEN_MAX: u32 = 5;
/// How long blobs that must be readable may be denied or away.
const UNSEEN_SECONDS_MAX: u64 = 180;

/// A cluster that has a place for its record.
pub(super) struct Ground {
    pub(super) store: Arc<dyn BlobStore>,
    /// What was made for it in this run.
    pub(super) laid: Report,
}

/// A claimed cluster.
pub(super) struct Claimed {
    pub(super) lease: Arc<Lease>,
    before: Option<RunRecord>,
    /// The caller got its right to the blobs just now, so that it may flicker.
    granted: bool,
}

impl Reconciler<'_> {
    /// Brings the cluster to what is declared. Nothing is written before the cluster is claimed but its foundation, which
    /// is the same whoever lays it.
    ///
    /// An error means that nothing was made, or that what is there is another run's. What was made comes back as an
    /// outcome, however the run ended.
    pub async fn apply(&self, intent: Intent) -> Result<Outcome, RefusedError> {
        let names = Names::new(self.spec);
        self.check_group().await?;
        let group = self.arm.get_lasting_group(&names.cluster_id).await?;
        let missing = roles::missing_roles(&self.arm, self.spec).await??;
        if !missing.is_empty() {
            return Err(RefusedError::Roles(missing));
        }
        let is_create = intent == Intent::Create;
        let claim = match intent {
            Intent::Create => Claim::Create,
            Intent::Update { incarnation_id } => Claim::Update(incarnation_id),
        };
        let Ground { store, laid } = match self.ground(&names, group.as_ref(), &claim).await? {
            Ok(ground) => ground,
            Err(unfinished) => return Ok(unclaimed(unfinished)),
        };
        // Without a tag it was given, if this run laid the foundation in it; else somebody took the tags off.
        let tags = |name: &str| group.as_ref()?.pointer(&format!("/tags/{name}"));
        let is_taken = group.is_some() && tags(CLUSTER_TAG).is_none() && !laid.done.is_empty();
        let tag = GroupSays {
            incarnation_id: group.as_ref().and_then(incarnation),
            is_given: is_taken || tags(GIVEN_TAG).is_some(),
        };
        let claimed = match self.claim_written(&names, store, &claim, tag).await {
            Ok(claimed) => claimed,
            Err(ClaimError::Engine(error)) if !laid.done.is_empty() => {
                return Ok(unclaimed(laid.ended_by("claim the cluster", error)));
            }
            Err(error) => return Err(error.into()),
        };
        let lease = Arc::clone(&claimed.lease);
        let beginning = match (is_create, group.is_some() || claimed.before.is_some()) {
            (false, _) => Beginning::Known,
            (true, false) => Beginning::Fresh,
            (true, true) => Beginning::Resumed,
        };
        let (report, refused, observed) = tokio::select! {
            biased;
            worked = self.work_and_look(&names, &claimed) => worked,
            never = lease.beat() => match never {},
        };
        let report = report.after(laid);
        let mut report = match refused {
            None => report,
            Some(refused) if report.done.is_empty() => {
                lease.note_failure(claim.operation(), "look at the cluster", &chain(&refused));
                // What no state holds yet belongs to nobody after an error: the next one goes on with it.
                let ended = if claim.operation() == Operation::Create {
                    lease.release(RunOutcome::Refused).await
                } else {
                    lease.close(RunOutcome::Refused).await
                };
                if let Err(error) = ended {
                    tracing::warn!(error = %chain(&error), "the run record stays open");
                }
                return Err(refused);
            }
            Some(RefusedError::Engine(error)) => report.ended_by("look at the cluster", error),
            Some(refused) => {
                let reason = chain(&refused);
                report.ended_by("plan", EngineError::Unplanned { reason })
            }
        };
        let outcome = match &report {
            report if report.is_complete() => RunOutcome::Done,
            report if report.failures.is_empty() => RunOutcome::Stopped,
            _ => RunOutcome::Failed,
        };
        if let Some(failure) = report.failures.first() {
            lease.note_failure(claim.operation(), &failure.step, &chain(&failure.error));
        }
        let unclosed = match lease.close(outcome).await {
            Ok(()) => None,
            Err(error @ EngineError::Fenced { .. }) => {
                report = report.ended_by("close the run", error);
                None
            }
            Err(error) => Some(error),
        };
        let incarnation_id = Some(lease.incarnation_id().to_owned());
        Ok(Outcome { beginning, incarnation_id, report, observed, unclosed })
    }

    /// A store in which the cluster can be claimed; the foundation is laid where it is missing. The inner error is a
    /// foundation that could not be laid.
    pub(super) async fn ground(
        &self,
        names: &Names,
        group: Option<&Value>,
        claim: &Claim,
    ) -> Result<Result<Ground, Report>, RefusedError> {
        if group.is_some()
            && let Some(store) = self.account_store(names).await?
        {
            let config = names.container(container::CONFIG);
            if self.arm.get(&config, Kind::BlobContainer).await?.is_some() {
                let way = self.private_way(names).await?;
                return Ok(if way.is_complete() {
                    Ok(Ground { store, laid: way })
                } else {
                    Err(way)
                });
            }
        }
        // The tag is written under a record only: somebody deleted what it was in, and Azure keeps that for some days.
        if *claim == Claim::Create && group.and_then(incarnation).is_some() {
            return Err(ClaimError::Exists(None).into());
        }
        let mut observed = if group.is_some() {
            self.observe().await?
        } else {
            let mut nothing = Observed::default();
            observe::observe_shared_zone(&self.arm, names, &mut nothing).await?;
            nothing
        };
        observe::observe_new_peers(&self.arm, names, self.spec, &mut observed).await?;
        // What the whole plan is refused for is told before anything is made, and so is a wrong program.
        let whole = plan(self.spec, &observed)?;
        let foundation = whole.foundation()?;
        if !foundation.is_empty() && self.artifacts.are_there() {
            self.parameters(&whole).await?;
        }
        // Programs may take minutes to come: a group that appeared meanwhile is another's, and its tags are not ours to write.
        if group.is_none()
            && let Some(group) = self.arm.get_lasting_group(&names.cluster_id).await?
        {
            return Box::pin(self.ground(names, Some(&group), claim)).await;
        }
        let laid = self.run(&foundation, &observed, None).await?;
        if !laid.is_complete() {
            return Ok(Err(laid));
        }
        match self.account_store(names).await {
            Ok(Some(store)) => Ok(Ok(Ground { store, laid })),
            Ok(None) => {
                let id = names.storage_account().as_str().to_owned();
                Ok(Err(laid.ended_by("look at the account", EngineError::Contradiction { id })))
            }
            Err(error) => Ok(Err(laid.ended_by("look at the account", error))),
        }
    }

    /// Brings the private way to an account that is closed, where some of it is missing: a run that was cut off may have left
    /// it so, or somebody may have deleted it, and nobody comes to the record without it.
    async fn private_way(&self, names: &Names) -> Result<Report, RefusedError> {
        if self.spec.storage_access != StorageAccess::PrivateEndpoint {
            return Ok(Report::default());
        }
        let observed = observe::observe_way(&self.arm, names).await?;
        let missing = private_way(self.spec, &observed)?;
        Ok(self.run(&missing, &observed, None).await?)
    }

    /// Claims the cluster, with the right to write its record where that is missing.
    pub(super) async fn claim_written(
        &self,
        names: &Names,
        store: Arc<dyn BlobStore>,
        claim: &Claim,
        tag: GroupSays<'_>,
    ) -> Result<Claimed, ClaimError> {
        match self.claim(Arc::clone(&store), claim, tag).await {
            Err(ClaimError::Engine(EngineError::Blob(
                BlobError::Denied { .. } | BlobError::Unavailable { .. },
            ))) => {}
            result => {
                let (lease, before) = result?;
                return Ok(Claimed { lease, before, granted: false });
            }
        }
        let granted =
            ensure_blob_access(&self.arm, &names.storage_account(), store.as_ref(), self.grants())
                .await?;
        let (lease, before) = self.claim(store, claim, tag).await?;
        Ok(Claimed { lease, before, granted })
    }

    /// Works, and looks at what came of it.
    async fn work_and_look(
        &self,
        names: &Names,
        claimed: &Claimed,
    ) -> (Report, Option<RefusedError>, Option<Observed>) {
        let mut report = Report::default();
        let refused = self.work(names, claimed, &mut report).await.err();
        let observed = if refused.is_none() { self.observe().await.ok() } else { None };
        (report, refused, observed)
    }

    /// Observes, plans and executes under the lease, again where somebody changed what was to be written meanwhile.
    async fn work(
        &self,
        names: &Names,
        claimed: &Claimed,
        report: &mut Report,
    ) -> Result<(), RefusedError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut observed = self.observe_whole(names, claimed).await?;
            observe::confirm_absences(&self.arm, self.spec, &mut observed).await?;
            observe::observe_machines(&self.arm, names, self.spec, &mut observed).await?;
            observe::observe_new_peers(&self.arm, names, self.spec, &mut observed).await?;
            let plan = plan(self.spec, &observed)?;
            let done = self.run(&plan, &observed, Some(&claimed.lease)).await?;
            let again = done.is_overtaken() && attempt < OVERTAKEN_MAX;
            *report = done.after(std::mem::take(report));
            if !again {
                return Ok(());
            }
            tracing::info!(attempt, "somebody changed what was to be written; looking again");
            report.failures.clear();
            report.left.clear();
        }
    }

    /// A look that misses nothing, at a cluster on which its servers do no job: under the lease the blobs are ours to read,
    /// so what keeps one back must pass.
    pub(super) async fn observe_whole(
        &self,
        names: &Names,
        claimed: &Claimed,
    ) -> Result<Observed, RefusedError> {
        // Where nothing was ever claimed no server has lived.
        if claimed.before.is_some() {
            claimed.lease.wait_for_jobs().await?;
        } else {
            claimed.lease.knows_of_no_job();
        }
        let started_ms = self.arm.clock.monotonic_ms();
        let seconds = if claimed.granted { ACCESS_MINUTES_MAX * 60 } else { UNSEEN_SECONDS_MAX };
        let patience = Duration::from_secs(seconds);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut observed = self.observe().await?;
            if let Some(group) = observed.object(&names.cluster_id)
                && group["properties"]["provisioningState"] == "Deleting"
            {
                // No plan of an apply deletes the group, or waits for who does.
                return Err(EngineError::Changed { id: names.cluster_id.to_string() }.into());
            }
            if let Some(store) = observe::open_store(self.stores.as_ref(), names, &observed)?
                && let Err(error) =
                    observe::observe_requests(store.as_ref(), names, &mut observed).await
            {
                observed.problems.push(unseen(&error));
            }
            let Some(problem) = observed.problems.first() else { return Ok(observed) };
            let waited_ms = self.arm.clock.monotonic_ms().saturating_sub(started_ms);
            let is_over = Duration::from_millis(waited_ms) > patience;
            if is_over || problem.why == UnseenWhy::Unreadable {
                return Err(EngineError::Unseen(problem.clone()).into());
            }
            self.arm.sleep(crate::arm::backoff(attempt)).await?;
        }
    }

    pub(super) async fn check_group(&self) -> Result<(), RefusedError> {
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

/// A run that made something and never came to claim the cluster.
fn unclaimed(report: Report) -> Outcome {
    let beginning = Beginning::Fresh;
    Outcome { beginning, incarnation_id: None, report, observed: None, unclosed: None }
}

impl Report {
    /// The same run, ended by an error between its steps. A stop is none.
    fn ended_by(mut self, at: &str, error: EngineError) -> Self {
        match error {
            EngineError::Stopped => self.left.push(at.to_owned()),
            error => self.failures.push(Failure { step: at.to_owned(), error }),
        }
        self
    }
}
