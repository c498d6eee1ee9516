//! Long-running operations: their URLs, their polls, their ends.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::World;
use super::errors::{Answer, ArmError, with_retry_after};
use super::http::{Request, Response};
use super::ids::ArmPath;
use super::kind::{self, Kind};
use super::random::Random;
use super::resource::State;

/// What an operation does at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Settles a PUT, a PATCH or a POST.
    Put,
    /// Removes the object.
    Delete,
    /// Removes a group: machines at half time, all else at the end.
    DeleteGroup,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Still running.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended with an error object.
    Failed(Value),
    /// Was preempted, with an error object.
    Canceled(Value),
}

/// A long-running operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) location: String,
    pub(crate) key: String,
    pub(crate) keys: Vec<String>,
    pub(crate) action: Action,
    pub(crate) outcome: Outcome,
    pub(crate) started_ms: u64,
    pub(crate) half_ms: Option<u64>,
    /// `None`: stuck for ever.
    pub(crate) ends_ms: Option<u64>,
    pub(crate) planned_error: Option<Value>,
    pub(crate) retry_after_ms: u64,
    pub(crate) sequence: u64,
}

impl Operation {
    pub(crate) fn next_ms(&self) -> Option<u64> {
        (self.outcome == Outcome::Running).then_some(self.half_ms.or(self.ends_ms)).flatten()
    }
}

/// URLs of an operation, signed and to be used verbatim.
pub(crate) struct OperationUrls {
    pub(crate) status: String,
    pub(crate) result: String,
}

/// Finished operations are forgotten after this time of Azure.
const KEEP_MS: u64 = 6 * 3_600_000;

impl World {
    pub(crate) fn start_operation(
        &mut self,
        kind: &Kind,
        key: &str,
        keys: Vec<String>,
        action: Action,
        location: &str,
        duration_ms: u64,
    ) -> String {
        let id = self.random.guid();
        let rtype_word = kind.rtype.rsplit('/').next().unwrap_or_default();
        let operations = &mut self.births.entry(key.to_owned()).or_default().1;
        *operations += 1;
        let nth = *operations;
        let jitter = Random::of(self.settings.seed, key, nth << 32).below(duration_ms / 5 + 1);
        let mut duration = self.scaled(duration_ms - duration_ms / 10 + jitter);
        let planned = self.planned_failure(rtype_word, action);
        let stuck = self.take_named_fault("stuck-lro", rtype_word);
        if self.take_named_fault("slow-lro", rtype_word) {
            duration = self.scaled(75 * 60_000);
        }
        for busy in &keys {
            if let Some(resource) = self.resources.get_mut(busy) {
                resource.busy = Some(id.clone());
                if action == Action::Put && resource.state == State::Succeeded {
                    resource.state = State::Updating;
                }
            }
        }
        let sequence = self.next_sequence();
        let operation = Operation {
            id: id.clone(),
            namespace: kind.rtype.split('/').next().unwrap_or_default().to_owned(),
            location: if location.is_empty() { "westeurope" } else { location }.to_owned(),
            key: key.to_owned(),
            keys,
            action,
            outcome: Outcome::Running,
            started_ms: self.now_ms,
            half_ms: (action == Action::DeleteGroup).then_some(self.now_ms + duration / 2),
            ends_ms: (!stuck).then_some(self.now_ms + duration),
            planned_error: planned,
            retry_after_ms: match kind.rtype.split('/').next() {
                Some("Microsoft.Compute" | "Microsoft.Resources") => 10_000,
                Some("Microsoft.Storage") => 3_000,
                _ => 1_000,
            },
            sequence,
        };
        self.operations.insert(id.clone(), operation);
        id
    }

    /// A new write preempts the operation that runs.
    pub(crate) fn preempt(&mut self, operation: &str) {
        if let Some(operation) = self.operations.get_mut(operation) {
            operation.outcome = Outcome::Canceled(json!({
                "code": "OperationPreempted",
                "message": "Operation execution has been preempted by a more recent operation.",
            }));
        }
    }

    /// Lets time pass to `now_ms`; operations end in the order of their times.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        loop {
            let due = self
                .operations
                .values()
                .filter_map(|op| op.next_ms().map(|at| (at, op.sequence, &op.id)))
                .filter(|(at, ..)| *at <= now_ms)
                .min()
                .map(|(at, _, id)| (at, id.clone()));
            let Some((at, id)) = due else { break };
            self.now_ms = self.now_ms.max(at);
            self.step_operation(&id);
        }
        self.now_ms = self.now_ms.max(now_ms);
        let now = self.now_ms;
        let keep = self.scaled(KEEP_MS);
        self.ghost_locks.retain(|ghost| ghost.until_ms > now);
        self.operations.retain(|_, op| {
            op.outcome == Outcome::Running || op.ends_ms.is_none_or(|at| at + keep > now)
        });
    }

    fn step_operation(&mut self, id: &str) {
        let Some(operation) = self.operations.get_mut(id) else { return };
        if operation.half_ms.take().is_some() {
            let key = operation.key.clone();
            self.delete_machines_of_group(&key);
            return;
        }
        let operation = operation.clone();
        let mut outcome =
            operation.planned_error.clone().map_or(Outcome::Succeeded, Outcome::Failed);
        if operation.action == Action::DeleteGroup && outcome == Outcome::Succeeded {
            outcome = self.finish_group_delete(&operation.key);
        }
        let succeeded = outcome == Outcome::Succeeded;
        for key in &operation.keys {
            let etag = self.new_etag();
            let Some(resource) = self.resources.get_mut(key) else { continue };
            if resource.busy.as_deref() != Some(id) {
                continue;
            }
            resource.busy = None;
            resource.hidden = resource.hidden && succeeded && operation.action == Action::Delete;
            let own = *key == operation.key;
            if !own && resource.state == State::Deleting {
                continue;
            }
            resource.state = match (succeeded, operation.action) {
                (false, Action::Put | Action::Delete) if own => State::Failed,
                _ => State::Succeeded,
            };
            resource.etag = etag;
        }
        match operation.action {
            Action::Put if succeeded => {
                let kind = self.kind_of(&operation.key);
                if let Some(kind) = kind {
                    (kind.settled)(self, &operation.key);
                }
            }
            Action::Delete if succeeded => self.remove_tree(&operation.key),
            Action::Put => crate::providers::compute::instances::fail(self, &operation.key),
            _ => {}
        }
        if let Some(operation) = self.operations.get_mut(id) {
            operation.outcome = outcome;
        }
    }

    pub(crate) fn kind_of(&self, key: &str) -> Option<&'static Kind> {
        self.resources.get(key).and_then(|r| kind::find(&r.rtype.to_ascii_lowercase()))
    }

    fn signature(&self, id: &str) -> String {
        let mut hash = self.settings.seed ^ 0xcbf2_9ce4_8422_2325;
        for byte in id.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        format!("{hash:016x}")
    }

    pub(crate) fn operation_urls(&self, id: &str) -> OperationUrls {
        let Some(operation) = self.operations.get(id) else {
            return OperationUrls { status: String::new(), result: String::new() };
        };
        let signature = self.signature(id);
        // Azure's certificate makes these URLs about 5 kB long; clients must cope.
        let certificate = signature.repeat(self.settings.poll_url_repeats);
        let (endpoint, subscription) = (&self.settings.endpoint, &self.settings.subscription_id);
        let base = format!(
            "{endpoint}/subscriptions/{subscription}/providers/{}/locations/{}",
            operation.namespace, operation.location
        );
        let tail =
            format!("t={}&c={certificate}&s={signature}&h={signature}", operation.started_ms);
        if operation.action == Action::DeleteGroup {
            let job = format!("RESOURCEGROUPDELETIONJOB-{id}-{}", operation.location);
            let url = format!(
                "{endpoint}/subscriptions/{subscription}/operationresults/{}?api-version=2024-07-01&{tail}",
                base64_url(&json!({"jobId": job, "jobLocation": operation.location}).to_string())
            );
            return OperationUrls { status: url.clone(), result: url };
        }
        let (version, status, result) = match operation.namespace.as_str() {
            "Microsoft.Storage" => {
                ("2023-05-01&monitor=true", "asyncoperations", "asyncoperations")
            }
            "Microsoft.Compute" => ("2024-07-01", "operations", "operationResults"),
            _ => ("2024-01-01", "operations", "operationResults"),
        };
        OperationUrls {
            status: format!("{base}/{status}/{id}?api-version={version}&{tail}"),
            result: format!("{base}/{result}/{id}?api-version={version}&{tail}"),
        }
    }

    /// Answers a poll; `None` when the path is no operation's.
    pub(crate) fn poll(&self, req: &Request, path: &ArmPath) -> Option<Answer> {
        let (id, as_status) = match (path.rest.first(), path.types.get(1)) {
            (Some(word), _) if word.eq_ignore_ascii_case("operationresults") => {
                let text = unbase64_url(path.rest.get(1)?)?;
                let job: Value = serde_json::from_str(&text).ok()?;
                let job = job["jobId"].as_str()?.strip_prefix("RESOURCEGROUPDELETIONJOB-")?;
                (job.get(..36)?.to_owned(), false)
            }
            (_, Some(word)) if path.types[0].eq_ignore_ascii_case("locations") => {
                let id = path.names.get(1)?.clone();
                match word.to_ascii_lowercase().as_str() {
                    "operations" => (id, true),
                    "operationresults" | "asyncoperations" => (id, false),
                    _ => return None,
                }
            }
            _ => return None,
        };
        let signed = req.query("h") == Some(self.signature(&id).as_str())
            && req.query("c").is_some_and(|c| c.len() == 16 * self.settings.poll_url_repeats);
        let Some(operation) = self.operations.get(&id).filter(|_| signed) else {
            let text = format!("The operation '{id}' could not be found.");
            return Some(Err(ArmError::new(404, "OperationNotFound", text)));
        };
        Some(Ok(if as_status { self.status_of(operation) } else { self.result_of(operation) }))
    }

    fn status_of(&self, operation: &Operation) -> Response {
        let (word, error) = match &operation.outcome {
            Outcome::Running => ("InProgress", None),
            Outcome::Succeeded => ("Succeeded", None),
            Outcome::Failed(error) => ("Failed", Some(error)),
            Outcome::Canceled(error) => ("Canceled", Some(error)),
        };
        let mut body = json!({"status": word});
        if operation.namespace == "Microsoft.Compute" {
            body["name"] = json!(operation.id);
            body["startTime"] = json!(rfc3339(operation.started_ms));
            if word != "InProgress" {
                body["endTime"] = json!(rfc3339(operation.ends_ms.unwrap_or(self.now_ms)));
            }
        }
        if let Some(error) = error {
            body["error"] = error.clone();
        }
        let response = Response::json(200, body);
        if word == "InProgress" {
            with_retry_after(response, self.scaled(operation.retry_after_ms))
        } else {
            response
        }
    }

    fn result_of(&self, operation: &Operation) -> Response {
        match &operation.outcome {
            Outcome::Running => {
                let retry_ms = if operation.action == Action::DeleteGroup {
                    15_000
                } else {
                    operation.retry_after_ms
                };
                let response = Response::empty(202)
                    .with("location", self.operation_urls(&operation.id).result);
                with_retry_after(response, self.scaled(retry_ms))
            }
            Outcome::Succeeded if operation.action == Action::DeleteGroup => Response::empty(200),
            Outcome::Succeeded => match self.resources.get(&operation.key) {
                Some(resource) if operation.action == Action::Put => {
                    Response::json(200, self.render(resource))
                }
                _ if operation.namespace == "Microsoft.Compute" => Response::empty(200),
                _ => Response::empty(204),
            },
            Outcome::Failed(error) | Outcome::Canceled(error) => {
                Response::json(409, json!({"error": error}))
            }
        }
    }
}

fn base64_url(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

fn unbase64_url(text: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

/// A time as Azure writes it.
pub(crate) fn rfc3339(unix_ms: u64) -> String {
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(String::new, |time| format!("{time:.3}"))
}
