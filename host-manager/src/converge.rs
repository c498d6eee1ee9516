//! Brings this server's Consul to what the documents want: program, files, unit, process.
//!
//! A running member is never restarted here; that is the business of [`crate::rollout`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hcs_planner::dataplane::ClusterDocument;
use hcs_planner::rotation::SecretVersion;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::artifact::hex;
use crate::consul::config::{self, ConfigError, ConfigSecrets, Family, ServerConfig};
use crate::consul::store::{self, RaftData};
use crate::consul::unit::consul_unit;
use crate::documents::ServerSecrets;
use crate::files::{self, FileError};
use crate::formation::Formation;
use crate::host::Host;
use crate::last_known::LastKnown;
use crate::memory::{Memory, MemoryError};
use crate::reader::{Reader, ReaderError};
use crate::report::chain;
use crate::secrets::scrub;
use crate::service::{ServiceError, Verb};

/// Everything that a start of Consul depends on.
pub struct Wanted {
    /// The program.
    pub program: PathBuf,
    unit: String,
    server: String,
    secrets: Zeroizing<String>,
    /// What a start without the storage account needs.
    known: LastKnown,
    /// Changes when a restart is needed.
    pub fingerprint: String,
}

/// What a start depends on beside documents and program.
#[derive(Clone, Copy, Debug)]
pub struct StartedFor<'a> {
    /// How the server comes into the cluster.
    pub formation: Formation,
    /// The version of the management token that Consul is started with.
    pub management_token: &'a SecretVersion,
}

impl Wanted {
    /// Renders it all.
    pub fn render(
        host: &Host,
        cluster: &ClusterDocument,
        secrets: &ServerSecrets,
        program: PathBuf,
        started_for: StartedFor<'_>,
    ) -> Result<Self, RenderError> {
        let StartedFor { formation, management_token } = started_for;
        let version = &cluster.consul.version;
        let server = config::server_json(&ServerConfig {
            version,
            datacenter: &cluster.datacenter,
            node_name: &host.bootstrap.node_name,
            data_dir: &host.paths.data_dir(),
            tls_dir: &host.paths.tls_dir(),
            address: host.instance.address,
            bootstrap_expect: formation.bootstrap_expect(),
            log_store: RaftData::look(&host.paths.data_dir())?.store,
            added: &cluster.consul_server_config,
        })?;
        let family = Family::of(version)?;
        let known = LastKnown {
            cluster: cluster.clone(),
            secrets: secrets.clone(),
            management_version: management_token.clone(),
        };
        let secrets = config::secrets_json(
            family,
            ConfigSecrets {
                gossip_key: &secrets.gossip_key,
                management_token: secrets.management_token.as_ref(),
                local_token: &secrets.local_token(),
            },
        );
        let unit = consul_unit(&host.paths, &program);
        let mut digest = Sha256::new();
        // Not the secrets: a gossip key that changed is not read again (the keyring wins), and the rest is reloaded. A
        // management token alone counts as long as any server was started with it.
        for part in [unit.as_str(), &server, &cluster.consul.sha256] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let fingerprint = management_token.blob(&hex(&digest.finalize()));
        Ok(Self { program, unit, server, secrets, known, fingerprint })
    }

    /// Version of the program.
    pub fn version(&self) -> &semver::Version {
        &self.known.cluster.consul.version
    }

    /// Whether a Consul that was started with `fingerprint` differs in the version of the management token alone.
    pub fn differs_by_token_alone(&self, fingerprint: &str) -> bool {
        let rest = |text: &str| text.split('.').next().map(str::to_owned);
        self.fingerprint != fingerprint && rest(&self.fingerprint) == rest(fingerprint)
    }

    /// Asks the program itself whether it would start with this, before anything is replaced.
    pub async fn validate(&self, host: &Host) -> Result<(), InvalidConfig> {
        let paths = &host.paths;
        let folder = paths.secret_dir().join("candidate");
        files::make_dir(&paths.secret_dir(), Reader::of(paths)?.folder())?;
        files::make_dir(&folder, 0o700)?;
        files::make_dir(&paths.data_dir(), 0o700)?;
        let (server, secrets) = (folder.join("server.json"), folder.join("secrets.json"));
        files::write(&server, self.server.as_bytes(), files::SECRET_MODE)?;
        files::write(&secrets, self.secrets.as_bytes(), files::SECRET_MODE)?;
        let mut command = Command::new(&self.program);
        command.arg("validate").args([&server, &paths.join_config(), &secrets]).env_clear();
        let output = command.output().await;
        files::remove_dir(&folder)?;
        let output = output.map_err(InvalidConfig::Start)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        let said = scrub(said.trim()).chars().take(300).collect();
        Err(InvalidConfig::Refused(said))
    }

    /// Writes the files. A running Consul does not notice; returns whether it should read the secrets again.
    pub fn write(&self, host: &Host) -> Result<bool, ReaderError> {
        let paths = &host.paths;
        let reader = Reader::of(paths)?;
        files::make_dir(&paths.data_dir(), 0o700)?;
        files::make_dir(&paths.temporary_dir(), 0o700)?;
        files::make_dir(&paths.config_dir(), 0o755)?;
        files::make_dir(&paths.secret_dir(), reader.folder())?;
        files::make_dir(&paths.unit_dir(), 0o755)?;
        let files: [(&Path, &str); 2] =
            [(&paths.server_config(), &self.server), (&paths.consul_unit(), &self.unit)];
        for (path, text) in files {
            files::write_if_changed(path, text.as_bytes(), files::PUBLIC_MODE)?;
        }
        let secrets = self.secrets.as_bytes();
        let is_new = files::write_if_changed(&paths.secret_config(), secrets, reader.file())?;
        // A full system disk must not keep Consul from its certificate.
        if let Err(error) = self.known.keep(paths) {
            tracing::warn!(
                error = chain(&error),
                "a start without the storage account would not know this"
            );
        }
        Ok(is_new)
    }

    /// Makes the disk fit for a start: what a power cut broke is removed, and what a killed Consul left in its temporary
    /// folder. Only while Consul is stopped.
    pub fn prepare_disk(host: &Host) -> Result<(), FileError> {
        // The folder stays: systemd mounts it into Consul's sandbox, and may be at it already.
        files::clear_dir(&host.paths.temporary_dir())?;
        let broken = store::mend(&host.paths.data_dir())?;
        if !broken.is_empty() {
            tracing::warn!(?broken, "removed: empty or half written, most likely by a power cut");
        }
        Ok(())
    }
}

/// Why no configuration can be rendered.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum RenderError {
    /// The version.
    Config(#[from] ConfigError),
    /// The disk.
    File(#[from] FileError),
}

/// Why a configuration is not used. The running Consul goes on with the old one.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// Consul's own judgement.
    #[error("Consul refuses its configuration: {0}")]
    Refused(String),
    /// The program cannot be asked.
    #[error("`consul validate` cannot be started")]
    Start(#[source] std::io::Error),
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// Consul's user.
    #[error(transparent)]
    Reader(#[from] ReaderError),
}

/// Writes the addresses that Consul joins when it starts next.
pub fn write_join(host: &Host, peers: &[IpAddr]) -> Result<(), FileError> {
    files::make_dir(&host.paths.config_dir(), 0o755)?;
    let text = config::join_json(peers);
    files::write_if_changed(&host.paths.join_config(), text.as_bytes(), files::PUBLIC_MODE)?;
    Ok(())
}

/// Starts Consul with these files. Until it was told to start, what it runs with is not remembered: who is cut off in
/// between restarts it once more.
pub async fn start_as(
    host: &Host,
    wanted: &Wanted,
    memory: &mut Memory,
    verb: Verb,
) -> Result<(), StartError> {
    memory.started_with = None;
    memory.save(&host.paths)?;
    wanted.write(host)?;
    host.service.tell(Verb::DaemonReload).await?;
    host.service.tell(Verb::Enable).await?;
    host.service.tell(verb).await?;
    memory.started_with = Some(wanted.fingerprint.clone());
    Ok(memory.save(&host.paths)?)
}

/// Why Consul was not started.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum StartError {
    /// The disk, or Consul's user.
    Reader(#[from] ReaderError),
    /// Our memory.
    Memory(#[from] MemoryError),
    /// The service manager.
    Service(#[from] ServiceError),
}
