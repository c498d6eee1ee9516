//! The configured connection that all resources share.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use hcs_azure::Azure;
use hcs_engine::arm::Arm;
use hcs_engine::blob::BlobStores;
use hcs_engine::clock::SystemClock;
use hcs_engine::error::EngineError;
use hcs_engine::execute::ensure_blob_access;
use hcs_engine::observe::{observe_arm, observe_blobs, open_store};
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::{Names, storage_account_name};
use hcs_planner::observed::Observed;
use hcs_planner::spec::ClusterSpec;
use serde_json::Value;
use tfplugin::{CancellationToken, Diagnostic, Diagnostics};
use tokio::sync::Mutex;

use crate::regions::{self, Region};

/// What `configure` sets and resources ask for when they are called.
///
/// A provider that is being debugged serves several runs; each brings its own configuration.
#[derive(Clone, Default)]
pub(crate) struct SharedClient(Arc<RwLock<Option<Arc<Client>>>>);

impl SharedClient {
    pub(crate) fn set(&self, client: Client) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(client));
    }

    pub(crate) fn clear(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The client, or what to say when there is none.
    pub(crate) fn configured(&self) -> Result<Arc<Client>, Diagnostics> {
        let client = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        client.ok_or_else(|| {
            Diagnostics::error(
                "The provider is not configured yet",
                "Its configuration depends on values that are known after apply only. Give \
                 subscription_id and the credentials as known values or environment variables.",
            )
        })
    }
}

/// A connection and what was learned through it.
pub(crate) struct Client {
    /// The connection.
    pub(crate) azure: Azure,
    /// Tags that every cluster gets.
    pub(crate) default_tags: BTreeMap<String, String>,
    regions: Mutex<BTreeMap<String, Arc<Region>>>,
}

impl Client {
    pub(crate) fn new(azure: Azure, default_tags: BTreeMap<String, String>) -> Self {
        Self { azure, default_tags, regions: Mutex::default() }
    }

    pub(crate) fn subscription_id(&self) -> &str {
        &self.azure.subscription_id
    }

    /// ARM for one call; `cancel` ends its waits.
    pub(crate) fn arm(&self, cancel: &CancellationToken) -> Arm {
        let cloud = Arc::clone(&self.azure.cloud);
        Arm::new(cloud, Arc::new(SystemClock), cancel.clone())
    }

    pub(crate) fn stores(&self) -> Arc<dyn BlobStores> {
        Arc::clone(&self.azure.blobs) as Arc<dyn BlobStores>
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

    /// The spec that was stored with a cluster, and the group's body; `None` when the group is not there.
    pub(crate) async fn stored_spec(
        &self,
        arm: &Arm,
        cluster_id: &ArmId,
    ) -> Result<Option<(ClusterSpec, Observed)>, Diagnostic> {
        let what = format!("cluster {cluster_id}");
        let failed = |error: &EngineError| crate::diagnostics::read(&what, error);
        let group = arm.get(cluster_id, Kind::ResourceGroup).await;
        let Some(group) = group.map_err(|error| failed(&error))? else { return Ok(None) };
        let account_id = storage_account(cluster_id);
        let account = arm.get(&account_id, Kind::StorageAccount).await;
        let account = account.map_err(|error| failed(&error))?;
        let endpoint = account
            .as_ref()
            .and_then(|account| account.pointer("/properties/primaryEndpoints/blob"))
            .and_then(Value::as_str)
            .ok_or_else(|| not_a_cluster(cluster_id, &group))?;
        let store = self.stores().open(endpoint).map_err(|error| failed(&error.into()))?;
        let access = ensure_blob_access(arm, &account_id, store.as_ref()).await;
        access.map_err(|error| failed(&error))?;
        let content = store
            .get(hcs_planner::dataplane::container::CONFIG, hcs_planner::dataplane::blob::SPEC);
        let content = content.await.map_err(|error| failed(&error.into()))?;
        let Some(content) = content else { return Err(not_a_cluster(cluster_id, &group)) };
        let spec: ClusterSpec = serde_json::from_slice(&content.bytes).map_err(|error| {
            Diagnostic::error(
                format!("Cannot read the stored description of {cluster_id}"),
                format!(
                    "config/spec.json in its storage account does not fit this provider version: \
                     {error}. Use the provider version that wrote it, or a newer one."
                ),
            )
        })?;
        let names = Names::new(&spec);
        let observed = observe_arm(arm, &names).await;
        let mut observed = observed.map_err(|error| failed(&error))?;
        let store = open_store(self.stores().as_ref(), &names, &observed);
        if let Some(store) = store.map_err(|error| failed(&error))? {
            let blobs = observe_blobs(store.as_ref(), &names, &mut observed).await;
            blobs.map_err(|error| failed(&error))?;
        }
        Ok(Some((spec, observed)))
    }
}

/// Id of a cluster's storage account.
pub(crate) fn storage_account(cluster_id: &ArmId) -> ArmId {
    let name = storage_account_name(cluster_id);
    cluster_id.resource(Kind::StorageAccount.resource_type(), &name)
}

fn not_a_cluster(cluster_id: &ArmId, group: &Value) -> Diagnostic {
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
