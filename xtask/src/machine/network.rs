//! The network of the machines: a namespace of its own with a bridge, on which the emulator and the metadata address are.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use hcs_acceptance::tools;

use crate::shell::Failure;

/// Set in the run that is alone in its network.
const ALONE: &str = "HCS_MACHINES_ALONE";
/// The cluster's address space.
pub(crate) const SPACE: &str = "10.80.0.0/24";
/// Where Resource Manager, Entra and the storage account are.
pub(crate) const SERVICES: &str = "10.80.1.1";
/// Azure's gateway of the subnet.
pub(crate) const GATEWAY: &str = "10.80.0.1";
/// Where metadata are served, on every machine of Azure.
pub(crate) const METADATA: &str = "169.254.169.254";
pub(crate) const BRIDGE: &str = "azure";

/// Runs this program again in a namespace, once; makes the bridge there. Needs user namespaces, and no rights.
pub(crate) fn enter(variables: &[(&str, PathBuf)]) -> Result<(), Failure> {
    if std::env::var_os(ALONE).is_none() {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--kill-child", "--fork"]);
        let error = command
            .arg(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(ALONE, "1")
            .envs(variables.iter().cloned())
            .exec();
        return Err(format!("unshare cannot be started: {error}").into());
    }
    ip("link set lo up")?;
    ip(&format!("link add {BRIDGE} type bridge"))?;
    ip(&format!("addr add {GATEWAY}/24 dev {BRIDGE}"))?;
    ip(&format!("addr add {METADATA}/32 dev {BRIDGE}"))?;
    cut_way_out(false)?;
    ip(&format!("link set {BRIDGE} up"))
}

/// A cable for one machine.
pub(crate) fn tap(name: &str) -> Result<(), Failure> {
    ip(&format!("tuntap add {name} mode tap"))?;
    ip(&format!("link set {name} master {BRIDGE} up"))
}

/// Takes the emulator's address away, or gives it back: requests to it go nowhere. The metadata address is on the host of
/// a machine and stays.
pub(crate) fn cut_way_out(is_cut: bool) -> Result<(), Failure> {
    ip(&format!("addr {} {SERVICES}/32 dev {BRIDGE}", if is_cut { "del" } else { "add" }))
}

fn ip(words: &str) -> Result<(), Failure> {
    Ok(tools::run(Command::new("ip").args(words.split_whitespace())).map(drop)?)
}
