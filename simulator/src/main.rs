//! `azure-emulator`: Azure on one machine, for tests and demonstrations.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hcs_simulator::FAULT_GRAMMAR;
use hcs_simulator::front::{self, Options};

#[derive(Parser)]
#[command(
    name = "azure-emulator",
    version,
    about = "Azure on one machine: Resource Manager, tokens, blobs, and machines that really run"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT; prints `ready https://127.0.0.1:PORT` when it does.
    #[command(after_help = FAULT_GRAMMAR)]
    Serve(Box<Options>),
    /// Runs on a machine of the emulator: drives its services.
    #[command(disable_help_flag = true)]
    Systemctl {
        /// Verb, options and units.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Systemctl { words } => {
            ExitCode::from(u8::try_from(front::systemctl(&words)).unwrap_or(1))
        }
        Command::Serve(options) => {
            let filter = tracing_subscriber::EnvFilter::try_from_env("AZURE_EMULATOR_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
            let result = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|e| e.to_string())
                .and_then(|runtime| {
                    runtime.block_on(front::serve(*options)).map_err(|e| describe(&e))
                });
            match result {
                Ok(()) => ExitCode::SUCCESS,
                Err(text) => {
                    eprintln!("azure-emulator: {text}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// An error with all its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
