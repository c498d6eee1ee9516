//! Consul releases that are known with their checksums.
//!
//! `data/consul-releases.tsv` holds version, platform and SHA-256 of the archives that HashiCorp publishes.

use semver::Version;

const RELEASES: &str = include_str!("../data/consul-releases.tsv");

/// SHA-256 of the Linux archive of `version` for `architecture` (`amd64`, `arm64`), lower-case hex.
pub fn archive_sha256(version: &Version, architecture: &str) -> Option<&'static str> {
    let platform = format!("linux_{architecture}");
    rows().find(|(v, p, _)| *v == *version && *p == platform).map(|(_, _, sum)| sum)
}

/// Known versions, ascending.
pub fn versions() -> Vec<Version> {
    let mut versions: Vec<Version> = rows().map(|(version, _, _)| version).collect();
    versions.sort();
    versions.dedup();
    versions
}

/// The newest known release: what a cluster gets that asks for none.
pub fn newest() -> Version {
    versions().pop().unwrap_or(Version::new(0, 0, 0))
}

/// Consul does not go from one version to another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeRefused {
    /// Its data would be read by an older version than wrote it.
    #[error(
        "the cluster runs Consul {from}, and Consul does not go back to {to}: its data may hold what {to} cannot read; \
         stay at {from}, or restore a snapshot that {to} took into another cluster"
    )]
    Downgrade {
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

/// Whether running servers may go from one version to another: never back, and at most two release series (1.20 to
/// 1.22) at a time, as Consul's upgrade page says.
pub fn check_upgrade(from: &Version, to: &Version) -> Result<(), Box<UpgradeRefused>> {
    const SERIES_MAX: usize = 2;
    if to == from {
        return Ok(());
    }
    if to < from {
        return Err(Box::new(UpgradeRefused::Downgrade { from: from.clone(), to: to.clone() }));
    }
    let series = |version: &Version| (version.major, version.minor);
    let mut between: Vec<(u64, u64)> = versions().iter().map(series).collect();
    between.extend([series(from), series(to)]);
    between.sort_unstable();
    between.dedup();
    between.retain(|other| series(from) < *other && *other <= series(to));
    if between.len() <= SERIES_MAX {
        return Ok(());
    }
    let reachable = between[SERIES_MAX - 1];
    let newest = versions().into_iter().rfind(|version| series(version) == reachable);
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
        assert!(newest() >= Version::new(2, 0, 2));
        assert!(archive_sha256(&newest(), "amd64").is_some());
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
