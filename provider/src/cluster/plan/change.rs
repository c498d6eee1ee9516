//! What a changed configuration does to the servers: planned by the engine that will do it, from the world in which the
//! last configuration was carried out. What Azure holds at the moment has no part in it.

use crate::cluster::model::{Cluster, Server};
use std::collections::{BTreeMap, BTreeSet};

use hcs_planner::arm::Kind;
use hcs_planner::assumed::assumed_in;
use hcs_planner::estimate::duration_seconds;
use hcs_planner::observed::Observed;
use hcs_planner::placement::{alternatives, place_of, rolling_warning};
use hcs_planner::plan::{Action, Plan, PlanError, plan};
use hcs_planner::spec::ClusterSpec;
use tfplugin::Value;

use super::Planner;

/// What a change does to the servers.
#[derive(Default)]
pub(super) struct Change {
    /// Slots whose scale set is made, the helper's included.
    made: BTreeSet<u32>,
    /// Slots that are there and are made anew.
    anew: BTreeSet<u32>,
    /// Slots that restart.
    restarted: BTreeSet<u32>,
    /// Slots that go.
    removed: BTreeSet<u32>,
    /// Whether the host managers restart all servers.
    rolls: bool,
    minutes: u32,
}

impl Change {
    fn of(plan: &Plan, servers_before: u32) -> Self {
        let mut change = Self::default();
        for (_, step) in plan.steps() {
            match (&step.action, step.slot) {
                (Action::Put { kind: Kind::ScaleSet, update: false, .. }, Some(slot)) => {
                    change.made.insert(slot);
                    if slot < servers_before {
                        change.anew.insert(slot);
                    }
                }
                (Action::Restart { slot, .. }, _) => {
                    change.restarted.insert(*slot);
                }
                (Action::Delete { kind: Kind::ScaleSet, .. }, Some(slot)) => {
                    change.removed.insert(slot);
                }
                (Action::WriteDocument { restarts_servers: true, .. }, _) => change.rolls = true,
                _ => {}
            }
        }
        change.minutes = duration_seconds(plan).div_ceil(60);
        change
    }

    /// Whether the scale set of this slot is made.
    pub(super) fn makes(&self, slot: u32) -> bool {
        self.made.contains(&slot)
    }

    /// Whether any scale set is made.
    pub(super) fn makes_servers(&self) -> bool {
        !self.made.is_empty()
    }

    /// How many servers there are more at one time than before.
    pub(super) fn more_servers(&self) -> u32 {
        u32::try_from(self.made.len() - self.anew.len()).unwrap_or(u32::MAX)
    }

    /// Whether servers restart with another size.
    pub(super) fn restarts(&self) -> bool {
        !self.restarted.is_empty()
    }
}

impl Planner {
    /// The change from the last configuration, or a create. What the engine would refuse is told here.
    pub(super) fn change(&mut self, prior: Option<&ClusterSpec>, spec: &ClusterSpec) -> Change {
        match self.change_to(prior, spec) {
            Ok(change) => change,
            Err(error) => {
                let attribute = match &error {
                    PlanError::Upgrade(_) => Cluster::CONSUL_VERSION,
                    PlanError::Impossible(_) => Cluster::LOCATION,
                    _ => Cluster::NAME,
                };
                let text = error.to_string();
                let mut letters = text.chars();
                let first = letters.next().map(|c| c.to_uppercase().collect::<String>());
                let detail = format!("{}{}.", first.unwrap_or_default(), letters.as_str());
                self.error(attribute, "This change cannot be made", detail);
                Change::default()
            }
        }
    }

    /// The same without a word.
    pub(super) fn change_to(
        &self,
        prior: Option<&ClusterSpec>,
        spec: &ClusterSpec,
    ) -> Result<Change, PlanError> {
        let (world, servers) = match prior {
            Some(prior) => (assumed_in(prior, &self.last_zones()), prior.server_count),
            None => (Observed::default(), 0),
        };
        Ok(Change::of(&plan(spec, &world)?, servers))
    }

    /// Zones of the servers as last read; of one that never became known there is none.
    fn last_zones(&self) -> BTreeMap<u32, Option<String>> {
        let servers = self.prior.get(Cluster::SERVERS).as_list().unwrap_or_default();
        let slot =
            |server: &Value| server.get(Server::SLOT).as_i64().and_then(|n| u32::try_from(n).ok());
        let zone = |server: &Value| server.get(Server::ZONE).as_str().map(str::to_owned);
        let is_known = |server: &&Value| !server.get(Server::PRIVATE_IP).is_null();
        let rows = servers.iter().filter(is_known);
        rows.filter_map(|server| Some((slot(server)?, zone(server)))).collect()
    }

    /// Says in words what the numbers of a plan do not: who restarts, who is made anew, how long it takes.
    pub(super) fn tell(&mut self, spec: &ClusterSpec, change: &Change, is_new: bool) {
        if is_new && !alternatives(0, spec).is_empty() {
            self.tell_alternatives(spec);
        }
        if is_new {
            return;
        }
        let mut sentences = Vec::new();
        let list = |slots: &BTreeSet<u32>| {
            let names: Vec<String> = slots.iter().map(ToString::to_string).collect();
            names.join(", ")
        };
        if let Some(image) = &spec.image_at_least {
            let before = self.prior.get(Cluster::IMAGE_VERSION).as_str().unwrap_or_default();
            sentences.push(format!("The image goes from {before} to {image}."));
        }
        if change.rolls {
            sentences.push(format!(
                "Every server restarts with Consul {}, one at a time, the leader last.",
                spec.consul_version
            ));
        }
        if !change.restarted.is_empty() {
            sentences.push(format!(
                "Servers {} restart as {}, one at a time, the leader last, each after all were seen healthy.",
                list(&change.restarted),
                spec.vm_size
            ));
        }
        if !change.anew.is_empty() {
            let helper = change.made.iter().any(|slot| *slot >= spec.server_count);
            sentences.push(format!(
                "Servers {} are made anew, one at a time, the leader last{}. Their data comes back from the \
                 others; names, slots and join address stay, private addresses may change.",
                list(&change.anew),
                if helper { ", beside a helper that joins first and leaves last" } else { "" }
            ));
        }
        let gone: BTreeSet<u32> =
            change.removed.iter().copied().filter(|slot| !change.made.contains(slot)).collect();
        if !gone.is_empty() {
            sentences.push(format!("Servers {} leave one by one and go.", list(&gone)));
        }
        if let Some(warning) = rolling_warning(spec.server_count, change.rolls || change.restarts())
        {
            sentences.push(warning);
        }
        if sentences.is_empty() {
            return;
        }
        sentences.push(format!("About {} minutes.", change.minutes));
        self.diagnostics.push_warning("What this change does to the servers", sentences.join("\n"));
        if !change.made.is_empty() && !alternatives(0, spec).is_empty() {
            self.tell_alternatives(spec);
        }
    }

    fn tell_alternatives(&mut self, spec: &ClusterSpec) {
        let rows: Vec<String> = (0..spec.server_count)
            .map(|slot| {
                let own = place_of(slot, spec);
                let others = alternatives(slot, spec);
                let all = std::iter::once(&own).chain(&others);
                let all: Vec<String> = all.map(ToString::to_string).collect();
                format!("server {slot}: {}", all.join(", then "))
            })
            .collect();
        let detail = format!(
            "zone_fallback is {:?}, so a new server takes the first of these that has room, and zones and what \
             the cluster survives are known after the apply:\n{}",
            spec.zone_fallback.as_str(),
            rows.join("\n")
        );
        self.warn(Cluster::ZONE_FALLBACK, "Zones are known after the apply", detail);
    }
}
