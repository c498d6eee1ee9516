//! Where the servers stand when a plan begins: who votes, who is on the way out, who leads, and in which zone each is.

use std::collections::{BTreeMap, BTreeSet};

use crate::dataplane::leave_request_id;
use crate::desired::place_in;
use crate::names::Names;
use crate::observed::Observed;
use crate::reference::point;

use super::MAX_SLOTS;
use super::build::look::is_going;

/// The servers as a plan finds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// Slots whose scale set exists, with its zone.
    pub present: BTreeMap<u32, Option<String>>,
    /// Those of them that were asked to leave by a run that did not end, whether they have left or not.
    pub leaving: BTreeSet<u32>,
    /// Those of [`Self::leaving`] that have left.
    pub left: BTreeSet<u32>,
    /// The leader, if a fresh status names it.
    pub leader: Option<u32>,
}

impl Situation {
    /// As observed.
    pub fn new(names: &Names, observed: &Observed) -> Self {
        let mut situation = Self::default();
        for slot in 0..MAX_SLOTS {
            let Some(body) = observed.object(&names.scale_set(slot)) else { continue };
            // One that is being deleted is as good as gone.
            if is_going(body) {
                continue;
            }
            situation.present.insert(slot, place_in(body).zone);
            let unique = point(body, "/properties/uniqueId").and_then(serde_json::Value::as_str);
            let request = leave_request_id(&names.server(slot), unique.unwrap_or_default());
            let asked = observed.leave_requests.get(&slot).is_some_and(|asked| asked.id == request);
            let status = observed.servers.get(&slot).map(|server| &server.status);
            let done = status.is_some_and(|status| status.done_requests.contains(&request));
            if asked || done {
                situation.leaving.insert(slot);
            }
            if done {
                situation.left.insert(slot);
            }
        }
        let leads = |status: &&crate::dataplane::ServerStatus| {
            status.consul.as_ref().is_some_and(|consul| consul.is_leader)
        };
        situation.leader = observed.fresh().find(leads).map(|status| status.slot);
        situation
    }

    /// Slots that have a vote and keep it.
    pub fn voters(&self) -> BTreeSet<u32> {
        self.present.keys().copied().filter(|slot| !self.leaving.contains(slot)).collect()
    }
}
