//! `hcs`: the plan engine without Terraform and without credentials.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
// A command-line tool talks to its user on the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod explain;
mod input;
mod plan;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

/// Plans Consul clusters on Azure without touching Azure.
#[derive(Parser)]
#[command(
    name = "hcs",
    version,
    after_help = "Exit codes: 0 nothing to do, 2 changes, 1 error.\n\n\
                  The declared cluster is a cluster.json, or a Terraform plan as JSON (terraform \
                  show -json FILE) that holds one hcs_cluster.\n\n\
                  A cluster.json holds at least name, resource_group_name, location and \
                  subscription_id; everything else has the provider's defaults:\n\n  \
                  { \"name\": \"demo\", \"resource_group_name\": \"rg\", \"location\": \
                  \"westeurope\",\n    \"subscription_id\": \
                  \"00000000-0000-0000-0000-000000000000\", \"server_count\": 5 }"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what an apply would do, step by step.
    Plan {
        /// The declared cluster.
        #[arg(short, long = "file", value_name = "CLUSTER.JSON")]
        file: PathBuf,
        /// What Azure holds; nothing when left out.
        #[arg(long, value_name = "WORLD.JSON")]
        observed: Option<PathBuf>,
        /// Say what remains of the cluster when this zone is gone, instead of planning.
        #[arg(long, value_name = "ZONE")]
        lose_zone: Option<String>,
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Tells one step of a plan: what it does, why, what it waits for and what waits for it.
    Explain {
        /// The step's id as `hcs plan` shows it, e.g. `create server_0`.
        step: String,
        /// The declared cluster.
        #[arg(short, long = "file", value_name = "CLUSTER.JSON")]
        file: PathBuf,
        /// What Azure holds; nothing when left out.
        #[arg(long, value_name = "WORLD.JSON")]
        observed: Option<PathBuf>,
    },
    /// Prints the completions of a shell.
    Completions {
        /// Which one.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Form of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs; the shape is stable.
    Json,
    /// For Graphviz.
    Dot,
    /// A page for a browser.
    Html,
}

fn main() -> ExitCode {
    let answer = match Arguments::parse().command {
        Command::Plan { file, lose_zone: Some(zone), .. } => plan::lose_zone(&file, &zone),
        Command::Plan { file, observed, format, .. } => {
            plan::plan(&file, observed.as_deref(), format)
        }
        Command::Explain { step, file, observed } => {
            explain::explain(&file, observed.as_deref(), &step)
        }
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "hcs", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
    };
    match answer {
        Ok(answer) => {
            print!("{}", answer.text);
            ExitCode::from(if answer.changes { 2 } else { 0 })
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
