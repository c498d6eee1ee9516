//! A Consul client agent that has nothing but what Terraform hands out.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::curl::{self, Request};
use crate::network::Spoke;
use crate::{HarnessError, tools};

/// What `configurations/clients/hand_out.tf` wrote down.
#[derive(Clone, Debug)]
pub struct HandedOut {
    /// The agent's configuration, secrets included.
    pub config: Value,
    /// The CA, PEM.
    pub ca: String,
    /// The clients' token.
    pub token: String,
    /// The management token.
    pub root: String,
}

impl HandedOut {
    /// Reads it from Terraform's folder.
    pub fn read(dir: &Path) -> Result<Self, HarnessError> {
        let text = |name: &str| {
            let path = dir.join("handed").join(name);
            let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
            Ok::<_, HarnessError>(text.trim().to_owned())
        };
        let decoded = |name: &str| {
            let bytes = STANDARD.decode(text(name)?);
            bytes.map_err(|error| HarnessError::Unexpected(format!("handed {name}: {error}")))
        };
        Ok(Self {
            config: serde_json::from_slice(&decoded("config")?).unwrap_or_default(),
            ca: String::from_utf8_lossy(&decoded("ca")?).into_owned(),
            token: text("token")?,
            root: text("root")?,
        })
    }
}

/// An agent that runs. Ends with the value.
#[derive(Debug)]
pub struct Client {
    process: Child,
    name: String,
    /// Where it serves.
    pub address: IpAddr,
    log: PathBuf,
}

impl Client {
    /// Starts the agent `name` in `dir`; on this machine, or on the host of a network of its own.
    pub fn start(
        dir: &Path,
        name: &str,
        handed: &HandedOut,
        address: IpAddr,
        spoke: Option<&Spoke>,
    ) -> Result<Self, HarnessError> {
        fs::create_dir_all(dir).map_err(HarnessError::file(dir))?;
        let (ca_file, file, log) =
            (dir.join("ca.pem"), dir.join("client.json"), dir.join("consul.log"));
        fs::write(&ca_file, &handed.ca).map_err(HarnessError::file(&ca_file))?;
        // A user would put the CA where the configuration says.
        let text = handed.config.to_string();
        let text = text.replace("/etc/consul.d/ca.pem", &ca_file.display().to_string());
        fs::write(&file, text).map_err(HarnessError::file(&file))?;
        let output = fs::File::create(&log).map_err(HarnessError::file(&log))?;
        let errors = output.try_clone().map_err(HarnessError::file(&log))?;
        let consul = tools::consul()?;
        let mut command =
            spoke.map_or_else(|| Command::new(&consul), |spoke| spoke.command(&consul));
        let process = command
            .args(["agent", "-disable-host-node-id", "-log-level=debug"])
            .arg(format!("-node={name}"))
            .arg(format!("-config-file={}", file.display()))
            .arg(format!("-data-dir={}", dir.join("data").display()))
            .args([format!("-bind={address}"), format!("-client={address}")])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(HarnessError::file(&consul))?;
        Ok(Self { process, name: name.to_owned(), address, log })
    }

    /// One request to the agent: status and body.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&str>,
    ) -> Result<(u16, String), HarnessError> {
        let answer = curl::send(&Request {
            method,
            url: format!("http://{}:8500/v1/{path}", self.address),
            headers: vec![("X-Consul-Token", token.to_owned())],
            body,
            ..Request::default()
        })?;
        Ok((answer.status, answer.text().trim().to_owned()))
    }

    /// Waits until the catalog has its node.
    pub fn joins(&self, root: &str) -> Result<(), HarnessError> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(90) {
            if self.has_joined(root) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        Err(HarnessError::Unexpected(format!("{} does not join: {}", self.name, self.log())))
    }

    /// Whether the catalog has its node, as the agent says.
    pub fn has_joined(&self, root: &str) -> bool {
        let nodes = self.ask("GET", "catalog/nodes", root, None);
        nodes.is_ok_and(|(_, nodes)| nodes.contains(&format!("\"{}\"", self.name)))
    }

    /// Leaves for good. Servers that do not know yet that a client has gone look for it at its address, and whoever has that
    /// address by then learns of them.
    pub fn leaves(mut self, root: &str) -> Result<(), HarnessError> {
        self.ask("PUT", "agent/leave", root, None)?;
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(HarnessError::Unexpected(format!("{} does not leave: {}", self.name, self.log())))
    }

    /// Its process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
