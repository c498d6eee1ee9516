//! A Consul client agent that is given what Terraform hands out, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

pub struct ClientAgent {
    process: Child,
    address: IpAddr,
}

impl ClientAgent {
    /// Starts it with this configuration. On a machine of its own its user would write the CA file where the
    /// configuration says, and the network would resolve the name to join.
    pub fn start(
        consul: &Path,
        node: &str,
        folder: &Path,
        address: IpAddr,
        join: &[IpAddr],
        ca_pem: &str,
        mut config: Value,
    ) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let (ca_file, file) = (folder.join("ca.pem"), folder.join("client.json"));
        std::fs::write(&ca_file, ca_pem).unwrap();
        let text = config.to_string().replace("/etc/consul.d/ca.pem", ca_file.to_str().unwrap());
        config = serde_json::from_str(&text).unwrap();
        config["retry_join"] = json!(join);
        config["retry_interval"] = json!("1s");
        std::fs::write(&file, config.to_string()).unwrap();
        let log = std::fs::File::create(folder.join("consul.log")).unwrap();
        let process = Command::new(consul)
            .args(["agent", &format!("-node={node}"), "-disable-host-node-id"])
            .arg(format!("-config-file={}", file.display()))
            .arg(format!("-data-dir={}", folder.join("data").display()))
            .args([format!("-bind={address}"), format!("-client={address}")])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, address }
    }

    /// Asks its HTTP API; status and body, or nothing while it does not answer.
    pub fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> Option<(u16, String)> {
        let address = SocketAddr::new(self.address, 8500);
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let length = body.len();
        write!(
            stream,
            "{method} /v1/{path} HTTP/1.0\r\nX-Consul-Token: {token}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// How many addresses its DNS knows of a name.
    pub fn resolve(&self, name: &str) -> usize {
        let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend(label.as_bytes());
        }
        query.extend([0, 0, 1, 0, 1]);
        let socket = UdpSocket::bind((self.address, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.send_to(&query, (self.address, 8600)).unwrap();
        let mut answer = [0; 512];
        match socket.recv(&mut answer) {
            Ok(read) if read > 12 => usize::from(u16::from_be_bytes([answer[6], answer[7]])),
            _ => 0,
        }
    }
}

impl Drop for ClientAgent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
