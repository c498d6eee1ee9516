//! The port to randomness, so that a simulated run can be repeated bit for bit.

use aws_lc_rs::rand;

use crate::error::EngineError;

/// Randomness as the engine sees it. Key pairs are not drawn from it: nothing but their files' content depends on them.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`; on the real machine with what is fit for secrets.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EngineError>;
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EngineError> {
        rand::fill(bytes).map_err(|error| EngineError::Crypto {
            what: "random bytes",
            reason: error.to_string(),
        })
    }
}

/// A version-4 UUID.
pub fn uuid(entropy: &dyn Entropy) -> Result<String, EngineError> {
    let mut bytes = [0_u8; 16];
    entropy.fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}
