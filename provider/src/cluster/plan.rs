//! Plans `hcs_cluster` from configuration, prior state and the region's offer only: core plans again inside apply, and
//! known values must come out the same, whatever Azure holds by then.

mod addresses;
mod change;
mod checks;
mod encryption;
mod image;
mod inputs;
mod offer;
mod roles;
mod room;
mod subnets;
mod ways;
mod worlds;
mod zones_taken;

use std::sync::Arc;

use hcs_engine::arm::Arm;
use hcs_engine::error::EngineError;
use hcs_planner::dataplane::own_version;
use hcs_planner::desired::Desired;
use hcs_planner::desired::object;
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::placement;
use hcs_planner::spec::{ClusterSpec, ZoneFallback};
use tfplugin::typed::Model as _;
use tfplugin::{
    Attr, Context, Diagnostic, Diagnostics, Path, PlanRequest, PlanResponse, Schema, Value,
};

use super::model::{Cluster, Server};
use super::spec::TIMEOUTS;
use super::{phase, schema, spec, state, windows};
use crate::client::Client;
use crate::leg;
use change::Change;
use hcs_engine::regions::Region;
pub(crate) use inputs::no_size;
use worlds::{World, common, worlds};

/// Known only when the cluster is there. `certificates_expire_at` changes by itself: it keeps its prior value through
/// plan and apply, and only a read changes it.
const UNKNOWN_ON_CREATE: [&str; 14] = [
    Cluster::ID,
    Cluster::INCARNATION_ID,
    Cluster::VNET_ID,
    Cluster::SERVER_SUBNET_ID,
    Cluster::NETWORK_SECURITY_GROUP_ID,
    Cluster::LOAD_BALANCER_ID,
    Cluster::STORAGE_ACCOUNT_ID,
    Cluster::STATE,
    Cluster::CONSUL_CA_FILE,
    Cluster::CERTIFICATES_EXPIRE_AT,
    Cluster::CA_CERTIFICATE_EXPIRES_AT,
    Cluster::IMAGE_VERSION,
    Cluster::CONSUL_PRIVATE_ENDPOINT_IP_ADDRESS,
    Cluster::NEXT_MAINTENANCE_AT,
];
/// What an interrupted create may not have learned, and an update then learns.
const LEARNED_LATE: [&str; 10] = [
    Cluster::ID,
    Cluster::INCARNATION_ID,
    Cluster::VNET_ID,
    Cluster::SERVER_SUBNET_ID,
    Cluster::LOAD_BALANCER_ID,
    Cluster::STORAGE_ACCOUNT_ID,
    Cluster::CONSUL_CA_FILE,
    Cluster::CA_CERTIFICATE_EXPIRES_AT,
    Cluster::IMAGE_VERSION,
    Cluster::CONSUL_PRIVATE_ENDPOINT_IP_ADDRESS,
];

/// Known when the endpoint is there.
const ENDPOINT_URL: &str = Cluster::CONSUL_EXTERNAL_ENDPOINT_URL;

pub(super) async fn plan(ctx: &Context, request: PlanRequest) -> PlanResponse {
    if request.is_destroy() {
        return plan_destroy(&request.prior);
    }
    let client = match ctx.data::<Client>() {
        Ok(client) => client,
        Err(diagnostics) => return PlanResponse::failed(diagnostics),
    };
    let planner = Planner {
        arm: client.arm(&ctx.cancel),
        client,
        schema: schema(),
        config: request.config,
        prior: request.prior,
        planned: request.proposed,
        diagnostics: Diagnostics::none(),
        region: None,
        given: Observed::default(),
    };
    planner.run().await
}

fn plan_destroy(prior: &Value) -> PlanResponse {
    if is_protected(prior) {
        return PlanResponse::failed(crate::diagnostics::protected(prior, "this would destroy"));
    }
    let skips = prior.get(Cluster::SKIP_FINAL_SNAPSHOT).as_bool() == Some(true);
    let goes_nowhere = prior.get(Cluster::FINAL_SNAPSHOT_STORAGE_CONTAINER_ID).is_null();
    let diagnostics = if goes_nowhere && !skips {
        crate::diagnostics::no_final_snapshot(prior).into()
    } else {
        Diagnostics::none()
    };
    PlanResponse { private: Some(leg::destroy()), diagnostics, ..PlanResponse::new(Value::Null) }
}

/// Whether the state forbids that the cluster goes. What the configuration says by now does not count: a change that
/// drops the protection and destroys at once would protect from nothing.
pub(super) fn is_protected(prior: &Value) -> bool {
    prior.get(Cluster::DELETION_PROTECTION).as_bool() == Some(true)
}

struct Planner {
    client: Arc<Client>,
    arm: Arm,
    schema: Schema,
    config: Value,
    prior: Value,
    planned: Value,
    diagnostics: Diagnostics,
    region: Option<Arc<Region>>,
    /// Identities that somebody brings, as far as they were read.
    given: Observed,
}

impl Planner {
    async fn run(mut self) -> PlanResponse {
        self.keep_spellings();
        self.names();
        self.location().await;
        self.defaults();
        self.zones().await;
        self.version();
        self.keep_tags();
        let replace = self.replaced();
        self.guard(&replace);
        let is_new = self.is_create() || !replace.is_empty();
        self.first_state(is_new);
        self.computed(is_new).await;
        let private = if is_new {
            leg::create(&self.planned, &self.schema.replacing())
        } else {
            leg::update()
        };
        PlanResponse {
            planned: self.planned,
            requires_replace: replace,
            private: Some(private),
            diagnostics: self.diagnostics,
            ..PlanResponse::default()
        }
    }

    /// Core plans no destroy for a replacement, so whoever protects a cluster is told here.
    fn guard(&mut self, replace: &[Path]) {
        let Some(path) = replace.first().filter(|_| is_protected(&self.prior)) else { return };
        let names: Vec<String> = replace.iter().map(ToString::to_string).collect();
        let what = format!("another {} would replace", names.join(", "));
        self.diagnostics.push(crate::diagnostics::protected(&self.prior, &what).at(path.clone()));
    }

    /// A cluster that exists has its state: nobody is to believe that this brings another one.
    fn first_state(&mut self, is_new: bool) {
        let name = Cluster::RESTORE_FROM_SNAPSHOT_ID;
        let (was, is) = (self.prior.get(name), self.planned.get(name));
        if is_new || was == is || is.is_null() {
            return;
        }
        self.warn(
            name,
            "Nothing is restored into a cluster that exists",
            "restore_from_snapshot_id counts when a cluster is made, and is remembered for that. To bring this one back to a \
             snapshot, use hcs_snapshot_restore.",
        );
    }

    fn is_create(&self) -> bool {
        self.prior.is_null()
    }

    fn configured(&self, name: &str) -> bool {
        !self.config.get(name).is_null()
    }

    fn error(&mut self, path: impl Into<Path>, summary: &str, detail: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(summary, detail).at(path));
    }

    fn warn(&mut self, path: impl Into<Path>, summary: &str, detail: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(summary, detail).at(path));
    }

    /// A read that failed. One that the caller may not do leaves a check out; nothing depends on it that is not told
    /// again, at the latest by Azure itself.
    fn unread(&mut self, what: &str, error: &EngineError) {
        if !crate::diagnostics::is_forbidden(error) {
            self.diagnostics.push(crate::diagnostics::read(what, error));
            return;
        }
        let detail = format!(
            "The caller may not read it, so what follows from it is not checked while planning. The role Reader on it \
             would do.\n\n{error}"
        );
        self.diagnostics.push_warning(format!("Cannot look at {what}"), detail);
    }

    /// An input that follows from something that the caller may not read has to be given.
    fn needs(&mut self, name: &str, source: &str, error: &EngineError) {
        if crate::diagnostics::is_forbidden(error) {
            let detail =
                format!("{name} is not set, and the caller may not read {source}. Set {name}.");
            self.error(name, &format!("{name} cannot be found out"), detail);
        }
    }

    /// Where neither configuration nor prior state has a value, `value` is it.
    fn default(&mut self, name: &str, value: impl FnOnce(&Value) -> Value) {
        if self.configured(name) {
            return;
        }
        let prior = self.prior.get(name);
        let value = if prior.is_null() { value(&self.planned) } else { prior.clone() };
        self.planned.set(name, value);
    }

    fn replaced(&self) -> Vec<Path> {
        if self.is_create() {
            return vec![];
        }
        tfplugin::plan::replaced(&self.schema, &self.prior, &self.planned, &self.config)
    }

    fn same(&self, name: &str) -> bool {
        self.prior.get(name) == self.planned.get(name)
    }

    /// Everything that follows from the inputs. Where some are unknown, it is planned in each of the worlds that they
    /// allow, and what is the same in all of them is known.
    async fn computed(&mut self, is_new: bool) {
        let tagging = self.client.tagging.clone();
        let subscription = self.client.subscription_id().to_owned();
        let prior = spec::stored_spec_of(&self.prior, &subscription, &tagging).ok();
        let prior = prior.filter(|_| !is_new);
        let zone_lists = match &self.region {
            Some(region) if !self.configured(Cluster::ZONES) => region.zone_lists(),
            _ => vec![],
        };
        let mut worlds =
            worlds(&self.schema, &self.planned, &self.prior, &tagging, &subscription, &zone_lists);
        for world in worlds.iter_mut().filter(|_| !is_new) {
            world.spec.image_at_least = self.image(&world.spec);
        }
        for world in &worlds {
            self.read_identities(&world.spec).await;
        }
        let outcomes: Vec<Value> = match worlds.as_slice() {
            [] => return self.all_unknown(),
            [one] => {
                let change = self.change(prior.as_ref(), &one.spec);
                self.check(prior.as_ref(), &one.spec, &change, is_new).await;
                vec![self.outcome(one, prior.as_ref(), &change, is_new)]
            }
            many => many
                .iter()
                .map(|world| {
                    let change = self.change_to(prior.as_ref(), &world.spec).unwrap_or_default();
                    self.outcome(world, prior.as_ref(), &change, is_new)
                })
                .collect(),
        };
        for (name, value) in common(&outcomes).as_map().into_iter().flatten() {
            self.planned.set(name.clone(), value.clone());
        }
    }

    /// What can be told of a declaration that is wholly known.
    async fn check(
        &mut self,
        prior: Option<&ClusterSpec>,
        spec: &ClusterSpec,
        change: &Change,
        is_new: bool,
    ) {
        if prior.is_none_or(|prior| prior.consul_version != spec.consul_version) {
            self.check_artifact(spec);
        }
        if let Some(closed) = windows::closed(&self.prior, spec, self.client.clock().as_ref())
            && !is_new
        {
            self.diagnostics.push(closed.warning());
        }
        if is_new {
            self.check_registrations().await;
        }
        self.check_peers(spec).await;
        self.check_subnets(spec, is_new).await;
        self.check_way_to_storage(spec, is_new);
        self.check_encryption(spec, is_new).await;
        self.check_room(spec, is_new).await;
        self.check_roles(spec).await;
        self.check_zones_taken(prior, spec).await;
        self.check_endpoint(spec);
        if prior.is_none_or(|prior| prior.tags != spec.tags) {
            self.check_tags(spec);
        }
        self.check_offer(prior, spec, change).await;
        for sentence in placement::warnings(spec.server_count, &spec.zones) {
            self.warn(Cluster::SERVER_COUNT, "The cluster survives less than it could", sentence);
        }
        self.tell(spec, change, is_new);
    }

    /// Every computed attribute in one world.
    fn outcome(
        &self,
        world: &World,
        prior: Option<&ClusterSpec>,
        change: &Change,
        is_new: bool,
    ) -> Value {
        let World { inputs, spec } = world;
        let resources = state::desired_resources(&Desired::new(spec));
        let mut outcome = Value::object(state::derived(spec));
        let image = spec.image_at_least.as_ref();
        if !is_new && image.is_none() && !self.has_changes(inputs, &resources) {
            let kept = [
                Cluster::SERVERS,
                Cluster::QUORUM,
                Cluster::AZURE_RESOURCES,
                Cluster::DRIFT,
                Cluster::STORAGE_PRIVATE_ENDPOINT_IP_ADDRESS,
                Cluster::OUTBOUND_PUBLIC_IP_ADDRESS,
                Cluster::REQUIRED_ROLE_ASSIGNMENTS,
                ENDPOINT_URL,
            ];
            for name in UNKNOWN_ON_CREATE.iter().chain(&kept) {
                outcome.set(*name, self.prior.get(name).clone());
            }
            let due = Cluster::NEXT_IMAGE_VERSION;
            outcome.set(due, self.prior.get(due).clone());
            return outcome;
        }
        let places_known = spec.zone_fallback == ZoneFallback::Strict;
        let servers = self.servers(prior, spec, &resources, change, is_new);
        outcome.set(Cluster::AZURE_RESOURCES, resources);
        outcome.set(Cluster::DRIFT, Value::list([]));
        outcome.set(Cluster::SERVERS, servers);
        let keeps = |name: &str| self.prior.get(name) == inputs.get(name);
        let quorum = match (places_known, change.makes_servers()) {
            (true, _) => state::quorum(spec),
            // The same servers keep their zones, and with them what the cluster survives.
            (false, false) if keeps(Cluster::SERVER_COUNT) && keeps(Cluster::ZONES) => {
                self.prior.get(Cluster::QUORUM).clone()
            }
            (false, _) => {
                let survival = placement::survival(spec.server_count, &spec.zones);
                state::quorum_with(&survival, Value::unknown())
            }
        };
        outcome.set(Cluster::QUORUM, quorum);
        for name in UNKNOWN_ON_CREATE {
            let known = self.prior.get(name);
            let is_there = name == Cluster::NETWORK_SECURITY_GROUP_ID && spec.subnet_id.is_none();
            let is_late = known.is_null() && (is_there || LEARNED_LATE.contains(&name));
            let value = if is_new || is_late { Value::unknown() } else { known.clone() };
            outcome.set(name, value);
        }
        let is_of = |name: &str| inputs.get(name) == self.prior.get(name);
        if image.is_some() || !is_of(Cluster::IMAGE) || !is_of(Cluster::SOURCE_IMAGE_ID) {
            outcome.set(Cluster::IMAGE_VERSION, Value::unknown());
        }
        // Only a read says what is due.
        outcome.set(Cluster::NEXT_IMAGE_VERSION, Value::Null);
        outcome.set(Cluster::STATE, Value::unknown());
        for (name, value) in self.addresses(spec, is_new) {
            outcome.set(name, value);
        }
        let roles = state::role_assignments(spec, &self.given, &Attr::Unknown);
        outcome.set(Cluster::REQUIRED_ROLE_ASSIGNMENTS, roles);
        outcome
    }

    /// Whether an apply would do anything.
    fn has_changes(&self, inputs: &Value, resources: &Value) -> bool {
        let mut names = spec::inputs(&self.schema).chain([TIMEOUTS]);
        let differ = names.any(|name| self.prior.get(name) != inputs.get(name));
        let drifted =
            self.prior.get(Cluster::DRIFT).as_list().is_some_and(|drift| !drift.is_empty());
        let converging = self.prior.get(Cluster::STATE).as_str() == Some(phase::CONVERGING);
        differ || drifted || converging || self.prior.get(Cluster::AZURE_RESOURCES) != resources
    }

    /// Servers that stay keep what is known of them; of those that come or are made anew only name, slot and zone are.
    fn servers(
        &self,
        prior_spec: Option<&ClusterSpec>,
        spec: &ClusterSpec,
        resources: &Value,
        change: &Change,
        is_new: bool,
    ) -> Value {
        let names = Names::new(spec);
        let prior = self.prior.get(Cluster::SERVERS).as_list().unwrap_or_default();
        let places_known = spec.zone_fallback == ZoneFallback::Strict;
        let is_whole = self.prior.get(Cluster::STATE).as_str() != Some(phase::CONVERGING);
        let renewed_versions = self.renewed_versions(spec);
        // What somebody changed by hand since the last apply may make a server anew, too.
        let declared = prior_spec.map(|prior| state::desired_resources(&Desired::new(prior)));
        Value::list((0..spec.server_count).map(|slot| {
            let server = object::server(slot);
            let before = self.prior.get(Cluster::AZURE_RESOURCES).get(&server);
            // What differs from its last declaration may be made anew, unless the whole change is known.
            let as_declared = declared.as_ref().is_some_and(|all| before == all.get(&server));
            let stays = !change.makes(slot)
                && !before.is_null()
                && ((is_whole && as_declared) || before == resources.get(&server));
            let known = prior
                .iter()
                .find(|server| server.get(Server::SLOT).as_i64() == Some(i64::from(slot)))
                .filter(|known| !is_new && !known.get(Server::PRIVATE_IP).is_null());
            if let (Some(known), true) = (known, stays) {
                let renewed = |server: Value, name: &str| server.with(name, Value::unknown());
                return renewed_versions.iter().fold(known.clone(), |one, name| renewed(one, name));
            }
            let zone = placement::zone_of(slot, &spec.zones);
            let (zone, physical_zone) = match (places_known, self.region.as_deref()) {
                (true, Some(region)) => (
                    zone.map(str::to_owned).into(),
                    state::physical_zone(zone, Some(region)).into(),
                ),
                // Which data centre is behind a zone only its region tells.
                (true, None) => {
                    let physical = if zone.is_some() { Attr::Unknown } else { Attr::Null };
                    (zone.map(str::to_owned).into(), physical)
                }
                (false, _) => (Attr::Unknown, Attr::Unknown),
            };
            let kept = |name: &str| match known {
                Some(known) if !renewed_versions.contains(&name) => known.get(name).clone(),
                _ => Value::unknown(),
            };
            let server = Server {
                name: names.server(slot).into(),
                slot: slot.into(),
                zone,
                physical_zone,
                private_ip: Attr::Unknown,
                ..Server::default()
            };
            [Server::VMSS_ID, Server::CONSUL_VERSION, Server::HOST_MANAGER_VERSION]
                .into_iter()
                .fold(server.into_value(), |server, name| server.with(name, kept(name)))
        }))
    }

    /// Attributes of servers that say what runs on them, where that becomes another one.
    fn renewed_versions(&self, spec: &ClusterSpec) -> Vec<&'static str> {
        let host_manager = spec.host_manager_version.clone().unwrap_or_else(own_version);
        let versions = [
            (Cluster::CONSUL_VERSION, Server::CONSUL_VERSION, spec.consul_version.to_string()),
            (Cluster::HOST_MANAGER_VERSION, Server::HOST_MANAGER_VERSION, host_manager.to_string()),
        ];
        let is_other = |name: &str, wanted: &str| {
            self.prior.get(name).as_str().is_some_and(|runs| runs != wanted)
        };
        let renewed = versions.iter().filter(|(name, _, wanted)| is_other(name, wanted));
        renewed.map(|(_, of_server, _)| *of_server).collect()
    }

    fn all_unknown(&mut self) {
        let names = [
            Cluster::SERVERS,
            Cluster::QUORUM,
            Cluster::AZURE_RESOURCES,
            Cluster::DRIFT,
            Cluster::VNET_NAME,
            Cluster::VNET_RESOURCE_GROUP_NAME,
            Cluster::STORAGE_ACCOUNT_NAME,
            Cluster::BLOB_CONTAINER_NAME,
            Cluster::CONSUL_CONFIG_FILE,
            Cluster::RETRY_JOIN,
            Cluster::CONSUL_PRIVATE_ENDPOINT_URL,
            Cluster::TAGS_ALL,
            Cluster::REQUIRED_OUTBOUND,
            Cluster::REQUIRED_ROLE_ASSIGNMENTS,
            Cluster::STORAGE_PRIVATE_ENDPOINT_IP_ADDRESS,
            Cluster::OUTBOUND_PUBLIC_IP_ADDRESS,
            ENDPOINT_URL,
        ];
        for name in names.into_iter().chain(UNKNOWN_ON_CREATE) {
            self.planned.set(name, Value::unknown());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {

    use super::*;
    use hcs_planner::spec::ExternalEndpoint;

    pub(crate) fn spec() -> ClusterSpec {
        ClusterSpec {
            zone_fallback: ZoneFallback::Prefer,
            vm_size_fallbacks: vec!["Standard_D2as_v5".into()],
            external_endpoint: Some(ExternalEndpoint {
                allowed_cidrs: vec!["203.0.113.0/24".parse().unwrap()],
            }),
            consul_version: semver::Version::new(1, 22, 2),
            ..ClusterSpec::new("00000000-0000-0000-0000-000000000001", "demo", "rg", "westeurope")
        }
    }

    #[test]
    fn an_import_restores_the_spec_exactly() {
        let spec = spec();
        let value = Cluster::of_spec(&spec, &Value::Null).into_value();
        let again =
            spec::spec_of(&value, &spec.subscription_id, &crate::tagging::Tagging::default())
                .unwrap();
        assert_eq!(again, spec);
    }

    #[test]
    fn every_input_is_restored_by_an_import() {
        let spec = ClusterSpec {
            ssh_public_key: Some("key".into()),
            min_consul_version: Some(semver::Version::new(1, 21, 5)),
            consul_server_config: Some("{}".to_owned()),
            ignore_maintenance_windows_for: Some(semver::Version::new(1, 22, 7)),
            final_snapshot_storage_container_id: Some("/container".to_owned()),
            restore_from_snapshot_id: Some("/container/blobs/x.snap".to_owned()),
            host_manager_version: Some(semver::Version::new(0, 1, 0)),
            zone_subnet_ids: [("1".to_owned(), hcs_planner::arm::ArmId::new("/subnet"))].into(),
            private_dns_zone_id: Some(hcs_planner::arm::ArmId::new("/zone")),
            disk_encryption_set_id: Some(hcs_planner::arm::ArmId::new("/set")),
            image_plan: Some(Box::new(hcs_planner::spec::ImagePlan {
                publisher: "p".into(),
                product: "o".into(),
                name: "s".into(),
            })),
            capacity_reservation_group_id: Some(hcs_planner::arm::ArmId::new("/group")),
            customer_managed_key: Some(Box::new(hcs_planner::customer_key::CustomerManagedKey {
                key_vault_id: hcs_planner::arm::ArmId::new("/vault"),
                key_name: "key".into(),
                key_version: None,
                user: hcs_planner::customer_key::KeyUser {
                    identity_id: hcs_planner::arm::ArmId::new("/user"),
                },
            })),
            identities: Some(hcs_planner::roles::Identities {
                shared_id: hcs_planner::arm::ArmId::new("/shared"),
                server_ids: vec![hcs_planner::arm::ArmId::new("/server")],
            }),
            artifact_source: Some(hcs_planner::spec::ArtifactSource {
                location: "/folder".into(),
                sha256: None,
            }),
            ..spec()
        };
        let restored = Cluster::of_spec(&spec, &Value::Null).into_value();
        let lost: Vec<String> = spec::inputs(&schema())
            .filter(|name| restored.get(name).is_null())
            .map(str::to_owned)
            .collect();
        // Of the two ways to a network a cluster has one, and of the two kinds of images.
        assert_eq!(lost, [Cluster::SOURCE_IMAGE_ID, Cluster::SUBNET_ID]);
    }

    #[test]
    fn a_protected_cluster_is_not_planned_away() {
        let prior = Value::object([("deletion_protection", Value::from(true))]);
        assert!(plan_destroy(&prior).diagnostics.has_errors());
        let prior = Value::object([("deletion_protection", Value::from(false))]);
        assert!(!plan_destroy(&prior).diagnostics.has_errors());
    }
}
