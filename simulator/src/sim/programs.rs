//! Programs that need no download. Knows nothing of the world around it.

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::artifact::{ArtifactFile, Artifacts};
use hcs_engine::error::EngineError;

/// Small programs.
#[derive(Clone, Copy, Debug)]
pub struct Programs;

#[async_trait]
impl Artifacts for Programs {
    async fn consul(&self) -> Result<ArtifactFile, EngineError> {
        Ok(program("consul"))
    }

    async fn host_manager(&self) -> Result<ArtifactFile, EngineError> {
        Ok(program("hcs-host-manager"))
    }
}

fn program(name: &'static str) -> ArtifactFile {
    let bytes = Bytes::from_static(name.as_bytes());
    ArtifactFile { file_name: name.to_owned(), sha256: format!("{:0>64}", name.len()), bytes }
}
