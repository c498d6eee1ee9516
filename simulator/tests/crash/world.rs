//! An Azure with servers in it, and runs of the engine on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hcs_engine::adoption::{finish, undo};
use hcs_engine::arm::Arm;
use hcs_engine::artifact::NoPrograms;
use hcs_engine::blob::{BlobStore, BlobStores as _};
use hcs_engine::clock::Clock as _;
use hcs_engine::cloud::{ArmRequest, Cloud as _, Method, Target};
use hcs_engine::error::chain;
use hcs_engine::execute::{Parameters, Report, Run, Seeds, Span, ensure_blob_access};
use hcs_engine::observe::{observe_machines, observe_requests, open_store};
use hcs_engine::reconcile::{Beginning, DestroyLeg, Destroyed, Intent, Reconciler, observe};
use hcs_engine::rotate::rotate;
use hcs_planner::adoption::{AdoptedServer, Adoption};
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::dataplane::{Form, container};
use hcs_planner::desired::place_in;
use hcs_planner::diff::merged;
use hcs_planner::names::Names;
use hcs_planner::observed::{LOST_AFTER_SECONDS, Observed};
use hcs_planner::placement::place_of;
use hcs_planner::plan::{Plan, Step, plan};
use hcs_planner::rotation::Rotated;
use hcs_planner::spec::ClusterSpec;
use hcs_simulator::estate::HOPELESS;
use hcs_simulator::{Calls, Programs, Script, Settings, SimClock, SimCloud, Strike};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Where a run ends: at a call, on one side of it.
pub(crate) type Kill = Strike;

/// Of servers of before: it is read where a server is made.
static AUTHORITY_KEY: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| rcgen::KeyPair::generate().unwrap().serialize_pem());

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every step is done.
    Complete,
    /// It was killed.
    Killed,
    /// It ended by itself with this to say.
    Failed(String),
}

/// A cluster of so many servers.
pub(crate) fn spec(servers: u32) -> ClusterSpec {
    ClusterSpec {
        consul_datacenter: "dc1".into(),
        server_count: servers,
        consul_version: "1.22.2".parse().unwrap(),
        ..ClusterSpec::new(&Settings::default().subscription_id, "demo", "rg", "westeurope")
    }
}

/// The world and its servers.
pub(crate) struct Azure {
    cloud: SimCloud,
    clock: SimClock,
    /// Requests to ARM of all runs so far: those that read, and those that write.
    counted: Mutex<(usize, usize)>,
    ignores_conditions: Mutex<bool>,
    has_struck: Mutex<bool>,
    /// Calls of the last run.
    calls: Mutex<usize>,
    account: String,
    /// What the state says of the cluster, if there is one.
    incarnation_id: Mutex<Option<String>>,
}

impl Azure {
    pub(crate) async fn new() -> Self {
        let clock = SimClock::starting_at(1_795_000_000_000);
        let cloud = SimCloud::new(Settings::default(), clock.clone());
        let group = format!("/subscriptions/{}/resourceGroups/rg", spec(3).subscription_id);
        let target = Target::Path(format!("{group}?api-version=2024-07-01"));
        let mut request = ArmRequest::new(Method::Put, target);
        request.body = Some(json!({ "location": "westeurope" }));
        assert_eq!(cloud.send(&request).await.unwrap().status, 201);
        let account = Names::new(&spec(3)).storage_account().name().to_owned();
        cloud.serve(&account);
        Self {
            cloud,
            clock,
            counted: Mutex::default(),
            ignores_conditions: Mutex::default(),
            has_struck: Mutex::default(),
            calls: Mutex::default(),
            account,
            incarnation_id: Mutex::default(),
        }
    }

    pub(crate) fn now_unix_ms(&self) -> u64 {
        self.clock.now_unix_ms()
    }

    fn script(&self, kill: Option<Kill>) -> Arc<Script> {
        let script = Script::of(kill.as_slice());
        if *self.ignores_conditions.lock().unwrap() {
            script.ignore_conditions();
        }
        Arc::new(script)
    }

    fn ports(&self, script: &Arc<Script>) -> (Arm, Calls) {
        let cancel = CancellationToken::new();
        let (cloud, clock) = (self.cloud.clone(), self.clock.clone());
        let calls = Calls::new(cloud, clock.clone(), Arc::clone(script), cancel.clone());
        (Arm::new(Arc::new(calls.clone()), Arc::new(clock), cancel), calls)
    }

    fn reconciler<'a>(&self, spec: &'a ClusterSpec, script: &Arc<Script>) -> Reconciler<'a> {
        let (arm, calls) = self.ports(script);
        let (stores, artifacts) = (Arc::new(calls), Arc::new(Programs));
        let accelerated_sizes = [spec.vm_size.to_lowercase()].into();
        let holder = "a test".to_owned();
        Reconciler { arm, stores, artifacts, spec, accelerated_sizes, holder }
    }

    fn count(&self, script: &Script) {
        *self.has_struck.lock().unwrap() = !script.struck().is_empty();
        *self.calls.lock().unwrap() = script.count();
        self.count_requests(script);
    }

    fn count_requests(&self, script: &Script) {
        let (reads, writes) = script.requests();
        let mut counted = self.counted.lock().unwrap();
        *counted = (counted.0 + reads, counted.1 + writes);
    }

    /// Brings the cluster to what is declared, or dies on the way.
    pub(crate) async fn apply(
        &self,
        spec: &ClusterSpec,
        intent: Intent,
        kill: Option<Kill>,
    ) -> End {
        let script = self.script(kill);
        let reconciler = self.reconciler(spec, &script);
        let end = tokio::select! {
            outcome = Box::pin(reconciler.apply(intent)) => match outcome {
                Ok(outcome) => {
                    *self.incarnation_id.lock().unwrap() = outcome.incarnation_id;
                    end(&outcome.report)
                }
                Err(error) => End::Failed(chain(&error)),
            },
            () = script.killed() => End::Killed,
        };
        self.count(&script);
        end
    }

    /// Has three servers that somebody else made vote where the cluster's will meet; their machines are one scale set's.
    #[allow(dead_code)]
    pub(crate) async fn servers_of_before(&self) -> Adoption {
        let group = format!("/subscriptions/{}/resourceGroups/rg", spec(3).subscription_id);
        let vnet = format!("{group}/providers/Microsoft.Network/virtualNetworks/before");
        let set = format!("{group}/providers/Microsoft.Compute/virtualMachineScaleSets/before");
        let (arm, _) = self.ports(&self.script(None));
        let body = json!({ "location": "westeurope", "properties": {
            "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] },
            "subnets": [{ "name": "before", "properties": { "addressPrefix": "10.9.1.0/24" } }] } });
        arm.put(&ArmId::new(&vnet), Kind::VirtualNetwork, body).await.unwrap();
        let ip = json!({ "name": "ip", "properties": { "primary": true,
            "subnet": { "id": format!("{vnet}/subnets/before") } } });
        let nic =
            json!({ "name": "nic", "properties": { "primary": true, "ipConfigurations": [ip] } });
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1Yh5Z5t7m4mVZg2Yb2m3k4Zp5r6s7t8u9v0w1x2y3z before";
        let body = json!({
            "location": "westeurope", "zones": ["1", "2", "3"],
            "sku": { "name": "Standard_D2s_v5", "capacity": 3 },
            "properties": { "overprovision": false, "upgradePolicy": { "mode": "Manual" }, "virtualMachineProfile": {
                "osProfile": { "computerNamePrefix": "before", "adminUsername": "user", "linuxConfiguration": {
                    "disablePasswordAuthentication": true,
                    "ssh": { "publicKeys": [{ "path": "/home/user/.ssh/authorized_keys", "keyData": key }] } } },
                "storageProfile": {
                    "imageReference": { "publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server",
                        "version": "latest" },
                    "osDisk": { "createOption": "FromImage", "managedDisk": { "storageAccountType": "Premium_LRS" } } },
                "networkProfile": { "networkInterfaceConfigurations": [nic] } } } });
        arm.put(&ArmId::new(&set), Kind::ScaleSet, body).await.unwrap();
        let server = |number: u8| AdoptedServer {
            node_name: format!("before-{number}"),
            address: [10, 9, 1, 4 + number].into(),
            machine_id: ArmId::new(format!("{set}/virtualMachines/{number}")),
        };
        let servers: Vec<AdoptedServer> = (0..3).map(server).collect();
        self.cloud.with_estate(|estate| {
            for server in &servers {
                let known = estate.servers.as_mut().unwrap();
                known.follow(&server.node_name, server.machine_id.as_str());
            }
        });
        Adoption {
            servers,
            prepared_at: "2026-11-30T00:00:00Z".into(),
            is_prepared: false,
            form: Form::default(),
        }
    }

    /// Prepares the adoption, or dies on the way.
    #[allow(dead_code)]
    pub(crate) async fn prepare(
        &self,
        spec: &ClusterSpec,
        adoption: &Adoption,
        kill: Option<Kill>,
    ) -> End {
        let script = self.script(kill);
        let reconciler =
            Reconciler { artifacts: Arc::new(NoPrograms), ..self.reconciler(spec, &script) };
        let seeds = Seeds {
            gossip_key: "a gossip key".to_owned().into(),
            authority_pem: "an authority".to_owned(),
            authority_key_pem: AUTHORITY_KEY.clone().into(),
        };
        let end = tokio::select! {
            prepared = reconciler.prepare_adoption(adoption, &seeds, |_| async { Ok(()) }) => match prepared {
                Ok(Ok(())) => End::Complete,
                Ok(Err(report)) => end(&report),
                Err(error) => End::Failed(chain(&error)),
            },
            () = script.killed() => End::Killed,
        };
        self.count(&script);
        end
    }

    /// Has the servers of before go, or those of the cluster, or dies on the way.
    #[allow(dead_code)]
    pub(crate) async fn part(&self, undoes: bool, kill: Option<Kill>) -> End {
        let script = self.script(kill);
        let (arm, calls) = self.ports(&script);
        let store: Arc<dyn BlobStore> =
            calls.open(&format!("https://blobs/{}", self.account)).unwrap();
        let work = async {
            if undoes {
                undo(&arm, store, "a test", &|_| {}).await.map(drop)
            } else {
                finish(&arm, store, "a test", &|_| {}).await.map(drop)
            }
        };
        let end = tokio::select! {
            result = work => match result {
                Ok(()) => End::Complete,
                Err(error) => End::Failed(chain(&error)),
            },
            () = script.killed() => End::Killed,
        };
        self.count(&script);
        end
    }

    /// Who votes.
    #[allow(dead_code)]
    pub(crate) fn voters(&self) -> Vec<String> {
        let voters = |estate: &mut hcs_simulator::estate::Estate| {
            estate.servers.as_ref().unwrap().voters().clone()
        };
        self.cloud.with_estate(voters).into_iter().collect()
    }

    /// How often more than half of the votes were missing.
    #[allow(dead_code)]
    pub(crate) fn times_without_quorum(&self) -> u32 {
        self.cloud
            .with_estate(|estate| estate.servers.as_mut().unwrap().quorum().losses().without_quorum)
    }

    /// Asks for other versions of secrets, or dies on the way.
    #[allow(dead_code)]
    pub(crate) async fn rotate(&self, secrets: &[Rotated], kill: Option<Kill>) -> End {
        let script = self.script(kill);
        let (arm, calls) = self.ports(&script);
        let store = calls.open(&format!("https://blobs/{}", self.account)).unwrap();
        tokio::select! {
            asked = rotate(&arm, store, secrets, "a test") => match asked {
                Ok(_) => End::Complete,
                Err(error) => End::Failed(chain(&error)),
            },
            () = script.killed() => End::Killed,
        }
    }

    pub(crate) async fn destroy(&self, spec: &ClusterSpec, kill: Option<Kill>) -> End {
        let script = self.script(kill);
        let reconciler = self.reconciler(spec, &script);
        let end = tokio::select! {
            result = reconciler.destroy(self.known(), DestroyLeg::Plain, false) => match result {
                Ok(Destroyed::Done(report)) => end(&report),
                Ok(other) => End::Failed(format!("{other:?}")),
                Err(error) => End::Failed(chain(&error)),
            },
            () = script.killed() => End::Killed,
        };
        self.count(&script);
        end
    }

    fn known(&self) -> Option<String> {
        self.incarnation_id.lock().unwrap().clone()
    }

    /// A change of the cluster that the state knows.
    pub(crate) fn update(&self) -> Intent {
        Intent::Update { incarnation_id: self.known() }
    }

    /// How an apply begins; it must not fail on its way.
    pub(crate) async fn begin(
        &self,
        spec: &ClusterSpec,
        intent: Intent,
    ) -> Result<Beginning, String> {
        let reconciler = self.reconciler(spec, &self.script(None));
        let outcome = Box::pin(reconciler.apply(intent)).await.map_err(|error| chain(&error))?;
        assert_eq!(end(&outcome.report), End::Complete);
        *self.incarnation_id.lock().unwrap() = outcome.incarnation_id;
        Ok(outcome.beginning)
    }

    /// Ids of the steps that are left to do.
    pub(crate) async fn plan(&self, spec: &ClusterSpec) -> Vec<String> {
        // Rights and locks settle within seconds.
        tokio::time::sleep(Duration::from_mins(1)).await;
        let plan = plan(spec, &self.observed(spec).await).unwrap();
        plan.steps().into_iter().map(|(_, step)| step.id.clone()).collect()
    }

    /// For the benchmarks. Carries out a plan from what is observed; it must come to its end. Returns it with when its steps ran.
    #[allow(dead_code)]
    pub(crate) async fn run(&self, spec: &ClusterSpec) -> (Plan, Vec<Span>) {
        let plan = plan(spec, &self.observed(spec).await).unwrap();
        let script = self.script(None);
        let reconciler = self.reconciler(spec, &script);
        let intent = if self.known().is_some() { self.update() } else { Intent::Create };
        let outcome = Box::pin(reconciler.apply(intent)).await.unwrap();
        self.incarnation_id.lock().unwrap().clone_from(&outcome.incarnation_id);
        assert_eq!(end(&outcome.report), End::Complete);
        self.count(&script);
        (plan, outcome.report.spans)
    }

    /// Carries out one step, as a plan that is older than the world would.
    #[allow(dead_code)]
    pub(crate) async fn carry_out(&self, spec: &ClusterSpec, step: Step) -> Report {
        let script = self.script(None);
        let (arm, calls) = self.ports(&script);
        let observed = self.observed(spec).await;
        let plan = Plan::new(vec![step], BTreeSet::new()).unwrap();
        Run::new(&arm, Arc::new(calls), spec, &observed, Parameters::default(), None)
            .execute(&plan)
            .await
    }

    /// What a plan starts from.
    pub(crate) async fn observed(&self, spec: &ClusterSpec) -> Observed {
        let script = self.script(None);
        let (arm, calls) = self.ports(&script);
        let mut observed = observe(&arm, &calls, spec).await.unwrap();
        if let Some(store) = open_store(&calls, &Names::new(spec), &observed).unwrap() {
            observe_requests(store.as_ref(), &Names::new(spec), &mut observed).await.unwrap();
        }
        observe_machines(&arm, &Names::new(spec), spec, &mut observed).await.unwrap();
        self.count_requests(&script);
        observed
    }

    /// For the benchmarks. Requests to ARM of all runs so far: reads and writes.
    #[allow(dead_code)]
    pub(crate) fn requests(&self) -> (usize, usize) {
        *self.counted.lock().unwrap()
    }

    /// The cluster's blobs, as the owner of the subscription sees them.
    #[allow(dead_code)]
    pub(crate) fn store(&self) -> Arc<dyn BlobStore> {
        self.cloud.open(&format!("https://blobs/{}", self.account)).unwrap()
    }

    /// Ids of all objects.
    pub(crate) fn objects(&self) -> Vec<String> {
        let rows = self.cloud.with_world(|world| world.objects());
        let mut ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
        ids.sort();
        ids
    }

    /// Everything that is made once.
    pub(crate) fn secrets(&self) -> BTreeMap<String, Bytes> {
        self.cloud
            .blobs(&self.account)
            .into_iter()
            .filter(|(name, _)| name.starts_with("secrets-") || name.starts_with("certificates/"))
            .collect()
    }

    /// Injects faults, in the words of `azure-emulator --fault`.
    pub(crate) fn inject(&self, fault: &str) {
        let fault = fault.parse().unwrap();
        self.cloud.with_world(|world| world.inject(fault));
    }

    /// The cluster's document.
    #[allow(dead_code)]
    pub(crate) fn document(&self) -> Value {
        let blobs = self.cloud.blobs(&self.account);
        serde_json::from_slice(&blobs[&format!("{}/cluster.json", container::CONFIG)]).unwrap()
    }

    /// How many calls the last run made.
    #[allow(dead_code)]
    pub(crate) fn calls(&self) -> usize {
        *self.calls.lock().unwrap()
    }

    /// An account of the user's with a container in it, and this blob in that, which the caller may read.
    #[allow(dead_code)]
    pub(crate) async fn keep_elsewhere(&self, container: &str, name: &str, bytes: Bytes) -> ArmId {
        let group = format!("/subscriptions/{}/resourceGroups/rg", spec(3).subscription_id);
        let kind = Kind::StorageAccount;
        let account = ArmId::new(&group).resource(kind.resource_type(), "backups");
        let container_id = account.child("blobServices", "default").child("containers", container);
        let body = json!({
            "location": "northeurope", "sku": { "name": "Standard_LRS" }, "kind": "StorageV2", "properties": {}
        });
        let (arm, _) = self.ports(&self.script(None));
        arm.put(&account, kind, body).await.unwrap();
        // Whether the caller may write is tried in the second one.
        let probed = account.child("blobServices", "default").child("containers", "config");
        for id in [&container_id, &probed] {
            arm.put(id, Kind::BlobContainer, json!({ "properties": {} })).await.unwrap();
        }
        let store = self.cloud.open("https://blobs/backups").unwrap();
        ensure_blob_access(&arm, &account, store.as_ref(), true).await.unwrap();
        self.write_elsewhere(container, name, bytes);
        container_id
    }

    /// Writes a blob there.
    #[allow(dead_code)]
    pub(crate) fn write_elsewhere(&self, container: &str, name: &str, bytes: Bytes) {
        self.cloud.plant_blob("backups", container, name, bytes);
    }

    /// What the servers have restored.
    #[allow(dead_code)]
    pub(crate) fn restored(&self) -> Vec<String> {
        self.cloud.with_estate(|estate| estate.servers.as_ref().unwrap().restored().to_vec())
    }

    /// Whether the fault of the last run struck.
    #[allow(dead_code)]
    pub(crate) fn has_struck(&self) -> bool {
        *self.has_struck.lock().unwrap()
    }

    /// From now on no server can start what it was given, until it is mended.
    pub(crate) fn spoil(&self, is_spoilt: bool) {
        let (config, name) = (container::CONFIG, HOPELESS);
        if is_spoilt {
            self.cloud.plant_blob(&self.account, config, name, Bytes::new());
        } else {
            self.cloud.remove_blob(&self.account, config, name);
        }
    }

    /// Drops faults that have not struck.
    pub(crate) fn clear_faults(&self) {
        self.cloud.with_world(hcs_simulator::World::clear_faults);
    }

    /// Plants the bug of a store that knows no conditions.
    pub(crate) fn ignore_conditions(&self) {
        *self.ignores_conditions.lock().unwrap() = true;
    }

    /// A server dies, and is missed for a while.
    #[allow(dead_code)]
    pub(crate) async fn lose(&self, spec: &ClusterSpec, slot: u32) {
        let name = Names::new(spec).server(slot);
        self.cloud.with_estate(|estate| estate.servers.as_mut().unwrap().kill(&name));
        tokio::time::sleep(Duration::from_secs(LOST_AFTER_SECONDS + 60)).await;
    }

    /// Deletes all scale sets, so that the next apply makes servers and their secrets.
    pub(crate) async fn forget_the_servers(&self) {
        let names = Names::new(&spec(3));
        let lock = format!("{}?api-version=2020-05-01", names.lock());
        self.delete(lock).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        for slot in 0..3 {
            self.delete(format!("{}?api-version=2024-07-01", names.scale_set(slot))).await;
        }
        tokio::time::sleep(Duration::from_mins(10)).await;
    }

    /// An object as it is.
    pub(crate) fn inspect(&self, id: &ArmId) -> Value {
        self.cloud.with_world(|world| world.inspect(id.as_str())).unwrap_or_default()
    }

    /// Somebody else reads an object and writes it back with one more tag; `false` where it may not be written now.
    pub(crate) async fn add_tag(&self, id: &ArmId, kind: Kind, name: &str) -> bool {
        let path = format!("{id}?api-version={}", kind.api_version());
        let read = ArmRequest::new(Method::Get, Target::Path(path.clone()));
        let found = self.cloud.send(&read).await.unwrap();
        if found.status != 200 {
            return false;
        }
        let mut body = merged(kind, &json!({}), &found.body);
        body["tags"][name] = json!("policy");
        let mut write = ArmRequest::new(Method::Put, Target::Path(path));
        write.body = Some(body);
        self.cloud.send(&write).await.unwrap().status < 300
    }

    async fn delete(&self, path: String) {
        let request = ArmRequest::new(Method::Delete, Target::Path(path));
        assert!(self.cloud.send(&request).await.unwrap().status < 300);
    }
}

/// How many servers are not where they belong.
#[allow(dead_code)]
pub(crate) fn elsewhere(spec: &ClusterSpec, observed: &Observed) -> usize {
    let names = Names::new(spec);
    let is_elsewhere = |slot: &u32| {
        let body = observed.object(&names.scale_set(*slot)).expect("a scale set");
        place_in(body) != place_of(*slot, spec)
    };
    (0..spec.server_count).filter(is_elsewhere).count()
}

fn end(report: &Report) -> End {
    if report.is_complete() {
        return End::Complete;
    }
    let failures: Vec<String> = report
        .failures
        .iter()
        .map(|failure| format!("{}: {}", failure.step, chain(&failure.error)))
        .collect();
    End::Failed(failures.join("; "))
}
