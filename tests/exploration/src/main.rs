//! `explore`: what `cargo xtask sim faults` and `sim random` run.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hcs_exploration::Failure;
use hcs_exploration::canary;
use hcs_exploration::case::Stage;
use hcs_exploration::faults::{self, FAMILIES, Matrix};
use hcs_exploration::random;
use hcs_exploration::report::Report;
use hcs_exploration::run::Drive;
use hcs_exploration::scenario::{Scenario, more_scenarios, scenarios, small_scenarios};
use hcs_exploration::story::strike;
use hcs_judge::canary::SPELLINGS;
use hcs_simulator::{CallFault, Family, Script, Sort};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// So many wrong cases are told.
const WRONG_MAX: usize = 500;

#[derive(Parser)]
#[command(about = "Explores what faults do to a cluster in a simulated Azure.")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every fault at every call of every scenario.
    Faults {
        /// Only this scenario.
        #[arg(long)]
        scenario: Option<String>,
        /// Only this fault.
        #[arg(long)]
        fault: Option<String>,
        /// Only every so many calls.
        #[arg(long, default_value_t = 1)]
        stride: usize,
        /// At least so many distinct runs.
        #[arg(long, default_value_t = 0)]
        at_least: usize,
    },
    /// Every fault at every call, and in what each run leaves no secret in any spelling.
    Secrets {
        /// Only every so many calls.
        #[arg(long, default_value_t = 1)]
        stride: usize,
    },
    /// A kill at every call of every scenario, and of some more.
    Crash {
        /// Only every so many calls.
        #[arg(long, default_value_t = 1)]
        stride: usize,
    },
    /// Random cases of several faults each.
    Random {
        /// Cases.
        #[arg(long, default_value_t = 100_000)]
        runs: u64,
        /// The first case's seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// So many cases are run twice and compared.
        #[arg(long, default_value_t = 1_000)]
        verify_replay: u64,
        /// Also the changes of whole clusters, which take longer.
        #[arg(long)]
        large: bool,
    },
    /// One case, call by call: the struck run, the next, and one more.
    Show {
        /// Scenario.
        #[arg(long)]
        scenario: String,
        /// Faults, each `word@call`.
        strikes: Vec<String>,
        /// Only calls that write, and those that are struck.
        #[arg(long)]
        writes: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: What) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    match what {
        What::Faults { scenario, fault, stride, at_least } => {
            let fault = match fault {
                Some(word) => {
                    Some(CallFault::parse(&word).ok_or(format!("no fault is called {word}"))?)
                }
                None => None,
            };
            let is_whole = scenario.is_none() && fault.is_none();
            let names: Vec<&str> = scenarios().iter().map(|scenario| scenario.name).collect();
            let matrix = Matrix {
                scenario,
                faults: fault.into_iter().collect(),
                stride,
                threads,
                watches_secrets: false,
            };
            let report = faults::explore(scenarios(), &matrix)?;
            let families: &[Family] = if is_whole { &FAMILIES } else { &[] };
            conclude(&report, &names, families, at_least)
        }
        What::Secrets { stride } => {
            canary::listen();
            let names: Vec<&str> = scenarios().iter().map(|scenario| scenario.name).collect();
            let matrix =
                Matrix { scenario: None, faults: vec![], stride, threads, watches_secrets: true };
            let report = faults::explore(scenarios(), &matrix)?;
            let at_least = if stride == 1 { 20_000 } else { 0 };
            conclude(&report, &names, &FAMILIES, at_least)?;
            let (sinks, spellings) = (canary::SINKS.len(), SPELLINGS.len());
            println!(
                "no secret in {sinks} sinks, in {spellings} spellings, after {} runs",
                report.runs()
            );
            Ok(())
        }
        What::Crash { stride } => {
            let all: Vec<Scenario> = scenarios().into_iter().chain(more_scenarios()).collect();
            let names: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
            let kills = vec![CallFault::KillBefore, CallFault::KillAfter];
            let matrix =
                Matrix { scenario: None, faults: kills, stride, threads, watches_secrets: false };
            let report = faults::explore(all.clone(), &matrix)?;
            conclude(&report, &names, &[Family::Process], 0)
        }
        What::Random { runs, seed, verify_replay, large } => {
            let mut chosen = small_scenarios();
            if large {
                chosen.extend(scenarios());
            }
            let plan = random::Plan { runs, seed, replays: verify_replay, threads };
            let outcome = random::explore(chosen, &plan, Path::new("target/exploration"))?;
            for wrong in outcome.wrong.iter().take(WRONG_MAX) {
                println!("wrong: {}", wrong.chars().take(600).collect::<String>());
            }
            if !outcome.wrong.is_empty() {
                return Err(format!("{} things are wrong", outcome.wrong.len()).into());
            }
            let silent: Vec<&str> = CallFault::all()
                .filter(|fault| !outcome.struck.contains_key(fault))
                .map(CallFault::word)
                .collect();
            // The rarest fits into one run of six thousand.
            let must_strike_all = runs >= RUNS_THAT_STRIKE_ALL;
            if outcome.runs < runs
                || outcome.replayed < verify_replay.min(runs)
                || (must_strike_all && !silent.is_empty())
            {
                return Err(
                    format!("{} runs, never struck: {}", outcome.runs, silent.join(", ")).into()
                );
            }
            Ok(())
        }
        What::Show { scenario, strikes, writes } => show(&scenario, &strikes, writes),
    }
}

/// So many random runs strike with every fault, whatever changes.
const RUNS_THAT_STRIKE_ALL: u64 = 100_000;

/// Tells what is wrong, what was never tried, and what is too little.
fn conclude(
    report: &Report,
    scenarios: &[&str],
    families: &[Family],
    at_least: usize,
) -> Result<(), Failure> {
    for wrong in report.wrong.iter().take(WRONG_MAX) {
        println!("wrong: {}", wrong.chars().take(600).collect::<String>());
    }
    let empty = report.empty_cells(scenarios, families);
    if !report.wrong.is_empty() {
        return Err(format!("{} things are wrong", report.wrong.len()).into());
    }
    if !empty.is_empty() {
        return Err(format!("nothing was tried for {}", empty.join(", ")).into());
    }
    if report.distinct() < at_least {
        return Err(format!("{} distinct runs, promised {at_least}", report.distinct()).into());
    }
    Ok(())
}

fn show(scenario: &str, strikes: &[String], only_writes: bool) -> Result<(), Failure> {
    let all = scenarios().into_iter().chain(small_scenarios()).chain(more_scenarios());
    let mut all = all.filter(|one| one.name == scenario);
    let scenario = all.next().ok_or(format!("no scenario is called {scenario}"))?;
    let strikes = strikes
        .iter()
        .map(|text| strike(text))
        .collect::<Option<Vec<_>>>()
        .ok_or("a fault is written word@call")?;
    let mut subject = scenario.start()?;
    let scripts = [Script::of(&strikes), Script::default(), Script::default()];
    for (run, script) in ["struck", "next", "one more"].into_iter().zip(scripts) {
        let drive = Drive::by(script);
        let end = subject.go(&scenario, &drive);
        println!("== {run}: {end:?}");
        for call in drive.script.calls() {
            let is_struck =
                run == "struck" && strikes.iter().any(|strike| strike.at == call.number);
            if is_struck || !only_writes || call.sort == Sort::Write {
                let mark = if is_struck { '*' } else { ' ' };
                println!("{mark} {call} -> {}", call.answered.status);
            }
        }
    }
    for wrong in Stage::new(scenario)?.case(&strikes).wrong {
        println!("wrong: {wrong}");
    }
    Ok(())
}
