//! The attributes of `hcs_snapshot_policy`, each with what it may be.

use std::time::Duration;

use hcs_planner::names::parse_cluster_id;
use hcs_planner::rules;
use hcs_planner::snapshots::id::parse_container;
use hcs_planner::snapshots::policy::OnDelete;
use tfplugin::plan::equality::{by_duration, ignoring_case};
use tfplugin::validate::{rule, text_rule};
use tfplugin::{Attr, Model, Value};

use crate::durations::Bounds;

/// Name when none is given.
pub(super) const NAME: &str = "default";
/// Count when no rule is given: the default of Consul's own snapshot agent.
const RETAIN_COUNT: i64 = 30;
/// A snapshot takes seconds; below this the cluster would do little else.
const INTERVAL_MIN: Duration = Duration::from_mins(1);
/// Beyond a year an interval is a typing error.
const INTERVAL_MAX: Duration = Duration::from_hours(366 * 24);
/// A drill takes memory beside the cluster's own.
const DRILL_MIN: Duration = Duration::from_hours(1);
/// Beyond ten years an age is.
const AGE_MAX: Duration = Duration::from_hours(3660 * 24);
/// What the servers do: only a read changes these.
pub(super) const VOLATILE: [&str; 7] = [
    Policy::LAST_SUCCESS_AT,
    Policy::LAST_ERROR,
    Policy::LAST_VERIFIED_AT,
    Policy::NEXT_RUN_AT,
    Policy::SNAPSHOT_COUNT,
    Policy::OLDEST_AT,
    Policy::TOTAL_SIZE_BYTES,
];
/// Rules of retention that tell snapshots by the calendar.
pub(super) const CALENDAR: [&str; 5] = [
    Policy::RETAIN_HOURLY,
    Policy::RETAIN_DAILY,
    Policy::RETAIN_WEEKLY,
    Policy::RETAIN_MONTHLY,
    Policy::RETAIN_YEARLY,
];

/// Snapshots of a cluster's state, taken by the servers themselves: one of them at a time, chosen by a Consul lock,
/// checks each archive and stores it in the cluster's storage account.
///
/// Each `retain_` rule keeps snapshots by itself; one that no rule keeps goes after the next success.
#[derive(Model)]
pub(super) struct Policy {
    /// `<cluster id>/snapshotPolicies/<name>`.
    #[tf(computed, identity)]
    id: Attr<String>,
    /// Which policy of its id this is. A create begins a new one; a state that holds an earlier one can neither
    /// change nor destroy it.
    #[tf(computed)]
    incarnation_id: Attr<String>,
    /// Id of the cluster. Changing it makes another policy.
    #[tf(required, replaces, equal_if = ignoring_case, validate = text_rule("the id of a cluster", |id| parse_cluster_id(id).map(|_| ())))]
    cluster_id: Attr<String>,
    /// Name of the policy and folder of its snapshots; default `default`. Changing it makes another policy.
    #[tf(default = NAME, replaces, validate = text_rule("a policy's name", rules::policy_name))]
    name: Attr<String>,
    /// Time between two snapshots, at least `1m`, e.g. `1h` or `1h30m`. This or `cron`.
    #[tf(equal_if = by_duration, validate = text_rule("a duration", |text| INTERVAL.check(text)))]
    interval: Attr<String>,
    /// When snapshots are taken, as a cron pattern of five fields (minute, hour, day of the month, month, day of the week),
    /// e.g. `0 2 * * *`, on the clock of `time_zone`. What falls into the hour that a clock skips comes right after it; of
    /// the hour that comes twice, a fixed time is taken once. This or `interval`.
    cron: Attr<String>,
    /// IANA name of the clock on which `cron` is read, and hours, days, weeks, months and years of the `retain_` rules are
    /// told, e.g. `Europe/Berlin`; `UTC` where it is not set.
    time_zone: Attr<String>,
    /// Keeps the newest so many; default 30 where no other rule is set.
    #[tf(optional, computed, validate = count(Policy::RETAIN_COUNT))]
    retain_count: Attr<u32>,
    /// Keeps all that are not older, e.g. `7d`.
    #[tf(equal_if = by_duration, validate = text_rule("a duration", |text| age(Policy::RETAIN_AGE, text)))]
    retain_age: Attr<String>,
    /// Keeps the newest so many, whatever other rules say, and however old they are; 1 where it is not set.
    #[tf(validate = count(Policy::RETAIN_MIN))]
    retain_min: Attr<u32>,
    /// Keeps the last one of each of the last so many hours that have one.
    #[tf(validate = count(Policy::RETAIN_HOURLY))]
    retain_hourly: Attr<u32>,
    /// Keeps the last one of each of the last so many days that have one.
    #[tf(validate = count(Policy::RETAIN_DAILY))]
    retain_daily: Attr<u32>,
    /// Keeps the last one of each of the last so many weeks (from Monday on) that have one.
    #[tf(validate = count(Policy::RETAIN_WEEKLY))]
    retain_weekly: Attr<u32>,
    /// Keeps the last one of each of the last so many months that have one.
    #[tf(validate = count(Policy::RETAIN_MONTHLY))]
    retain_monthly: Attr<u32>,
    /// Keeps the last one of each of the last so many years that have one.
    #[tf(validate = count(Policy::RETAIN_YEARLY))]
    retain_yearly: Attr<u32>,
    /// Whether snapshots are taken; default true.
    #[tf(default = true)]
    enabled: Attr<bool>,
    /// Whether this policy keeps what is taken before an upgrade of Consul; default false: it is kept beside all policies, for
    /// ever. One is taken in any case.
    #[tf(default = false)]
    before_upgrade: Attr<bool>,
    /// Without a snapshot for so long the cluster is `degraded` and says so, e.g. `6h`; where it is not set, three times the
    /// longest pause between two snapshots, and ten minutes at least.
    #[tf(equal_if = by_duration, validate = text_rule("a duration", |text| age(Policy::STALE_AFTER, text)))]
    stale_after: Attr<String>,
    /// Time between two drills, at least `1h`, e.g. `7d`: one of the servers restores the newest snapshot into a Consul that
    /// is thrown away, and counts what it holds. Where it fails, the cluster is `degraded`. None where it is not set.
    #[tf(equal_if = by_duration, validate = text_rule("a duration", |text| DRILL_INTERVAL.check(text)))]
    drill_interval: Attr<String>,
    /// Id of a storage container in an account of yours that is to hold the snapshots, e.g.
    /// `azurerm_storage_container.backups.id`: any account that the servers reach, also of another region or subscription, and
    /// one whose blobs are immutable. They lie in a folder of this cluster, `<cluster>-<incarnation>/<policy>/`, and outlive it.
    /// An apply gives the servers' identity Storage Blob Data Contributor there, or says who must. Where it is changed, what
    /// was kept so far stays where it is. In the cluster's own account where it is not set.
    #[tf(equal_if = ignoring_case, validate = text_rule("the id of a storage container", container_id))]
    storage_container_id: Attr<String>,
    /// What a destroy does with the policy's snapshots: `keep` (default) or `purge`.
    #[tf(default = OnDelete::Keep.as_str(), validate = text_rule("a word", on_delete))]
    on_delete: Attr<String>,
    /// When the newest snapshot was taken, as last read.
    #[tf(computed)]
    last_success_at: Attr<String>,
    /// Why the last try failed, or the last drill, as last read; null since one succeeded.
    #[tf(computed)]
    last_error: Attr<String>,
    /// When a drill last went well, as last read.
    #[tf(computed)]
    last_verified_at: Attr<String>,
    /// When the next one is due, as last read.
    #[tf(computed)]
    next_run_at: Attr<String>,
    /// How many there are, as last read.
    #[tf(computed)]
    snapshot_count: Attr<u32>,
    /// When the oldest one that is kept was taken, as last read.
    #[tf(computed)]
    oldest_at: Attr<String>,
    /// Size of all of them together, as last read.
    #[tf(computed)]
    total_size_bytes: Attr<i64>,
}

/// What is planned where the configuration sets no count: some, unless another rule says what stays.
pub(super) fn retain_count(config: &Value) -> Value {
    let set = config.get(Policy::RETAIN_COUNT);
    if !set.is_null() {
        return set.clone();
    }
    let others = || CALENDAR.iter().chain([&Policy::RETAIN_AGE]).map(|name| config.get(name));
    if others().any(|value| !value.is_null() && !value.is_unknown()) {
        Value::Null
    } else if others().any(Value::is_unknown) {
        Value::unknown()
    } else {
        Value::from(RETAIN_COUNT)
    }
}

const INTERVAL: Bounds = Bounds {
    name: Policy::INTERVAL,
    examples: "\"1h\", \"30m\" or \"1h30m\"",
    min: (INTERVAL_MIN, "1m"),
    why: "a snapshot locks writes for a moment",
    max: (INTERVAL_MAX, "366d"),
};

const DRILL_INTERVAL: Bounds = Bounds {
    name: Policy::DRILL_INTERVAL,
    examples: "\"24h\", \"7d\" or \"30d\"",
    min: (DRILL_MIN, "1h"),
    why: "a drill starts a Consul beside the one that serves",
    max: (INTERVAL_MAX, "366d"),
};

fn age(name: &'static str, text: &str) -> Result<(), String> {
    let (examples, why) = ("\"6h\", \"7d\" or \"90d\"", "");
    Bounds { name, examples, min: (INTERVAL_MIN, "1m"), why, max: (AGE_MAX, "3660d") }.check(text)
}

fn count(name: &'static str) -> impl tfplugin::validate::Validator {
    rule("a whole number", move |count| {
        if count.as_i64().is_some_and(|count| (1..=10_000).contains(&count)) {
            return Ok(());
        }
        let given = count.as_f64().unwrap_or_default();
        let instead = if name == Policy::RETAIN_COUNT {
            format!("To stop taking snapshots, set {} = false.", Policy::ENABLED)
        } else {
            "To keep none by this rule, leave it out.".to_owned()
        };
        Err(format!("{name} is {given}; it is a whole number from 1 to 10000. {instead}"))
    })
}

fn container_id(id: &str) -> Result<(), String> {
    parse_container(id)?;
    if id.ends_with('/') {
        return Err(format!("{id:?} ends with a slash. Leave that out."));
    }
    Ok(())
}

fn on_delete(word: &str) -> Result<(), String> {
    let known = [OnDelete::Keep, OnDelete::Purge].map(OnDelete::as_str);
    if known.contains(&word) {
        return Ok(());
    }
    Err(format!(
        "{} is {word:?}; it is {}.",
        Policy::ON_DELETE,
        known.map(|w| format!("{w:?}")).join(" or ")
    ))
}
