//! Scenarios: a cluster as it was declared, what happened to its world, and what is declared now.

mod changes;
mod events;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::customer_key::{CustomerManagedKey, KeyUser};
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::plan::{Plan, PlanError, plan};
use hcs_planner::reach::{OutboundType, StorageAccess, StorageZone};
use hcs_planner::rotation::Rotated;
use hcs_planner::spec::{ClusterSpec, ExternalEndpoint, LockLevel, ZoneFallback};
use serde_json::{Value, json};

use super::world::World;
use super::{peer, spec, with};

/// What happened to a world between two applies.
type Event = Box<dyn Fn(&mut World, &ClusterSpec)>;

/// One scenario; its golden has its name.
pub(crate) struct Scenario {
    /// File name of the golden.
    pub(crate) name: &'static str,
    /// What a reader sees first.
    pub(crate) title: &'static str,
    /// As it was declared; `None`: nothing is there.
    pub(crate) before: Option<ClusterSpec>,
    /// What happened since, in words and deeds.
    pub(crate) events: Vec<(&'static str, Event)>,
    /// As it is declared now.
    pub(crate) now: ClusterSpec,
}

impl Scenario {
    pub(crate) fn world(&self) -> World {
        let mut world = self.before.as_ref().map_or_else(World::empty, World::finished);
        let before = self.before.as_ref().unwrap_or(&self.now);
        for (_, event) in &self.events {
            event(&mut world, before);
        }
        world
    }

    pub(crate) fn observed(&self) -> Observed {
        self.world().observe(&self.now)
    }

    pub(crate) fn plan(&self) -> Result<Plan, PlanError> {
        plan(&self.now, &self.observed())
    }
}

struct Builder {
    scenarios: Vec<Scenario>,
}

impl Builder {
    fn add(
        &mut self,
        name: &'static str,
        title: &'static str,
        before: Option<ClusterSpec>,
        now: ClusterSpec,
    ) -> &mut Self {
        self.scenarios.push(Scenario { name, title, before, events: vec![], now });
        self
    }

    fn after(
        &mut self,
        words: &'static str,
        event: impl Fn(&mut World, &ClusterSpec) + 'static,
    ) -> &mut Self {
        self.scenarios.last_mut().unwrap().events.push((words, Box::new(event)));
        self
    }

    /// The spec stays as it was.
    fn kept(
        &mut self,
        name: &'static str,
        title: &'static str,
        spec: ClusterSpec,
        words: &'static str,
        event: impl Fn(&mut World, &ClusterSpec) + 'static,
    ) -> &mut Self {
        self.add(name, title, Some(spec.clone()), spec).after(words, event)
    }
}

/// Changes the body of an object.
fn edit(world: &mut World, id: &ArmId, change: impl FnOnce(&mut Value)) {
    change(world.objects.get_mut(&id.key()).expect("it is there"));
}

fn gone(world: &mut World, id: &ArmId) {
    assert!(world.objects.remove(&id.key()).is_some(), "{id} was there");
}

/// Somebody deleted a server's scale set.
pub(crate) fn kill(world: &mut World, spec: &ClusterSpec, slot: u32) {
    gone(world, &Names::new(spec).scale_set(slot));
    world.lose_machine(slot);
}

/// A run to this spec ended after the step with this id.
pub(crate) fn cut_after(to: ClusterSpec, step: &'static str) -> impl Fn(&mut World, &ClusterSpec) {
    move |world, _| {
        let plan = plan(&to, &world.observe(&to)).unwrap();
        let at = plan.steps().iter().position(|(_, s)| s.id == step);
        let at = at.unwrap_or_else(|| panic!("no step {step}"));
        world.run(&to, &plan, at + 1).unwrap();
    }
}

fn sized(size: &'static str) -> impl FnOnce(&mut ClusterSpec) {
    move |s| s.vm_size = size.into()
}

fn zones(list: &'static [&'static str]) -> impl FnOnce(&mut ClusterSpec) {
    move |s| s.zones = list.iter().map(|z| (*z).to_owned()).collect()
}

fn version(text: &'static str) -> impl FnOnce(&mut ClusterSpec) {
    move |s| s.consul_version = text.parse().unwrap()
}

fn endpoint(cidrs: &'static [&'static str]) -> impl FnOnce(&mut ClusterSpec) {
    move |s| {
        let allowed_cidrs = cidrs.iter().map(|c| c.parse().unwrap()).collect();
        s.external_endpoint = Some(ExternalEndpoint { allowed_cidrs });
    }
}

fn team(pairs: &'static [(&'static str, &'static str)]) -> impl FnOnce(&mut ClusterSpec) {
    move |s| s.tags = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn triggers(word: &'static str) -> impl FnOnce(&mut ClusterSpec) {
    move |s| s.rotation_triggers = Rotated::ALL.map(|what| (what, word.to_owned())).into()
}

/// A change of a spec.
pub(crate) type Way = fn(&mut ClusterSpec);

/// Ways out and to the account that a network of the cluster's own can have; the first is what is left out.
pub(crate) const WAYS: [Way; 9] = [
    |_| {},
    |_| {},
    without_outbound,
    private,
    closed,
    private_in_a_hubs_zone,
    own_subnet,
    own_subnets,
    other_subnets,
];

/// A key of a security team.
pub(crate) fn own_key() -> CustomerManagedKey {
    let keys = "/subscriptions/s/resourceGroups/keys/providers";
    CustomerManagedKey {
        key_vault_id: ArmId::new(format!("{keys}/Microsoft.KeyVault/vaults/consul")),
        key_name: "storage".into(),
        key_version: None,
        user: KeyUser {
            identity_id: ArmId::new(format!(
                "{keys}/Microsoft.ManagedIdentity/userAssignedIdentities/consul"
            )),
        },
    }
}

/// Nothing leaves the network.
fn without_outbound(s: &mut ClusterSpec) {
    s.outbound_type = OutboundType::None;
}

/// The account is in the servers' network, with a zone of the cluster's own.
fn private(s: &mut ClusterSpec) {
    s.storage_access = StorageAccess::PrivateEndpoint;
}

/// Both, and a policy tells the account's address.
fn closed(s: &mut ClusterSpec) {
    without_outbound(s);
    private(s);
    s.storage_zone = StorageZone::None;
}

/// The account's address stands in a zone that a hub keeps for everybody.
fn private_in_a_hubs_zone(s: &mut ClusterSpec) {
    private(s);
    let zone = "/subscriptions/00000000-0000-0000-0000-00000000000f/resourceGroups/hub/providers/\
                Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net";
    s.storage_zone = StorageZone::Existing(ArmId::new(zone));
}

/// As a corporate landing zone wants it.
fn corporate(s: &mut ClusterSpec) {
    own_subnet(s);
    private_in_a_hubs_zone(s);
    s.outbound_type = OutboundType::UserDefinedRouting;
}

fn own_subnet(s: &mut ClusterSpec) {
    s.vnet_cidr = None;
    s.peer_vnet_ids.clear();
    s.subnet_id = Some(peer("hub").child("subnets", "consul"));
}

/// And in subnets of zones, where there are.
fn own_subnets(s: &mut ClusterSpec) {
    own_subnet(s);
    in_zones(s, &[("1", "zone-1"), ("2", "zone-2")]);
}

/// Others of the same network.
fn other_subnets(s: &mut ClusterSpec) {
    own_subnet(s);
    in_zones(s, &[("2", "zone-1"), ("3", "zone-3")]);
}

fn in_zones(s: &mut ClusterSpec, subnets: &[(&str, &str)]) {
    let id = |name: &str| peer("hub").child("subnets", name);
    s.zone_subnet_ids = subnets.iter().map(|(zone, name)| ((*zone).to_owned(), id(name))).collect();
}

fn unlocked(s: &mut ClusterSpec) {
    s.lock = LockLevel::None;
}

fn prefers(s: &mut ClusterSpec) {
    s.zone_fallback = ZoneFallback::Prefer;
    s.vm_size_fallbacks = vec!["Standard_D2as_v5".into()];
}

/// A zone that a hub keeps for everybody.
pub(crate) fn shared_zone(s: &mut ClusterSpec) {
    let zone = "/subscriptions/00000000-0000-0000-0000-00000000000f/resourceGroups/hub/providers/\
                Microsoft.Network/privateDnsZones/corp.example";
    s.private_dns_zone_id = Some(ArmId::new(zone));
}

/// Another cluster's records in the same zone.
fn another_in_the_zone(world: &mut World, spec: &ClusterSpec) {
    let other = with(spec.clone(), |s| {
        s.name = "other".into();
        s.managed_resource_group_name = "rg-mrg-other".into();
    });
    let names = Names::new(&other);
    for label in ["consul", "server-0", "server-2"] {
        let id = names.dns_record(label);
        let metadata = json!({ "hcs-cluster": names.uid });
        let properties = json!({ "ttl": 30, "metadata": metadata });
        world.objects.insert(id.key(), json!({ "id": id, "properties": properties }));
    }
}

const LARGER: &str = "Standard_D4s_v5";

/// Every scenario that ends in a plan.
pub(crate) fn all() -> Vec<Scenario> {
    let mut b = Builder { scenarios: Vec::new() };
    changes::creating(&mut b);
    changes::scaling(&mut b);
    changes::rolling(&mut b);
    changes::moving(&mut b);
    changes::surroundings(&mut b);
    events::drifting(&mut b);
    events::resuming(&mut b);
    b.scenarios
}

/// Scenarios that are refused, with the words.
pub(crate) fn refused() -> Vec<Scenario> {
    let mut b = Builder { scenarios: Vec::new() };
    events::refused(&mut b);
    b.scenarios
}

/// What others put onto a cluster's objects.
pub(crate) fn policy(world: &mut World, spec: &ClusterSpec) {
    let names = Names::new(spec);
    for body in world.objects.values_mut() {
        if let Some(tags) = body.get_mut("tags").and_then(Value::as_object_mut) {
            tags.insert("cost-center".into(), json!("42"));
        }
    }
    if let Some(group) = world.objects.get_mut(&names.security_group().key()) {
        let rules = group["properties"]["securityRules"].as_array_mut().unwrap();
        rules.push(
            json!({ "name": "from-policy", "properties": { "priority": 200, "access": "Deny" } }),
        );
    }
    for slot in 0..spec.server_count {
        let Some(set) = world.objects.get_mut(&names.scale_set(slot).key()) else { continue };
        let identity = names.cluster_id.resource(Kind::Identity.resource_type(), "backup-agent");
        set["identity"]["userAssignedIdentities"][identity.as_str()] = json!({});
        set["properties"]["virtualMachineProfile"]["extensionProfile"] = json!({ "extensions": [{ "name": "AzureMonitorLinuxAgent", "properties": { "publisher": "Microsoft.Azure.Monitor" } }] });
    }
}
