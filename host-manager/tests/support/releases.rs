//! A maker of releases that serves them as `HashiCorp` does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hcs_host_manager::releases::Keys;
use hcs_release_maker::{Maker, index};
use semver::Version;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

pub struct Publisher {
    maker: Maker,
    pub index: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Publisher {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let index = format!("http://{}/consul", listener.local_addr().unwrap());
        let files: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let served = files.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let files = served.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let length = stream.read(&mut request).await.unwrap_or(0);
                    let request = String::from_utf8_lossy(&request[..length]).into_owned();
                    let path = request.split_whitespace().nth(1).unwrap_or_default();
                    let found = files.lock().unwrap().get(path).cloned();
                    let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
                    let body = found.unwrap_or_default();
                    let head = format!(
                        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(&body).await;
                });
            }
        });
        Self { maker: Maker::new(), index, files }
    }

    pub fn keys(&self) -> Keys {
        Keys::read(&self.maker.public_key()).unwrap()
    }

    /// Publishes this program as the one release.
    pub fn publish(&self, version: &Version, program: &[u8]) {
        for (name, bytes) in self.maker.release(version, program) {
            self.put(version, &name, &bytes);
        }
        let path = "/consul/index.json".to_owned();
        self.files.lock().unwrap().insert(path, index(std::slice::from_ref(version)));
    }

    /// Puts other bytes in place of a file of a release.
    pub fn put(&self, version: &Version, name: &str, bytes: &[u8]) {
        let path = format!("/consul/{version}/{name}");
        self.files.lock().unwrap().insert(path, bytes.to_vec());
    }
}
