//! Writing over an object that was looked at: its body carries what others had put there, so it is written only where
//! nobody has changed it since.

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::diff::is_same_to_write;
use hcs_planner::reference::resolve;
use serde_json::Value;

use super::Run;
use crate::error::EngineError;

/// Changes of what Azure only shows, such as a child that came, move an etag, too.
const ETAG_TRIES_MAX: u32 = 5;

impl Run<'_> {
    /// Writes `body`, which was merged with the object as this run last saw it. [`EngineError::Changed`] where it is
    /// another one by now. A type with an etag is written under it; any other is read right before.
    pub(super) async fn put_over(
        &self,
        object: &str,
        id: &ArmId,
        kind: Kind,
        body: &Value,
    ) -> Result<Value, EngineError> {
        let body = resolve(body, self)?;
        let Some(mut seen) = self.body(object) else { return self.arm.put(id, kind, body).await };
        for _ in 0..ETAG_TRIES_MAX {
            let etag = seen.get("etag").and_then(Value::as_str).filter(|etag| !etag.is_empty());
            if let Some(etag) = etag {
                match self.arm.put_where(id, kind, body.clone(), Some(etag)).await {
                    Err(EngineError::Changed { .. }) => {}
                    result => return result,
                }
            }
            let changed = || EngineError::Changed { id: id.as_str().to_owned() };
            let now = self.arm.get(id, kind).await?.ok_or_else(changed)?;
            if !is_same_to_write(kind, &seen, &now) {
                return Err(changed());
            }
            if etag.is_none() {
                return self.arm.put(id, kind, body).await;
            }
            seen = now;
        }
        Err(EngineError::Changed { id: id.as_str().to_owned() })
    }
}
