//! Where everything lies on a server. Every path starts at one root, empty on a real VM.
//!
//! Owns names only; never touches the disk.

use std::path::{Path, PathBuf};

use semver::Version;

use crate::service::{CONSUL_UNIT, TRIAL_UNIT};

/// Files in the folder of [`Paths::tls_dir`].
pub mod tls_file {
    /// The CAs that are trusted.
    pub const AUTHORITIES: &str = "ca.pem";
    /// The server's certificate.
    pub const CERTIFICATE: &str = "server.pem";
    /// Its private key.
    pub const KEY: &str = "server-key.pem";
}

/// The folder tree of one server.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The tree below `root`; an empty root means `/`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let root = if root.as_os_str().is_empty() { PathBuf::from("/") } else { root };
        Self { root }
    }

    /// Whether this is a machine of its own, and not a folder that stands for one.
    pub fn is_whole_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// What cloud-init wrote for this server.
    pub fn bootstrap(&self) -> PathBuf {
        self.at("etc/hcs/bootstrap.json")
    }

    /// Memory of the host manager that must survive reboots.
    pub fn state_dir(&self) -> PathBuf {
        self.at("opt/hcs/state")
    }

    /// What a start without the storage account needs.
    pub fn last_known(&self) -> PathBuf {
        self.state_dir().join("last-known.json")
    }

    /// This server's certificate with its key.
    pub fn leaf(&self) -> PathBuf {
        self.state_dir().join("leaf.pem")
    }

    /// What the metadata service said last of this machine.
    pub fn instance(&self) -> PathBuf {
        self.state_dir().join("instance.json")
    }

    /// Folder of one Consul version.
    pub fn consul_dir(&self, version: &Version) -> PathBuf {
        self.consul_dirs().join(version.to_string())
    }

    /// Where the data disk is mounted.
    pub fn data_disk(&self) -> PathBuf {
        self.at("opt/consul")
    }

    /// Consul's data.
    pub fn data_dir(&self) -> PathBuf {
        self.at("opt/consul/data")
    }

    /// Where Consul puts whole archives and states for a moment: on the data disk, not on the small one of the system.
    pub fn temporary_dir(&self) -> PathBuf {
        self.at("opt/consul/tmp")
    }

    /// Everything of the server in which a snapshot is tried; a folder that comes and goes with it.
    pub fn trial_dir(&self) -> PathBuf {
        self.at("opt/consul/trial")
    }

    /// Where all programs of Consul lie, by version.
    pub fn consul_dirs(&self) -> PathBuf {
        self.at("opt/hcs/consul")
    }

    /// Consul's configuration without secrets.
    pub fn config_dir(&self) -> PathBuf {
        self.at("etc/consul.d")
    }

    /// The main configuration file.
    pub fn server_config(&self) -> PathBuf {
        self.config_dir().join("server.json")
    }

    /// The addresses that a starting Consul joins; changes without a restart.
    pub fn join_config(&self) -> PathBuf {
        self.config_dir().join("join.json")
    }

    /// Folder of everything secret that Consul reads; `/run` is memory on a real VM.
    pub fn secret_dir(&self) -> PathBuf {
        self.at("run/hcs")
    }

    /// The configuration that holds the gossip key and the management token.
    pub fn secret_config(&self) -> PathBuf {
        self.secret_dir().join("secrets.json")
    }

    /// Certificates and key in use: a link, so that all three change at once.
    pub fn tls_dir(&self) -> PathBuf {
        self.secret_dir().join("tls")
    }

    /// Folder of systemd units.
    pub fn unit_dir(&self) -> PathBuf {
        self.at("etc/systemd/system")
    }

    /// Consul's unit.
    pub fn consul_unit(&self) -> PathBuf {
        self.unit_dir().join(CONSUL_UNIT)
    }

    /// The unit of the server in which a snapshot is tried.
    pub fn trial_unit(&self) -> PathBuf {
        self.unit_dir().join(TRIAL_UNIT)
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
