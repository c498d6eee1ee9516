//! A cluster that begins with the state of a snapshot.

use hcs_planner::requests::{Request, RequestOutcome};
use hcs_planner::snapshots::id::SnapshotId;

use super::Run;
use crate::error::EngineError;
use crate::requests::{self, AskError, RESTORE_GOOD_FOR};
use crate::snapshot::bring::bring;

/// Whose word it is, for people.
const LEADER: &str = "the leading server";

impl Run<'_> {
    /// Has the leading server restore it. The request has one id until it is refused, and servers do nothing twice: a run
    /// that was cut off after it finds it done.
    pub(super) async fn restore_snapshot(&self, snapshot_id: &str) -> Result<(), EngineError> {
        let not_done = |reason: String| EngineError::NotDone {
            node_name: LEADER.to_owned(),
            action: "restore a snapshot",
            reason,
        };
        let id = SnapshotId::parse(snapshot_id).map_err(not_done)?;
        let (store, cluster_id) = (self.store()?, &self.names.cluster_id);
        let path = bring(&self.arm, self.stores.as_ref(), &id, cluster_id, &store).await?;
        // The same for every create of this cluster: with its account goes what was answered.
        let parts = ["restore from", cluster_id.as_str(), snapshot_id];
        let request_id = requests::next_id(store.as_ref(), &parts, None).await?;
        let run_id = self.lease.as_ref().map_or("", |lease| lease.run_id());
        let mut request = Request::restore(request_id.clone(), &path).beside_run(run_id);
        let (clock, cancel) = (self.arm.clock.as_ref(), &self.arm.cancel);
        request.expires_unix_s = Some(clock.now_unix_ms() / 1000 + RESTORE_GOOD_FOR.as_secs());
        request.asked_by = Some("the apply that makes the cluster".to_owned());
        let asked = requests::ask(store.as_ref(), clock, cancel, &request, RESTORE_GOOD_FOR).await;
        match asked {
            Ok(result) if result.outcome == RequestOutcome::Done => Ok(()),
            Ok(result) => {
                requests::note_refusal(store.as_ref(), &request_id).await?;
                Err(not_done(result.reason.unwrap_or_default()))
            }
            Err(AskError::Engine(error)) => Err(error),
            Err(error) => Err(not_done(error.to_string())),
        }
    }
}
