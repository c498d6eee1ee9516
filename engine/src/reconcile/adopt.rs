//! Prepares a cluster that takes over from servers of before: its account, and in it their secrets and who they are. The
//! create that follows goes on with it as with one that was cut off.

use hcs_planner::adoption::Adoption;
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::ownership::{Claim, RunOutcome};
use hcs_planner::plan::plan;
use zeroize::Zeroizing;

use super::apply::{Claimed, Ground};
use super::{Reconciler, RefusedError};
use crate::arm::incarnation;
use crate::error::{EngineError, chain};
use crate::execute::{Report, Run, Seeds};
use crate::lease::GroupSays;
use crate::roles;

impl Reconciler<'_> {
    /// Lays the foundation and gives it what servers of before have. Cut off anywhere, it goes on when it is called again.
    ///
    /// `tell_consul` makes the management token known to Consul; only when it has, servers may be made.
    pub async fn prepare_adoption<F>(
        &self,
        adoption: &Adoption,
        seeds: &Seeds,
        tell_consul: impl FnOnce(Zeroizing<String>) -> F,
    ) -> Result<Result<(), Report>, RefusedError>
    where
        F: Future<Output = Result<(), EngineError>>,
    {
        let names = Names::new(self.spec);
        self.check_group().await?;
        let group = self.arm.get_lasting_group(&names.cluster_id).await?;
        let missing = roles::missing_roles(&self.arm, self.spec).await??;
        if !missing.is_empty() {
            return Err(RefusedError::Roles(missing));
        }
        let Ground { store, laid } =
            match Box::pin(self.ground(&names, group.as_ref(), &Claim::Create)).await? {
                Ok(ground) => ground,
                Err(unfinished) => return Ok(Err(unfinished)),
            };
        let is_given = group.is_some() && !laid.done.is_empty();
        let incarnation_id = group.as_ref().and_then(incarnation);
        let says = GroupSays { incarnation_id, is_given };
        let claimed = self.claim_written(&names, store, &Claim::Create, says).await?;
        let lease = claimed.lease.clone();
        let work = Box::pin(self.seed_claimed(&names, &claimed, adoption, seeds, tell_consul));
        let result = tokio::select! {
            biased;
            result = work => result,
            never = lease.beat() => match never {},
        };
        // No state holds it: the create that follows, or another preparation, goes on with it.
        if let Err(error) = lease.release(RunOutcome::Stopped).await {
            tracing::warn!(error = %chain(&error), "the run record stays open");
        }
        result
    }

    async fn seed_claimed<F>(
        &self,
        names: &Names,
        claimed: &Claimed,
        adoption: &Adoption,
        seeds: &Seeds,
        tell_consul: impl FnOnce(Zeroizing<String>) -> F,
    ) -> Result<Result<(), Report>, RefusedError>
    where
        F: Future<Output = Result<(), EngineError>>,
    {
        let observed = self.observe_whole(names, claimed).await?;
        let has_servers = (0..hcs_planner::plan::MAX_SLOTS)
            .any(|slot| observed.object(&names.scale_set(slot)).is_some());
        if has_servers
            && observed.adoption.as_ref().is_none_or(|before| before.servers != adoption.servers)
        {
            return Err(RefusedError::HasServers);
        }
        // As one that adopts nothing: what keeps secrets is the same.
        let plain = Observed { adoption: None, ..observed };
        let part = plan(self.spec, &plain)?.foundation_for_secrets()?;
        let parameters = self.parameters(&part).await?;
        let stores = std::sync::Arc::clone(&self.stores);
        let lease = Some(std::sync::Arc::clone(&claimed.lease));
        let run = Run::new(&self.arm, stores, self.spec, &plain, parameters, lease);
        let report = run.execute(&part).await;
        if !report.is_complete() {
            return Ok(Err(report));
        }
        let token = run.seed(seeds, adoption).await?;
        tell_consul(token).await?;
        run.note(&Adoption { is_prepared: true, ..adoption.clone() }).await?;
        Ok(Ok(()))
    }
}
