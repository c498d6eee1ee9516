//! Networks that are peered must not share addresses, neither with the cluster's nor with each other.

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::arm::ArmId;
use crate::spec::ClusterSpec;

/// A peer whose addresses somebody else has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Its place in [`ClusterSpec::peer_vnet_ids`].
    pub index: usize,
    /// The peer.
    pub peer: ArmId,
    /// Its address space.
    pub space: Ipv4Net,
    /// What it overlaps.
    pub other: Ipv4Net,
    /// Whose that is.
    pub whose: String,
}

/// Every overlap of the peers. `network` gives the body of a peer; one that is not known overlaps nothing.
pub fn overlaps<'n>(
    spec: &ClusterSpec,
    network: impl Fn(&ArmId) -> Option<&'n Value>,
) -> Vec<Overlap> {
    let own = spec.vnet_cidr.map(|cidr| ("the cluster's network".to_owned(), cidr));
    let mut taken: Vec<(String, Ipv4Net)> = own.into_iter().collect();
    let mut found = Vec::new();
    for (index, peer) in spec.peer_vnet_ids.iter().enumerate() {
        for space in network(peer).map(address_spaces).unwrap_or_default() {
            let clash = taken
                .iter()
                .find(|(_, other)| other.contains(&space.addr()) || space.contains(&other.addr()));
            if let Some((whose, other)) = clash {
                let (peer, whose, other) = (peer.clone(), whose.clone(), *other);
                found.push(Overlap { index, peer, space, other, whose });
            }
            taken.push((format!("the network {}", peer.name()), space));
        }
    }
    found
}

fn address_spaces(network: &Value) -> Vec<Ipv4Net> {
    let spaces = network.pointer("/properties/addressSpace/addressPrefixes");
    let spaces = spaces.and_then(Value::as_array).into_iter().flatten();
    spaces.filter_map(|space| space.as_str()?.parse().ok()).collect()
}
