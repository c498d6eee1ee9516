//! One machine under QEMU, without KVM: disks, power, and what it says.
//!
//! The power goes as at a socket: the process is killed, and what the machine had not written is lost.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hcs_acceptance::tools;
use serde_json::json;

use super::agent;
use super::image::Image;
use super::network::{self, GATEWAY};
use crate::shell::Failure;

const DATA_DISK_BYTES: u64 = 256 << 20;

/// A machine; it loses power with this value.
pub(crate) struct Vm {
    pub(crate) name: String,
    dir: PathBuf,
    tap: String,
    image: Image,
    process: Option<Child>,
    /// Whether the data disk is plugged in at the next start.
    pub(crate) has_data_disk: bool,
}

impl Vm {
    /// A machine with new disks, not yet started. `number` gives its cable and hardware address.
    pub(crate) fn new(
        image: &Image,
        dir: &Path,
        number: usize,
        name: &str,
        address: &str,
        custom_data: &str,
    ) -> Result<Self, Failure> {
        let dir = dir.join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("seed"))?;
        let tap = format!("tap{number}");
        network::tap(&tap)?;
        let vm = Self {
            name: name.to_owned(),
            dir,
            tap,
            image: image.clone(),
            process: None,
            has_data_disk: true,
        };
        let hardware = vm.hardware_address();
        vm.seed("user-data", custom_data)?;
        vm.seed("meta-data", &format!("instance-id: {name}\nlocal-hostname: {name}\n"))?;
        vm.seed(
            "network-config",
            &format!(
                "version: 2\nethernets:\n  eth0:\n    match: {{macaddress: '{hardware}'}}\n    set-name: eth0\n    \
                 addresses: [{address}/24]\n    gateway4: {GATEWAY}\n"
            ),
        )?;
        vm.new_os_disk()?;
        vm.new_data_disk()?;
        Ok(vm)
    }

    fn seed(&self, file: &str, text: &str) -> Result<(), Failure> {
        Ok(fs::write(self.dir.join("seed").join(file), text)?)
    }

    fn hardware_address(&self) -> String {
        let last = self.tap.trim_start_matches("tap").parse::<u8>().unwrap_or_default();
        format!("00:0d:3a:00:00:{last:02x}")
    }

    /// A disk of the image, with nothing on it that happened since.
    pub(crate) fn new_os_disk(&self) -> Result<(), Failure> {
        let disk = self.dir.join("os.qcow2");
        let _ = fs::remove_file(&disk);
        let mut create = Command::new("qemu-img");
        create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        Ok(tools::run(create.arg(&self.image.disk).arg(disk)).map(drop)?)
    }

    /// A disk of zeros.
    pub(crate) fn new_data_disk(&self) -> Result<(), Failure> {
        let file = fs::File::create(self.dir.join("data.img"))?;
        Ok(file.set_len(DATA_DISK_BYTES)?)
    }

    /// What it said on its console in this life, without colours.
    pub(crate) fn console(&self) -> String {
        let bytes = fs::read(self.dir.join("console.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let mut parts = text.split("\u{1b}[");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |plain, part| {
            let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
            plain + &part[end..]
        })
    }

    /// Gives it power.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        self.cut_power();
        let _ = fs::remove_file(self.dir.join("agent.sock"));
        let path = |file: &str| self.dir.join(file).display().to_string();
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-accel", "tcg,thread=multi", "-smp", "1", "-m", "768", "-nodefaults"])
            .args(["-display", "none", "-serial"])
            .arg(format!("file:{}", path("console.log")))
            .arg("-kernel")
            .arg(&self.image.kernel)
            .arg("-initrd")
            .arg(&self.image.initrd)
            .args(["-append", "root=/dev/vda rw console=ttyS0 systemd.show_status=1 net.ifnames=0"])
            .arg("-drive")
            .arg(format!("if=virtio,format=qcow2,file={}", path("os.qcow2")))
            .arg("-drive")
            .arg(format!(
                "if=virtio,format=raw,readonly=on,file.driver=vvfat,file.label=CIDATA,file.dir={}",
                path("seed")
            ))
            .arg("-netdev")
            .arg(format!("tap,id=n,ifname={},script=no,downscript=no", self.tap))
            .arg("-device")
            .arg(format!("virtio-net-pci,netdev=n,mac={}", self.hardware_address()))
            .args(["-device", "virtio-scsi-pci,id=scsi", "-device", "virtio-serial"])
            .arg("-chardev")
            .arg(format!("socket,id=agent,server=on,wait=off,path={}", path("agent.sock")))
            .args(["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]);
        qemu.arg("-drive").arg(format!("if=none,id=data,format=raw,file={}", path("data.img")));
        if self.has_data_disk {
            let disk = data_disk();
            let words = disk.iter().map(|(key, value)| format!(",{key}={value}"));
            qemu.arg("-device").arg(format!("scsi-hd{}", words.collect::<String>()));
        }
        qemu.arg("-qmp").arg(format!("unix:{},server=on,wait=off", path("monitor.sock")));
        let log = fs::File::create(self.dir.join("qemu.log"))?;
        qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        self.process = Some(qemu.spawn().map_err(|error| format!("qemu-system-x86_64: {error}"))?);
        Ok(())
    }

    /// Plugs the data disk in while it runs.
    pub(crate) fn plug_data_disk(&mut self) -> Result<(), Failure> {
        let mut arguments = json!({"driver": "scsi-hd"});
        for (key, value) in data_disk() {
            arguments[key] =
                value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
        }
        let socket = self.dir.join("monitor.sock");
        agent::monitor(&socket, &json!({"execute": "device_add", "arguments": arguments}))?;
        self.has_data_disk = true;
        Ok(())
    }

    /// Takes its power.
    pub(crate) fn cut_power(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Takes its power when its console has said `word`; `false` if it did not within `patience`.
    pub(crate) fn cut_power_at(&mut self, word: &str, patience: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < patience {
            if self.console().contains(word) {
                self.cut_power();
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.cut_power();
        false
    }

    /// Runs a line of shell in it, as root.
    pub(crate) fn shell(&self, line: &str) -> Result<String, Failure> {
        agent::shell(&self.dir.join("agent.sock"), line)
    }
}

/// As Hyper-V shows a managed disk at LUN 10.
fn data_disk() -> [(&'static str, &'static str); 6] {
    [
        ("bus", "scsi.0"),
        ("scsi-id", "0"),
        ("lun", "10"),
        ("drive", "data"),
        ("vendor", "Msft"),
        ("product", "Virtual_Disk"),
    ]
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.cut_power();
    }
}
