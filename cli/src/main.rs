//! `hcs`: the plan engine without Terraform and without credentials.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
// A command-line tool talks to its user on the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod input;
mod plan;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Plans Consul clusters on Azure without touching Azure.
#[derive(Parser)]
#[command(
    name = "hcs",
    version,
    after_help = "Exit codes: 0 nothing to do, 2 changes, 1 error.\n\n\
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
    let Command::Plan { file, observed, lose_zone, format } = Arguments::parse().command;
    let answer = match &lose_zone {
        Some(zone) => plan::lose_zone(&file, zone),
        None => plan::plan(&file, observed.as_deref(), format),
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
