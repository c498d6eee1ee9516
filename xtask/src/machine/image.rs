//! The image that machines boot: a system as its packages make it, with cloud-init, a name for the disk at LUN 10 as on
//! Azure, and the emulator's authority instead of the world's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use hcs_acceptance::{Emulator, tools};

use super::system::System;
use crate::shell::Failure;

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
    pub(crate) fn get(system: System) -> Result<Self, Failure> {
        let dir = tools::cache().join("machine").join(system.suite());
        let image = Self {
            disk: dir.join("disk.img"),
            kernel: dir.join("vmlinuz"),
            initrd: dir.join("initrd.img"),
            authority: dir.join("authority"),
        };
        if !image.disk.exists() {
            fs::create_dir_all(&dir)?;
            image.make(system, &dir)?;
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

    fn make(&self, system: System, dir: &Path) -> Result<(), Failure> {
        let root = dir.join("root");
        if !dir.join("installed").exists() {
            println!("installing {} for machines (some minutes, once)", system.suite());
            let _ = fs::remove_dir_all(&root);
            system.install(dir, &root)?;
            fs::write(dir.join("installed"), "")?;
        }
        for unit in system.masked() {
            let link = root.join("etc/systemd/system").join(unit);
            if !link.is_symlink() {
                symlink("/dev/null", link)?;
            }
        }
        fs::write(root.join("etc/udev/rules.d/66-azure-storage.rules"), system.disk_rules())?;
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
