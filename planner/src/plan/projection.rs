//! The DAG on the steps that change voters, and every down-set of it.

use std::collections::BTreeSet;

use super::{Action, Plan, Step};
use crate::arm::Kind;
use crate::desired::place_in;
use crate::requests::RequestAction;

/// What a step does to the voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A server comes; it votes from some moment after this step's beginning.
    Joins { slot: u32, zone: Option<String> },
    /// A server goes and Raft knows. Afterwards the others were seen healthy.
    Leaves { slot: u32, seen: BTreeSet<u32> },
    /// A server goes; Raft still counts it unless it left before.
    Dies { slot: u32 },
    /// A server is out until somebody sees it healthy again.
    Restarts { slot: u32 },
    /// From here on the host managers restart one server after the other.
    Rolls,
    /// These servers were seen healthy, with the Consul that is wanted.
    Seen { slots: BTreeSet<u32> },
}

impl Change {
    /// The server that goes, for a while or for good.
    pub(super) fn goes(&self) -> Option<u32> {
        match self {
            Self::Leaves { slot, .. } | Self::Dies { slot } | Self::Restarts { slot } => {
                Some(*slot)
            }
            // The host managers restart nobody whom the others could not spare.
            Self::Joins { .. } | Self::Rolls | Self::Seen { .. } => None,
        }
    }
}

pub(super) fn change(step: &Step) -> Option<Change> {
    let slots = |voters: &[super::Voter]| voters.iter().map(|voter| voter.slot).collect();
    match (&step.action, step.slot) {
        (Action::Put { body, .. }, Some(slot)) if step.action.boots_server() => {
            Some(Change::Joins { slot, zone: place_in(body).zone })
        }
        (Action::Ask { slot, request, remaining, .. }, _) => match request {
            RequestAction::Leave => Some(Change::Leaves { slot: *slot, seen: slots(remaining) }),
            // Nobody goes by these. No plan asks for what this version does not know.
            RequestAction::Snapshot
            | RequestAction::RenewCertificate
            | RequestAction::TransferLeadership
            | RequestAction::TakeBackUpgrade
            | RequestAction::SupportBundle
            | RequestAction::Restore
            | RequestAction::TakeLeadership
            | RequestAction::RemoveServer
            | RequestAction::Unknown => None,
        },
        (Action::Delete { kind: Kind::ScaleSet, .. }, Some(slot)) => Some(Change::Dies { slot }),
        (Action::Restart { is_off: true, .. }, _) => None,
        (Action::Restart { slot, .. }, _) => Some(Change::Restarts { slot: *slot }),
        (Action::WriteDocument { restarts_servers: true, .. }, _) => Some(Change::Rolls),
        (Action::WaitHealthy { voters, .. }, _) => Some(Change::Seen { slots: slots(voters) }),
        _ => None,
    }
}

/// A set of projected steps, one bit each. Nine slots with five steps each, and what concerns all of them, fit.
pub(super) type State = u128;

/// The DAG on the steps that change voters only, in an order that the DAG allows.
pub(super) struct Projection {
    /// Step id and what it does to the voters.
    pub(super) steps: Vec<(String, Change)>,
    /// For each step the ones that must be done before.
    before: Vec<State>,
    /// The first step that did not fit into a [`State`].
    pub(super) beyond: Option<String>,
}

impl Projection {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut found: Vec<_> = plan
            .steps()
            .into_iter()
            .filter_map(|(index, step)| Some((index, step.id.clone(), change(step)?)))
            .collect();
        let beyond = found.get(State::BITS as usize).map(|(_, id, _)| id.clone());
        found.truncate(State::BITS as usize);
        let before = found
            .iter()
            .map(|(later, ..)| {
                let earlier = found.iter().enumerate();
                earlier
                    .filter(|(_, (other, ..))| plan.waits_for(*later, *other))
                    .fold(0, |set, (at, _)| set | bit(at))
            })
            .collect();
        let steps = found.into_iter().map(|(_, id, change)| (id, change)).collect();
        Self { steps, before, beyond }
    }

    pub(super) fn before(&self, at: usize) -> State {
        self.before.get(at).copied().unwrap_or(0)
    }

    /// Steps that may be under way in this state.
    pub(super) fn under_way(&self, state: State) -> impl Iterator<Item = usize> + '_ {
        (0..self.steps.len())
            .filter(move |at| state & bit(*at) == 0 && self.before(*at) & !state == 0)
    }

    /// Every down-set, the empty one first.
    pub(super) fn down_sets(&self) -> Vec<State> {
        let mut seen = BTreeSet::from([0]);
        let mut open = vec![0];
        while let Some(state) = open.pop() {
            for next in self.under_way(state) {
                let larger = state | bit(next);
                if seen.insert(larger) {
                    open.push(larger);
                }
            }
        }
        seen.into_iter().collect()
    }
}

pub(super) fn bit(at: usize) -> State {
    1 << at
}
