//! Which Consul a server is to run now. Pure.

use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact, ServerStatus};
use hcs_planner::observed::is_same_consul;
use hcs_planner::upgrade::{By, Upgrade, UpgradePhase, in_force, work};
use jiff::Timestamp;
use semver::Version;

use super::{is_later, plain};

/// What a server knows when it asks.
pub struct Turn<'a> {
    /// The document as it is written.
    pub cluster: &'a ClusterDocument,
    /// What was noted last.
    pub upgrade: Option<&'a Upgrade>,
    /// What the others say.
    pub peers: &'a [ServerStatus],
    /// Whether it is a server of the cluster already.
    pub is_member: bool,
    /// Whether a Consul runs here.
    pub is_active: bool,
    /// Which one that is, or was last; none where that is not known.
    pub ran: Option<&'a ConsulArtifact>,
    /// The newest with which this server has ever led.
    pub led_with: Option<&'a Version>,
    /// Now.
    pub now: Timestamp,
}

impl<'a> Turn<'a> {
    /// The Consul to run. A member goes to another one by a restart in its turn alone: whatever started its Consul anew, it
    /// starts what it ran. Only the way back is open to a Consul that does not run.
    pub fn consul(&self) -> &'a ConsulArtifact {
        let wanted = in_force(self.cluster, self.upgrade);
        let waits = waits_for(self.cluster, self.upgrade, self.now).is_some();
        if !self.is_member {
            let leads = |peer: &ServerStatus| peer.consul.as_ref().is_some_and(|one| one.is_leader);
            let goes = self.upgrade.filter(|one| one.phase == UpgradePhase::Running);
            // While nobody leads, one that came with what the leader ran before the way stays at that: its turn comes when
            // it is a member.
            return match self.ran.zip(goes) {
                Some((ran, goes)) if *ran == goes.from && !self.peers.iter().any(leads) => ran,
                _ => self.what_the_leader_runs(wanted),
            };
        }
        let Some(ran) = self.ran else {
            let may_go = self.is_active && !waits;
            return if may_go { wanted } else { self.what_the_leader_runs(wanted) };
        };
        if let Some(back) = self.upgrade.filter(|one| one.phase == UpgradePhase::TakenBack)
            && *ran == back.to
        {
            return if self.some_led_beyond(&back.from.version) { ran } else { &back.from };
        }
        if ran.version == wanted.version {
            return wanted;
        }
        // On the way back still, whatever was noted since.
        if wanted.version < ran.version {
            let stays = waits || self.some_led_beyond(&wanted.version);
            return if stays { ran } else { wanted };
        }
        if waits || !self.is_active { ran } else { wanted }
    }

    /// Whether this server, or another one as far as it says, has led with a newer Consul than this. Who boots while the
    /// leader of the new version cannot write learns it by no note.
    fn some_led_beyond(&self, version: &Version) -> bool {
        let others = self.peers.iter().map(|peer| peer.led_with.as_ref());
        others.chain([self.led_with]).any(|led_with| has_led_beyond(version, led_with))
    }

    /// Whoever comes new begins with what leads: what that writes, an older one may not be able to read, and a newer one
    /// has its turn later.
    fn what_the_leader_runs(&self, wanted: &'a ConsulArtifact) -> &'a ConsulArtifact {
        // A server that hangs may have said long ago that it leads: the newest that says so counts.
        let said = self.peers.iter().filter_map(|peer| peer.consul.as_ref());
        let first =
            said.max_by_key(|consul| (consul.is_leader, consul.version.parse::<Version>().ok()));
        let Some(first) = first else { return wanted };
        let known = known(self.cluster, self.upgrade);
        known.into_iter().find(|one| is_same_consul(&first.version, &one.version)).unwrap_or(wanted)
    }
}

/// Every Consul that the documents name, the one in force first.
pub fn known<'a>(
    cluster: &'a ClusterDocument,
    upgrade: Option<&'a Upgrade>,
) -> Vec<&'a ConsulArtifact> {
    let noted = upgrade.into_iter().flat_map(|upgrade| [&upgrade.from, &upgrade.to]);
    let declared = [Some(&cluster.consul), cluster.consul_before.as_deref()];
    std::iter::once(in_force(cluster, upgrade))
        .chain(noted)
        .chain(declared.into_iter().flatten())
        .collect()
}

/// Whether a server has led with a newer Consul than this: what it wrote then, this one may not be able to read.
pub fn has_led_beyond(version: &Version, led_with: Option<&Version>) -> bool {
    led_with.is_some_and(|led_with| *led_with > plain(version))
}

/// Why a server that runs another version may not restart with the one in force now; none when it may.
pub fn waits_for(
    cluster: &ClusterDocument,
    upgrade: Option<&Upgrade>,
    now: Timestamp,
) -> Option<&'static str> {
    const UNKNOWN: &str = "the leading server has not begun the upgrade yet";
    let Some(upgrade) = upgrade else { return Some(UNKNOWN) };
    let runs = in_force(cluster, Some(upgrade));
    match upgrade.phase {
        UpgradePhase::TakenBack | UpgradePhase::Chosen if *runs == upgrade.from => None,
        UpgradePhase::Done if *runs == upgrade.to => None,
        UpgradePhase::Stopped if *runs == upgrade.to => Some("the upgrade has stopped"),
        UpgradePhase::Running if *runs == upgrade.to => {
            let is_early = upgrade.not_before.as_deref().is_some_and(|at| is_later(at, now));
            let is_open = upgrade.by == By::Declaration || has_room(cluster, upgrade, now);
            (is_early || !is_open).then_some("the upgrade goes on in the next maintenance window")
        }
        _ => Some(UNKNOWN),
    }
}

/// Whether a window is open, and long enough still for a server.
fn has_room(cluster: &ClusterDocument, upgrade: &Upgrade, now: Timestamp) -> bool {
    let work = work(&upgrade.from.version, &upgrade.to.version);
    let opening = cluster.maintenance.schedule().opening(work, now);
    opening.is_some_and(|opening| opening.has_room(now))
}

/// Why an upgrade may not begin now; none when it may. A channel leaves the cluster to an apply that works on it. What was
/// declared begins with the apply that declared it, which has looked at the windows; where that did not live to see it,
/// the windows bind it as well.
pub fn may_not_begin(
    cluster: &ClusterDocument,
    upgrade: &Upgrade,
    is_apply_open: bool,
    now: Timestamp,
) -> Option<String> {
    let (to, work) = (&upgrade.to.version, work(&upgrade.from.version, &upgrade.to.version));
    match upgrade.by {
        By::Declaration if is_apply_open || has_room(cluster, upgrade, now) => None,
        By::Declaration => {
            let begins = cluster.maintenance.schedule().begins(work, now);
            let when = begins.map_or_else(
                || "and none comes in the next two years".to_owned(),
                |at| format!("the next one opens at {at}"),
            );
            Some(format!(
                "Consul {to} is declared, and the apply that declared it is over: it begins in a maintenance window, {when}"
            ))
        }
        _ if is_apply_open => Some(format!("Consul {to} waits: an apply works on the cluster")),
        _ => None,
    }
}
