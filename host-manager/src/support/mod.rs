//! A support bundle: what somebody who helps wants to see of this server. It is asked for like anything else that a server
//! does once, and served beside the rounds, so that it comes where the rounds do not get on.

mod collect;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hcs_engine::blob::WriteCondition;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::requests::{Request, RequestAction, RequestOutcome, RequestResult, argument};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::report::chain;
use crate::status::{self, Board};

/// A disk that hangs is given up.
const DISK_MAX: Duration = Duration::from_mins(1);

/// Looks for a request of this server, until stopped.
pub async fn run(host: Arc<Host>, board: Arc<Board>, stop: CancellationToken) {
    let period = host.timing.tick * host.timing.rounds_per_refresh;
    loop {
        // Why it cannot be read, the rounds say.
        if let Ok(Some(request)) = host.stores.request(Some(host.bootstrap.slot)).await
            && request.action == RequestAction::SupportBundle
            && board.is_open(&request.id)
        {
            board.add_result(serve(&host, &board, &request).await);
        }
        tokio::select! {
            () = host.clock.sleep(period) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn serve(host: &Host, board: &Board, request: &Request) -> RequestResult {
    let now_unix_ms = host.clock.now_unix_ms();
    tracing::info!(id = %request.id, by = ?request.asked_by, "a support bundle is asked for");
    let answer = if request.is_over(now_unix_ms) {
        Err((RequestOutcome::Refused, "it was found after it had expired".to_owned()))
    } else {
        bundle(host, board).await.map_err(|reason| (RequestOutcome::Failed, reason))
    };
    let (outcome, reason, values) = match answer {
        Ok(values) => (RequestOutcome::Done, None, values),
        Err((outcome, reason)) => (outcome, Some(reason), BTreeMap::new()),
    };
    let ended_at = status::written_at(host.clock.now_unix_ms());
    RequestResult { id: request.id.clone(), outcome, reason, values, ended_at }
}

/// Collects it, and keeps it where only this server writes. The one before goes.
async fn bundle(host: &Host, board: &Board) -> Result<BTreeMap<String, Value>, String> {
    let asked = collect::asked(host, board).await;
    let (paths, modified_s) = (host.paths.clone(), host.clock.now_unix_ms() / 1000);
    // The disk may be why somebody asks: nothing of the server waits for it.
    let packed = tokio::task::spawn_blocking(move || {
        let files = collect::with_disk(asked, &paths);
        collect::packed(files, modified_s)
    });
    let packed = tokio::time::timeout(DISK_MAX, packed).await;
    let packed = packed.map_err(|_| "the disk does not answer".to_owned())?;
    let packed = packed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let size_bytes = packed.len();
    let place = container::status(host.bootstrap.slot);
    let put = host.stores.own.put(&place, blob::SUPPORT, packed.into(), WriteCondition::Always);
    put.await.map_err(|error| chain(&error))?;
    Ok([
        (argument::BLOB.to_owned(), json!(format!("{place}/{}", blob::SUPPORT))),
        (argument::SIZE_BYTES.to_owned(), json!(size_bytes)),
    ]
    .into())
}
