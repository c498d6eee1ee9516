//! HTTPS through curl, with the emulator's CA. Secrets go in on standard input, never as arguments.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::HarnessError;

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// `GET` when empty.
    pub method: &'a str,
    /// Where.
    pub url: String,
    /// Trusted CA.
    pub ca: Option<&'a Path>,
    /// Headers, kept off the command line.
    pub headers: Vec<(&'a str, String)>,
    /// Body.
    pub body: Option<&'a str>,
    /// Body, from a file.
    pub body_file: Option<&'a Path>,
    /// `host:port:address:port`: dials the latter where the URL says the former.
    pub connect_to: Option<String>,
}

/// Sends it. Every HTTP status is an answer.
pub fn send(request: &Request<'_>) -> Result<Answer, HarnessError> {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "20", "--noproxy", "*", "-K", "-", "-w", "\n%{http_code}"]);
    if !request.method.is_empty() {
        curl.args(["-X", request.method]);
    }
    if let Some(ca) = request.ca {
        curl.arg("--cacert").arg(ca);
    }
    if let Some(route) = &request.connect_to {
        curl.args(["--connect-to", route]);
    }
    curl.arg(&request.url);
    let mut config = String::new();
    for (name, value) in &request.headers {
        let _ = writeln!(config, "header = \"{name}: {value}\"");
    }
    if let Some(body) = request.body {
        let escaped = body.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(config, "data-binary = \"{escaped}\"");
    }
    if let Some(file) = request.body_file {
        let _ = writeln!(config, "data-binary = \"@{}\"", file.display());
    }
    let text = format!("curl {}", request.url);
    let mut child = curl
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(HarnessError::file("curl"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(config.as_bytes()).map_err(HarnessError::file("curl"))?;
    }
    let output = child.wait_with_output().map_err(HarnessError::file("curl"))?;
    if !output.status.success() {
        let output_text = String::from_utf8_lossy(&output.stderr).into_owned();
        let status = output.status.to_string();
        return Err(HarnessError::Failed { command: text, status, output: output_text });
    }
    let at = output.stdout.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let status = String::from_utf8_lossy(&output.stdout[at..]).trim().parse().unwrap_or(0);
    Ok(Answer { status, body: output.stdout[..at].to_vec() })
}
