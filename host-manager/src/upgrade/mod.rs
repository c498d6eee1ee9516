//! What the leading server does next about versions of Consul. Pure.

pub mod back;
pub mod turn;

use std::collections::BTreeSet;
use std::time::Duration;

use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact, ConsulStatus, ServerStatus};
use hcs_planner::maintenance::Work;
use hcs_planner::observed::is_same_consul;
use hcs_planner::upgrade::{By, Upgrade, UpgradePhase, in_force, work};
use jiff::Timestamp;
use semver::Version;

use turn::has_led_beyond;

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
    /// How long it has been well.
    pub well_for: Duration,
    /// For how long a server may be away that is restarted.
    pub recovery_max: Duration,
    /// Releases that the index offers, if it was asked.
    pub offered: &'a [Version],
    /// Of these, what could not be had lately.
    pub left_out: &'a BTreeSet<Version>,
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
pub struct Way<'a> {
    /// From.
    pub from: ConsulArtifact,
    /// To.
    pub to: ConsulArtifact,
    /// Who wants it.
    pub by: By,
    /// What was noted before.
    pub after: Option<&'a Upgrade>,
}

impl Way<'_> {
    /// In this phase. What was taken back before stays so, unless it is what is meant now.
    pub fn note(self, id: String, phase: UpgradePhase, generation: u64, now: Timestamp) -> Upgrade {
        let mut refused = self.after.map(Upgrade::refusals).unwrap_or_default();
        refused.retain(|refused| refused.consul != self.to);
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
            has_led: false,
            taken_back_for: None,
            refused,
            unknown: std::collections::BTreeMap::new(),
        }
    }
}

impl Sight<'_> {
    /// What is to be done now.
    pub fn next(&self, new_id: &str) -> Next {
        let cluster = self.cluster;
        if let Some(led) = self.what_has_led() {
            return Next::Note(Box::new(led));
        }
        let runs = in_force(cluster, self.upgrade);
        // What a declaration wants and nobody has begun. On the way back the note itself says what is in force.
        let is_noted = self.upgrade.and_then(Upgrade::decided) == Some(runs);
        if !is_noted && *runs == cluster.consul && self.some_run_another(&cluster.consul.version) {
            // Servers that have not gone the way that is under way stand at its beginning.
            let unfinished = self.upgrade.filter(|upgrade| upgrade.goes_on());
            let before = unfinished.map(|upgrade| &upgrade.from);
            let before = before.or(cluster.consul_before.as_deref());
            let from = before.unwrap_or(&cluster.consul).clone();
            let (to, by, after) = (cluster.consul.clone(), By::Declaration, self.upgrade);
            let (phase, generation) = (UpgradePhase::Running, cluster.generation);
            let begun =
                Way { from, to, by, after }.note(new_id.to_owned(), phase, generation, self.now);
            let has_led = unfinished.is_some_and(|upgrade| upgrade.has_led);
            let snapshot = unfinished.and_then(|upgrade| upgrade.snapshot.clone());
            let begun = Upgrade { has_led, snapshot, ..begun };
            return if self.can_spare() { Next::Begin(Box::new(begun)) } else { Next::Nothing };
        }
        match self.upgrade {
            // What is declared runs everywhere, though nobody went its way: a server that came new brought it.
            Some(upgrade)
                if upgrade.goes_on()
                    && !is_noted
                    && self.own.healthy
                    && self.all_run(&runs.version) =>
            {
                self.arrived(new_id, upgrade, runs)
            }
            Some(upgrade) if upgrade.phase == UpgradePhase::Running => self.go_on(upgrade),
            Some(upgrade) if upgrade.phase == UpgradePhase::Stopped => self.go_on_later(upgrade),
            Some(upgrade) if upgrade.phase == UpgradePhase::Unknown => Next::Nothing,
            // Another note before all are back would leave who has not read this one where it is.
            Some(upgrade)
                if upgrade.phase == UpgradePhase::TakenBack
                    && !self.all_run(&upgrade.from.version) =>
            {
                Next::Nothing
            }
            _ => self.follow_the_channel(runs),
        }
    }

    /// What is in force, and what ended here by another way than the one that was noted.
    fn arrived(&self, new_id: &str, unfinished: &Upgrade, runs: &ConsulArtifact) -> Next {
        let (from, to) = (unfinished.from.clone(), runs.clone());
        let way = Way { from, to, by: By::Declaration, after: Some(unfinished) };
        let generation = self.cluster.generation;
        let done = way.note(new_id.to_owned(), UpgradePhase::Done, generation, self.now);
        Next::Note(Box::new(Upgrade { snapshot: unfinished.snapshot.clone(), ..done }))
    }

    /// A server of the new version leads, or has led: from then on there is only forward, also where it was taken back
    /// before that was known. What led with a version of its own came by another way.
    fn what_has_led(&self) -> Option<Upgrade> {
        let upgrade = self.upgrade.filter(|one| one.goes_on() && !one.has_led)?;
        let (from, to) = (&upgrade.from.version, &upgrade.to.version);
        if from == to {
            return None;
        }
        let leads = self.own.is_leader && is_same_consul(&self.own.version, to);
        let is_taken_back = upgrade.phase == UpgradePhase::TakenBack;
        let has_led = |status: &ServerStatus| {
            let led_with = status.led_with.as_ref();
            if is_taken_back {
                led_with.is_some_and(|led_with| *led_with == plain(to))
            } else {
                has_led_beyond(from, led_with)
            }
        };
        if !leads && !self.of_cluster().any(has_led) {
            return None;
        }
        if !is_taken_back {
            return Some(Upgrade { has_led: true, ..upgrade.clone() });
        }
        let phase = UpgradePhase::Running;
        let since = self.now.to_string();
        let taken_back_for = None;
        Some(Upgrade {
            has_led: true,
            taken_back_for,
            reason: None,
            phase,
            since,
            ..upgrade.clone()
        })
    }

    fn status_of(&self, slot: u32) -> Option<&ServerStatus> {
        self.statuses.iter().find(|status| status.slot == slot)
    }

    /// What the servers of the cluster say: those of its slots, and those that are there for a while and take part.
    fn of_cluster(&self) -> impl Iterator<Item = &ServerStatus> {
        self.statuses.iter().filter(|status| {
            self.cluster.slots.contains(&status.slot)
                || self.cluster.others.contains(&status.slot)
                    && self.own.peers.contains(&status.node_name)
        })
    }

    /// Whether all servers say that they run it.
    fn all_run(&self, version: &Version) -> bool {
        let runs = |status: &ServerStatus| {
            let consul = status.consul.as_ref();
            consul.is_some_and(|consul| is_same_consul(&consul.version, version))
        };
        self.cluster.slots.iter().all(|slot| self.status_of(*slot).is_some())
            && self.of_cluster().all(runs)
    }

    /// Whether a server says that it runs another one; who says nothing is being made, or ill.
    fn some_run_another(&self, version: &Version) -> bool {
        let mut consuls = self.of_cluster().filter_map(|status| status.consul.as_ref());
        consuls.any(|consul| !is_same_consul(&consul.version, version))
    }

    /// Whether every server works by this document: one that works by an older one may be about to restart for another.
    fn all_have_read(&self) -> bool {
        self.of_cluster().all(|status| status.document_generation >= Some(self.cluster.generation))
    }

    /// Whether the cluster is whole, and serves on without any one server. Servers that are there for a while are part of
    /// it as long as they vote.
    fn can_spare(&self) -> bool {
        let votes = |slot: &u32| {
            let status = self.status_of(*slot);
            status.is_some_and(|status| self.own.voters.contains(&status.node_name))
        };
        self.own.healthy
            && self.cluster.slots.iter().all(votes)
            && self.all_have_read()
            && (self.cluster.server_count == 1 || self.own.failure_tolerance > 0)
    }

    /// When a server may begin next; now, if it may. `None`: never, as far as windows are known.
    fn begins(&self, upgrade: &Upgrade, at: Timestamp) -> Option<Timestamp> {
        let work = work(&upgrade.from.version, &upgrade.to.version);
        self.cluster.maintenance.schedule().begins(work, at)
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
        let not_before = match self.begins(upgrade, self.now) {
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
        // One good look is no health: what crashes now and then looks well in between.
        if !self.can_spare() || self.well_for < self.recovery_max {
            return Next::Nothing;
        }
        let is_bound = upgrade.by == By::Channel && !self.cluster.maintenance.windows.is_empty();
        let schedule = self.cluster.maintenance.schedule();
        let not_before = is_bound.then(|| {
            let work = work(&upgrade.from.version, &upgrade.to.version);
            let opening = schedule.opening(work, self.now)?;
            let is_open = opening.is_open(self.now);
            let next =
                if is_open { self.begins(upgrade, opening.end) } else { Some(opening.start) };
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
        let chosen = self.upgrade.filter(|upgrade| upgrade.phase == UpgradePhase::Chosen);
        if let Some(best) = self.best_offer(runs)
            && chosen.is_none_or(|chosen| chosen.to.version != *best)
        {
            return Next::Fetch(best.clone());
        }
        chosen.map_or(Next::Nothing, |chosen| self.begin_what_is_chosen(chosen, runs))
    }

    fn never(&self, work: Work) -> bool {
        self.cluster.maintenance.schedule().opening(work, self.now).is_none()
    }

    /// The release that the cluster goes to next, of those that are offered and can be had.
    fn best_offer(&self, runs: &ConsulArtifact) -> Option<&Version> {
        let channel = self.cluster.maintenance.channel;
        let offered = self.offered.iter().filter(|version| {
            let is_refused = self.upgrade.is_some_and(|upgrade| upgrade.has_refused(version));
            !is_refused && !self.left_out.contains(version)
        });
        let schedule = self.cluster.maintenance.schedule();
        let first = schedule.opening(Work::Fix, self.now);
        // What an exclusion puts off does not hold up a fix that may come before.
        let later = |work: Work| {
            schedule.opening(work, self.now).map(|one| one.start) > first.map(|one| one.start)
        };
        channel
            .next(&runs.version, offered.clone(), |work| self.never(work) || later(work))
            .or_else(|| channel.next(&runs.version, offered, |work| self.never(work)))
    }

    fn begin_what_is_chosen(&self, chosen: &Upgrade, runs: &ConsulArtifact) -> Next {
        let channel = self.cluster.maintenance.channel;
        let next = channel.next(&runs.version, [&chosen.to.version], |work| self.never(work));
        let is_allowed = next.is_some() && chosen.from == *runs;
        let reason =
            (!is_allowed).then(|| "what is declared does not ask for it any more".to_owned());
        let begins = self.begins(chosen, self.now).filter(|_| is_allowed);
        if begins == Some(self.now) && self.can_spare() {
            let (since, generation) = (self.now.to_string(), self.cluster.generation);
            let (phase, chosen) = (UpgradePhase::Running, chosen.clone());
            let begun =
                Upgrade { not_before: None, reason: None, phase, since, generation, ..chosen };
            return Next::Begin(Box::new(begun));
        }
        let not_before = begins.filter(|at| *at > self.now).map(|at| at.to_string());
        if (&not_before, &reason) == (&chosen.not_before, &chosen.reason) {
            return Next::Nothing;
        }
        Next::Note(Box::new(Upgrade { not_before, reason, ..chosen.clone() }))
    }
}

fn is_later(at: &str, now: Timestamp) -> bool {
    at.parse::<Timestamp>().is_ok_and(|at| at > now)
}

/// The numbers alone, as Consul reports them.
pub fn plain(version: &Version) -> Version {
    Version::new(version.major, version.minor, version.patch)
}

#[cfg(test)]
mod tests;
