//! What must hold between the attributes of a policy.

use hcs_planner::arm::ArmId;
use hcs_planner::maintenance;
use hcs_planner::snapshots::policy::told_duration;
use jiff::{SignedDuration, Timestamp};
use tfplugin::{Diagnostic, Diagnostics, Value};

use super::model::{CALENDAR, Policy};
use super::{document, elsewhere};

/// Everything that does not go together. What is not known yet is not judged.
pub(super) fn combinations(config: &Value) -> Diagnostics {
    let is_unknown = |name: &str| config.get(name).is_unknown();
    let is_set = |name: &str| !config.get(name).is_null();
    let mut found = Diagnostics::none();
    let both = [Policy::INTERVAL, Policy::CRON];
    match both.map(is_set) {
        [true, true] if !both.iter().any(|name| is_unknown(name)) => found.push(
            Diagnostic::error(
                "Two schedules",
                "interval and cron both say when snapshots are taken. Leave one of them out.",
            )
            .at(Policy::CRON),
        ),
        [false, false] => found.push(
            Diagnostic::error(
                "No schedule",
                "Nothing says when snapshots are taken. Set interval = \"1h\", or cron = \"0 2 * * *\" with time_zone.",
            )
            .at(Policy::INTERVAL),
        ),
        _ => {}
    }
    if let Some(zone) = config.get(Policy::TIME_ZONE).as_str() {
        if let Err(reason) = maintenance::zone(zone) {
            let detail = format!("time_zone: {reason}");
            found.push(Diagnostic::error("Invalid time zone", detail).at(Policy::TIME_ZONE));
            return found;
        }
        if !is_set(Policy::CRON) && !CALENDAR.iter().any(|name| is_set(name)) {
            let detail = "time_zone is the clock on which cron is read and the days of retain_daily and its like are \
                          told; neither is set here. Leave time_zone out.";
            found.push(Diagnostic::error("No use for a time zone", detail).at(Policy::TIME_ZONE));
        }
    }
    let ids = [Policy::CLUSTER_ID, Policy::STORAGE_CONTAINER_ID].map(|name| config.get(name));
    if let [Some(cluster_id), Some(container_id)] = ids.map(Value::as_str) {
        found.extend(elsewhere::would_go(&ArmId::new(cluster_id), container_id));
    }
    let policy = document::read(config);
    if let Some(pattern) = &policy.cron
        && !is_unknown(Policy::TIME_ZONE)
        && !is_set(Policy::INTERVAL)
        && let Err(reason) = policy.schedule(1.0)
    {
        let detail = format!(
            "cron is {pattern:?}, and is not understood: {reason}. Write e.g. \"0 2 * * *\" for two o'clock each night, or \
             \"*/15 * * * *\"."
        );
        found.push(Diagnostic::error("Invalid cron pattern", detail).at(Policy::CRON));
    }
    let others = CALENDAR.iter().chain([&Policy::RETAIN_AGE]);
    if let (Some(count), Some(min)) = (policy.retention.count, policy.retention.min)
        && min > count
        && !others.into_iter().any(|name| is_set(name))
    {
        let detail = format!(
            "retain_min = {min} keeps more than retain_count = {count}, which is the only other rule and would never take \
             effect. Raise retain_count, or leave retain_min out."
        );
        found.push(
            Diagnostic::error("retain_min above retain_count", detail).at(Policy::RETAIN_MIN),
        );
    }
    if [Policy::INTERVAL, Policy::CRON, Policy::TIME_ZONE].iter().any(|name| is_unknown(name)) {
        return found;
    }
    let Ok(schedule) = policy.schedule(1.0) else { return found };
    // Any year has the same pauses, but for a leap day.
    let from = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(57 * 365 * 24);
    let pause = u64::try_from(schedule.longest_pause(from).as_secs()).unwrap_or(0);
    let told = told_duration(pause);
    if policy.stale_after_seconds.is_some_and(|seconds| seconds <= pause) {
        let detail = format!(
            "There are up to {told} between two snapshots, so with this stale_after the policy would be late while all is \
             well. Set it to more, e.g. twice as long."
        );
        found.push(Diagnostic::error("stale_after is too short", detail).at(Policy::STALE_AFTER));
    }
    if policy.retention.age_seconds.is_some_and(|seconds| seconds < pause) {
        let detail = format!(
            "There are up to {told} between two snapshots, so this retain_age keeps none but the newest (and what other rules \
             keep)."
        );
        found.push(Diagnostic::warning("retain_age is short", detail).at(Policy::RETAIN_AGE));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(attributes: &[(&'static str, Value)]) -> Vec<String> {
        let found = combinations(&Value::object(attributes.iter().cloned()));
        found.iter().map(|one| format!("{}: {}", one.summary, one.detail)).collect()
    }

    #[test]
    fn what_does_not_go_together_is_told_with_the_mend() {
        let text = |text: &str| Value::from(text);
        let rows: [(&[(&'static str, Value)], &str); 10] = [
            (&[], "No schedule: Nothing says"),
            (&[("interval", text("1h")), ("cron", text("0 2 * * *"))], "Two schedules"),
            (&[("interval", text("1h")), ("time_zone", text("UTC"))], "No use for a time zone"),
            (&[("cron", text("0 2 * * *")), ("time_zone", text("Berlin"))], "Invalid time zone"),
            (&[("cron", text("0 2 * *"))], "Invalid cron pattern: cron is \"0 2 * *\""),
            (&[("cron", text("0 0 30 2 *"))], "no moment that comes"),
            (
                &[("interval", text("1h")), ("retain_count", 3.into()), ("retain_min", 5.into())],
                "retain_min = 5 keeps more than retain_count = 3",
            ),
            (&[("interval", text("1h")), ("stale_after", text("1h"))], "up to 1 h between two"),
            (
                &[
                    ("cron", text("0 2 * * *")),
                    ("time_zone", text("Europe/Berlin")),
                    ("stale_after", text("24h")),
                ],
                "up to 25 h between two",
            ),
            (&[("interval", text("2d")), ("retain_age", text("1d"))], "retain_age is short"),
        ];
        for (attributes, expected) in rows {
            let told = told(attributes);
            assert!(told.len() == 1 && told[0].contains(expected), "{attributes:?}: {told:?}");
        }
    }

    #[test]
    fn what_goes_together_and_what_is_not_known_yet_is_left_alone() {
        let text = |text: &str| Value::from(text);
        let rows: [&[(&'static str, Value)]; 6] = [
            &[("interval", text("1h"))],
            &[("interval", text("1h")), ("time_zone", text("UTC")), ("retain_daily", 7.into())],
            &[("cron", text("0 2 * * *")), ("stale_after", text("2d"))],
            &[("interval", Value::unknown()), ("cron", text("0 2 * * *"))],
            &[("interval", Value::unknown()), ("stale_after", text("1m"))],
            &[("cron", text("0 2 * * *")), ("time_zone", Value::unknown())],
        ];
        for attributes in rows {
            assert_eq!(told(attributes), Vec::<String>::new(), "{attributes:?}");
        }
    }
}
