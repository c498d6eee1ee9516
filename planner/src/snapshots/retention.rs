//! Which snapshots of a policy go: those that no rule keeps.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::is_believable;
use super::policy::told_duration;

/// What keeps a snapshot. Each rule keeps by itself; a snapshot that none keeps goes after the next success. Without any
/// rule all stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The newest so many.
    #[serde(rename = "retain_count", default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// All that are not older.
    #[serde(rename = "retain_age_seconds", default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// The newest so many, whatever the other rules say; the newest one always stays.
    #[serde(rename = "retain_min", default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// The last one of each of the last so many hours that have one.
    #[serde(rename = "retain_hourly", default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<u32>,
    /// The last one of each of the last so many days that have one.
    #[serde(rename = "retain_daily", default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<u32>,
    /// The last one of each of the last so many weeks, from Monday on, that have one.
    #[serde(rename = "retain_weekly", default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<u32>,
    /// The last one of each of the last so many months that have one.
    #[serde(rename = "retain_monthly", default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u32>,
    /// The last one of each of the last so many years that have one.
    #[serde(rename = "retain_yearly", default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<u32>,
}

/// Stretch of the calendar in which a snapshot lies, and the clock's offset where that tells two of them apart.
type Stretch = (i64, i32);
type StretchOf = fn(&Zoned) -> Stretch;

impl Retention {
    fn stretches(&self) -> [(Option<u32>, StretchOf); 5] {
        [
            (self.hourly, |at| {
                // An hour that comes twice, when the clock is put back, is two.
                let parts = [at.month(), at.day(), at.hour()];
                (number(at.year(), parts), at.offset().seconds())
            }),
            (self.daily, |at| (number(at.year(), [at.month(), at.day(), 0]), 0)),
            (self.weekly, |at| {
                let week = at.date().iso_week_date();
                (number(week.year(), [week.week(), 0, 0]), 0)
            }),
            (self.monthly, |at| (number(at.year(), [at.month(), 0, 0]), 0)),
            (self.yearly, |at| (number(at.year(), [0, 0, 0]), 0)),
        ]
    }

    /// What is kept, for people.
    pub fn told(&self) -> String {
        let mut rules = Vec::new();
        if let Some(count) = self.count {
            rules.push(format!("the newest {count}"));
        }
        if let Some(seconds) = self.age_seconds {
            rules.push(format!("those of the last {}", told_duration(seconds)));
        }
        let calendar = [
            (self.hourly, "hours"),
            (self.daily, "days"),
            (self.weekly, "weeks"),
            (self.monthly, "months"),
            (self.yearly, "years"),
        ];
        for (count, unit) in calendar {
            if let Some(count) = count {
                rules.push(format!("one of each of the last {count} {unit}"));
            }
        }
        match rules.split_last() {
            None => "all".to_owned(),
            Some((last, [])) => last.clone(),
            Some((last, before)) => format!("{}, and {last}", before.join(", ")),
        }
    }

    /// Whether anything ever goes.
    pub fn is_bounded(&self) -> bool {
        self.count.is_some()
            || self.age_seconds.is_some()
            || self.stretches().iter().any(|(count, _)| count.is_some())
    }

    /// Of these, those that go, oldest first. What a broken clock wrote into the future counts for nothing and stays: it
    /// would push out what is really the newest. Days and weeks are those of `zone`.
    pub fn superfluous(
        &self,
        times: impl IntoIterator<Item = Timestamp>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Vec<Timestamp> {
        if !self.is_bounded() {
            return Vec::new();
        }
        let believable = times.into_iter().filter(|time| is_believable(*time, now));
        let newest_first: Vec<Timestamp> =
            believable.collect::<BTreeSet<_>>().into_iter().rev().collect();
        let at_least = self.min.unwrap_or(1).max(1).max(self.count.unwrap_or(0));
        let at_least = usize::try_from(at_least).unwrap_or(usize::MAX);
        let mut kept: BTreeSet<Timestamp> = newest_first.iter().copied().take(at_least).collect();
        if let Some(age_seconds) = self.age_seconds {
            let age = SignedDuration::from_secs(i64::try_from(age_seconds).unwrap_or(i64::MAX));
            kept.extend(
                newest_first.iter().copied().filter(|time| now.duration_since(*time) <= age),
            );
        }
        let on_the_wall: Vec<Zoned> =
            newest_first.iter().map(|time| time.to_zoned(zone.clone())).collect();
        for (count, stretch) in self.stretches() {
            let count = usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX);
            let mut seen = BTreeSet::new();
            for at in &on_the_wall {
                let stretch = stretch(at);
                if seen.contains(&stretch) {
                    continue;
                }
                if seen.len() == count {
                    break;
                }
                seen.insert(stretch);
                kept.insert(at.timestamp());
            }
        }
        newest_first.into_iter().rev().filter(|time| !kept.contains(time)).collect()
    }
}

fn number(year: i16, parts: [i8; 3]) -> i64 {
    parts.into_iter().fold(i64::from(year), |number, part| number * 100 + i64::from(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ago(now: Timestamp, hours: i64) -> Timestamp {
        now - SignedDuration::from_hours(hours)
    }

    /// Hourly snapshots of so many hours, the newest a quarter of an hour ago.
    fn hours(now: Timestamp, count: i64) -> Vec<Timestamp> {
        (0..count).map(|hours| ago(now, hours) - SignedDuration::from_mins(15)).collect()
    }

    fn left(
        retention: &Retention,
        times: &[Timestamp],
        now: Timestamp,
        zone: &TimeZone,
    ) -> Vec<String> {
        let gone = retention.superfluous(times.iter().copied(), now, zone);
        let left = times.iter().filter(|time| !gone.contains(time));
        left.map(|time| time.strftime("%d.%m. %H:%M").to_string()).collect()
    }

    #[test]
    fn each_rule_keeps_by_itself() {
        let now = at("2026-11-29T12:00:00Z");
        let times = hours(now, 24 * 40);
        let none = Retention::default();
        let rows: [(Retention, &[&str]); 7] = [
            (Retention { count: Some(2), ..none.clone() }, &["29.11. 11:45", "29.11. 10:45"]),
            (
                Retention { age_seconds: Some(3 * 3600), ..none.clone() },
                &["29.11. 11:45", "29.11. 10:45", "29.11. 09:45"],
            ),
            (Retention { hourly: Some(2), ..none.clone() }, &["29.11. 11:45", "29.11. 10:45"]),
            (
                Retention { daily: Some(3), ..none.clone() },
                &["29.11. 11:45", "28.11. 23:45", "27.11. 23:45"],
            ),
            // The 29th of November 2026 is a Sunday.
            (Retention { weekly: Some(2), ..none.clone() }, &["29.11. 11:45", "22.11. 23:45"]),
            (Retention { monthly: Some(2), ..none.clone() }, &["29.11. 11:45", "31.10. 23:45"]),
            (
                Retention { count: Some(1), daily: Some(2), yearly: Some(3), ..none.clone() },
                &["29.11. 11:45", "28.11. 23:45"],
            ),
        ];
        for (retention, expected) in rows {
            assert_eq!(left(&retention, &times, now, &TimeZone::UTC), expected, "{retention:?}");
        }
        assert_eq!(left(&none, &times, now, &TimeZone::UTC).len(), times.len(), "no rule, no end");
    }

    #[test]
    fn old_ones_stay_while_there_are_no_newer_ones() {
        let now = at("2026-11-29T12:00:00Z");
        let times = [ago(now, 24 * 100), ago(now, 24 * 101), ago(now, 24 * 102)];
        let retention = Retention { age_seconds: Some(3600), ..Retention::default() };
        assert_eq!(left(&retention, &times, now, &TimeZone::UTC), ["21.08. 12:00"]);
        let retention = Retention { min: Some(2), ..retention };
        assert_eq!(left(&retention, &times, now, &TimeZone::UTC), ["21.08. 12:00", "20.08. 12:00"]);
    }

    #[test]
    fn a_snapshot_of_the_future_pushes_nothing_out() {
        let now = at("2026-11-29T12:00:00Z");
        let times = [ago(now, -500), ago(now, 1), ago(now, 2)];
        let retention = Retention { count: Some(1), ..Retention::default() };
        assert_eq!(retention.superfluous(times, now, &TimeZone::UTC), [ago(now, 2)]);
    }

    #[test]
    fn a_day_ends_on_the_clock_that_is_declared() {
        let now = at("2026-11-29T12:00:00Z");
        let times = hours(now, 48);
        let zone = crate::maintenance::zone("America/New_York").unwrap();
        let retention = Retention { daily: Some(2), ..Retention::default() };
        assert_eq!(left(&retention, &times, now, &zone), ["29.11. 11:45", "29.11. 04:45"]);
    }

    #[test]
    fn the_hour_that_comes_twice_is_two() {
        let zone = crate::maintenance::zone("Europe/Berlin").unwrap();
        let now = at("2026-10-25T02:00:00Z");
        let times =
            [at("2026-10-25T01:30:00Z"), at("2026-10-25T00:30:00Z"), at("2026-10-24T23:30:00Z")];
        let retention = Retention { hourly: Some(2), ..Retention::default() };
        assert_eq!(left(&retention, &times, now, &zone), ["25.10. 01:30", "25.10. 00:30"]);
    }

    fn retentions() -> impl Strategy<Value = Retention> {
        let rule = || prop::option::of(1_u32..6);
        (
            prop::option::of(1_u32..20),
            prop::option::of(1_u64..100_000),
            rule(),
            rule(),
            rule(),
            rule(),
            rule(),
            rule(),
        )
            .prop_map(
                |(count, age_seconds, min, hourly, daily, weekly, monthly, yearly)| Retention {
                    count,
                    age_seconds,
                    min,
                    hourly,
                    daily,
                    weekly,
                    monthly,
                    yearly,
                },
            )
    }

    proptest! {
        /// Whoever prunes after each snapshot keeps what somebody keeps who prunes once at the end; nothing goes below the
        /// least, and a second look removes nothing.
        #[test]
        fn pruning_each_time_is_pruning_once(
            retention in retentions(),
            gaps_minutes in prop::collection::vec(1_i64..3000, 1..120),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
        ) {
            let zone = crate::maintenance::zone(zone).unwrap();
            let mut now = at("2027-01-03T00:00:00Z");
            let (mut all, mut held) = (Vec::new(), BTreeSet::new());
            let least = retention.min.unwrap_or(1) as usize;
            for gap in gaps_minutes {
                now += SignedDuration::from_mins(gap);
                all.push(now);
                held.insert(now);
                for gone in retention.superfluous(held.clone(), now, &zone) {
                    held.remove(&gone);
                }
                prop_assert!(held.len() >= least.min(all.len()));
                prop_assert!(held.contains(&now));
                prop_assert_eq!(retention.superfluous(held.clone(), now, &zone), vec![]);
            }
            let gone = retention.superfluous(all.clone(), now, &zone);
            let once: BTreeSet<Timestamp> = all.into_iter().filter(|time| !gone.contains(time)).collect();
            prop_assert_eq!(held, once);
        }
    }
}
