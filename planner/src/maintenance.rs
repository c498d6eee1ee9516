//! When a cluster may maintain itself: windows on a clock on the wall somewhere, and times at which nothing happens.
//!
//! Time zones are those of the IANA database that is compiled in, so that a plan and the servers mean the same moments.

use std::sync::LazyLock;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

/// Nobody declares more windows, or times without any.
pub const MAX: usize = 20;
/// The shortest window: a server's restart and a look at the others fit in several times.
pub const DURATION_SECONDS_MIN: u64 = 30 * 60;
/// The longest: one on each day is a day.
pub const DURATION_SECONDS_MAX: u64 = 24 * 3600;
/// So far ahead the next opening is looked for: exclusions may last a season, windows come every week.
const AHEAD_DAYS: i32 = 800;
const NEAR_DAYS: i32 = 16;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Days of the week, as configurations write them.
pub const DAYS: [(&str, Weekday); 7] = [
    ("Monday", Weekday::Monday),
    ("Tuesday", Weekday::Tuesday),
    ("Wednesday", Weekday::Wednesday),
    ("Thursday", Weekday::Thursday),
    ("Friday", Weekday::Friday),
    ("Saturday", Weekday::Saturday),
    ("Sunday", Weekday::Sunday),
];

/// A time each week in which the servers may do what can be felt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Days on which it begins; none: each.
    #[serde(default)]
    pub days: Vec<String>,
    /// When it begins on the clock there, `02:30`.
    pub start: String,
    /// How long it lasts on that clock: six hours from midnight end at six, whether the clock is changed meanwhile or not.
    pub duration_seconds: u64,
    /// IANA name of the clock's zone.
    pub time_zone: String,
}

/// A time in which something does not happen, window or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    /// RFC 3339.
    pub start: String,
    /// RFC 3339, after the start.
    pub end: String,
    /// What does not happen.
    pub scope: Scope,
}

/// What an [`Exclusion`] keeps from happening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything.
    #[default]
    All,
    /// Versions of another series; fixes of the one that runs come.
    Minor,
    /// Images.
    Os,
    /// Something that a newer version knows: everything, to be safe.
    #[serde(other)]
    Unknown,
}

impl Scope {
    /// Every word that a configuration may have.
    pub const WORDS: [(&'static str, Self); 3] =
        [("all", Self::All), ("minor", Self::Minor), ("os", Self::Os)];

    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, one)| *one == self).map_or("unknown", |(word, _)| word)
    }

    fn keeps_from(self, what: Work) -> bool {
        match self {
            Self::All | Self::Unknown => true,
            Self::Minor => what == Work::NewSeries,
            Self::Os => what == Work::Image,
        }
    }
}

/// What is to be done in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A fix of the series that runs.
    Fix,
    /// Another series.
    NewSeries,
    /// Another image.
    Image,
}

/// When the servers may do it, from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// When it opens, or opened.
    pub start: Timestamp,
    /// When it is over; nothing new begins then.
    pub end: Timestamp,
}

/// So much of a window has to be left for a server to begin: its restart and a look at it fit in.
const ROOM: SignedDuration = SignedDuration::from_mins(10);

impl Opening {
    /// Whether it is open.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.start <= now && now < self.end
    }

    /// Whether it is open, and long enough still to begin something.
    pub fn has_room(&self, now: Timestamp) -> bool {
        self.is_open(now) && self.end.duration_since(now) >= ROOM
    }
}

/// Windows and exclusions of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    /// None: at any time.
    pub windows: &'a [Window],
    /// What is left out of them.
    pub exclusions: &'a [Exclusion],
}

impl Schedule<'_> {
    /// When something may begin next; now, if it may now. `None` where that is not within two years.
    pub fn begins(&self, work: Work, now: Timestamp) -> Option<Timestamp> {
        let opening = self.opening(work, now)?;
        if opening.has_room(now) {
            return Some(now);
        }
        if opening.is_open(now) {
            return self.opening(work, opening.end).map(|next| next.start);
        }
        Some(opening.start)
    }

    /// The opening that lasts at `now`, or the next one. `None` where none comes in the next two years.
    pub fn opening(&self, work: Work, now: Timestamp) -> Option<Opening> {
        let horizon =
            now.checked_add(SignedDuration::from_hours(24 * i64::from(AHEAD_DAYS))).ok()?;
        let mut closed: Vec<Opening> = self
            .exclusions
            .iter()
            .filter(|one| one.scope.keeps_from(work))
            .filter_map(|one| {
                Some(Opening { start: one.start.parse().ok()?, end: one.end.parse().ok()? })
            })
            .collect();
        closed.sort_by_key(|one| one.start);
        if self.windows.is_empty() {
            let always = Opening { start: now, end: horizon };
            return without(always, &closed).into_iter().find(|piece| now < piece.end);
        }
        // Most come within days, and servers ask in each round.
        [NEAR_DAYS, AHEAD_DAYS].into_iter().find_map(|days| {
            let mut openings: Vec<Opening> =
                self.windows.iter().flat_map(|window| window.openings(now, days)).collect();
            openings.sort_by_key(|one| one.start);
            let pieces = merged(openings).into_iter().flat_map(|one| without(one, &closed));
            let first = pieces.into_iter().find(|piece| now < piece.end);
            // One that lasts as long as was looked may last longer.
            let seen =
                now.checked_add(SignedDuration::from_hours(24 * i64::from(days - 2))).ok()?;
            first.filter(|piece| piece.end < seen || days == AHEAD_DAYS)
        })
    }
}

/// Openings that touch are one.
fn merged(openings: Vec<Opening>) -> Vec<Opening> {
    let mut merged: Vec<Opening> = Vec::new();
    for one in openings {
        match merged.last_mut() {
            Some(last) if one.start <= last.end => last.end = last.end.max(one.end),
            _ => merged.push(one),
        }
    }
    merged
}

/// What is left of an opening; `closed` is sorted by its starts.
fn without(opening: Opening, closed: &[Opening]) -> Vec<Opening> {
    let mut left = Vec::new();
    let mut start = opening.start;
    for one in closed.iter().filter(|one| one.start < opening.end) {
        if one.end <= start {
            continue;
        }
        if start < one.start {
            left.push(Opening { start, end: one.start });
        }
        start = start.max(one.end);
    }
    if start < opening.end {
        left.push(Opening { start, end: opening.end });
    }
    left
}

impl Window {
    /// Names of the fields that cannot be, each with the reason.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let days = self.days.iter().map(|one| ("days", day(one)));
        let others = [
            ("start", clock_time(&self.start).map(drop)),
            ("duration", duration(self.duration_seconds)),
            ("time_zone", zone(&self.time_zone).map(drop)),
        ];
        days.chain(others).filter_map(|(name, told)| Some((name, told.err()?))).collect()
    }

    /// All that have not ended before `from`, for so many days.
    fn openings(&self, from: Timestamp, days: i32) -> Vec<Opening> {
        let (Ok(zone), Ok(start)) = (zone(&self.time_zone), clock_time(&self.start)) else {
            return Vec::new();
        };
        let Ok(first) = from.to_zoned(zone.clone()).date().checked_sub(2.days()) else {
            return Vec::new();
        };
        let wanted: Vec<Weekday> = self.days.iter().filter_map(|day| weekday(day)).collect();
        let dates = first.series(1.day()).take(usize::try_from(days).unwrap_or_default() + 3);
        dates
            .filter(|date| wanted.is_empty() || wanted.contains(&date.weekday()))
            .filter_map(|date| self.on(date, start, &zone))
            .filter(|opening| from < opening.end)
            .collect()
    }

    /// The one that begins on a day. A start that the clock skips is when it goes on.
    fn on(&self, date: Date, start: Time, zone: &TimeZone) -> Option<Opening> {
        let length = SignedDuration::from_secs(i64::try_from(self.duration_seconds).ok()?);
        let begins = date.to_datetime(start);
        let at =
            |moment: jiff::civil::DateTime| zone.to_ambiguous_timestamp(moment).compatible().ok();
        let start = at(begins)?;
        let end = at(begins.checked_add(length).ok()?)?;
        // The clock skips all of it.
        let end = if start < end { end } else { start.checked_add(length).ok()? };
        Some(Opening { start, end })
    }
}

/// A zone by its IANA name.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    ZONES.get(name).map_err(|_| {
        format!(
            "{name:?} is no time zone of the IANA database. Write e.g. \"Europe/Berlin\" or \"UTC\"."
        )
    })
}

/// `02:30`.
pub fn clock_time(text: &str) -> Result<Time, String> {
    let told = || format!("{text:?} is no time of day. Write hours and minutes, e.g. \"02:30\".");
    let (hour, minute) = text.split_once(':').ok_or_else(told)?;
    let number = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<i8>().ok()).flatten()
    };
    let (Some(hour), Some(minute)) = (number(hour), number(minute)) else { return Err(told()) };
    Time::new(hour, minute, 0, 0).map_err(|_| told())
}

fn weekday(name: &str) -> Option<Weekday> {
    DAYS.into_iter().find(|(word, _)| *word == name).map(|(_, day)| day)
}

/// Whether a day is one, as configurations write them.
pub fn day(name: &str) -> Result<(), String> {
    if weekday(name).is_some() {
        return Ok(());
    }
    Err(format!("{name:?} is no day. Write one of {}.", DAYS.map(|(word, _)| word).join(", ")))
}

/// Whether a window can last so long.
pub fn duration(seconds: u64) -> Result<(), String> {
    if (DURATION_SECONDS_MIN..=DURATION_SECONDS_MAX).contains(&seconds) {
        return Ok(());
    }
    Err("a window lasts from \"30m\" to \"24h\"".to_owned())
}

/// A moment, RFC 3339.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no moment. Write RFC 3339, e.g. \"2026-12-20T00:00:00Z\".")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(days: &[&str], start: &str, hours: u64, time_zone: &str) -> Window {
        Window {
            days: days.iter().map(|day| (*day).to_owned()).collect(),
            start: start.to_owned(),
            duration_seconds: hours * 3600,
            time_zone: time_zone.to_owned(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn told(schedule: Schedule<'_>, work: Work, now: &str) -> String {
        schedule
            .opening(work, at(now))
            .map_or_else(|| "never".to_owned(), |one| format!("{} - {}", one.start, one.end))
    }

    /// The sentence of the talk at which HCS was shown: weekends from midnight to six.
    #[test]
    fn saturday_and_sunday_from_midnight_to_six() {
        let weekend = [window(&["Saturday", "Sunday"], "00:00", 6, "America/New_York")];
        let schedule = Schedule { windows: &weekend, exclusions: &[] };
        for (now, expected) in [
            // A Thursday: New York is five hours behind.
            ("2026-11-26T12:00:00Z", "2026-11-28T05:00:00Z - 2026-11-28T11:00:00Z"),
            // In it.
            ("2026-11-28T05:00:00Z", "2026-11-28T05:00:00Z - 2026-11-28T11:00:00Z"),
            ("2026-11-28T10:59:59Z", "2026-11-28T05:00:00Z - 2026-11-28T11:00:00Z"),
            // Over at six: the next is Sunday's.
            ("2026-11-28T11:00:00Z", "2026-11-29T05:00:00Z - 2026-11-29T11:00:00Z"),
            // The Sunday on which summer time begins has five hours until six, the one on which it ends has seven.
            ("2026-03-08T12:00:00Z", "2026-03-14T04:00:00Z - 2026-03-14T10:00:00Z"),
            ("2026-03-08T05:30:00Z", "2026-03-08T05:00:00Z - 2026-03-08T10:00:00Z"),
            ("2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z - 2026-11-01T11:00:00Z"),
        ] {
            assert_eq!(told(schedule, Work::Fix, now), expected, "{now}");
        }
    }

    #[test]
    fn a_start_that_the_clock_skips_is_when_it_goes_on() {
        // Berlin goes from 02:00 to 03:00 on 29 March 2026, 01:00 UTC.
        for (start, expected) in [
            ("02:15", "2026-03-29T01:15:00Z - 2026-03-29T01:45:00Z"),
            // Its end is on the clock, and before the moment at which the skipped start is.
            ("02:30", "2026-03-29T01:30:00Z - 2026-03-29T02:00:00Z"),
        ] {
            let short =
                Window { duration_seconds: 1800, ..window(&["Sunday"], start, 1, "Europe/Berlin") };
            let windows = [short];
            let schedule = Schedule { windows: &windows, exclusions: &[] };
            assert_eq!(told(schedule, Work::Fix, "2026-03-28T12:00:00Z"), expected, "{start}");
        }
    }

    #[test]
    fn exclusions_close_what_they_name() {
        let nightly = [window(&[], "22:00", 4, "UTC")];
        let freeze = |scope| {
            [Exclusion {
                start: "2026-12-18T00:00:00Z".to_owned(),
                end: "2027-01-04T08:00:00+01:00".to_owned(),
                scope,
            }]
        };
        let now = "2026-12-17T23:00:00Z";
        let before = "2026-12-17T22:00:00Z - 2026-12-18T00:00:00Z";
        let (whole, after) = (
            "2026-12-17T22:00:00Z - 2026-12-18T02:00:00Z",
            "2027-01-04T22:00:00Z - 2027-01-05T02:00:00Z",
        );
        for (scope, work, expected) in [
            (Scope::All, Work::Fix, before),
            (Scope::All, Work::Image, before),
            (Scope::Minor, Work::NewSeries, before),
            (Scope::Minor, Work::Fix, whole),
            (Scope::Os, Work::Image, before),
            (Scope::Os, Work::NewSeries, whole),
            (Scope::Unknown, Work::Fix, before),
        ] {
            let exclusions = freeze(scope);
            let schedule = Schedule { windows: &nightly, exclusions: &exclusions };
            assert_eq!(told(schedule, work, now), expected, "{scope:?} {work:?}");
        }
        let exclusions = freeze(Scope::All);
        let schedule = Schedule { windows: &nightly, exclusions: &exclusions };
        assert_eq!(told(schedule, Work::Fix, "2026-12-18T01:00:00Z"), after);
        let without_windows = Schedule { windows: &[], exclusions: &exclusions };
        let opening = without_windows.opening(Work::Fix, at("2026-12-20T00:00:00Z")).unwrap();
        assert_eq!(opening.start, at("2027-01-04T07:00:00Z"), "at any time but then");
    }

    #[test]
    fn windows_that_touch_are_one() {
        let both =
            [window(&["Saturday"], "00:00", 24, "UTC"), window(&["Sunday"], "00:00", 6, "UTC")];
        let schedule = Schedule { windows: &both, exclusions: &[] };
        assert_eq!(
            told(schedule, Work::Fix, "2026-11-27T00:00:00Z"),
            "2026-11-28T00:00:00Z - 2026-11-29T06:00:00Z"
        );
    }

    #[test]
    fn what_is_no_time_or_zone_is_told() {
        for text in ["24:00", "2:30", "02.30", "02:3", "02:60", "-1:00", "noon"] {
            assert!(clock_time(text).unwrap_err().contains("\"02:30\""), "{text}");
        }
        assert!(zone("Europe/Atlantis").unwrap_err().contains("IANA"));
        assert!(zone("Europe/Berlin").is_ok() && zone("UTC").is_ok());
        assert!(moment("2026-12-20").is_err() && moment("2026-12-20T00:00:00+01:00").is_ok());
        assert!(day("saturday").is_err());
    }

    proptest! {
        /// By the clock on the wall alone, a second way to say it: outside of the days on which a clock is changed, a moment
        /// is in the window if the clock there shows it.
        #[test]
        fn a_moment_is_in_a_window_if_the_clock_there_shows_it(
            days in proptest::sample::subsequence(DAYS.to_vec(), 0..=7),
            start_minutes in 0_i64..24 * 60,
            duration_minutes in 30_i64..=24 * 60,
            zone_name in proptest::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York",
                "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]),
            minutes in 0_i64..2 * 366 * 24 * 60,
        ) {
            let names: Vec<&str> = days.iter().map(|(name, _)| *name).collect();
            let start = format!("{:02}:{:02}", start_minutes / 60, start_minutes % 60);
            let one = Window {
                duration_seconds: u64::try_from(duration_minutes).unwrap() * 60,
                ..window(&names, &start, 1, zone_name)
            };
            let now = at("2026-01-01T00:00:00Z") + SignedDuration::from_mins(minutes);
            let zone = zone(zone_name).unwrap();
            let local = now.to_zoned(zone.clone());
            let offsets: Vec<_> = (-3..=3)
                .map(|day| zone.to_offset(now + SignedDuration::from_hours(24 * day)))
                .collect();
            prop_assume!(offsets.iter().all(|offset| *offset == offsets[0]));
            let shows = [0, 1].into_iter().any(|ago| {
                let date = local.date().checked_sub(ago.days()).unwrap();
                let named = days.is_empty() || days.iter().any(|(_, day)| *day == date.weekday());
                let since = i64::from(local.hour()) * 60 + i64::from(local.minute())
                    + i64::from(ago) * 24 * 60 - start_minutes;
                named && (0..duration_minutes).contains(&since)
            });
            let windows = [one];
            let schedule = Schedule { windows: &windows, exclusions: &[] };
            let opening = schedule.opening(Work::Fix, now).expect("one comes each week");
            prop_assert_eq!(opening.is_open(now), shows);
            prop_assert!(now < opening.end && opening.start < opening.end);
        }

        /// Each day that is named has its window, whatever is done to the clock.
        #[test]
        fn no_window_is_lost_to_a_change_of_the_clock(
            start_minutes in 0_i64..24 * 60,
            duration_minutes in 30_u64..=24 * 60,
            zone_name in proptest::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
        ) {
            let start = format!("{:02}:{:02}", start_minutes / 60, start_minutes % 60);
            let one = Window { duration_seconds: duration_minutes * 60, ..window(&[], &start, 1, zone_name) };
            let openings = one.openings(at("2026-01-01T00:00:00Z"), 365);
            prop_assert!(openings.len() >= 365);
            for opening in &openings {
                let lasts = opening.end.duration_since(opening.start).as_secs();
                let declared = i64::try_from(duration_minutes * 60).unwrap();
                prop_assert!(lasts > 0 && (lasts - declared).abs() <= 3600, "{:?}", opening);
            }
        }
    }
}
