//! Where the programs of the servers come from: Consul from a file, a folder or a URL; the host manager from beside
//! this provider.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::artifact::{ArtifactFile, Artifacts};
use hcs_engine::error::{EngineError, chain};
use hcs_planner::names::hex;
use hcs_planner::releases;
use hcs_planner::spec::{ArtifactSource, ClusterSpec};
use sha2::{Digest, Sha256};

/// The only architecture that the offered VM sizes have today.
const ARCHITECTURE: &str = "amd64";
/// Names another host manager than the one beside the provider; for development.
const HOST_MANAGER_VARIABLE: &str = "HCS_HOST_MANAGER_BIN";
/// Consul's archives are below 100 MB; more than this is something else.
const ARCHIVE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Programs of one cluster.
pub(crate) struct ClusterArtifacts {
    version: semver::Version,
    source: Option<ArtifactSource>,
}

impl ClusterArtifacts {
    pub(crate) fn new(spec: &ClusterSpec) -> Self {
        Self { version: spec.consul_version.clone(), source: spec.artifact_source.clone() }
    }

    /// What can be told without reading the archive; the error is a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.source {
            None => match releases::archive_sha256(&self.version, ARCHITECTURE) {
                Some(_) => Ok(()),
                None => Err(format!(
                    "Consul {} is no release whose checksum is known. Known are {}. For another \
                     one say where its archive is and what its checksum is: artifact_source = {{ \
                     location = \"<folder, file or https URL>\", sha256 = \"...\" }}.",
                    self.version,
                    known_versions()
                )),
            },
            Some(source) if is_url(&source.location) => {
                match source.sha256.as_deref().or_else(|| self.known_sha256()) {
                    Some(_) => Ok(()),
                    None => Err(format!(
                        "Consul {} from a URL needs artifact_source.sha256, as its checksum is \
                         not known.",
                        self.version
                    )),
                }
            }
            Some(source) => self.file_in(Path::new(&source.location)).map(|_| ()),
        }
    }

    fn known_sha256(&self) -> Option<&'static str> {
        releases::archive_sha256(&self.version, ARCHITECTURE)
    }

    /// The archive, or a bare `consul`, at or in `location`.
    fn file_in(&self, location: &Path) -> Result<PathBuf, String> {
        if location.is_file() {
            return Ok(location.to_owned());
        }
        if !location.is_dir() {
            return Err(format!("{} is neither a file nor a folder.", location.display()));
        }
        let archive = releases::archive_name(&self.version, ARCHITECTURE);
        [archive.as_str(), "consul"]
            .iter()
            .map(|name| location.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                format!("{} holds neither {archive} nor a file named consul.", location.display())
            })
    }

    fn verified(&self, file_name: String, bytes: Bytes) -> Result<ArtifactFile, EngineError> {
        let sha256 = hex(&Sha256::digest(&bytes));
        let expected =
            self.source.as_ref().and_then(|source| source.sha256.clone()).or_else(|| {
                let is_archive = file_name == releases::archive_name(&self.version, ARCHITECTURE);
                is_archive.then(|| self.known_sha256().map(str::to_owned)).flatten()
            });
        match expected {
            Some(expected) if !expected.eq_ignore_ascii_case(&sha256) => {
                Err(EngineError::Artifact(format!(
                    "{file_name} has SHA-256 {sha256}, expected {expected}: it is not the Consul \
                     {} that was asked for",
                    self.version
                )))
            }
            _ => Ok(ArtifactFile { file_name, sha256, bytes }),
        }
    }

    async fn download(&self, url: &str) -> Result<ArtifactFile, EngineError> {
        let failed = |error: reqwest::Error| {
            EngineError::Artifact(format!("cannot download Consul: {}", chain(&error)))
        };
        let response = reqwest::get(url).await.map_err(failed)?;
        let response = response.error_for_status().map_err(failed)?;
        if response.content_length().is_some_and(|bytes| bytes > ARCHIVE_BYTES_MAX) {
            return Err(EngineError::Artifact(format!("{url} is no Consul archive: too large")));
        }
        let bytes = response.bytes().await.map_err(failed)?;
        let name = url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next());
        self.verified(name.unwrap_or("consul").to_owned(), bytes)
    }
}

#[async_trait]
impl Artifacts for ClusterArtifacts {
    async fn consul(&self) -> Result<ArtifactFile, EngineError> {
        let Some(source) = &self.source else {
            return self.download(&releases::archive_url(&self.version, ARCHITECTURE)).await;
        };
        if is_url(&source.location) {
            return self.download(&source.location).await;
        }
        let path = self.file_in(Path::new(&source.location)).map_err(EngineError::Artifact)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let bytes = read(&path).await?;
        self.verified(name.unwrap_or_else(|| "consul".to_owned()), bytes)
    }

    async fn host_manager(&self) -> Result<ArtifactFile, EngineError> {
        let path = host_manager_path()?;
        let bytes = read(&path).await?;
        let sha256 = hex(&Sha256::digest(&bytes));
        Ok(ArtifactFile { file_name: "hcs-host-manager".to_owned(), sha256, bytes })
    }
}

fn host_manager_path() -> Result<PathBuf, EngineError> {
    if let Some(path) = std::env::var_os(HOST_MANAGER_VARIABLE) {
        return Ok(path.into());
    }
    let missing = |reason: String| {
        EngineError::Artifact(format!(
            "the host manager, which runs on every server, is not beside the provider ({reason}); \
             install the provider from its release archive"
        ))
    };
    let own = std::env::current_exe().map_err(|error| missing(error.to_string()))?;
    let path = own.with_file_name("hcs-host-manager");
    if path.is_file() { Ok(path) } else { Err(missing(path.display().to_string())) }
}

async fn read(path: &Path) -> Result<Bytes, EngineError> {
    tokio::fs::read(path)
        .await
        .map(Bytes::from)
        .map_err(|error| EngineError::Artifact(format!("cannot read {}: {error}", path.display())))
}

fn is_url(location: &str) -> bool {
    location.starts_with("https://")
}

fn known_versions() -> String {
    let versions = releases::versions();
    let first = versions.first().map(ToString::to_string).unwrap_or_default();
    format!("{} releases from {first} to {}", versions.len(), releases::newest())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifacts(version: &str, location: Option<&str>) -> ClusterArtifacts {
        let source =
            location.map(|location| ArtifactSource { location: location.to_owned(), sha256: None });
        ClusterArtifacts { version: version.parse().unwrap(), source }
    }

    #[test]
    fn an_unknown_release_needs_a_source() {
        assert!(artifacts("2.0.2", None).check().is_ok());
        assert!(artifacts("1.8.7", None).check().unwrap_err().contains("artifact_source"));
        let url = Some("https://example.org/consul.zip");
        assert!(artifacts("1.8.7", url).check().unwrap_err().contains("sha256"));
        assert!(artifacts("1.8.7", Some("/does/not/exist")).check().is_err());
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let file = artifacts("2.0.2", Some("/"));
        let bytes = Bytes::from_static(b"not consul");
        let error = file.verified("consul_2.0.2_linux_amd64.zip".into(), bytes).unwrap_err();
        assert!(error.to_string().contains("expected"), "{error}");
    }
}
