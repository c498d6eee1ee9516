//! What a caller must be allowed to do so that a cluster is made, changed and destroyed. Pure.
//!
//! `docs/guides/rights.md` says the same by roles; a test holds the two together.

use crate::arm::{ArmId, Kind};
use crate::reach::{StorageAccess, StorageZone};
use crate::roles::RoleAssignmentMode;
use crate::spec::{ClusterSpec, LockLevel};

/// What is needed at one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Where.
    pub scope: ArmId,
    /// The built-in role that allows it, for people.
    pub role: &'static str,
    /// Actions of Resource Manager, as roles name them.
    pub actions: Vec<String>,
}

/// Kinds whose objects lie in the managed group; the two of `Microsoft.Authorization` are a role of their own.
fn is_in_the_group(kind: Kind) -> bool {
    !matches!(kind, Kind::ResourceGroup | Kind::Lock | Kind::RoleAssignment)
}

/// What only a cluster whose account is closed has.
fn is_private_way(kind: Kind) -> bool {
    matches!(kind, Kind::PrivateEndpoint | Kind::PrivateDnsZoneGroup)
}

/// Everything, scope by scope. Without the managed group one has to be made, which takes rights on the subscription.
pub fn needed(spec: &ClusterSpec, has_group: bool) -> Vec<Need> {
    let group = ArmId::resource_group(&spec.subscription_id, &spec.managed_resource_group_name);
    let subscription = ArmId::new(format!("/subscriptions/{}", spec.subscription_id));
    let scope = if has_group { group } else { subscription };
    let group_action =
        |verb: &str| format!("Microsoft.Resources/subscriptions/resourceGroups/{verb}");
    let of_kind = |kind: Kind, verbs: &[&str]| -> Vec<String> {
        verbs.iter().map(|verb| format!("{}/{verb}", kind.resource_type())).collect()
    };
    let is_private = spec.storage_access == StorageAccess::PrivateEndpoint;
    let mut objects: Vec<String> = Kind::ALL
        .into_iter()
        .filter(|kind| is_in_the_group(*kind) && (is_private || !is_private_way(*kind)))
        .flat_map(|kind| match kind {
            // It comes and goes with its account.
            Kind::BlobService => of_kind(kind, &["read", "write"]),
            kind => of_kind(kind, &["read", "write", "delete"]),
        })
        .collect();
    objects.extend(of_kind(Kind::Identity, &["assign/action"]));
    if is_private {
        // Without it the account's side of the endpoint waits for somebody who approves it.
        objects
            .extend(of_kind(Kind::StorageAccount, &["privateEndpointConnectionsApproval/action"]));
    }
    let steers = ["start/action", "deallocate/action", "manualUpgrade/action"];
    objects.extend(of_kind(Kind::ScaleSet, &steers));
    if !has_group {
        objects.extend([group_action("write"), group_action("delete")]);
    }
    let is_external = spec.role_assignment_mode == RoleAssignmentMode::External;
    if is_external {
        objects.extend(of_kind(Kind::RoleAssignment, &["read"]));
    }
    let mut rights = if is_external {
        vec![]
    } else {
        of_kind(Kind::RoleAssignment, &["read", "write", "delete"])
    };
    if spec.lock != LockLevel::None {
        rights.extend(of_kind(Kind::Lock, &["read", "write", "delete"]));
    }
    let own = ArmId::resource_group(&spec.subscription_id, &spec.resource_group_name);
    let mut needs = vec![
        Need { scope: own, role: "Reader", actions: vec![group_action("read")] },
        Need { scope: scope.clone(), role: "Contributor", actions: objects },
    ];
    if !rights.is_empty() {
        needs.push(Need { scope, role: "User Access Administrator", actions: rights });
    }
    if let Some(identities) = &spec.identities {
        for id in identities.all() {
            let actions = of_kind(Kind::Identity, &["read", "assign/action"]);
            needs.push(Need { scope: id.clone(), role: "Managed Identity Operator", actions });
        }
    }
    if let Some(key) = &spec.customer_managed_key {
        let actions = of_kind(Kind::Identity, &["read", "assign/action"]);
        let scope = key.user.identity_id.clone();
        needs.push(Need { scope, role: "Managed Identity Operator", actions });
    }
    needs.extend(of_machines(spec));
    for peer in &spec.peer_vnet_ids {
        let mut actions = of_kind(Kind::Peering, &["read", "write", "delete"]);
        let network = ["read", "peer/action", "join/action"];
        actions.extend(of_kind(Kind::VirtualNetwork, &network));
        needs.push(Need { scope: peer.clone(), role: "Network Contributor", actions });
    }
    if let Some(subnet) = &spec.subnet_id {
        let subnets = "Microsoft.Network/virtualNetworks/subnets";
        let mut own = vec![subnet];
        own.extend(spec.subnets_of_servers().into_iter().filter(|id| *id != subnet));
        for subnet in own {
            let actions = ["read", "join/action"].map(|verb| format!("{subnets}/{verb}")).into();
            needs.push(Need { scope: subnet.clone(), role: "Network Contributor", actions });
        }
        let own_zone = spec.private_dns_zone_id.is_none()
            || (is_private && spec.storage_zone == StorageZone::System);
        if let Some(network) = subnet.parent().filter(|_| own_zone) {
            let actions = of_kind(Kind::VirtualNetwork, &["read", "join/action"]);
            needs.push(Need { scope: network, role: "Network Contributor", actions });
        }
    }
    if let Some(zone) = &spec.private_dns_zone_id {
        let mut actions = of_kind(Kind::PrivateDnsRecord, &["read", "write", "delete"]);
        actions.extend(of_kind(Kind::PrivateDnsZone, &["read"]));
        needs.push(Need { scope: zone.clone(), role: "Private DNS Zone Contributor", actions });
    }
    if let (true, StorageZone::Existing(zone)) = (is_private, &spec.storage_zone) {
        let actions = of_kind(Kind::PrivateDnsZone, &["read", "join/action"]);
        needs.push(Need { scope: zone.clone(), role: "Private DNS Zone Contributor", actions });
    }
    needs
}

/// On what the servers are made of and in.
fn of_machines(spec: &ClusterSpec) -> Vec<Need> {
    let mut needs = Vec::new();
    if let Some(set) = &spec.disk_encryption_set_id {
        let actions = vec!["Microsoft.Compute/diskEncryptionSets/read".to_owned()];
        needs.push(Need { scope: set.clone(), role: "Reader", actions });
    }
    if let Some(image) = &spec.source_image_id {
        let image = image.parent().unwrap_or_else(|| image.clone());
        let images = "Microsoft.Compute/galleries/images";
        let actions = ["read", "versions/read"].map(|verb| format!("{images}/{verb}")).into();
        needs.push(Need { scope: image, role: "Reader", actions });
    }
    if let Some(group) = &spec.capacity_reservation_group_id {
        let group_type = "Microsoft.Compute/capacityReservationGroups";
        let verbs = ["read", "deploy/action", "capacityReservations/read"];
        let actions = verbs.map(|verb| format!("{group_type}/{verb}")).into();
        needs.push(Need { scope: group.clone(), role: "Contributor", actions });
    }
    needs
}
