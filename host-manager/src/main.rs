//! The program: reads the environment once, wires the ports, runs until it is told to stop.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use hcs_azure::{AzureBlobStores, HttpClient, HttpSettings, ManagedIdentity};
use hcs_engine::blob::BlobStores as _;
use hcs_engine::clock::SystemClock;
use hcs_host_manager::consul::config::Family;
use hcs_host_manager::documents::Stores;
use hcs_host_manager::host::Host;
use hcs_host_manager::last_known::LastKnown;
use hcs_host_manager::machine_files::{self, Renewed};
use hcs_host_manager::memory::Memory;
use hcs_host_manager::metadata;
use hcs_host_manager::own_program::{OwnProgram, SelfTest};
use hcs_host_manager::paths::Paths;
use hcs_host_manager::releases::Keys;
use hcs_host_manager::report::chain;
use hcs_host_manager::service::{Service as _, Systemd, Verb};
use hcs_host_manager::timing::Timing;
use hcs_host_manager::{bootstrap, instance, leaf, own_program, run, status};
use hcs_planner::dataplane::BootstrapConfig;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The client of the storage service tells of each try that fails; what it came to is told by whoever asked.
const LOGGED: &str = "info,typespec_client_core=warn,azure_core=warn";

const LONG_ABOUT: &str = "\
Runs on each server of an hcs cluster, started by systemd. It fetches what the server needs from \
the cluster's storage account by managed identity, configures and starts Consul, reports its \
health, takes snapshots and carries out requests.

Consul is a service of its own (consul.service): stopping this program does not stop Consul.";

const AFTER_HELP: &str = "\
Files (below $HCS_ROOT, which is empty on a real VM):
  /etc/hcs/bootstrap.json   read: which server this is and where its blobs are (from cloud-init)
  /etc/consul.d/            written: Consul's configuration without secrets
  /run/hcs/                 written: keys and tokens for Consul, in memory; others may not look
  /etc/systemd/system/hcs-* written: the units of this server, this program's own too
  /opt/hcs/consul/VERSION/  written: Consul programs, checked by SHA-256
  /opt/hcs/host-managers/   written: versions of this program that came after the first
  /opt/hcs/state/           written: what must survive a reboot; leaf.pem and last-known.json hold
                            this server's key, gossip key and agent token (0600), so that Consul
                            starts again while the storage account is away

Environment:
  HCS_ROOT          folder that stands for / (emulated VMs)
  ARM_MSI_ENDPOINT  base of the instance metadata service [default: http://169.254.169.254]
  HCS_TIME_SCALE    runs our schedules faster; accepted only if the metadata service is loopback
  HCS_CALENDAR      UNIX_MS@SPEED: from then on days pass faster for maintenance windows; the same holds
  HCS_RELEASE_KEY   file with the public key that signs releases, instead of HashiCorp's; the same holds
  RUST_LOG          what to log to stderr [default: info]

To look at a server:
  journalctl -u hcs-host-manager     what it does and what it waits for
  journalctl -u consul               Consul itself
  status-{slot}/status.json          the same for the outside, every few seconds";

/// Keeps one server of an hcs cluster running.
#[derive(Parser)]
#[command(name = "hcs-host-manager", version, long_about = LONG_ABOUT, after_long_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Manages this server until stopped; what systemd starts.
    Run,
    /// Says whether this program understands what this server has on its disk, and changes nothing: `{"version": "..."}`.
    SelfTest,
}

/// The environment, read once.
struct Environment {
    root: PathBuf,
    endpoint: String,
    time_scale: Option<String>,
    calendar: Option<String>,
    release_key: Option<PathBuf>,
}

impl Environment {
    fn read() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            root: std::env::var_os("HCS_ROOT").map(PathBuf::from).unwrap_or_default(),
            endpoint: text("ARM_MSI_ENDPOINT")
                .unwrap_or_else(|| metadata::DEFAULT_ENDPOINT.to_owned()),
            time_scale: text("HCS_TIME_SCALE"),
            calendar: text("HCS_CALENDAR"),
            release_key: text("HCS_RELEASE_KEY").map(PathBuf::from),
        }
    }
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    if let Command::SelfTest = command {
        return self_test(&Paths::new(Environment::read().root));
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(manage(Environment::read())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Reads all that lies on the disk, as a start would.
fn self_test(paths: &Paths) -> ExitCode {
    let tested = || -> Result<(), Box<dyn std::error::Error>> {
        bootstrap::load(paths)?;
        Memory::load(paths)?;
        if let Some(known) = LastKnown::load(paths)? {
            Family::of(&known.cluster.consul.version)?;
        }
        if let Some(Err(error)) = leaf::load(paths)? {
            tracing::warn!(error = chain(&error), "the certificate on the disk would be made anew");
        }
        Ok(())
    };
    match tested() {
        Ok(()) => {
            println!("{}", serde_json::json!(SelfTest { version: status::VERSION.to_owned() }));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn manage(environment: Environment) -> Result<(), Box<dyn std::error::Error>> {
    let stop = stop_on_signal()?;
    let scale = metadata::time_scale(environment.time_scale.as_deref(), &environment.endpoint)?;
    let mut timing = Timing::scaled(scale);
    if let Some(text) = environment.calendar {
        let calendar = text.parse().ok().filter(|_| metadata::is_loopback(&environment.endpoint));
        let told = "HCS_CALENDAR is UNIX_MS@SPEED, for emulated VMs only";
        timing.calendar = Some(calendar.ok_or(told)?);
    }
    let release_keys = match environment.release_key {
        Some(path) if metadata::is_loopback(&environment.endpoint) => {
            Keys::read(&std::fs::read_to_string(path)?)?
        }
        Some(_) => return Err("HCS_RELEASE_KEY is for emulated VMs only".into()),
        None => Keys::of_hashicorp()?,
    };
    let paths = Paths::new(environment.root);
    let (service, clock) = (Arc::new(Systemd), Arc::new(SystemClock));
    let bootstrap = bootstrap::load(&paths)?;
    let own = OwnProgram {
        sha256: own_program::own_sha256()?,
        is_on_trial: std::env::var_os(own_program::ON_TRIAL).is_some(),
    };
    // On trial it leaves alone what puts the one before it back.
    if !own.is_on_trial && renew_machine(&paths, &bootstrap, &service).await {
        tracing::info!("the unit of this program was of another version: starting again under it");
        return Ok(());
    }
    let as_identity = |identity: &str| -> Result<AzureBlobStores, Box<dyn std::error::Error>> {
        let identity = ManagedIdentity::new(&environment.endpoint, Some(identity.to_owned()))?;
        let http = HttpClient::new(&HttpSettings::default())?;
        Ok(AzureBlobStores::new(Arc::new(identity), &http))
    };
    let all = as_identity(&bootstrap.shared_identity_id)?;
    let stores = Stores {
        shared: all.open(&bootstrap.blob_endpoint)?,
        own: as_identity(&bootstrap.server_identity_id)?.open(&bootstrap.blob_endpoint)?,
        elsewhere: Arc::new(all),
        blob_endpoint: bootstrap.blob_endpoint.clone(),
    };
    let instance = tokio::select! {
        found = instance::find(&environment.endpoint, &paths, &timing) => found,
        () = stop.cancelled() => return Ok(()),
    };
    tracing::info!(
        node = %bootstrap.node_name,
        slot = bootstrap.slot,
        address = %instance.address,
        zone = instance.zone.as_deref().unwrap_or("none"),
        version = env!("CARGO_PKG_VERSION"),
        "managing this server"
    );
    let host =
        Host { bootstrap, instance, own, paths, stores, service, clock, release_keys, timing };
    run::run(host, stop).await?;
    tracing::info!("stopped; Consul goes on");
    Ok(())
}

/// Brings units and scripts to this version, and runs what they set up; says whether this program's own unit changed. What
/// fails is told and keeps nobody from managing Consul.
async fn renew_machine(paths: &Paths, bootstrap: &BootstrapConfig, service: &Systemd) -> bool {
    let renewed = machine_files::renew(paths, bootstrap).unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "units and scripts stay as they are");
        Renewed::default()
    });
    // Always: whoever wrote them last may have been cut off before.
    let mut verbs = vec![Verb::DaemonReload];
    verbs.extend(renewed.any.then_some(Verb::SetUp));
    for verb in verbs {
        if let Err(error) = service.tell(verb).await {
            tracing::warn!(error = chain(&error), "the service manager");
        }
    }
    renewed.own_unit
}

fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        token.cancel();
    });
    Ok(stop)
}
