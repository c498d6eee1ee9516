//! Plans `hcs_cluster` from configuration, prior state and the region's offer only: core plans again inside apply, and
//! known values must come out the same, whatever Azure holds by then.

mod change;
mod checks;
mod inputs;
mod offer;

use std::sync::Arc;

use hcs_engine::arm::Arm;
use hcs_planner::desired::Desired;
use hcs_planner::desired::object;
use hcs_planner::names::Names;
use hcs_planner::placement;
use hcs_planner::spec::{ClusterSpec, ZoneFallback};
use tfplugin::{Context, Diagnostic, Diagnostics, Path, PlanRequest, PlanResponse, Value};

use super::{model, phase, state};
use crate::client::{Client, SharedClient};
use crate::regions::Region;
use change::Change;

/// Changing one of these makes another cluster: names and places of everything follow from them, and Azure moves
/// neither a network nor a region.
const REPLACES: [&str; 7] = [
    "name",
    "resource_group_name",
    "location",
    "managed_resource_group_name",
    "consul_datacenter",
    "vnet_cidr",
    "subnet_id",
];

/// Known only when the cluster is there. `certificates_expire_at` changes by itself: it keeps its prior value through
/// plan and apply, and only a read changes it.
const UNKNOWN_ON_CREATE: [&str; 5] =
    ["id", "vnet_id", "state", "consul_ca_file", "certificates_expire_at"];

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
    if prior.get("deletion_protection").as_bool() != Some(true) {
        return PlanResponse::new(Value::Null);
    }
    let name = prior.get("name").as_str().unwrap_or_default();
    let detail = format!(
        "deletion_protection is true for cluster {name:?}, so nothing is deleted. To destroy it, \
         set deletion_protection = false, apply, and destroy then."
    );
    let diagnostic = Diagnostic::error("Cluster is protected from deletion", detail);
    PlanResponse::failed(diagnostic.at("deletion_protection"))
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
        self.tags();
        let replace = self.replaced();
        self.computed(&replace).await;
        PlanResponse {
            planned: self.planned,
            requires_replace: replace,
            diagnostics: self.diagnostics,
            ..PlanResponse::default()
        }
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

    /// Everything that follows from the inputs, or unknown where an input is.
    async fn computed(&mut self, replace: &[Path]) {
        let is_new = self.is_create() || !replace.is_empty();
        let tags = self.client.default_tags.clone();
        let subscription = self.client.subscription_id().to_owned();
        let Ok(spec) = model::spec_of(&self.planned, &subscription, &tags) else {
            self.all_unknown();
            return;
        };
        let prior = model::spec_of(&self.prior, &subscription, &tags).ok();
        let prior = prior.filter(|_| !is_new);
        let change = self.change(prior.as_ref(), &spec);
        if prior.as_ref().is_none_or(|prior| prior.consul_version != spec.consul_version) {
            self.check_artifact(&spec);
        }
        self.check_peers(&spec).await;
        self.check_subnet(&spec, is_new).await;
        self.check_endpoint(&spec);
        self.check_offer(prior.as_ref(), &spec, &change).await;
        for sentence in placement::warnings(spec.server_count, &spec.zones) {
            self.warn("server_count", "The cluster survives less than it could", sentence);
        }
        self.tell(&spec, &change, is_new);
        let resources = state::desired_resources(&Desired::new(&spec));
        for (name, value) in state::derived(&spec) {
            self.planned.set(name, value);
        }
        if !is_new && !self.has_changes(&resources) {
            let kept = ["servers", "quorum", "azure_resources", "drift", ENDPOINT_URL];
            for name in UNKNOWN_ON_CREATE.iter().chain(&kept) {
                self.planned.set(*name, self.prior.get(name).clone());
            }
            return;
        }
        let places_known = spec.zone_fallback == ZoneFallback::Strict;
        self.planned.set("azure_resources", resources.clone());
        self.planned.set("drift", Value::list([]));
        let servers = self.servers(prior.as_ref(), &spec, &resources, &change, is_new);
        self.planned.set("servers", servers);
        let quorum = match (places_known, change.makes_servers()) {
            (true, _) => state::quorum(&spec),
            // The same servers keep their zones, and with them what the cluster survives.
            (false, false) if self.same("server_count") && self.same("zones") => {
                self.prior.get("quorum").clone()
            }
            (false, _) => {
                let survival = placement::survival(spec.server_count, &spec.zones);
                state::quorum_with(&survival, Value::unknown())
            }
        };
        self.planned.set("quorum", quorum);
        for name in UNKNOWN_ON_CREATE {
            let value = if is_new { Value::unknown() } else { self.prior.get(name).clone() };
            self.planned.set(name, value);
        }
        self.planned.set("state", Value::unknown());
        // What an interrupted create never learned, this run learns.
        for name in ["vnet_id", "consul_ca_file"] {
            if self.planned.get(name).is_null() {
                self.planned.set(name, Value::unknown());
            }
        }
        let url = match (&spec.external_endpoint, self.prior.get(ENDPOINT_URL)) {
            (None, _) => Value::Null,
            (Some(_), known) if !is_new && !known.is_null() => known.clone(),
            (Some(_), _) => Value::unknown(),
        };
        self.planned.set(ENDPOINT_URL, url);
    }

    /// Whether an apply would do anything.
    fn has_changes(&self, resources: &Value) -> bool {
        let inputs = model::INPUTS.iter().any(|name| !self.same(name));
        let drifted = self.prior.get("drift").as_list().is_some_and(|drift| !drift.is_empty());
        let converging = self.prior.get("state").as_str() == Some(phase::CONVERGING);
        inputs || drifted || converging || self.prior.get("azure_resources") != resources
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
            let [zone, physical_zone] = if places_known {
                state::zone_values(placement::zone_of(slot, &spec.zones), self.region.as_deref())
            } else {
                [Value::unknown(), Value::unknown()]
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
            ENDPOINT_URL,
        ];
        for name in names.into_iter().chain(UNKNOWN_ON_CREATE) {
            self.planned.set(name, Value::unknown());
        }
    }
}

#[cfg(test)]
pub(in crate::cluster) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use hcs_planner::spec::{ExternalEndpoint, ImageReference, LockLevel, defaults};

    pub(in crate::cluster) fn spec() -> ClusterSpec {
        ClusterSpec {
            subscription_id: "00000000-0000-0000-0000-000000000001".into(),
            name: "demo".into(),
            resource_group_name: "rg".into(),
            managed_resource_group_name: "rg-mrg-demo".into(),
            location: "westeurope".into(),
            consul_datacenter: "demo".into(),
            server_count: 3,
            zones: vec!["1".into(), "2".into(), "3".into()],
            zone_fallback: ZoneFallback::Prefer,
            vm_size: defaults::VM_SIZE.into(),
            vm_size_fallbacks: vec!["Standard_D2as_v5".into()],
            image: ImageReference::default(),
            os_disk_gib: 64,
            data_disk_gib: 32,
            ssh_public_key: None,
            vnet_cidr: Some(defaults::VNET_CIDR.parse().unwrap()),
            subnet_id: None,
            peer_vnet_ids: vec![],
            external_endpoint: Some(ExternalEndpoint {
                allowed_cidrs: vec!["203.0.113.0/24".parse().unwrap()],
            }),
            consul_version: semver::Version::new(1, 22, 2),
            artifact_source: None,
            lock: LockLevel::CanNotDelete,
            deletion_protection: false,
            tags: BTreeMap::new(),
        }
    }

    #[test]
    fn an_import_restores_the_spec_exactly() {
        let spec = spec();
        let value = Value::object(state::inputs(&spec, &BTreeMap::new()));
        let again = model::spec_of(&value, &spec.subscription_id, &BTreeMap::new()).unwrap();
        assert_eq!(again, spec);
    }

    #[test]
    fn every_input_takes_part_in_the_comparison() {
        let listed: Vec<&str> =
            state::inputs(&spec(), &BTreeMap::new()).into_iter().map(|(name, _)| name).collect();
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
