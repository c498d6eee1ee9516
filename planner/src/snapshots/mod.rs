//! Snapshots of a cluster's state: when a policy takes them, and which ones it keeps. Pure, so that a plan and the servers
//! mean the same.

pub mod id;
pub mod metadata;
pub mod place;
pub mod policy;
pub mod retention;
pub mod schedule;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// A clock of another server may be ahead by so much; later snapshots are not believed.
const SKEW_MS: i64 = 120_000;

/// The time in a blob name: `20261122T231500Z`.
pub fn time_in_name(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime(FORMAT).to_string()
}

/// Name of a snapshot that somebody asks for and gives none: its time, and the beginning of the request's id.
pub fn name_on_demand(time: Timestamp, request_id: &str) -> String {
    let short = request_id.split('-').next().unwrap_or_default();
    format!("{}-{short}", time_in_name(time))
}

/// The inverse of [`time_in_name`].
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime(FORMAT, text).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The time of a snapshot blob of a policy, by its folder; `None` for anything else in there.
pub fn time_of(folder: &str, blob_name: &str) -> Option<Timestamp> {
    let file = blob_name.strip_prefix(folder)?.strip_prefix('/')?;
    parse_time(file.strip_suffix(".snap")?)
}

/// Whether a snapshot may be of this time: what a broken clock wrote into the future counts for nothing.
pub fn is_believable(time: Timestamp, now: Timestamp) -> bool {
    time.as_millisecond() <= now.as_millisecond().saturating_add(SKEW_MS)
}

/// The newest snapshot of a policy that can be believed.
pub fn newest<'a>(
    folder: &str,
    names: impl IntoIterator<Item = &'a str>,
    now: Timestamp,
) -> Option<Timestamp> {
    let times = names.into_iter().filter_map(|name| time_of(folder, name));
    times.filter(|time| is_believable(*time, now)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        parse_time(text).unwrap()
    }

    #[test]
    fn times_sort_as_their_names() {
        let early = at("20261122T231500Z");
        assert_eq!(early.to_string(), "2026-11-22T23:15:00Z");
        assert_eq!(time_in_name(early), "20261122T231500Z");
        assert!(at("20261122T231501Z") > early);
        assert_eq!(parse_time("2026-11-22"), None);
        assert_eq!(time_of("p", "p/20261122T231500Z.snap"), Some(early));
        assert_eq!(time_of("p", "pp/20261122T231500Z.snap"), None);
        assert_eq!(time_of("p", "p/before-upgrade.snap"), None);
    }

    #[test]
    fn a_snapshot_from_a_broken_clock_is_not_the_newest() {
        let now = at("20261122T231730Z");
        let names = ["p/20991231T000000Z.snap", "p/20261122T230000Z.snap", "p/notes.txt"];
        assert_eq!(newest("p", names, now), Some(at("20261122T230000Z")));
        assert_eq!(newest("p", ["p/20991231T000000Z.snap"], now), None);
    }
}
