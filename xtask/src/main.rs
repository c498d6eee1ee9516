//! The only door for developers: `cargo xtask demo`, `cargo xtask test`, `cargo xtask doctor`.

// A developer's tool talks to a person on the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(test)]
mod architecture;
mod bench;
mod clients;
mod conformance;
mod demo;
mod dependencies;
mod dist;
mod docs;
mod doctor;
mod life;
mod machine;
mod planted;
mod programs;
mod shell;
mod soup;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Everything that a developer of hcs runs.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Applies the quickstart on an emulated Azure with real Consul servers, shows it, and destroys it.
    Demo {
        /// Leave cluster and emulator running until Enter is pressed.
        #[arg(long)]
        keep: bool,
    },
    /// Sets up what is missing and runs every test and check.
    Test {
        /// Only the tests of this folder, or of this file of tests/acceptance/tests.
        room: Option<String>,
        /// Only formatting, lints and the tests that need neither Terraform nor Consul.
        #[arg(long, conflicts_with = "room")]
        quick: bool,
    },
    /// Formatting, lints, dependencies and packages, without a test.
    Check,
    /// Says what this machine lacks, and how to get it.
    Doctor,
    /// Runs the tests with a real client in them under each client that the environment names: `HCS_TOFU_BIN`, `HCS_TERRAFORM_BINS`.
    Clients {
        /// Only these files of tests/acceptance/tests; may be repeated.
        #[arg(long)]
        only: Vec<String>,
    },
    /// Builds a release for every platform: archives, bills of materials, sums; and a mirror from which `terraform init` installs.
    Dist {
        /// Only platforms whose `os_arch` contains this.
        #[arg(long)]
        only: Option<String>,
        /// Build the last commit once more, in another folder, and hold every byte against the first.
        #[arg(long)]
        twice: bool,
        /// Sign the sums with this key of gpg's.
        #[arg(long, value_name = "KEY", env = dist::KEY)]
        sign: Option<String>,
    },
    /// Writes the reference documentation from the provider's schema.
    Docs,
    /// Measures the figures of SPECIFICATION.md, as ratios in one run.
    Bench {
        /// Write the figures to this file, too.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Feeds hostile input to the plugin framework: every decoder and every call.
    Fuzz {
        /// How many inputs.
        #[arg(long, default_value_t = 1_000_000)]
        execs: u64,
        /// Start of the sequence; the same seed gives the same inputs.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Lets tofusoup, an independent judge from PyPI, drive the provider.
    Soup,
    /// Runs the engine on a simulated Azure in virtual time.
    Sim {
        /// What is simulated.
        #[arg(value_enum)]
        what: Simulation,
        /// How many, for `random` (100,000), `laws` (1,000,000) and `owners` (3,000).
        #[arg(long)]
        cases: Option<u64>,
        /// Start of the sequence; the same seed gives the same cases.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Looks for secrets in what runs leave, with every fault, and in what Terraform and servers show after an apply.
    Secrets,
    /// Plants bugs into a copy of the code, one at a time: each must be found by the test that is named for it.
    Planted {
        /// Only bugs whose name contains this.
        #[arg(long)]
        only: Option<String>,
    },
    /// Writes the plans under planner/tests/golden anew, or checks that they are what the planner says.
    Golden {
        /// Only check.
        #[arg(long)]
        check: bool,
    },
    /// Holds what we send and answer against what others say is right, and counts it.
    Conformance,
    /// Lives a cluster's year in an hour, with real servers and a client that retries nothing, and many years by the servers'
    /// decisions alone. `HCS_CONSUL_BINS` names two programs of Consul, of which the second comes as releases.
    Life {
        /// Days of the life with real servers, 8 seconds each; 0: none.
        #[arg(long, default_value_t = 365)]
        days: u32,
        /// Years of decisions.
        #[arg(long, default_value_t = 200)]
        years: u64,
    },
    /// Adopts servers of before in every shape, there and back, cut off on the way.
    Adoption,
    /// Boots the servers of an apply as machines under QEMU, and does to them what can happen to a machine.
    Machine {
        /// What they boot.
        #[arg(long, value_enum, default_value = "debian-12")]
        system: machine::System,
        /// Only what contains this; may be repeated.
        #[arg(long)]
        only: Vec<String>,
    },
    /// Sets up the tools that tests and demo need, in the user's cache.
    Setup,
}

/// Simulations.
#[derive(Clone, Copy, ValueEnum)]
enum Simulation {
    /// Kills a run at every single call, before it and after it, and runs again.
    Crash,
    /// Every fault at every call of every kind of change, one at a time.
    Faults,
    /// Random runs with several faults each (100,000; `--cases` for more).
    Random,
    /// Plans random changes of random worlds and holds each plan against every law.
    Laws,
    /// Drives the provider as Terraform core would, in random orders over two states, with kills.
    Owners,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo { keep } => demo::run(keep),
        Command::Test { quick: true, .. } => test::run_quick(),
        Command::Test { room: Some(room), .. } => test::run_room(&room),
        Command::Test { .. } => test::run(),
        Command::Check => test::check(),
        Command::Doctor => doctor::run(),
        Command::Clients { only } => clients::run(&only),
        Command::Dist { only, twice: is_twice, sign: key } => {
            dist::run(&dist::Order { only, is_twice, key })
        }
        Command::Docs => docs::run(),
        Command::Conformance => conformance::run(),
        Command::Adoption => life::adopt(),
        Command::Life { days, years } => life::live(days, years),
        Command::Machine { system, only } => machine::run(system, &only),
        Command::Bench { json } => bench::run(json.as_deref()),
        Command::Sim { what: Simulation::Crash, .. } => test::explore(&["crash"]),
        Command::Sim { what: Simulation::Faults, .. } => test::explore(&test::EVERY_FAULT),
        Command::Sim { what: Simulation::Random, cases, seed } => {
            test::explore_at_random(cases.unwrap_or(100_000), seed)
        }
        Command::Sim { what: Simulation::Laws, cases, seed } => {
            test::hold_laws(cases.unwrap_or(1_000_000), seed)
        }
        Command::Sim { what: Simulation::Owners, cases, seed } => {
            test::fight_over_clusters(cases.unwrap_or(3_000), seed)
        }
        Command::Secrets => test::look_for_secrets(),
        Command::Planted { only } => planted::run(only.as_deref()),
        Command::Golden { check } => test::golden(check),
        Command::Fuzz { execs, seed } => test::fuzz(execs, seed),
        Command::Soup => soup::run(),
        Command::Setup => test::set_up(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
