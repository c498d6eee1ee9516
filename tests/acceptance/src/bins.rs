//! Where our own binaries are, and the folder from which Terraform installs the provider.

use std::fs;
use std::path::{Path, PathBuf};

use crate::HarnessError;

/// Names another host manager than the one that was built with everything else.
pub const HOST_MANAGER: &str = "HCS_HOST_MANAGER_BIN";

/// Root of the repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize().unwrap_or(here)
}

/// Folder of build results.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// A binary of ours, from the profile that runs now.
pub fn binary(name: &str) -> Result<PathBuf, HarnessError> {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let path = target().join(profile).join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(HarnessError::Missing {
        program: path.display().to_string(),
        mend: "build it with `cargo build --workspace --bins`".to_owned(),
    })
}

/// The provider's source address as Terraform and OpenTofu complete it: each has a registry of its own.
pub const ADDRESSES: [&str; 2] =
    ["registry.terraform.io/hcs-community/hcs", "registry.opentofu.org/hcs-community/hcs"];

/// A folder in the form of a filesystem mirror, for either client, that holds the provider as it was just built, with
/// the host manager beside it as in a release archive. `dir` is the mirror's own.
pub fn provider_mirror(dir: &Path) -> Result<PathBuf, HarnessError> {
    let version = env!("CARGO_PKG_VERSION");
    let platform =
        format!("linux_{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let files = [
        ("terraform-provider-hcs", format!("terraform-provider-hcs_v{version}")),
        ("hcs-host-manager", "hcs-host-manager".to_owned()),
    ];
    for (name, installed) in files {
        let chosen = std::env::var_os(HOST_MANAGER).filter(|_| name == "hcs-host-manager");
        let from = chosen.map_or_else(|| binary(name), |path| Ok(path.into()))?;
        for address in ADDRESSES {
            let package = dir.join(address).join(version).join(&platform);
            fs::create_dir_all(&package).map_err(HarnessError::file(&package))?;
            let to = package.join(&installed);
            let _ = fs::remove_file(&to);
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).map_err(HarnessError::file(&to))?;
            }
        }
    }
    Ok(dir.to_owned())
}
