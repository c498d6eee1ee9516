//! Laws that hold for every plan. `HCS_CASES` sets how many worlds are tried: 1,000,000 in the long run, see
//! `cargo xtask sim laws`.

use std::collections::BTreeMap;

use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::laws::{Case, Effort, THOROUGH, broken, honest, ids};
use crate::support::scenarios;
use crate::support::world::World;
use crate::support::{peer, spec, with};
use hcs_planner::arm::ArmId;
use hcs_planner::disks::HostEncryption;
use hcs_planner::names::Names;
use hcs_planner::rotation::Rotated;
use hcs_planner::spec::{ClusterSpec, ExternalEndpoint, ImagePlan, LockLevel, ZoneFallback};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

// Half of the time of the laws was glibc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [&str; 3] = ["Standard_D2s_v5", "Standard_D4s_v5", "Standard_D2as_v5"];

const GALLERY_IMAGES: &str = "/subscriptions/s/resourceGroups/images/providers/Microsoft.Compute/galleries/gold/images/ubuntu/versions";
const RESERVATIONS: &str = "/subscriptions/s/resourceGroups/room/providers/Microsoft.Compute/capacityReservationGroups/consul";
const ENCRYPTION_SET: &str =
    "/subscriptions/s/resourceGroups/keys/providers/Microsoft.Compute/diskEncryptionSets/consul";

/// Everything that a user can declare, in small numbers.
fn specs() -> impl Strategy<Value = ClusterSpec> {
    let servers = prop_oneof![3 => Just(1_u32), 4 => Just(3), 2 => Just(5), 1 => Just(7)];
    let zones = prop::sample::select(vec![
        vec![],
        vec!["1"],
        vec!["1", "2"],
        vec!["1", "2", "3"],
        vec!["1", "2", "3"],
        vec!["3", "1", "2"],
        vec!["1", "2", "3", "4"],
    ]);
    let tags = prop::collection::btree_map("[a-c]", "[x-z]", 0..3);
    let fallback = prop_oneof![
        4 => Just(ZoneFallback::Strict),
        1 => Just(ZoneFallback::Prefer),
        1 => Just(ZoneFallback::BestEffort)
    ];
    // Of the marketplace, or of a gallery: one of two versions, bought or not; in reserved room or not.
    let origin = (0_u32..=3, any::<bool>(), any::<bool>());
    let machine =
        (prop::sample::select(SIZES.to_vec()), 0_u32..=1, 0_u32..=1, any::<bool>(), origin);
    let ways = prop::sample::select(scenarios::WAYS.to_vec());
    let around = (0_u32..=2, 0_usize..=2, 0_usize..=2, any::<bool>(), any::<bool>(), ways);
    let secret = prop::sample::select(Rotated::ALL.to_vec());
    let triggers = prop_oneof![
        2 => Just(BTreeMap::new()),
        1 => prop::collection::btree_map(secret, "[p-q]", 1..4)
    ];
    (servers, zones, tags, fallback, machine, around, triggers).prop_map(
        |(
            servers,
            zones,
            tags,
            fallback,
            (size, os, data, image, (version, bought, reserved)),
            (locked, peers, callers, newer, has_shared_zone, way),
            triggers,
        )| {
            with(spec(servers, 3), |s| {
                s.zones = zones.into_iter().map(str::to_owned).collect();
                s.tags = tags;
                s.zone_fallback = fallback;
                if fallback != ZoneFallback::Strict {
                    s.vm_size_fallbacks = vec![SIZES[1].to_owned()];
                }
                size.clone_into(&mut s.vm_size);
                s.os_disk_gib = 64 << os;
                s.data_disk_gib = 32 << data;
                s.host_encryption =
                    if data == 1 { HostEncryption::On } else { HostEncryption::Off };
                s.customer_managed_key =
                    (data == 1 && os == 0).then(scenarios::own_key).map(Box::new);
                s.disk_encryption_set_id = (os == 1).then(|| ArmId::new(ENCRYPTION_SET));
                if image {
                    s.image.version = "24.04.202611010".into();
                }
                if version < 2 {
                    s.source_image_id = Some(ArmId::new(format!("{GALLERY_IMAGES}/1.{version}.0")));
                    s.image_plan = bought.then(|| {
                        let (publisher, product, name) = ("p".into(), "o".into(), "n".into());
                        Box::new(ImagePlan { publisher, product, name })
                    });
                }
                let is_strict = fallback == ZoneFallback::Strict && !s.zones.is_empty();
                s.capacity_reservation_group_id =
                    (reserved && is_strict).then(|| ArmId::new(RESERVATIONS));
                s.lock = if locked > 0 { LockLevel::CanNotDelete } else { LockLevel::None };
                if locked == 2 {
                    s.lock_name = "kept".into();
                }
                s.peer_vnet_ids = (0..peers).map(|n| peer(&format!("hub-{n}"))).collect();
                let cidrs = ["203.0.113.0/24", "198.51.100.7/32"];
                s.external_endpoint = (callers > 0).then(|| ExternalEndpoint {
                    allowed_cidrs: cidrs[..callers].iter().map(|c| c.parse().unwrap()).collect(),
                });
                if has_shared_zone {
                    scenarios::shared_zone(s);
                }
                way(s);
                s.rotation_triggers = triggers;
                s.consul_version = if newer { "1.22.2" } else { "1.21.5" }.parse().unwrap();
            })
        },
    )
}

/// What may happen to a world between two applies.
#[derive(Clone, Debug)]
enum Event {
    Policy,
    DeletedServer(u32),
    Died(u32),
    DeletedLock,
    DeletedRecord(u32),
    ChangedRule,
    ChangedSize(u32),
    Failed(u32),
    Running(u32),
    Leads(u32),
    Asked(u32),
    CutOff(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        Just(Event::Policy),
        (0_u32..7).prop_map(Event::DeletedServer),
        (0_u32..7).prop_map(Event::Died),
        Just(Event::DeletedLock),
        (0_u32..7).prop_map(Event::DeletedRecord),
        Just(Event::ChangedRule),
        (0_u32..7).prop_map(Event::ChangedSize),
        (0_u32..7).prop_map(Event::Failed),
        (0_u32..7).prop_map(Event::Running),
        (0_u32..7).prop_map(Event::Leads),
        (0_u32..7).prop_map(Event::Asked),
        (0_usize..120).prop_map(Event::CutOff),
    ];
    prop::collection::vec(event, 0..3)
}

/// A cluster that was declared one way, or not at all, what happened to it, and how it is declared now.
fn cases() -> impl Strategy<Value = Case> {
    let before = prop_oneof![4 => specs().prop_map(Some), 1 => Just(None)];
    // Most changes are small: a few properties of the first spec, not all.
    let change = (specs(), any::<[bool; 9]>());
    (before, change, events()).prop_map(|(before, (other, takes), events)| {
        let mut now = before.clone().unwrap_or_else(|| other.clone());
        let [count, zones, size, disks, image, tags, peers, around, version] = takes;
        if count {
            now.server_count = other.server_count;
        }
        if zones && (now.capacity_reservation_group_id.is_none() || !other.zones.is_empty()) {
            now.zones = other.zones;
        }
        if zones && now.subnet_id.is_some() && other.subnet_id.is_some() {
            now.zone_subnet_ids = other.zone_subnet_ids;
        }
        if size
            && (now.capacity_reservation_group_id.is_none()
                || other.zone_fallback == ZoneFallback::Strict)
        {
            now.vm_size = other.vm_size;
            now.zone_fallback = other.zone_fallback;
            now.vm_size_fallbacks = other.vm_size_fallbacks;
        }
        if disks {
            (now.os_disk_gib, now.data_disk_gib) = (other.os_disk_gib, other.data_disk_gib);
            now.host_encryption = other.host_encryption;
            now.customer_managed_key = other.customer_managed_key;
            now.disk_encryption_set_id = other.disk_encryption_set_id;
        }
        if image {
            now.image = other.image;
            now.source_image_id = other.source_image_id;
            now.image_plan = other.image_plan;
            now.capacity_reservation_group_id = other
                .capacity_reservation_group_id
                .filter(|_| now.zone_fallback == ZoneFallback::Strict && !now.zones.is_empty());
        }
        if tags {
            now.tags = other.tags;
        }
        if peers && now.subnet_id.is_none() {
            now.peer_vnet_ids = other.peer_vnet_ids;
        }
        if around {
            (now.lock, now.external_endpoint) = (other.lock, other.external_endpoint);
        }
        if version && other.consul_version > now.consul_version {
            now.consul_version = other.consul_version;
        }
        // Names do not move.
        if let Some(before) = &before {
            now.private_dns_zone_id.clone_from(&before.private_dns_zone_id);
        }
        let mut world = before.as_ref().map_or_else(World::empty, World::finished);
        let declared = before.as_ref().unwrap_or(&now);
        for event in events {
            happen(&mut world, declared, &now, &event);
        }
        Case { spec: now, world }
    })
}

fn small_cases() -> impl Strategy<Value = Case> {
    cases().prop_filter("small", |case| case.spec.server_count <= 3)
}

fn happen(world: &mut World, declared: &ClusterSpec, now: &ClusterSpec, event: &Event) {
    let names = Names::new(declared);
    let set = |slot: u32| names.scale_set(slot % declared.server_count);
    let mut edit = |id: &ArmId, pointer: &str, value: serde_json::Value| {
        if let Some(place) = world.objects.get_mut(&id.key()).and_then(|b| b.pointer_mut(pointer)) {
            *place = value;
        }
    };
    match event {
        Event::Policy => scenarios::policy(world, declared),
        // One at a time: a cluster that lost its quorum is not mended by plans.
        Event::DeletedServer(slot) if declared.server_count > 1 => {
            let slot = slot % declared.server_count;
            if world.is_whole(declared.server_count)
                && world.asked.is_empty()
                && world.objects.contains_key(&names.scale_set(slot).key())
            {
                scenarios::kill(world, declared, slot);
            }
        }
        Event::Died(slot) if declared.server_count > 1 => {
            let slot = slot % declared.server_count;
            if world.is_whole(declared.server_count) && world.asked.is_empty() {
                world.die(slot);
            }
        }
        Event::DeletedServer(_) | Event::Died(_) => {}
        Event::DeletedLock => {
            world.objects.remove(&names.lock().key());
        }
        Event::DeletedRecord(slot) => {
            let record = names.dns_record(&format!("server-{}", slot % declared.server_count));
            world.objects.remove(&record.key());
        }
        Event::ChangedRule => {
            let rule = "/properties/securityRules/0/properties/access";
            edit(&names.security_group(), rule, json!("Deny"));
        }
        Event::ChangedSize(slot) => edit(&set(*slot), "/sku/name", json!("Standard_B1s")),
        Event::Failed(slot) => edit(&set(*slot), "/properties/provisioningState", json!("Failed")),
        Event::Running(slot) => {
            edit(&set(*slot), "/properties/provisioningState", json!("Updating"));
        }
        Event::Leads(slot) => world.leader = *slot,
        // By a run that was killed right after it asked.
        Event::Asked(slot) if declared.server_count > 1 => {
            let slot = slot % declared.server_count;
            let whole = world.is_whole(declared.server_count);
            let exists = world.objects.contains_key(&names.scale_set(slot).key());
            if whole && exists && world.asked.is_empty() {
                world.ask(declared, slot);
            }
        }
        Event::Asked(_) => {}
        Event::CutOff(count) => {
            if let Ok(plan) = honest(now, &world.observe(now)) {
                // What a run that dies has done is what counts, whatever stood in its way.
                let _ = world.run(now, &plan, *count);
            }
        }
    }
}

/// Worlds that are made from one random sequence.
const SHARD: u32 = 500;

/// Holds the laws against so many worlds. They come in shards with a random sequence each, which the processors share:
/// the same seed gives the same worlds on every machine.
fn check<S: Strategy<Value = Case>>(count: u32, effort: Effort, strategy: fn() -> S) {
    let seed = std::env::var("HCS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    let next = AtomicU32::new(0);
    let work = || {
        loop {
            let shard = next.fetch_add(1, Ordering::Relaxed);
            let left = count.saturating_sub(shard.saturating_mul(SHARD));
            if left == 0 {
                return;
            }
            check_shard(seed, shard, left.min(SHARD), effort, &strategy());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

fn check_shard(
    seed: u64,
    shard: u32,
    cases: u32,
    effort: Effort,
    strategy: &impl Strategy<Value = Case>,
) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut bytes = [0_u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&shard.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, random);
    let outcome = runner.run(strategy, |case| match broken(&honest, &case, effort) {
        None => Ok(()),
        Some(law) => Err(TestCaseError::fail(law)),
    });
    if let Err(error) = outcome {
        let text: String = error.to_string().chars().take(3000).collect();
        panic!("seed {seed}, shard {shard}: {text}");
    }
}

fn count(default: u32) -> u32 {
    std::env::var("HCS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let observed = self.world.observe(&self.spec);
        let stored = observed.stored_spec.map(|spec| json!(spec).to_string());
        let steps = honest(&self.spec, &self.world.observe(&self.spec)).map(|plan| ids(&plan));
        let raft = &self.world.raft;
        write!(f, "stored {stored:?}\nnow {}\nraft {raft:?}\nplan {steps:?}", json!(self.spec))
    }
}

#[test]
fn every_plan_keeps_the_laws() {
    check(count(256), Effort { prefixes: 2, minimal: false }, cases);
}

#[test]
fn small_plans_keep_every_law_at_every_prefix_and_without_any_step() {
    check(count(256).div_ceil(16), Effort { prefixes: 12, minimal: true }, small_cases);
}

#[test]
fn every_scenario_keeps_every_law() {
    for scenario in scenarios::all() {
        let case = Case { spec: scenario.now.clone(), world: scenario.world() };
        let law = broken(&honest, &case, THOROUGH);
        assert_eq!(law, None, "{}", scenario.name);
    }
}

#[test]
fn growing_and_shrinking_back_is_no_change() {
    for zones in 0..=4 {
        let (small, large) = (spec(3, zones), spec(5, zones));
        let start = World::finished(&small);
        let grow = honest(&large, &start.observe(&large)).unwrap();
        let mut world = start.clone();
        world.run(&large, &grow, usize::MAX).unwrap();
        let shrink = honest(&small, &world.observe(&small)).unwrap();
        world.run(&small, &shrink, usize::MAX).unwrap();
        let keys = |world: &World| world.objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&start), keys(&world));
        for plan in [&grow, &shrink] {
            for slot in 0..3 {
                assert!(!ids(plan).iter().any(|id| id.ends_with(&format!(" server_{slot}"))));
            }
        }
    }
}
