//! One apply or destroy of a cluster: claim it, observe, decide, plan, execute, observe again.
//!
//! The truth is Azure: a run that was cut off anywhere is resumed by running again.

mod adopt;
mod apply;
mod destroy;

use std::collections::BTreeSet;
use std::sync::Arc;

use hcs_planner::arm::ArmId;
use hcs_planner::names::{CLUSTER_TAG, Names};
use hcs_planner::observed::Observed;
use hcs_planner::ownership::{Claim, FixedInputs, RunRecord};
use hcs_planner::plan::{Artifact, Plan, PlanError};
use hcs_planner::reference::parameter;
use hcs_planner::roles::RoleAssignmentMode;
use hcs_planner::spec::ClusterSpec;
use serde_json::json;

use crate::arm::Arm;
use crate::artifact::Artifacts;
use crate::blob::{BlobStore, BlobStores, BlockStore};
use crate::error::EngineError;
use crate::execute::{Parameters, Report, Run};
use crate::image;
use crate::lease::{ClaimError, GroupSays, Lease};
use crate::observe;
use crate::roles::{self, MissingRole, NoIdentity};
use crate::secrets::unusable_ssh_public_key;

pub use destroy::{DestroyLeg, Destroyed};

/// Reads of the user's group before it counts as missing: with back-off some eight seconds.
const GROUP_READS_MAX: u32 = 5;

/// What an apply may find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Terraform knows no cluster.
    Create,
    /// Terraform knows the cluster, as this incarnation; `None` when its create never got so far.
    Update {
        /// What the state says.
        incarnation_id: Option<String>,
    },
}

/// How an apply began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing was there.
    Fresh,
    /// A create that no state holds was cut off; this one went on.
    Resumed,
    /// A known cluster was changed.
    Known,
}

/// Why an apply never began, or a destroy.
#[derive(Debug, thiserror::Error)]
pub enum RefusedError {
    /// The user's group is missing.
    #[error("resource group {0:?} does not exist")]
    NoResourceGroup(String),
    /// The cluster is not this run's to change.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Somebody else has to assign roles first.
    #[error("{} role assignments are missing", .0.len())]
    Roles(Vec<MissingRole>),
    /// An identity that is declared is not there.
    #[error(transparent)]
    Identity(#[from] NoIdentity),
    /// A server of the cluster is there, which has founded one of its own.
    #[error("the cluster has servers of its own already")]
    HasServers,
    /// Servers of before and the cluster's own hold one state together.
    #[error("the cluster's servers vote together with those that it takes over from")]
    Adopting(Vec<String>),
    /// Its state says that it is protected.
    #[error("deletion_protection is on")]
    Protected,
    /// Whose it is cannot be told while its storage is out of reach and its group does not say.
    #[error("whose cluster {id} is cannot be told: its storage is out of reach: {reason}")]
    Unidentified {
        /// Its id.
        id: ArmId,
        /// Why the storage is out of reach.
        reason: String,
    },
    /// The world could not be seen.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What an apply came to.
pub struct Outcome {
    /// How it began.
    pub beginning: Beginning,
    /// Which cluster of its id it is now; `None` when the run ended before it had one.
    pub incarnation_id: Option<String>,
    /// What became of the steps.
    pub report: Report,
    /// The world afterwards; `None` when it could not be seen.
    pub observed: Option<Observed>,
    /// Why the run record could not be closed; the state holds the cluster all the same.
    pub unclosed: Option<EngineError>,
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
    /// Sizes that have accelerated networking, in lower case.
    pub accelerated_sizes: BTreeSet<String>,
    /// Who runs this: user, machine and program, for whoever else wants the cluster.
    pub holder: String,
}

impl Reconciler<'_> {
    /// Looks at the cluster; blobs that may not be read are left out.
    pub async fn observe(&self) -> Result<Observed, EngineError> {
        observe(&self.arm, self.stores.as_ref(), self.spec).await
    }

    /// The cluster's blobs, if its account is there.
    async fn account_store(
        &self,
        names: &Names,
    ) -> Result<Option<Arc<dyn BlockStore>>, EngineError> {
        self.arm.blobs_of(self.stores.as_ref(), &names.storage_account()).await
    }

    /// Whether the caller gives itself the right to blobs.
    fn grants(&self) -> bool {
        self.spec.role_assignment_mode == RoleAssignmentMode::Managed
    }

    async fn claim(
        &self,
        store: Arc<dyn BlobStore>,
        claim: &Claim,
        group: GroupSays<'_>,
    ) -> Result<(Arc<Lease>, Option<RunRecord>), ClaimError> {
        let fixed = FixedInputs::of(self.spec);
        let (lease, before) =
            Lease::open(&self.arm, store, claim, &fixed, group, &self.holder).await?;
        tracing::info!(incarnation = lease.incarnation_id(), "the run is open");
        Ok((Arc::new(lease), before))
    }

    /// Carries a plan out. Whoever lost the lease is told at the next write: waits may end by themselves, writes do not
    /// begin.
    async fn run(
        &self,
        plan: &Plan,
        observed: &Observed,
        lease: Option<&Arc<Lease>>,
    ) -> Result<Report, EngineError> {
        tracing::info!(steps = plan.len(), cluster = %Names::new(self.spec).cluster_id, "plan");
        let parameters = self.parameters(plan).await?;
        let stores = Arc::clone(&self.stores);
        let run = Run::new(&self.arm, stores, self.spec, observed, parameters, lease.cloned());
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
            if self.spec.takes_newest_image() {
                let newest = match &self.spec.image_at_least {
                    // What the plan has said, also where a newer one has come since.
                    Some(version) => version.clone(),
                    None => image::newest_version(&self.arm, self.spec).await?,
                };
                parameters.values.insert(parameter::IMAGE_VERSION.to_owned(), json!(newest));
            }
            for size in std::iter::once(&self.spec.vm_size).chain(&self.spec.vm_size_fallbacks) {
                let has_it = self.accelerated_sizes.contains(&size.to_lowercase());
                let name = parameter::accelerated_networking(size);
                parameters.values.insert(name, json!(has_it));
            }
            let mut set = |name: &str, value: &str| {
                parameters.values.insert(name.to_owned(), json!(value));
            };
            match &self.spec.ssh_public_key {
                Some(key) => set(parameter::SSH_PUBLIC_KEY, key),
                None => {
                    let cluster_id = Names::new(self.spec).cluster_id;
                    let key = unusable_ssh_public_key(cluster_id.as_str());
                    set(parameter::SSH_PUBLIC_KEY, &key);
                }
            }
        }
        Ok(Parameters { consul, host_manager, ..parameters })
    }
}

/// Looks at the cluster that `spec` declares.
pub async fn observe(
    arm: &Arm,
    stores: &dyn BlobStores,
    spec: &ClusterSpec,
) -> Result<Observed, EngineError> {
    let _reader = arm.reads_a_cluster();
    let names = Names::new(spec);
    let mut observed = observe::observe_arm(arm, &names).await?;
    observe::observe_shared_zone(arm, &names, &mut observed).await?;
    // A group without a cluster's tag may be one that was given: is it empty, or was it left again?
    let group = observed.object(&names.cluster_id);
    if group.is_some_and(|group| group.pointer(&format!("/tags/{CLUSTER_TAG}")).is_none()) {
        observe::observe_group_resources(arm, &names, &mut observed).await?;
    }
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
    roles::observe_identities(arm, spec, &mut observed).await?;
    Ok(observed)
}
