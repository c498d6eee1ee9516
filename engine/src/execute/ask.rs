//! A step that asks a server for anything but to leave: what it says of it is what counts.

use std::time::Duration;

use hcs_planner::requests::{Request, RequestAction, RequestOutcome};

use super::Run;
use crate::entropy::uuid;
use crate::error::EngineError;
use crate::requests::{self, AskError};

/// Servers look for requests every few seconds.
const GOOD_FOR: Duration = Duration::from_mins(10);

impl Run<'_> {
    pub(super) async fn ask_for(
        &self,
        slot: u32,
        node_name: &str,
        action: RequestAction,
    ) -> Result<(), EngineError> {
        let id = uuid(self.arm.entropy.as_ref())?;
        let mut request = Request::new(id, Some(slot), action);
        let (clock, cancel) = (self.arm.clock.as_ref(), &self.arm.cancel);
        request.expires_unix_s = Some(clock.now_unix_ms() / 1000 + GOOD_FOR.as_secs());
        let store = self.store()?;
        let reason = match requests::ask(store.as_ref(), clock, cancel, &request, GOOD_FOR).await {
            Ok(result) if result.outcome == RequestOutcome::Done => return Ok(()),
            Ok(result) => result.reason.unwrap_or_default(),
            Err(AskError::Engine(error)) => return Err(error),
            Err(error) => error.to_string(),
        };
        let (node_name, action) = (node_name.to_owned(), action.in_words());
        Err(EngineError::NotDone { node_name, action, reason })
    }
}
