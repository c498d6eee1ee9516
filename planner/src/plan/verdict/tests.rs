use proptest::prelude::*;

use super::*;
use crate::arm::{ArmId, Kind};
use crate::plan::graph::{Draft, StepRef};
use crate::plan::projection::change;
use crate::plan::{Action, StepIndex, Voter};
use crate::requests::RequestAction;

fn zones() -> Vec<String> {
    ["1", "2", "3"].map(str::to_owned).to_vec()
}

fn voters(slots: &[u32]) -> Vec<Voter> {
    slots.iter().map(|slot| Voter { slot: *slot, node_name: format!("s{slot}") }).collect()
}

/// A draft that chains what is added to it.
#[derive(Default)]
struct Chain {
    draft: Draft,
    last: Option<StepRef>,
}

impl Chain {
    fn then(&mut self, step: impl FnOnce(&mut Draft) -> StepRef) -> &mut Self {
        let step = step(&mut self.draft);
        if let Some(last) = self.last.replace(step) {
            self.draft.edge(last, step);
        }
        self
    }
}

fn leave(draft: &mut Draft, slot: u32, remaining: &[u32]) -> StepRef {
    let action = Action::Ask {
        slot,
        node_name: format!("s{slot}"),
        request: RequestAction::Leave,
        remaining: voters(remaining),
    };
    draft.add(format!("leave server_{slot}"), action, Some(slot))
}

fn delete(draft: &mut Draft, slot: u32) -> StepRef {
    let (kind, id) = (Kind::ScaleSet, ArmId::new(format!("/s/{slot}")));
    let action = Action::Delete { kind, id, reason: String::new() };
    draft.add(format!("delete server_{slot}"), action, Some(slot))
}

fn create(draft: &mut Draft, slot: u32, zone: u32) -> StepRef {
    let action = Action::Put {
        object: format!("server_{slot}"),
        kind: Kind::ScaleSet,
        id: ArmId::new(format!("/s/{slot}")),
        body: serde_json::json!({ "zones": [zone.to_string()] }),
        update: false,
        differences: vec![],
        alternatives: vec![],
    };
    draft.add(format!("create server_{slot}"), action, Some(slot))
}

fn restart(draft: &mut Draft, slot: u32) -> StepRef {
    let scale_set = ArmId::new(format!("/s/{slot}"));
    let action = Action::Restart { slot, scale_set, reason: String::new(), is_off: false };
    draft.add(format!("restart server_{slot}"), action, Some(slot))
}

fn wait(draft: &mut Draft, name: &str, slots: &[u32]) -> StepRef {
    let consul_version = Some(semver::Version::new(1, 22, 2));
    let action = Action::WaitHealthy { voters: voters(slots), consul_version };
    draft.add(name, action, None)
}

fn roll(draft: &mut Draft) -> StepRef {
    let action = Action::WriteDocument {
        container: "config".into(),
        name: "cluster.json".into(),
        content: serde_json::Value::Null,
        restarts_servers: true,
    };
    draft.add("write cluster document", action, None)
}

fn situation(servers: u32, leader: Option<u32>) -> Situation {
    let present = (0..servers).map(|slot| (slot, Some((slot % 3 + 1).to_string()))).collect();
    Situation { present, leader, ..Situation::default() }
}

fn judge(draft: Draft, servers: u32) -> Verdict {
    verdict(&draft.finish().unwrap(), &situation(servers, None), &zones())
}

fn reasons(verdict: &Verdict) -> String {
    let lines: Vec<String> =
        verdict.violations.iter().map(|v| format!("{}: {}", v.step, v.reason)).collect();
    lines.join("\n")
}

#[test]
fn one_after_the_other_is_safe() {
    let mut chain = Chain::default();
    chain.then(|d| leave(d, 4, &[0, 1, 2, 3])).then(|d| delete(d, 4));
    chain.then(|d| leave(d, 3, &[0, 1, 2])).then(|d| delete(d, 3));
    let verdict = judge(chain.draft, 5);
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.before.voters, verdict.during.voters, verdict.after.voters), (5, 3, 3));
    // Four servers are 2/1/1: the loss of zone 1 stops them.
    assert_eq!(verdict.during.zone_losses, ["2", "3"]);
    assert_eq!(verdict.after.zone_losses, zones());
}

#[test]
fn two_at_once_are_refused() {
    let mut draft = Draft::default();
    leave(&mut draft, 4, &[0, 1, 2, 3]);
    leave(&mut draft, 3, &[0, 1, 2]);
    assert!(reasons(&judge(draft, 5)).contains("two servers out at once"));
}

#[test]
fn a_server_that_dies_without_leaving_is_refused() {
    let mut draft = Draft::default();
    delete(&mut draft, 2);
    assert!(reasons(&judge(draft, 3)).contains("delete server_2: server 2 would die"));
}

#[test]
fn losing_the_quorum_is_refused_with_the_step() {
    let mut chain = Chain::default();
    chain.then(|d| delete(d, 1)).then(|d| delete(d, 2));
    let reasons = reasons(&judge(chain.draft, 3));
    assert!(reasons.contains("delete server_2: 1 of 3 voters are left"), "{reasons}");
}

#[test]
fn a_helper_keeps_what_three_servers_survive_while_one_is_made_anew() {
    let mut chain = Chain::default();
    chain.then(|d| create(d, 3, 1)).then(|d| wait(d, "wait 0", &[0, 1, 2, 3]));
    chain.then(|d| leave(d, 2, &[0, 1, 3])).then(|d| delete(d, 2)).then(|d| create(d, 2, 3));
    chain.then(|d| wait(d, "wait 1", &[0, 1, 2, 3]));
    chain.then(|d| leave(d, 3, &[0, 1, 2])).then(|d| delete(d, 3));
    let verdict = judge(chain.draft, 3);
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.during.voters, verdict.during.server_losses), (3, 1));
    // 2/1/1 in transit does not survive zone 1, 2/1/0 neither.
    assert_eq!(verdict.during.zone_losses, ["2", "3"]);
    assert_eq!(verdict.after.zone_losses, zones());
}

#[test]
fn a_restarted_server_is_out_until_somebody_waited_for_it() {
    let rolling = |gated: bool| {
        let mut chain = Chain::default();
        chain.then(|d| wait(d, "wait until all are healthy", &[0, 1, 2]));
        chain.then(|d| restart(d, 2));
        if gated {
            chain.then(|d| wait(d, "wait for server_2", &[0, 1, 2]));
        }
        chain.then(|d| restart(d, 1)).then(|d| wait(d, "wait for server_1", &[0, 1, 2]));
        judge(chain.draft, 3)
    };
    let safe = rolling(true);
    assert_eq!(safe.violations, []);
    assert_eq!((safe.during.voters, safe.during.server_losses), (2, 0));
    assert_eq!(safe.during.zone_losses, [] as [String; 0]);
    let text = reasons(&rolling(false));
    assert!(text.contains("restart server_1: nobody has seen server 2 healthy yet"), "{text}");
}

#[test]
fn nobody_goes_before_somebody_looked() {
    let mut chain = Chain::default();
    chain.then(|d| restart(d, 2)).then(|d| wait(d, "wait", &[0, 1, 2]));
    let reasons = reasons(&judge(chain.draft, 3));
    assert!(reasons.contains("restart server_2: nobody has looked before"), "{reasons}");
}

#[test]
fn what_is_too_long_to_be_proven_is_refused() {
    let waits = || {
        let mut chain = Chain::default();
        for number in 0..State::BITS {
            chain.then(|d| wait(d, &format!("wait {number}"), &[0, 1, 2]));
        }
        chain
    };
    assert_eq!(judge(waits().draft, 3).violations, []);
    let mut chain = waits();
    chain.then(|d| delete(d, 2));
    let text = reasons(&judge(chain.draft, 3));
    assert!(text.contains("delete server_2") && text.contains("cannot be proven"), "{text}");
}

#[test]
fn a_wait_for_others_opens_no_gate() {
    let mut chain = Chain::default();
    chain.then(|d| restart(d, 2)).then(|d| wait(d, "wait", &[0, 1])).then(|d| restart(d, 1));
    assert!(reasons(&judge(chain.draft, 3)).contains("nobody has seen server 2"));
}

#[test]
fn the_leader_goes_last() {
    let order = |first: u32, second: u32| {
        let mut chain = Chain::default();
        chain.then(|d| wait(d, "wait until all are healthy", &[0, 1, 2]));
        for slot in [first, second] {
            chain.then(|d| restart(d, slot));
            chain.then(|d| wait(d, &format!("wait for server_{slot}"), &[0, 1, 2]));
        }
        verdict(&chain.draft.finish().unwrap(), &situation(3, Some(1)), &zones())
    };
    assert_eq!(order(2, 1).violations, []);
    assert!(reasons(&order(1, 2)).contains("restart server_1: the leader goes before restart"));
}

#[test]
fn nobody_else_goes_while_the_host_managers_roll() {
    let rolling = |gated: bool| {
        let mut chain = Chain::default();
        chain.then(roll);
        if gated {
            chain.then(|d| wait(d, "wait 0", &[0, 1, 2]));
        }
        chain.then(|d| restart(d, 2)).then(|d| wait(d, "wait 1", &[0, 1, 2]));
        judge(chain.draft, 3)
    };
    assert_eq!(rolling(true).violations, []);
    assert_eq!(rolling(true).during.voters, 2);
    assert!(reasons(&rolling(false)).contains("host managers may be restarting another"));
}

#[test]
fn a_server_that_was_on_its_way_out_is_finished_before_another_goes() {
    let interrupted = Situation { leaving: [2].into(), ..situation(3, None) };
    let plan = |finish_first: bool| {
        let mut chain = Chain::default();
        if finish_first {
            chain.then(|d| leave(d, 2, &[0, 1])).then(|d| delete(d, 2));
            chain.then(|d| create(d, 2, 3)).then(|d| wait(d, "wait 2", &[0, 1, 2]));
        } else {
            chain.then(|d| wait(d, "wait 0", &[0, 1]));
        }
        chain.then(|d| restart(d, 1)).then(|d| wait(d, "wait 1", &[0, 1, 2]));
        if !finish_first {
            chain.then(|d| leave(d, 2, &[0, 1])).then(|d| delete(d, 2));
            chain.then(|d| create(d, 2, 3)).then(|d| wait(d, "wait 2", &[0, 1, 2]));
        }
        verdict(&chain.draft.finish().unwrap(), &interrupted, &zones())
    };
    assert_eq!(plan(true).violations, []);
    assert!(reasons(&plan(false)).contains("nobody has seen server 2 healthy"));
}

/// Every order of the whole DAG, walked one step after the other with a world of its own: the least number of serving
/// voters, whether a quorum always served, and whether nobody went while another was out or unseen.
fn brute_force(plan: &Plan, servers: u32) -> (u32, bool, bool) {
    #[derive(Clone)]
    struct World {
        members: BTreeSet<u32>,
        serving: BTreeSet<u32>,
        unseen: BTreeSet<u32>,
    }
    struct Walk<'p> {
        plan: &'p Plan,
        returning: BTreeSet<u32>,
        least: (u32, bool, bool),
        seen: BTreeSet<(Vec<StepIndex>, BTreeSet<u32>, BTreeSet<u32>)>,
    }
    fn walk(at: &mut Walk<'_>, done: &mut Vec<StepIndex>, world: &World) {
        let mut key = done.clone();
        key.sort_unstable();
        if !at.seen.insert((key, world.serving.clone(), world.unseen.clone())) {
            return;
        }
        let (serving, members) = (count(world.serving.len()), count(world.members.len()));
        at.least.0 = at.least.0.min(serving);
        at.least.1 &= members < 2 || serving >= quorum(members);
        let mut going = 0;
        for (index, step) in at.plan.steps() {
            let needs = at.plan.needs(index);
            if done.contains(&index) || !needs.iter().all(|need| done.contains(need)) {
                continue;
            }
            let mut next = world.clone();
            match change(step) {
                Some(Change::Joins { slot, .. }) => {
                    next.members.insert(slot);
                    next.serving.insert(slot);
                    next.unseen.insert(slot);
                }
                Some(Change::Leaves { slot, seen }) => {
                    going += u32::from(world.serving.contains(&slot));
                    let others = world.unseen.iter().any(|other| *other != slot);
                    at.least.2 &= !(world.serving.contains(&slot) && others);
                    next.members.remove(&slot);
                    next.serving.remove(&slot);
                    next.unseen.retain(|other| !seen.contains(other));
                    if at.returning.contains(&slot) {
                        next.unseen.insert(slot);
                    }
                }
                Some(Change::Restarts { slot }) => {
                    going += u32::from(world.serving.contains(&slot));
                    let others = world.unseen.iter().any(|other| *other != slot);
                    at.least.2 &= !(world.serving.contains(&slot) && others);
                    next.serving.remove(&slot);
                    next.unseen.insert(slot);
                }
                Some(Change::Dies { slot }) => {
                    at.least.2 &= !world.serving.contains(&slot);
                    next.serving.remove(&slot);
                }
                Some(Change::Seen { slots }) => {
                    next.unseen.retain(|slot| !slots.contains(slot));
                    next.serving.extend(slots.intersection(&world.members));
                }
                Some(Change::Rolls) | None => {}
            }
            done.push(index);
            walk(at, done, &next);
            done.pop();
        }
        at.least.2 &= going < 2;
    }
    let slots: BTreeSet<u32> = (0..servers).collect();
    let returning = plan
        .steps()
        .iter()
        .filter_map(|(_, step)| match change(step) {
            Some(Change::Joins { slot, .. }) => Some(slot),
            _ => None,
        })
        .collect();
    let world = World { members: slots.clone(), serving: slots, unseen: BTreeSet::new() };
    let mut at = Walk { plan, returning, least: (servers, true, true), seen: BTreeSet::new() };
    walk(&mut at, &mut Vec::new(), &world);
    at.least
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Up to twelve steps: leaves and restarts of five servers, joins of others, waits, in any DAG.
    #[test]
    fn the_projection_sees_what_brute_force_sees(
        kinds in prop::collection::vec(0_u8..5, 1..=12),
        edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..24),
    ) {
        let mut draft = Draft::default();
        let steps: Vec<StepRef> = kinds.iter().enumerate().map(|(at, kind)| {
            let slot = u32::try_from(at).unwrap_or_default();
            match kind {
                // One step a server, so that orders matter only through the DAG.
                0 if slot < 5 => leave(&mut draft, slot, &[]),
                1 if slot < 5 => restart(&mut draft, slot),
                2 if (5..8).contains(&slot) => create(&mut draft, slot, 1),
                _ => wait(&mut draft, &format!("wait {at}"), &[0, 1, 2, 3, 4, 5, 6, 7]),
            }
        }).collect();
        for (from, to) in edges {
            if from < to && to < steps.len() {
                draft.edge(steps[from], steps[to]);
            }
        }
        let plan = draft.finish().unwrap();
        let (least, always, alone) = brute_force(&plan, 5);
        let verdict = verdict(&plan, &situation(5, None), &zones());
        prop_assert_eq!(verdict.during.voters, least);
        let lost = verdict.violations.iter().any(|v| v.reason.contains("quorum"));
        prop_assert_eq!(lost, !always);
        let order = ["quorum", "has looked before"];
        let together = |v: &Violation| !order.iter().any(|word| v.reason.contains(word));
        let together = verdict.violations.iter().any(together);
        prop_assert_eq!(together, !alone, "{}", reasons(&verdict));
    }
}
