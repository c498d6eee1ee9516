//! Consul releases that are known with their checksums.
//!
//! `data/consul-releases.tsv` holds version, platform and SHA-256 of the archives that HashiCorp publishes.

use std::sync::LazyLock;

use semver::Version;

const RELEASES: &str = include_str!("../data/consul-releases.tsv");

/// SHA-256 of the Linux archive of `version` for `architecture` (`amd64`, `arm64`), lower-case hex.
pub fn archive_sha256(version: &Version, architecture: &str) -> Option<&'static str> {
    let platform = format!("linux_{architecture}");
    rows().find(|(v, p, _)| *v == *version && *p == platform).map(|(_, _, sum)| sum)
}

/// Servers ask for them in each round.
static KNOWN: LazyLock<Vec<Version>> = LazyLock::new(|| {
    let mut versions: Vec<Version> = rows().map(|(version, _, _)| version).collect();
    versions.sort();
    versions.dedup();
    versions
});

/// Known versions, ascending.
pub fn versions() -> Vec<Version> {
    KNOWN.clone()
}

/// The newest series that hcs has really run: made, changed, upgraded, restored. Its last build was one of Consul's main
/// branch between 1.22 and 2.0.
const NEWEST_RUN: (u64, u64) = (1, 22);

/// What a cluster gets that asks for none: the newest sound release of the newest series that was run.
pub fn default_version() -> Version {
    let is_run = |version: &Version| series(version) <= NEWEST_RUN && fault(version).is_none();
    versions().into_iter().rfind(is_run).unwrap_or(Version::new(0, 0, 0))
}

/// What a cluster is to run whose declaration names no version, but maybe the oldest one that will do: what it runs while
/// that suffices, else the default, and where that is too old or too far away, the oldest one that will do.
pub fn undeclared(runs: Option<Version>, floor: Option<Version>) -> Version {
    let suffices = |version: &Version| floor.as_ref().is_none_or(|floor| version >= floor);
    let default = default_version();
    let is_near = runs.as_ref().is_none_or(|runs| check_upgrade(runs, &default).is_ok());
    let is_default_fit = suffices(&default) && is_near;
    match (runs.filter(suffices), floor) {
        (Some(runs), _) => runs,
        (None, Some(floor)) if !is_default_fit => floor,
        (None, _) => default,
    }
}

/// The newest known release.
pub fn newest() -> Version {
    KNOWN.last().cloned().unwrap_or(Version::new(0, 0, 0))
}

fn series(version: &Version) -> (u64, u64) {
    (version.major, version.minor)
}

/// What is wrong with a release that nobody should begin to run, by Consul's change log and issues.
pub fn fault(version: &Version) -> Option<&'static str> {
    Some(match (version.major, version.minor, version.patch) {
        (1, 9, 0..=2) => "a restored snapshot stops Autopilot",
        (1, 9, 3..=5) => "a snapshot keeps only the first auth method",
        (1, 11, 9) | (1, 12, 1) => "blocking queries of KV end with an error",
        (1, 13, 0) => "it cannot load the state of an older version that has mesh proxies",
        (1, 14, 0) => "Envoy cannot be configured through its gRPC port with TLS",
        (1, 15, 0..=1) => {
            "certificates of proxies stop renewing after three days, and the write-ahead log panics on a restore"
        }
        (1, 16, 0..=1) => "restoring a snapshot is broken",
        (1, 16, 5) | (1, 17, 2) => "terminating gateways get certificates with wrong names",
        (1, 18, 0..=1) => "it does not start as a system service, for want of $HOME",
        (1, 15, 15) | (1, 18, 5) | (1, 19, 3) | (1, 20, 1) => {
            "Envoy begins to rewrite paths, which changes what intentions of layer 7 match"
        }
        (1, 22, 4) => "every answer is cut after 30 seconds, snapshots too",
        _ => return None,
    })
}

/// The first sound release after a faulty one: of its series if that is known, else of the next.
fn mended(version: &Version) -> Option<Version> {
    let mut later =
        versions().into_iter().filter(|other| other > version && fault(other).is_none());
    later.next()
}

/// Consul is not taken into use, or does not go from one version to another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeRefused {
    /// Its data would be read by an older version than wrote it.
    #[error(
        "the cluster runs Consul {from}, and Consul does not go back to {to}: its data may hold what {to} cannot read; \
         stay at {from}, or restore a snapshot that {to} took into another cluster. An upgrade to {from} that has stopped \
         can be taken back by `hcs upgrade take-back`"
    )]
    Downgrade {
        /// What runs.
        from: Version,
        /// What was asked for.
        to: Version,
    },
    /// A way that has to end before another begins.
    #[error(
        "the way from Consul {from} to {to} has stopped at a server that is not healthy, and none to {wanted} begins \
         before it is: `hcs status` says why; mend the server, or go back to {from} by `hcs upgrade take-back`, then \
         apply again"
    )]
    Stopped {
        /// From.
        from: Version,
        /// To.
        to: Version,
        /// What was asked for.
        wanted: Version,
    },
    /// A release that nobody should begin to run.
    #[error("Consul {version} has a fault: {fault}; take {} instead", instead(mended.as_ref()))]
    Faulty {
        /// What was asked for.
        version: Version,
        /// What is wrong with it.
        fault: &'static str,
        /// What to take.
        mended: Option<Version>,
    },
    /// The oldest series have one way out.
    #[error(
        "the cluster runs Consul {from}, and from 1.8 and 1.9 Consul goes to {} first, then on to {to}",
        OLD_STEP
    )]
    OldStep {
        /// What runs.
        from: Version,
        /// What was asked for.
        to: Version,
    },
    /// Too many releases in between.
    #[error(
        "the cluster runs Consul {from}, and {to} is {series} release series on, where Consul goes at most two at a \
         time; go to {between} first"
    )]
    TooFar {
        /// What runs.
        from: Version,
        /// What was asked for.
        to: Version,
        /// How many series on.
        series: usize,
        /// The newest that can be gone to at once.
        between: Version,
    },
}

/// The step out of 1.8 and 1.9 that Consul's upgrade page prescribes.
const OLD_STEP: Version = Version::new(1, 10, 12);

fn instead(version: Option<&Version>) -> String {
    version.map_or_else(|| "a later release".to_owned(), Version::to_string)
}

/// Whether a version may be taken into use where nothing runs.
pub fn check_choice(version: &Version) -> Result<(), Box<UpgradeRefused>> {
    let Some(fault) = fault(version) else { return Ok(()) };
    let mended = mended(version);
    Err(Box::new(UpgradeRefused::Faulty { version: version.clone(), fault, mended }))
}

/// Whether running servers may go from one version to another: never back, to none with a known fault, and at most two
/// release series (1.20 to 1.22) at a time, as Consul's upgrade page says. What runs may go on running.
pub fn check_upgrade(from: &Version, to: &Version) -> Result<(), Box<UpgradeRefused>> {
    const SERIES_MAX: usize = 2;
    if to == from {
        return Ok(());
    }
    if to < from {
        return Err(Box::new(UpgradeRefused::Downgrade { from: from.clone(), to: to.clone() }));
    }
    check_choice(to)?;
    let is_old = series(from) <= (1, 9) && series(to) > series(from);
    if is_old && (series(to) != series(&OLD_STEP) || *to < OLD_STEP) {
        return Err(Box::new(UpgradeRefused::OldStep { from: from.clone(), to: to.clone() }));
    }
    let mut between: Vec<(u64, u64)> = KNOWN.iter().map(series).collect();
    between.extend([series(from), series(to)]);
    between.sort_unstable();
    between.dedup();
    between.retain(|other| series(from) < *other && *other <= series(to));
    if between.len() <= SERIES_MAX {
        return Ok(());
    }
    let reachable = between[SERIES_MAX - 1];
    let is_between = |version: &Version| series(version) == reachable && fault(version).is_none();
    let newest = versions().into_iter().rfind(is_between);
    Err(Box::new(UpgradeRefused::TooFar {
        from: from.clone(),
        to: to.clone(),
        series: between.len(),
        between: newest.unwrap_or(Version::new(reachable.0, reachable.1, 0)),
    }))
}

/// File name of the Linux archive.
pub fn archive_name(version: &Version, architecture: &str) -> String {
    format!("consul_{version}_linux_{architecture}.zip")
}

/// Where HashiCorp publishes an archive.
pub fn archive_url(version: &Version, architecture: &str) -> String {
    let name = archive_name(version, architecture);
    format!("https://releases.hashicorp.com/consul/{version}/{name}")
}

fn rows() -> impl Iterator<Item = (Version, &'static str, &'static str)> {
    RELEASES.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        Some((Version::parse(fields.next()?).ok()?, fields.next()?, fields.next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_version_a_platform_and_a_sum() {
        let lines = RELEASES.lines().filter(|line| !line.trim().is_empty()).count();
        assert_eq!(rows().count(), lines);
        assert!(rows().all(|(_, _, sum)| sum.len() == 64));
        assert!(newest() >= Version::new(2, 0, 3));
        for version in [newest(), default_version()] {
            assert!(archive_sha256(&version, "amd64").is_some(), "{version}");
        }
    }

    #[test]
    fn a_cluster_that_asks_for_none_gets_the_newest_that_was_run() {
        assert_eq!(default_version(), Version::new(1, 22, 7));
    }

    /// By hand: what runs, the floor, what is to run.
    #[test]
    fn a_floor_moves_nobody_who_is_above_it() {
        let rows = [
            (None, None, "1.22.7"),
            (None, Some("1.21.5"), "1.22.7"),
            (None, Some("2.0.3"), "2.0.3"),
            (Some("1.21.5"), None, "1.21.5"),
            (Some("1.21.5"), Some("1.21.5"), "1.21.5"),
            (Some("2.0.3"), Some("1.21.5"), "2.0.3"),
            (Some("1.21.5"), Some("1.22.2"), "1.22.7"),
            // The default is too far away for one step.
            (Some("1.18.2"), Some("1.19.4"), "1.19.4"),
        ];
        for (runs, floor, expected) in rows {
            let version = |text: Option<&str>| text.map(|text| text.parse().unwrap());
            let chosen = undeclared(version(runs), version(floor));
            assert_eq!(chosen.to_string(), expected, "{runs:?} {floor:?}");
        }
    }

    /// Releases that Consul's change log and issues call faulty, and what mends each.
    #[test]
    fn a_faulty_release_is_passed_over_and_refused_with_what_is_wrong() {
        let rows = [
            ("1.9.0", "1.9.6"),
            ("1.9.5", "1.9.6"),
            ("1.11.9", "1.11.10"),
            ("1.12.1", "1.12.2"),
            ("1.13.0", "1.13.1"),
            ("1.14.0", "1.14.1"),
            ("1.15.1", "1.15.2"),
            ("1.16.0", "1.16.2"),
            ("1.17.2", "1.17.3"),
            ("1.18.0", "1.18.2"),
            ("1.20.1", "1.20.2"),
            ("1.22.4", "1.22.5"),
        ];
        for (faulty, instead) in rows {
            let told = check_choice(&faulty.parse().unwrap()).unwrap_err().to_string();
            assert!(told.ends_with(&format!("take {instead} instead")), "{told}");
            let (runs, faulty) = (faulty.parse().unwrap(), faulty.parse().unwrap());
            assert_eq!(check_upgrade(&runs, &faulty), Ok(()), "what runs goes on");
        }
        let into = check_upgrade(&Version::new(1, 22, 2), &Version::new(1, 22, 4)).unwrap_err();
        assert!(into.to_string().contains("30 seconds"), "{into}");
        for sound in ["1.8.7", "1.10.12", "1.15.2", "1.21.5", "1.22.5", "1.23.0-dev", "2.0.3"] {
            assert_eq!(check_choice(&sound.parse().unwrap()), Ok(()), "{sound}");
        }
    }

    #[test]
    fn the_oldest_series_go_by_1_10_12() {
        let check =
            |from: &str, to: &str| check_upgrade(&from.parse().unwrap(), &to.parse().unwrap());
        for (from, to) in [("1.8.7", "1.8.19"), ("1.8.7", "1.10.12"), ("1.9.17", "1.10.12")] {
            assert_eq!(check(from, to), Ok(()), "{from} -> {to}");
        }
        for to in ["1.9.17", "1.10.5", "1.11.11", "1.22.7"] {
            let told = check("1.8.7", to).unwrap_err().to_string();
            assert!(told.contains("goes to 1.10.12 first"), "{told}");
        }
        assert_eq!(check("1.10.12", "1.12.3"), Ok(()));
    }

    #[test]
    fn consul_goes_forward_two_series_at_a_time() {
        let version = |text: &str| Version::parse(text).unwrap();
        let check = |from: &str, to: &str| check_upgrade(&version(from), &version(to));
        assert_eq!(check("1.20.1", "1.20.1"), Ok(()));
        assert_eq!(check("1.20.1", "1.22.2"), Ok(()));
        let back = check("1.22.2", "1.22.1").unwrap_err().to_string();
        assert!(back.contains("does not go back to 1.22.1"), "{back}");
        let far = check("1.18.0", "1.22.2").unwrap_err().to_string();
        assert!(far.contains("go to 1.20."), "{far}");
    }
}
