//! `azure-emulator`: Azure on one machine, for tests and demonstrations.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hcs_simulator::front::{self, Options};
use hcs_simulator::{FAULT_GRAMMAR, Fault};

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
    Serve {
        /// Folder of the world, its blobs and machines; `DIR/env` holds what a client needs.
        #[arg(long)]
        dir: PathBuf,
        /// Port [default: the one of the last run, else any]
        #[arg(long)]
        port: Option<u16>,
        /// How many times faster than Azure its durations pass [default: 1]
        #[arg(long, value_name = "X")]
        time_scale: Option<f64>,
        /// Machines have the addresses that Azure says, on the loopback device, and not ones in 127.0.0.0/8: for a network
        /// namespace of the emulator's own; needs `ip` and the right to change networks
        #[arg(long)]
        own_addresses: bool,
        /// Address to listen on; machines that somebody else runs must reach it. Whoever does reaches `/emulator/`, too,
        /// which asks for no token
        #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
        listen: Ipv4Addr,
        /// Somebody else runs the machines: `/emulator/vms` says which, with their customData, and their metadata address
        /// is served here, to each by the address that it asks from
        #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "own_addresses")]
        external_machines: Option<SocketAddr>,
        /// Accounts are `ACCOUNT.blob.SUFFIX` on the emulator's port, as clients expect that take names apart; the names have
        /// to lead to it
        #[arg(long, value_name = "SUFFIX")]
        storage_suffix: Option<String>,
        /// Policies for the subscription: a JSON list of definitions in Azure's form, with the effects deny, modify, append
        /// and audit; `GET /emulator/audited` says what was audited
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Injects a fault; may be repeated
        #[arg(long = "fault", value_name = "SPEC")]
        faults: Vec<Fault>,
    },
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
        Command::Serve {
            dir,
            port,
            time_scale,
            own_addresses,
            listen,
            external_machines,
            storage_suffix,
            policy,
            faults,
        } => {
            let filter = tracing_subscriber::EnvFilter::try_from_env("AZURE_EMULATOR_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
            let result = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|e| e.to_string())
                .and_then(|runtime| {
                    let options = Options {
                        dir,
                        port,
                        time_scale,
                        own_addresses,
                        listen,
                        external_machines,
                        storage_suffix,
                        policy,
                        faults,
                    };
                    runtime.block_on(front::serve(options)).map_err(|e| describe(&e))
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
