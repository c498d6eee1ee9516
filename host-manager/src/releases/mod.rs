//! Releases of Consul from their maker, or a mirror of it: looked up, verified, and kept for the other servers.
//!
//! Nothing is believed for where it comes from. Whoever fetches a release verifies it, and whoever takes it from the
//! storage account verifies it again: every server could have written there.

mod index;
mod signature;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hcs_engine::blob::{BlobError, BlobStore, WriteCondition};
use hcs_planner::dataplane::{ConsulArtifact, blob, container};
use hcs_planner::releases::archive_name;
use semver::Version;
use sha2::{Digest as _, Sha256};

pub use index::{Index, IndexError};
pub use signature::{GoodAt, Keys, SignatureError};

use crate::artifact::hex;

/// The platform of servers.
const ARCHITECTURE: &str = "amd64";

/// A list of checksums has a line a platform.
const SUMS_BYTES_MAX: usize = 256 << 10;
/// An archive has some 70 MB.
const ARCHIVE_BYTES_MAX: usize = 512 << 20;

/// Why a release is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The index or a file of it cannot be had.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The checksums are nobody's.
    #[error("the checksums of Consul {version} are not used")]
    Signature {
        /// Release.
        version: Version,
        /// Why.
        #[source]
        source: Box<SignatureError>,
    },
    /// No line for this platform.
    #[error("the checksums of Consul {0} have no line for {name}", name = archive_name(.0, ARCHITECTURE))]
    NoChecksum(Version),
    /// Not what was signed.
    #[error(
        "the archive of Consul {version} has SHA-256 {found}, and {signed} was signed; it is not used"
    )]
    WrongHash {
        /// Release.
        version: Version,
        /// Of what was read.
        found: String,
        /// Of what its maker signed.
        signed: String,
    },
    /// The account.
    #[error("cannot {action} {name} in {}", container::RELEASES)]
    Blob {
        /// `read` or `keep`.
        action: &'static str,
        /// Blob.
        name: String,
        /// Why.
        #[source]
        source: Box<BlobError>,
    },
    /// Nobody has kept it yet.
    #[error("{container} has no {name} yet", container = container::RELEASES)]
    Missing {
        /// Blob.
        name: String,
    },
}

/// Names of the files of a release: checksums, their signature, the archive.
fn file_names(version: &Version) -> [String; 3] {
    let sums = format!("consul_{version}_SHA256SUMS");
    let signature = format!("{sums}.sig");
    [sums, signature, archive_name(version, ARCHITECTURE)]
}

/// The checksum of an archive that its maker has signed.
fn signed_checksum(
    keys: &Keys,
    version: &Version,
    sums: &[u8],
    signature: &[u8],
    good_at: GoodAt,
) -> Result<String, ReleaseError> {
    keys.check(sums, signature, good_at).map_err(|source| {
        let (version, source) = (version.clone(), Box::new(source));
        ReleaseError::Signature { version, source }
    })?;
    let wanted = archive_name(version, ARCHITECTURE);
    let text = String::from_utf8_lossy(sums);
    let line = text.lines().find_map(|line| {
        let (sum, name) = line.split_once("  ")?;
        (name == wanted && sum.len() == 64).then(|| sum.to_ascii_lowercase())
    });
    line.ok_or_else(|| ReleaseError::NoChecksum(version.clone()))
}

fn check_archive(
    version: &Version,
    archive: &[u8],
    signed: String,
) -> Result<String, ReleaseError> {
    let found = hex(&Sha256::digest(archive));
    if found == signed {
        return Ok(found);
    }
    Err(ReleaseError::WrongHash { version: version.clone(), found, signed })
}

/// Fetches a release, verifies it and keeps it for all servers, in the place of whatever is there.
pub async fn fetch(
    index: &Index,
    keys: &Keys,
    store: &dyn BlobStore,
    version: &Version,
    now: SystemTime,
) -> Result<ConsulArtifact, ReleaseError> {
    let [sums_name, signature_name, archive_name] = file_names(version);
    let sums = index.file(version, &sums_name, SUMS_BYTES_MAX).await?;
    let signature = index.file(version, &signature_name, SUMS_BYTES_MAX).await?;
    let signed = signed_checksum(keys, version, &sums, &signature, GoodAt::Now(now))?;
    let archive = index.file(version, &archive_name, ARCHIVE_BYTES_MAX).await?;
    let sha256 = check_archive(version, &archive, signed)?;
    // The archive last: where it is, all of it is.
    for (name, bytes) in
        [(sums_name, sums), (signature_name, signature), (archive_name.clone(), archive)]
    {
        let name = blob::release(version, &name);
        let kept = store.put(container::RELEASES, &name, bytes, WriteCondition::Always).await;
        kept.map_err(|error| ReleaseError::Blob { action: "keep", name, source: Box::new(error) })?;
    }
    Ok(ConsulArtifact { version: version.clone(), sha256, file_name: archive_name })
}

/// The archive of a release that some server has kept, verified.
pub async fn take(
    keys: &Keys,
    store: &dyn BlobStore,
    artifact: &ConsulArtifact,
) -> Result<Bytes, ReleaseError> {
    let version = &artifact.version;
    let [sums, signature, archive] = file_names(version);
    let read = async |file: &str| {
        let name = blob::release(version, file);
        match store.get(container::RELEASES, &name).await {
            Ok(Some(content)) => Ok(content.bytes),
            Ok(None) | Err(BlobError::NoContainer { .. }) => Err(ReleaseError::Missing { name }),
            Err(error) => {
                let source = Box::new(error);
                Err(ReleaseError::Blob { action: "read", name, source })
            }
        }
    };
    let (sums, signature) = (read(&sums).await?, read(&signature).await?);
    let signed = signed_checksum(keys, version, &sums, &signature, GoodAt::Signing)?;
    if !signed.eq_ignore_ascii_case(&artifact.sha256) {
        let found = artifact.sha256.clone();
        return Err(ReleaseError::WrongHash { version: version.clone(), found, signed });
    }
    let archive = read(&archive).await?;
    check_archive(version, &archive, signed)?;
    Ok(archive)
}

/// How long a try to fetch something from the index may take.
pub(crate) const FETCH_MAX: Duration = Duration::from_mins(15);
