//! Random runs with several faults each, one after the other, until one is left in peace.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hcs_simulator::{Call, CallFault, Script, Strike};

use crate::Failure;
use crate::case::{Stage, Verdict};
use crate::run::{Drive, End};
use crate::scenario::Scenario;
use crate::story::Story;

/// What is tried.
pub struct Plan {
    /// Cases.
    pub runs: u64,
    /// The first case's seed; each next one has the next.
    pub seed: u64,
    /// So many cases are run twice; the second run must be the first, bit for bit.
    pub replays: u64,
    /// At how many threads.
    pub threads: usize,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    /// Cases.
    pub runs: u64,
    /// Cases whose calls, faults and answers no other case had.
    pub distinct: HashSet<u64>,
    /// Estates that were left before the quiet run.
    pub left: HashSet<u64>,
    /// Faults that struck.
    pub struck: BTreeMap<CallFault, u64>,
    /// Cases that were run twice.
    pub replayed: u64,
    /// What is wrong.
    pub wrong: Vec<String>,
}

/// A generator for one case.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }
}

/// A scenario and the calls that it makes in peace.
struct Ready {
    stage: Stage,
    calls: Vec<Call>,
}

/// Runs the cases; what fails is written to `failures` as files that a test can hold.
pub fn explore(scenarios: Vec<Scenario>, plan: &Plan, failures: &Path) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let ready: Vec<Ready> = scenarios
        .into_iter()
        .map(|scenario| {
            let stage = Stage::new(scenario)?;
            let drive = Drive::by(Script::default());
            stage.start.clone().go(&stage.scenario, &drive);
            Ok(Ready { stage, calls: drive.script.calls() })
        })
        .collect::<Result<_, Failure>>()?;
    let next = AtomicU64::new(0);
    let whole = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..plan.threads {
            scope.spawn(|| {
                let mut own = Outcome::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= plan.runs {
                        break;
                    }
                    one(&ready, plan.seed + number, number < plan.replays, &mut own, failures);
                }
                if let Ok(mut whole) = whole.lock() {
                    whole.merge(own);
                }
            });
        }
    });
    let outcome = whole.into_inner().unwrap_or_default();
    let seconds = began.elapsed().as_secs_f64();
    println!("{:<20}{:>9}", "fault", "struck");
    for (fault, count) in &outcome.struck {
        println!("{:<20}{count:>9}", fault.word());
    }
    println!(
        "\n{} runs from seed {}, {} distinct, {} estates left, {} replayed bit for bit, {seconds:.1} s",
        outcome.runs,
        plan.seed,
        outcome.distinct.len(),
        outcome.left.len(),
        outcome.replayed
    );
    Ok(outcome)
}

fn one(ready: &[Ready], seed: u64, replay: bool, outcome: &mut Outcome, failures: &Path) {
    let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let Some(chosen) = ready.get(dice.index(ready.len())) else { return };
    let runs = (0..=dice.below(2))
        .map(|_| {
            (0..2 + dice.below(5))
                .filter_map(|_| {
                    let at = dice.index(chosen.calls.len() + 4);
                    let fits = |fault: &CallFault| {
                        chosen.calls.get(at).is_none_or(|call| fault.may_strike(call))
                    };
                    let faults: Vec<CallFault> = CallFault::all().filter(fits).collect();
                    Some(Strike { at, fault: *faults.get(dice.index(faults.len()))? })
                })
                .collect()
        })
        .collect();
    let story = Story { scenario: chosen.stage.scenario.name.to_owned(), runs };
    let verdict = tell(&chosen.stage, &story);
    outcome.runs += 1;
    outcome.distinct.insert(verdict.trace);
    outcome.left.insert(verdict.left);
    for strike in &verdict.struck {
        *outcome.struck.entry(strike.fault).or_default() += 1;
    }
    if replay {
        outcome.replayed += 1;
        if tell(&chosen.stage, &story).trace != verdict.trace {
            outcome.wrong.push(format!("seed {seed}: the same case went another way"));
        }
    }
    if verdict.wrong.is_empty() {
        return;
    }
    let file = failures.join(format!("{seed}.case"));
    let why: Vec<&str> = verdict.wrong.iter().flat_map(|wrong| ["# ", wrong, "\n"]).collect();
    let written = fs::create_dir_all(failures)
        .and_then(|()| fs::write(&file, why.concat() + &story.to_string()));
    let place = if written.is_ok() { file.display().to_string() } else { story.to_string() };
    outcome.wrong.extend(verdict.wrong.iter().map(|wrong| format!("{place}: {wrong}")));
}

/// Runs a story to its verdict.
pub fn tell(stage: &Stage, story: &Story) -> Verdict {
    let mut subject = stage.start.clone();
    let (mut struck, mut wrong, mut trace) = (Vec::new(), Vec::new(), 0_u64);
    let mut end = End::Complete;
    for strikes in &story.runs {
        let drive = Drive::by(Script::of(strikes));
        end = subject.go(&stage.scenario, &drive);
        subject.import(&end);
        struck.extend(drive.script.struck());
        wrong.extend(drive.script.impatient());
        trace = trace.rotate_left(7) ^ drive.script.trace();
        stage.watch(&mut subject, &mut wrong);
        if let End::Hung(stuck) = end {
            wrong.push(format!("a run would never have ended: {stuck:?}"));
            break;
        }
    }
    stage.conclude(subject, end, struck, trace, wrong)
}

impl Outcome {
    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.distinct.extend(other.distinct);
        self.left.extend(other.left);
        for (fault, count) in other.struck {
            *self.struck.entry(fault).or_default() += count;
        }
        self.replayed += other.replayed;
        self.wrong.extend(other.wrong);
    }
}
