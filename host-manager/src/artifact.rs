//! Installs a Consul program from the artifacts container: hash checked, unpacked, asked for its
//! version. A program that fails a check never gets its final name.

use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use hcs_engine::blob::{BlobError, BlobStore};
use hcs_planner::dataplane::{ConsulArtifact, blob, container};
use semver::Version;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use crate::files::{self, FileError};
use crate::releases::{self, Keys, ReleaseError};

/// An unpacked Consul is near 200 MB; anything far above is not Consul.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;

/// Why a program is not installed.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The blob cannot be read.
    #[error("cannot read artifact {name}")]
    Blob {
        /// Blob.
        name: String,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// The blob does not exist.
    #[error("artifact {name} does not exist yet")]
    Missing {
        /// Blob.
        name: String,
    },
    /// The content is not what the cluster document promises.
    #[error("artifact {name} has SHA-256 {found}; it is not used")]
    WrongHash {
        /// Blob.
        name: String,
        /// Hash of what was read.
        found: String,
    },
    /// The archive is damaged.
    #[error("artifact {name} is not a readable zip archive")]
    Archive {
        /// Blob.
        name: String,
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// The archive's `consul` cannot be unpacked.
    #[error("`consul` inside artifact {name} cannot be unpacked")]
    Unpack {
        /// Blob.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The archive's `consul` is absurdly large.
    #[error("`consul` inside artifact {name} has more than {PROGRAM_BYTES_MAX} bytes")]
    TooLarge {
        /// Blob.
        name: String,
    },
    /// The servers' own store of releases does not prove it.
    #[error(transparent)]
    Release(#[from] Box<ReleaseError>),
    /// It cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be started.
    #[error("{} cannot be started", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It reports another version.
    #[error("{} reports `{found}`, not version {expected}", path.display())]
    WrongVersion {
        /// The program.
        path: PathBuf,
        /// First line of `consul version`.
        found: String,
        /// What the cluster document says.
        expected: Version,
    },
    /// It failed a check before.
    #[error("{reason}")]
    Refused {
        /// Which one, and why.
        reason: String,
    },
}

impl ArtifactError {
    /// Whether fetching the same again ends the same: artifacts are stored under their hash.
    pub fn is_final(&self) -> bool {
        match self {
            Self::WrongHash { .. }
            | Self::Archive { .. }
            | Self::Unpack { .. }
            | Self::TooLarge { .. }
            | Self::WrongVersion { .. }
            | Self::Refused { .. } => true,
            Self::Release(error) => !matches!(**error, ReleaseError::Blob { .. }),
            Self::Blob { .. } | Self::Missing { .. } | Self::File(_) | Self::Start { .. } => false,
        }
    }
}

/// Makes sure that `folder/consul` is the program of `artifact`; returns its path.
pub async fn install(
    store: &dyn BlobStore,
    keys: &Keys,
    artifact: &ConsulArtifact,
    folder: &Path,
) -> Result<PathBuf, ArtifactError> {
    if let Some(program) = installed(artifact, folder)? {
        return Ok(program);
    }
    let program = folder.join("consul");
    let name = blob::consul_artifact(&artifact.sha256, &artifact.file_name);
    tracing::info!(artifact = %name, "fetching Consul");
    let read = store.get(container::ARTIFACTS, &name).await;
    let read = read.map_err(|source| ArtifactError::Blob { name: name.clone(), source })?;
    let content = match read {
        Some(content) => {
            let found = hex_sha256(&content.bytes);
            if !found.eq_ignore_ascii_case(&artifact.sha256) {
                return Err(ArtifactError::WrongHash { name, found });
            }
            content.bytes
        }
        // What no apply has brought may have been fetched by the servers themselves.
        None => match releases::take(keys, store, artifact).await {
            Err(ReleaseError::Missing { .. }) => return Err(ArtifactError::Missing { name }),
            taken => taken.map_err(Box::new)?,
        },
    };
    let bytes = unpack(&name, content)?;
    files::make_dir(folder, 0o755)?;
    let candidate = folder.join("consul.unverified");
    files::write(&candidate, &bytes, files::PROGRAM_MODE)?;
    verify_version(&candidate, &artifact.version).await?;
    std::fs::rename(&candidate, &program)
        .map_err(|error| FileError::new("rename", &candidate, error))?;
    files::write(&folder.join("sha256"), receipt(artifact, &bytes).as_bytes(), files::PUBLIC_MODE)?;
    tracing::info!(program = %program.display(), version = %artifact.version, "Consul installed");
    Ok(program)
}

/// What was installed from what; lets a restart skip the download and still notice a changed file.
fn receipt(artifact: &ConsulArtifact, program: &[u8]) -> String {
    format!("{} {}\n", artifact.sha256.to_ascii_lowercase(), hex_sha256(program))
}

/// The program of `artifact`, when it was installed before and nobody changed it since.
pub fn installed(artifact: &ConsulArtifact, folder: &Path) -> Result<Option<PathBuf>, FileError> {
    let program = folder.join("consul");
    let Some(recorded) = files::read(&folder.join("sha256"))? else { return Ok(None) };
    let Some(found) = files::read(&program)? else { return Ok(None) };
    Ok((recorded == receipt(artifact, &found).into_bytes()).then_some(program))
}

/// A `HashiCorp` archive holds the program as `consul` at its top; anything else is the program.
fn unpack(name: &str, bytes: Bytes) -> Result<Bytes, ArtifactError> {
    if !bytes.starts_with(b"PK\x03\x04") {
        return Ok(bytes);
    }
    let archive = |source| ArtifactError::Archive { name: name.to_owned(), source };
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(archive)?;
    let entry = zip.by_name("consul").map_err(archive)?;
    let mut program = Vec::new();
    entry
        .take(PROGRAM_BYTES_MAX + 1)
        .read_to_end(&mut program)
        .map_err(|source| ArtifactError::Unpack { name: name.to_owned(), source })?;
    if program.len() as u64 > PROGRAM_BYTES_MAX {
        return Err(ArtifactError::TooLarge { name: name.to_owned() });
    }
    Ok(program.into())
}

async fn verify_version(program: &Path, expected: &Version) -> Result<(), ArtifactError> {
    let start = |source| ArtifactError::Start { path: program.to_owned(), source };
    let mut tries = 0;
    let output = loop {
        tries += 1;
        let started = Command::new(program).arg("version").env_clear().output().await;
        match started {
            // Another thread's fork may hold our just closed file open for a moment.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && tries < 20 => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => break other.map_err(start)?,
        }
    };
    // One that was killed, for want of memory say, has said nothing of its version.
    if !output.status.success() {
        return Err(start(std::io::Error::other(output.status.to_string())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default().trim();
    if reported_version(first).is_some_and(|reported| is_build_of(&reported, expected)) {
        return Ok(());
    }
    Err(ArtifactError::WrongVersion {
        path: program.to_owned(),
        found: first.chars().take(80).collect(),
        expected: expected.clone(),
    })
}

/// Whether a program that reports this is the version: a distribution adds to it how it was built.
fn is_build_of(reported: &Version, expected: &Version) -> bool {
    let plain =
        |version: &Version| Version { build: semver::BuildMetadata::EMPTY, ..version.clone() };
    plain(reported) == plain(expected)
}

/// `Consul v1.22.2` -> `1.22.2`.
fn reported_version(line: &str) -> Option<Version> {
    Version::parse(line.strip_prefix("Consul v")?.split_whitespace().next()?).ok()
}

fn hex_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_first_line() {
        assert_eq!(reported_version("Consul v1.8.7"), Some(Version::new(1, 8, 7)));
        assert_eq!(reported_version("Consul v1.22.2+ent"), Version::parse("1.22.2+ent").ok());
        assert_eq!(reported_version("Vault v1.0.0"), None);
        let is = |reported: &str, expected: &str| {
            let reported = reported_version(&format!("Consul v{reported}"));
            reported.is_some_and(|reported| is_build_of(&reported, &expected.parse().unwrap()))
        };
        assert!(is("1.8.7+dfsg1", "1.8.7") && is("1.23.0-dev", "1.23.0-dev"));
        assert!(!is("1.23.0-dev", "1.23.0") && !is("1.8.7", "2.0.2"));
    }

    #[test]
    fn a_bare_program_is_taken_as_it_is_and_a_damaged_archive_is_refused() {
        assert_eq!(unpack("x", Bytes::from_static(b"\x7fELF")).unwrap(), "\x7fELF");
        assert!(matches!(
            unpack("x", Bytes::from_static(b"PK\x03\x04rubbish")),
            Err(ArtifactError::Archive { .. })
        ));
    }

    #[test]
    fn an_archive_gives_its_consul() {
        use std::io::Write as _;
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file("LICENSE.txt", zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(b"words").unwrap();
        writer.start_file("consul", zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(b"program").unwrap();
        let bytes = writer.finish().unwrap().into_inner();
        assert_eq!(unpack("x", bytes.into()).unwrap(), "program");
    }
}
