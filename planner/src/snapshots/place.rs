//! Where a policy's snapshots lie when that is not the cluster's own account.

use serde::{Deserialize, Serialize};

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
