//! Where a snapshot lies: `<storage container id>/blobs/<path>`, readable with no cluster and no state.

use crate::arm::{ArmId, Kind, split_once_without_case};
use crate::dataplane::{blob, container};
use crate::names::{parse_cluster_id, storage_account};

const BLOBS: &str = "/blobs/";
const CONTAINERS: &str = "/blobServices/default/containers/";
/// One snapshot in some account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotId {
    /// Storage account.
    pub account: ArmId,
    /// Container in it.
    pub container: String,
    /// Blob in that.
    pub path: String,
}

impl SnapshotId {
    /// The snapshot of this path in a cluster's own account.
    pub fn of_cluster(cluster_id: &ArmId, path: String) -> Self {
        Self {
            account: storage_account(cluster_id),
            container: container::SNAPSHOTS.to_owned(),
            path,
        }
    }

    /// The one that somebody asked for under this name.
    pub fn named(cluster_id: &ArmId, name: &str) -> Self {
        Self::of_cluster(cluster_id, format!("{}{name}.snap", blob::ON_DEMAND))
    }

    /// The cluster whose account it is: the managed group that holds it.
    pub fn cluster_id(&self) -> Option<ArmId> {
        let (group, _) = split_once_without_case(self.account.as_str(), "/providers/")?;
        let cluster_id = parse_cluster_id(group).ok()?;
        (storage_account(&cluster_id) == self.account).then_some(cluster_id)
    }

    /// The name that somebody gave it; none for those of policies.
    pub fn name(&self) -> Option<&str> {
        self.path.strip_prefix(blob::ON_DEMAND)?.strip_suffix(".snap")
    }

    /// Reads an id.
    ///
    /// # Errors
    ///
    /// Where it is none, in one sentence with the form that it has.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not the id of a snapshot. It has the form <storage account id>{CONTAINERS}<container>{BLOBS}<path>, \
                 as hcs_snapshot.id and hcs_snapshots have it."
            )
        };
        let (account, rest) = split_once_without_case(text, CONTAINERS).ok_or_else(wrong)?;
        let (container, path) = split_once_without_case(rest, BLOBS).ok_or_else(wrong)?;
        let account = ArmId::new(account);
        let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        let fits = account.is_a(Kind::StorageAccount)
            && is_plain(container)
            && !container.contains('/')
            && path.split('/').all(is_plain);
        if !fits {
            return Err(wrong());
        }
        Ok(Self { account, container: container.to_owned(), path: path.to_owned() })
    }
}

impl std::fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { account, container, path } = self;
        write!(f, "{account}{CONTAINERS}{container}{BLOBS}{path}")
    }
}

/// Account and name of a container, by its ARM id.
///
/// # Errors
///
/// Where it is none, in one sentence with the form that it has.
pub fn parse_container(text: &str) -> Result<(ArmId, String), String> {
    let id = ArmId::new(text);
    let parts = split_once_without_case(id.as_str(), CONTAINERS);
    let Some((account, _)) = parts.filter(|_| id.is_a(Kind::BlobContainer)) else {
        let instead = if text.starts_with("https://") {
            " A URL does not say in which subscription and group the account is."
        } else {
            ""
        };
        return Err(format!(
            "{text:?} is not the id of a storage container. It has the form <storage account id>{CONTAINERS}<name>, as \
             azurerm_storage_container.example.id has it.{instead}"
        ));
    };
    Ok((ArmId::new(account), id.name().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str =
        "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-demo";

    #[test]
    fn an_id_is_written_as_it_is_read() {
        let id = SnapshotId::named(&ArmId::new(CLUSTER), "before-migration");
        let text = id.to_string();
        assert!(text.ends_with(
            "/blobServices/default/containers/snapshots/blobs/~on-demand/before-migration.snap"
        ));
        assert_eq!(SnapshotId::parse(&text).unwrap(), id);
        assert_eq!(id.name(), Some("before-migration"));
        assert_eq!(id.cluster_id(), Some(ArmId::new(CLUSTER)));
        let shouted = text
            .replace("resourceGroups", "RESOURCEGROUPS")
            .replace("blobServices", "BLOBSERVICES");
        assert_eq!(SnapshotId::parse(&shouted).unwrap().path, id.path);
        let of_policy = SnapshotId::of_cluster(&ArmId::new(CLUSTER), "hourly/x.snap".to_owned());
        assert_eq!(of_policy.name(), None);
        for wrong in [
            "",
            CLUSTER,
            "https://acct.blob.core.windows.net/snapshots/x.snap",
            &text.replace("~on-demand/", "~on-demand/../"),
            &text.replace("/blobs/", "/"),
            &text.replace("storageAccounts", "virtualNetworks"),
        ] {
            assert!(SnapshotId::parse(wrong).unwrap_err().contains("has the form"), "{wrong}");
        }
        let elsewhere = SnapshotId {
            account: ArmId::new(CLUSTER).resource("Microsoft.Storage/storageAccounts", "mine"),
            ..id
        };
        assert_eq!(elsewhere.cluster_id(), None, "an account of somebody");
    }

    /// Lower case may be longer or shorter than what it is of: letters of groups are any that Unicode has.
    #[test]
    fn ids_with_letters_of_any_alphabet_are_read_or_refused() {
        let container = format!(
            "{CLUSTER}/providers/Microsoft.Storage/storageAccounts/acct{CONTAINERS}backups"
        );
        for letters in ["İİİ", "ẞẞẞ", "KKK", "ö", "山"] {
            let of_group = container.replace("rg-demo", letters);
            let (account, name) = parse_container(&of_group).unwrap();
            assert_eq!(format!("{account}{CONTAINERS}{name}"), of_group);
            let text = format!("{of_group}/blobs/{letters}.snap");
            assert_eq!(SnapshotId::parse(&text).unwrap().to_string(), text);
            for wrong in [
                letters.to_owned(),
                format!("{letters}{CONTAINERS}"),
                format!("{letters}{CONTAINERS}{letters}/blobs/"),
            ] {
                assert!(SnapshotId::parse(&wrong).is_err(), "{wrong}");
                assert!(parse_container(&wrong).is_err(), "{wrong}");
            }
        }
    }
}
