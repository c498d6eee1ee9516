//! A maker of releases: signs them, and serves them as `HashiCorp` does.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::sync::{Arc, Mutex};

use hcs_host_manager::artifact::hex;
use hcs_host_manager::releases::Keys;
use pgp::composed::{
    ArmorOptions, DetachedSignature, EncryptionCaps, KeyType, SecretKeyParamsBuilder,
    SignedPublicKey, SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::ser::Serialize as _;
use pgp::types::Password;
use rand::rngs::OsRng;
use semver::Version;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

pub struct Maker {
    key: SignedSecretKey,
    pub index: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

/// A key of a maker: a primary that certifies, and a subkey that signs.
fn new_key() -> SignedSecretKey {
    let signs = SubkeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_sign(true)
        .can_encrypt(EncryptionCaps::None)
        .build()
        .unwrap();
    let params = SecretKeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(false)
        .primary_user_id("A maker of tests <maker@example.com>".into())
        .subkeys(vec![signs])
        .build()
        .unwrap();
    params.generate(OsRng).unwrap()
}

impl Maker {
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
        Self { key: new_key(), index, files }
    }

    pub fn keys(&self) -> Keys {
        let public = SignedPublicKey::from(self.key.clone());
        Keys::read(&public.to_armored_string(ArmorOptions::default()).unwrap()).unwrap()
    }

    /// Publishes this program as a release.
    pub fn publish(&self, version: &Version, program: &[u8]) {
        let archive = zipped(program);
        let name = format!("consul_{version}_linux_amd64.zip");
        let sums = format!("{}  {name}\n", hex(&Sha256::digest(&archive)));
        let signer = &self.key.secret_subkeys[0].key;
        let signature = DetachedSignature::sign_binary_data(
            OsRng,
            signer,
            &Password::empty(),
            HashAlgorithm::Sha256,
            sums.as_bytes(),
        );
        self.put(version, &format!("consul_{version}_SHA256SUMS"), sums.as_bytes());
        let signature = signature.unwrap().to_bytes().unwrap();
        self.put(version, &format!("consul_{version}_SHA256SUMS.sig"), &signature);
        self.put(version, &name, &archive);
        let mut files = self.files.lock().unwrap();
        let index = files.entry("/consul/index.json".to_owned()).or_default();
        let mut read: serde_json::Value = serde_json::from_slice(index).unwrap_or_default();
        read["versions"][version.to_string()] = serde_json::json!({ "version": version });
        *index = serde_json::to_vec(&read).unwrap();
    }

    /// Puts other bytes in place of a file of a release.
    pub fn put(&self, version: &Version, name: &str, bytes: &[u8]) {
        let path = format!("/consul/{version}/{name}");
        self.files.lock().unwrap().insert(path, bytes.to_vec());
    }
}

pub fn zipped(program: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.start_file("consul", stored.unix_permissions(0o755)).unwrap();
    writer.write_all(program).unwrap();
    writer.finish().unwrap().into_inner()
}

/// The version with the next patch number, of as many letters.
pub fn next_patch(version: &Version) -> Version {
    assert!(version.patch < 9, "of {version} there is no next one with as many letters");
    Version::new(version.major, version.minor, version.patch + 1)
}

/// The same program under another version: it says so, and tells the others so. One of a build between releases becomes a
/// release.
pub fn relabelled(program: &[u8], from: &Version, to: &Version) -> Vec<u8> {
    let plain = Version { build: semver::BuildMetadata::EMPTY, ..from.clone() };
    let (old, mut new) = (plain.to_string().into_bytes(), to.to_string().into_bytes());
    assert!(new.len() <= old.len(), "{to} has more letters than {from}");
    // Consul trims what its version file holds.
    new.resize(old.len(), b' ');
    let mut program = program.to_vec();
    let mut at = 0;
    while let Some(found) = program[at..].windows(old.len()).position(|window| window == old) {
        program[at + found..][..new.len()].copy_from_slice(&new);
        at += found + new.len();
    }
    program
}
