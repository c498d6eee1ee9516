//! What can go wrong at one call. Rows of the catalogue `reference/reliability.md` §2 that concern Resource Manager,
//! tokens, blobs, time and the process.

use hcs_planner::dataplane::blob;

use super::{Call, Sort};

/// Types whose writes are conditional: what changed in between is seen.
const ETAGGED: [&str; 5] = [
    "virtualNetworks",
    "networkSecurityGroups",
    "loadBalancers",
    "natGateways",
    "publicIPAddresses",
];

/// Families of faults, as tables show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The way to Resource Manager, and tokens.
    Transport,
    /// Answers that ask for patience.
    Throttling,
    /// Answers that refuse.
    Refusal,
    /// Replicas that have not heard, lists that are not whole.
    Consistency,
    /// Operations that end otherwise than well, and their URLs.
    Operation,
    /// The blob service.
    Blobs,
    /// Clocks, and calls that take long.
    Time,
    /// The process is killed or asked to stop.
    Process,
}

/// One thing that goes wrong at one call; [`ROWS`] tells each.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallFault {
    Unsent,
    Offline,
    LostRequest,
    LostAnswer,
    NoToken,
    TokenExpired,
    Malformed,
    ErrorIn200,
    Throttled,
    ThrottledBare,
    ThrottledDate,
    ThrottledNonsense,
    ThrottledHour,
    NotReady,
    Unavailable,
    TimedOut,
    ServerError,
    BadGateway,
    GatewayTimeout,
    ServerErrorAfter,
    GatewayTimeoutAfter,
    Forbidden,
    Policy,
    Busy,
    NotFound,
    StaleRead,
    NotYetThere,
    EmptyList,
    PartialList,
    ListCircle,
    ListForeign,
    Tagged,
    Fails,
    Cancels,
    Preempted,
    Slow,
    NoRoom,
    PollForeign,
    PollNotFound,
    PollDead,
    PollRefused,
    UnknownWord,
    BlobAway,
    BlobAnswerLost,
    BlobDenied,
    ContainerUnseen,
    BlobRefused,
    Overtaken,
    SlowRequest,
    SlowAnswer,
    ClockAhead,
    ClockBack,
    Asleep,
    KillBefore,
    KillAfter,
    Stop,
}

/// Fault, its word in reports and test files, its family, and what happens.
const ROWS: [(CallFault, &str, Family, &str); 56] = [
    (CallFault::Unsent, "unsent", Family::Transport, "The connection is refused."),
    (CallFault::Offline, "offline", Family::Transport, "The network is away for six calls."),
    (
        CallFault::LostRequest,
        "lost-request",
        Family::Transport,
        "The connection breaks before any effect.",
    ),
    (
        CallFault::LostAnswer,
        "lost-answer",
        Family::Transport,
        "The call takes effect, its answer is lost.",
    ),
    (CallFault::NoToken, "no-token", Family::Transport, "No credential works at this moment."),
    (
        CallFault::TokenExpired,
        "token-expired",
        Family::Transport,
        "The token is not taken any more: 401.",
    ),
    (
        CallFault::Malformed,
        "malformed",
        Family::Transport,
        "The answer is a page for people, not JSON.",
    ),
    (CallFault::ErrorIn200, "error-in-200", Family::Transport, "200 with an error in the body."),
    (CallFault::Throttled, "throttled", Family::Throttling, "429 with Retry-After in seconds."),
    (CallFault::ThrottledBare, "throttled-bare", Family::Throttling, "429 without Retry-After."),
    (
        CallFault::ThrottledDate,
        "throttled-date",
        Family::Throttling,
        "429 with Retry-After as a date.",
    ),
    (
        CallFault::ThrottledNonsense,
        "throttled-nonsense",
        Family::Throttling,
        "429 with a Retry-After that is no time.",
    ),
    (
        CallFault::ThrottledHour,
        "throttled-hour",
        Family::Throttling,
        "429 with an hour as Retry-After.",
    ),
    (
        CallFault::NotReady,
        "not-ready",
        Family::Throttling,
        "429 RetryableError: something it refers to is not ready.",
    ),
    (CallFault::Unavailable, "unavailable", Family::Throttling, "503 for five calls."),
    (CallFault::TimedOut, "408", Family::Refusal, "408 before any effect."),
    (CallFault::ServerError, "500", Family::Refusal, "500 before any effect."),
    (CallFault::BadGateway, "502", Family::Refusal, "502 before any effect."),
    (CallFault::GatewayTimeout, "504", Family::Refusal, "504 before any effect."),
    (
        CallFault::ServerErrorAfter,
        "500-after",
        Family::Refusal,
        "The call takes effect, the answer is 500.",
    ),
    (
        CallFault::GatewayTimeoutAfter,
        "504-after",
        Family::Refusal,
        "The call takes effect, the answer is 504.",
    ),
    (CallFault::Forbidden, "403", Family::Refusal, "403: the right flickers."),
    (CallFault::Policy, "policy", Family::Refusal, "403 of an Azure Policy."),
    (CallFault::Busy, "409-busy", Family::Refusal, "409: another operation runs."),
    (CallFault::NotFound, "404", Family::Consistency, "404 for what is there, once."),
    (
        CallFault::StaleRead,
        "stale-read",
        Family::Consistency,
        "A read answers what was true before.",
    ),
    (
        CallFault::NotYetThere,
        "not-yet-there",
        Family::Consistency,
        "What was just made reads 404 three times.",
    ),
    (CallFault::EmptyList, "empty-list", Family::Consistency, "A list names nothing."),
    (
        CallFault::PartialList,
        "partial-list",
        Family::Consistency,
        "A list leaves half of its rows out.",
    ),
    (
        CallFault::ListCircle,
        "list-circle",
        Family::Consistency,
        "The next page of a list is the page itself.",
    ),
    (
        CallFault::ListForeign,
        "list-foreign",
        Family::Consistency,
        "The next page of a list is on another host.",
    ),
    (
        CallFault::Tagged,
        "tagged",
        Family::Consistency,
        "Somebody else tags the object right before, which its etag tells.",
    ),
    (CallFault::Fails, "fails", Family::Operation, "The accepted operation ends as Failed."),
    (
        CallFault::Cancels,
        "cancels",
        Family::Operation,
        "The accepted operation ends as Cancelled, with both l.",
    ),
    (
        CallFault::Preempted,
        "preempted",
        Family::Operation,
        "The accepted operation is preempted by another.",
    ),
    (
        CallFault::Slow,
        "slow-operation",
        Family::Operation,
        "The accepted operation takes 75 minutes.",
    ),
    (CallFault::NoRoom, "no-room", Family::Operation, "There is no room for the machine."),
    (
        CallFault::PollForeign,
        "poll-foreign",
        Family::Operation,
        "The operation's URL leads to another host.",
    ),
    (
        CallFault::PollNotFound,
        "poll-404",
        Family::Operation,
        "The operation's URL answers 404 once.",
    ),
    (
        CallFault::PollDead,
        "poll-dead",
        Family::Operation,
        "The operation's URL answers 404 from now on.",
    ),
    (
        CallFault::PollRefused,
        "poll-405",
        Family::Operation,
        "The operation's URL answers 405 from now on.",
    ),
    (
        CallFault::UnknownWord,
        "unknown-word",
        Family::Operation,
        "The operation's status is a word that nobody knows.",
    ),
    (CallFault::BlobAway, "blob-away", Family::Blobs, "The blob service cannot be reached."),
    (
        CallFault::BlobAnswerLost,
        "blob-answer-lost",
        Family::Blobs,
        "The blob call takes effect, its answer is lost.",
    ),
    (
        CallFault::BlobDenied,
        "blob-denied",
        Family::Blobs,
        "The right to the blobs flickers, for three calls.",
    ),
    (CallFault::ContainerUnseen, "container-unseen", Family::Blobs, "The container is not seen."),
    (CallFault::BlobRefused, "blob-500", Family::Blobs, "The blob service refuses with 500."),
    (
        CallFault::Overtaken,
        "overtaken",
        Family::Blobs,
        "Somebody else writes the cluster's document right before.",
    ),
    (CallFault::SlowRequest, "slow-request", Family::Time, "The call leaves after 40 seconds."),
    (CallFault::SlowAnswer, "slow-answer", Family::Time, "The answer comes after 40 seconds."),
    (
        CallFault::ClockAhead,
        "clock-ahead",
        Family::Time,
        "The machine's clock is set one hour ahead.",
    ),
    (CallFault::ClockBack, "clock-back", Family::Time, "The machine's clock is set one hour back."),
    (CallFault::Asleep, "asleep", Family::Time, "The machine sleeps for an hour before the call."),
    (
        CallFault::KillBefore,
        "kill-before",
        Family::Process,
        "The process is killed before the call.",
    ),
    (
        CallFault::KillAfter,
        "kill-after",
        Family::Process,
        "The process is killed after the call took effect.",
    ),
    (CallFault::Stop, "stop", Family::Process, "The user presses Ctrl-C at the call."),
];

impl CallFault {
    /// Every fault.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|(fault, ..)| *fault)
    }

    fn row(self) -> &'static (Self, &'static str, Family, &'static str) {
        // The rows are in the order of the variants; a test says so.
        &ROWS[self as usize]
    }

    /// Its word in reports and test files.
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// Its family.
    pub fn family(self) -> Family {
        self.row().2
    }

    /// What happens, for tables.
    pub fn story(self) -> &'static str {
        self.row().3
    }

    /// Reads its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::all().find(|fault| fault.word() == word)
    }

    /// Whether it can strike at such a call, whatever its answer is going to be.
    pub fn may_strike(self, call: &Call) -> bool {
        let write = call.sort == Sort::Write;
        match self.family() {
            Family::Process | Family::Time => true,
            Family::Blobs => match self {
                Self::BlobAnswerLost => call.is_blob && write,
                Self::Overtaken => call.is_blob && write && call.name == blob::CLUSTER,
                _ => call.is_blob,
            },
            _ if call.is_blob => false,
            Family::Throttling => write || self != Self::NotReady,
            Family::Transport => write || self != Self::LostAnswer,
            Family::Refusal => match self {
                Self::ServerErrorAfter | Self::GatewayTimeoutAfter | Self::Policy | Self::Busy => {
                    write
                }
                _ => true,
            },
            Family::Consistency => match self {
                Self::NotFound => write || call.sort == Sort::Read,
                Self::StaleRead => matches!(call.sort, Sort::Read | Sort::List),
                Self::NotYetThere => write,
                Self::Tagged => call.verb == "PUT" && ETAGGED.contains(&call.of.as_str()),
                _ => call.sort == Sort::List,
            },
            Family::Operation => match self {
                Self::PollNotFound | Self::PollDead | Self::PollRefused | Self::UnknownWord => {
                    call.sort == Sort::Poll
                }
                Self::NoRoom => write && call.of == "virtualMachineScaleSets",
                _ => write,
            },
        }
    }

    /// Whether it makes a difference at this call, by the answer that came when nothing went wrong.
    pub fn fits(self, call: &Call) -> bool {
        let answered = &call.answered;
        let counts = match self {
            Self::NotFound => call.sort == Sort::Write || answered.status == 200,
            Self::StaleRead => answered.had_other_answer,
            Self::NotYetThere => answered.created,
            Self::Tagged => !answered.created,
            Self::NoRoom => answered.accepted && answered.created,
            Self::EmptyList => answered.rows > 0,
            Self::PartialList => answered.rows > 1,
            Self::Fails | Self::Cancels | Self::Preempted | Self::Slow | Self::PollForeign => {
                answered.accepted
            }
            _ => true,
        };
        counts && self.may_strike(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_row_and_a_word_of_its_own() {
        for (number, fault) in CallFault::all().enumerate() {
            assert_eq!(number, fault as usize);
            assert_eq!(CallFault::parse(fault.word()), Some(fault));
        }
    }
}
