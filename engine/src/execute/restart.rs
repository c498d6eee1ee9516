//! A running server takes over the model that its scale set has by now.
//!
//! Facts: a scale set in manual mode brings an instance to its model by `manualUpgrade`, which restarts it where its size
//! changed; a size that the hardware under a running machine does not offer is refused with `OperationNotAllowed`, and
//! given to one that is deallocated (Microsoft's page on resizing virtual machines).

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::reference::Unresolved;
use serde_json::json;

use super::Run;
use crate::error::EngineError;
use crate::observe::{is_running, machines};

impl Run<'_> {
    /// Upgrades the machine; where its hardware refuses, it is stopped, upgraded and started elsewhere. One that is found
    /// stopped, by whoever, runs in the end.
    pub(super) async fn restart(
        &self,
        slot: u32,
        scale_set: &ArmId,
        was_off: bool,
    ) -> Result<(), EngineError> {
        let machines = machines(&self.arm, scale_set).await?;
        let ids: Vec<&str> =
            machines.iter().filter_map(|machine| machine.get("instanceId")?.as_str()).collect();
        let [id, ..] = ids.as_slice() else {
            return Err(Unresolved { what: format!("the machine of server {slot}") }.into());
        };
        // Somebody started it meanwhile: whether it may go out is another plan's to prove.
        if was_off && is_running(&self.arm, scale_set, id).await? {
            return Err(EngineError::Changed { id: scale_set.as_str().to_owned() });
        }
        let body = json!({ "instanceIds": ids });
        let ask =
            |action: &'static str| self.arm.post(scale_set, Kind::ScaleSet, action, body.clone());
        match ask("manualupgrade").await {
            Err(EngineError::Arm(error)) if error.needs_other_hardware() => {
                tracing::warn!(%scale_set, code = %error.code, "the machine moves to other hardware: it stops for that");
                ask("deallocate").await?;
                if let Err(error) = ask("manualupgrade").await {
                    // As it was is better than off.
                    ask("start").await?;
                    return Err(error);
                }
            }
            upgraded => upgraded?,
        }
        if !is_running(&self.arm, scale_set, id).await? {
            ask("start").await?;
        }
        Ok(())
    }
}
