//! Where a policy's snapshots lie when that is not the cluster's own account.

use serde::{Deserialize, Serialize};

use super::id::parse_container;
use super::policy::SnapshotPolicyDocument;
use crate::dataplane::container;

/// A container of somebody, and this cluster's folder in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPlace {
    /// ARM id of the container, as it was declared.
    pub container_id: String,
    /// Blob endpoint of its account (`properties.primaryEndpoints.blob`, verbatim).
    pub blob_endpoint: String,
    /// Folder of this cluster's snapshots, and of nobody else's; without a slash at its end.
    pub folder: String,
    /// RFC 3339: when the policy began to use it. The servers' right to write there needs some minutes to spread.
    pub since: String,
}

impl PolicyPlace {
    /// The folder of a cluster. One that is made again under its name has another one: what it keeps never takes away what
    /// the one before it has left.
    pub fn folder_of(cluster_name: &str, incarnation_id: &str) -> String {
        let short = incarnation_id.split('-').next().unwrap_or_default();
        format!("{cluster_name}-{short}")
    }

    /// Whether it is in this container, however that is spelled.
    pub fn is_in(&self, container_id: &str) -> bool {
        self.container_id.eq_ignore_ascii_case(container_id)
    }

    /// Container and folder, for comparing.
    pub fn told(&self) -> String {
        format!("{}/{}", self.container_id.to_lowercase(), self.folder)
    }

    /// Whether the blob endpoint is that of the container's account, as far as the cluster's own shows it: a token that
    /// opens the cluster's secrets goes to no other host. Either the account's name stands where the own one's does, or the
    /// account is in a zone of Azure's own naming.
    pub fn is_of_its_account(&self, own_endpoint: &str) -> bool {
        let Ok((account, _)) = parse_container(&self.container_id) else { return false };
        let account = account.name().to_lowercase();
        let bare = |endpoint: &str| endpoint.trim_end_matches('/').to_lowercase();
        let (own, named) = (bare(own_endpoint), bare(&self.blob_endpoint));
        let Some(host) = own.strip_prefix("https://") else { return false };
        let expected = match host.split_once('/') {
            Some((host, _)) => format!("https://{host}/{account}"),
            None => {
                let domain = host.split_once('.').map_or("", |(_, domain)| domain);
                format!("https://{account}.{domain}")
            }
        };
        let zone = named
            .strip_prefix(&format!("https://{account}."))
            .and_then(|rest| rest.strip_suffix(".blob.storage.azure.net"));
        let is_zone = zone.is_some_and(|zone| {
            zone.len() > 1 && zone.starts_with('z') && zone[1..].chars().all(|c| c.is_ascii_digit())
        });
        named == expected || is_zone
    }

    /// Name of the container.
    pub fn container(&self) -> &str {
        self.container_id.rsplit('/').next().unwrap_or_default()
    }
}

impl SnapshotPolicyDocument {
    /// Name of the container that its snapshots are in.
    pub fn container(&self) -> &str {
        self.place.as_ref().map_or(container::SNAPSHOTS, PolicyPlace::container)
    }

    /// Folder of its snapshots in there, without a slash at its end.
    pub fn folder(&self) -> String {
        match &self.place {
            Some(place) => format!("{}/{}", place.folder, self.name),
            None => self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshots::time_of;

    #[test]
    fn a_token_goes_to_the_containers_own_account_only() {
        let own = "https://hcs0a1b.blob.core.windows.net/";
        let local = "https://127.0.0.1:4711/hcs0a1b/";
        let rows = [
            (own, "https://backups.blob.core.windows.net/", true),
            (own, "https://BACKUPS.blob.core.windows.net", true),
            (own, "https://backups.z12.blob.storage.azure.net/", true),
            (own, "https://other.blob.core.windows.net/", false),
            (own, "https://backups.blob.core.windows.net.evil.example/", false),
            (own, "https://backups.evil.blob.storage.azure.net/", false),
            (own, "https://evil.example/backups", false),
            (own, "http://backups.blob.core.windows.net/", false),
            (local, "https://127.0.0.1:4711/backups/", true),
            (local, "https://127.0.0.1:4712/backups/", false),
            (local, "https://127.0.0.1:4711/backups/more", false),
        ];
        for (own, endpoint, expected) in rows {
            let place = PolicyPlace {
                container_id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/backups/blobServices/default/containers/consul".to_owned(),
                blob_endpoint: endpoint.to_owned(),
                folder: "demo-0a1b2c3d".to_owned(),
                since: String::new(),
            };
            assert_eq!(place.is_of_its_account(own), expected, "{endpoint} beside {own}");
        }
    }

    #[test]
    fn snapshots_elsewhere_are_in_a_folder_of_their_cluster() {
        let own = SnapshotPolicyDocument::named("hourly");
        assert_eq!((own.container(), own.folder().as_str()), ("snapshots", "hourly"));
        let folder = PolicyPlace::folder_of("demo", "0a1b2c3d-1111-4111-8111-111111111111");
        let place = PolicyPlace {
            container_id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/blobServices/default/containers/backups".to_owned(),
            blob_endpoint: "https://a.blob.core.windows.net/".to_owned(),
            folder,
            since: String::new(),
        };
        let there = SnapshotPolicyDocument { place: Some(place), ..own };
        assert_eq!(there.container(), "backups");
        assert_eq!(there.folder(), "demo-0a1b2c3d/hourly");
        let name = "demo-0a1b2c3d/hourly/20261122T231500Z.snap";
        assert!(time_of(&there.folder(), name).is_some());
        assert!(time_of("hourly", name).is_none());
    }
}
