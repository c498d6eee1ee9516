//! What is proven about a plan: the cluster keeps its quorum in every state that the DAG allows, whatever the order.
//!
//! A state is a down-set of the DAG: steps that may be done together with all that they need. Only steps that change
//! voters matter, so the DAG is projected on them; steps that are ready at the same time may be under way at the same
//! time, and what is under way may be out.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::has_path_connecting;
use petgraph::graph::NodeIndex;
use serde::Serialize;

use super::{Action, Plan, StepIndex};
use crate::arm::Kind;
use crate::dataplane::RequestAction;
use crate::placement::{quorum, zone_of};

/// What a plan means for the cluster while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

/// How a step changes the voters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// A server comes.
    Joins(u32),
    /// A server goes and Raft knows.
    Leaves(u32),
    /// A server goes; Raft still counts it unless it left before.
    Dies(u32),
}

fn change(action: &Action, slot: Option<u32>) -> Option<Change> {
    let slot = slot?;
    match action {
        Action::Put { kind: Kind::ScaleSet, update: false, .. } => Some(Change::Joins(slot)),
        Action::Ask { request: RequestAction::Leave, .. } => Some(Change::Leaves(slot)),
        Action::Delete { kind: Kind::ScaleSet, .. } => Some(Change::Dies(slot)),
        _ => None,
    }
}

/// Raft's members and those of them that serve.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Voters {
    members: BTreeSet<u32>,
    serving: BTreeSet<u32>,
}

impl Voters {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Joins(slot) => {
                self.members.insert(slot);
                self.serving.insert(slot);
            }
            Change::Leaves(slot) => {
                self.members.remove(&slot);
                self.serving.remove(&slot);
            }
            Change::Dies(slot) => {
                self.serving.remove(&slot);
            }
        }
    }

    fn has_quorum(&self) -> bool {
        self.members.is_empty() || count(&self.serving) >= quorum(count(&self.members))
    }

    fn standing(&self, zones: &[String]) -> Standing {
        let (members, serving) = (count(&self.members), count(&self.serving));
        let needed = quorum(members);
        let survives = |zone: &&String| {
            let lost = |slot: &&u32| zone_of(**slot, zones) == Some(zone.as_str());
            let left = self.serving.iter().filter(|slot| !lost(slot)).count();
            u32::try_from(left).is_ok_and(|left| left >= needed)
        };
        let zone_losses =
            if members == 0 { vec![] } else { zones.iter().filter(survives).cloned().collect() };
        Standing { voters: serving, server_losses: serving.saturating_sub(needed), zone_losses }
    }
}

fn count(slots: &BTreeSet<u32>) -> u32 {
    u32::try_from(slots.len()).unwrap_or(u32::MAX)
}

/// Looks at every state of the plan, from a cluster whose servers are in `slots`.
pub fn verdict(plan: &Plan, slots: &BTreeSet<u32>, zones: &[String]) -> Verdict {
    let projected = Projection::new(plan);
    let start = Voters { members: slots.clone(), serving: slots.clone() };
    let before = start.standing(zones);
    let mut during: Option<Standing> = (!slots.is_empty()).then(|| before.clone());
    let mut violations = BTreeSet::new();
    let states = projected.down_sets();
    let mut after = before.clone();
    for state in &states {
        let voters = projected.after(&start, state);
        let under_way = projected.ready(state);
        check(&projected, &voters, state, &under_way, &mut violations);
        let standing = voters.standing(zones);
        if state.len() == projected.steps.len() {
            after = standing.clone();
        }
        // A cluster that is being made stands for nothing yet.
        if !slots.is_empty() {
            during =
                Some(during.map_or_else(|| standing.clone(), |least| weaker(least, &standing)));
        }
    }
    let during = during.unwrap_or_else(|| after.clone());
    let violations = violations.into_iter().collect();
    Verdict { before, during, after, states: states.len(), violations }
}

fn check(
    projected: &Projection,
    voters: &Voters,
    state: &BTreeSet<usize>,
    under_way: &[usize],
    violations: &mut BTreeSet<Violation>,
) {
    let name = |at: usize| projected.steps.get(at).map_or_else(String::new, |step| step.0.clone());
    if !voters.has_quorum()
        && let Some(last) = state.iter().next_back()
    {
        let reason = format!(
            "{} of {} voters are left then, fewer than the quorum",
            voters.serving.len(),
            voters.members.len()
        );
        violations.insert(Violation { step: name(*last), reason });
    }
    let going: Vec<usize> = under_way
        .iter()
        .copied()
        .filter(|at| match projected.steps.get(*at).map(|step| step.1) {
            Some(Change::Leaves(slot) | Change::Dies(slot)) => voters.serving.contains(&slot),
            _ => false,
        })
        .collect();
    if let [_, second, ..] = going.as_slice() {
        let reason = format!("it may run while {} runs: two servers out at once", name(going[0]));
        violations.insert(Violation { step: name(*second), reason });
    }
    for at in going {
        if let Some((_, Change::Dies(slot))) = projected.steps.get(at) {
            let reason = format!("server {slot} would die without having left");
            violations.insert(Violation { step: name(at), reason });
        }
    }
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

/// The DAG on the steps that change voters only.
struct Projection {
    /// Step id and what it does to the voters.
    steps: Vec<(String, Change)>,
    /// For each step the ones that must be done before.
    needs: BTreeMap<usize, BTreeSet<usize>>,
}

impl Projection {
    fn new(plan: &Plan) -> Self {
        let found: Vec<(StepIndex, String, Change)> = plan
            .steps()
            .into_iter()
            .filter_map(|(index, step)| {
                Some((index, step.id.clone(), change(&step.action, step.slot)?))
            })
            .collect();
        let mut needs = BTreeMap::new();
        for (at, (index, ..)) in found.iter().enumerate() {
            let before = found.iter().enumerate().filter(|(other, (earlier, ..))| {
                let (from, to) = (NodeIndex::new(earlier.0), NodeIndex::new(index.0));
                *other != at && has_path_connecting(&plan.graph, from, to, None)
            });
            needs.insert(at, before.map(|(other, _)| other).collect());
        }
        Self { steps: found.into_iter().map(|(_, id, change)| (id, change)).collect(), needs }
    }

    /// Steps that may start in this state.
    fn ready(&self, state: &BTreeSet<usize>) -> Vec<usize> {
        (0..self.steps.len())
            .filter(|at| !state.contains(at))
            .filter(|at| self.needs.get(at).is_some_and(|needs| needs.is_subset(state)))
            .collect()
    }

    /// Every down-set, the empty one first.
    fn down_sets(&self) -> Vec<BTreeSet<usize>> {
        let mut seen = BTreeSet::from([BTreeSet::new()]);
        let mut open = vec![BTreeSet::new()];
        while let Some(state) = open.pop() {
            for next in self.ready(&state) {
                let mut larger = state.clone();
                larger.insert(next);
                if seen.insert(larger.clone()) {
                    open.push(larger);
                }
            }
        }
        seen.into_iter().collect()
    }

    fn after(&self, start: &Voters, state: &BTreeSet<usize>) -> Voters {
        let mut voters = start.clone();
        // In the order of the plan: a server leaves before it dies.
        for at in state {
            if let Some((_, change)) = self.steps.get(*at) {
                voters.apply(*change);
            }
        }
        voters
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arm::ArmId;
    use crate::plan::Draft;

    fn zones() -> Vec<String> {
        ["1", "2", "3"].map(str::to_owned).to_vec()
    }

    fn leave(draft: &mut Draft, slot: u32) -> String {
        let action = Action::Ask {
            slot,
            node_name: format!("s{slot}"),
            request: RequestAction::Leave,
            remaining: vec![],
        };
        draft.add(format!("leave server_{slot}"), action, Some(slot))
    }

    fn delete(draft: &mut Draft, slot: u32) -> String {
        let (kind, id) = (Kind::ScaleSet, ArmId::new(format!("/s/{slot}")));
        let action = Action::Delete { kind, id, reason: String::new() };
        draft.add(format!("delete server_{slot}"), action, Some(slot))
    }

    fn judge(draft: Draft, servers: u32) -> Verdict {
        verdict(&draft.finish().unwrap(), &(0..servers).collect(), &zones())
    }

    #[test]
    fn one_after_the_other_is_safe() {
        let mut draft = Draft::default();
        let steps = [
            leave(&mut draft, 4),
            delete(&mut draft, 4),
            leave(&mut draft, 3),
            delete(&mut draft, 3),
        ];
        steps.windows(2).for_each(|pair| draft.edge(&pair[0], &pair[1]));
        let verdict = judge(draft, 5);
        assert_eq!(verdict.violations, []);
        assert_eq!((verdict.before.voters, verdict.during.voters, verdict.after.voters), (5, 3, 3));
        // Four servers are 2/1/1: the loss of zone 1 stops them.
        assert_eq!(verdict.during.zone_losses, ["2", "3"]);
        assert_eq!(verdict.after.zone_losses, zones());
    }

    #[test]
    fn two_at_once_are_refused() {
        let mut draft = Draft::default();
        leave(&mut draft, 4);
        leave(&mut draft, 3);
        let verdict = judge(draft, 5);
        assert!(verdict.violations.iter().any(|v| v.reason.contains("two servers out at once")));
    }

    #[test]
    fn a_server_that_dies_without_leaving_is_refused() {
        let mut draft = Draft::default();
        delete(&mut draft, 2);
        let verdict = judge(draft, 3);
        assert!(verdict.violations.iter().any(|v| v.step == "delete server_2"), "{verdict:?}");
    }

    #[test]
    fn losing_the_quorum_is_refused_with_the_step() {
        let mut draft = Draft::default();
        let steps = [delete(&mut draft, 1), delete(&mut draft, 2)];
        draft.edge(&steps[0], &steps[1]);
        let verdict = judge(draft, 3);
        let named = |v: &Violation| v.step == "delete server_2" && v.reason.contains("quorum");
        assert!(verdict.violations.iter().any(named), "{verdict:?}");
    }

    /// Every order of up to 12 steps, half of which change nothing, walked one by one.
    fn brute_force(plan: &Plan, servers: u32) -> (u32, bool) {
        fn walk(
            plan: &Plan,
            done: &mut Vec<StepIndex>,
            voters: &Voters,
            least: &mut (u32, bool),
            seen: &mut BTreeSet<Vec<StepIndex>>,
        ) {
            let mut key = done.clone();
            key.sort_unstable();
            if !seen.insert(key) {
                return;
            }
            least.0 = least.0.min(count(&voters.serving));
            least.1 &= voters.has_quorum();
            for (index, step) in plan.steps() {
                if done.contains(&index)
                    || !plan.needs(index).iter().all(|need| done.contains(need))
                {
                    continue;
                }
                let mut next = voters.clone();
                if let Some(change) = change(&step.action, step.slot) {
                    next.apply(change);
                }
                done.push(index);
                walk(plan, done, &next, least, seen);
                done.pop();
            }
        }
        let slots: BTreeSet<u32> = (0..servers).collect();
        let start = Voters { members: slots.clone(), serving: slots };
        let mut least = (servers, true);
        walk(plan, &mut Vec::new(), &start, &mut least, &mut BTreeSet::new());
        least
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_projection_sees_what_brute_force_sees(
            kinds in prop::collection::vec(0_u8..3, 1..=9),
            edges in prop::collection::vec((0_usize..9, 0_usize..9), 0..14),
        ) {
            let mut draft = Draft::default();
            let names: Vec<String> = kinds.iter().enumerate().map(|(at, kind)| {
                let slot = u32::try_from(at).unwrap_or_default() % 5;
                match kind {
                    // One step a server, so that orders matter only through the DAG.
                    0 if at < 5 => leave(&mut draft, slot),
                    1 if at < 5 => delete(&mut draft, slot),
                    _ => {
                        let action = Action::WaitHealthy { voters: vec![] };
                        draft.add(format!("wait {at}"), action, None)
                    }
                }
            }).collect();
            for (from, to) in edges {
                if from < to && to < names.len() {
                    draft.edge(&names[from], &names[to]);
                }
            }
            let plan = draft.finish().unwrap();
            let (least, always) = brute_force(&plan, 5);
            let verdict = verdict(&plan, &(0..5).collect(), &zones());
            prop_assert_eq!(verdict.during.voters, least);
            let lost = verdict.violations.iter().any(|v| v.reason.contains("quorum"));
            prop_assert_eq!(lost, !always);
        }
    }
}
