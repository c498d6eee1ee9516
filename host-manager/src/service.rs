//! The port to the service manager: Consul is a service of its own, so that it outlives us; so is one that is thrown away.

use async_trait::async_trait;
use hcs_planner::cloud_init::SERVER_SETUP_UNIT;
use tokio::process::Command;

/// Name of Consul's unit.
pub const CONSUL_UNIT: &str = "consul.service";

/// Name of the unit of the server in which a snapshot is tried.
pub const TRIAL_UNIT: &str = "hcs-snapshot-trial.service";

/// What can be asked of the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read changed unit files.
    DaemonReload,
    /// Run the server's setup, again if it has run.
    SetUp,
    /// Start Consul at boot.
    Enable,
    /// Do not start Consul at boot any more.
    Disable,
    /// Start Consul now.
    Start,
    /// Stop Consul now.
    Stop,
    /// Stop and start Consul.
    Restart,
    /// Have Consul read its configuration and certificates again.
    Reload,
    /// Start the server in which a snapshot is tried.
    StartTrial,
    /// Stop that one.
    StopTrial,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::DaemonReload => "daemon-reload",
            Self::SetUp => "restart",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Start | Self::StartTrial => "start",
            Self::Stop | Self::StopTrial => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }
}

/// Why the service manager did not obey.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It cannot be started.
    #[error("systemctl cannot be started")]
    Start(#[source] std::io::Error),
    /// The journal cannot be asked.
    #[error("journalctl cannot be started")]
    Journal(#[source] std::io::Error),
    /// It refused.
    #[error("systemctl {verb} failed: {message}")]
    Refused {
        /// What was asked.
        verb: &'static str,
        /// Its own words.
        message: String,
    },
}

/// The service manager, as far as Consul's units and the server's setup are concerned.
#[async_trait]
pub trait Service: Send + Sync {
    /// Carries out a verb.
    async fn tell(&self, verb: Verb) -> Result<(), ServiceError>;

    /// Whether Consul's process runs.
    async fn is_active(&self) -> Result<bool, ServiceError>;

    /// How the server in which a snapshot was tried ended, in systemd's word: `success`, `exit-code`, `signal`, `oom-kill`,
    /// `timeout`.
    async fn trial_result(&self) -> Result<String, ServiceError>;

    /// The last lines that a unit wrote into the journal.
    async fn journal(&self, unit: &str, lines: u32) -> Result<String, ServiceError>;
}

/// systemd, by its `systemctl`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Systemd;

#[async_trait]
impl Service for Systemd {
    async fn tell(&self, verb: Verb) -> Result<(), ServiceError> {
        let mut command = Command::new("systemctl");
        command.arg(verb.word());
        match verb {
            Verb::DaemonReload => {}
            Verb::SetUp => drop(command.arg(SERVER_SETUP_UNIT)),
            Verb::StartTrial | Verb::StopTrial => drop(command.arg(TRIAL_UNIT)),
            _ => drop(command.arg(CONSUL_UNIT)),
        }
        let output = command.output().await.map_err(ServiceError::Start)?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr);
        let message = message.trim().chars().take(300).collect();
        Err(ServiceError::Refused { verb: verb.word(), message })
    }

    async fn is_active(&self) -> Result<bool, ServiceError> {
        let mut command = Command::new("systemctl");
        let output = command.args(["is-active", CONSUL_UNIT]).output().await;
        Ok(output.map_err(ServiceError::Start)?.status.success())
    }

    async fn trial_result(&self) -> Result<String, ServiceError> {
        let mut command = Command::new("systemctl");
        command.args(["show", "--property=Result", "--value", TRIAL_UNIT]);
        let output = command.output().await.map_err(ServiceError::Start)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    async fn journal(&self, unit: &str, lines: u32) -> Result<String, ServiceError> {
        let mut command = Command::new("journalctl");
        command.args(["-u", unit, "-n", &lines.to_string(), "-o", "short-iso", "--no-pager"]);
        command.kill_on_drop(true);
        let output = command.output().await.map_err(ServiceError::Journal)?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(text)
    }
}
