//! `hcs snapshots`: taken, restored and listed.

mod archive;
mod stored;

use std::fmt::Write as _;

use hcs_engine::requests::{RESTORE_GOOD_FOR, SNAPSHOT_GOOD_FOR};
use hcs_planner::dataplane::{blob, container};
use hcs_planner::requests::{Request, argument};
use hcs_planner::snapshots::name_on_demand;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use self::archive::{Copy, copy, upload, verify_file, verify_stored};
use crate::input::CliError;
use crate::plan::Answer;
use crate::requests::{asked, new_id, text_of};
use crate::status::{Place, open, run};

/// Takes a snapshot now, and says where it is.
pub(crate) fn take_snapshot(place: &Place, as_json: bool) -> Result<Answer, CliError> {
    run(async {
        let (_, store) = open(place).await?;
        let id = new_id()?;
        let name = format!("{}{}.snap", blob::ON_DEMAND, name_on_demand(Timestamp::now(), &id));
        let request = Request::snapshot(id, &name, None);
        let result = asked(store.as_ref(), request, SNAPSHOT_GOOD_FOR).await?;
        if as_json {
            return Ok(format!("{}\n", json!(result.values)));
        }
        let say = |name: &str| text_of(result.values.get(name));
        Ok(format!(
            "snapshot {}/{}\n  {} bytes, Raft index {}, verified\n  SHA-256 {}\n",
            container::SNAPSHOTS,
            say(argument::SNAPSHOT),
            say(argument::SIZE_BYTES),
            say(argument::RAFT_INDEX),
            say(argument::SHA256),
        ))
    })
}

/// Puts the cluster's state back to a snapshot.
pub(crate) fn restore(
    place: &Place,
    snapshot: &str,
    is_meant: bool,
    is_tried: bool,
) -> Result<Answer, CliError> {
    if !is_meant {
        let reason = format!(
            "this puts the whole state of Consul back to {snapshot}: keys, services, ACLs, intentions and the mesh's CA. \
             What was written since is gone, tokens that were made since do not work any more, and tokens that were \
             revoked since work again. What is there now is kept as a snapshot first. Say --yes if that is meant"
        );
        return Err(CliError::Azure { reason });
    }
    run(async {
        let (azure, store) = open(place).await?;
        let path = stored::brought(place, &azure, &store, snapshot).await?;
        let request = Request::restore(new_id()?, &path);
        let request = if is_tried { request } else { request.without_trial() };
        let result = asked(store.as_ref(), request, RESTORE_GOOD_FOR).await?;
        let tried = result.values.get(argument::UNTRIED).map_or_else(
            || "a server that was thrown away restored it first".to_owned(),
            |why| format!("no trial has proven it before: {}", text_of(Some(why))),
        );
        Ok(format!(
            "Consul is back at {snapshot}\n  {tried}\n  what was there before: {}/{}\n  `hcs status` tells how the servers are\n",
            container::SNAPSHOTS,
            text_of(result.values.get(argument::SAFETY_SNAPSHOT)),
        ))
    })
}

/// All snapshots of the cluster, those of policies and those that somebody asked for, the newest last; in the account of
/// somebody where a policy says so.
pub(crate) fn list_snapshots(place: &Place, as_json: bool) -> Result<Answer, CliError> {
    run(async {
        let (azure, store) = open(place).await?;
        let (mut rows, unread) = stored::list(&azure, &store).await?;
        rows.sort_by(|a, b| (&a.written_at, &a.name).cmp(&(&b.written_at, &b.name)));
        // A list that lacks some is no list for a program.
        if let Some(told) = unread.first().filter(|_| as_json) {
            return Err(CliError::Azure {
                reason: format!("not all snapshots can be listed: {told}"),
            });
        }
        if as_json {
            let rows: Vec<Value> = rows
                .iter()
                .map(|row| {
                    json!({ "name": row.name, "size_bytes": row.size_bytes, "written_at": row.written_at })
                })
                .collect();
            return Ok(format!("{}\n", json!(rows)));
        }
        let mut text = String::new();
        if rows.is_empty() && unread.is_empty() {
            text.push_str("there is no snapshot\n");
        }
        for row in &rows {
            let at = row.written_at.as_deref().unwrap_or("at some time");
            let _ = writeln!(text, "{at}  {:>12} bytes  {}", row.size_bytes, row.name);
        }
        for told in &unread {
            let _ = writeln!(text, "not shown: {told}");
        }
        Ok(text)
    })
}
