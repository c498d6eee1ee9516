//! The provider in a simulated Azure, as Terraform core drives it: virtual time, no sockets, no Terraform.

mod configured;
pub(crate) mod core;
mod laws;
mod names;
mod told;

use std::sync::Arc;

use hcs_engine::cloud::{ArmRequest, Cloud, Method, Target};
use hcs_planner::arm::ArmId;
use hcs_planner::names::storage_account_name;
use hcs_simulator::{Calls, Programs, Script, Settings, SimClock, SimCloud, Strike};
use serde_json::{Value as Json, json};
use tfplugin::{
    CancellationToken, Context, DataSource, Ephemeral, Resource, Value, data_source, ephemeral,
    managed,
};

use crate::client::{Client, Ports, Registrations};
use crate::cluster::ClusterResource;
use crate::cluster_data::ClusterDataSource;
use crate::clusters_data::ClustersDataSource;
use crate::ephemeral::{ClientConfig, RootToken};
use crate::helm_data::HelmConfigDataSource;
use crate::policy::PolicyResource;
use crate::snapshots::{RestoreResource, SnapshotResource};
use crate::tagging::Tagging;
use crate::zones_data::ZonesDataSource;
use configured::Configured;

/// Where a run ends: at a call, on one side of it.
pub(crate) type Kill = Strike;

/// The user's group.
pub(crate) const GROUP: &str = "rg";

/// An Azure with a user's group, and the servers of one cluster called `demo` in it.
pub(crate) struct Azure {
    pub(crate) cloud: SimCloud,
    /// What its providers do about resource providers.
    pub(crate) registrations: Registrations,
    clock: SimClock,
}

impl Azure {
    pub(crate) async fn new() -> Self {
        // A machine in every network: what has a private endpoint is reached as from there.
        let caller_network_id = Some("*".to_owned());
        Self::with(Settings { caller_network_id, ..Settings::default() }).await
    }

    /// One whose settings are others.
    pub(crate) async fn with(settings: Settings) -> Self {
        let clock = SimClock::starting_at(1_795_000_000_000);
        let cloud = SimCloud::new(settings, clock.clone());
        cloud.serve(&storage_account_name(&Self::cluster_id()));
        let azure = Self { cloud, registrations: Registrations::None, clock };
        azure.put(&group_id(GROUP), "2024-07-01", json!({ "location": "westeurope" })).await;
        azure
    }

    /// The managed group of `demo`.
    pub(crate) fn cluster_id() -> ArmId {
        ArmId::resource_group(&Settings::default().subscription_id, "rg-mrg-demo")
    }

    /// Makes an object as somebody else would.
    pub(crate) async fn put(&self, id: &ArmId, api_version: &str, body: Json) {
        let target = Target::Path(format!("{id}?api-version={api_version}"));
        let mut request = ArmRequest::new(Method::Put, target);
        request.body = Some(body);
        let response = self.cloud.send(&request).await.unwrap();
        assert!(response.status < 300, "{id}: {response:?}");
        tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    }

    /// Asks for something as somebody else would.
    pub(crate) async fn post(&self, path: &str, api_version: &str) {
        let target = Target::Path(format!("{path}?api-version={api_version}"));
        let response = self.cloud.send(&ArmRequest::new(Method::Post, target)).await.unwrap();
        assert!(response.status < 300, "{path}: {response:?}");
    }

    /// The subscription's owner registers what encryption at host needs.
    pub(crate) async fn register_encryption_at_host(&self) {
        let id = Self::cluster_id();
        let subscription = id.segment("subscriptions").unwrap();
        let feature = "Microsoft.Features/providers/Microsoft.Compute/features/EncryptionAtHost";
        self.post(
            &format!("/subscriptions/{subscription}/providers/{feature}/register"),
            "2021-07-01",
        )
        .await;
    }

    /// Deletes an object as somebody else would.
    pub(crate) async fn delete(&self, id: &ArmId) {
        let versions = [
            ("storageaccounts", "2023-05-01"),
            ("locks", "2020-05-01"),
            ("roleassignments", "2022-04-01"),
            ("a", "2024-06-01"),
            ("virtualnetworklinks", "2024-06-01"),
            ("userassignedidentities", "2023-01-31"),
        ];
        let key = id.key();
        let of = versions.iter().find(|(kind, _)| key.rsplit('/').nth(1) == Some(kind));
        let version = of.map_or("2024-07-01", |(_, version)| version);
        let request =
            ArmRequest::new(Method::Delete, Target::Path(format!("{id}?api-version={version}")));
        let response = self.cloud.send(&request).await.unwrap();
        assert!(response.status < 300, "{id}: {response:?}");
        tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    }

    /// An object as it is, without a check of rights.
    pub(crate) fn object(&self, id: &ArmId) -> Option<Json> {
        self.cloud.with_world(|world| world.inspect(id.as_str()))
    }

    /// A provider process of its own, which may be killed at a call.
    pub(crate) fn provider(&self, default_tags: Value, kill: Option<Kill>) -> Provider {
        self.provider_of(&self.cloud, default_tags, kill)
    }

    /// The same for another principal.
    pub(crate) fn provider_of(
        &self,
        cloud: &SimCloud,
        default_tags: Value,
        kill: Option<Kill>,
    ) -> Provider {
        let script = Arc::new(Script::of(kill.as_slice()));
        let cancel = CancellationToken::new();
        let calls = Calls::new(cloud.clone(), self.clock.clone(), Arc::clone(&script), cancel);
        self.provider_over(calls, script, default_tags, |near| near)
    }

    /// A provider for a caller, whose way to Resource Manager leads through another one.
    pub(crate) fn provider_through(
        &self,
        cloud: &SimCloud,
        way: impl FnOnce(Arc<dyn Cloud>) -> Arc<dyn Cloud>,
    ) -> Provider {
        let script = Arc::new(Script::of(&[]));
        let cancel = CancellationToken::new();
        let calls = Calls::new(cloud.clone(), self.clock.clone(), Arc::clone(&script), cancel);
        self.provider_over(calls, script, Value::Null, way)
    }

    fn provider_over(
        &self,
        calls: Calls,
        script: Arc<Script>,
        default_tags: Value,
        way: impl FnOnce(Arc<dyn Cloud>) -> Arc<dyn Cloud>,
    ) -> Provider {
        let ports = Arc::new(calls);
        let ports = Ports {
            cloud: way(ports.clone()),
            blobs: ports,
            clock: Arc::new(self.clock.clone()),
            programs: Some(Arc::new(Programs)),
        };
        let subscription_id = Settings::default().subscription_id;
        let tagging = Tagging { defaults: default_tags, ..Tagging::default() };
        let connection = Client::new(ports, subscription_id, tagging);
        let client = Arc::new(connection.registering(self.registrations));
        Provider { client, script }
    }
}

/// A configured provider.
#[derive(Clone)]
pub(crate) struct Provider {
    client: Arc<Client>,
    script: Arc<Script>,
}

impl Provider {
    fn with<T: ?Sized>(&self, author: Arc<T>) -> Arc<Configured<T>> {
        Arc::new(Configured { author, client: Arc::clone(&self.client) })
    }

    pub(crate) fn cluster(&self) -> Arc<dyn Resource> {
        self.with::<dyn Resource>(Arc::new(ClusterResource))
    }

    pub(crate) fn policy(&self) -> Arc<dyn Resource> {
        self.with::<dyn Resource>(Arc::new(PolicyResource))
    }

    pub(crate) fn snapshot(&self) -> Arc<dyn Resource> {
        self.with(managed(SnapshotResource))
    }

    pub(crate) fn restore(&self) -> Arc<dyn Resource> {
        self.with(managed(RestoreResource))
    }

    pub(crate) fn client_config(&self) -> Arc<dyn Ephemeral> {
        self.with(ephemeral(ClientConfig))
    }

    pub(crate) fn root_token(&self) -> Arc<dyn Ephemeral> {
        self.with(ephemeral(RootToken))
    }

    /// Writes and deletes of blobs.
    pub(crate) fn blob_writes(&self) -> usize {
        self.script.blob_writes()
    }

    /// Containers that it has read.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.script.containers()
    }

    /// ARM requests of it that write.
    pub(crate) fn writes(&self) -> usize {
        self.script.requests().1
    }

    pub(crate) fn clusters_data(&self) -> Arc<dyn DataSource> {
        self.with(data_source(ClustersDataSource))
    }

    /// The surroundings of a call of it.
    pub(crate) fn context(&self) -> Context {
        Context::new().with_data(Arc::clone(&self.client))
    }

    pub(crate) fn cluster_data(&self) -> Arc<dyn DataSource> {
        self.with::<dyn DataSource>(Arc::new(ClusterDataSource))
    }

    pub(crate) fn zones_data(&self) -> Arc<dyn DataSource> {
        self.with(data_source(ZonesDataSource))
    }

    pub(crate) fn helm_data(&self) -> Arc<dyn DataSource> {
        self.with(data_source(HelmConfigDataSource))
    }

    /// Until it is killed.
    pub(crate) async fn death(&self) {
        self.script.killed().await;
    }
}

/// Id of a group of the subscription.
pub(crate) fn group_id(name: &str) -> ArmId {
    ArmId::resource_group(&Settings::default().subscription_id, name)
}

/// A configuration of `demo` with more attributes.
pub(crate) fn demo<'n>(more: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    let base = [("name", Value::from("demo")), ("resource_group_name", GROUP.into())];
    Value::object(base.into_iter().chain(more))
}
