//! The image that machines boot: a Debian as its packages make it, with cloud-init, a name for the disk at LUN 10 as on
//! Azure, and the emulator's authority instead of the world's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use hcs_acceptance::bins::target;
use hcs_acceptance::{Emulator, tools};

use crate::shell::Failure;

const SUITE: &str = "bookworm";
/// debootstrap does not follow what is only provided, as `python3-cffi-backend` provides what cloud-init needs.
const PACKAGES: [&str; 13] = [
    "systemd-sysv",
    "udev",
    "dbus",
    "cloud-init",
    "python3-cffi-backend",
    "curl",
    "ca-certificates",
    "e2fsprogs",
    "iproute2",
    "ifupdown",
    "nftables",
    "qemu-guest-agent",
    "linux-image-cloud-amd64",
];
/// What costs a slow machine minutes and has no part in a server's life.
const MASKED: [&str; 5] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
];

/// The name that the rules of Azure's Linux agent give a managed disk. They know it by its place on Hyper-V's bus, which
/// QEMU has not: here it is known by vendor and LUN.
const LUN_RULES: &str = r#"SUBSYSTEM=="block", ENV{DEVTYPE}=="disk", ATTRS{vendor}=="Msft*", KERNELS=="*:*:*:10", SYMLINK+="disk/azure/scsi1/lun10"
"#;

/// What a machine boots from.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) disk: PathBuf,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    /// Folder of the authority that it trusts.
    authority: PathBuf,
}

impl Image {
    /// Takes the image that is there, or makes it, which takes root and some minutes.
    pub(crate) fn get() -> Result<Self, Failure> {
        let dir = target().join("tools/machine").join(SUITE);
        let image = Self {
            disk: dir.join("disk.img"),
            kernel: dir.join("vmlinuz"),
            initrd: dir.join("initrd.img"),
            authority: dir.join("authority"),
        };
        if !image.disk.exists() {
            fs::create_dir_all(&dir)?;
            image.make(&dir)?;
        }
        Ok(image)
    }

    /// Makes an emulator in `dir` sign with the authority that machines trust.
    pub(crate) fn lend_authority(&self, dir: &Path) -> Result<(), Failure> {
        fs::create_dir_all(dir)?;
        for file in ["ca.pem", "ca-key.pem"] {
            fs::copy(self.authority.join(file), dir.join(file))?;
        }
        Ok(())
    }

    fn make(&self, dir: &Path) -> Result<(), Failure> {
        let root = dir.join("root");
        if !dir.join("installed").exists() {
            println!("installing {SUITE} for machines (some minutes, once)");
            let _ = fs::remove_dir_all(&root);
            let include = format!("--include={}", PACKAGES.join(","));
            let words = ["--variant=minbase", &include, SUITE];
            tools::run(Command::new("debootstrap").args(words).arg(&root)).map_err(|error| {
                format!("{error}; debootstrap is a package of Debian's and has to be run as root")
            })?;
            fs::write(dir.join("installed"), "")?;
        }
        for unit in MASKED {
            let link = root.join("etc/systemd/system").join(unit);
            if !link.is_symlink() {
                symlink("/dev/null", link)?;
            }
        }
        fs::write(root.join("etc/udev/rules.d/66-azure-storage.rules"), LUN_RULES)?;
        Emulator::start(&self.authority, &[])?.stop();
        fs::copy(self.authority.join("ca.pem"), root.join("etc/ssl/certs/ca-certificates.crt"))?;
        for (file, to) in [("vmlinuz-", &self.kernel), ("initrd.img-", &self.initrd)] {
            let found =
                fs::read_dir(root.join("boot"))?.flatten().map(|entry| entry.path()).find(|path| {
                    path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(file))
                });
            fs::copy(found.ok_or("the image has no kernel")?, to)?;
        }
        let half = dir.join("disk.half");
        let _ = fs::remove_file(&half);
        let mut mke2fs = Command::new("mke2fs");
        mke2fs.args(["-q", "-t", "ext4", "-L", "os", "-d"]).arg(&root).arg(&half).arg("3G");
        tools::run(&mut mke2fs)?;
        Ok(fs::rename(half, &self.disk)?)
    }
}
