//! What the leading server does next about versions of Consul, and whether a server may go to another one now. Pure.

use std::time::Duration;

use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact, ConsulStatus, ServerStatus};
use hcs_planner::maintenance::{Opening, Work};
use hcs_planner::observed::is_same_consul;
use hcs_planner::upgrade::{By, Upgrade, UpgradePhase, in_force, work};
use jiff::{SignedDuration, Timestamp};
use semver::Version;

/// So much of a window has to be left for a server to begin: its restart and a look at it fit in.
const ROOM_IN_WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// The server that was restarted says first that it is not well.
const LOOK: Duration = Duration::from_secs(20);

/// What the leading server sees.
pub struct Sight<'a> {
    /// The document as it is written.
    pub cluster: &'a ClusterDocument,
    /// What was noted last.
    pub upgrade: Option<&'a Upgrade>,
    /// What all servers say, this one among them.
    pub statuses: &'a [ServerStatus],
    /// What its own Consul says.
    pub own: &'a ConsulStatus,
    /// How long that has not been well.
    pub unwell_for: Duration,
    /// For how long a server may be away that is restarted.
    pub recovery_max: Duration,
    /// Releases that the index offers, if it was asked.
    pub offered: &'a [Version],
    /// Now.
    pub now: Timestamp,
}

/// What it does.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// Fetches and verifies a release, so that it can be chosen.
    Fetch(Version),
    /// Takes a snapshot, then notes this.
    Begin(Box<Upgrade>),
    /// Notes this.
    Note(Box<Upgrade>),
}

/// A new way, as it begins.
pub struct Way {
    /// From.
    pub from: ConsulArtifact,
    /// To.
    pub to: ConsulArtifact,
    /// Who wants it.
    pub by: By,
}

impl Way {
    /// In this phase.
    pub fn note(self, id: String, phase: UpgradePhase, generation: u64, now: Timestamp) -> Upgrade {
        Upgrade {
            id,
            from: self.from,
            to: self.to,
            by: self.by,
            phase,
            generation,
            since: now.to_string(),
            reason: None,
            snapshot: None,
            not_before: None,
            unknown: std::collections::BTreeMap::new(),
        }
    }
}

impl Sight<'_> {
    /// What is to be done now.
    pub fn next(&self, new_id: &str) -> Next {
        let cluster = self.cluster;
        let runs = in_force(cluster, self.upgrade);
        // What a declaration wants and nobody has begun. On the way back the note itself says what is in force.
        let is_noted = self.upgrade.and_then(Upgrade::decided) == Some(runs);
        if !is_noted && *runs == cluster.consul && self.some_run_another(&cluster.consul.version) {
            let from = cluster.consul_before.as_deref().unwrap_or(&cluster.consul).clone();
            let way = Way { from, to: cluster.consul.clone(), by: By::Declaration };
            let begun =
                way.note(new_id.to_owned(), UpgradePhase::Running, cluster.generation, self.now);
            return if self.can_spare() { Next::Begin(Box::new(begun)) } else { Next::Nothing };
        }
        match self.upgrade {
            Some(upgrade) if upgrade.phase == UpgradePhase::Running => self.go_on(upgrade),
            Some(upgrade) if upgrade.phase == UpgradePhase::Stopped => self.go_on_later(upgrade),
            Some(upgrade) if upgrade.phase == UpgradePhase::Unknown => Next::Nothing,
            _ => self.follow_the_channel(runs),
        }
    }

    fn all_run(&self, version: &Version) -> bool {
        self.cluster.slots.iter().all(|slot| {
            let status = self.statuses.iter().find(|status| status.slot == *slot);
            let consul = status.and_then(|status| status.consul.as_ref());
            consul.is_some_and(|consul| is_same_consul(&consul.version, version))
        })
    }

    /// Whether a server says that it runs another one; who says nothing is being made, or ill.
    fn some_run_another(&self, version: &Version) -> bool {
        let of_cluster =
            self.statuses.iter().filter(|status| self.cluster.slots.contains(&status.slot));
        let mut consuls = of_cluster.filter_map(|status| status.consul.as_ref());
        consuls.any(|consul| !is_same_consul(&consul.version, version))
    }

    /// Whether every server works by this document: one that works by an older one may be about to restart for another.
    fn all_have_read(&self) -> bool {
        self.cluster.slots.iter().all(|slot| {
            let status = self.statuses.iter().find(|status| status.slot == *slot);
            status.and_then(|status| status.document_generation) >= Some(self.cluster.generation)
        })
    }

    /// Whether the cluster is whole, and serves on without any one server.
    fn can_spare(&self) -> bool {
        let voters = self.own.voters.len();
        self.own.healthy
            && voters == self.cluster.slots.len()
            && self.all_have_read()
            && (voters == 1 || self.own.failure_tolerance > 0)
    }

    /// When a server may begin next; now, if it may. `None`: never, as far as windows are known.
    fn begins(&self, upgrade: &Upgrade) -> Option<Timestamp> {
        let opening = opening(self.cluster, upgrade, self.now)?;
        match opening {
            opening if has_room(&opening, self.now) => Some(self.now),
            opening if opening.is_open(self.now) => self.begins_after(upgrade, opening.end),
            opening => Some(opening.start),
        }
    }

    fn begins_after(&self, upgrade: &Upgrade, at: Timestamp) -> Option<Timestamp> {
        opening(self.cluster, upgrade, at).map(|opening| opening.start)
    }

    fn go_on(&self, upgrade: &Upgrade) -> Next {
        if self.own.healthy && self.all_run(&upgrade.to.version) {
            let done = Upgrade { not_before: None, reason: None, ..upgrade.clone() };
            return self.noted(done, UpgradePhase::Done);
        }
        if self.unwell_for > self.recovery_max + LOOK {
            let reason =
                "the cluster is not healthy since a server was restarted for it".to_owned();
            return self
                .noted(Upgrade { reason: Some(reason), ..upgrade.clone() }, UpgradePhase::Stopped);
        }
        // A window that is over is told.
        let not_before = match self.begins(upgrade) {
            _ if upgrade.by != By::Channel => None,
            Some(at) if at > self.now => Some(at.to_string()),
            _ => upgrade.not_before.clone().filter(|at| is_later(at, self.now)),
        };
        if not_before == upgrade.not_before {
            return Next::Nothing;
        }
        Next::Note(Box::new(Upgrade { not_before, ..upgrade.clone() }))
    }

    /// A server that was not well has come back by itself: the way goes on in the window after this one.
    fn go_on_later(&self, upgrade: &Upgrade) -> Next {
        if self.all_run(&upgrade.to.version) && self.own.healthy {
            let done = Upgrade { reason: None, not_before: None, ..upgrade.clone() };
            return self.noted(done, UpgradePhase::Done);
        }
        if !self.can_spare() || self.unwell_for > Duration::ZERO {
            return Next::Nothing;
        }
        let is_bound = upgrade.by == By::Channel && !self.cluster.maintenance.windows.is_empty();
        let not_before = is_bound.then(|| {
            let opening = opening(self.cluster, upgrade, self.now)?;
            let is_open = opening.is_open(self.now);
            let next =
                if is_open { self.begins_after(upgrade, opening.end) } else { Some(opening.start) };
            next.map(|at| at.to_string())
        });
        let again = Upgrade { reason: None, not_before: not_before.flatten(), ..upgrade.clone() };
        self.noted(again, UpgradePhase::Running)
    }

    fn noted(&self, upgrade: Upgrade, phase: UpgradePhase) -> Next {
        let (since, generation) = (self.now.to_string(), self.cluster.generation);
        Next::Note(Box::new(Upgrade { phase, since, generation, ..upgrade }))
    }

    fn follow_the_channel(&self, runs: &ConsulArtifact) -> Next {
        let channel = self.cluster.maintenance.channel;
        let chosen = self.upgrade.filter(|upgrade| upgrade.phase == UpgradePhase::Chosen);
        let taken_back = self
            .upgrade
            .filter(|upgrade| upgrade.phase == UpgradePhase::TakenBack)
            .map(|one| &one.to);
        let offered = self
            .offered
            .iter()
            .filter(|version| taken_back.is_none_or(|refused| refused.version != **version));
        let schedule = self.cluster.maintenance.schedule();
        let never = |work: Work| schedule.opening(work, self.now).is_none();
        let first = schedule.opening(Work::Fix, self.now);
        // What an exclusion puts off does not hold up a fix that may come before.
        let later = |work: Work| {
            schedule.opening(work, self.now).map(|one| one.start) > first.map(|one| one.start)
        };
        let best = channel
            .next(&runs.version, offered.clone(), |work| never(work) || later(work))
            .or_else(|| channel.next(&runs.version, offered, never));
        if let Some(best) = best
            && chosen.is_none_or(|chosen| chosen.to.version != *best)
        {
            return Next::Fetch(best.clone());
        }
        let Some(chosen) = chosen else { return Next::Nothing };
        let is_allowed = channel.next(&runs.version, [&chosen.to.version], never).is_some()
            && chosen.from == *runs;
        let reason =
            (!is_allowed).then(|| "what is declared does not ask for it any more".to_owned());
        let begins = self.begins(chosen).filter(|_| is_allowed);
        if begins == Some(self.now) && self.can_spare() {
            let begun = Upgrade { not_before: None, reason: None, ..chosen.clone() };
            let (since, generation) = (self.now.to_string(), self.cluster.generation);
            let phase = UpgradePhase::Running;
            return Next::Begin(Box::new(Upgrade { phase, since, generation, ..begun }));
        }
        let not_before = begins.filter(|at| *at > self.now).map(|at| at.to_string());
        if (&not_before, &reason) == (&chosen.not_before, &chosen.reason) {
            return Next::Nothing;
        }
        Next::Note(Box::new(Upgrade { not_before, reason, ..chosen.clone() }))
    }
}

fn opening(cluster: &ClusterDocument, upgrade: &Upgrade, at: Timestamp) -> Option<Opening> {
    let work = work(&upgrade.from.version, &upgrade.to.version);
    cluster.maintenance.schedule().opening(work, at)
}

fn has_room(opening: &Opening, now: Timestamp) -> bool {
    opening.is_open(now) && opening.end.duration_since(now) >= ROOM_IN_WINDOW
}

fn is_later(at: &str, now: Timestamp) -> bool {
    at.parse::<Timestamp>().is_ok_and(|at| at > now)
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
            let is_open = upgrade.by == By::Declaration
                || opening(cluster, upgrade, now).is_some_and(|opening| has_room(&opening, now));
            (is_early || !is_open).then_some("the upgrade goes on in the next maintenance window")
        }
        _ => Some(UNKNOWN),
    }
}

/// Why an upgrade cannot be taken back; none when it can.
pub fn stays(
    cluster: &ClusterDocument,
    upgrade: &Upgrade,
    statuses: &[ServerStatus],
) -> Option<String> {
    let to = &upgrade.to.version;
    if !matches!(upgrade.phase, UpgradePhase::Running | UpgradePhase::Stopped) {
        return Some(format!("nothing is under way. {}", upgrade.told()));
    }
    if upgrade.from.version == *to {
        return Some("what ran before is not known".to_owned());
    }
    let instead = upgrade.snapshot.as_deref().map_or_else(String::new, |name| {
        format!(" The snapshot of before is {name}, for a cluster of the version before.")
    });
    cluster.slots.iter().find_map(|slot| {
        let Some(status) = statuses.iter().find(|status| status.slot == *slot) else {
            return Some(format!("server {slot} does not say whether it has led with Consul {to}"));
        };
        let leads = status
            .consul
            .as_ref()
            .is_some_and(|consul| consul.is_leader && is_same_consul(&consul.version, to));
        let has_led = status.led_with.as_ref().is_some_and(|version| version >= &plain(to));
        (leads || has_led).then(|| {
            format!(
                "{} has led with Consul {to}, so the log may hold what {} cannot read.{instead}",
                status.node_name, upgrade.from.version
            )
        })
    })
}

/// The numbers alone, as Consul reports them.
pub fn plain(version: &Version) -> Version {
    Version::new(version.major, version.minor, version.patch)
}

#[cfg(test)]
mod tests;
