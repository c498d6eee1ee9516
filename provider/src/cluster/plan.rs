//! Plans `hcs_cluster` from configuration, prior state and the region's offer only: core plans again inside apply, and
//! known values must come out the same, whatever Azure holds by then.

mod change;
mod checks;
mod inputs;
mod offer;
mod worlds;
mod zones_taken;

use std::sync::Arc;

use hcs_engine::arm::Arm;
use hcs_engine::error::EngineError;
use hcs_planner::desired::Desired;
use hcs_planner::desired::object;
use hcs_planner::names::Names;
use hcs_planner::placement;
use hcs_planner::spec::{ClusterSpec, ZoneFallback};
use tfplugin::{Context, Diagnostic, Diagnostics, Path, PlanRequest, PlanResponse, Value};

use super::model::REPLACES;
use super::{model, phase, state};
use crate::client::{Client, SharedClient};
use crate::leg;
use crate::regions::Region;
use change::Change;
use worlds::{World, common, worlds};

/// Known only when the cluster is there. `certificates_expire_at` changes by itself: it keeps its prior value through
/// plan and apply, and only a read changes it.
const UNKNOWN_ON_CREATE: [&str; 8] = [
    "id",
    "incarnation_id",
    "vnet_id",
    "state",
    "consul_ca_file",
    "certificates_expire_at",
    "image_version",
    "consul_private_endpoint_ip_address",
];
/// What an interrupted create may not have learned, and an update then learns.
const LEARNED_LATE: [&str; 6] = [
    "id",
    "incarnation_id",
    "vnet_id",
    "consul_ca_file",
    "image_version",
    "consul_private_endpoint_ip_address",
];

/// Known when the endpoint is there.
const ENDPOINT_URL: &str = "consul_external_endpoint_url";

pub(super) async fn plan(
    client: &SharedClient,
    ctx: &Context,
    request: PlanRequest,
) -> PlanResponse {
    if request.is_destroy() {
        return plan_destroy(&request.prior);
    }
    let client = match client.configured() {
        Ok(client) => client,
        Err(diagnostics) => return PlanResponse::failed(diagnostics),
    };
    let planner = Planner {
        arm: client.arm(&ctx.cancel),
        client,
        config: request.config,
        prior: request.prior,
        planned: request.proposed,
        diagnostics: Diagnostics::none(),
        region: None,
    };
    planner.run().await
}

fn plan_destroy(prior: &Value) -> PlanResponse {
    if is_protected(prior) {
        return PlanResponse::failed(crate::diagnostics::protected(prior, "this would destroy"));
    }
    PlanResponse { private: Some(leg::destroy()), ..PlanResponse::new(Value::Null) }
}

/// Whether the state forbids that the cluster goes. What the configuration says by now does not count: a change that
/// drops the protection and destroys at once would protect from nothing.
pub(super) fn is_protected(prior: &Value) -> bool {
    prior.get("deletion_protection").as_bool() == Some(true)
}

struct Planner {
    client: Arc<Client>,
    arm: Arm,
    config: Value,
    prior: Value,
    planned: Value,
    diagnostics: Diagnostics,
    region: Option<Arc<Region>>,
}

impl Planner {
    async fn run(mut self) -> PlanResponse {
        self.keep_spellings();
        self.names();
        self.location().await;
        self.defaults();
        self.zones().await;
        self.version();
        self.keep_meanings();
        let replace = self.replaced();
        self.guard(&replace);
        let is_new = self.is_create() || !replace.is_empty();
        self.computed(is_new).await;
        let private = if is_new { leg::create(&self.planned, &REPLACES) } else { leg::update() };
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
        REPLACES.iter().filter(|name| !self.same(name)).map(|name| Path::root(*name)).collect()
    }

    fn same(&self, name: &str) -> bool {
        self.prior.get(name) == self.planned.get(name)
    }

    /// Everything that follows from the inputs. Where some are unknown, it is planned in each of the worlds that they
    /// allow, and what is the same in all of them is known.
    async fn computed(&mut self, is_new: bool) {
        let tagging = self.client.tagging.clone();
        let subscription = self.client.subscription_id().to_owned();
        let prior = model::stored_spec_of(&self.prior, &subscription, &tagging).ok();
        let prior = prior.filter(|_| !is_new);
        let zone_lists = match &self.region {
            Some(region) if !self.configured("zones") => region.zone_lists(),
            _ => vec![],
        };
        let worlds = worlds(&self.planned, &self.prior, &tagging, &subscription, &zone_lists);
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
        if is_new {
            self.check_registrations().await;
        }
        self.check_peers(spec).await;
        self.check_subnet(spec, is_new).await;
        self.check_zones_taken(prior, spec).await;
        self.check_endpoint(spec);
        if prior.is_none_or(|prior| prior.tags != spec.tags) {
            self.check_tags(spec);
        }
        self.check_offer(prior, spec, change).await;
        for sentence in placement::warnings(spec.server_count, &spec.zones) {
            self.warn("server_count", "The cluster survives less than it could", sentence);
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
        if !is_new && !self.has_changes(inputs, &resources) {
            let kept = ["servers", "quorum", "azure_resources", "drift", ENDPOINT_URL];
            for name in UNKNOWN_ON_CREATE.iter().chain(&kept) {
                outcome.set(*name, self.prior.get(name).clone());
            }
            return outcome;
        }
        let places_known = spec.zone_fallback == ZoneFallback::Strict;
        let servers = self.servers(prior, spec, &resources, change, is_new);
        outcome.set("azure_resources", resources);
        outcome.set("drift", Value::list([]));
        outcome.set("servers", servers);
        let keeps = |name: &str| self.prior.get(name) == inputs.get(name);
        let quorum = match (places_known, change.makes_servers()) {
            (true, _) => state::quorum(spec),
            // The same servers keep their zones, and with them what the cluster survives.
            (false, false) if keeps("server_count") && keeps("zones") => {
                self.prior.get("quorum").clone()
            }
            (false, _) => {
                let survival = placement::survival(spec.server_count, &spec.zones);
                state::quorum_with(&survival, Value::unknown())
            }
        };
        outcome.set("quorum", quorum);
        for name in UNKNOWN_ON_CREATE {
            let known = self.prior.get(name);
            let is_late = known.is_null() && LEARNED_LATE.contains(&name);
            let value = if is_new || is_late { Value::unknown() } else { known.clone() };
            outcome.set(name, value);
        }
        outcome.set("state", Value::unknown());
        let url = match (&spec.external_endpoint, self.prior.get(ENDPOINT_URL)) {
            (None, _) => Value::Null,
            (Some(_), known) if !is_new && !known.is_null() => known.clone(),
            (Some(_), _) => Value::unknown(),
        };
        outcome.set(ENDPOINT_URL, url);
        outcome
    }

    /// Whether an apply would do anything.
    fn has_changes(&self, inputs: &Value, resources: &Value) -> bool {
        let mut names = model::INPUTS.iter().chain(&["timeouts"]);
        let differ = names.any(|name| self.prior.get(name) != inputs.get(name));
        let drifted = self.prior.get("drift").as_list().is_some_and(|drift| !drift.is_empty());
        let converging = self.prior.get("state").as_str() == Some(phase::CONVERGING);
        differ || drifted || converging || self.prior.get("azure_resources") != resources
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
        let prior = self.prior.get("servers").as_list().unwrap_or_default();
        let places_known = spec.zone_fallback == ZoneFallback::Strict;
        let is_whole = self.prior.get("state").as_str() != Some(phase::CONVERGING);
        // What somebody changed by hand since the last apply may make a server anew, too.
        let declared = prior_spec.map(|prior| state::desired_resources(&Desired::new(prior)));
        Value::list((0..spec.server_count).map(|slot| {
            let server = object::server(slot);
            let before = self.prior.get("azure_resources").get(&server);
            // What differs from its last declaration may be made anew, unless the whole change is known.
            let as_declared = declared.as_ref().is_some_and(|all| before == all.get(&server));
            let stays = !change.makes(slot)
                && !before.is_null()
                && ((is_whole && as_declared) || before == resources.get(&server));
            let known = prior
                .iter()
                .find(|server| server.get("slot").as_i64() == Some(i64::from(slot)))
                .filter(|known| !is_new && !known.get("private_ip").is_null());
            if let (Some(known), true) = (known, stays) {
                return known.clone();
            }
            let [zone, physical_zone] = match (places_known, self.region.as_deref()) {
                (true, Some(region)) => {
                    state::zone_values(placement::zone_of(slot, &spec.zones), Some(region))
                }
                // Which data centre is behind a zone only its region tells.
                (true, None) => {
                    let zone = placement::zone_of(slot, &spec.zones).map(str::to_owned);
                    let physical = zone.as_ref().map_or(Value::Null, |_| Value::unknown());
                    [Value::from(zone), physical]
                }
                (false, _) => [Value::unknown(), Value::unknown()],
            };
            let kept =
                |name: &str| known.map_or_else(Value::unknown, |known| known.get(name).clone());
            Value::object([
                ("name", Value::from(names.server(slot))),
                ("slot", Value::from(i64::from(slot))),
                ("zone", zone),
                ("physical_zone", physical_zone),
                ("vmss_id", kept("vmss_id")),
                ("private_ip", Value::unknown()),
                ("consul_version", kept("consul_version")),
            ])
        }))
    }

    fn all_unknown(&mut self) {
        let names = [
            "servers",
            "quorum",
            "azure_resources",
            "drift",
            "vnet_name",
            "vnet_resource_group_name",
            "storage_account_name",
            "blob_container_name",
            "consul_config_file",
            "retry_join",
            "consul_private_endpoint_url",
            "tags_all",
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
        let value = Value::object(state::inputs(&spec, &Value::Null));
        let again =
            model::spec_of(&value, &spec.subscription_id, &crate::tagging::Tagging::default())
                .unwrap();
        assert_eq!(again, spec);
    }

    #[test]
    fn every_input_takes_part_in_the_comparison() {
        let listed: Vec<&str> =
            state::inputs(&spec(), &Value::Null).into_iter().map(|(name, _)| name).collect();
        assert_eq!(listed, model::INPUTS);
    }

    #[test]
    fn a_protected_cluster_is_not_planned_away() {
        let prior = Value::object([("deletion_protection", Value::from(true))]);
        assert!(plan_destroy(&prior).diagnostics.has_errors());
        let prior = Value::object([("deletion_protection", Value::from(false))]);
        assert!(!plan_destroy(&prior).diagnostics.has_errors());
    }
}
