//! One running `azure-emulator`. Ends with the value, with every process it started.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bins::binary;
use crate::curl::{self, Answer, Request};
use crate::{HarnessError, tools};

/// A running emulator.
#[derive(Debug)]
pub struct Emulator {
    /// `None` in a second hand on the same emulator.
    child: Option<Child>,
    /// Its folder.
    pub dir: PathBuf,
    /// `https://127.0.0.1:N`.
    pub url: String,
    /// What it exports for clients.
    pub env: BTreeMap<String, String>,
}

impl Emulator {
    /// Starts one in `dir`; `arguments` are those of `azure-emulator serve`.
    pub fn start(dir: &Path, arguments: &[&str]) -> Result<Self, HarnessError> {
        fs::create_dir_all(dir).map_err(HarnessError::file(dir))?;
        let log_path = dir.join("emulator.log");
        let log = fs::File::create(&log_path).map_err(HarnessError::file(&log_path))?;
        let program = binary("azure-emulator")?;
        let mut child = Command::new(&program)
            .arg("serve")
            .arg("--dir")
            .arg(dir)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(HarnessError::file(&program))?;
        let mut url = None;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(found) = line.strip_prefix("ready ") {
                    url = Some(found.trim().to_owned());
                    break;
                }
            }
        }
        let Some(url) = url else {
            let _ = child.kill();
            let _ = child.wait();
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            return Err(HarnessError::Unexpected(format!("the emulator did not start:\n{log}")));
        };
        let env = read_env(&dir.join("env"))?;
        Ok(Self { child: Some(child), dir: dir.to_owned(), url, env })
    }

    /// A second hand on it, for a thread of its own. It ends nothing.
    #[must_use]
    pub fn handle(&self) -> Self {
        let (dir, url, env) = (self.dir.clone(), self.url.clone(), self.env.clone());
        Self { child: None, dir, url, env }
    }

    /// Its CA certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    fn inspect(&self, method: &str, path: &str) -> Result<Answer, HarnessError> {
        let ca = self.ca();
        let url = format!("{}/emulator/{path}", self.url);
        curl::send(&Request { method, url, ca: Some(&ca), ..Request::default() })
    }

    fn rows(&self, path: &str) -> Result<Vec<Value>, HarnessError> {
        let answer = self.inspect("GET", path)?.json();
        Ok(answer.get("value").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Ids of all ARM objects.
    pub fn objects(&self) -> Result<Vec<String>, HarnessError> {
        let text = |row: &Value| row.get("id").and_then(Value::as_str).map(str::to_owned);
        Ok(self.rows("objects")?.iter().filter_map(text).collect())
    }

    /// Running VMs.
    pub fn vms(&self) -> Result<Vec<Value>, HarnessError> {
        self.rows("vms")
    }

    /// What policies wrote down: pairs of a policy's name and an object's id.
    pub fn audited(&self) -> Result<Vec<Value>, HarnessError> {
        self.rows("audited")
    }

    /// Counts of ARM requests since the last [`Self::reset_requests`], e.g. `PUT Microsoft.Network/virtualNetworks`.
    pub fn requests(&self) -> Result<BTreeMap<String, u64>, HarnessError> {
        let answer = self.inspect("GET", "requests")?.json();
        let map = answer.get("requests").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(map.into_iter().filter_map(|(key, count)| Some((key, count.as_u64()?))).collect())
    }

    /// Counts from zero again.
    pub fn reset_requests(&self) -> Result<(), HarnessError> {
        self.inspect("POST", "requests/reset").map(|_| ())
    }

    /// One ARM request as the configured principal.
    pub fn arm(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<Answer, HarnessError> {
        let ca = self.ca();
        let token = self.token("https://management.azure.com/.default")?;
        let headers = vec![
            ("Authorization", format!("Bearer {token}")),
            ("Content-Type", "application/json".to_owned()),
        ];
        let url = format!("{}{path}", self.url);
        curl::send(&Request { method, url, ca: Some(&ca), headers, body, ..Request::default() })
    }

    /// Makes a resource group, as a platform team would have done before.
    pub fn create_group(&self, name: &str, location: &str) -> Result<(), HarnessError> {
        let path = format!("{}?api-version=2024-07-01", self.group_id(name));
        let body = format!("{{\"location\":\"{location}\"}}");
        let answer = self.arm("PUT", &path, Some(&body))?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        Err(HarnessError::Unexpected(format!("PUT {path}: {} {}", answer.status, answer.text())))
    }

    /// Id of a group in the emulator's subscription.
    pub fn group_id(&self, name: &str) -> String {
        format!("/subscriptions/{}/resourceGroups/{name}", self.variable("ARM_SUBSCRIPTION_ID"))
    }

    /// A variable that it exports.
    pub fn variable(&self, name: &str) -> &str {
        self.env.get(name).map_or("", String::as_str)
    }

    /// An access token of the configured principal.
    pub fn token(&self, scope: &str) -> Result<String, HarnessError> {
        let ca = self.ca();
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={scope}",
            self.variable("ARM_CLIENT_ID"),
            self.variable("ARM_CLIENT_SECRET"),
        );
        let headers = vec![("Content-Type", "application/x-www-form-urlencoded".to_owned())];
        let tenant = self.variable("ARM_TENANT_ID");
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.url);
        let method = "POST";
        let body = Some(body.as_str());
        let answer = curl::send(&Request {
            method,
            url,
            ca: Some(&ca),
            headers,
            body,
            ..Request::default()
        })?;
        let answer = answer.json();
        let token = answer.get("access_token").and_then(Value::as_str).map(str::to_owned);
        token.ok_or_else(|| HarnessError::Unexpected(format!("no token: {answer}")))
    }

    /// Asks it to end, and waits; kills it after half a minute.
    pub fn stop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let pid = child.id().to_string();
        let _ = tools::run(Command::new("kill").args(["-TERM", &pid]));
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Command lines of processes that belong to this emulator's VMs.
    pub fn processes(&self) -> Vec<String> {
        processes_in(&self.dir)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Processes whose environment names a VM folder below `dir`: id and command line of each.
pub fn processes_in(dir: &Path) -> Vec<String> {
    let needle = format!("HCS_ROOT={}/", dir.display());
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter(|entry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| String::from_utf8_lossy(variable).starts_with(&needle))
        })
        .map(|entry| {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let id = entry.file_name();
            format!("{} {}", id.display(), String::from_utf8_lossy(&command).replace('\0', " "))
        })
        .collect()
}

fn read_env(path: &Path) -> Result<BTreeMap<String, String>, HarnessError> {
    let text = fs::read_to_string(path).map_err(HarnessError::file(path))?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    Ok(lines
        .map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned()))
        .collect())
}
