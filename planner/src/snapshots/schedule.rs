//! When a policy takes a snapshot: every so often, or by a cron pattern on a clock on the wall somewhere.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::maintenance;

/// So many moments of a pattern are looked at for its longest pause.
const MOMENTS: usize = 800;
/// A pattern that does not come within so long is a typing error.
const AHEAD: SignedDuration = SignedDuration::from_hours(5 * 366 * 24);

/// Moments at which snapshots are taken.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// At all multiples of an interval since the epoch.
    Every {
        /// At least a second.
        interval: SignedDuration,
    },
    /// By a pattern.
    Cron(Box<Pattern>),
}

/// A cron pattern of five fields and the clock that it is read on. Where that clock is put forward, what lies in the gap
/// comes right after it; where it is put back, a fixed hour comes once, and what comes every hour or oftener goes on by
/// real time.
#[derive(Clone, Debug)]
pub struct Pattern {
    cron: Cron,
    zone: TimeZone,
}

impl Pattern {
    /// Understands one.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str, zone: &str) -> Result<Self, String> {
        let parser =
            CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let fields = text.split_whitespace().count();
        let is_nickname = text.trim_start().starts_with('@');
        if fields != 5 && !(is_nickname && fields == 1) {
            return Err(format!(
                "{text:?} has {fields} field{}; a pattern has five: minute, hour, day of the month, month, day of the week",
                if fields == 1 { "" } else { "s" }
            ));
        }
        let cron = parser.parse(text).map_err(|error| format!("{text:?}: {error}"))?;
        let pattern = Self { cron, zone: maintenance::zone(zone)? };
        // A Thursday in a year that is none of leaps.
        let from = Timestamp::from_second(1_798_761_600).unwrap_or(Timestamp::UNIX_EPOCH);
        match pattern.next(from) {
            Some(next) if next.duration_since(from) <= AHEAD => Ok(pattern),
            _ => Err(format!("{text:?} names no moment that comes within five years")),
        }
    }

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.zone.clone());
        Some(self.cron.find_next_occurrence(&after, false).ok()?.timestamp())
    }

    fn latest(&self, now: Timestamp) -> Option<Timestamp> {
        let now = now.to_zoned(self.zone.clone());
        Some(self.cron.find_previous_occurrence(&now, true).ok()?.timestamp())
    }
}

impl Schedule {
    /// The moment that passed last, this one included.
    pub fn latest(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every { interval } => {
                let past = now.as_millisecond().checked_rem_euclid(milliseconds(*interval))?;
                Timestamp::from_millisecond(now.as_millisecond() - past).ok()
            }
            Self::Cron(pattern) => pattern.latest(now),
        }
    }

    /// The moment of the snapshot that is due; none while the newest is new enough. However long nothing was taken, it is
    /// one. Two servers that both think it is their turn mean the same moment, so that both write one name.
    pub fn due(&self, now: Timestamp, newest: Option<Timestamp>) -> Option<Timestamp> {
        let latest = self.latest(now)?;
        let is_due = match (self, newest) {
            (_, None) => true,
            // Off the grid, where the interval was changed: not twice within one.
            (Self::Every { interval }, Some(newest)) => now.duration_since(newest) >= *interval,
            (Self::Cron(_), Some(newest)) => newest < latest,
        };
        is_due.then_some(latest)
    }

    /// When the next one is due after the newest; at once where there is none.
    pub fn next_run(&self, newest: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let Some(newest) = newest else { return Some(now) };
        match self {
            Self::Every { interval } => newest.checked_add(*interval).ok(),
            Self::Cron(pattern) => pattern.next(newest),
        }
    }

    /// The longest time from one moment to the next, of those of a year or so from then on.
    pub fn longest_pause(&self, from: Timestamp) -> SignedDuration {
        let pattern = match self {
            Self::Every { interval } => return *interval,
            Self::Cron(pattern) => pattern,
        };
        let mut last = from;
        let mut longest = SignedDuration::ZERO;
        for count in 0..MOMENTS {
            let Some(next) = pattern.next(last) else { break };
            if count > 0 {
                longest = longest.max(next.duration_since(last));
            }
            last = next;
        }
        longest
    }
}

fn milliseconds(interval: SignedDuration) -> i64 {
    i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(pattern: &str, zone: &str) -> Schedule {
        Schedule::Cron(Box::new(Pattern::parse(pattern, zone).unwrap()))
    }

    fn every(seconds: i64) -> Schedule {
        Schedule::Every { interval: SignedDuration::from_secs(seconds) }
    }

    #[test]
    fn a_snapshot_is_due_once_per_interval() {
        let now = at("2026-11-22T23:17:30Z");
        let slot = at("2026-11-22T23:00:00Z");
        let before = |minutes| Some(now - SignedDuration::from_mins(minutes));
        let cases = [
            ("never taken", None, Some(slot)),
            ("taken in this hour", Some(slot), None),
            ("taken in the hour before", Some(slot - SignedDuration::from_hours(1)), Some(slot)),
            ("storage was away for days: one, not many", before(90 * 60), Some(slot)),
            ("newest a little in the future", before(-1), None),
            ("off the grid, since the interval was changed", before(30), None),
            ("off the grid and old", before(61), Some(slot)),
        ];
        for (name, newest, expected) in cases {
            assert_eq!(every(3600).due(now, newest), expected, "{name}");
        }
    }

    /// Each row was read off a calendar: a pattern, its clock, and the moments that come after one another.
    #[test]
    fn a_pattern_is_read_on_its_own_clock() {
        let rows: [(&str, &str, &str, &[&str]); 7] = [
            (
                "30 2 * * *",
                "UTC",
                "2026-11-22T23:17:30Z",
                &["2026-11-23T02:30:00Z", "2026-11-24T02:30:00Z"],
            ),
            // Two in the morning in Berlin: in winter at one, in summer at midnight of UTC.
            (
                "0 2 * * *",
                "Europe/Berlin",
                "2026-10-23T12:00:00Z",
                &["2026-10-24T00:00:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"],
            ),
            // 02:30 does not come on the last Sunday of March: the first moment after the gap.
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2027-03-27T12:00:00Z",
                &["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"],
            ),
            // 02:30 comes twice on the last Sunday of October, and is taken once.
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2026-10-24T12:00:00Z",
                &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            ),
            // Every half hour goes on by real time.
            (
                "*/30 * * * *",
                "Europe/Berlin",
                "2026-10-25T00:10:00Z",
                &[
                    "2026-10-25T00:30:00Z",
                    "2026-10-25T01:00:00Z",
                    "2026-10-25T01:30:00Z",
                    "2026-10-25T02:00:00Z",
                ],
            ),
            // Half past four in the evening of Fridays, half an hour beside everybody else.
            ("30 16 * * FRI", "Asia/Kolkata", "2026-11-22T00:00:00Z", &["2026-11-27T11:00:00Z"]),
            ("@weekly", "UTC", "2026-11-22T00:00:00Z", &["2026-11-29T00:00:00Z"]),
        ];
        for (pattern, zone, from, expected) in rows {
            let schedule = cron(pattern, zone);
            let mut last = at(from);
            for moment in expected {
                let next = schedule.next_run(Some(last), last).unwrap();
                assert_eq!(next, at(moment), "{pattern} {zone} after {last}");
                // It is due from then on, until it is taken.
                let later = next + SignedDuration::from_mins(3);
                assert_eq!(schedule.due(later, Some(last)), Some(next), "{pattern} {zone}");
                assert_eq!(schedule.due(later, Some(next)), None, "{pattern} {zone}");
                assert_eq!(schedule.due(next, Some(last)), Some(next), "{pattern} {zone}");
                last = next;
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let rows = [
            ("", "UTC", "has 0 fields"),
            ("* * * *", "UTC", "has 4 fields"),
            ("0 0 2 * * *", "UTC", "has 6 fields"),
            ("61 * * * *", "UTC", "61 * * * *"),
            ("0 0 31 2 *", "UTC", "names no moment"),
            ("soon", "UTC", "has 1 field;"),
            ("@soon", "UTC", "@soon"),
            ("0 2 * * *", "Europe/Berlim", "Europe/Berlim"),
        ];
        for (pattern, zone, expected) in rows {
            let told = Pattern::parse(pattern, zone).unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn the_longest_pause_of_a_pattern_is_found() {
        let hours =
            |schedule: Schedule| schedule.longest_pause(at("2027-01-01T00:00:00Z")).as_hours();
        assert_eq!(hours(every(3600)), 1);
        assert_eq!(hours(cron("0 * * * *", "UTC")), 1);
        assert_eq!(hours(cron("0 2 * * *", "UTC")), 24);
        assert_eq!(hours(cron("0 2 * * *", "Europe/Berlin")), 25, "a day of October has 25 hours");
        assert_eq!(hours(cron("0 2 * * 1-5", "UTC")), 72);
        assert_eq!(hours(cron("0 2 1 * *", "UTC")), 31 * 24);
    }
}
