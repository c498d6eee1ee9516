//! Documents as bytes.

use bytes::Bytes;
use serde::Serialize;

use crate::error::EngineError;

/// A document as people can read it. What cannot be written down is an error, never an empty blob.
pub fn bytes(what: &str, document: &impl Serialize) -> Result<Bytes, EngineError> {
    let text = serde_json::to_vec_pretty(document).map_err(|error| EngineError::Serialise {
        what: what.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(text.into())
}
