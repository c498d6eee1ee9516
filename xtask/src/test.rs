//! `cargo xtask test`: what CI runs, the same on every machine.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use hcs_acceptance::bins::{repository, target};
use hcs_acceptance::tools;

use crate::dependencies::{self, Sums};
use crate::programs::{self, Program};
use crate::shell::{Count, Failure, build_binaries, cargo, cargo_test, cargo_with};

/// Fetches what is not ours, once.
pub(crate) fn set_up() -> Result<(), Failure> {
    let terraform = tools::terraform()?;
    let consul = tools::consul()?;
    println!("terraform: {}", terraform.display());
    println!("consul {}: {}", tools::consul_version(&consul)?, consul.display());
    Ok(())
}

/// Every fault at every call; fewer distinct runs than promised are a failure.
pub(crate) const EVERY_FAULT: [&str; 3] = ["faults", "--at-least", "20000"];

/// Drives the engine through faults in a simulated Azure; prints counts and what is wrong.
pub(crate) fn explore(words: &[&str]) -> Result<(), Failure> {
    let run = ["run", "--quiet", "--package", "hcs-exploration", "--bin", "explore", "--"];
    cargo(&[&run[..], words].concat())
}

/// In process after every fault, and with the real Terraform and Consul after an apply.
pub(crate) fn look_for_secrets() -> Result<(), Failure> {
    explore(&["secrets"])?;
    build_binaries()?;
    cargo(&["test", "--package", "hcs-acceptance", "--test", "lifecycle", "--", "--nocapture"])
}

/// Random runs with several faults each; some are run twice and must go the same way, bit for bit.
pub(crate) fn explore_at_random(cases: u64, seed: u64) -> Result<(), Failure> {
    let (cases, seed) = (cases.to_string(), seed.to_string());
    explore(&["random", "--runs", &cases, "--seed", &seed, "--verify-replay", "1000"])
}

/// The planner's laws on so many random worlds. A million take an hour and a half on two idle cores.
pub(crate) fn hold_laws(cases: u64, seed: u64) -> Result<(), Failure> {
    let test = ["test", "--release", "--package", "hcs-planner", "--test", "it", "laws::"];
    let (cases, seed) = (cases.to_string(), seed.to_string());
    cargo_with(&test, &[("HCS_CASES", &cases), ("HCS_SEED", &seed)])?;
    println!("{cases} worlds from seed {seed}: every plan keeps every law");
    Ok(())
}

/// Random orders of Terraform core over two states that declare one cluster, with kills.
pub(crate) fn fight_over_clusters(cases: u64, seed: u64) -> Result<(), Failure> {
    let provider = "terraform-provider-hcs";
    let words =
        ["test", "--package", provider, "--bin", provider, "ownership", "--", "--nocapture"];
    let (cases, seed) = (cases.to_string(), seed.to_string());
    cargo_with(&words, &[("HCS_LAW_CASES", &cases), ("HCS_LAW_SEED", &seed)])
}

/// Hostile input to the plugin framework, `execs` times.
pub(crate) fn fuzz(execs: u64, seed: u64) -> Result<(), Failure> {
    let test =
        ["test", "--release", "--package", "tfplugin", "--lib", "fuzz::", "--", "--nocapture"];
    let (execs, seed) = (execs.to_string(), seed.to_string());
    // Optimised as released, without the minutes that optimising across crates takes.
    let quick =
        [("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")];
    cargo_with(&test, &[&quick[..], &[("FUZZ_EXECS", &execs), ("FUZZ_SEED", &seed)]].concat())
}

/// Scenarios of the planner as text.
pub(crate) fn golden(check: bool) -> Result<(), Failure> {
    let words = ["test", "--package", "hcs-planner", "--test", "it", "golden::"];
    cargo_with(&words, if check { &[] } else { &[("UPDATE_EXPECT", "1")] })
}

/// The framework can be uploaded: its packages hold what they need and name versions of each other.
fn check_packages() -> Result<(), Failure> {
    let packages = ["tfplugin-proto", "tfplugin-derive", "tfplugin"];
    let named = packages.iter().flat_map(|name| ["--package", *name]);
    let start = ["publish", "--dry-run", "--no-verify", "--allow-dirty"];
    let words: Vec<&str> = start.into_iter().chain(named).collect();
    cargo(&words)
}

/// Formatting, lints, and every test of the workspace.
pub(crate) fn run() -> Result<(), Failure> {
    let began = Instant::now();
    set_up()?;
    cargo(&["fmt", "--all", "--check"])?;
    check_packages()?;
    let programs = programs::build()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    let built = began.elapsed();
    let mut count = Count::default();
    // Whole clusters wait much of the time; what they leave of the processors runs the rooms, explores, and checks
    // dependencies that are new.
    let exploration = Background::start()?;
    let started = Instant::now();
    let (ran, allowed) = std::thread::scope(|scope| {
        let allowed =
            scope.spawn(|| dependencies::check(Sums::Believed).map_err(|error| error.to_string()));
        let ran = run_lanes(&programs, &mut count);
        let broken = || Err("the check of dependencies broke off".to_owned());
        (ran, allowed.join().unwrap_or_else(|_| broken()).map_err(Failure::from))
    });
    let ran_for = started.elapsed();
    let explored = exploration.finish();
    let documented = cargo_test(&["--workspace", "--doc"], &mut count);
    let seconds = began.elapsed().as_secs();
    println!(
        "\nAll of it took {} min {} s: programs and lints {} s, tests {} s, and with the explorations beside them {} s.",
        seconds / 60,
        seconds % 60,
        built.as_secs(),
        ran_for.as_secs(),
        started.elapsed().as_secs()
    );
    tell(&count);
    ran.and(explored).and(allowed).and(documented)
}

/// Counts, the files of tests that took longest, and what this machine cannot run.
fn tell(count: &Count) {
    println!("\nLongest:");
    for suite in count.slowest(12) {
        println!("{:>8.1} s  {}", suite.duration_seconds, suite.name);
    }
    if tools::other_clients().is_empty() {
        println!(
            "\nNot run: other clients than {} (HCS_TOFU_BIN, HCS_TERRAFORM_BINS; `cargo xtask clients`)",
            tools::terraform()
                .map_or_else(|_| "terraform".to_owned(), |path| path.display().to_string())
        );
    }
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.ignored);
}

/// Formatting, lints, dependencies and packages.
pub(crate) fn check() -> Result<(), Failure> {
    cargo(&["fmt", "--all", "--check"])?;
    dependencies::check(Sums::Renewed)?;
    check_packages()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// Formatting, lints and the tests that need neither Terraform nor Consul, for the minutes between two commits.
pub(crate) fn run_quick() -> Result<(), Failure> {
    let started = Instant::now();
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    let mut count = Count::default();
    let ran = cargo_test(
        &["--workspace", "--exclude", "hcs-acceptance", "--lib", "--bins", "--no-fail-fast"],
        &mut count,
    );
    tell(&count);
    println!("in {} s", started.elapsed().as_secs());
    ran
}

/// The tests of one room: a folder of the repository, or a file of `tests/acceptance/tests`.
pub(crate) fn run_room(room: &str) -> Result<(), Failure> {
    let room = room.trim_end_matches('/');
    let mut count = Count::default();
    let file = repository().join("tests/acceptance/tests").join(format!("{room}.rs"));
    let ran = if file.is_file() {
        set_up()?;
        build_binaries()?;
        cargo_test(&["-p", "hcs-acceptance", "--test", room, "--", "--test-threads=1"], &mut count)
    } else {
        let package = package_of(room)?;
        if package == "hcs-acceptance" {
            set_up()?;
            build_binaries()?;
        }
        cargo_test(&["-p", &package, "--no-fail-fast", "--", "--test-threads=2"], &mut count)
    };
    tell(&count);
    ran
}

/// Name of the package in a folder.
fn package_of(room: &str) -> Result<String, Failure> {
    let manifest = [room.to_owned(), format!("tests/{room}")].into_iter().find_map(|folder| {
        std::fs::read_to_string(repository().join(folder).join("Cargo.toml")).ok()
    });
    let manifest = manifest.ok_or_else(|| {
        format!("{room:?} is no room: name a folder that has a Cargo.toml, such as planner or tests/exploration, or a \
                 file of tests/acceptance/tests without its ending")
    })?;
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    name.map(str::to_owned).ok_or_else(|| format!("{room}/Cargo.toml names no package").into())
}

/// What runs one after the other: files of tests of whole clusters, and of real Consuls without Terraform.
struct Lane {
    clusters: &'static [&'static str],
    servers: &'static [&'static str],
}

/// Lanes beside each other, as long as each other: they wait much of the time. Files of clusters that are in none go into a
/// lane of their own, files of servers into another, and everything else into a last one.
const LANES: [Lane; 4] = [
    Lane { clusters: &["life", "upgrades"], servers: &["years"] },
    Lane { clusters: &["rolling", "examples", "change", "imports"], servers: &["configuration"] },
    Lane {
        clusters: &["lost", "client_network", "rotation", "host_managers"],
        servers: &["healing", "mesh", "restore"],
    },
    Lane {
        clusters: &["alone", "composition", "interruption", "kills", "debug", "adoption"],
        servers: &["rotation"],
    },
];

/// Whole clusters, with Terraform.
const CLUSTERS: &str = "hcs-acceptance";
/// Real Consuls without Terraform.
const SERVERS: &str = "hcs-host-manager";

/// A program, and how many of its tests run at once.
type Run<'a> = (&'a Program, Option<u32>);

/// All programs, in lanes.
fn lanes(programs: &[Program]) -> Result<Vec<Vec<Run<'_>>>, Failure> {
    let file = |package: &'static str, name: &str| {
        let found =
            programs.iter().find(|one| one.package == package && one.file.as_deref() == Some(name));
        found.ok_or_else(|| format!("{package} has no tests/{name}.rs, and a lane names it"))
    };
    let mut lanes = Vec::new();
    for lane in &LANES {
        let mut runs: Vec<Run<'_>> = Vec::new();
        for name in lane.clusters {
            runs.push((file(CLUSTERS, name)?, Some(1)));
        }
        for name in lane.servers {
            runs.push((file(SERVERS, name)?, Some(2)));
        }
        lanes.push(runs);
    }
    let is_named = |program: &Program| {
        let named = LANES.iter().flat_map(|lane| match program.package.as_str() {
            CLUSTERS => lane.clusters,
            SERVERS => lane.servers,
            _ => &[],
        });
        program.file.as_deref().is_some_and(|file| named.clone().any(|name| *name == file))
    };
    let rest = |is_of: &dyn Fn(&str) -> bool, threads| {
        let of = programs.iter().filter(|one| is_of(&one.package) && !is_named(one));
        of.map(|one| (one, threads)).collect::<Vec<Run<'_>>>()
    };
    lanes.push(rest(&|package| package == CLUSTERS, Some(1)));
    lanes.push(rest(&|package| package == SERVERS, Some(2)));
    lanes.push(rest(&|package| package != CLUSTERS && package != SERVERS, None));
    Ok(lanes)
}

/// Runs all lanes; each is shown in one piece when it has ended.
fn run_lanes(programs: &[Program], count: &mut Count) -> Result<(), Failure> {
    let lanes = lanes(programs)?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let beside: Vec<_> = lanes
            .iter()
            .map(|lane| {
                scope.spawn(move || {
                    let (mut own, mut text, mut ended) = (Count::default(), String::new(), Ok(()));
                    for (program, threads) in lane {
                        let mut show = |line: &str| {
                            text.push_str(line);
                            text.push('\n');
                        };
                        let ran = program.run(*threads, &mut own, &mut show);
                        ended = ended.and(ran);
                    }
                    println!("{text}\nThis lane took {} s.", began.elapsed().as_secs());
                    (own, ended)
                })
            })
            .collect();
        let mut outcome = Ok(());
        for lane in beside {
            let Ok((own, ended)) = lane.join() else {
                return Err("a lane of tests broke off".into());
            };
            count.add(own);
            outcome = outcome.and(ended.map_err(Into::into));
        }
        outcome
    })
}

/// The long explorations, beside other tests and behind them in everything.
struct Background {
    children: Vec<(String, Child)>,
}

impl Background {
    /// An eighth of every fault at every call, and 2,500 random stories; `cargo xtask sim` has the whole of both.
    fn start() -> Result<Self, Failure> {
        let program = target().join("debug/explore");
        let random = ["random", "--runs", "2500", "--verify-replay", "1000"];
        let eighth = ["faults", "--stride", "8", "--at-least", "4000"];
        let forms: [&[&str]; 2] = [&eighth, &random];
        let start = |words: &&[&str]| {
            let child = Command::new("nice")
                .args(["-n", "19"])
                .arg(&program)
                .args(*words)
                .current_dir(repository())
                .stdout(Stdio::piped())
                .spawn()?;
            Ok((words.join(" "), child))
        };
        let children = forms.iter().map(start).collect::<Result<_, std::io::Error>>()?;
        Ok(Self { children })
    }

    /// Waits, and shows what they have found.
    fn finish(self) -> Result<(), Failure> {
        let mut ended = Ok(());
        for (words, child) in self.children {
            let output = child.wait_with_output()?;
            println!("\n$ explore {words}\n{}", String::from_utf8_lossy(&output.stdout));
            if !output.status.success() {
                ended = Err(format!("explore {words} ended with {}", output.status).into());
            }
        }
        ended
    }
}
