//! Every fault at every call of every scenario, one at a time.

use std::hash::{Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hcs_simulator::{Call, CallFault, Family, Forks, Script, Strike, TraceHasher};

use crate::Failure;
use crate::case::{Stage, Verdict};
use crate::report::Report;
use crate::run::{Drive, End, Subject};
use crate::scenario::Scenario;

/// Every family, as columns of the table.
pub const FAMILIES: [Family; 8] = [
    Family::Transport,
    Family::Throttling,
    Family::Refusal,
    Family::Consistency,
    Family::Operation,
    Family::Blobs,
    Family::Time,
    Family::Process,
];

/// What is tried.
pub struct Matrix {
    /// Only this scenario.
    pub scenario: Option<String>,
    /// Only these faults; none: all.
    pub faults: Vec<CallFault>,
    /// Every so many calls only.
    pub stride: usize,
    /// At how many threads.
    pub threads: usize,
    /// Whether secrets are looked for in what each run leaves; slower.
    pub watches_secrets: bool,
}

/// A scenario's calls when nothing goes wrong.
struct Baseline {
    stage: Stage,
    calls: Vec<Call>,
    forks: Vec<Forks>,
}

fn baseline(scenario: Scenario, watches_secrets: bool) -> Result<Baseline, Failure> {
    let name = scenario.name;
    let mut stage = Stage::new(scenario)?;
    stage.watches_secrets = watches_secrets;
    let mut subject = stage.start.clone();
    let drive = Drive::by(Script::recording());
    let end = subject.go(&stage.scenario, &drive);
    let (calls, forks) = (drive.script.calls(), drive.script.take_forks());
    let verdict = stage.conclude(subject, end.clone(), vec![], 0, drive.script.impatient());
    if end != End::Complete || !verdict.wrong.is_empty() {
        return Err(format!("{name} without a fault: {end:?}, {:?}", verdict.wrong).into());
    }
    Ok(Baseline { stage, calls, forks })
}

/// Runs the matrix and prints its tables.
pub fn explore(scenarios: Vec<Scenario>, matrix: &Matrix) -> Result<Report, Failure> {
    let began = Instant::now();
    let chosen =
        |scenario: &Scenario| matrix.scenario.as_ref().is_none_or(|name| name == scenario.name);
    let baselines: Vec<Baseline> = scenarios
        .into_iter()
        .filter(chosen)
        .map(|one| baseline(one, matrix.watches_secrets))
        .collect::<Result<_, _>>()?;
    let mut cases = Vec::new();
    for (of, baseline) in baselines.iter().enumerate() {
        for call in &baseline.calls {
            for (number, fault) in CallFault::all().enumerate() {
                let wanted = matrix.faults.is_empty() || matrix.faults.contains(&fault);
                if wanted
                    && fault.fits(call)
                    && (call.number + number).is_multiple_of(matrix.stride)
                {
                    cases.push((of, Strike { at: call.number, fault }));
                }
            }
        }
    }
    let next = AtomicUsize::new(0);
    let whole = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..matrix.threads {
            scope.spawn(|| {
                let mut report = Report::default();
                while let Some((of, strike)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let baseline = &baselines[*of];
                    let verdict = one(baseline, *strike);
                    let label =
                        baseline.calls.get(strike.at).map_or_else(String::new, ToString::to_string);
                    let case = format!("{strike} ({label})");
                    report.add(baseline.stage.scenario.name, strike.fault, &case, &verdict);
                }
                if let Ok(mut whole) = whole.lock() {
                    whole.merge(report);
                }
            });
        }
    });
    let report = whole.into_inner().unwrap_or_default();
    report.print();
    let seconds = began.elapsed().as_secs_f64();
    println!("\n{} runs, {} distinct, {seconds:.1} s", report.runs(), report.distinct());
    Ok(report)
}

fn one(baseline: &Baseline, strike: Strike) -> Verdict {
    let stage = &baseline.stage;
    let is_kill = matches!(strike.fault, CallFault::KillBefore | CallFault::KillAfter);
    match baseline.forks.get(strike.at).filter(|_| is_kill) {
        // All that a killed run leaves is the estate at that moment.
        Some(fork) => {
            let estate = match (strike.fault, &fork.after) {
                (CallFault::KillAfter, Some(after)) => after.clone(),
                _ => fork.before.clone(),
            };
            let incarnation_id = stage.start.incarnation_id.clone();
            let subject = Subject {
                estate,
                now_ms: fork.at_ms + 20_000,
                incarnation_id,
                runs: stage.start.runs + 1,
                secrets: stage.start.secrets.clone(),
            };
            let mut hash = TraceHasher::default();
            (fork.trace, strike).hash(&mut hash);
            stage.conclude(subject, End::Killed, vec![strike], hash.finish(), vec![])
        }
        None => stage.case(&[strike]),
    }
}
