//! One apply or destroy of a cluster: observe, decide, plan, execute, observe again.
//!
//! The truth is Azure: a run that was cut off anywhere is resumed by running again.

use std::sync::Arc;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::plan::{Artifact, Plan, PlanError, plan, plan_destroy};
use hcs_planner::reference::parameter;
use hcs_planner::spec::ClusterSpec;
use serde_json::json;

use crate::arm::Arm;
use crate::artifact::Artifacts;
use crate::blob::BlobStores;
use crate::error::EngineError;
use crate::execute::{Parameters, Report, Run, ensure_blob_access};
use crate::observe;
use crate::secrets::unusable_ssh_public_key;

/// Reads of the user's group before it counts as missing: with back-off some eight seconds.
const GROUP_READS_MAX: u32 = 5;

/// What an apply may find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Terraform knows no cluster: one that is ready and different is somebody's.
    Create,
    /// Terraform knows the cluster.
    Update,
}

/// How an apply began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing was there.
    Fresh,
    /// An earlier run was cut off; this one went on.
    Resumed,
    /// The cluster was there, ready and just as declared.
    Adopted,
    /// A known cluster was changed.
    Known,
}

/// Why an apply never began.
#[derive(Debug, thiserror::Error)]
pub enum RefusedError {
    /// The user's group is missing.
    #[error("resource group {0:?} does not exist")]
    NoResourceGroup(String),
    /// A ready cluster with this id exists and was declared otherwise.
    #[error("cluster {id} exists already")]
    Exists {
        /// Its id.
        id: ArmId,
    },
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The world could not be seen.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What an apply came to.
pub struct Outcome {
    /// How it began.
    pub beginning: Beginning,
    /// What became of the steps.
    pub report: Report,
    /// The world afterwards; `None` when it could not be seen.
    pub observed: Option<Observed>,
}

/// A cluster and the ways to it.
pub struct Reconciler<'a> {
    /// ARM.
    pub arm: Arm,
    /// Blobs.
    pub stores: Arc<dyn BlobStores>,
    /// Programs.
    pub artifacts: Arc<dyn Artifacts>,
    /// What is declared.
    pub spec: &'a ClusterSpec,
}

impl Reconciler<'_> {
    /// Looks at the cluster; blobs that may not be read are left out.
    pub async fn observe(&self) -> Result<Observed, EngineError> {
        observe(&self.arm, self.stores.as_ref(), self.spec).await
    }

    /// Brings the cluster to what is declared.
    pub async fn apply(&self, intent: Intent) -> Result<Outcome, RefusedError> {
        let names = Names::new(self.spec);
        self.check_group().await?;
        let mut observed = self.observe().await?;
        let exists = observed.exists(&names.cluster_id);
        if exists && !observed.blobs_readable {
            self.gain_blob_access(&names, &observed).await?;
            observed = self.observe().await?;
        }
        let beginning = match intent {
            Intent::Update => Beginning::Known,
            Intent::Create if !exists => Beginning::Fresh,
            Intent::Create if !observed.is_ready() => Beginning::Resumed,
            Intent::Create if observed.stored_spec.as_ref() == Some(self.spec) => {
                Beginning::Adopted
            }
            Intent::Create => return Err(RefusedError::Exists { id: names.cluster_id }),
        };
        observe::observe_machines(&self.arm, &names, self.spec, &mut observed).await?;
        observe::observe_new_peers(&self.arm, &names, self.spec, &mut observed).await?;
        let plan = plan(self.spec, &observed)?;
        let report = self.run(&plan, &observed).await?;
        let observed = self.observe().await.ok();
        Ok(Outcome { beginning, report, observed })
    }

    /// Removes the cluster and all that it made.
    pub async fn destroy(&self) -> Result<Report, RefusedError> {
        let names = Names::new(self.spec);
        let mut observed = self.observe().await?;
        if observed.exists(&names.cluster_id) {
            observe::observe_group_resources(&self.arm, &names, &mut observed).await?;
        }
        let plan = plan_destroy(self.spec, &observed)?;
        Ok(self.run(&plan, &observed).await?)
    }

    async fn run(&self, plan: &Plan, observed: &Observed) -> Result<Report, EngineError> {
        tracing::info!(steps = plan.len(), cluster = %Names::new(self.spec).cluster_id, "plan");
        let parameters = self.parameters(plan).await?;
        let stores = Arc::clone(&self.stores);
        let run = Run::new(self.arm.clone(), stores, self.spec, observed, parameters);
        Ok(run.execute(plan).await)
    }

    /// Everything that can fail before the first write does: programs are read and checked here.
    async fn parameters(&self, plan: &Plan) -> Result<Parameters, EngineError> {
        let mut parameters = Parameters::default();
        let mut set = |name: &str, value: &str| {
            parameters.values.insert(name.to_owned(), json!(value));
        };
        let version = self.spec.consul_version.clone();
        let mut consul = None;
        if plan.uploads(&Artifact::Consul { version }) {
            let file = self.artifacts.consul().await?;
            set(parameter::CONSUL_SHA256, &file.sha256);
            set(parameter::CONSUL_FILE_NAME, &file.file_name);
            consul = Some(file);
        }
        let mut host_manager = None;
        if plan.uploads(&Artifact::HostManager) {
            let file = self.artifacts.host_manager().await?;
            set(parameter::HOST_MANAGER_SHA256, &file.sha256);
            host_manager = Some(file);
        }
        if plan.steps().iter().any(|(_, step)| step.action.boots_server()) {
            match &self.spec.ssh_public_key {
                Some(key) => set(parameter::SSH_PUBLIC_KEY, key),
                None => set(parameter::SSH_PUBLIC_KEY, &unusable_ssh_public_key()?),
            }
        }
        Ok(Parameters { consul, host_manager, ..parameters })
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

    async fn gain_blob_access(
        &self,
        names: &Names,
        observed: &Observed,
    ) -> Result<(), EngineError> {
        let Some(store) = observe::open_store(self.stores.as_ref(), names, observed)? else {
            return Ok(());
        };
        let container = names.container(hcs_planner::dataplane::container::CONFIG);
        if observed.object(&container).is_none() {
            return Ok(());
        }
        ensure_blob_access(&self.arm, &names.storage_account(), store.as_ref()).await
    }
}

/// Looks at the cluster that `spec` declares.
pub async fn observe(
    arm: &Arm,
    stores: &dyn BlobStores,
    spec: &ClusterSpec,
) -> Result<Observed, EngineError> {
    let names = Names::new(spec);
    let mut observed = observe::observe_arm(arm, &names).await?;
    if let Some(store) = observe::open_store(stores, &names, &observed)? {
        observe::observe_blobs(store.as_ref(), &names, &mut observed).await?;
    }
    let mut peers = spec.peer_vnet_ids.clone();
    if let Some(stored) = &observed.stored_spec {
        let more: Vec<ArmId> =
            stored.peer_vnet_ids.iter().filter(|id| !peers.contains(id)).cloned().collect();
        peers.extend(more);
    }
    observe::observe_peers(arm, &names, &peers, &mut observed).await?;
    Ok(observed)
}
