//! When a snapshot is due and which ones are too many. Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// A clock of another server may be ahead by so much; later snapshots are not believed.
const SKEW_MS: u64 = 120_000;

/// The time in a blob name: `20261122T231500Z`.
pub fn format_time(unix_ms: u64) -> Option<String> {
    let time = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
    Some(time.to_zoned(TimeZone::UTC).strftime(FORMAT).to_string())
}

/// The inverse of [`format_time`].
pub fn parse_time(text: &str) -> Option<u64> {
    let civil = DateTime::strptime(FORMAT, text).ok()?;
    let zoned = civil.to_zoned(TimeZone::UTC).ok()?;
    u64::try_from(zoned.timestamp().as_millisecond()).ok()
}

/// The time of a snapshot blob of this policy; `None` for anything else in the folder.
pub fn time_of(policy: &str, blob_name: &str) -> Option<u64> {
    let file = blob_name.strip_prefix(policy)?.strip_prefix('/')?;
    parse_time(file.strip_suffix(".snap")?)
}

/// The newest snapshot of a policy that can be believed.
pub fn newest<'a>(
    policy: &str,
    names: impl IntoIterator<Item = &'a str>,
    now_ms: u64,
) -> Option<u64> {
    let times = names.into_iter().filter_map(|name| time_of(policy, name));
    times.filter(|&time| time <= now_ms.saturating_add(SKEW_MS)).max()
}

/// The aligned time of the snapshot that is due now. However long nothing was taken, it is one.
///
/// Times are multiples of the interval, so that two servers that both think it is their turn write
/// the same name, and the second write fails.
pub fn due(now_ms: u64, newest_ms: Option<u64>, interval_ms: u64) -> Option<u64> {
    let interval_ms = interval_ms.max(1_000);
    let is_due = newest_ms.is_none_or(|newest| now_ms.saturating_sub(newest) >= interval_ms);
    is_due.then(|| now_ms - now_ms % interval_ms)
}

/// Names to delete, oldest first, so that `retain_count` stay; 0 keeps all. What a broken clock wrote into the future
/// counts for nothing and stays: it would push out what is really the newest.
pub fn superfluous(policy: &str, names: &[String], retain_count: u32, now_ms: u64) -> Vec<String> {
    let retain = usize::try_from(retain_count).unwrap_or(usize::MAX);
    if retain == 0 {
        return Vec::new();
    }
    let is_past = |time: &u64| *time <= now_ms.saturating_add(SKEW_MS);
    let mut aged: Vec<(u64, &String)> = names
        .iter()
        .filter_map(|name| Some((time_of(policy, name).filter(is_past)?, name)))
        .collect();
    aged.sort_unstable();
    let excess = aged.len().saturating_sub(retain);
    aged.into_iter().take(excess).map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;

    fn at(text: &str) -> u64 {
        parse_time(text).unwrap()
    }

    #[test]
    fn times_sort_as_their_names() {
        let early = at("20261122T231500Z");
        assert_eq!(format_time(early).unwrap(), "20261122T231500Z");
        assert!(at("20261122T231501Z") > early);
        assert_eq!(parse_time("2026-11-22"), None);
        assert_eq!(time_of("p", "p/20261122T231500Z.snap"), Some(early));
        assert_eq!(time_of("p", "pp/20261122T231500Z.snap"), None);
        assert_eq!(time_of("p", "p/before-upgrade.snap"), None);
    }

    #[test]
    fn a_snapshot_is_due_once_per_interval() {
        let now = at("20261122T231730Z");
        let slot = at("20261122T230000Z");
        let cases = [
            ("never taken", None, Some(slot)),
            ("taken in this hour", Some(slot), None),
            ("taken in the hour before", Some(slot - HOUR), Some(slot)),
            ("storage was away for days: one, not many", Some(slot - 90 * HOUR), Some(slot)),
            ("newest a little in the future", Some(now + MINUTE), None),
            ("off the grid, since the interval was changed", Some(now - 30 * MINUTE), None),
            ("off the grid and old", Some(now - 61 * MINUTE), Some(slot)),
        ];
        for (name, newest, expected) in cases {
            assert_eq!(due(now, newest, HOUR), expected, "{name}");
        }
    }

    #[test]
    fn after_a_save_nothing_is_due_until_the_next_slot() {
        let mut newest = None;
        let mut saves = 0;
        let start = at("20261122T231730Z");
        for second in 0..3 * 3_600 {
            let now = start + second * 1_000;
            if let Some(slot) = due(now, newest, HOUR) {
                assert!(newest.is_none_or(|newest| slot > newest));
                newest = Some(slot);
                saves += 1;
            }
        }
        assert_eq!(saves, 4, "23:17:30 and then 00:00, 01:00, 02:00");
    }

    #[test]
    fn a_snapshot_from_a_broken_clock_does_not_stop_the_policy() {
        let now = at("20261122T231730Z");
        let names = ["p/20991231T000000Z.snap", "p/20261122T230000Z.snap", "p/notes.txt"];
        assert_eq!(newest("p", names, now), Some(at("20261122T230000Z")));
        assert_eq!(newest("p", ["p/20991231T000000Z.snap"], now), None);
    }

    #[test]
    fn pruning_removes_the_oldest_of_its_own_only() {
        let names: Vec<String> = [
            "p/20261122T030000Z.snap",
            "p/20261122T010000Z.snap",
            "p/20261122T020000Z.snap",
            "p/forced.snap",
            "other/20261122T000000Z.snap",
            "p/20991231T000000Z.snap",
        ]
        .map(str::to_owned)
        .to_vec();
        let cases: [(u32, &[&str]); 4] = [
            (0, &[]),
            (1, &["p/20261122T010000Z.snap", "p/20261122T020000Z.snap"]),
            (2, &["p/20261122T010000Z.snap"]),
            (5, &[]),
        ];
        for (retain, expected) in cases {
            let now = at("20261122T033000Z");
            assert_eq!(superfluous("p", &names, retain, now), expected, "retain {retain}");
        }
    }
}
