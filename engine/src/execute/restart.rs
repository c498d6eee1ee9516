//! A running server takes over the model that its scale set has by now.
//!
//! Facts: a scale set in manual mode brings an instance to its model by `manualUpgrade`, which restarts it where its size
//! changed; a size that the hardware under a running machine does not offer is refused with `OperationNotAllowed`, and
//! given to one that is deallocated (Microsoft's page on resizing virtual machines).

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::reference::Unresolved;
use serde_json::{Value, json};

use super::Run;
use crate::error::EngineError;
use crate::observe::machines;

impl Run<'_> {
    /// Upgrades the machine; where its hardware refuses, it is stopped, upgraded and started elsewhere. One that is found
    /// stopped, by whoever, runs in the end.
    pub(super) async fn restart(&self, slot: u32, scale_set: &ArmId) -> Result<(), EngineError> {
        let machines = machines(&self.arm, scale_set).await?;
        let ids: Vec<&str> =
            machines.iter().filter_map(|machine| machine.get("instanceId")?.as_str()).collect();
        let [id, ..] = ids.as_slice() else {
            return Err(Unresolved { what: format!("the machine of server {slot}") }.into());
        };
        let body = json!({ "instanceIds": ids });
        let ask =
            |action: &'static str| self.arm.post(scale_set, Kind::ScaleSet, action, body.clone());
        match ask("manualupgrade").await {
            Err(EngineError::Arm(error)) if error.needs_other_hardware() => {
                tracing::warn!(%scale_set, code = %error.code, "the machine moves to other hardware: it stops for that");
                ask("deallocate").await?;
                ask("manualupgrade").await?;
            }
            upgraded => upgraded?,
        }
        if !self.is_running(scale_set, id).await? {
            ask("start").await?;
        }
        Ok(())
    }

    /// Whether the machine has power, or is about to get it.
    async fn is_running(&self, scale_set: &ArmId, instance_id: &str) -> Result<bool, EngineError> {
        let version = Kind::ScaleSet.api_version();
        let view =
            format!("{scale_set}/virtualMachines/{instance_id}/instanceView?api-version={version}");
        let view = self.arm.get_path(&view).await?.unwrap_or_default();
        let statuses = view.get("statuses").and_then(Value::as_array).into_iter().flatten();
        let codes = statuses.filter_map(|status| status.get("code")?.as_str());
        let mut power = codes.filter_map(|code| code.strip_prefix("PowerState/"));
        Ok(power.all(|word| ["running", "starting"].contains(&word.to_lowercase().as_str())))
    }
}
