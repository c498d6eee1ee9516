//! What can only be told with a look at the world: the archive, the peers.

use hcs_planner::arm::Kind;
use hcs_planner::spec::ClusterSpec;
use ipnet::Ipv4Net;
use tfplugin::Path;

use super::Planner;
use crate::artifacts::ClusterArtifacts;

impl Planner {
    pub(super) fn check_artifact(&mut self, spec: &ClusterSpec) {
        if let Err(detail) = ClusterArtifacts::new(spec).check() {
            let has_source = self.configured("artifact_source");
            let attribute = if has_source { "artifact_source" } else { "consul_version" };
            self.error(attribute, "Consul's archive cannot be had", detail);
        }
    }

    /// Peered address spaces must not overlap, neither with the cluster's nor with each other.
    pub(super) async fn check_peers(&mut self, spec: &ClusterSpec) {
        let mut taken: Vec<(String, Ipv4Net)> =
            vec![("the cluster's network".to_owned(), spec.vnet_cidr)];
        for (index, peer) in spec.peer_vnet_ids.iter().enumerate() {
            let path = Path::root("peer_vnet_ids").index(index);
            let body = match self.arm.get(peer, Kind::VirtualNetwork).await {
                Ok(Some(body)) => body,
                Ok(None) => {
                    let detail =
                        format!("{peer} is not there. That is fine when this run makes it.");
                    self.warn(path, "Peer does not exist yet", detail);
                    continue;
                }
                Err(error) => {
                    let what = format!("the network {peer}");
                    self.diagnostics.push(crate::diagnostics::read(&what, &error));
                    continue;
                }
            };
            let spaces = body.pointer("/properties/addressSpace/addressPrefixes");
            let spaces = spaces.and_then(serde_json::Value::as_array).into_iter().flatten();
            let spaces: Vec<Ipv4Net> =
                spaces.filter_map(|space| space.as_str()?.parse().ok()).collect();
            for space in spaces {
                let overlap = taken.iter().find(|(_, other)| {
                    other.contains(&space.addr()) || space.contains(&other.addr())
                });
                if let Some((whose, other)) = overlap {
                    let detail = format!(
                        "{} has the address space {space}, which overlaps {other} of {whose}; Azure \
                         cannot peer them. Give the cluster another vnet_cidr.",
                        peer.name()
                    );
                    self.error(path.clone(), "Address spaces overlap", detail);
                }
                taken.push((format!("the network {}", peer.name()), space));
            }
        }
    }
}
