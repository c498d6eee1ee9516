//! Data source `hcs_consul_versions`: the releases of Consul that this provider knows.

use hcs_planner::releases;
use semver::Version;
use tfplugin::validate::text_rule;
use tfplugin::{Attr, Context, Diagnostics, Model, TypedDataSource, async_trait};

/// The releases of Consul that this version of the provider knows with their checksums. Nothing is asked for: another
/// version of the provider may know others.
#[derive(Model)]
pub(crate) struct ConsulVersions {
    /// Only versions to which a cluster of this one may be upgraded in one step.
    #[tf(validate = text_rule("an exact version", crate::cluster::exact_version))]
    upgrade_from: Attr<String>,
    /// Versions that a cluster may have, ascending.
    #[tf(computed)]
    versions: Attr<Vec<String>>,
    /// The newest of them; null where there is none.
    #[tf(computed)]
    newest_version: Attr<String>,
    /// What a new cluster gets that asks for none.
    #[tf(computed)]
    default_version: Attr<String>,
    /// Releases that hcs knows and passes over, with what is wrong with them.
    #[tf(computed)]
    faulty_versions: Attr<Vec<FaultyVersion>>,
}

/// A release that nobody should begin to run.
#[derive(Model)]
#[tf(computed)]
pub(crate) struct FaultyVersion {
    /// The release.
    version: Attr<String>,
    /// What is wrong with it.
    reason: Attr<String>,
}

/// The data source.
pub(crate) struct ConsulVersionsDataSource;

#[async_trait]
impl TypedDataSource for ConsulVersionsDataSource {
    type Model = ConsulVersions;

    fn type_name(&self) -> &'static str {
        "hcs_consul_versions"
    }

    async fn read(
        &self,
        _: &Context,
        config: ConsulVersions,
    ) -> Result<ConsulVersions, Diagnostics> {
        let from: Option<Version> = config.upgrade_from.known().and_then(|text| text.parse().ok());
        let fits = |version: &Version| match &from {
            None => releases::check_choice(version).is_ok(),
            Some(from) => version > from && releases::check_upgrade(from, version).is_ok(),
        };
        let all = releases::versions();
        let versions: Vec<String> =
            all.iter().filter(|version| fits(version)).map(ToString::to_string).collect();
        let faulty = all.iter().filter_map(|version| {
            let reason = releases::fault(version)?;
            Some(FaultyVersion { version: version.to_string().into(), reason: reason.into() })
        });
        Ok(ConsulVersions {
            newest_version: versions.last().cloned().into(),
            default_version: releases::default_version().to_string().into(),
            faulty_versions: faulty.collect::<Vec<_>>().into(),
            versions: versions.into(),
            upgrade_from: config.upgrade_from,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(upgrade_from: Attr<String>) -> ConsulVersions {
        let config = ConsulVersions {
            upgrade_from,
            versions: Attr::Null,
            newest_version: Attr::Null,
            default_version: Attr::Null,
            faulty_versions: Attr::Null,
        };
        ConsulVersionsDataSource.read(&Context::new(), config).await.unwrap()
    }

    #[tokio::test]
    async fn versions_are_sound_and_ascend() {
        let all = read(Attr::Null).await;
        let versions = all.versions.known().unwrap();
        let parsed: Vec<Version> = versions.iter().map(|text| text.parse().unwrap()).collect();
        assert!(parsed.is_sorted() && parsed.len() > 10);
        assert!(parsed.iter().all(|version| releases::fault(version).is_none()));
        assert_eq!(all.newest_version.known(), versions.last());
        assert!(versions.contains(all.default_version.known().unwrap()));
        assert!(!all.faulty_versions.known().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_upgrade_goes_forward_and_by_the_rules() {
        let mut steps = 0;
        for from in releases::versions() {
            let next = read(from.to_string().into()).await.versions.into_known().unwrap();
            steps += next.len();
            for version in next {
                let version = version.parse().unwrap();
                let is_allowed = releases::check_upgrade(&from, &version).is_ok();
                assert!(version > from && is_allowed, "{from} to {version}");
            }
        }
        assert!(steps > 20, "{steps}");
    }
}
