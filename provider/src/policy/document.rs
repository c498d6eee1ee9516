//! A policy as Terraform's values, and as the document that the servers read.

use hcs_planner::snapshots::policy::{OnDelete, SnapshotPolicyDocument};
use hcs_planner::snapshots::retention::Retention;
use tfplugin::{Value, parse_duration};

use super::model::{NAME, Policy};

fn seconds(value: &Value, name: &str) -> Option<u64> {
    Some(parse_duration(value.get(name).as_str()?).ok()?.as_secs())
}

/// What a plan or a configuration says; what is not known yet is left out, and so is the place, which is looked at first.
pub(super) fn read(value: &Value) -> SnapshotPolicyDocument {
    let text = |name: &str| value.get(name).as_str().map(str::to_owned);
    let count = |name: &str| value.get(name).as_i64().and_then(|count| u32::try_from(count).ok());
    SnapshotPolicyDocument {
        interval_seconds: seconds(value, Policy::INTERVAL),
        cron: text(Policy::CRON),
        time_zone: text(Policy::TIME_ZONE),
        retention: Retention {
            count: count(Policy::RETAIN_COUNT),
            age_seconds: seconds(value, Policy::RETAIN_AGE),
            min: count(Policy::RETAIN_MIN),
            hourly: count(Policy::RETAIN_HOURLY),
            daily: count(Policy::RETAIN_DAILY),
            weekly: count(Policy::RETAIN_WEEKLY),
            monthly: count(Policy::RETAIN_MONTHLY),
            yearly: count(Policy::RETAIN_YEARLY),
        },
        enabled: value.get(Policy::ENABLED).as_bool().unwrap_or(true),
        before_upgrade: value.get(Policy::BEFORE_UPGRADE).as_bool().unwrap_or(false),
        stale_after_seconds: seconds(value, Policy::STALE_AFTER),
        drill_interval_seconds: seconds(value, Policy::DRILL_INTERVAL),
        on_delete: match value.get(Policy::ON_DELETE).as_str() {
            Some("purge") => OnDelete::Purge,
            _ => OnDelete::Keep,
        },
        ..SnapshotPolicyDocument::named(value.get(Policy::NAME).as_str().unwrap_or(NAME))
    }
}

/// Writes what the servers read into a state. A spelling of the same duration stays: "60m" is no change to "1h".
pub(super) fn write(policy: &SnapshotPolicyDocument, state: &mut Value) {
    let durations = [
        (Policy::INTERVAL, policy.interval_seconds),
        (Policy::RETAIN_AGE, policy.retention.age_seconds),
        (Policy::STALE_AFTER, policy.stale_after_seconds),
        (Policy::DRILL_INTERVAL, policy.drill_interval_seconds),
    ];
    for (name, wanted) in durations {
        if wanted.is_none() || seconds(state, name) != wanted {
            state.set(name, Value::from(wanted.map(render)));
        }
    }
    let counts = [
        (Policy::RETAIN_COUNT, policy.retention.count),
        (Policy::RETAIN_MIN, policy.retention.min),
        (Policy::RETAIN_HOURLY, policy.retention.hourly),
        (Policy::RETAIN_DAILY, policy.retention.daily),
        (Policy::RETAIN_WEEKLY, policy.retention.weekly),
        (Policy::RETAIN_MONTHLY, policy.retention.monthly),
        (Policy::RETAIN_YEARLY, policy.retention.yearly),
    ];
    for (name, count) in counts {
        state.set(name, Value::from(count.map(i64::from)));
    }
    state.set(Policy::CRON, Value::from(policy.cron.clone()));
    state.set(Policy::TIME_ZONE, Value::from(policy.time_zone.clone()));
    state.set(Policy::ENABLED, policy.enabled);
    state.set(Policy::BEFORE_UPGRADE, policy.before_upgrade);
    let container_id = policy.place.as_ref().map(|place| place.container_id.clone());
    state.set(Policy::STORAGE_CONTAINER_ID, Value::from(container_id));
    state.set(Policy::ON_DELETE, policy.on_delete.as_str());
    state.set(Policy::INCARNATION_ID, Value::from(policy.incarnation_id.clone()));
}

/// The largest unit that divides it.
fn render(seconds: u64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        if seconds > 0 && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rendered_in_their_largest_unit() {
        let table = [(60, "1m"), (90, "90s"), (3600, "1h"), (5400, "90m"), (86_400, "1d")];
        for (seconds, text) in table {
            assert_eq!(render(seconds), text);
        }
    }

    #[test]
    fn what_the_servers_read_comes_back_as_it_was_declared() {
        let declared = Value::object([
            ("name", Value::from("nightly")),
            ("cron", "0 2 * * *".into()),
            ("time_zone", "Europe/Berlin".into()),
            ("retain_age", "48h".into()),
            ("retain_min", 2.into()),
            ("retain_daily", 7.into()),
            ("retain_yearly", 3.into()),
            ("enabled", false.into()),
            ("before_upgrade", true.into()),
            ("stale_after", "36h".into()),
            ("drill_interval", "7d".into()),
            ("on_delete", "purge".into()),
        ]);
        let policy = read(&declared);
        let mut state = Value::object([("name", Value::from("nightly"))]);
        write(&policy, &mut state);
        assert_eq!(read(&state), policy);
        assert_eq!(state.get("retain_age").as_str(), Some("2d"));
        let mut kept = declared.clone();
        write(&policy, &mut kept);
        assert_eq!(kept.get("retain_age").as_str(), Some("48h"), "the spelling stays");
        assert!(kept.get("interval").is_null() && kept.get("retain_count").is_null());
    }
}
