//! Laws that hold for every plan, each as a check of one planner on one case. A planner is a function, so that one with
//! a bug can be held against them, too.

use std::collections::{BTreeMap, BTreeSet};

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::desired::{Desired, object, place_in};
use hcs_planner::names::{CLUSTER_TAG, Names};
use hcs_planner::observed::Observed;
use hcs_planner::placement::{Place, zone_of};
use hcs_planner::plan::{
    Action, MAX_SLOTS, Plan, PlanError, Situation, Step, StepIndex, plan, verdict,
};
use hcs_planner::reference::has_reference;
use hcs_planner::render;
use hcs_planner::spec::{ClusterSpec, LockLevel, ZoneFallback};
use serde_json::Value;

use super::world::{Run, World, subnet_in};

/// Something that plans.
pub(crate) type PlanFn<'p> = dyn Fn(&ClusterSpec, &Observed) -> Result<Plan, PlanError> + 'p;

/// A declared cluster and the world in which it is planned.
pub(crate) struct Case {
    pub(crate) spec: ClusterSpec,
    pub(crate) world: World,
}

/// How much is tried.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Prefixes after which the plan is made again.
    pub(crate) prefixes: usize,
    /// Whether every single step is left out once.
    pub(crate) minimal: bool,
}

/// The whole of it.
pub(crate) const THOROUGH: Effort = Effort { prefixes: usize::MAX, minimal: true };

/// Ids of the steps.
pub(crate) fn ids(plan: &Plan) -> Vec<String> {
    plan.steps().iter().map(|(_, step)| step.id.clone()).collect()
}

/// The first law that the planner breaks on this case, in words; `None` when it keeps them all.
pub(crate) fn broken(planner: &PlanFn<'_>, case: &Case, effort: Effort) -> Option<String> {
    broken_law(planner, case, effort).err()
}

fn broken_law(planner: &PlanFn<'_>, case: &Case, effort: Effort) -> Result<(), String> {
    let observed = case.world.observe(&case.spec);
    let plan = planner(&case.spec, &observed).map_err(|error| format!("no plan: {error}"))?;
    same_bytes(planner, case, &observed, &plan)?;
    input_order(planner, case, &observed, &plan)?;
    safe(case, &observed, &plan)?;
    only_ours(case, &observed, &plan)?;
    ready_is_seen(case, &plan)?;
    let after = carried_out(planner, case, &plan)?;
    if effort.minimal {
        each_as_early_as_it_may(case, &plan)?;
    }
    ends_well(case, &after)?;
    for count in prefixes(plan.len(), effort.prefixes) {
        resumed(planner, case, &plan, count)?;
    }
    if effort.minimal {
        minimal(planner, case, &observed, &plan, &after)?;
    }
    Ok(())
}

fn ensure(law: &str, holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{law}: {}", why())) }
}

/// The same world gives the same bytes.
fn same_bytes(
    planner: &PlanFn<'_>,
    case: &Case,
    observed: &Observed,
    plan: &Plan,
) -> Result<(), String> {
    let bytes = |plan: &Plan| render::json(&case.spec, plan);
    let again = planner(&case.spec, observed).map_err(|error| format!("no plan: {error}"))?;
    ensure("same bytes", bytes(plan) == bytes(&again), || "two plans of one world".into())
}

/// The order of what ARM lists, and the case of its ids, do not matter.
fn input_order(
    planner: &PlanFn<'_>,
    case: &Case,
    observed: &Observed,
    plan: &Plan,
) -> Result<(), String> {
    fn turned(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.reverse();
                items.iter_mut().for_each(turned);
            }
            Value::Object(map) => map.values_mut().for_each(turned),
            Value::String(text) if text.starts_with("/subscriptions/") => {
                *text = text.replace("/resourceGroups/", "/resourcegroups/");
            }
            _ => {}
        }
    }
    let mut other = observed.clone();
    other.objects.values_mut().for_each(turned);
    let other = planner(&case.spec, &other).map_err(|error| format!("no plan: {error}"))?;
    ensure("input order", ids(plan) == ids(&other), || {
        format!("{:?} became {:?}", ids(plan), ids(&other))
    })
}

/// The verdict, looked at by somebody else than the planner.
fn safe(case: &Case, observed: &Observed, plan: &Plan) -> Result<(), String> {
    let situation = Situation::new(&case.spec, observed);
    let verdict = verdict(plan, &situation, &case.spec.zones);
    let first = verdict.violations.first();
    ensure("verdict", first.is_none(), || {
        first.map_or_else(String::new, |v| format!("{}: {}", v.step, v.reason))
    })
}

/// Keys of everything that this cluster has, had or may have.
fn ours(spec: &ClusterSpec, observed: &Observed) -> BTreeSet<String> {
    let names = Names::new(spec);
    let mut past = spec.clone();
    past.server_count = MAX_SLOTS;
    let mut ours: BTreeSet<String> =
        Desired::new(&past).objects.into_values().map(|o| o.key).collect();
    ours.extend([names.lock().key(), names.endpoint().key(), names.endpoint_ip().key()]);
    let group = names.cluster_id.key();
    for own in [
        "natgateways/demo-nat",
        "publicipaddresses/demo-nat-ip",
        "privateendpoints/demo-blob",
        "privateendpoints/demo-blob/privatednszonegroups/default",
        "privatednszones/privatelink.blob.core.windows.net",
        "privatednszones/privatelink.blob.core.windows.net/virtualnetworklinks/servers",
    ] {
        ours.insert(format!("{group}/providers/microsoft.network/{own}"));
    }
    if let Some(before) = &observed.stored_spec {
        ours.insert(Names::new(before).lock().key());
    }
    if let Some(stored) = &observed.stored_spec {
        for peer in &stored.peer_vnet_ids {
            ours.extend([names.peering_in(peer).key(), names.peering_out(peer).key()]);
        }
    }
    // Links of the cluster's own zone that carry its tag.
    let tag = format!("/tags/{CLUSTER_TAG}");
    let links = format!("{}/virtualnetworklinks/", names.dns_zone().key());
    let is_link = |(key, body): &(&String, &Value)| {
        let owner = body.pointer(&tag).and_then(Value::as_str);
        key.starts_with(&links) && owner == Some(names.uid.as_str())
    };
    ours.extend(observed.objects.iter().filter(is_link).map(|(key, _)| key.clone()));
    ours
}

/// Nothing is deleted or written that is not this cluster's.
fn only_ours(case: &Case, observed: &Observed, plan: &Plan) -> Result<(), String> {
    let names = Names::new(&case.spec);
    let ours = ours(&case.spec, observed);
    for (_, step) in plan.steps() {
        let (Action::Put { id, .. } | Action::Delete { id, .. }) = &step.action else { continue };
        ensure("only ours", ours.contains(&id.key()), || format!("{} touches {id}", step.id))?;
        let metadata = observed.object(id).and_then(|have| have.pointer("/properties/metadata"));
        let owner = metadata.and_then(|metadata| metadata.get(CLUSTER_TAG)?.as_str());
        ensure("only ours", owner.is_none_or(|owner| owner == names.uid), || {
            format!("{} touches what {owner:?} owns", step.id)
        })?;
        if let (Some(have), Action::Delete { kind, .. }) = (observed.object(id), &step.action) {
            let tag = have.pointer(&format!("/tags/{CLUSTER_TAG}")).and_then(Value::as_str);
            let ours = !kind.has_tags() || tag.is_none() || tag == Some(names.uid.as_str());
            ensure("only ours", ours, || format!("{} deletes what {tag:?} owns", step.id))?;
        }
    }
    Ok(())
}

/// A cluster is marked ready only after all its servers were seen, and after all that could disturb them.
fn ready_is_seen(case: &Case, plan: &Plan) -> Result<(), String> {
    let Some(ready) = plan.find("mark ready") else { return Ok(()) };
    let wanted: Vec<u32> = (0..case.spec.server_count).collect();
    let disturbs = |step: &Step| {
        matches!(
            step.action,
            Action::Put { kind: Kind::ScaleSet, .. }
                | Action::Delete { kind: Kind::ScaleSet, .. }
                | Action::Restart { .. }
        )
    };
    let sees = |index: StepIndex, step: &Step| {
        let Action::WaitHealthy { voters, consul_version } = &step.action else { return false };
        let slots: Vec<u32> = voters.iter().map(|voter| voter.slot).collect();
        slots == wanted
            && consul_version.as_ref() == Some(&case.spec.consul_version)
            && plan.waits_for(ready, index)
            && plan.steps().iter().all(|(at, step)| !disturbs(step) || plan.waits_for(index, *at))
    };
    let is_seen = plan.steps().iter().any(|(index, step)| sees(*index, step));
    ensure("ready is seen", is_seen, || "no wait for all servers after the last change".into())
}

/// Every order that the DAG allows ends in a world in which nothing is to do: by id, and against it.
fn carried_out(planner: &PlanFn<'_>, case: &Case, plan: &Plan) -> Result<World, String> {
    let mut world = case.world.clone();
    world
        .run(&case.spec, plan, usize::MAX)
        .map_err(|error| format!("it can be carried out: {error}"))?;
    nothing_left(planner, &case.spec, &world)?;
    let mut other = case.world.clone();
    let mut run = Run::new(&mut other, &case.spec);
    for step in backwards(plan) {
        run.carry_out(step).map_err(|error| format!("any order: {}: {error}", step.id))?;
    }
    nothing_left(planner, &case.spec, &other)?;
    ends_well(case, &other)?;
    Ok(world)
}

fn nothing_left(planner: &PlanFn<'_>, spec: &ClusterSpec, world: &World) -> Result<(), String> {
    let rest = planner(spec, &world.observe(spec)).map_err(|error| format!("no plan: {error}"))?;
    ensure("nothing is left", rest.is_empty(), || format!("{:?}", ids(&rest)))
}

/// Each step, right after all that it waits for and before everything else.
fn each_as_early_as_it_may(case: &Case, plan: &Plan) -> Result<(), String> {
    for (early, _) in plan.steps() {
        let mut world = case.world.clone();
        let mut run = Run::new(&mut world, &case.spec);
        let first = |index: StepIndex| index == early || plan.waits_for(early, index);
        let steps = plan.steps();
        let (before, after): (Vec<_>, Vec<_>) = steps.iter().partition(|(index, _)| first(*index));
        for (_, step) in before.into_iter().chain(after) {
            run.carry_out(step).map_err(|error| format!("any order: {}: {error}", step.id))?;
        }
    }
    Ok(())
}

/// Steps in an order that the DAG allows, the largest id first where it leaves a choice.
fn backwards(plan: &Plan) -> Vec<&Step> {
    let mut done: BTreeSet<StepIndex> = BTreeSet::new();
    let mut order = Vec::new();
    while order.len() < plan.len() {
        let next = plan.steps().into_iter().filter(|(index, _)| !done.contains(index));
        let ready = next.filter(|(index, _)| plan.needs(*index).iter().all(|n| done.contains(n)));
        let Some((index, step)) = ready.max_by(|a, b| a.1.id.cmp(&b.1.id)) else { break };
        done.insert(index);
        order.push(step);
    }
    order
}

/// The world afterwards is as it was declared, in what no plan could see, too.
fn ends_well(case: &Case, after: &World) -> Result<(), String> {
    subnets_of_zones(case, after)?;
    zones_in_turn(case, after)?;
    others_stay(case, after)?;
    let wanted: BTreeSet<String> =
        Desired::new(&case.spec).objects.into_values().map(|o| o.key).collect();
    let ours = ours(&case.spec, &case.world.observe(&case.spec));
    let extra = after.objects.keys().find(|key| ours.contains(*key) && !wanted.contains(*key));
    ensure("nothing stays behind", extra.is_none(), || format!("{extra:?}"))?;
    let stored = case.world.observe(&case.spec).stored_spec;
    let account = Names::new(&case.spec).storage_account().key();
    let before = case.world.objects.get(&account);
    let had_key = before
        .is_some_and(|body| body["properties"]["encryption"]["keySource"] == "Microsoft.Keyvault");
    // The worlds have no keys but those that a declaration brought.
    if had_key && case.spec.customer_managed_key.is_none() {
        let account = after.objects.get(&account);
        let own = account.map(|body| &body["properties"]["encryption"]);
        let is_azures = own.is_none_or(|own| {
            own["keySource"] == "Microsoft.Storage" && own["keyvaultproperties"].is_null()
        });
        ensure("nothing stays behind", is_azures, || format!("a key: {own:?}"))?;
    }
    let past = stored.into_iter().flat_map(|spec| spec.tags.into_keys());
    let past: Vec<String> = past.filter(|tag| !case.spec.tags.contains_key(tag)).collect();
    for body in after.objects.values() {
        let stale = past.iter().find(|tag| body["tags"].get(tag.as_str()).is_some());
        ensure("nothing stays behind", stale.is_none(), || format!("tag {stale:?}"))?;
    }
    let ways = after.wrong_ways(&case.spec);
    ensure("ways are as declared", ways.is_empty(), || ways.join("; "))?;
    let untruths = after.untruths(&case.spec);
    ensure("what is published is true", untruths.is_empty(), || untruths.join("; "))
}

/// A server is in the subnet that is declared for the zone where it is, or in that of all.
fn subnets_of_zones(case: &Case, after: &World) -> Result<(), String> {
    let names = Names::new(&case.spec);
    for slot in 0..case.spec.server_count {
        let Some(body) = after.objects.get(&names.scale_set(slot).key()) else { continue };
        let own = subnet_in(body).unwrap_or_default();
        let zone = body["zones"][0].as_str();
        let declared = zone.and_then(|zone| case.spec.zone_subnet_ids.get(zone)).cloned();
        let wanted = declared.unwrap_or_else(|| names.subnet());
        ensure("the subnet of its zone", ArmId::new(own) == wanted, || {
            format!("server {slot} in zone {zone:?} is in {own}")
        })?;
    }
    Ok(())
}

/// Slot `i` is in `zones[i mod Z]`.
fn zones_in_turn(case: &Case, after: &World) -> Result<(), String> {
    if case.spec.zone_fallback != ZoneFallback::Strict {
        return Ok(());
    }
    let names = Names::new(&case.spec);
    for slot in 0..case.spec.server_count {
        let body = after.objects.get(&names.scale_set(slot).key());
        let zone = body.and_then(|body| place_in(body).zone);
        let wanted = zone_of(slot, &case.spec.zones);
        ensure("zones in turn", zone.as_deref() == wanted, || {
            format!("server {slot} is in zone {zone:?}, not {wanted:?}")
        })?;
    }
    let wanted = case.spec.lock == LockLevel::CanNotDelete;
    let wanted: Vec<String> = wanted.then(|| names.lock().key()).into_iter().collect();
    let scope = names.cluster_id.key();
    let own = ["hcs-cannot-delete", "kept"]
        .map(|name| format!("{scope}/providers/microsoft.authorization/locks/{name}"));
    let locks: Vec<String> =
        own.into_iter().filter(|key| after.objects.contains_key(key)).collect();
    ensure("the lock", locks == wanted, || format!("afterwards these are there: {locks:?}"))
}

/// What people and policies put there is there afterwards, unless its object went.
fn others_stay(case: &Case, after: &World) -> Result<(), String> {
    let names = Names::new(&case.spec);
    for (key, before) in &case.world.objects {
        let Some(now) = after.objects.get(key) else {
            let id = ArmId::new(before["id"].as_str().unwrap_or_default());
            let tag = before.pointer(&format!("/tags/{CLUSTER_TAG}")).and_then(Value::as_str);
            let foreign = tag.is_some_and(|tag| tag != names.uid.as_str());
            ensure("others stay", !foreign, || format!("{id} is gone"))?;
            continue;
        };
        let unique = |body: &Value| body["properties"]["uniqueId"].clone();
        if unique(before) != unique(now) {
            continue;
        }
        for pointer in ["/tags/cost-center", "/properties/virtualMachineProfile/extensionProfile"] {
            let kept = before.pointer(pointer) == now.pointer(pointer);
            ensure("others stay", kept, || format!("{pointer} of {key}"))?;
        }
        let rules = |body: &Value| {
            let rules = body["properties"]["securityRules"].as_array().cloned().unwrap_or_default();
            rules.into_iter().filter(|rule| rule["name"] == "from-policy").count()
        };
        ensure("others stay", rules(before) == rules(now), || format!("a rule of {key}"))?;
    }
    Ok(())
}

fn prefixes(length: usize, most: usize) -> Vec<usize> {
    if length < 2 {
        return vec![];
    }
    let stride = (length - 1).div_ceil(most.max(1)).max(1);
    (1..length).step_by(stride).collect()
}

/// A plan that was cut off is finished by the next, and neither writes an object again that the first one has made,
/// nor one that the whole would not have.
fn resumed(planner: &PlanFn<'_>, case: &Case, plan: &Plan, count: usize) -> Result<(), String> {
    let law = |text: String| format!("cut off after {count} steps: {text}");
    let mut world = case.world.clone();
    world.writes.clear();
    world.run(&case.spec, plan, count).map_err(law)?;
    let first = world.writes.clone();
    let rest = planner(&case.spec, &world.observe(&case.spec))
        .map_err(|error| law(format!("no plan: {error}")))?;
    let observed = world.observe(&case.spec);
    safe(case, &observed, &rest).map_err(law)?;
    world.run(&case.spec, &rest, usize::MAX).map_err(law)?;
    nothing_left(planner, &case.spec, &world).map_err(law)?;
    ends_well(case, &world).map_err(law)?;
    let mut whole = case.world.clone();
    whole.writes.clear();
    whole.run(&case.spec, plan, usize::MAX).map_err(law)?;
    let twice = world.writes.iter().find(|(key, times)| {
        let allowed = whole.writes.get(*key).copied().unwrap_or(0);
        **times > allowed && !may_be_repeated(case, key, &first)
    });
    ensure("the rest", twice.is_none(), || law(format!("{twice:?} was written too often")))
}

/// An address book is written before and after a server moves, so a run that is cut off in between writes it once more;
/// a helper that is missing then is made.
fn may_be_repeated(case: &Case, key: &str, _: &BTreeMap<String, u32>) -> bool {
    let names = Names::new(&case.spec);
    let desired = Desired::new(&case.spec);
    let books = [object::DNS_RECORD, object::ENDPOINT];
    let is_book = books.iter().any(|book| desired.objects.get(*book).is_some_and(|o| o.key == key));
    let slots = case.spec.server_count..MAX_SLOTS;
    let of_helper = |slot: u32| {
        let end = format!("-{slot}");
        key == names.scale_set(slot).key()
            || key == names.server_identity(slot).key()
            || key.ends_with(&format!("secrets{end}"))
            || key.ends_with(&format!("status{end}"))
            || key.contains(&format!("secrets{end}/"))
            || key.contains(&format!("status{end}/"))
    };
    is_book || key == names.lock().key() || slots.into_iter().any(of_helper)
}

/// No step can be left out: without it the plan cannot be carried out, is not safe, or leaves something to do.
///
/// A spec with fallbacks is content with a server at any of its places; the plan is what brings it to the declared one.
fn minimal(
    planner: &PlanFn<'_>,
    case: &Case,
    observed: &Observed,
    plan: &Plan,
    after: &World,
) -> Result<(), String> {
    let places = |world: &World| -> Vec<Option<Place>> {
        let sets = (0..case.spec.server_count).map(|slot| Names::new(&case.spec).scale_set(slot));
        sets.map(|set| world.objects.get(&set.key()).map(place_in)).collect()
    };
    for (index, step) in plan.steps() {
        let without = left_out(plan, index);
        let does_it = |plan: &Plan| -> Result<(), String> {
            safe(case, observed, plan)?;
            ready_is_seen(case, plan)?;
            let mut world = case.world.clone();
            world.run(&case.spec, plan, usize::MAX)?;
            nothing_left(planner, &case.spec, &world)?;
            ensure("same places", places(&world) == places(after), || "another place".into())?;
            ends_well(case, &world)
        };
        // Blobs cannot be seen while planning: a program or a secret may be there already, and is kept then.
        let may_be_there =
            matches!(step.action, Action::MintSecret { .. } | Action::UploadArtifact { .. });
        let is_needed = may_be_there || changes_nothing(case, plan, index);
        ensure("minimal", is_needed || does_it(&without).is_err(), || {
            format!("{} can be left out", step.id)
        })?;
    }
    Ok(())
}

/// Whether a write turns out to change nothing, because what it holds is read on the way and is as it was.
fn changes_nothing(case: &Case, plan: &Plan, index: StepIndex) -> bool {
    let Some(Action::Put { id, body, .. }) = plan.step(index).map(|step| &step.action) else {
        return false;
    };
    if !has_reference(body) {
        return false;
    }
    // An address that no record tells is read first, and what lists all of them is written before anybody moves.
    let names = Names::new(&case.spec);
    let is_book = *id == names.dns_record("consul") || *id == names.endpoint();
    let known = case.world.observe(&case.spec).addresses;
    if is_book && (0..case.spec.server_count).any(|slot| !known.contains_key(&slot)) {
        return true;
    }
    let mut world = case.world.clone();
    let mut run = Run::new(&mut world, &case.spec);
    for (at, step) in plan.steps() {
        let before = run.body(id);
        run.carry_out(step).unwrap();
        if at == index {
            return before == run.body(id);
        }
    }
    false
}

/// The plan without one step; who waited for it waits for what it waited for.
pub(crate) fn left_out(plan: &Plan, gone: StepIndex) -> Plan {
    let steps = plan.steps();
    let place: BTreeMap<StepIndex, usize> = steps
        .iter()
        .filter(|(index, _)| *index != gone)
        .enumerate()
        .map(|(at, (index, _))| (*index, at))
        .collect();
    let mut edges = Vec::new();
    for (later, at) in &place {
        for (earlier, before) in &place {
            if plan.waits_for(*later, *earlier) {
                edges.push((*before, *at));
            }
        }
    }
    let kept = steps.iter().filter(|(index, _)| *index != gone).map(|(_, step)| (*step).clone());
    Plan::new(kept.collect(), edges).unwrap()
}

/// The true planner.
pub(crate) fn honest(spec: &ClusterSpec, observed: &Observed) -> Result<Plan, PlanError> {
    plan(spec, observed)
}
