//! Removes a cluster, if it is the one that the state holds.

use std::sync::Arc;

use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::ServerPhase;
use hcs_planner::given_group;
use hcs_planner::names::{CLUSTER_TAG, GIVEN_TAG, Names};
use hcs_planner::observed::Observed;
use hcs_planner::ownership::{Claim, Operation, RunOutcome, RunRecord};
use hcs_planner::plan::{in_the_way_of_the_next, plan_destroy};
use serde_json::Value;

use super::{Reconciler, RefusedError};
use crate::arm::incarnation;
use crate::blob::BlobError;
use crate::error::{EngineError, chain};
use crate::execute::{Report, ensure_blob_access};
use crate::lease::{ClaimError, GroupSays, Lease};
use crate::observe;

/// What a destroy is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestroyLeg {
    /// It stands alone.
    Plain,
    /// A create of the same cluster follows, which can go on with what is there.
    BeforeCreate,
}

/// What a destroy came to.
#[derive(Debug)]
pub enum Destroyed {
    /// The plan was carried out, as far as the report says.
    Done(Report),
    /// The cluster was never ready, and a create follows: it is left to that one.
    Left,
    /// The state's cluster is gone already, and another one has its name: nothing was deleted.
    Superseded(Option<Box<RunRecord>>),
}

/// Whose a cluster is, as far as a destroy can tell.
enum Owner {
    /// The state's: what deletes it holds the lease, unless there is no place for one.
    Own(Option<Arc<Lease>>),
    /// Another one's.
    Another(Option<Box<RunRecord>>),
}

impl Reconciler<'_> {
    /// Removes the cluster and all that it made. `incarnation_id` and `is_protected` are what the state says.
    pub async fn destroy(
        &self,
        incarnation_id: Option<String>,
        leg: DestroyLeg,
        is_protected: bool,
    ) -> Result<Destroyed, RefusedError> {
        let names = Names::new(self.spec);
        // A state without an incarnation holds nothing: whatever is there, the create that follows goes on with it or not.
        if leg == DestroyLeg::BeforeCreate && incarnation_id.is_none() {
            return Ok(Destroyed::Left);
        }
        let group = loop {
            if let Some(group) = self.arm.get_lasting_group(&names.cluster_id).await? {
                break group;
            }
            // Others' networks may still hold their sides of peerings. A group that appears meanwhile is looked at as one.
            let observed = self.observe().await?;
            if !observed.exists(&names.cluster_id) {
                let plan = plan_destroy(self.spec, &observed)?;
                return Ok(Destroyed::Done(self.run(&plan, &Observed::default(), None).await?));
            }
        };
        let is_protected = || if is_protected { Err(RefusedError::Protected) } else { Ok(()) };
        let own = incarnation_id.clone();
        let lease = match self.owner(&names, &group, incarnation_id, leg, is_protected).await? {
            Owner::Own(lease) => lease,
            Owner::Another(record) => return Ok(Destroyed::Superseded(record)),
        };
        let Some(lease) = lease else {
            return self.remove(&names, leg, Err(own), is_protected).await;
        };
        let result = tokio::select! {
            biased;
            result = self.remove(&names, leg, Ok(&lease), is_protected) => result,
            never = lease.beat() => match never {},
        };
        let failed = match &result {
            Ok(Destroyed::Done(report)) => report
                .failures
                .first()
                .map(|failure| (failure.step.as_str(), chain(&failure.error))),
            Err(error) => Some(("look at the cluster", chain(error))),
            Ok(_) => None,
        };
        if let Some((step, reason)) = failed {
            lease.note_failure(Operation::Destroy, step, &reason);
        }
        let outcome = match &result {
            // Released, or gone with the group.
            Ok(Destroyed::Left) => None,
            Ok(Destroyed::Done(report)) if report.is_complete() => None,
            Ok(Destroyed::Done(report)) if report.failures.is_empty() => Some(RunOutcome::Stopped),
            Ok(_) => Some(RunOutcome::Failed),
            Err(_) => Some(RunOutcome::Refused),
        };
        if let Some(outcome) = outcome
            && let Err(error) = lease.close(outcome).await
        {
            tracing::warn!(error = %chain(&error), "the run record stays open");
        }
        result
    }

    /// Under the lease, or without one for the incarnation of a state.
    async fn remove(
        &self,
        names: &Names,
        leg: DestroyLeg,
        holds: Result<&Arc<Lease>, Option<String>>,
        is_protected: impl Fn() -> Result<(), RefusedError>,
    ) -> Result<Destroyed, RefusedError> {
        let mut observed = self.observe().await?;
        let lease = holds.as_ref().ok().copied();
        // Without a lease somebody may have claimed it since it was looked at.
        if let Err(own) = holds {
            let is_ours = |incarnation: &str| own.as_deref() == Some(incarnation);
            let tagged = observed.object(&names.cluster_id).and_then(incarnation);
            // What a run that was cut off left of a given group is its tags.
            let is_rest = own.is_none() && given_group::is_emptied(names, &observed);
            if tagged.is_some_and(|tagged| !is_ours(tagged) && !is_rest)
                || observed.run.as_ref().is_some_and(|run| !is_ours(&run.incarnation_id))
            {
                return Ok(Destroyed::Superseded(observed.run.map(Box::new)));
            }
        }
        if leg == DestroyLeg::BeforeCreate && never_was_ready(names, &observed)? {
            if let Some(lease) = lease {
                lease.release(RunOutcome::Failed).await?;
            }
            return Ok(Destroyed::Left);
        }
        is_protected()?;
        // Of all votes more than half may be the cluster's: servers of before would stop with it.
        let voting = observed.adoption.as_ref().map(|_| still_in(names, &observed));
        if let Some(voting) = voting.filter(|voting| !voting.is_empty()) {
            return Err(RefusedError::Adopting(voting));
        }
        observe::observe_group_resources(&self.arm, names, &mut observed).await?;
        if leg == DestroyLeg::BeforeCreate {
            in_the_way_of_the_next(self.spec, &observed)?;
        }
        let plan = plan_destroy(self.spec, &observed)?;
        let report = self.run(&plan, &observed, lease).await?;
        if report.is_complete()
            && let Some(group) = self.arm.get_group(&names.cluster_id).await?
            && group.pointer(&format!("/tags/{CLUSTER_TAG}")).is_some()
        {
            return Err(EngineError::Contradiction { id: names.cluster_id.to_string() }.into());
        }
        Ok(Destroyed::Done(report))
    }

    /// Whose the cluster is. Denied, out of reach and gone are three cases: a group that carries the state's incarnation
    /// may go in each of them, one that carries another never; one that says nothing only where nobody can have claimed
    /// it since, as there is no place for a record.
    async fn owner(
        &self,
        names: &Names,
        group: &Value,
        incarnation_id: Option<String>,
        leg: DestroyLeg,
        is_protected: impl Fn() -> Result<(), RefusedError>,
    ) -> Result<Owner, RefusedError> {
        let tag = |name: &str| group.pointer(&format!("/tags/{name}")).and_then(Value::as_str);
        if tag(CLUSTER_TAG) != Some(names.uid.as_str()) {
            // The plan refuses it, by name.
            return Ok(Owner::Own(None));
        }
        let tagged = incarnation(group);
        let by_tag = |id: &ArmId, reason: Option<String>| match (&tagged, &incarnation_id, reason) {
            (Some(tagged), Some(own), _) if *tagged == own => Ok(Owner::Own(None)),
            // A run of a state without an incarnation may have died after it had tagged the group.
            (Some(_), None, Some(reason)) => {
                Err(RefusedError::Unidentified { id: id.clone(), reason })
            }
            (Some(_), None, None) if tag(GIVEN_TAG).is_some() => Ok(Owner::Own(None)),
            (Some(_), ..) => Ok(Owner::Another(None)),
            (None, _, None) => Ok(Owner::Own(None)),
            (None, _, Some(reason)) => Err(RefusedError::Unidentified { id: id.clone(), reason }),
        };
        let id = &names.cluster_id;
        let store = match self.account_store(names).await {
            Ok(Some(store)) => store,
            Ok(None) => return by_tag(id, None),
            Err(error) => return by_tag(id, Some(chain(&error))),
        };
        // Nothing is written for a destroy that will be refused.
        if leg == DestroyLeg::Plain {
            is_protected()?;
        }
        let claim = Claim::Destroy(incarnation_id.clone());
        let says = GroupSays { incarnation_id: tagged, is_given: tag(GIVEN_TAG).is_some() };
        let mut claimed = self.claim(store.clone(), &claim, says).await;
        if tagged.is_none()
            && let Err(ClaimError::Engine(EngineError::Blob(BlobError::Denied { .. }))) = &claimed
        {
            // Only the record can tell, so the right to read it is worth waiting for.
            let account = names.storage_account();
            claimed = match ensure_blob_access(&self.arm, &account, store.as_ref(), self.grants())
                .await
            {
                Ok(_) => self.claim(store, &claim, says).await,
                // The right came, and shows that there is no place for a record.
                Err(error) => Err(error.into()),
            };
        }
        match claimed {
            Ok((lease, _)) => Ok(Owner::Own(Some(lease))),
            Err(ClaimError::OtherIncarnation(record)) => Ok(Owner::Another(record)),
            Err(ClaimError::Engine(EngineError::Blob(BlobError::NoContainer { .. }))) => {
                by_tag(id, None)
            }
            Err(ClaimError::Engine(EngineError::Blob(error))) => by_tag(id, Some(chain(&error))),
            Err(error) => Err(error.into()),
        }
    }
}

/// Servers of the cluster that have spoken and have not left.
fn still_in(names: &Names, observed: &Observed) -> Vec<String> {
    let servers = observed.servers.iter();
    let still_in = servers.filter(|(_, server)| server.status.phase != ServerPhase::Left);
    still_in.map(|(slot, _)| names.server(*slot)).collect()
}

/// Whether no server of the cluster can ever have served: what is there is worth nothing but to be gone on with. An error
/// where that cannot be told.
fn never_was_ready(names: &Names, observed: &Observed) -> Result<bool, EngineError> {
    let slots = 0..hcs_planner::plan::MAX_SLOTS;
    let has_server = slots.into_iter().any(|s| observed.object(&names.scale_set(s)).is_some());
    if !has_server && !observed.was_ready() {
        return Ok(true);
    }
    match observed.problems.first() {
        Some(problem) => Err(EngineError::Unseen(problem.clone())),
        None if observed.blobs_readable => Ok(!observed.was_ready()),
        // Servers without a container that could tell of them.
        None => Ok(false),
    }
}
