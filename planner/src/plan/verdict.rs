//! What is proven about a plan: the cluster keeps its quorum in every state that the DAG allows, whatever the order.
//!
//! A state is a down-set of the DAG: steps that may be done together with all that they need. Only steps that change
//! voters matter, so the DAG is projected on them; steps that are ready at the same time may be under way at the same
//! time, and what is under way may be out. A server that was restarted or made anew counts as out until a step that
//! waits for it has seen it healthy.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::projection::{Change, Projection, State, bit};
use super::{Plan, Situation};
use crate::placement::quorum;

/// What a plan means for the cluster while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Voters before, and what they survive.
    pub before: Standing,
    /// The least that any state on the way survives.
    pub during: Standing,
    /// Voters afterwards, and what they survive.
    pub after: Standing,
    /// How many states were looked at.
    pub states: usize,
    /// Steps after or in which the cluster may lose its quorum; empty for every plan that is handed out.
    pub violations: Vec<Violation>,
}

/// Voters and what they survive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Voters that serve.
    pub voters: u32,
    /// How many more of them may be lost.
    pub server_losses: u32,
    /// Zones of which any single one may be lost.
    pub zone_losses: Vec<String>,
}

/// A state that must not be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// The step that leads there.
    pub step: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Looks at every state of the plan. `zones` are those whose loss is asked about.
pub fn verdict(plan: &Plan, situation: &Situation, zones: &[String]) -> Verdict {
    let judge = Judge::new(plan, situation, zones);
    let before = judge.standing(&judge.servers(0));
    let all = judge.all_done();
    let after = judge.standing(&judge.servers(all));
    if situation.present.is_empty() {
        // A cluster that is being made stands for nothing yet.
        return Verdict { before, during: after.clone(), after, states: 1, violations: vec![] };
    }
    if let Some(step) = judge.projection.beyond.clone() {
        let reason = "a plan of so many steps that change voters cannot be proven".to_owned();
        let violations = vec![Violation { step, reason }];
        return Verdict { during: before.clone(), before, after, states: 0, violations };
    }
    let states = judge.projection.down_sets();
    let mut during = before.clone();
    let mut violations = judge.leader_first();
    violations.extend(judge.unasked());
    violations.extend(judge.cut_short());
    for state in &states {
        let servers = judge.servers(*state);
        during = weaker(during, &judge.standing(&servers));
        judge.check(*state, &servers, &mut violations);
    }
    let violations = violations.into_iter().collect();
    Verdict { before, during, after, states: states.len(), violations }
}

/// The servers in one state.
#[derive(Default)]
struct Servers<'a> {
    /// Raft's members, with their zones.
    members: BTreeMap<u32, Option<&'a str>>,
    /// Members that serve.
    serving: BTreeSet<u32>,
    /// Servers that went out, or came, and that nobody has seen healthy since.
    unseen: BTreeSet<u32>,
    /// The host managers are restarting one after the other.
    rolling: bool,
}

impl Servers<'_> {
    /// How many the host managers may have out: they restart one at a time, and none that the others could not spare.
    fn rolled_out(&self) -> u32 {
        let (members, serving) = (count(self.members.len()), count(self.serving.len()));
        let can_spare = members == 1 || serving > quorum(members);
        u32::from(self.rolling && can_spare)
    }

    /// Servers that certainly serve.
    fn serving_at_least(&self) -> u32 {
        count(self.serving.len()).saturating_sub(self.rolled_out())
    }
}

struct Judge<'a> {
    projection: Projection,
    situation: &'a Situation,
    zones: Vec<String>,
}

impl<'a> Judge<'a> {
    fn new(plan: &Plan, situation: &'a Situation, zones: &[String]) -> Self {
        let mut zones = zones.to_vec();
        for zone in situation.present.values().flatten() {
            if !zones.contains(zone) {
                zones.push(zone.clone());
            }
        }
        Self { projection: Projection::new(plan), situation, zones }
    }

    fn all_done(&self) -> State {
        (0..self.projection.steps.len()).fold(0, |all, at| all | bit(at))
    }

    /// Whether somebody has seen the server of this slot healthy after the step `since`.
    fn seen(&self, state: State, slot: u32, since: usize) -> bool {
        self.projection.steps.iter().enumerate().any(|(at, (_, change))| {
            let names = match change {
                Change::Seen { slots } | Change::Leaves { seen: slots, .. } => {
                    slots.contains(&slot)
                }
                _ => false,
            };
            names && state & bit(at) != 0 && self.projection.before(at) & bit(since) != 0
        })
    }

    fn servers(&self, state: State) -> Servers<'_> {
        let mut servers = Servers { rolling: self.situation.is_rolling, ..Servers::default() };
        if self.all_seen(state, None) {
            servers.rolling = false;
        }
        for (slot, zone) in &self.situation.present {
            if !self.situation.leaving.contains(slot) {
                servers.members.insert(*slot, zone.as_deref());
                servers.serving.insert(*slot);
            } else if self.comes_back(*slot) {
                servers.unseen.insert(*slot);
            }
        }
        // In the order of the plan: a server leaves before it dies, and comes back after that.
        for (at, (_, change)) in self.projection.steps.iter().enumerate() {
            if state & bit(at) == 0 {
                continue;
            }
            match change {
                Change::Joins { slot, zone } => {
                    servers.members.insert(*slot, zone.as_deref());
                    servers.serving.insert(*slot);
                    servers.unseen.insert(*slot);
                    if self.seen(state, *slot, at) {
                        servers.unseen.remove(slot);
                    }
                }
                Change::Leaves { slot, .. } => {
                    servers.members.remove(slot);
                    servers.serving.remove(slot);
                    if self.comes_back(*slot) {
                        servers.unseen.insert(*slot);
                    } else {
                        servers.unseen.remove(slot);
                    }
                }
                Change::Dies { slot } => {
                    servers.serving.remove(slot);
                }
                Change::Restarts { slot } if !self.seen(state, *slot, at) => {
                    servers.serving.remove(slot);
                    servers.unseen.insert(*slot);
                }
                Change::Rolls => servers.rolling = !self.all_seen(state, Some(at)),
                Change::Restarts { .. } | Change::Seen { .. } => {}
            }
        }
        servers
    }

    /// Whether somebody has seen all that were there from the beginning with the Consul that is wanted, if need be after
    /// the step `since`.
    fn all_seen(&self, state: State, since: Option<usize>) -> bool {
        self.situation.voters().into_iter().all(|slot| {
            self.projection.steps.iter().enumerate().any(|(at, (_, change))| {
                matches!(change, Change::Seen { slots } if slots.contains(&slot))
                    && state & bit(at) != 0
                    && since.is_none_or(|since| self.projection.before(at) & bit(since) != 0)
            })
        })
    }

    /// Whether the server was there from the beginning, goes and is made anew. A helper only comes and goes.
    fn comes_back(&self, slot: u32) -> bool {
        if !self.situation.present.contains_key(&slot) {
            return false;
        }
        let joins =
            |change: &Change| matches!(change, Change::Joins { slot: own, .. } if *own == slot);
        self.projection.steps.iter().any(|(_, change)| joins(change))
    }

    fn standing(&self, servers: &Servers<'_>) -> Standing {
        let needed = quorum(count(servers.members.len()));
        let serving = servers.serving_at_least();
        let survives = |zone: &&String| {
            let lost = |slot: &&u32| servers.members.get(slot) == Some(&Some(zone.as_str()));
            let left = count(servers.serving.iter().filter(|slot| !lost(slot)).count());
            left.saturating_sub(servers.rolled_out()) >= needed
        };
        let zone_losses = if servers.members.is_empty() {
            vec![]
        } else {
            self.zones.iter().filter(survives).cloned().collect()
        };
        Standing { voters: serving, server_losses: serving.saturating_sub(needed), zone_losses }
    }

    fn name(&self, at: usize) -> String {
        self.projection.steps.get(at).map_or_else(String::new, |step| step.0.clone())
    }

    fn check(&self, state: State, servers: &Servers<'_>, violations: &mut BTreeSet<Violation>) {
        let members = count(servers.members.len());
        let last = (0..self.projection.steps.len()).rev().find(|at| state & bit(*at) != 0);
        let enough = servers.serving_at_least() >= quorum(members);
        if !enough
            // The only server cannot be spared, and nobody is asked whether it can.
            && members > 1
            && let Some(last) = last
        {
            let reason = format!(
                "{} of {members} voters are left then, fewer than the quorum",
                servers.serving_at_least()
            );
            violations.insert(Violation { step: self.name(last), reason });
        }
        let going: Vec<(usize, u32)> = self
            .projection
            .under_way(state)
            .filter_map(|at| Some((at, self.projection.steps.get(at)?.1.goes()?)))
            .filter(|(_, slot)| servers.serving.contains(slot))
            .collect();
        if let [(first, _), (second, _), ..] = going.as_slice() {
            let first = self.name(*first);
            let reason = format!("it may run while {first} runs: two servers out at once");
            violations.insert(Violation { step: self.name(*second), reason });
        }
        for (at, slot) in going {
            if servers.rolling {
                let reason = "the host managers may be restarting another server".to_owned();
                violations.insert(Violation { step: self.name(at), reason });
            }
            if let Some(other) = servers.unseen.iter().find(|other| **other != slot) {
                let reason = format!("nobody has seen server {other} healthy yet");
                violations.insert(Violation { step: self.name(at), reason });
            }
            if matches!(self.projection.steps.get(at), Some((_, Change::Dies { .. }))) {
                let reason = format!("server {slot} would die without having left");
                violations.insert(Violation { step: self.name(at), reason });
            }
        }
    }

    /// Steps with which a server that stays goes for a while. One that has begun to leave is finished, whatever else.
    fn moves(&self) -> Vec<(usize, u32)> {
        let steps = self.projection.steps.iter().enumerate();
        steps
            .filter_map(|(at, (_, change))| match change {
                Change::Restarts { slot } => Some((at, *slot)),
                Change::Leaves { slot, .. }
                    if self.comes_back(*slot) && !self.situation.leaving.contains(slot) =>
                {
                    Some((at, *slot))
                }
                _ => None,
            })
            .collect()
    }

    /// No server that stays goes before somebody has seen all of them healthy.
    fn unasked(&self) -> BTreeSet<Violation> {
        let voters = self.situation.voters();
        let sees_all = |change: &Change| match change {
            Change::Seen { slots } | Change::Leaves { seen: slots, .. } => voters.is_subset(slots),
            _ => false,
        };
        let is_gated = |at: usize| {
            let earlier = self.projection.steps.iter().enumerate();
            earlier
                .filter(|(other, _)| self.projection.before(at) & bit(*other) != 0)
                .any(|(_, (_, change))| sees_all(change))
        };
        let ungated = self.moves().into_iter().filter(|(at, _)| !is_gated(*at));
        ungated
            .map(|(at, _)| {
                let reason = "nobody has looked before whether the cluster is healthy".to_owned();
                Violation { step: self.name(at), reason }
            })
            .collect()
    }

    /// A server that was asked to leave, and has not been seen to have left, is waited for before its machine goes.
    fn cut_short(&self) -> BTreeSet<Violation> {
        let steps = self.projection.steps.iter().enumerate();
        let short = steps.filter(|(at, (_, change))| match change {
            Change::Dies { slot } => {
                let has_left = |(other, (_, change)): (usize, &(String, Change))| {
                    matches!(change, Change::Leaves { slot: own, .. } if own == slot)
                        && self.projection.before(*at) & bit(other) != 0
                };
                self.situation.leaving.contains(slot)
                    && !self.situation.left.contains(slot)
                    && !self.projection.steps.iter().enumerate().any(has_left)
            }
            _ => false,
        });
        short
            .map(|(at, _)| {
                let reason = "the server is still on its way out".to_owned();
                Violation { step: self.name(at), reason }
            })
            .collect()
    }

    /// The leader restarts or is made anew after all others that do.
    fn leader_first(&self) -> BTreeSet<Violation> {
        let Some(leader) = self.situation.leader else { return BTreeSet::new() };
        let moves = self.moves();
        let leads = moves.iter().filter(|(_, slot)| *slot == leader);
        leads
            .filter_map(|(at, _)| {
                let early = moves.iter().find(|(other, slot)| {
                    *slot != leader && self.projection.before(*at) & bit(*other) == 0
                })?;
                let reason = format!("the leader goes before {}", self.name(early.0));
                Some(Violation { step: self.name(*at), reason })
            })
            .collect()
    }
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn weaker(least: Standing, other: &Standing) -> Standing {
    Standing {
        voters: least.voters.min(other.voters),
        server_losses: least.server_losses.min(other.server_losses),
        zone_losses: least
            .zone_losses
            .into_iter()
            .filter(|zone| other.zone_losses.contains(zone))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
