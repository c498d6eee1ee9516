//! Making a server where there is room: at its own place, then at each alternative that the plan lists, in that order.

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::desired::{moved_to, place_in};
use hcs_planner::placement::Place;
use hcs_planner::reference::resolve;
use hcs_planner::shared_zone;
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
            match self.put_here(id, kind, &moved_to(body, place, &self.names)).await? {
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
        // A name in a zone that others use is had by whoever comes first.
        let put = match shared_zone::owner(&body).map(str::to_owned) {
            Some(own) if kind == Kind::PrivateDnsRecord => {
                self.put_shared(id, kind, body, &own).await
            }
            _ => self.arm.put(id, kind, body).await,
        };
        match put {
            Ok(body) => Ok(Ok(body)),
            Err(EngineError::Arm(error)) if error.is_capacity() => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// A new record that says whose it is. One that is there by now is ours, from a try whose answer was lost, or another's.
    async fn put_shared(
        &self,
        id: &ArmId,
        kind: Kind,
        body: Value,
        own: &str,
    ) -> Result<Value, EngineError> {
        match self.arm.put_new(id, kind, body.clone()).await {
            Err(EngineError::Changed { .. }) => {}
            result => return result,
        }
        let there = self.arm.get(id, kind).await?;
        if there.as_ref().and_then(shared_zone::owner) == Some(own) {
            return self.arm.put(id, kind, body).await;
        }
        Err(EngineError::Changed { id: id.as_str().to_owned() })
    }
}
