//! An apply that upgrades Consul outside of the cluster's maintenance windows: told while planning, refused before the first
//! write.

use hcs_engine::clock::Clock;
use hcs_planner::spec::ClusterSpec;
use hcs_planner::upgrade::work;
use jiff::Timestamp;
use semver::Version;
use tfplugin::{Diagnostic, Value};

use super::model::Cluster;

/// An upgrade that has to wait.
pub(super) struct Closed {
    from: Version,
    to: Version,
    opens: Option<Timestamp>,
}

/// Why this upgrade may not happen now, where it may not. Whoever names the version explicitly is not bound.
pub(super) fn closed(prior: &Value, spec: &ClusterSpec, clock: &dyn Clock) -> Option<Closed> {
    let from: Version = prior.get(Cluster::CONSUL_VERSION).as_str()?.parse().ok()?;
    let to = &spec.consul_version;
    let is_meant = spec.ignore_maintenance_windows_for.as_ref() == Some(to);
    if *to <= from || is_meant || spec.maintenance.is_none() {
        return None;
    }
    let now = Timestamp::from_millisecond(i64::try_from(clock.now_unix_ms()).ok()?).ok()?;
    let opens = spec.maintenance.schedule().begins(work(&from, to), now);
    if opens == Some(now) {
        return None;
    }
    Some(Closed { from, to: to.clone(), opens })
}

impl Closed {
    fn when(&self) -> String {
        self.opens.map_or_else(
            || "none comes in the next two years".to_owned(),
            |opens| format!("the next one opens at {opens}"),
        )
    }

    fn otherwise(&self) -> String {
        format!(
            "or set ignore_maintenance_windows_for = {:?}, for this version alone",
            self.to.to_string()
        )
    }

    /// For a plan, which may be applied later.
    pub(super) fn warning(&self) -> Diagnostic {
        Diagnostic::warning(
            "This upgrade waits for a maintenance window",
            format!(
                "Consul goes from {} to {}, and no maintenance window is open now, or it is almost over: {}. An apply before then is refused. \
                 Apply in the window, {}.",
                self.from,
                self.to,
                self.when(),
                self.otherwise()
            ),
        )
        .at(Cluster::CONSUL_VERSION)
    }

    /// For an apply. Nothing was changed.
    pub(super) fn error(&self) -> Diagnostic {
        Diagnostic::error(
            "No maintenance window is open",
            format!(
                "This apply would upgrade Consul from {} to {} outside of the cluster's maintenance windows: {}. Nothing \
                 was changed. Apply again in the window, {}.",
                self.from,
                self.to,
                self.when(),
                self.otherwise()
            ),
        )
        .at(Cluster::CONSUL_VERSION)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use hcs_planner::maintenance::Window;
    use std::time::Duration;

    use super::*;

    struct At(Timestamp);

    #[async_trait]
    impl Clock for At {
        fn now_unix_ms(&self) -> u64 {
            u64::try_from(self.0.as_millisecond()).unwrap()
        }

        fn monotonic_ms(&self) -> u64 {
            0
        }

        async fn sleep(&self, _duration: Duration) {}
    }

    #[test]
    fn an_upgrade_waits_for_a_window_unless_its_version_is_named() {
        let window = Window {
            days: vec!["Sunday".to_owned()],
            start: "02:00".to_owned(),
            duration_seconds: 3600,
            time_zone: "UTC".to_owned(),
        };
        let mut spec = ClusterSpec::new("s", "demo", "rg", "westeurope");
        spec.consul_version = Version::new(1, 22, 7);
        spec.maintenance.windows = vec![window];
        let prior =
            |version: &str| Value::object([(Cluster::CONSUL_VERSION, Value::from(version))]);
        let (saturday, sunday) = (
            At("2026-11-28T12:00:00Z".parse().unwrap()),
            At("2026-11-29T02:30:00Z".parse().unwrap()),
        );
        let told = closed(&prior("1.22.6"), &spec, &saturday).unwrap().error();
        for part in [
            "from 1.22.6 to 1.22.7",
            "opens at 2026-11-29T02:00:00Z",
            "ignore_maintenance_windows_for = \"1.22.7\"",
        ] {
            assert!(told.detail.contains(part), "{}", told.detail);
        }
        assert!(closed(&prior("1.22.6"), &spec, &sunday).is_none(), "it is open");
        let almost_over = At("2026-11-29T02:55:00Z".parse().unwrap());
        let told = closed(&prior("1.22.6"), &spec, &almost_over).unwrap().error();
        assert!(told.detail.contains("opens at 2026-12-06T02:00:00Z"), "{}", told.detail);
        assert!(closed(&prior("1.22.7"), &spec, &saturday).is_none(), "nothing is upgraded");
        assert!(closed(&Value::Null, &spec, &saturday).is_none(), "a create");
        spec.ignore_maintenance_windows_for = Some(Version::new(1, 22, 5));
        assert!(closed(&prior("1.22.6"), &spec, &saturday).is_some(), "another version was meant");
        spec.ignore_maintenance_windows_for = Some(Version::new(1, 22, 7));
        assert!(closed(&prior("1.22.6"), &spec, &saturday).is_none());
    }
}
