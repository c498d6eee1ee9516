//! Unknown stays narrow, and what is called known comes out so.
//!
//! For every leaf that a configuration can set, the plan with the leaf unknown is held against plans with random values
//! of it. *Narrow*: what is unknown in the first is unknown or different in some two of the others. *Sound*: what is known
//! in the first is the same in all of the others, as core demands when it plans again. Nothing here knows which attribute
//! follows from which.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tfplugin::{Resource, Value};

use super::inputs::{
    Leaf, ONLY_VERSION, REGION, Step, a_key, a_plan, a_window, an_exclusion, gallery_image,
    identity, leaves, random, set, shown,
};
use super::{Random, cases};
use crate::testing::core::{Failure, Instance, Options, apply, plan};
use crate::testing::{Azure, Provider, demo, group_id};

/// Values of a plan by path; objects, lists and maps are entered.
fn flat(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    found.insert(path.to_owned(), value.clone());
    for (at, item) in value.as_list().unwrap_or_default().iter().enumerate() {
        flat(item, &format!("{path}.{at}"), found);
    }
    for (key, item) in value.as_map().into_iter().flatten() {
        flat(item, &format!("{path}.{key}"), found);
    }
}

/// What a leaf's trials came to.
#[derive(Default)]
struct Tally {
    leaves: usize,
    pairs: usize,
    unknowns: usize,
    faults: Vec<String>,
}

/// A configuration with the state that it led to, if it was applied.
struct Ground<'g> {
    name: &'g str,
    config: Value,
    instance: Instance,
    default_tags: Value,
}

/// Plans of one leaf; the provider is configured anew where the leaf is one of its own.
struct Trial<'t> {
    azure: &'t Azure,
    ground: &'t Ground<'t>,
    kind: fn(&Provider) -> Arc<dyn Resource>,
}

/// The provider's own tags among the leaves.
fn default_tags() -> Step {
    Step::Name("default_tags".to_owned())
}

impl Trial<'_> {
    async fn plan(&self, leaf: &Leaf, value: &Value) -> Result<Value, Failure> {
        self.plan_with(&[(leaf.clone(), value.clone())]).await
    }

    async fn plan_with(&self, values: &[(Leaf, Value)]) -> Result<Value, Failure> {
        let (mut config, mut tags) = (self.ground.config.clone(), self.ground.default_tags.clone());
        for (leaf, value) in values {
            if leaf[0] == default_tags() {
                tags = set(&tags, &leaf[1..], value);
            } else {
                config = set(&config, leaf, value);
            }
            // Without an endpoint nobody may call it.
            if shown(leaf) == "consul_external_endpoint" && value.as_bool() == Some(false) {
                config.set("consul_external_endpoint_allowed_cidrs", Value::Null);
            }
        }
        let provider = self.azure.provider(tags, None);
        let object = self.ground.instance.current.clone().unwrap_or_default();
        Ok(plan(&(self.kind)(&provider), &object.state, &[], &config).await?.planned)
    }

    /// Several leaves at once: what is promised while they are unknown comes out so.
    async fn run_together(&self, leaves: &[Leaf], random_numbers: &mut Random, tally: &mut Tally) {
        let unknown: Vec<_> = leaves.iter().map(|leaf| (leaf.clone(), Value::unknown())).collect();
        let Ok(planned) = self.plan_with(&unknown).await else { return };
        let mut open = BTreeMap::new();
        flat(&planned, "", &mut open);
        for _ in 0..cases(6) {
            let values: Vec<_> = leaves
                .iter()
                .filter_map(|leaf| Some((leaf.clone(), random(leaf, random_numbers)?)))
                .collect();
            let Ok(known) = self.plan_with(&values).await else { continue };
            tally.pairs += 1;
            let mut comes = BTreeMap::new();
            flat(&known, "", &mut comes);
            let all: Vec<String> = leaves.iter().map(shown).collect();
            for (path, value) in open.iter().filter(|(_, value)| {
                !value.is_unknown() && value.as_list().is_none() && value.as_map().is_none()
            }) {
                if comes.get(path) != Some(value)
                    && !path.starts_with(".consul_external_endpoint_allowed_cidrs")
                {
                    let comes = comes.get(path);
                    tally.faults.push(format!(
                        "{}: {}: {path} is promised as {value:?}, and comes out as {comes:?}",
                        self.ground.name,
                        all.join(" and ")
                    ));
                }
            }
        }
    }

    async fn run(&self, leaf: &Leaf, random_numbers: &mut Random, tally: &mut Tally) {
        let name = format!("{}: {}", self.ground.name, shown(leaf));
        tally.leaves += 1;
        let unknown = self.plan(leaf, &Value::unknown()).await;
        let mut open = BTreeMap::new();
        if let Ok(planned) = &unknown {
            flat(planned, "", &mut open);
        }
        let mut seen = Seen::new(&open);
        let mut refused = String::new();
        for tried in 0..cases(24) {
            // Half of them is enough where all that is unknown was seen to differ.
            if tried >= cases(12) && seen.plans.len() > 2 && seen.same.is_empty() && unknown.is_ok()
            {
                break;
            }
            let Some(value) = random(leaf, random_numbers) else {
                tally.faults.push(format!("{name}: the generator has no values for it"));
                return;
            };
            match self.plan(leaf, &value).await {
                Ok(planned) => seen.take(&planned),
                Err(Failure::Told(words)) => refused = words.join("; "),
                Err(Failure::Bug(bug)) => tally.faults.push(format!("{name}: {bug:?}")),
            }
        }
        // Beside identities it is one word, and without them the other.
        if shown(leaf) == "role_assignment_mode" {
            return;
        }
        let is_only =
            |plan: &Value| plan.get("host_manager_version").as_str() == Some(ONLY_VERSION);
        if shown(leaf) == "host_manager_version" && seen.plans.iter().all(is_only) {
            return;
        }
        if seen.plans.len() < 2 {
            tally.faults.push(format!("{name}: the generator cannot vary it ({refused})"));
            return;
        }
        tally.pairs += seen.plans.len() * (seen.plans.len() - 1) / 2;
        if let Err(failure) = unknown {
            tally.faults.push(format!("{name}: unknown is refused: {failure:?}"));
            return;
        }
        let is_left_out = |path: &str| {
            shown(leaf) == "consul_external_endpoint"
                && path.starts_with(".consul_external_endpoint_allowed_cidrs")
        };
        tally.unknowns += open.iter().filter(|(_, value)| value.is_unknown()).count();
        for path in seen.same.iter().filter(|path| !is_left_out(path)) {
            let value = seen.first.get(*path);
            tally.faults.push(format!("{name}: {path} is unknown, and {value:?} whatever comes"));
        }
        for (path, value, comes) in seen.broken.iter().filter(|(path, ..)| !is_left_out(path)) {
            tally.faults.push(format!(
                "{name}: {path} is promised as {value:?}, and comes out as {comes:?}"
            ));
        }
    }
}

/// What plans with a leaf known had, beside the plan with the leaf unknown.
struct Seen<'s> {
    promised: &'s BTreeMap<String, Value>,
    first: BTreeMap<String, Value>,
    plans: Vec<Value>,
    /// Unknown in the plan, and the same in all of the others.
    same: Vec<&'s str>,
    /// Known in the plan, and something else in another.
    broken: Vec<(&'s str, &'s Value, Option<Value>)>,
}

impl<'s> Seen<'s> {
    fn new(promised: &'s BTreeMap<String, Value>) -> Self {
        let unknown = promised.iter().filter(|(_, value)| value.is_unknown());
        Self {
            promised,
            first: BTreeMap::new(),
            plans: Vec::new(),
            same: unknown.map(|(path, _)| path.as_str()).collect(),
            broken: Vec::new(),
        }
    }

    fn take(&mut self, plan: &Value) {
        if self.plans.contains(plan) {
            return;
        }
        self.plans.push(plan.clone());
        let mut values = BTreeMap::new();
        flat(plan, "", &mut values);
        let whole = |value: Option<&Value>| value.is_none_or(Value::is_wholly_known);
        let first = if self.plans.len() == 1 { &values } else { &self.first };
        // Azure's own values are unknown in each plan.
        self.same.retain(|path| first.get(*path) == values.get(*path) && whole(values.get(*path)));
        // Inputs themselves are as configured; the leaf is another one each time.
        let leaf = |value: &Value| value.as_list().is_none() && value.as_map().is_none();
        for (path, value) in self.promised.iter().filter(|(_, value)| !value.is_unknown()) {
            if leaf(value) && values.get(path) != Some(value) {
                self.broken.push((path, value, values.get(path).cloned()));
            }
        }
        if self.plans.len() == 1 {
            self.first = values;
        }
    }
}

pub(super) async fn network(azure: &Azure, group: &str, name: &str, space: &str) {
    let id = group_id(group).resource("Microsoft.Network/virtualNetworks", name);
    let whole: ipnet::Ipv4Net = space.parse().unwrap();
    let half = |own: ipnet::Ipv4Net| own.subnets(own.prefix_len() + 1).unwrap().collect::<Vec<_>>();
    let (halves, quarters) = (half(whole), half(half(whole)[1]));
    let subnets = [("servers", halves[0]), ("zone-1", quarters[0]), ("zone-2", quarters[1])];
    let subnets = subnets.map(|(name, prefix)| {
        json!({ "name": name, "properties": { "addressPrefix": prefix.to_string() } })
    });
    let body = json!({ "location": REGION,
        "properties": { "addressSpace": { "addressPrefixes": [space] }, "subnets": subnets } });
    azure.put(&id, "2024-05-01", body).await;
}

/// Configurations from which a leaf is varied, each as a create and as a change of what it made.
async fn grounds(azure: &Azure) -> Vec<Ground<'static>> {
    azure.put(&group_id("rg-2"), "2024-07-01", json!({ "location": "westeurope" })).await;
    azure.register_encryption_at_host().await;
    for (group, name, space) in [
        ("rg", "peer-1", "10.250.1.0/24"),
        ("rg", "peer-2", "10.250.2.0/24"),
        ("rg", "own-1", "10.251.1.0/24"),
        ("rg", "own-2", "10.251.2.0/24"),
        ("rg-2", "own-3", "10.251.3.0/24"),
    ] {
        network(azure, group, name, space).await;
    }
    let plain = demo([("location", REGION.into()), ("consul_version", Value::from("1.21.5"))]);
    let rich = demo([
        ("location", Value::from(REGION)),
        ("zone_fallback", "prefer".into()),
        ("consul_external_endpoint", true.into()),
        ("consul_external_endpoint_allowed_cidrs", vec!["198.51.100.0/24".to_owned()].into()),
        ("tags", Value::map([("team", Value::from("blue"))])),
        ("consul_version", "1.21.5".into()),
        ("timeouts", Value::object([("create", Value::from("60m"))])),
    ]);
    let tags = Value::map([("env", Value::from("test"))]);
    let mut grounds = Vec::new();
    for (names, config, default_tags) in [
        (["create", "update"], plain, Value::Null),
        (["create of all", "update of all"], rich, tags),
    ] {
        grounds.push(Ground {
            name: names[0],
            config: config.clone(),
            instance: Instance::default(),
            default_tags: default_tags.clone(),
        });
        let resource = azure.provider(default_tags.clone(), None).cluster();
        let mut instance = Instance::default();
        apply(&resource, &mut instance, Some(&config), Options::default()).await.unwrap();
        let kept = instance.clone();
        apply(&resource, &mut instance, None, Options::default()).await.unwrap();
        grounds.push(Ground { name: names[1], config, instance: kept, default_tags });
    }
    // For roles that somebody else assigns beforehand.
    let version = hcs_planner::arm::Kind::Identity.api_version();
    for name in ["servers", "others"]
        .map(str::to_owned)
        .into_iter()
        .chain((0..10).map(|slot| format!("server-{slot}")))
    {
        let id = hcs_planner::arm::ArmId::new(identity(&name));
        azure.put(&id, version, json!({ "location": "westeurope" })).await;
    }
    azure.put(&Azure::cluster_id(), "2024-07-01", json!({ "location": "westeurope" })).await;
    grounds
}

const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN76zuqnjypL54/w4763l7q1Sn3IBYHptJ5wcYfEWkzb";

/// Roles of somebody else, to identities of theirs.
fn with_identities(config: &Value) -> Value {
    let ids: Vec<String> = (0..8).map(|slot| identity(&format!("server-{slot}"))).collect();
    let own = [("shared_id", Value::from(identity("servers"))), ("server_ids", ids.into())];
    config.clone().with("role_assignment_mode", "external").with("identities", Value::object(own))
}

/// Terraform reaches a private endpoint in a network that is there.
fn in_a_subnet(config: &Value) -> Value {
    let network = group_id("rg").resource("Microsoft.Network/virtualNetworks", "own-1");
    let subnet = network.child("subnets", "servers");
    config
        .clone()
        .with("vnet_cidr", Value::Null)
        .with("subnet_id", subnet.to_string())
        .with("peer_vnet_ids", Value::Null)
}

/// What a leaf needs beside it to be varied at all.
fn fitting(config: &Value, leaf: &Leaf) -> Value {
    let name = shown(leaf);
    let first = |text: &str| leaf.first() == Some(&Step::Name(text.to_owned()));
    match name.as_str() {
        _ if first("vm_size_fallbacks") && config.get("zone_fallback").is_null() => {
            config.clone().with("zone_fallback", "prefer")
        }
        // What goes with it is configured, or it could only ever be one thing.
        _ if first("ssh_allowed_cidrs") => config.clone().with("ssh_public_key", SSH_KEY),
        _ if first("consul_external_endpoint_allowed_cidrs") => {
            config.clone().with("consul_external_endpoint", true)
        }
        "consul_external_endpoint" => config
            .clone()
            .with("consul_external_endpoint_allowed_cidrs", vec!["198.51.100.0/24".to_owned()]),
        // Beside an image of the marketplace there is no other, and a purchase goes with one of both.
        _ if first("source_image_id") => config.clone().with("image", Value::Null),
        _ if first("image_plan") => {
            let of_gallery = config.clone().with("source_image_id", gallery_image("1.0.0"));
            let config = of_gallery.with("image", Value::Null);
            if leaf.len() > 1 { config.with("image_plan", a_plan("l1")) } else { config }
        }
        _ if first("capacity_reservation_group_id") => {
            config.clone().with("zone_fallback", Value::Null).with("vm_size_fallbacks", Value::Null)
        }
        _ if first("image") && leaf.len() > 1 => {
            let names = ["publisher", "offer", "sku", "version"];
            config.clone().with("image", Value::object(names.map(|name| (name, Value::from("i")))))
        }
        "artifact_source.sha256" => set(
            config,
            &[Step::Name("artifact_source".into()), Step::Name("location".into())],
            &Value::from(env!("CARGO_MANIFEST_DIR").to_owned() + "/Cargo.toml"),
        ),
        _ if first("maintenance_windows") && leaf.len() > 1 => {
            config.clone().with("maintenance_windows", Value::list([a_window()]))
        }
        _ if first("maintenance_exclusions") && leaf.len() > 1 => {
            config.clone().with("maintenance_exclusions", Value::list([an_exclusion()]))
        }
        // Beside an exact version there is neither.
        "consul_upgrade_channel" | "min_consul_version" => {
            config.clone().with("consul_version", Value::Null)
        }
        _ if first("identities") => with_identities(config),
        _ if first("customer_managed_key") && leaf.len() > 1 => {
            config.clone().with("customer_managed_key", a_key(&mut Random(1)))
        }
        "storage_access" => in_a_subnet(config),
        _ if first("zone_subnet_ids") => in_a_subnet(config),
        "storage_private_dns_zone_id" => {
            in_a_subnet(config).with("storage_access", "private_endpoint")
        }
        "zones.0" => config.clone().with("zones", vec!["2".to_owned()]),
        _ => config.clone(),
    }
}

fn all_leaves(kind: fn(&Provider) -> Arc<dyn Resource>, azure: &Azure) -> Vec<Leaf> {
    let schema = kind(&azure.provider(Value::Null, None)).schema();
    let mut found = Vec::new();
    leaves(&schema.block, &vec![], &mut found);
    found
}

async fn try_all(
    azure: &Azure,
    kind: fn(&Provider) -> Arc<dyn Resource>,
    grounds: &[Ground<'_>],
    leaves: &[Leaf],
    seed: u64,
) -> Tally {
    let (mut random_numbers, mut tally) = (Random(seed), Tally::default());
    for ground in grounds {
        for leaf in leaves {
            let config = fitting(&ground.config, leaf);
            let (instance, default_tags) = (ground.instance.clone(), ground.default_tags.clone());
            let ground = Ground { name: ground.name, config, instance, default_tags };
            let trial = Trial { azure, ground: &ground, kind };
            trial.run(leaf, &mut random_numbers, &mut tally).await;
        }
        for _ in 0..cases(24) {
            let some: Vec<Leaf> = (0..2 + random_numbers.below(2))
                .map(|_| random_numbers.pick(leaves).clone())
                .collect();
            // One within the other is the other.
            let is_apart =
                |at: usize| some.iter().skip(at + 1).all(|other| other[0] != some[at][0]);
            if (0..some.len()).all(is_apart) {
                // Of an element that is not whole nothing can be said.
                let elements = some.iter().filter(|leaf| leaf.len() > 2);
                let config =
                    elements.fold(ground.config.clone(), |config, leaf| fitting(&config, leaf));
                let (instance, default_tags) =
                    (ground.instance.clone(), ground.default_tags.clone());
                let ground = Ground { name: ground.name, config, instance, default_tags };
                let trial = Trial { azure, ground: &ground, kind };
                trial.run_together(&some, &mut random_numbers, &mut tally).await;
            }
        }
    }
    println!(
        "{} leaves, {} pairs of values, {} unknowns",
        tally.leaves, tally.pairs, tally.unknowns
    );
    assert!(tally.faults.is_empty(), "{} faults:\n{}", tally.faults.len(), tally.faults.join("\n"));
    tally
}

#[tokio::test(start_paused = true)]
async fn an_unknown_input_makes_unknown_what_follows_from_it_and_nothing_else() {
    let azure = Azure::new().await;
    let mut found = all_leaves(Provider::cluster, &azure);
    found.extend([vec![default_tags()], vec![default_tags(), Step::Name("k".to_owned())]]);
    let grounds = grounds(&azure).await;
    let tally = try_all(&azure, Provider::cluster, &grounds, &found, 20_261_127).await;
    assert!(tally.leaves >= 330 && tally.pairs >= 2_500, "{} {}", tally.leaves, tally.pairs);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_input_of_a_policy_stays_as_narrow() {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let cluster = demo([("location", REGION.into())]);
    apply(&provider.cluster(), &mut Instance::default(), Some(&cluster), Options::default())
        .await
        .unwrap();
    let id = Azure::cluster_id();
    let found = all_leaves(Provider::policy, &azure);
    let is_of_a_pattern = |leaf: &&Leaf| matches!(leaf.as_slice(), [Step::Name(name)] if name == "cron" || name == "time_zone");
    let of_a_pattern: Vec<Leaf> = found.iter().filter(is_of_a_pattern).cloned().collect();
    let others = found.iter().filter(|leaf| !is_of_a_pattern(leaf)).cloned().collect();
    let mut leaves = 0;
    for (when, name, found) in [("interval", "default", others), ("cron", "nightly", of_a_pattern)]
    {
        let value = if when == "cron" { "0 2 * * *" } else { "1h" };
        let config = Value::object([
            ("cluster_id", Value::from(id.as_str())),
            ("name", name.into()),
            (when, value.into()),
        ]);
        let mut instance = Instance::default();
        let applied =
            apply(&provider.policy(), &mut instance, Some(&config), Options::default()).await;
        applied.unwrap();
        let ground = |name, instance| Ground {
            name,
            config: config.clone(),
            instance,
            default_tags: Value::Null,
        };
        let grounds = [ground("create", Instance::default()), ground("update", instance)];
        leaves += try_all(&azure, Provider::policy, &grounds, &found, 7).await.leaves;
    }
    assert!(leaves >= 34, "{leaves}");
}

#[tokio::test]
async fn an_unknown_setting_of_the_connection_is_one_clear_error() {
    use tfplugin::{ConfigureRequest, Context, Provider as _};
    let provider = crate::provider::HcsProvider;
    let mut found = Vec::new();
    leaves(&provider.schema().block, &vec![], &mut found);
    let settings: Vec<Leaf> = found.into_iter().filter(|leaf| leaf[0] != default_tags()).collect();
    assert!(settings.len() >= 15, "{settings:?}");
    for leaf in settings {
        let config = set(&Value::Map(BTreeMap::new()), &leaf, &Value::unknown());
        let request = ConfigureRequest::new(config);
        let found = provider.configure(&Context::new(), request).await.diagnostics;
        let named: Leaf =
            leaf.iter().filter(|step| matches!(step, Step::Name(_))).cloned().collect();
        let name = shown(&named);
        assert_eq!(found.len(), 1, "{name}");
        let told = found.iter().next().unwrap();
        assert!(told.is_error() && told.detail.contains(&name), "{told:?}");
        assert_eq!(told.path.as_ref().map(ToString::to_string), Some(name));
    }
}
