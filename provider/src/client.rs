//! The configured connection that all resources share.

use std::collections::BTreeMap;
use std::sync::Arc;

use hcs_engine::arm::{Arm, SharedGate};
use hcs_engine::artifact::Artifacts;
use hcs_engine::blob::{BlobError, BlobStores, BlockStore};
use hcs_engine::clock::Clock;
use hcs_engine::cloud::Cloud;
use hcs_engine::error::EngineError;
use hcs_engine::observe::{observe_arm, observe_blobs, observe_shared_zone, open_store};
use hcs_engine::registration;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::{Names, parse_cluster_id, storage_account};
use hcs_planner::observed::Observed;
use hcs_planner::spec::ClusterSpec;
use serde_json::Value as Json;
use tfplugin::{CancellationToken, Diagnostic};
use tokio::sync::{Mutex, OnceCell};

use crate::artifacts::{ArtifactCache, ClusterArtifacts};
use crate::diagnostics;
use crate::tagging::Tagging;
use hcs_engine::regions::{self, Region};

/// The ways to one subscription.
#[derive(Clone)]
pub(crate) struct Ports {
    /// Azure Resource Manager.
    pub(crate) cloud: Arc<dyn Cloud>,
    /// Blobs of any account in it.
    pub(crate) blobs: Arc<dyn BlobStores>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Programs for every cluster, whatever it declares; absent: the declared ones.
    pub(crate) programs: Option<Arc<dyn Artifacts>>,
}

/// Who registers resource providers that a subscription lacks; azurerm's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Registrations {
    /// The user; a plan names what is missing.
    #[default]
    None,
    /// An apply that creates a cluster.
    Core,
}

impl Registrations {
    /// Every word.
    pub(crate) const WORDS: [&str; 2] = ["none", "core"];

    pub(crate) fn read(word: &str) -> Option<Self> {
        match word {
            "none" => Some(Self::None),
            "core" => Some(Self::Core),
            _ => None,
        }
    }
}

/// A connection and what was learned through it.
pub(crate) struct Client {
    ports: Ports,
    subscription_id: String,
    /// What the provider block says of tags.
    pub(crate) tagging: Tagging,
    /// Who registers resource providers that are missing.
    pub(crate) registrations: Registrations,
    /// Archives that several clusters may want.
    pub(crate) artifacts: ArtifactCache,
    gate: SharedGate,
    missing_providers: OnceCell<Vec<&'static str>>,
    regions: Mutex<BTreeMap<String, Arc<Region>>>,
}

impl Client {
    pub(crate) fn new(ports: Ports, subscription_id: String, tagging: Tagging) -> Self {
        Self {
            ports,
            subscription_id,
            tagging,
            registrations: Registrations::default(),
            missing_providers: OnceCell::new(),
            artifacts: ArtifactCache::default(),
            gate: SharedGate::default(),
            regions: Mutex::default(),
        }
    }

    /// The same, with another say on resource providers.
    pub(crate) fn registering(self, registrations: Registrations) -> Self {
        Self { registrations, ..self }
    }

    pub(crate) fn subscription_id(&self) -> &str {
        &self.subscription_id
    }

    /// ARM for one call; `cancel` ends its waits. What one call learns of the endpoint, all know.
    pub(crate) fn arm(&self, cancel: &CancellationToken) -> Arm {
        let Ports { cloud, clock, .. } = self.ports.clone();
        Arm::new(cloud, clock, cancel.clone()).sharing(&self.gate)
    }

    /// The programs of a cluster; `cancel` ends downloads.
    pub(crate) fn programs(
        self: &Arc<Self>,
        spec: &ClusterSpec,
        cancel: &CancellationToken,
    ) -> Arc<dyn Artifacts> {
        match &self.ports.programs {
            Some(programs) => Arc::clone(programs),
            None => Arc::new(ClusterArtifacts::new(spec, self, cancel)),
        }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.ports.clock)
    }

    pub(crate) fn stores(&self) -> Arc<dyn BlobStores> {
        Arc::clone(&self.ports.blobs)
    }

    /// The blobs of an account; none where it is gone. Only reads. `what` is told where that fails.
    pub(crate) async fn blobs_of(
        &self,
        cancel: &CancellationToken,
        account: &ArmId,
        what: &str,
    ) -> Result<Option<Arc<dyn BlockStore>>, Diagnostic> {
        let found = self.arm(cancel).blobs_of(self.stores().as_ref(), account).await;
        found.map_err(|error| diagnostics::read(what, &error))
    }

    /// Resource providers that the subscription has not registered, asked for once.
    pub(crate) async fn missing_providers(
        &self,
        arm: &Arm,
    ) -> Result<&[&'static str], EngineError> {
        let look = || registration::missing(arm, self.subscription_id());
        Ok(self.missing_providers.get_or_try_init(look).await?)
    }

    /// A region, asked for once; the error lists the regions that there are.
    pub(crate) async fn region(
        &self,
        arm: &Arm,
        location: &str,
    ) -> Result<Result<Arc<Region>, Vec<String>>, EngineError> {
        let mut regions = self.regions.lock().await;
        if let Some(region) = regions.get(location) {
            return Ok(Ok(Arc::clone(region)));
        }
        match regions::look_up(arm, self.subscription_id(), location).await? {
            Ok(region) => {
                let region = Arc::new(region);
                regions.insert(location.to_owned(), Arc::clone(&region));
                Ok(Ok(region))
            }
            Err(others) => Ok(Err(others)),
        }
    }

    /// The cluster that the attribute `at` of a configuration names: its id, its stored spec and what Azure has of it.
    pub(crate) async fn cluster_of(
        &self,
        arm: &Arm,
        at: &'static str,
        cluster_id: &str,
    ) -> Result<(ArmId, ClusterSpec, Observed), Diagnostic> {
        let id = parse_cluster_id(cluster_id)
            .map_err(|reason| Diagnostic::error("Which cluster?", reason).at(at))?;
        match self.stored_spec(arm, &id).await? {
            Some((spec, observed)) => Ok((id, spec, observed)),
            None => {
                let detail = format!(
                    "There is no cluster {id}. Refer to the resource that makes it (cluster_id = \
                     hcs_cluster.example.id): Terraform asks after it is there then."
                );
                Err(Diagnostic::error("Cluster does not exist", detail).at(at))
            }
        }
    }

    /// The spec that was stored with a cluster, and the cluster; `None` when its group is not there. Only reads: where
    /// the caller may not, the error names the role and its scope.
    pub(crate) async fn stored_spec(
        &self,
        arm: &Arm,
        cluster_id: &ArmId,
    ) -> Result<Option<(ClusterSpec, Observed)>, Diagnostic> {
        let _reader = arm.reads_a_cluster();
        let what = format!("cluster {cluster_id}");
        let failed = |error: &EngineError| diagnostics::read(&what, error);
        let group = arm.get_group(cluster_id).await;
        let Some(group) = group.map_err(|error| failed(&error))? else { return Ok(None) };
        let spec = self.declaration(arm, cluster_id).await?;
        let spec = spec.ok_or_else(|| not_a_cluster(cluster_id, &group))?;
        let names = Names::new(&spec);
        let observed = observe_arm(arm, &names).await;
        let mut observed = observed.map_err(|error| failed(&error))?;
        // Who reads a cluster need not see the zone in which others have their names, too: then addresses are not known.
        match observe_shared_zone(arm, &names, &mut observed).await {
            Err(error) if !diagnostics::is_forbidden(&error) => return Err(failed(&error)),
            _ => {}
        }
        let store = open_store(self.stores().as_ref(), &names, &observed);
        if let Some(store) = store.map_err(|error| failed(&error))? {
            let blobs = observe_blobs(store.as_ref(), &names, &mut observed).await;
            blobs.map_err(|error| failed(&error))?;
        }
        Ok(Some((spec, observed)))
    }

    /// What a cluster declares, by its own storage account alone; `None` where its create has not come so far.
    pub(crate) async fn declaration(
        &self,
        arm: &Arm,
        cluster_id: &ArmId,
    ) -> Result<Option<ClusterSpec>, Diagnostic> {
        let what = format!("cluster {cluster_id}");
        let failed = |error: &EngineError| diagnostics::read(&what, error);
        let account = arm.get(&storage_account(cluster_id), Kind::StorageAccount).await;
        let account = account.map_err(|error| failed(&error))?;
        let endpoint = account
            .as_ref()
            .and_then(|account| account.pointer("/properties/primaryEndpoints/blob"))
            .and_then(Json::as_str);
        let Some(endpoint) = endpoint else { return Ok(None) };
        let store = self.stores().open(endpoint).map_err(|error| failed(&error.into()))?;
        let content = store
            .get(hcs_planner::dataplane::container::CONFIG, hcs_planner::dataplane::blob::SPEC);
        let content = match content.await {
            Ok(content) => content,
            Err(BlobError::NoContainer { .. }) => None,
            Err(error) => return Err(failed(&error.into())),
        };
        let Some(content) = content else { return Ok(None) };
        serde_json::from_slice(&content.bytes).map(Some).map_err(|error| {
            Diagnostic::error(
                format!("Cannot read the stored description of {cluster_id}"),
                format!(
                    "config/spec.json in its storage account does not fit this provider version: \
                     {error}. Use the provider version that wrote it, or a newer one."
                ),
            )
        })
    }
}

fn not_a_cluster(cluster_id: &ArmId, group: &Json) -> Diagnostic {
    let tagged = group.pointer("/tags/hcs-cluster").is_some();
    let why = if tagged {
        "it carries the tag hcs-cluster, but its stored description is missing: its create was \
         interrupted before that. Apply the configuration that made it"
    } else {
        "it has neither the tag hcs-cluster nor the storage account of a cluster"
    };
    Diagnostic::error(
        "Not a cluster of hcs",
        format!(
            "The resource group {cluster_id} exists, but {why}. A cluster's id is the id of its \
             managed resource group (by default <resource group>-mrg-<name>)."
        ),
    )
}
