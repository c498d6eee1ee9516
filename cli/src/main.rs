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
use input::Files;

/// A plan is thousands of small values that live for milliseconds: `cargo xtask bench` shows what the allocator is worth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// Shows what an apply would do, step by step, and what is proven about it.
    #[command(after_help = "Examples:\n  \
        hcs plan -f cluster.json                         from nothing\n  \
        hcs plan -f cluster.json --observed world.json   from what Azure holds\n  \
        terraform show -json tfplan > plan.json\n  \
        hcs plan -f plan.json                            what Terraform is about to do\n  \
        hcs plan -f plan.json --lose-zone 2              what breaks if zone 2 goes\n  \
        hcs plan -f plan.json --format html > plan.html  as a page")]
    Plan {
        #[command(flatten)]
        input: InputFiles,
        /// Say what breaks when this zone is gone, now and while the plan runs, instead of planning.
        #[arg(long, value_name = "ZONE")]
        lose_zone: Option<String>,
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Draws the plan: a digraph for Graphviz, or a page for a browser.
    Graph {
        #[command(flatten)]
        input: InputFiles,
        /// Form of the drawing.
        #[arg(long, value_enum, default_value_t = Drawing::Dot)]
        format: Drawing,
    },
    /// Tells one step of a plan: what it does, why, what it waits for and what waits for it.
    Explain {
        /// The step's id as `hcs plan` shows it, e.g. `create server_0`.
        step: String,
        #[command(flatten)]
        input: InputFiles,
    },
    /// Prints the completions of a shell.
    Completions {
        /// Which one.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// What is declared, and what is there.
#[derive(clap::Args)]
struct InputFiles {
    /// The declared cluster, or a Terraform plan as JSON.
    #[arg(short, long = "file", value_name = "CLUSTER.JSON")]
    file: PathBuf,
    /// What Azure holds. Left out: nothing, or for a Terraform plan what its state declares.
    #[arg(long, value_name = "WORLD.JSON")]
    observed: Option<PathBuf>,
    /// Which cluster of a Terraform plan, where it holds several, e.g. `hcs_cluster.main`.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
}

impl InputFiles {
    fn files(&self) -> Files<'_> {
        let (observed, address) = (self.observed.as_deref(), self.address.as_deref());
        Files { declared: &self.file, observed, address }
    }
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

/// Form of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Drawing {
    /// For Graphviz.
    Dot,
    /// A page for a browser.
    Html,
}

impl From<Drawing> for Format {
    fn from(drawing: Drawing) -> Self {
        match drawing {
            Drawing::Dot => Self::Dot,
            Drawing::Html => Self::Html,
        }
    }
}

fn main() -> ExitCode {
    let answer = match Arguments::parse().command {
        Command::Plan { input, lose_zone: Some(zone), .. } => {
            plan::lose_zone(&input.files(), &zone)
        }
        Command::Plan { input, format, .. } => plan::plan(&input.files(), format),
        Command::Graph { input, format } => plan::plan(&input.files(), format.into()),
        Command::Explain { step, input } => explain::explain(&input.files(), &step),
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
