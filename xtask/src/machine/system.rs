//! The systems that machines boot: what differs between distributions.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use hcs_acceptance::packages::sha256;
use hcs_acceptance::tools;

use crate::shell::Failure;

/// A distribution, as its packages make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    /// cloud-init 22.4, systemd 252; a data disk has the name that the rules of Azure's Linux agent give it.
    #[value(name = "debian-12")]
    Debian12,
    /// cloud-init 24.1, systemd 255; a data disk has the name that the rules of azure-vm-utils give it.
    #[value(name = "ubuntu-24.04")]
    Ubuntu2404,
}

/// debootstrap does not follow what is only provided, as `python3-cffi-backend` provides what cloud-init needs.
const PACKAGES: [&str; 10] = [
    "systemd-sysv",
    "udev",
    "dbus",
    "cloud-init",
    "curl",
    "ca-certificates",
    "e2fsprogs",
    "iproute2",
    "nftables",
    "qemu-guest-agent",
];
/// What costs a slow machine minutes and has no part in a server's life.
const MASKED: [&str; 5] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
];

/// The rules know a disk by its place on Hyper-V's bus, which QEMU has not: here it is known by vendor and LUN.
const AGENT_RULES: &str = r#"SUBSYSTEM=="block", ENV{DEVTYPE}=="disk", ATTRS{vendor}=="Msft*", KERNELS=="*:*:*:10", SYMLINK+="disk/azure/scsi1/lun10"
"#;
const VM_UTILS_RULES: &str = r#"SUBSYSTEM=="block", ENV{DEVTYPE}=="disk", ATTRS{vendor}=="Msft*", KERNELS=="*:*:*:10", SYMLINK+="disk/azure/data/by-lun/10"
"#;

/// Ubuntu's keys, which Debian does not bring any more. The key of 2018 in it is F6ECB3762474EDA9D21B7022871920D1991BC93C.
const UBUNTU_KEYS: &str = "http://archive.ubuntu.com/ubuntu/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb";
const UBUNTU_KEYS_SHA256: &str = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8";
const UBUNTU_MIRROR: &str = "http://archive.ubuntu.com/ubuntu";

impl System {
    /// Name of its release.
    pub(crate) fn suite(self) -> &'static str {
        match self {
            Self::Debian12 => "bookworm",
            Self::Ubuntu2404 => "noble",
        }
    }

    /// Units that are not started.
    pub(crate) fn masked(self) -> Vec<&'static str> {
        let more: &[&str] = match self {
            Self::Debian12 => &[],
            Self::Ubuntu2404 => &["motd-news.timer", "snapd.service", "ua-timer.timer"],
        };
        MASKED.iter().chain(more).copied().collect()
    }

    /// What names the disk at LUN 10 as on Azure.
    pub(crate) fn disk_rules(self) -> &'static str {
        match self {
            Self::Debian12 => AGENT_RULES,
            Self::Ubuntu2404 => VM_UTILS_RULES,
        }
    }

    /// Installs it into `root`, which takes root and some minutes. `dir` is for what is needed on the way.
    pub(crate) fn install(self, dir: &Path, root: &Path) -> Result<(), Failure> {
        let more: &[&str] = match self {
            Self::Debian12 => &["python3-cffi-backend", "ifupdown", "linux-image-cloud-amd64"],
            Self::Ubuntu2404 => &["netplan.io", "initramfs-tools", "linux-image-virtual"],
        };
        let packages: Vec<&str> = PACKAGES.iter().chain(more).copied().collect();
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.arg("--variant=minbase").arg(format!("--include={}", packages.join(",")));
        if self == Self::Ubuntu2404 {
            let keys = ubuntu_keys(dir)?;
            debootstrap
                .arg("--components=main,universe")
                .arg(format!("--keyring={}", keys.display()));
        }
        debootstrap.arg(self.suite()).arg(root);
        if self == Self::Ubuntu2404 {
            // Debian's debootstrap need not know the release: all of Ubuntu's are installed by one script.
            debootstrap.args([UBUNTU_MIRROR, "/usr/share/debootstrap/scripts/gutsy"]);
        }
        tools::run(&mut debootstrap).map_err(|error| {
            format!("{error}; debootstrap is a package of Debian's and has to be run as root")
        })?;
        Ok(())
    }
}

/// The keyring that Ubuntu's archive is signed with.
fn ubuntu_keys(dir: &Path) -> Result<PathBuf, Failure> {
    let keyring = "usr/share/keyrings/ubuntu-archive-keyring.gpg";
    let own = Path::new("/").join(keyring);
    if own.is_file() {
        return Ok(own);
    }
    let package = dir.join("ubuntu-keyring.deb");
    let mut curl = Command::new("curl");
    tools::run(curl.args(["-sSf", "-o"]).arg(&package).arg(UBUNTU_KEYS))?;
    if sha256(&package)? != UBUNTU_KEYS_SHA256 {
        return Err(format!("{UBUNTU_KEYS} is not what it was").into());
    }
    let unpacked = dir.join("keys");
    tools::run(Command::new("dpkg").arg("-x").arg(&package).arg(&unpacked))?;
    Ok(unpacked.join(keyring))
}
