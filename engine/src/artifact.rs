//! The port to the programs that servers run.

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::EngineError;

/// A program, read whole.
#[derive(Clone, Debug)]
pub struct ArtifactFile {
    /// Name that tells its form: a HashiCorp archive or a bare binary.
    pub file_name: String,
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// The bytes.
    pub bytes: Bytes,
}

/// Where programs come from.
#[async_trait]
pub trait Artifacts: Send + Sync {
    /// The Consul archive or binary of the cluster's version, its checksum verified.
    async fn consul(&self) -> Result<ArtifactFile, EngineError>;

    /// The host manager that belongs to this program.
    async fn host_manager(&self) -> Result<ArtifactFile, EngineError>;

    /// Whether a run has programs to bring: one that only prepares has none.
    fn are_there(&self) -> bool {
        true
    }
}

/// Of runs that bring none.
pub struct NoPrograms;

#[async_trait]
impl Artifacts for NoPrograms {
    async fn consul(&self) -> Result<ArtifactFile, EngineError> {
        Err(EngineError::Artifact("this run brings no Consul".to_owned()))
    }

    async fn host_manager(&self) -> Result<ArtifactFile, EngineError> {
        Err(EngineError::Artifact("this run brings no host manager".to_owned()))
    }

    fn are_there(&self) -> bool {
        false
    }
}
