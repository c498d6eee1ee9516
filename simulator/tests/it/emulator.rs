//! A running emulator and a client for it, without an HTTP library between test and wire.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};

use crate::support::ROLES;

/// An answer: status, headers (lower case) and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A running emulator that ends with its value.
pub(crate) struct Emulator {
    child: Child,
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    pub(crate) secret: String,
    pub(crate) subscription: String,
    pub(crate) tenant: String,
    pub(crate) client: String,
    tls: Arc<rustls::ClientConfig>,
}

impl Emulator {
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_azure-emulator"))
            .args(["serve", "--dir"])
            .arg(dir)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("ready https://127.0.0.1:").unwrap().parse().unwrap();
        let env = std::fs::read_to_string(dir.join("env")).unwrap();
        let variable = |name: &str| {
            let line = env.lines().find_map(|l| l.strip_prefix(&format!("export {name}='")));
            line.unwrap().trim_end_matches('\'').to_owned()
        };
        assert_eq!(variable("ARM_METADATA_HOSTNAME"), format!("127.0.0.1:{port}"));
        let ca = variable("SSL_CERT_FILE");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            child,
            dir: dir.canonicalize().unwrap(),
            port,
            secret: variable("ARM_CLIENT_SECRET"),
            subscription: variable("ARM_SUBSCRIPTION_ID"),
            tenant: variable("ARM_TENANT_ID"),
            client: variable("ARM_CLIENT_ID"),
            tls: Arc::new(tls),
        }
    }

    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let session = rustls::ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        let socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut stream = rustls::StreamOwned::new(session, socket);
        let target = target.replace(' ', "%20").replace('\'', "%27");
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\
             Content-Length: {}\r\n",
            self.port,
            body.len()
        );
        for (name, value) in headers {
            head.extend([*name, ": ", *value, "\r\n"]);
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut bytes = Vec::new();
        // A peer that closes without TLS's farewell has still sent all that it wanted.
        let _ = stream.read_to_end(&mut bytes);
        let at = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(bytes.len());
        let headers = String::from_utf8_lossy(&bytes[..at]).into_owned();
        let status = headers.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
        let mut body = bytes.get(at + 4..).unwrap_or_default().to_vec();
        if headers.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            body = unchunk(&body);
        }
        Answer { status, headers, body }
    }

    pub(crate) fn token(&self, scope: &str, secret: &str) -> Answer {
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={secret}&scope={scope}",
            self.client
        );
        let target = format!("/{}/oauth2/v2.0/token", self.tenant);
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        self.send("POST", &target, &kind, body.as_bytes())
    }

    pub(crate) fn bearer(&self, scope: &str) -> String {
        let answer = self.token(scope, &self.secret).json();
        format!("Bearer {}", answer["access_token"].as_str().unwrap())
    }

    pub(crate) fn arm(&self, method: &str, id: &str, version: &str, body: &Value) -> Answer {
        let group = format!("/subscriptions/{}/resourceGroups/g", self.subscription);
        let path = match id {
            "" => group,
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            below => format!("{group}/providers/{below}"),
        };
        let bearer = self.bearer("https://management.azure.com/.default");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send(method, &format!("{path}?api-version={version}"), &headers, &bytes)
    }

    /// A PUT to its end.
    pub(crate) fn make(&self, id: &str, version: &str, body: &Value) -> Value {
        let answer = self.arm("PUT", id, version, body);
        assert!(answer.status < 300, "{id}: {}", answer.text());
        until(|| {
            let shown = self.arm("GET", id, version, &Value::Null);
            let body = shown.json();
            let state = body["properties"]["provisioningState"].as_str().unwrap_or("Succeeded");
            (shown.status == 200 && state == "Succeeded").then_some(body)
        })
    }

    pub(crate) fn assign(&self, scope: &str, role: &str, principal: &str, n: u32) {
        let name = format!("00000000-0000-4000-8000-{n:012}");
        let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let definition = format!(
            "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            self.subscription
        );
        let body = json!({"properties": {
            "roleDefinitionId": definition, "principalId": principal,
            "principalType": "ServicePrincipal",
        }});
        let answer = self.arm("PUT", &id, ROLES, &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    pub(crate) fn blob(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let bearer = self.bearer("https://storage.azure.com/.default");
        let mut all = vec![("Authorization", bearer.as_str()), ("x-ms-version", "2026-04-06")];
        all.extend_from_slice(headers);
        self.send(method, &format!("/acct1/{target}"), &all, body)
    }

    pub(crate) fn vms(&self) -> Vec<Value> {
        self.send("GET", "/emulator/vms", &[], b"").json()["value"].as_array().unwrap().clone()
    }

    pub(crate) fn end(&mut self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status();
        assert!(sent.unwrap().success());
        until(|| self.child.try_wait().unwrap());
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end("TERM");
        }
    }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = bytes.windows(2).position(|w| w == b"\r\n") {
        let size =
            usize::from_str_radix(std::str::from_utf8(&bytes[..at]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        out.extend_from_slice(&bytes[at + 2..at + 2 + size]);
        bytes = &bytes[at + 4 + size..];
    }
    out
}

/// Polls, for a quarter of a minute at most.
pub(crate) fn until<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(15), "waited in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn alive(pid: &str) -> bool {
    // A zombie is dead, only not buried yet.
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
