//! What must hold whatever happens, said without the product's functions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact};
use hcs_planner::maintenance::Work;
use hcs_planner::upgrade::{By, Maintenance, Upgrade, UpgradePhase};
use jiff::Timestamp;
use semver::Version;

/// What happened so far, and what was broken.
#[derive(Default)]
pub(crate) struct Laws {
    /// The newest version that ever led.
    newest_leader: Option<Version>,
    /// Servers that were started with a release that does not serve.
    broken: BTreeMap<Version, BTreeSet<u32>>,
    /// What was taken back, and not declared again since.
    pub(crate) taken_back: BTreeSet<Version>,
    /// What was broken, in words.
    pub(crate) faults: Vec<String>,
    pub(crate) counts: Counts,
    /// One year alone is told whole.
    pub(crate) keeps_all: bool,
    /// The last things that happened, to be read beside a fault.
    pub(crate) past: VecDeque<String>,
}

/// For the printout.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) begun: u64,
    pub(crate) done: u64,
    pub(crate) stopped: u64,
    pub(crate) taken_back: u64,
    pub(crate) restarts: u64,
    pub(crate) elections: u64,
}

impl Counts {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            begun: self.begun + other.begun,
            done: self.done + other.done,
            stopped: self.stopped + other.stopped,
            taken_back: self.taken_back + other.taken_back,
            restarts: self.restarts + other.restarts,
            elections: self.elections + other.elections,
        }
    }
}

/// So much of the past is kept.
const PAST: usize = 40;

impl Laws {
    pub(crate) fn happens(&mut self, now: Timestamp, told: &str) {
        if self.past.len() == PAST && !self.keeps_all {
            self.past.pop_front();
        }
        self.past.push_back(format!("{now}: {told}"));
    }

    fn fault(&mut self, now: Timestamp, told: &str) {
        self.faults.push(format!("{now}: {told}"));
    }

    /// A server begins to lead.
    pub(crate) fn leads(&mut self, version: &Version) {
        self.counts.elections += 1;
        if self.newest_leader.as_ref().is_none_or(|newest| newest < version) {
            self.newest_leader = Some(version.clone());
        }
    }

    /// A bad release costs one server.
    pub(crate) fn starts_broken(&mut self, version: &Version, slot: u32) {
        let reached = self.broken.entry(version.clone()).or_default();
        reached.insert(slot);
        if reached.len() > 1 {
            let told = format!("{version} does not serve and reached servers {reached:?}");
            self.faults.push(told);
        }
    }

    /// Whatever it was started with, nobody knows any more.
    pub(crate) fn forgets(&mut self, slot: u32) {
        for reached in self.broken.values_mut() {
            reached.remove(&slot);
        }
    }

    /// A member is started with another version than before.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn changes(
        &mut self,
        now: Timestamp,
        slot: u32,
        before: &ConsulArtifact,
        after: &ConsulArtifact,
        note: Option<&Upgrade>,
        maintenance: &Maintenance,
        is_one_at_a_time: bool,
    ) {
        self.counts.restarts += 1;
        let (before, after) = (&before.version, &after.version);
        let told = |what: &str| format!("server {slot} goes from {before} to {after} {what}");
        if after < before {
            if self.newest_leader.as_ref().is_some_and(|newest| newest > after) {
                self.fault(now, &told("after a newer one has led"));
            }
            return;
        }
        if !is_one_at_a_time {
            self.fault(now, &told("out of turn, or while another server is away"));
        }
        let Some(note) = note else {
            return self.fault(now, &told("before anybody noted it"));
        };
        if note.snapshot.is_none() {
            self.fault(now, &told("without a snapshot"));
        }
        let work = if before.minor == after.minor { Work::Fix } else { Work::NewSeries };
        let is_open = maintenance.schedule().opening(work, now).is_some_and(|one| one.is_open(now));
        if note.by == By::Channel && note.phase == UpgradePhase::Running && !is_open {
            self.fault(now, &told("while no window is open"));
        }
    }

    /// Somebody writes a note.
    pub(crate) fn notes(
        &mut self,
        now: Timestamp,
        before: Option<&Upgrade>,
        note: &Upgrade,
        document: &ClusterDocument,
        is_apply_open: bool,
    ) {
        let to = &note.to.version;
        let was = before.filter(|before| before.id == note.id).map(|before| before.phase);
        let count = |phase| u64::from(note.phase == phase && was != Some(phase));
        self.counts.begun += u64::from(
            note.phase == UpgradePhase::Running
                && !matches!(was, Some(UpgradePhase::Running | UpgradePhase::Stopped)),
        );
        self.counts.done += count(UpgradePhase::Done);
        self.counts.stopped += count(UpgradePhase::Stopped);
        self.counts.taken_back += count(UpgradePhase::TakenBack);
        if note.phase == UpgradePhase::TakenBack && was != Some(UpgradePhase::TakenBack) {
            self.taken_back.insert(to.clone());
        }
        // Unless it has led before the take-back was known, which only goes on.
        let comes = matches!(note.phase, UpgradePhase::Chosen | UpgradePhase::Running);
        let is_again = self.taken_back.contains(to);
        if comes && is_again && !note.has_led {
            self.fault(now, &format!("{to} was taken back and comes again: {note:?}"));
        }
        let begins = note.phase == UpgradePhase::Running
            && was.is_none_or(|was| was == UpgradePhase::Chosen);
        let work = if note.from.version.minor == to.minor { Work::Fix } else { Work::NewSeries };
        let is_open = |at: Timestamp| {
            let schedule = document.maintenance.schedule();
            schedule.opening(work, at).is_some_and(|one| one.is_open(at))
        };
        // A snapshot is taken in between.
        let a_while_ago = now - jiff::SignedDuration::from_secs(90);
        let is_of_an_apply = note.by == By::Declaration && is_apply_open;
        if begins && !is_open(now) && !is_open(a_while_ago) && !is_of_an_apply {
            self.fault(now, &format!("begins while no window is open: {note:?}"));
        }
        let is_risen =
            was == Some(UpgradePhase::TakenBack) && note.phase != UpgradePhase::TakenBack;
        if is_risen && !note.has_led {
            self.fault(now, &format!("a way that was taken back goes on: {note:?}"));
        }
    }
}
