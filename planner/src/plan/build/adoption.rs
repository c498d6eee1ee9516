//! A cluster that takes over from servers of before: its own join them one after the other.

use super::{Planner, Servers};
use crate::desired::object;
use crate::plan::graph::StepRef;
use crate::plan::{Action, PlanError};

impl Planner<'_> {
    /// Without the secrets of before the servers would be let in nowhere.
    pub(super) fn check_adoption(&self) -> Result<(), PlanError> {
        match &self.observed.adoption {
            Some(adoption) if !adoption.is_prepared => Err(PlanError::AdoptionUnprepared),
            _ => Ok(()),
        }
    }

    /// Each new server votes before the next one is made: never is more than one of all voters fresh.
    pub(super) fn join_in_turn(&mut self, servers: &Servers) {
        if self.observed.adoption.is_none() {
            return;
        }
        let mut voters = self.situation.voters();
        let mut before: Option<StepRef> = None;
        for slot in servers.missing.iter().copied() {
            let Some((first, last)) = self.writes.get(&object::server(slot)).copied() else {
                continue;
            };
            if let Some(before) = before {
                self.draft.edge(before, first);
            }
            voters.insert(slot);
            let (voters, consul_version) = (self.voters(&voters), self.awaited_version());
            let action = Action::WaitHealthy { voters, consul_version };
            let joined =
                self.draft.add(format!("wait until server_{slot} votes"), action, Some(slot));
            self.draft.edge(last, joined);
            before = Some(joined);
        }
    }
}
