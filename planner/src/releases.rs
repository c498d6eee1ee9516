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
}
