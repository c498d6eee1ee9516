//! Servers that restart, are made anew, or go: one at a time, each after everybody was seen healthy, the leader last.
//!
//! What an interrupted run began is finished first. A server that is made anew leaves only after a helper (or a server
//! that comes or goes anyway) has joined, so that the cluster never survives less than before.

use std::collections::BTreeSet;

use super::look::is_running;
use super::orphans::Orphan;
use super::{Planner, Servers, WAIT_HEALTHY, WRITE_DOCUMENT};
use crate::arm::Kind;
use crate::desired::object;
use crate::plan::Action;
use crate::plan::graph::StepRef;
use crate::requests::RequestAction;

/// What happens to one server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Restart(u32),
    Replace(u32),
    Remove(u32),
}

impl Turn {
    fn slot(self) -> u32 {
        match self {
            Self::Restart(slot) | Self::Replace(slot) | Self::Remove(slot) => slot,
        }
    }
}

/// How far the rolling change is planned.
struct Rolling {
    /// Voters at this point.
    voters: BTreeSet<u32>,
    /// Steps that the next one waits for.
    after: Vec<StepRef>,
    /// Whether somebody has come whom nobody has seen healthy yet.
    has_unseen: bool,
    /// Whether somebody has looked whether all voters are healthy.
    has_looked: bool,
    /// Whether the host managers may still be restarting servers for the document's sake.
    restarts_all: bool,
}

impl Planner<'_> {
    pub(super) fn roll(&mut self, servers: &Servers, orphans: &[Orphan]) {
        let leaving = self.situation.leaving.clone();
        let (begun, turns): (Vec<Turn>, Vec<Turn>) =
            self.turns(servers).into_iter().partition(|turn| leaving.contains(&turn.slot()));
        let stays = |turn: &Turn| !matches!(turn, Turn::Remove(_));
        let mut rolling = Rolling {
            voters: self.situation.voters(),
            after: self.arrivals(),
            has_unseen: !servers.missing.is_empty() || servers.helper.is_some(),
            has_looked: false,
            restarts_all: self.restarts_everybody() || self.situation.is_rolling,
        };
        rolling.voters.extend(&servers.missing);
        rolling.voters.extend(servers.helper);
        let mut left = begun.len() + turns.len();
        for turn in &begun {
            left -= 1;
            self.take(*turn, left == 0, &mut rolling, servers, orphans);
        }
        // A machine without power keeps no quorum: it gets it back before anybody waits for everybody's health.
        let (off, turns): (Vec<Turn>, Vec<Turn>) = turns
            .into_iter()
            .partition(|turn| matches!(turn, Turn::Restart(_)) && self.is_off(turn.slot()));
        for turn in off {
            left -= 1;
            self.restart(turn.slot(), &mut rolling, servers);
            let id = if left == 0 {
                WAIT_HEALTHY.to_owned()
            } else {
                format!("wait for server_{}", turn.slot())
            };
            self.gate(&id, &mut rolling);
        }
        // A plain scale-down asks the servers themselves: they do not leave a cluster that is not healthy.
        let unasked = !rolling.has_looked && turns.iter().any(stays);
        if !turns.is_empty() && (unasked || rolling.has_unseen || rolling.restarts_all) {
            self.gate("wait until all are healthy", &mut rolling);
        }
        for turn in turns {
            left -= 1;
            self.take(turn, left == 0, &mut rolling, servers, orphans);
        }
        self.leftovers(servers, orphans);
        self.withdraw_requests();
    }

    /// A request to leave outlives nobody: it goes after the server that it was meant for, and before the one that comes
    /// in its place. A step that asks takes its request back itself.
    fn withdraw_requests(&mut self) {
        for slot in self.observed.leave_requests.keys().copied().collect::<Vec<_>>() {
            let of = |verb: &str| format!("{verb} {}", object::server(slot));
            if self.draft.find(&of("leave")).is_some() {
                continue;
            }
            let (gone, create) = (self.draft.find(&of("delete")), self.draft.find(&of("create")));
            let id = format!("withdraw leave request of server {slot}");
            let withdraw = self.draft.add(id, Action::Withdraw { slot }, Some(slot));
            if let Some(gone) = gone {
                self.draft.edge(gone, withdraw);
            }
            if let Some(create) = create {
                self.draft.edge(withdraw, create);
            }
        }
    }

    /// The turns in their order: servers that stay, then those that go; highest slot first, the leader last.
    fn turns(&self, servers: &Servers) -> Vec<Turn> {
        let leader = self.situation.leader;
        let stay = servers.restarted.keys().map(|slot| Turn::Restart(*slot));
        let mut stay: Vec<Turn> =
            stay.chain(servers.replaced.keys().map(|slot| Turn::Replace(*slot))).collect();
        let mut go: Vec<Turn> =
            servers.surplus.iter().copied().chain(servers.helper).map(Turn::Remove).collect();
        for turns in [&mut stay, &mut go] {
            turns.sort_by_key(|turn| (Some(turn.slot()) == leader, std::cmp::Reverse(turn.slot())));
        }
        // Of two voters none can be spared: the one that goes goes first.
        let voters = self.situation.voters().len() + servers.missing.len();
        let restarts = stay.iter().any(|turn| matches!(turn, Turn::Restart(_)));
        if voters == 2 && restarts && self.spec.server_count == 1 {
            go.extend(stay);
            return go;
        }
        stay.extend(go);
        stay
    }

    /// Steps after which every server that comes is there and listed, every scale set is at rest, and the document is
    /// written that all of them read.
    fn arrivals(&self) -> Vec<StepRef> {
        let listed = [object::DNS_RECORD, object::ENDPOINT]
            .into_iter()
            .filter_map(|book| self.written(book));
        self.draft
            .refs()
            .filter(|(_, step)| {
                let is_server = matches!(
                    step.action,
                    Action::Put { kind: Kind::ScaleSet, .. }
                        | Action::AwaitProvisioned { kind: Kind::ScaleSet, .. }
                );
                is_server || step.id == WRITE_DOCUMENT
            })
            .map(|(at, _)| at)
            .chain(listed)
            .collect()
    }

    /// Whether the host managers restart all servers because of the document.
    fn restarts_everybody(&self) -> bool {
        let restarts = |action: &Action| {
            matches!(action, Action::WriteDocument { restarts_servers: true, .. })
        };
        self.draft.steps.iter().any(|step| restarts(&step.action))
    }

    fn gate(&mut self, id: &str, rolling: &mut Rolling) {
        let (voters, consul_version) = (self.voters(&rolling.voters), self.awaited_version());
        let gate = self.draft.add(id, Action::WaitHealthy { voters, consul_version }, None);
        self.follow(gate, rolling);
        rolling.has_unseen = false;
        rolling.has_looked = true;
        rolling.restarts_all = false;
    }

    fn follow(&mut self, step: StepRef, rolling: &mut Rolling) {
        for before in rolling.after.drain(..) {
            self.draft.edge(before, step);
        }
        rolling.after = vec![step];
    }

    fn take(
        &mut self,
        turn: Turn,
        is_last: bool,
        rolling: &mut Rolling,
        servers: &Servers,
        orphans: &[Orphan],
    ) {
        match turn {
            Turn::Restart(slot) => self.restart(slot, rolling, servers),
            Turn::Replace(slot) => self.replace(slot, rolling, servers),
            Turn::Remove(slot) => return self.remove(slot, rolling, orphans),
        }
        if is_last {
            self.gate(WAIT_HEALTHY, rolling);
        } else {
            self.gate(&format!("wait for server_{}", turn.slot()), rolling);
        }
    }

    fn is_off(&self, slot: u32) -> bool {
        self.observed.machines.get(&slot).is_some_and(|machine| machine.is_off)
    }

    fn restart(&mut self, slot: u32, rolling: &mut Rolling, servers: &Servers) {
        let reason = servers.restarted.get(&slot).cloned().unwrap_or_default();
        let scale_set = self.names.scale_set(slot);
        let is_off = self.is_off(slot);
        let action = Action::Restart { slot, scale_set, reason, is_off };
        let step = self.draft.add(format!("restart server_{slot}"), action, Some(slot));
        if let Some((first, last)) = self.writes.get(&object::server(slot)).copied() {
            self.draft.edge(last, step);
            // A document of a new generation makes the next run look whether the machines follow their models.
            self.draft.edge_from(WRITE_DOCUMENT, first);
        }
        self.follow(step, rolling);
    }

    fn replace(&mut self, slot: u32, rolling: &mut Rolling, servers: &Servers) {
        let name = object::server(slot);
        let Some(desired) = self.desired.objects.get(&name).cloned() else { return };
        let differences = servers.replaced.get(&slot).cloned().unwrap_or_default();
        let running = self.written(&name);
        let leave = self.leave(slot, rolling);
        if let (Some(leave), Some(running)) = (leave, running) {
            self.draft.edge(running, leave);
        }
        let why: Vec<String> = differences
            .iter()
            .map(|d| format!("{} is {} and should be {}", d.path, d.observed, d.desired))
            .collect();
        let reason = if why.is_empty() {
            "it was asked to leave and comes back anew".to_owned()
        } else {
            format!("it comes back anew: {}", why.join("; "))
        };
        let action = Action::Delete { kind: desired.kind, id: desired.id.clone(), reason };
        let delete = self.draft.add(format!("delete {name}"), action, Some(slot));
        if let Some(running) = running {
            self.draft.edge(running, delete);
        }
        self.read_old_address(slot, leave.unwrap_or(delete));
        self.follow(delete, rolling);
        let action = self.create(&desired, differences);
        self.writes.remove(&name);
        let created = self.add_write(&name, format!("create {name}"), action, Some(slot));
        self.follow(created, rolling);
        rolling.voters.insert(slot);
        let mut after = self.republish(slot);
        rolling.after.append(&mut after);
    }

    fn remove(&mut self, slot: u32, rolling: &mut Rolling, orphans: &[Orphan]) {
        let id = self.names.scale_set(slot);
        if self.observed.object(&id).is_some_and(is_running) {
            let name = object::server(slot);
            let step = format!("await {name}");
            let action =
                Action::AwaitProvisioned { object: name, kind: Kind::ScaleSet, id: id.clone() };
            let running = self.draft.add(step, action, Some(slot));
            rolling.after.push(running);
        }
        self.leave(slot, rolling);
        let is_ours = orphans.iter().any(|orphan| orphan.id == id);
        let reason = if is_ours {
            format!("the cluster no longer has a slot {slot}")
        } else {
            "it only helped while others were made anew".to_owned()
        };
        let action = Action::Delete { kind: Kind::ScaleSet, id, reason };
        let delete = self.draft.add(format!("delete server_{slot}"), action, Some(slot));
        self.follow(delete, rolling);
    }

    /// The server leaves, unless it has left already.
    fn leave(&mut self, slot: u32, rolling: &mut Rolling) -> Option<StepRef> {
        rolling.voters.remove(&slot);
        if self.situation.left.contains(&slot) {
            return None;
        }
        rolling.has_unseen = false;
        rolling.has_looked = true;
        let action = Action::Ask {
            slot,
            node_name: self.names.server(slot),
            request: RequestAction::Leave,
            remaining: self.voters(&rolling.voters),
        };
        let leave = self.draft.add(format!("leave server_{slot}"), action, Some(slot));
        self.follow(leave, rolling);
        Some(leave)
    }
}
