//! Where the programs of the servers come from: Consul from a file, a folder or a URL; the host manager from beside
//! this provider. What can be told to be wrong with them is told before anything is made of them.

mod download;
mod program;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::artifact::{ArtifactFile, Artifacts};
use hcs_engine::error::EngineError;
use hcs_planner::names::hex;
use hcs_planner::releases;
use hcs_planner::spec::{ArtifactSource, ClusterSpec};
use sha2::{Digest, Sha256};
use tfplugin::CancellationToken;
use tokio::sync::OnceCell;

/// The only architecture that the offered VM sizes have today.
const ARCHITECTURE: &str = "amd64";
/// Names another host manager than the one beside the provider; for development.
const HOST_MANAGER_VARIABLE: &str = "HCS_HOST_MANAGER_BIN";

/// Archives that were read and found good, so that clusters that want the same read it once.
#[derive(Default)]
pub(crate) struct ArtifactCache {
    files: std::sync::Mutex<BTreeMap<String, Arc<OnceCell<ArtifactFile>>>>,
}

impl ArtifactCache {
    fn cell(&self, key: String) -> Arc<OnceCell<ArtifactFile>> {
        let mut files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(files.entry(key).or_default())
    }
}

/// Programs of one cluster.
pub(crate) struct ClusterArtifacts {
    version: semver::Version,
    source: Option<ArtifactSource>,
    cancel: CancellationToken,
    client: Option<Arc<crate::client::Client>>,
}

impl ClusterArtifacts {
    /// For a look at what is declared.
    pub(crate) fn declared(spec: &ClusterSpec) -> Self {
        let (version, source) = (spec.consul_version.clone(), spec.artifact_source.clone());
        Self { version, source, cancel: CancellationToken::new(), client: None }
    }

    /// For a run: `cancel` ends downloads, and what is read is shared with the other clusters of this process.
    pub(crate) fn new(
        spec: &ClusterSpec,
        client: &Arc<crate::client::Client>,
        cancel: &CancellationToken,
    ) -> Self {
        let declared = Self::declared(spec);
        Self { cancel: cancel.clone(), client: Some(Arc::clone(client)), ..declared }
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
                self.check_name(&file_name_of(&source.location))?;
                match source.sha256.as_deref().or_else(|| self.known_sha256()) {
                    Some(_) => Ok(()),
                    None => Err(format!(
                        "Consul {} from a URL needs artifact_source.sha256, as its checksum is \
                         not known.",
                        self.version
                    )),
                }
            }
            Some(source) => {
                let file = self.file_in(Path::new(&source.location))?;
                self.check_name(&file.file_name().unwrap_or_default().to_string_lossy())
            }
        }
    }

    /// An archive of HashiCorp's says in its name what it is.
    fn check_name(&self, file_name: &str) -> Result<(), String> {
        let wanted = releases::archive_name(&self.version, ARCHITECTURE);
        let is_release = file_name.starts_with("consul_") && file_name.ends_with(".zip");
        if !is_release || file_name == wanted {
            return Ok(());
        }
        Err(format!(
            "{file_name} is not the archive of Consul {} for the servers, which is called \
             {wanted}. Give that one, or set consul_version to what the archive holds.",
            self.version
        ))
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

    /// The hash is what was promised, and the program one that the servers can run.
    async fn verified(&self, file_name: String, bytes: Bytes) -> Result<ArtifactFile, EngineError> {
        self.check_name(&file_name).map_err(EngineError::Artifact)?;
        let expected =
            self.source.as_ref().and_then(|source| source.sha256.clone()).or_else(|| {
                let is_archive = file_name == releases::archive_name(&self.version, ARCHITECTURE);
                is_archive.then(|| self.known_sha256().map(str::to_owned)).flatten()
            });
        let version = self.version.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let sha256 = hex(&Sha256::digest(&bytes));
            if let Some(expected) =
                expected.filter(|expected| !expected.eq_ignore_ascii_case(&sha256))
            {
                return Err(format!(
                    "{file_name} has SHA-256 {sha256}, expected {expected}: it is not the Consul \
                     {version} that was asked for"
                ));
            }
            program::check_consul(&file_name, &bytes, &version)?;
            Ok(ArtifactFile { file_name, sha256, bytes })
        });
        let checked = checked.await.unwrap_or_else(|error| Err(error.to_string()));
        checked.map_err(EngineError::Artifact)
    }

    async fn read_consul(&self) -> Result<ArtifactFile, EngineError> {
        let url = match &self.source {
            None => releases::archive_url(&self.version, ARCHITECTURE),
            Some(source) if is_url(&source.location) => source.location.clone(),
            Some(source) => {
                let path =
                    self.file_in(Path::new(&source.location)).map_err(EngineError::Artifact)?;
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                let bytes = read(&path).await?;
                return self.verified(name.unwrap_or_else(|| "consul".to_owned()), bytes).await;
            }
        };
        let bytes = download::download(&url, &self.cancel).await?;
        self.verified(file_name_of(&url), bytes).await
    }
}

#[async_trait]
impl Artifacts for ClusterArtifacts {
    async fn consul(&self) -> Result<ArtifactFile, EngineError> {
        let Some(client) = &self.client else { return self.read_consul().await };
        let (location, sha256) = match &self.source {
            Some(source) => (source.location.as_str(), source.sha256.as_deref()),
            None => ("", None),
        };
        let key = format!("{}\n{location}\n{}", self.version, sha256.unwrap_or_default());
        let cell = client.artifacts.cell(key);
        cell.get_or_try_init(|| self.read_consul()).await.cloned()
    }

    async fn host_manager(&self) -> Result<ArtifactFile, EngineError> {
        let path = host_manager_path()?;
        let bytes = read(&path).await?;
        program::check_machine("the host manager beside the provider", &bytes)
            .map_err(EngineError::Artifact)?;
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

fn file_name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("consul").to_owned()
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
        let cancel = CancellationToken::new();
        ClusterArtifacts { version: version.parse().unwrap(), source, cancel, client: None }
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
    fn an_archive_that_calls_itself_something_else_is_refused() {
        for name in ["consul_1.8.7_linux_amd64.zip", "consul_2.0.2_linux_arm64.zip"] {
            let url = format!("https://example.org/{name}?sig=secret");
            let told = artifacts("2.0.2", Some(&url)).check().unwrap_err();
            assert!(told.contains("consul_2.0.2_linux_amd64.zip"), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[tokio::test]
    async fn a_wrong_checksum_is_refused() {
        let file = artifacts("2.0.2", Some("/"));
        let bytes = Bytes::from_static(b"not consul");
        let error = file.verified("consul_2.0.2_linux_amd64.zip".into(), bytes).await.unwrap_err();
        assert!(error.to_string().contains("expected"), "{error}");
    }
}
