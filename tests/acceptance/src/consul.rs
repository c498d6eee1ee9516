//! Asks Consul itself, over TLS with the cluster's CA, with or without its management token.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::curl::{self, Answer, Request};
use crate::{Emulator, HarnessError, blobs};

/// The servers of one cluster.
#[derive(Debug)]
pub struct Consul {
    ca: PathBuf,
    token: String,
    datacenter: String,
    /// Addresses of the servers, by slot.
    pub addresses: Vec<String>,
}

impl Consul {
    /// Believes another authority, PEM: that of before may be gone.
    pub fn trust(&self, ca_pem: &str) -> Result<(), HarnessError> {
        fs::write(&self.ca, ca_pem).map_err(HarnessError::file(&self.ca))
    }

    /// Servers at these addresses, whoever made them.
    #[must_use]
    pub fn at(ca: &Path, token: &str, datacenter: &str, addresses: Vec<String>) -> Self {
        let (token, datacenter) = (token.to_owned(), datacenter.to_owned());
        Self { ca: ca.to_owned(), token, datacenter, addresses }
    }

    /// Finds the cluster's servers, CA and token in its blobs; `dir` takes the CA certificate.
    pub fn of_cluster(
        emulator: &Emulator,
        account: &str,
        dir: &Path,
    ) -> Result<Self, HarnessError> {
        let missing = |what: &str| HarnessError::Unexpected(format!("the cluster has no {what}"));
        let document = blobs::json(emulator, account, "config", "cluster.json")?;
        let document = document.ok_or_else(|| missing("config/cluster.json"))?;
        let ca_pem = blobs::get(emulator, account, "certificates", "ca.pem")?;
        let ca = dir.join("consul-ca.pem");
        fs::write(&ca, ca_pem.ok_or_else(|| missing("CA"))?).map_err(HarnessError::file(&ca))?;
        let token = blobs::get(emulator, account, "secrets-shared", "management-token")?;
        let token = token.ok_or_else(|| missing("management token"))?;
        let mut addresses = Vec::new();
        for slot in document["slots"].as_array().into_iter().flatten() {
            let container = format!("status-{slot}");
            let status = blobs::json(emulator, account, &container, "status.json")?;
            let status = status.ok_or_else(|| missing("server status"))?;
            addresses.push(status["address"].as_str().unwrap_or_default().to_owned());
        }
        Ok(Self {
            ca,
            token: String::from_utf8_lossy(&token).trim().to_owned(),
            datacenter: document["datacenter"].as_str().unwrap_or_default().to_owned(),
            addresses,
        })
    }

    /// One request to the server of a slot.
    pub fn ask(
        &self,
        slot: usize,
        method: &str,
        path: &str,
        body: Option<&str>,
        with_token: bool,
    ) -> Result<Answer, HarnessError> {
        self.ask_as(slot, method, path, body, with_token.then_some(self.token.as_str()))
    }

    /// One request to the server of a slot by the holder of a token, or by nobody.
    pub fn ask_as(
        &self,
        slot: usize,
        method: &str,
        path: &str,
        body: Option<&str>,
        token: Option<&str>,
    ) -> Result<Answer, HarnessError> {
        let host = format!("server.{}.consul", self.datacenter);
        self.ask_host(slot, &host, method, path, body, token)
    }

    /// Whether the server of a slot serves a certificate for this host, a name or an address that somebody dials.
    pub fn answers_for(&self, slot: usize, host: &str) -> bool {
        self.ask_host(slot, host, "GET", "status/leader", None, None).is_ok()
    }

    fn ask_host(
        &self,
        slot: usize,
        host: &str,
        method: &str,
        path: &str,
        body: Option<&str>,
        token: Option<&str>,
    ) -> Result<Answer, HarnessError> {
        let address = self.addresses.get(slot).map_or("127.0.0.1", String::as_str);
        let headers = token.into_iter().map(|token| ("X-Consul-Token", token.to_owned())).collect();
        curl::send(&Request {
            method,
            url: format!("https://{host}:8501/v1/{path}"),
            ca: Some(&self.ca),
            headers,
            body,
            body_file: None,
            connect_to: Some(format!("{host}:8501:{address}:8501")),
        })
    }

    /// A GET with the token, as JSON.
    pub fn get(&self, slot: usize, path: &str) -> Result<Value, HarnessError> {
        Ok(self.ask(slot, "GET", path, None, true)?.json())
    }

    /// `ip:port` of the leader as a server sees it; empty without one.
    pub fn leader(&self, slot: usize) -> Result<String, HarnessError> {
        Ok(self.get(slot, "status/leader")?.as_str().unwrap_or_default().to_owned())
    }

    /// Names of the Raft voters, sorted.
    pub fn voters(&self, slot: usize) -> Result<Vec<String>, HarnessError> {
        let configuration = self.get(slot, "operator/raft/configuration")?;
        let servers = configuration["Servers"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = servers
            .iter()
            .filter(|server| server["Voter"].as_bool() == Some(true))
            .filter_map(|server| server["Node"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }
}
