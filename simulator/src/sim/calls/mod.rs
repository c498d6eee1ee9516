//! The ports of a run whose calls are counted, labelled and recorded, and of which any may go wrong.

mod answers;
mod blobs;
mod fault;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hcs_engine::clock::Clock as _;
use hcs_engine::cloud::{
    ArmRequest, ArmResponse, Cloud, Method, PrincipalType, Target, TransportError,
};
use hcs_engine::execute::current_step;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{SimClock, SimCloud, no_answer, not_sent};
use crate::estate::Estate;
use crate::trace::TraceHasher;
use crate::world::fault::Fault;

pub use fault::{CallFault, Family};

/// How long a call or an answer is on its way when it is slow.
const SLOW: Duration = Duration::from_secs(40);
const HOUR: Duration = Duration::from_hours(1);
/// Calls that a fault of some duration hits.
const OFFLINE_CALLS: u32 = 6;
const UNAVAILABLE_CALLS: u32 = 5;
const DENIED_CALLS: u32 = 3;
/// Reads that do not see what was just made.
const UNSEEN_READS: u32 = 3;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Looks at one thing.
    Read,
    /// Asks for a list.
    List,
    /// Asks how an operation goes.
    Poll,
    /// May change something.
    Write,
}

/// One call of a run.
#[derive(Clone, Debug)]
pub struct Call {
    /// From 0.
    pub number: usize,
    /// On behalf of which step.
    pub step: Option<Arc<str>>,
    /// `GET`, `PUT`, …
    pub verb: &'static str,
    /// Last word of the ARM type, or the container.
    pub of: String,
    /// Name of the object, or of the blob.
    pub name: String,
    /// A call to the blob service.
    pub is_blob: bool,
    /// What it is for.
    pub sort: Sort,
    /// What came back.
    pub answered: Answered,
}

/// What an answer was, where faults depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// An operation goes on.
    pub accepted: bool,
    /// Something new was made.
    pub created: bool,
    /// The same question had another answer before.
    pub had_other_answer: bool,
    /// Rows of a list.
    pub rows: usize,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "call {}: {} {}/{}", self.number, self.verb, self.of, self.name)?;
        match &self.step {
            Some(step) => write!(f, " for {step:?}"),
            None => Ok(()),
        }
    }
}

/// A fault at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Strike {
    /// The call's number.
    pub at: usize,
    /// What goes wrong.
    pub fault: CallFault,
}

impl std::fmt::Display for Strike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.fault.word(), self.at)
    }
}

/// A run's estate as it was at one call.
pub struct Forks {
    /// Before the call.
    pub before: Estate,
    /// After it took effect; `None` where it never came so far.
    pub after: Option<Estate>,
    /// When that was, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// One number for all calls and answers before it.
    pub trace: u64,
}

#[derive(Default)]
struct State {
    strikes: Vec<Strike>,
    struck: Vec<Strike>,
    calls: Vec<Call>,
    reads: usize,
    writes: usize,
    blob_writes: usize,
    containers: BTreeSet<String>,
    forks: Option<Vec<Forks>>,
    trace: TraceHasher,
    /// Latest answer by what was asked, as one number.
    answers: BTreeMap<String, u64>,
    /// The same whole, where a fault may want it.
    bodies: BTreeMap<String, Value>,
    /// Faults that hit some more calls.
    lasting: Vec<(CallFault, u32)>,
    /// Reads of these paths say 404 so many times.
    unseen: BTreeMap<String, u32>,
    /// Polls of these URLs end in another way.
    polls: BTreeMap<String, CallFault>,
    /// Until when ARM told reads and writes to wait.
    told_until_ms: [u64; 2],
    impatient: Vec<String>,
    ignores_conditions: bool,
}

/// What all calls of a run share with whoever watches it.
#[derive(Default)]
pub struct Script {
    state: Mutex<State>,
    killed: Notify,
}

impl Script {
    /// These faults, each once.
    pub fn of(strikes: &[Strike]) -> Self {
        let state = State { strikes: strikes.to_vec(), ..State::default() };
        Self { state: Mutex::new(state), killed: Notify::new() }
    }

    /// No fault; the estate is kept as it is at every call.
    pub fn recording() -> Self {
        let state = State { forks: Some(Vec::new()), ..State::default() };
        Self { state: Mutex::new(state), killed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the run is killed: whoever drives it drops it then.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How many calls so far.
    pub fn count(&self) -> usize {
        self.lock().calls.len()
    }

    /// Requests to ARM so far that read, and that write.
    pub fn requests(&self) -> (usize, usize) {
        let state = self.lock();
        (state.reads, state.writes)
    }

    /// Writes and deletes of blobs so far.
    pub fn blob_writes(&self) -> usize {
        self.lock().blob_writes
    }

    /// Containers that were read or listed.
    pub fn containers(&self) -> Vec<String> {
        self.lock().containers.iter().cloned().collect()
    }

    /// The estate at each call, of a run that was recorded.
    pub fn take_forks(&self) -> Vec<Forks> {
        self.lock().forks.take().unwrap_or_default()
    }

    /// Faults that struck.
    pub fn struck(&self) -> Vec<Strike> {
        self.lock().struck.clone()
    }

    /// One number for all calls, faults and answers so far.
    pub fn trace(&self) -> u64 {
        self.lock().trace.finish()
    }

    /// Calls that were made while ARM had told them to wait.
    pub fn impatient(&self) -> Vec<String> {
        self.lock().impatient.clone()
    }

    /// From now on writes ignore their conditions, and reads of secrets find nothing: a planted bug.
    pub fn ignore_conditions(&self) {
        self.lock().ignores_conditions = true;
    }
}

/// The ports of one run.
#[derive(Clone)]
pub struct Calls {
    cloud: SimCloud,
    clock: SimClock,
    script: Arc<Script>,
    cancel: CancellationToken,
}

impl Calls {
    /// Ports over a cloud. `cancel` is what the user's Ctrl-C cancels.
    pub fn new(
        cloud: SimCloud,
        clock: SimClock,
        script: Arc<Script>,
        cancel: CancellationToken,
    ) -> Self {
        Self { cloud, clock, script, cancel }
    }

    /// A call begins: it has a number, and perhaps a fault.
    fn begin(&self, mut call: Call) -> (usize, Option<CallFault>) {
        let mut state = self.script.lock();
        let number = state.calls.len();
        call.number = number;
        call.step = current_step();
        let is_blob = call.is_blob;
        let is_write = call.sort == Sort::Write;
        match (is_blob, is_write) {
            (false, false) => state.reads += 1,
            (false, true) => state.writes += 1,
            (true, true) => state.blob_writes += 1,
            (true, false) => {
                state.containers.insert(call.of.clone());
            }
        }
        if state.forks.is_some() {
            let (at_ms, trace) = (self.clock.true_unix_ms(), state.trace.finish());
            let fork = Forks { before: self.cloud.fork(), after: None, at_ms, trace };
            state.forks.get_or_insert_default().push(fork);
        }
        let now_ms = self.clock.true_unix_ms();
        if !is_blob && state.told_until_ms[usize::from(is_write)] > now_ms {
            let words = format!(
                "{call} came {} ms early",
                state.told_until_ms[usize::from(is_write)] - now_ms
            );
            state.impatient.push(words);
        }
        (call.verb, &call.of, &call.name).hash(&mut state.trace);
        let due = |strike: &Strike| strike.at == number && strike.fault.may_strike(&call);
        let due = state.strikes.iter().position(due);
        state.calls.push(call);
        let fault = match due {
            Some(at) => {
                let strike = state.strikes.remove(at);
                state.struck.push(strike);
                let lasts = match strike.fault {
                    CallFault::Offline => OFFLINE_CALLS,
                    CallFault::Unavailable => UNAVAILABLE_CALLS,
                    CallFault::BlobDenied => DENIED_CALLS,
                    _ => 1,
                };
                if lasts > 1 {
                    state.lasting.push((strike.fault, lasts - 1));
                }
                Some(strike.fault)
            }
            None => state.goes_on(is_blob),
        };
        if let Some(fault) = fault {
            fault.hash(&mut state.trace);
        }
        (number, fault)
    }

    /// What strikes before a call of any kind; `true`: it is dead.
    async fn before(&self, fault: Option<CallFault>) {
        match fault {
            Some(CallFault::KillBefore) => self.die().await,
            Some(CallFault::Stop) => self.cancel.cancel(),
            Some(CallFault::SlowRequest) => self.clock.sleep(SLOW).await,
            Some(CallFault::ClockAhead) => self.clock.set_by(3_600_000),
            Some(CallFault::ClockBack) => self.clock.set_by(-3_600_000),
            Some(CallFault::Asleep) => self.clock.suspend(HOUR),
            _ => {}
        }
    }

    async fn after(&self, number: usize, fault: Option<CallFault>) {
        {
            let mut state = self.script.lock();
            if let Some(forks) = &mut state.forks
                && let Some(fork) = forks.get_mut(number)
            {
                fork.after = Some(self.cloud.fork());
            }
        }
        match fault {
            Some(CallFault::KillAfter) => self.die().await,
            Some(CallFault::SlowAnswer) => self.clock.sleep(SLOW).await,
            _ => {}
        }
    }

    async fn die(&self) {
        self.script.killed.notify_one();
        std::future::pending::<()>().await;
    }

    fn endpoint(&self) -> String {
        self.cloud.with_world(|world| world.settings().endpoint.clone())
    }
}

impl State {
    /// A fault that began earlier and hits this call, too.
    fn goes_on(&mut self, is_blob: bool) -> Option<CallFault> {
        let lasting = self
            .lasting
            .iter_mut()
            .find(|(fault, left)| *left > 0 && is_blob == (fault.family() == Family::Blobs))?;
        lasting.1 -= 1;
        Some(lasting.0)
    }

    /// Whether a read may yet be answered as it was before.
    fn may_be_stale(&self) -> bool {
        self.strikes.iter().any(|strike| strike.fault == CallFault::StaleRead)
            || self.struck.iter().any(|strike| strike.fault == CallFault::StaleRead)
    }

    /// Notes an answer; whether it is another than before.
    fn note_answer(&mut self, asked: &str, hash: u64) -> bool {
        match self.answers.get_mut(asked) {
            Some(known) => std::mem::replace(known, hash) != hash,
            None => self.answers.insert(asked.to_owned(), hash).is_some(),
        }
    }
}

/// Path without query, and the label of a request.
fn label(request: &ArmRequest) -> (String, Call) {
    let (target, is_url) = match &request.target {
        Target::Path(path) => (path.as_str(), false),
        Target::Url(url) => (url.as_str(), true),
    };
    let path = target.split('?').next().unwrap_or(target);
    let path = path
        .split_once("://")
        .map_or(path, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let lower = path.to_ascii_lowercase();
    let is_poll = is_url
        && ["/operations/", "/operationresults/", "/asyncoperations/"]
            .iter()
            .any(|word| lower.contains(word));
    // After the last `providers` come a namespace and pairs of type and name.
    let providers = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"));
    // The list of the providers themselves ends there.
    let providers = providers.filter(|at| at + 2 <= segments.len());
    let tail = providers.map_or(segments.len(), |at| segments.len() - at - 2);
    let is_list = request.method == Method::Get
        && !is_poll
        && match providers {
            Some(_) => tail % 2 == 1,
            None => segments.len() % 2 == 1,
        };
    let (of, name) = match segments.as_slice() {
        _ if is_poll => ("operations", ""),
        [.., of] if is_list => (*of, ""),
        [.., of, name] if tail % 2 == 0 => (*of, *name),
        [.., of, name, _action] => (*of, *name),
        _ => ("", ""),
    };
    let call = Call {
        number: 0,
        step: None,
        verb: request.method.as_str(),
        of: of.to_owned(),
        name: name.to_owned(),
        is_blob: false,
        sort: match request.method {
            _ if is_poll => Sort::Poll,
            _ if is_list => Sort::List,
            method if method.is_read() => Sort::Read,
            _ => Sort::Write,
        },
        answered: Answered::default(),
    };
    (path.to_owned(), call)
}

/// A fault of the one operation that a call may begin. Where none began, or the run was killed before it did, none ends in
/// another way later.
struct Planned<'a> {
    cloud: &'a SimCloud,
    fault: Fault,
}

impl<'a> Planned<'a> {
    fn new(cloud: &'a SimCloud, fault: Fault) -> Self {
        cloud.with_world(|world| world.inject(fault.clone()));
        Self { cloud, fault }
    }
}

impl Drop for Planned<'_> {
    fn drop(&mut self) {
        self.cloud.with_world(|world| world.withdraw(&self.fault));
    }
}

/// How the operation that this call is about to start is to end.
fn planned_end(fault: Option<CallFault>, of: &str, method: Method) -> Option<Fault> {
    let word = match fault? {
        CallFault::Fails | CallFault::Cancels | CallFault::Preempted => {
            if method == Method::Delete { "failed-delete" } else { "failed-lro" }
        }
        CallFault::Slow => "slow-lro",
        CallFault::NoRoom => "capacity",
        _ => return None,
    };
    format!("{word}:{of}:1").parse().ok()
}

#[async_trait]
impl Cloud for Calls {
    async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, TransportError> {
        let (path, call) = label(request);
        let (of, is_write) = (call.of.clone(), call.sort == Sort::Write);
        let (number, fault) = self.begin(call);
        self.before(fault).await;
        if let Some(fault) = fault
            && let Some(instead) = self.instead(fault, is_write)
        {
            self.note_refusal(&instead);
            return instead;
        }
        let unseen = request.method.is_read() && {
            let mut state = self.script.lock();
            let left = state.unseen.get_mut(&path).filter(|left| **left > 0);
            left.map(|left| *left -= 1).is_some()
        };
        if unseen {
            return Ok(answers::not_found());
        }
        if fault == Some(CallFault::Tagged) {
            // Where there is no object yet, nobody tags it.
            if !self.cloud.with_world(|world| world.tag_by_somebody(&path)) {
                self.script.lock().struck.retain(|strike| strike.at != number);
            }
        }
        let planned = planned_end(fault, &of, request.method);
        let planned = planned.map(|planned| Planned::new(&self.cloud, planned));
        let answer = self.cloud.send(request).await;
        drop(planned);
        let body_hash = answer.as_ref().map_or(0, |response| {
            let mut hash = TraceHasher::default();
            response.body.hash(&mut hash);
            hash.finish()
        });
        let answer =
            answer.map(|response| self.changed(number, fault, request, &path, response, body_hash));
        self.after(number, fault).await;
        {
            let mut state = self.script.lock();
            match &answer {
                Ok(response) => {
                    (response.status, body_hash).hash(&mut state.trace);
                    request.body.hash(&mut state.trace);
                }
                Err(error) => error.to_string().hash(&mut state.trace),
            }
        }
        match fault {
            Some(CallFault::LostAnswer) => Err(no_answer(self.endpoint())),
            Some(CallFault::ServerErrorAfter) => Ok(answers::error(500, "InternalServerError")),
            Some(CallFault::GatewayTimeoutAfter) => Ok(answers::error(504, "GatewayTimeout")),
            _ => answer,
        }
    }

    async fn caller_type(&self) -> Result<Option<PrincipalType>, TransportError> {
        self.cloud.caller_type().await
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        self.cloud.caller_object_id().await
    }
}
