//! One case: a scenario with faults, the run that meets them, the next run, and the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use hcs_judge::{Snapshot, differences};
use hcs_simulator::estate::fingerprint;
use hcs_simulator::{CallFault, Script, Strike};

use crate::Failure;
use crate::canary;
use crate::run::{Drive, End, Subject};
use crate::scenario::Scenario;
use crate::snapshot::snapshot;

/// What all cases of a scenario share.
pub struct Stage {
    /// The scenario.
    pub scenario: Scenario,
    /// Where it begins.
    pub start: Subject,
    wanted: Snapshot,
    /// Estates, and what a state knows of them, from which the next run is known to end well; with what it came to.
    known: Mutex<BTreeMap<(u64, bool), u64>>,
    /// Whether secrets are looked for in what each run leaves.
    pub watches_secrets: bool,
    /// Estates that were looked at by the judge and left alone by one more run.
    finished: Mutex<BTreeSet<u64>>,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How the run with the faults ended.
    pub end: End,
    /// Which faults struck.
    pub struck: Vec<Strike>,
    /// One number for the calls, faults and answers of that run.
    pub trace: u64,
    /// One number for the estate that it left.
    pub left: u64,
    /// One number for the estate in the end.
    pub last: u64,
    /// What is wrong; nothing: the case is good.
    pub wrong: Vec<String>,
}

impl Stage {
    /// Sets a scenario up.
    pub fn new(scenario: Scenario) -> Result<Self, Failure> {
        let mut start = scenario.start()?;
        start.changed_secrets();
        if let Some(servers) = &mut start.estate.servers {
            servers.quorum().forget();
        }
        let wanted = snapshot(&scenario.wanted()?.estate);
        let (known, finished) = Default::default();
        Ok(Self { scenario, start, wanted, known, watches_secrets: false, finished })
    }

    /// Runs a case from the scenario's start.
    pub fn case(&self, strikes: &[Strike]) -> Verdict {
        let mut subject = self.start.clone();
        let drive = Drive::by(Script::of(strikes));
        let end = subject.go(&self.scenario, &drive);
        let trace = drive.script.trace();
        let impatient = drive.script.impatient();
        self.conclude(subject, end, drive.script.struck(), trace, impatient)
    }

    /// Judges an estate that a run has left.
    pub fn conclude(
        &self,
        mut subject: Subject,
        end: End,
        struck: Vec<Strike>,
        trace: u64,
        mut wrong: Vec<String>,
    ) -> Verdict {
        if let End::Hung(stuck) = &end {
            wrong.push(format!("the run would never have ended: {stuck:?}"));
        }
        if let End::Failed(words) = &end
            && words.trim().is_empty()
        {
            wrong.push("the run failed without a word".to_owned());
        }
        if self.watches_secrets {
            wrong.extend(canary::found(&subject.estate, &end, canary::take_log()));
        }
        let left = fingerprint(&subject.estate);
        let key = (left, subject.incarnation_id.is_some());
        self.watch(&mut subject, &mut wrong);
        let known = lock(&self.known).get(&key).copied();
        if let Some(last) = known {
            return Verdict { end, struck, trace, left, last, wrong };
        }
        let mut next = end.clone();
        // One more run brings it to its end. An operation that takes longer than a run waits for takes another, and so does
        // one that is to fail and whose end no run has seen yet, because it was killed or something else ended it.
        let is_late = |strike: &&Strike| match strike.fault {
            CallFault::Slow => true,
            CallFault::Fails | CallFault::Cancels | CallFault::Preempted | CallFault::NoRoom => {
                struck.len() > 1 || end == End::Killed
            }
            _ => false,
        };
        let late = struck.iter().filter(is_late).count();
        let mut runs = 0;
        while next != End::Complete && runs < 1 + late {
            next = subject.go(&self.scenario, &Drive::quiet());
            runs += 1;
            if subject.import(&next) {
                next = subject.go(&self.scenario, &Drive::quiet());
            }
        }
        if next != End::Complete {
            wrong.push(format!("after {runs} more run it is {next:?} (first: {end:?})"));
        }
        self.watch(&mut subject, &mut wrong);
        let is_tagged = struck.iter().any(|strike| strike.fault == CallFault::Tagged);
        if is_tagged && subject.estate.world.tagged_by_somebody() == 0 {
            wrong.push("a tag that somebody else gave is gone".to_owned());
        }
        let last = fingerprint(&subject.estate);
        if wrong.is_empty() && !lock(&self.finished).contains(&last) {
            self.finish(subject, &mut wrong);
            if wrong.is_empty() {
                lock(&self.finished).insert(last);
            }
        }
        if wrong.is_empty() {
            lock(&self.known).insert(key, last);
        }
        Verdict { end, struck, trace, left, last, wrong }
    }

    /// One more run changes nothing, and the world is the wanted one.
    fn finish(&self, mut subject: Subject, wrong: &mut Vec<String>) {
        subject.rest(Duration::from_mins(3));
        let told = differences(&snapshot(&subject.estate), &self.wanted).into_iter();
        let is_kept = |line: &String| self.scenario.keeps.iter().any(|words| line.contains(words));
        wrong.extend(told.filter(|line| !is_kept(line)));
        let before = fingerprint(&subject.estate);
        let drive = Drive::quiet();
        let again = subject.go(&self.scenario, &drive);
        let (_, writes) = drive.script.requests();
        if again != End::Complete || writes > 0 || fingerprint(&subject.estate) != before {
            wrong.push(format!("one more run is {again:?} with {writes} writes"));
        }
    }

    /// What the servers went through since it was asked last.
    pub fn watch(&self, subject: &mut Subject, wrong: &mut Vec<String>) {
        wrong.extend(subject.changed_secrets());
        let Some(servers) = &mut subject.estate.servers else { return };
        // Who destroys a cluster, or founds one, needs no quorum; and one server has none to lose.
        let from = self.scenario.from.as_ref().map_or(0, |from| from.server_count);
        if self.scenario.to.is_some() && from > 1 {
            let losses = servers.quorum().losses();
            if losses.without_quorum > 0 {
                wrong.push(format!(
                    "the cluster was without quorum {} times",
                    losses.without_quorum
                ));
            }
            if losses.most_out > 1 {
                wrong.push(format!("{} servers were out at one moment", losses.most_out));
            }
        }
        servers.quorum().forget();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
