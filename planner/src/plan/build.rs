//! Diff of desired and observed, turned into steps and edges.

mod addresses;
mod adoption;
mod balancers;
mod data;
pub(crate) mod look;
pub(in crate::plan) mod obstacles;
mod order;
mod orphans;
mod puts;
mod rolling;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::graph::{Draft, StepRef};
use super::verdict::{Violation, count, verdict};
use super::{Action, Plan, PlanError, Situation, Voter};
use crate::desired::{Desired, DesiredObject, is_closed, object};
use crate::diff::Difference;
use crate::effect::Effect;
use crate::names::Names;
use crate::observed::Observed;
use crate::placement::tolerance;
use crate::reference::point;
use crate::spec::ClusterSpec;

use look::{Found, Look};

/// Slots that a cluster can ever have had: seven servers, and room for helpers while servers are made anew.
pub const MAX_SLOTS: u32 = 9;

const WRITE_SPEC: &str = "write spec";
const WRITE_DOCUMENT: &str = "write cluster document";
const MARK_READY: &str = "mark ready";
const WAIT_HEALTHY: &str = "wait until healthy";
const RESTORE: &str = "restore snapshot";
const WAIT_HEALTHY_AGAIN: &str = "wait until healthy with the restored state";

/// Steps from `observed` to what `spec` declares. Pure and deterministic; empty when nothing is to do.
pub fn plan(spec: &ClusterSpec, observed: &Observed) -> Result<Plan, PlanError> {
    match observed.moved_on(spec) {
        Some(spec) => planned(&spec, observed),
        None => planned(spec, observed),
    }
}

fn planned(spec: &ClusterSpec, observed: &Observed) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(spec, observed);
    planner.check_adoption()?;
    planner.check_secrets()?;
    planner.check_peers()?;
    planner.check_identities()?;
    planner.check_records()?;
    let mut servers = planner.servers()?;
    servers.helper = planner.bring_helper(&servers);
    let looks = planner.look(&mut servers)?;
    let orphans = planner.orphans();
    planner.puts(&looks, &servers);
    let document = planner.documents(&servers)?;
    planner.addresses(&servers);
    planner.roll(&servers, &orphans);
    planner.join_in_turn(&servers);
    let document = planner.forget_others(document);
    planner.secrets(&document);
    planner.readiness(&document);
    planner.order(&servers);
    if planner.draft.is_empty() {
        return Ok(Plan::default());
    }
    planner.check_locks()?;
    let mut plan = planner.draft.finish()?;
    plan.verdict = verdict(&plan, &planner.situation, &spec.zones);
    // Not handed out unproven.
    match plan.verdict.violations.first() {
        Some(Violation { step, reason }) => {
            Err(PlanError::Unsafe { step: step.clone(), reason: reason.clone() })
        }
        None => Ok(plan),
    }
}

/// What is missing of the private way to the account, where that is closed: nobody comes to the cluster's record without it,
/// so it is made before the run has one. It only makes, under names that follow from the cluster's id. `observed` holds
/// the account and the way; nothing else is looked at.
pub fn private_way(spec: &ClusterSpec, observed: &Observed) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(spec, observed);
    if !is_closed(observed, &planner.names) {
        return Ok(Plan::default());
    }
    planner.desired.objects.retain(|name, _| object::PRIVATE_WAY.contains(&name.as_str()));
    let mut servers = Servers::default();
    let mut looks = planner.look(&mut servers)?;
    looks.retain(|_, look| matches!(look, Look::Missing | Look::Going));
    planner.desired.objects.retain(|name, _| looks.contains_key(name));
    planner.puts(&looks, &servers);
    planner.order_of_needs(&servers);
    planner.draft.finish()
}

/// Differences of every desired object from what is observed, by logical name; a missing object is `None`. A server
/// that is lost differs in [`SERVER`].
pub fn survey(
    spec: &ClusterSpec,
    observed: &Observed,
) -> BTreeMap<String, Option<Vec<Difference>>> {
    let planner = Planner::new(spec, observed);
    let objects = planner.desired.objects.values();
    let nobody = BTreeSet::new();
    let look = |object: &DesiredObject| {
        let mut found = planner.differences(object, &nobody)?;
        if planner.is_lost(object) {
            found.push(Difference {
                path: SERVER.to_owned(),
                observed: json!("lost"),
                desired: json!("serving"),
                effect: Effect::ReplacesServer,
            });
        }
        Some(found)
    };
    objects.map(|object| (object.name.clone(), look(object))).collect()
}

/// Path of the difference of an object whose last write failed.
pub(super) const PROVISIONING_STATE: &str = "properties.provisioningState";

/// Path of the difference of a scale set whose server is lost.
pub const SERVER: &str = "server";

struct Planner<'a> {
    spec: &'a ClusterSpec,
    observed: &'a Observed,
    names: Names,
    desired: Desired,
    situation: Situation,
    draft: Draft,
    /// First and last step that writes an object, by logical name.
    writes: BTreeMap<String, (StepRef, StepRef)>,
    /// What is observed of the desired objects, in their order.
    seen: Vec<Option<&'a Value>>,
    /// What is observed and not desired.
    others: Vec<(&'a String, &'a Value)>,
}

/// What becomes of the servers.
#[derive(Default)]
struct Servers {
    /// Slots that have no scale set yet.
    missing: BTreeSet<u32>,
    /// Slots that are made anew.
    replaced: BTreeMap<u32, Vec<Difference>>,
    /// Slots that restart with a new model, and why.
    restarted: BTreeMap<u32, String>,
    /// Slots whose scale set is no longer wanted.
    surplus: BTreeSet<u32>,
    /// One more server for as long as others are made anew.
    helper: Option<u32>,
    /// What was seen of the scale sets.
    looks: BTreeMap<String, Look>,
}

impl Servers {
    /// Servers whose scale set comes anew: what is known of an old one is void.
    fn fresh(&self) -> BTreeSet<u32> {
        self.missing.iter().chain(self.replaced.keys()).copied().collect()
    }

    /// Whether any server comes, goes or restarts.
    fn change(&self) -> bool {
        !(self.missing.is_empty()
            && self.replaced.is_empty()
            && self.restarted.is_empty()
            && self.surplus.is_empty())
    }
}

impl<'a> Planner<'a> {
    fn new(spec: &'a ClusterSpec, observed: &'a Observed) -> Self {
        let names = Names::new(spec);
        let situation = Situation::new(spec, observed);
        let mut planner = Self {
            spec,
            observed,
            desired: Desired::for_world(spec, observed),
            names,
            situation,
            draft: Draft::default(),
            writes: BTreeMap::new(),
            seen: Vec::new(),
            others: Vec::new(),
        };
        planner.compare_ids();
        planner
    }

    /// Finds each desired object in what is observed, and what is left over: one walk over both in the order of their
    /// keys. A search for each key would compare long ids that begin alike again and again.
    fn compare_ids(&mut self) {
        let objects = self.desired.objects.values().enumerate();
        let mut wanted: Vec<(&str, usize)> = objects.map(|(at, o)| (o.key.as_str(), at)).collect();
        wanted.sort_unstable();
        let mut seen = vec![None; wanted.len()];
        let mut others = Vec::new();
        let mut wanted = wanted.into_iter().peekable();
        for (key, body) in &self.observed.objects {
            while wanted.next_if(|(own, _)| *own < key.as_str()).is_some() {}
            match wanted.next_if(|(own, _)| *own == key.as_str()) {
                Some((_, at)) => seen[at] = Some(body),
                None => others.push((key, body)),
            }
        }
        (self.seen, self.others) = (seen, others);
    }

    /// What is observed of a desired object.
    fn have(&self, object: &DesiredObject) -> Option<&'a Value> {
        self.seen.get(object.number).copied().flatten()
    }

    /// Which servers come, go, restart or are made anew.
    fn servers(&self) -> Result<Servers, PlanError> {
        let mut servers = Servers::default();
        for slot in &self.desired.slots {
            let Some(object) = self.desired.objects.get(&object::server(*slot)) else { continue };
            let look = self.look_at(object, &BTreeSet::new())?;
            match &look {
                Look::Missing | Look::Going => {
                    servers.missing.insert(*slot);
                }
                Look::Found(_) if self.situation.is_void(*slot) => {
                    servers.missing.insert(*slot);
                }
                Look::Found(found) => self.sort_in(*slot, object, found, &mut servers),
            }
            servers.looks.insert(object.name.clone(), look);
        }
        let declared = self.spec.server_count;
        let present = self.situation.present.keys();
        servers.surplus = present.copied().filter(|slot| *slot >= declared).collect();
        Ok(servers)
    }

    /// What becomes of a server that is there.
    fn sort_in(&self, slot: u32, object: &DesiredObject, found: &Found, servers: &mut Servers) {
        let is = |effect| found.differences.iter().any(|d: &Difference| d.effect == effect);
        // What was asked to leave never comes back by itself.
        if is(Effect::ReplacesServer) || self.situation.leaving.contains(&slot) {
            servers.replaced.insert(slot, found.differences.clone());
        } else if let Some(reason) = self.restarts(object, slot, is(Effect::RestartsServer)) {
            servers.restarted.insert(slot, reason);
        }
    }

    /// Why the machine of a server must restart. It follows its scale set only then, so what counts is the machine: a
    /// run may have been cut off between the two, or somebody may have changed a model that no machine follows.
    fn restarts(&self, object: &DesiredObject, slot: u32, differs: bool) -> Option<String> {
        let wanted = point(&object.body, "/sku/name").and_then(Value::as_str)?;
        match self.observed.machines.get(&slot) {
            Some(machine) if machine.is_off => Some("its machine is off".to_owned()),
            Some(machine) if machine.vm_size.eq_ignore_ascii_case(wanted) => None,
            Some(machine) => {
                Some(format!("its machine is {} and should be {wanted}", machine.vm_size))
            }
            None if differs => Some(format!("its machine should be {wanted}")),
            None => None,
        }
    }

    /// A server is made anew only beside another one that came first, unless those who come or go anyway make up for
    /// it: meanwhile the cluster survives no less than the smaller of the two, before and afterwards. Where every slot is
    /// taken none comes, and the verdict tells what is survived.
    fn bring_helper(&mut self, servers: &Servers) -> Option<u32> {
        let leaving = &self.situation.leaving;
        // One that is on its way out already is finished, not spared, and is back when the turns of others come.
        let (back, others): (Vec<u32>, Vec<u32>) =
            servers.replaced.keys().partition(|slot| leaving.contains(slot));
        let present = count(self.situation.voters().len());
        let serving = present + count(servers.missing.len() + back.len());
        let declared = self.spec.server_count;
        // The stored one is late where a run that grew the cluster was cut off.
        let stored = self.observed.stored_spec.as_ref().map_or(declared, |spec| spec.server_count);
        let before = stored.max(present);
        let meanwhile = serving.saturating_sub(1);
        let is_enough = meanwhile > 0 && tolerance(meanwhile) >= tolerance(before.min(declared));
        if others.is_empty() || is_enough {
            return None;
        }
        // One whose set is still being deleted is not free either.
        let is_free = |slot: &u32| {
            self.observed.object(&self.names.scale_set(*slot)).is_none()
                && self.names.has_identity(*slot)
        };
        let slot = (self.spec.server_count..MAX_SLOTS).find(is_free)?;
        self.desired.add_helper(self.spec, slot);
        self.compare_ids();
        Some(slot)
    }

    fn voter(&self, slot: u32) -> Voter {
        Voter { slot, node_name: self.names.server(slot) }
    }

    fn voters(&self, slots: &BTreeSet<u32>) -> Vec<Voter> {
        slots.iter().map(|slot| self.voter(*slot)).collect()
    }

    /// Adds a step that writes a desired object.
    fn add_write(
        &mut self,
        object: &str,
        id: String,
        action: Action,
        slot: Option<u32>,
    ) -> StepRef {
        let step = self.draft.add(id, action, slot);
        self.writes
            .entry(object.to_owned())
            .and_modify(|(_, last)| *last = step)
            .or_insert((step, step));
        step
    }

    /// The last step that writes an object, if any does.
    fn written(&self, object: &str) -> Option<StepRef> {
        self.writes.get(object).map(|(_, last)| *last)
    }
}
