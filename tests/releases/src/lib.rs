//! For tests: makes and signs releases of Consul as their maker does, from the one program that a test has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

pub mod archive;

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

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
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

/// Who makes releases.
#[derive(Debug)]
pub struct Maker {
    key: SignedSecretKey,
}

impl Default for Maker {
    fn default() -> Self {
        Self::new()
    }
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
    /// With a key of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { key: new_key() }
    }

    /// Its public key, armoured.
    #[must_use]
    pub fn public_key(&self) -> String {
        let public = SignedPublicKey::from(self.key.clone());
        public.to_armored_string(ArmorOptions::default()).unwrap()
    }

    /// The files of a release of this program, by their names.
    #[must_use]
    pub fn release(&self, version: &Version, program: &[u8]) -> [(String, Vec<u8>); 3] {
        let archive = zipped(program);
        let name = format!("consul_{version}_linux_amd64.zip");
        let hash = Sha256::digest(&archive).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let sums = format!("{hash}  {name}\n");
        let signature = DetachedSignature::sign_binary_data(
            OsRng,
            &self.key.secret_subkeys[0].key,
            &Password::empty(),
            HashAlgorithm::Sha256,
            sums.as_bytes(),
        );
        [
            (format!("consul_{version}_SHA256SUMS"), sums.into_bytes()),
            (format!("consul_{version}_SHA256SUMS.sig"), signature.unwrap().to_bytes().unwrap()),
            (name, archive),
        ]
    }
}

/// `index.json` of these versions.
#[must_use]
pub fn index(versions: &[Version]) -> Vec<u8> {
    let rows = versions.iter().map(|one| (one.to_string(), serde_json::json!({ "version": one })));
    let rows: serde_json::Map<String, serde_json::Value> = rows.collect();
    serde_json::to_vec(&serde_json::json!({ "name": "consul", "versions": rows })).unwrap()
}

/// An archive as releases are.
#[must_use]
pub fn zipped(program: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.start_file("consul", stored.unix_permissions(0o755)).unwrap();
    writer.write_all(program).unwrap();
    writer.finish().unwrap().into_inner()
}

/// The version with the next patch number, of as many letters.
#[must_use]
pub fn next_patch(version: &Version) -> Version {
    assert!(version.patch < 9, "of {version} there is no next one with as many letters");
    Version::new(version.major, version.minor, version.patch + 1)
}

/// The same program under another version: it says so, and tells the others so. One of a build between releases becomes a
/// release.
#[must_use]
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
