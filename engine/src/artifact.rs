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
}
