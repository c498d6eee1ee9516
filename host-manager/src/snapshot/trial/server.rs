//! The server that is thrown away: its configuration, its unit, its beginning and its end.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hcs_planner::cloud_init::{CONSUL_USER, SANDBOX};
use hcs_planner::dataplane::port;
use semver::Version;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::TrialError;
use crate::consul::client::ConsulClient;
use crate::consul::unit::quoted;
use crate::files::{self, PUBLIC_MODE};
use crate::host::Host;
use crate::paths::Paths;
use crate::room::Room;
use crate::service::Verb;

/// An election of a server that is alone, beside one that serves others.
/// What goes wrong at its beginning a leader tries again after a minute.
const SERVES_MAX: Duration = Duration::from_mins(3);
const LOOK: Duration = Duration::from_millis(250);
/// The unit ends it by itself, whoever forgot it.
const LIVES_MAX: Duration = Duration::from_mins(30);

/// A socket's path has at most 107 bytes.
const SOCKET: &str = "api";

/// Starts it anew, and waits until it serves.
pub(super) async fn start(
    host: &Host,
    version: &Version,
    program: &Path,
) -> Result<ConsulClient, TrialError> {
    let folder = host.paths.trial_dir();
    for folder in [folder.clone(), data_dir(&folder), temporary_dir(&folder)] {
        files::make_dir(&folder, 0o700)?;
    }
    let config = configuration(&folder, version, [free_port()?, free_port()?]);
    files::write(&config_file(&folder), config.as_bytes(), 0o600)?;
    let unit = unit(&host.paths, program);
    files::make_dir(&host.paths.unit_dir(), 0o755)?;
    files::write_if_changed(&host.paths.trial_unit(), unit.as_bytes(), PUBLIC_MODE)?;
    // Also where it was written before a cut: it names the program of a version.
    host.service.tell(Verb::DaemonReload).await?;
    host.service.tell(Verb::StartTrial).await?;
    let client = ConsulClient::at_socket(&folder.join(SOCKET)).map_err(TrialError::Client)?;
    let until = Instant::now() + SERVES_MAX;
    while Instant::now() < until {
        if client.is_led().await {
            return Ok(client);
        }
        sleep(LOOK).await;
    }
    Err(TrialError::NotServing(SERVES_MAX))
}

/// Ends it, if there is one, and takes all of it away.
pub(super) async fn end(host: &Host) -> Result<(), TrialError> {
    if host.paths.trial_unit().exists() {
        host.service.tell(Verb::StopTrial).await?;
    }
    Ok(files::remove_dir(&host.paths.trial_dir())?)
}

fn data_dir(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn temporary_dir(folder: &Path) -> PathBuf {
    folder.join("tmp")
}

fn config_file(folder: &Path) -> PathBuf {
    folder.join("trial.json")
}

/// What every version from 1.8 on reads, and no secret. Without the mesh: a leader of a state with peerings would call the
/// peers.
fn configuration(folder: &Path, version: &Version, [rpc, gossip]: [u16; 2]) -> String {
    let mut config = json!({
        "server": true,
        "bootstrap_expect": 1,
        "datacenter": "trial",
        "node_name": "snapshot-trial",
        "data_dir": data_dir(folder),
        "bind_addr": Ipv4Addr::LOCALHOST,
        "advertise_addr": Ipv4Addr::LOCALHOST,
        "addresses": { "http": format!("unix://{}", folder.join(SOCKET).display()) },
        "unix_sockets": { "mode": "0600" },
        "ports": {
            "server": rpc,
            "serf_lan": gossip,
            "serf_wan": -1,
            "https": -1,
            "grpc": -1,
            "dns": -1,
        },
        "acl": { "enabled": false },
        "connect": { "enabled": false },
        "performance": { "raft_multiplier": 1 },
        "disable_remote_exec": true,
        "disable_update_check": true,
        "enable_script_checks": false,
        "enable_local_script_checks": false,
        "log_level": "WARN",
    });
    if port::has_grpc_tls(version) {
        config["ports"]["grpc_tls"] = json!(-1);
    }
    format!("{config:#}\n")
}

/// The first to go where memory gets short, and the last to get a processor.
pub(crate) fn unit(paths: &Paths, program: &Path) -> String {
    let folder = paths.trial_dir();
    let service = if paths.is_whole_machine() {
        format!(
            "User={CONSUL_USER}
Group={CONSUL_USER}
ExecStartPre=+/bin/chown -hR {CONSUL_USER}:{CONSUL_USER} {}
",
            quoted(&folder)
        )
    } else {
        String::new()
    };
    format!(
        "[Unit]
Description=A Consul server that is thrown away: a snapshot is tried in it
Documentation=https://developer.hashicorp.com/consul

[Service]
Type=simple
Environment=TMPDIR={temporary}
{service}ExecStart={program} agent -config-file={config}
KillSignal=SIGKILL
SuccessExitStatus=SIGKILL
Restart=no
RuntimeMaxSec={lives_max}
PrivateNetwork=yes
IPAddressDeny=any
IPAddressAllow=localhost
LimitNOFILE=65536
LimitCORE=0
MemoryMax=45%
MemorySwapMax=0
OOMScoreAdjust=1000
CPUWeight=10
IOWeight=10
CapabilityBoundingSet=
UMask=0077
ReadWritePaths={folder}
{SANDBOX}SystemCallFilter=~@privileged @resources
",
        temporary = quoted(&temporary_dir(&folder)),
        program = quoted(program),
        config = quoted(&config_file(&folder)),
        lives_max = LIVES_MAX.as_secs(),
        folder = quoted(&folder),
    )
}

/// A port of this machine that nobody has; in a network of its own all are free.
fn free_port() -> Result<u16, TrialError> {
    let found = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    let told = |error: io::Error| TrialError::NoPlace(format!("no port is free: {error}"));
    Ok(found.map_err(told)?.port())
}

/// What the kernel says is to be had without swapping; none where it does not say.
pub(super) fn free_memory_bytes() -> Option<u64> {
    available_bytes(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

pub(super) fn free_disk_bytes(host: &Host) -> Option<u64> {
    let disk = host.paths.data_disk();
    Room::of(&disk).ok().map(|room| room.free_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect_file;

    #[test]
    fn unit_and_configuration_are_as_their_goldens() {
        let paths = Paths::new("");
        let program = Path::new("/opt/hcs/consul/1.22.2/consul");
        expect_file!["../../consul/golden/snapshot-trial.service"]
            .assert_eq(&unit(&paths, program));
        let version = Version::new(1, 22, 2);
        let config = configuration(&paths.trial_dir(), &version, [40_001, 40_002]);
        expect_file!["../../consul/golden/snapshot-trial.json"].assert_eq(&config);
    }

    #[test]
    fn free_memory_is_what_can_be_had() {
        let meminfo =
            "MemTotal:        8000000 kB\nMemFree:          100 kB\nMemAvailable:    4000 kB\n";
        assert_eq!(available_bytes(meminfo), Some(4_096_000));
        assert_eq!(available_bytes("MemTotal: 8 kB\n"), None);
    }
}
