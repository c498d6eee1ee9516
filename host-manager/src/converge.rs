//! Brings this server's Consul to what the documents want: program, files, unit, process.
//!
//! A running member is never restarted here; that is the business of [`crate::rollout`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::artifact::hex;
use crate::consul::config::{self, ConfigSecrets, Family, ServerConfig, UnknownFamily};
use crate::consul::unit::consul_unit;
use crate::documents::ServerSecrets;
use crate::files::{self, FileError};
use crate::formation::Formation;
use crate::host::Host;
use crate::service::{ServiceError, Verb};
use hcs_planner::dataplane::ClusterDocument;

/// Everything that a start of Consul depends on.
pub struct Wanted {
    /// The program.
    pub program: PathBuf,
    unit: String,
    server: String,
    secrets: Zeroizing<String>,
    /// Changes when a restart is needed.
    pub fingerprint: String,
}

impl Wanted {
    /// Renders it all.
    pub fn render(
        host: &Host,
        cluster: &ClusterDocument,
        secrets: &ServerSecrets,
        program: PathBuf,
        formation: Formation,
    ) -> Result<Self, UnknownFamily> {
        let version = &cluster.consul.version;
        let server = config::server_json(&ServerConfig {
            version,
            datacenter: &cluster.datacenter,
            node_name: &host.bootstrap.node_name,
            data_dir: &host.paths.data_dir(),
            tls_dir: &host.paths.tls_dir(),
            address: host.instance.address,
            bootstrap_expect: formation.bootstrap_expect(),
        })?;
        let family = Family::of(version)?;
        let secrets = config::secrets_json(
            family,
            ConfigSecrets {
                gossip_key: &secrets.gossip_key,
                management_token: &secrets.management_token,
                local_token: &secrets.local_token(),
            },
        );
        let unit = consul_unit(&host.paths, &program);
        let mut digest = Sha256::new();
        for part in [unit.as_str(), &server, &secrets] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let fingerprint = hex(&digest.finalize());
        Ok(Self { program, unit, server, secrets, fingerprint })
    }

    /// Writes the files. A running Consul does not notice.
    pub fn write(&self, host: &Host) -> Result<(), FileError> {
        let paths = &host.paths;
        files::make_dir(&paths.data_dir(), 0o700)?;
        files::make_dir(&paths.config_dir(), 0o755)?;
        files::make_dir(&paths.secret_dir(), 0o700)?;
        files::make_dir(&paths.unit_dir(), 0o755)?;
        let files: [(&Path, &str, u32); 3] = [
            (&paths.server_config(), &self.server, files::PUBLIC_MODE),
            (&paths.secret_config(), &self.secrets, files::SECRET_MODE),
            (&paths.consul_unit(), &self.unit, files::PUBLIC_MODE),
        ];
        for (path, text, mode) in files {
            files::write_if_changed(path, text.as_bytes(), mode)?;
        }
        Ok(())
    }
}

/// Writes the addresses that Consul joins when it starts next.
pub fn write_join(host: &Host, peers: &[IpAddr]) -> Result<(), FileError> {
    files::make_dir(&host.paths.config_dir(), 0o755)?;
    let text = config::join_json(peers);
    files::write_if_changed(&host.paths.join_config(), text.as_bytes(), files::PUBLIC_MODE)?;
    Ok(())
}

/// Makes the service manager run the unit as it is on disk.
pub async fn start(host: &Host, verb: Verb) -> Result<(), ServiceError> {
    host.service.tell(Verb::DaemonReload).await?;
    host.service.tell(Verb::Enable).await?;
    host.service.tell(verb).await
}
