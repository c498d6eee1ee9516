//! Where the servers stand when a plan begins: who votes, who is on the way out, who leads, and in which zone each is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::build::look::{has_failed, is_going};
use super::{MAX_SLOTS, Voter};
use crate::dataplane::ServerStatus;
use crate::desired::{Desired, object, place_in};
use crate::diff::differs_in;
use crate::effect::Effect;
use crate::names::Names;
use crate::observed::{LOST_AFTER_SECONDS, Observed, other_version_reason};
use crate::reference::point;
use crate::requests::leave_request_id;
use crate::spec::ClusterSpec;

/// The servers as a plan finds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// Slots whose scale set exists and whose server votes or is about to, with its zone.
    pub present: BTreeMap<u32, Option<String>>,
    /// Slots whose scale set exists, but whose server never came up and is not waited for: its set failed, or it is a
    /// helper of another kind than is needed now and no other server knows it.
    pub unborn: BTreeSet<u32>,
    /// Slots whose scale set exists, but whose server is lost: it or its Consul has long been silent, and the others,
    /// who have a leader, go on without it.
    pub lost: BTreeSet<u32>,
    /// Those of [`Self::present`] that were asked to leave by a run that did not end, whether they have left or not.
    pub leaving: BTreeSet<u32>,
    /// Those of [`Self::leaving`] that have left.
    pub left: BTreeSet<u32>,
    /// The leader, if a fresh status names it.
    pub leader: Option<u32>,
    /// Whether some server does not run the version of the document yet: the host managers may be restarting others.
    pub is_rolling: bool,
}

impl Situation {
    /// As observed.
    pub fn new(spec: &ClusterSpec, observed: &Observed) -> Self {
        let names = Names::new(spec);
        let mut situation = Self::default();
        for slot in 0..MAX_SLOTS {
            let Some(body) = observed.object(&names.scale_set(slot)) else { continue };
            // One that is being deleted, or whose machine somebody deleted, is as good as gone.
            if is_going(body) {
                continue;
            }
            if is_lost(&names, observed, slot, body) {
                situation.lost.insert(slot);
                continue;
            }
            let unique = point(body, "/properties/uniqueId").and_then(Value::as_str);
            let request = leave_request_id(&names.server(slot), unique.unwrap_or_default());
            let asked = observed.leave_requests.get(&slot).is_some_and(|asked| asked.id == request);
            let status = observed.servers.get(&slot).map(|server| &server.status);
            let done = status.is_some_and(|status| status.done_requests.contains(&request));
            // Who left has lived.
            if !done && is_unborn(spec, &names, observed, slot, body) {
                situation.unborn.insert(slot);
                continue;
            }
            situation.present.insert(slot, place_in(body).zone);
            if asked || done {
                situation.leaving.insert(slot);
            }
            if done {
                situation.left.insert(slot);
            }
        }
        let leads =
            |status: &&ServerStatus| status.consul.as_ref().is_some_and(|consul| consul.is_leader);
        situation.leader = observed.fresh().find(leads).map(|status| status.slot);
        if let Some(document) = &observed.document {
            let voter = |slot: u32| Voter { slot, node_name: names.server(slot) };
            let voters: Vec<Voter> = situation.voters().into_iter().map(voter).collect();
            let version = &document.consul.version;
            situation.is_rolling =
                other_version_reason(&voters, version, observed.fresh()).is_some();
        }
        situation
    }

    /// Whether the scale set of a slot has no server any more, and goes without asking one.
    pub(super) fn is_void(&self, slot: u32) -> bool {
        self.unborn.contains(&slot) || self.lost.contains(&slot)
    }

    /// Slots that have a vote and keep it.
    pub fn voters(&self) -> BTreeSet<u32> {
        self.present.keys().copied().filter(|slot| !self.leaving.contains(slot)).collect()
    }
}

fn is_unborn(
    spec: &ClusterSpec,
    names: &Names,
    observed: &Observed,
    slot: u32,
    body: &Value,
) -> bool {
    let has_failed = has_failed(body);
    if !has_failed && slot < spec.server_count {
        return false;
    }
    let name = names.server(slot);
    let mut peers = observed.fresh().filter_map(|status| status.consul.as_ref());
    if peers.any(|consul| consul.peers.contains(&name)) {
        return false;
    }
    // Whose machine has spoken has lived, whatever became of its set: its data may be the only copy.
    if has_failed && !observed.has_spoken(slot, body) {
        return true;
    }
    if slot < spec.server_count {
        return false;
    }
    // Whether the others know it can only be told by others that speak.
    let others_speak =
        observed.fresh().any(|status| status.slot != slot && status.consul.is_some());
    let mut helper = Desired::default();
    helper.add_helper(spec, slot);
    let wanted = helper.objects.get(&object::server(slot));
    let is_other = wanted
        .is_some_and(|wanted| differs_in(wanted.kind, &wanted.body, body, Effect::ReplacesServer));
    others_speak && is_other
}

/// What Consul calls a member of Raft's configuration that gossip does not know: it may be anybody.
const UNKNOWN_PEER: &str = "(unknown)";

fn is_lost(names: &Names, observed: &Observed, slot: u32, body: &Value) -> bool {
    let Some(server) = observed.servers.get(&slot) else { return false };
    // The machine may live and its Consul be dead: of a full disk, for example.
    let Some(age_seconds) = server.age_seconds else { return false };
    let silent_seconds = age_seconds.max(server.status.consul_silent_seconds);
    if silent_seconds < LOST_AFTER_SECONDS || server.is_of(body) != Some(true) {
        return false;
    }
    let name = names.server(slot);
    let others = || observed.fresh().filter_map(|status| status.consul.as_ref());
    others().any(|consul| consul.leader.is_some())
        && others()
            .all(|consul| !consul.peers.iter().any(|peer| *peer == name || peer == UNKNOWN_PEER))
}
