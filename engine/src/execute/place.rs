//! Making a server where there is room: at its own place, then at each alternative that the plan lists, in that order.

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::desired::{moved_to, place_in};
use hcs_planner::placement::Place;
use hcs_planner::reference::resolve;
use serde_json::Value;

use super::Run;
use crate::error::{ArmError, EngineError};

impl Run<'_> {
    /// Writes the object. Only a want of capacity leads to the next place; everything else is an error at once.
    pub(super) async fn put_somewhere(
        &self,
        id: &ArmId,
        kind: Kind,
        body: &Value,
        alternatives: &[Place],
    ) -> Result<Value, EngineError> {
        let full = match self.put_here(id, kind, body).await? {
            Ok(body) => return Ok(body),
            Err(error) if alternatives.is_empty() => return Err(error.into()),
            Err(error) => error,
        };
        let mut tried = vec![place_in(body).to_string()];
        let mut last = full;
        for place in alternatives {
            tracing::warn!(%id, tried = ?tried.last(), code = %last.code, next = %place, "no capacity");
            // A set that failed exists, and its zone is fixed.
            self.arm.delete(id, kind, self.lock_was_removed()).await?;
            match self.put_here(id, kind, &moved_to(body, place)).await? {
                Ok(body) => return Ok(body),
                Err(error) => last = error,
            }
            tried.push(place.to_string());
        }
        let last = Box::new(last);
        Err(EngineError::NoCapacity { server: id.name().to_owned(), tried, last })
    }

    /// The inner error is a want of capacity.
    async fn put_here(
        &self,
        id: &ArmId,
        kind: Kind,
        body: &Value,
    ) -> Result<Result<Value, ArmError>, EngineError> {
        let body = resolve(body, self)?;
        match self.arm.put(id, kind, body).await {
            Ok(body) => Ok(Ok(body)),
            Err(EngineError::Arm(error)) if error.is_capacity() => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }
}
