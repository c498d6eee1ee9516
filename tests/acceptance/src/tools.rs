//! Tools that are not ours, kept in a cache of the user's, never in the system.

mod consul;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::HarnessError;
use crate::bins::target;

pub use consul::consul;

/// Names the client that the tests drive instead of `terraform` on PATH: another Terraform, or an OpenTofu.
pub const CLIENT: &str = "HCS_CLIENT_BIN";

/// The Terraform, or the OpenTofu, that the tests drive.
pub fn terraform() -> Result<PathBuf, HarnessError> {
    if let Some(path) = std::env::var_os(CLIENT) {
        return Ok(path.into());
    }
    on_path("terraform").ok_or_else(|| HarnessError::Missing {
        program: "terraform".to_owned(),
        mend: "install Terraform 1.11 and put it on PATH".to_owned(),
    })
}

/// Clients that are there beside the one the tests drive: an OpenTofu (`HCS_TOFU_BIN`), and other Terraforms
/// (`HCS_TERRAFORM_BINS`, between colons).
pub fn other_clients() -> Vec<PathBuf> {
    let named = ["HCS_TOFU_BIN", "HCS_TERRAFORM_BINS"].into_iter().filter_map(std::env::var_os);
    named.flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>()).collect()
}

/// Where what was fetched lies for all checkouts, each file under its hash: `HCS_TOOLS_DIR`, else `hcs-tools` in the
/// user's cache, else under `target`.
pub fn cache() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = named("HCS_TOOLS_DIR") {
        return dir.into();
    }
    let home = || named("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let user = named("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    user.map_or_else(|| target().join("tools"), |user| user.join("hcs-tools"))
}

/// A package of PyPI: name, version and the SHA-256 of its file for Linux on x86-64.
pub struct PyPi<'a>(pub &'a str, pub &'a str, pub &'a str);

/// A file of requirements in `dir` by which pip takes these packages and no other bytes.
pub fn requirements(dir: &Path, packages: &[PyPi<'_>]) -> Result<PathBuf, HarnessError> {
    fs::create_dir_all(dir).map_err(HarnessError::file(dir))?;
    let file = dir.join("requirements.txt");
    let line = |PyPi(name, version, sha256): &PyPi<'_>| {
        format!("{name}=={version} --hash=sha256:{sha256}\n")
    };
    let lines: String = packages.iter().map(line).collect();
    fs::write(&file, lines).map_err(HarnessError::file(&file))?;
    Ok(file)
}

/// Version that a Consul binary reports, e.g. `1.8.7`.
pub fn consul_version(binary: &Path) -> Result<String, HarnessError> {
    let output = run(Command::new(binary).arg("version"))?;
    let first = output.lines().next().unwrap_or_default();
    let version = first.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('v');
    let version: String = version.split('+').next().unwrap_or_default().to_owned();
    if version.split('.').count() == 3 {
        return Ok(version);
    }
    Err(HarnessError::Unexpected(format!("{} says {first:?}", binary.display())))
}

/// Where a program is on PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Runs a command to its end; returns what it printed on standard output.
pub fn run(command: &mut Command) -> Result<String, HarnessError> {
    let text = format!("{command:?}");
    let output = command.output().map_err(HarnessError::file(command.get_program()))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(HarnessError::Failed {
        command: text,
        status: output.status.to_string(),
        output: format!("{stdout}{stderr}"),
    })
}
