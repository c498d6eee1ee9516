//! What servers are asked to do once: `hcs renew`, `hcs transfer-leader`, `hcs upgrade take-back`.

use std::fmt::Write as _;
use std::time::Duration;

use hcs_engine::blob::{BlobError, BlobStore};
use hcs_engine::clock::{Clock as _, SystemClock};
use hcs_engine::entropy::{SystemEntropy, uuid};
use hcs_engine::error::{EngineError, chain};
use hcs_engine::observe::read_status;
use hcs_engine::requests::{AskError, ask};
use hcs_planner::dataplane::{ClusterDocument, blob, container};
use hcs_planner::requests::{Request, RequestAction, RequestOutcome, RequestResult, argument};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::input::CliError;
use crate::plan::Answer;
use crate::status::{Place, open, run, user};

pub(crate) const GOOD_FOR: Duration = Duration::from_mins(5);

/// Has servers make other certificates, one server after the other; all of them where none is named.
pub(crate) fn renew(place: &Place, servers: &[u32]) -> Result<Answer, CliError> {
    run(async {
        let (_, store) = open(place).await?;
        let slots = slots(store.as_ref()).await?;
        if let Some(stranger) = servers.iter().find(|slot| !slots.contains(slot)) {
            let known: Vec<String> = slots.iter().map(ToString::to_string).collect();
            let reason = format!("there is no server {stranger}: there are {}", known.join(", "));
            return Err(CliError::Azure { reason });
        }
        let mut text = String::new();
        for slot in if servers.is_empty() { &slots } else { servers } {
            let request = Request::new(new_id()?, Some(*slot), RequestAction::RenewCertificate);
            let result = asked(store.as_ref(), request, GOOD_FOR).await?;
            let until = text_of(result.values.get(argument::EXPIRES_AT));
            let _ = writeln!(text, "server {slot} serves another certificate, good until {until}");
        }
        Ok(text)
    })
}

/// Has the leader hand over.
pub(crate) fn transfer_leader(place: &Place) -> Result<Answer, CliError> {
    run(async {
        let (_, store) = open(place).await?;
        let mut leader = None;
        for slot in slots(store.as_ref()).await? {
            let read = read_status(store.as_ref(), slot).await;
            let (_, status) = read.map_err(|error| refused(&error, &container::status(slot)))?;
            let consul = status.and_then(|server| server.status.consul);
            if consul.is_some_and(|consul| consul.is_leader) {
                leader = Some(slot);
            }
        }
        let Some(leader) = leader else {
            let reason = "no server says that it leads; `hcs status` tells how they are".to_owned();
            return Err(CliError::Azure { reason });
        };
        let request = Request::new(new_id()?, Some(leader), RequestAction::TransferLeadership);
        asked(store.as_ref(), request, GOOD_FOR).await?;
        Ok("another server leads now; `hcs status` says which\n".to_owned())
    })
}

/// Has the servers go back to the Consul of before.
pub(crate) fn take_back(place: &Place) -> Result<Answer, CliError> {
    run(async {
        let (_, store) = open(place).await?;
        let request = Request::new(new_id()?, None, RequestAction::TakeBackUpgrade);
        let result = asked(store.as_ref(), request, GOOD_FOR).await?;
        let version = text_of(result.values.get(argument::CONSUL_VERSION));
        Ok(format!(
            "the servers go back to Consul {version}; `hcs status` tells how far they are\n"
        ))
    })
}

pub(crate) fn new_id() -> Result<String, CliError> {
    uuid(&SystemEntropy).map_err(|error| CliError::Azure { reason: chain(&error) })
}

pub(crate) fn text_of(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "unknown".to_owned(),
        Some(value) => value.to_string(),
    }
}

pub(crate) async fn slots(store: &dyn BlobStore) -> Result<Vec<u32>, CliError> {
    let found = store.get(container::CONFIG, blob::CLUSTER).await;
    let found = found.map_err(|error| refused(&error.into(), container::CONFIG))?;
    let document = found.and_then(|found| serde_json::from_slice(&found.bytes).ok());
    let document: ClusterDocument = document.ok_or_else(|| CliError::Azure {
        reason: "no cluster is described here yet: config/cluster.json is missing".to_owned(),
    })?;
    Ok(document.slots)
}

/// The result of a request that was done; anything else is an error in words.
pub(crate) async fn asked(
    store: &dyn BlobStore,
    mut request: Request,
    good_for: Duration,
) -> Result<RequestResult, CliError> {
    request.asked_by = Some(format!("{} (hcs)", user()));
    request.expires_unix_s = Some(SystemClock.now_unix_ms() / 1000 + good_for.as_secs());
    let cancel = CancellationToken::new();
    let result = ask(store, &SystemClock, &cancel, &request, good_for).await;
    let result = result.map_err(|error| match error {
        AskError::Engine(error) => refused(&error, container::REQUESTS),
        AskError::NoAnswer { .. } => CliError::Azure {
            reason: format!(
                "{error}. `hcs status` says how the servers are; a host manager of an earlier version knows no such requests"
            ),
        },
        error @ AskError::Busy(_) => CliError::Azure {
            reason: format!("{error}. Nothing was asked; try again when it has ended"),
        },
    })?;
    if result.outcome == RequestOutcome::Done {
        return Ok(result);
    }
    let reason = result.reason.unwrap_or_else(|| "the server gives no reason".to_owned());
    Err(CliError::Azure { reason: format!("it was not done: {reason}") })
}

pub(crate) fn refused(error: &EngineError, place: &str) -> CliError {
    let reason = match error {
        EngineError::Blob(BlobError::Denied { .. }) => {
            let role = if place == container::REQUESTS { "Contributor" } else { "Reader" };
            format!(
                "{}. It takes Storage Blob Data {role} on the container {place}, and Reader on config and status-*",
                chain(error)
            )
        }
        EngineError::Blob(BlobError::NoContainer { .. }) => {
            format!("there is no cluster: the account has no container {place}")
        }
        error => chain(error),
    };
    CliError::Azure { reason }
}
