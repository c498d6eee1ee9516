//! Writes a policy, and brings the rights of the cluster's servers on somebody's containers after it.

use hcs_planner::snapshots::policy::SnapshotPolicyDocument;
use tfplugin::{Context, Diagnostic, Diagnostics, Severity, Value};

use super::elsewhere::{Elsewhere, Given};
use super::model::Policy;
use super::store::{PolicyStore, Written};

/// Says in the document where the snapshots are to lie, and where they are not to lie any more.
pub(super) async fn place(
    ctx: &Context,
    store: &PolicyStore,
    planned: &Value,
    document: &mut SnapshotPolicyDocument,
) -> Result<(), Diagnostics> {
    let found = store.read(&document.name).await?.map(|(found, _)| found);
    let known = found.as_ref().and_then(|found| found.place.clone());
    document.leaving = found.map(|found| found.leaving).unwrap_or_default();
    if let Some(container_id) = planned.get(Policy::STORAGE_CONTAINER_ID).as_str() {
        let elsewhere = Elsewhere::of(ctx, store)?;
        document.place = Some(elsewhere.place(container_id, known.as_ref()).await?);
    }
    let is_used = |id: &str| document.place.as_ref().is_some_and(|place| place.is_in(id));
    let mut leaving = document.leaving.clone();
    leaving.extend(known.map(|known| known.container_id));
    leaving.retain(|id| !is_used(id));
    document.leaving = leaving;
    Ok(())
}

/// Writes the document, and brings the servers' rights after it. The right is given before, as a place without it is none,
/// and looked at after: another policy that leaves the container at the same time may have taken it back in between.
pub(super) async fn write(
    ctx: &Context,
    store: &PolicyStore,
    document: &SnapshotPolicyDocument,
    is_create: bool,
) -> Result<(Written, Diagnostics), Diagnostics> {
    let elsewhere = Elsewhere::of(ctx, store)?;
    let (mut found, mut is_new_right) = (Diagnostics::none(), false);
    let container_id = document.place.as_ref().map(|place| place.container_id.as_str());
    if let Some(container_id) = container_id {
        match elsewhere.give_right(container_id).await? {
            Given::Before => {}
            Given::Now => is_new_right = true,
            Given::ByOthers(told) => found.push(*told),
        }
    }
    let written =
        if is_create { store.create(document).await } else { store.update(document).await };
    let written = match (written, container_id) {
        (Ok(written), _) => written,
        // Nothing was changed, so nothing is left behind.
        (Err(mut told), Some(container_id)) if is_new_right => {
            told.extend(elsewhere.leave(container_id, "").await);
            return Err(told);
        }
        (Err(told), _) => return Err(told),
    };
    // From here on the policy is there, whatever else goes wrong.
    if let Some(container_id) = container_id.filter(|_| found.is_empty())
        && let Err(told) = elsewhere.give_right(container_id).await
    {
        found.extend(warned(told));
    }
    for container_id in &document.leaving {
        found.extend(elsewhere.leave(container_id, &document.name).await);
    }
    if !document.leaving.is_empty()
        && let Err(told) = store.note_left(&document.name).await
    {
        found.extend(warned(told));
    }
    Ok((written, found))
}

fn warned(told: Diagnostics) -> Diagnostics {
    told.into_iter().map(|one| Diagnostic { severity: Severity::Warning, ..one }).collect()
}
