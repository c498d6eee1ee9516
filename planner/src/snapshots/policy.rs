//! What a snapshot policy says, as the servers read it, and what they say of how it goes.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::place::PolicyPlace;
use super::retention::Retention;
use super::schedule::{Pattern, Schedule};
use super::{is_believable, time_of};
use crate::dataplane::Form;
use crate::maintenance;

/// `config/snapshot-policies/{name}.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPolicyDocument {
    /// Name of the policy, the prefix of its snapshots.
    pub name: String,
    /// Time between two snapshots; none where a pattern says when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u64>,
    /// Cron pattern of five fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// IANA name of the clock on which the pattern is read, and days and weeks are told; none: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What is kept.
    #[serde(flatten)]
    pub retention: Retention,
    /// A disabled policy takes and prunes nothing.
    pub enabled: bool,
    /// Whether snapshots that are taken before an upgrade are this policy's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub before_upgrade: bool,
    /// Without a snapshot for so long something is wrong, and it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after_seconds: Option<u64>,
    /// Time between two drills; none where none are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_interval_seconds: Option<u64>,
    /// Where its snapshots lie; none: in the cluster's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PolicyPlace>,
    /// Containers that it used before, and on which the servers may still have a right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<String>,
    /// RFC 3339: when a state began to hold it. Nothing is late before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Which policy of its name this is: a UUID that every create makes anew. A state that holds another one can neither
    /// change nor delete it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation_id: Option<String>,
    /// Whether some Terraform state holds it. A create that finds one that none holds goes on with it.
    #[serde(default = "held")]
    pub is_held: bool,
    /// What a destroy does with its snapshots; kept so that an import gives it back.
    #[serde(default)]
    pub on_delete: OnDelete,
    /// Its form.
    #[serde(flatten)]
    pub form: Form,
}

/// Documents of earlier versions were.
fn held() -> bool {
    true
}

/// In the largest unit that fits, for people.
pub fn told_duration(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let fits =
        units.iter().find(|(length, _)| seconds >= *length && seconds.is_multiple_of(*length));
    fits.map_or_else(
        || format!("{seconds} s"),
        |(length, unit)| format!("{} {unit}", seconds / length),
    )
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde asks for it.
fn is_false(value: &bool) -> bool {
    !value
}

impl SnapshotPolicyDocument {
    /// A policy of this name that is enabled, and says nothing else yet.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            interval_seconds: None,
            cron: None,
            time_zone: None,
            retention: Retention::default(),
            enabled: true,
            before_upgrade: false,
            stale_after_seconds: None,
            drill_interval_seconds: None,
            place: None,
            leaving: Vec::new(),
            created_at: None,
            incarnation_id: None,
            is_held: true,
            on_delete: OnDelete::Keep,
            form: Form::default(),
        }
    }

    /// The clock on which days and weeks are told.
    pub fn zone(&self) -> TimeZone {
        let zone = self.time_zone.as_deref().and_then(|name| maintenance::zone(name).ok());
        zone.unwrap_or(TimeZone::UTC)
    }

    /// Without a snapshot for so long it is late: as it says, or where it says nothing three times the longest pause between
    /// two runs, and ten minutes at least. Looks through a year of a pattern: not for every round.
    pub fn stale_after(&self, schedule: &Schedule, from: Timestamp) -> SignedDuration {
        match self.stale_after_seconds {
            Some(seconds) => SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)),
            None => (schedule.longest_pause(from) * 3).max(SignedDuration::from_mins(10)),
        }
    }

    /// Whether it has kept nothing for so long.
    pub fn is_stale(
        &self,
        stale_after: SignedDuration,
        newest: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let created = self.created_at.as_deref().and_then(|at| at.parse().ok());
        let since = self.place.as_ref().and_then(|place| place.since.parse().ok());
        let last = newest.max(created).max(since);
        self.enabled && last.is_some_and(|last| now.duration_since(last) > stale_after)
    }

    /// When it takes snapshots, for people.
    pub fn told_schedule(&self) -> String {
        match (&self.cron, self.interval_seconds) {
            (Some(cron), _) => {
                format!("at {cron:?} ({})", self.time_zone.as_deref().unwrap_or("UTC"))
            }
            (None, Some(seconds)) => format!("every {}", told_duration(seconds)),
            (None, None) => "never".to_owned(),
        }
    }

    /// When it takes snapshots. Intervals pass as much faster as `scale` says; clocks on a wall do not.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a sentence.
    pub fn schedule(&self, scale: f64) -> Result<Schedule, String> {
        match (&self.cron, self.interval_seconds) {
            (Some(cron), None) => {
                let zone = self.time_zone.as_deref().unwrap_or("UTC");
                Pattern::parse(cron, zone).map(|pattern| Schedule::Cron(Box::new(pattern)))
            }
            (None, Some(seconds)) if seconds > 0 => {
                let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
                // Whole seconds, as names have.
                let scaled = (seconds.as_secs_f64() / scale).ceil().max(1.0);
                let interval = SignedDuration::try_from_secs_f64(scaled);
                interval
                    .map(|interval| Schedule::Every { interval })
                    .map_err(|error| error.to_string())
            }
            _ => Err("it has neither an interval nor a pattern, or both".to_owned()),
        }
    }
}

/// `decisions/snapshot-policies/{name}.json`: how a policy goes, as the servers see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// Which policy of its name is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation_id: Option<String>,
    /// Why the last try failed, in one sentence; none since one succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// RFC 3339: when that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<String>,
    /// RFC 3339: when a snapshot was last restored into a throw-away server, and all of it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_at: Option<String>,
    /// Why the newest snapshot is not known to be good, in one sentence; none since a drill went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_error: Option<String>,
    /// RFC 3339: when that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_failed_at: Option<String>,
    /// What it has kept, as the servers saw it last, where that is not in the cluster's own account: whoever asks how a
    /// policy goes needs no right on somebody's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// Where that is: container and folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_in: Option<String>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl PolicyReport {
    /// What was noted of this policy, and nothing of another one of its name.
    pub fn of(policy: &SnapshotPolicyDocument, noted: Option<Self>) -> Self {
        let incarnation_id = policy.incarnation_id.clone();
        noted
            .filter(|noted| noted.incarnation_id == incarnation_id)
            .unwrap_or(Self { incarnation_id, ..Self::default() })
    }

    /// What the servers saw last in the place that the policy names now.
    pub fn kept_elsewhere(&self, place: &PolicyPlace) -> Kept {
        let is_there = self.kept_in.as_deref() == Some(place.told().as_str());
        self.kept.clone().filter(|_| is_there).unwrap_or_default()
    }

    /// What is wrong with the policy or with what it keeps, in one sentence. Where no drills are wanted any more, the last one
    /// counts no more.
    pub fn problem(&self, policy: &SnapshotPolicyDocument) -> Option<&str> {
        let of_drill = policy.drill_interval_seconds.and(self.drill_error.as_deref());
        self.last_error.as_deref().or(of_drill)
    }
}

/// What a policy has kept, by a listing of its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// How many snapshots there are.
    pub count: usize,
    /// The oldest one's time.
    pub oldest: Option<Timestamp>,
    /// The newest one's time, of those that can be believed.
    pub newest: Option<Timestamp>,
    /// Size of all of them.
    pub total_size_bytes: u64,
}

impl Kept {
    /// Of names and sizes.
    pub fn of<'a>(
        folder: &str,
        listed: impl IntoIterator<Item = (&'a str, u64)>,
        now: Timestamp,
    ) -> Self {
        let mut kept = Self::default();
        for (name, size_bytes) in listed {
            let Some(time) = time_of(folder, name) else { continue };
            kept.count += 1;
            kept.total_size_bytes += size_bytes;
            kept.oldest = Some(kept.oldest.map_or(time, |oldest| oldest.min(time)));
            if is_believable(time, now) {
                kept.newest = Some(kept.newest.map_or(time, |newest| newest.max(time)));
            }
        }
        kept
    }
}

/// What the destroy of a policy does with its snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// They stay.
    #[default]
    Keep,
    /// They go.
    Purge,
    /// Something that a newer version knows.
    #[serde(other)]
    Unknown,
}

impl OnDelete {
    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Purge => "purge",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_listing_is_summed_up_and_what_lies_in_the_future_is_not_the_newest() {
        let listed = [
            ("p/20261122T010000Z.snap", 10),
            ("p/20261122T030000Z.snap", 20),
            ("p/20991231T000000Z.snap", 30),
            ("p/notes.txt", 1000),
        ];
        let kept = Kept::of("p", listed, at("2026-11-22T03:10:00Z"));
        let expected = Kept {
            count: 3,
            oldest: Some(at("2026-11-22T01:00:00Z")),
            newest: Some(at("2026-11-22T03:00:00Z")),
            total_size_bytes: 60,
        };
        assert_eq!(kept, expected);
    }

    #[test]
    fn what_is_late_is_told_from_what_is_new() {
        let hourly = SnapshotPolicyDocument {
            interval_seconds: Some(3600),
            created_at: Some("2026-11-22T00:00:00Z".to_owned()),
            ..SnapshotPolicyDocument::named("p")
        };
        let daily = SnapshotPolicyDocument { stale_after_seconds: Some(86_400), ..hourly.clone() };
        let off = SnapshotPolicyDocument { enabled: false, ..hourly.clone() };
        let now = at("2026-11-22T03:30:00Z");
        let taken = |text: &str| Some(at(text));
        let rows = [
            (&hourly, None, true, "never, and made three hours and a half ago"),
            (&hourly, taken("2026-11-22T01:00:00Z"), false, "two and a half hours"),
            (&hourly, taken("2026-11-21T01:00:00Z"), true, "a day"),
            (
                &daily,
                taken("2026-11-21T05:00:00Z"),
                false,
                "it says a day, and nothing was to come before it was made",
            ),
            (&off, taken("2026-11-21T01:00:00Z"), false, "disabled"),
        ];
        for (policy, newest, expected, why) in rows {
            let stale_after = policy.stale_after(&policy.schedule(1.0).unwrap(), now);
            assert_eq!(policy.is_stale(stale_after, newest, now), expected, "{why}");
        }
    }

    #[test]
    fn a_policy_is_told_in_words() {
        let mut policy = SnapshotPolicyDocument::named("p");
        policy.interval_seconds = Some(5400);
        assert_eq!(policy.told_schedule(), "every 90 min");
        policy.interval_seconds = None;
        policy.cron = Some("0 2 * * *".to_owned());
        assert_eq!(policy.told_schedule(), "at \"0 2 * * *\" (UTC)");
        assert_eq!(policy.retention.told(), "all");
        policy.retention.count = Some(8);
        policy.retention.age_seconds = Some(7 * 86_400);
        policy.retention.monthly = Some(12);
        assert_eq!(
            policy.retention.told(),
            "the newest 8, those of the last 7 d, and one of each of the last 12 months"
        );
    }
}
