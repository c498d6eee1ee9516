//! Tools that are not ours, set up under `target/tools`, never in the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::HarnessError;
use crate::bins::target;

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

/// A Consul binary: `HCS_CONSUL_BIN`, else what is set up already, else `consul` on PATH, else the one that Debian 11
/// ships, unpacked under `target/tools`.
pub fn consul() -> Result<PathBuf, HarnessError> {
    if let Some(path) = std::env::var_os("HCS_CONSUL_BIN") {
        return Ok(path.into());
    }
    let own = target().join("tools/consul");
    if own.is_file() {
        return Ok(own);
    }
    if let Some(path) = on_path("consul") {
        return Ok(path);
    }
    fetch_consul(&own)?;
    Ok(own)
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

/// apt with lists and sources of its own: the system's stay as they are.
fn fetch_consul(to: &Path) -> Result<(), HarnessError> {
    let missing = |reason: &str| HarnessError::Missing {
        program: "consul".to_owned(),
        mend: format!(
            "{reason}; put a consul binary (1.8 or newer) on PATH or name it in HCS_CONSUL_BIN"
        ),
    };
    let mirror = debian_mirror().ok_or_else(|| missing("this is no Debian with an apt mirror"))?;
    let work = target().join("tools/apt");
    let lists = work.join("lists/partial");
    fs::create_dir_all(&lists).map_err(HarnessError::file(&lists))?;
    let source = work.join("bullseye.list");
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let line = format!("deb [signed-by={keyring}] {mirror} bullseye main\n");
    fs::write(&source, line).map_err(HarnessError::file(&source))?;
    let options = [
        format!("Dir::Etc::sourcelist={}", source.display()),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::Lists={}", work.join("lists").display()),
        format!("Dir::Cache={}", work.join("cache").display()),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let cache = work.join("cache/archives/partial");
    fs::create_dir_all(&cache).map_err(HarnessError::file(&cache))?;
    for words in [["update"].as_slice(), &["download", "consul"]] {
        let mut apt = Command::new("apt-get");
        apt.current_dir(&work).arg("-q");
        for option in &options {
            apt.args(["-o", option]);
        }
        run(apt.args(words)).map_err(|error| missing(&format!("apt-get failed: {error}")))?;
    }
    let package = fs::read_dir(&work)
        .map_err(HarnessError::file(&work))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| missing("apt-get downloaded nothing"))?;
    let root = work.join("root");
    run(Command::new("dpkg").arg("-x").arg(&package).arg(&root))?;
    let unpacked = root.join("usr/bin/consul");
    fs::rename(&unpacked, to).map_err(HarnessError::file(to))
}

/// The mirror that this machine's apt uses already.
fn debian_mirror() -> Option<String> {
    let mut files: Vec<PathBuf> = vec!["/etc/apt/sources.list".into()];
    files
        .extend(fs::read_dir("/etc/apt/sources.list.d").ok()?.filter_map(|e| Some(e.ok()?.path())));
    files.sort();
    let texts = files.iter().filter_map(|path| fs::read_to_string(path).ok());
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"))
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
