//! What a user changes, from nothing or from a finished cluster.

#![allow(clippy::too_many_lines)]

use super::*;
use hcs_planner::disks::{DataDiskType, HostEncryption};
use hcs_planner::spec::ImagePlan;

pub(super) fn creating(b: &mut Builder) {
    b.add("create-1-on-3-zones", "One server is warned about", None, spec(1, 3));
    b.add("create-3-on-3-zones", "Three servers on three zones, from nothing", None, spec(3, 3));
    b.add("create-5-on-3-zones", "Five servers: two zones hold two", None, spec(5, 3));
    b.add("create-7-on-3-zones", "Seven servers on three zones", None, spec(7, 3));
    b.add("create-3-on-2-zones", "Two zones are warned about", None, spec(3, 2));
    b.add("create-5-on-4-zones", "A region with four zones", None, spec(5, 4));
    b.add("create-3-without-zones", "A region without zones", None, spec(3, 0));
    b.add(
        "create-on-chosen-zones",
        "A size that zone 2 withholds: the zones are chosen",
        None,
        with(spec(3, 3), zones(&["3", "1"])),
    );
    b.add(
        "create-in-own-subnet",
        "Servers in a subnet of the user's",
        None,
        with(spec(3, 3), own_subnet),
    );
    b.add(
        "create-in-subnets-of-zones",
        "Servers in subnets of the user's by zone, and one where its zone has none",
        None,
        with(spec(3, 3), own_subnets),
    );
    b.add(
        "create-with-endpoint",
        "With an endpoint for callers from outside",
        None,
        with(spec(3, 3), endpoint(&["203.0.113.0/24"])),
    );
    b.add(
        "create-private",
        "The account is in the servers' network",
        None,
        with(spec(1, 3), private),
    );
    b.add(
        "create-corporate",
        "In a subnet behind a firewall, the account in it, its address in the hub's zone",
        None,
        with(spec(1, 3), corporate),
    );
    b.add(
        "create-without-outbound",
        "Nothing leaves the network, and a policy tells the account's address",
        None,
        with(spec(1, 3), closed),
    );
    b.add(
        "create-with-fallback",
        "A full zone may be left for another",
        None,
        with(spec(3, 3), prefers),
    );
    b.add(
        "create-best-effort",
        "A full region's zones may be left altogether",
        None,
        with(spec(1, 2), |s| {
            prefers(s);
            s.zone_fallback = ZoneFallback::BestEffort;
        }),
    );
    b.add("create-without-lock", "No lock is wanted", None, with(spec(1, 3), unlocked));
    b.add(
        "create-with-peers",
        "Peered with two networks: writes to one network are serial",
        None,
        with(spec(1, 3), |s| {
            s.peer_vnet_ids = vec![peer("hub"), peer("spoke")];
        }),
    );
    b.add(
        "create-in-a-shared-zone",
        "The names lie in a zone of the hub's, among others",
        None,
        with(spec(3, 3), shared_zone),
    )
    .after("another cluster has its names there", another_in_the_zone);
}

pub(super) fn scaling(b: &mut Builder) {
    b.add("nothing-to-do", "Observed is desired", Some(spec(3, 3)), spec(3, 3));
    b.add(
        "nothing-to-do-on-2-zones",
        "Nothing to do, but two zones are warned about",
        Some(spec(3, 2)),
        spec(3, 2),
    );
    b.add("scale-1-to-3", "One becomes three", Some(spec(1, 3)), spec(3, 3));
    b.add(
        "scale-3-to-1-in-a-shared-zone",
        "Two records go, those of others stay",
        Some(with(spec(3, 3), shared_zone)),
        with(spec(1, 3), shared_zone),
    )
    .after("another cluster has its names there", another_in_the_zone);
    b.add(
        "scale-3-to-5",
        "Three become five: servers 0 to 2 are not touched",
        Some(spec(3, 3)),
        spec(5, 3),
    );
    b.add("scale-3-to-7", "Three become seven", Some(spec(3, 3)), spec(7, 3));
    b.add(
        "scale-5-to-3",
        "Five become three: the highest slots leave one by one",
        Some(spec(5, 3)),
        spec(3, 3),
    );
    b.add("scale-3-to-1", "Three become one", Some(spec(3, 3)), spec(1, 3));
    b.add(
        "scale-7-to-3-leader-last",
        "The leader leaves last of those that leave",
        Some(spec(7, 3)),
        spec(3, 3),
    )
    .after("server 6 leads", |world, _| world.leader = 6);
    b.add(
        "scale-5-to-3-without-lock",
        "Without a lock there is none to remove",
        Some(with(spec(5, 3), unlocked)),
        with(spec(3, 3), unlocked),
    );
    b.add(
        "scale-up-with-fallback",
        "New servers may go elsewhere: the lock is lifted in case one must be moved",
        Some(with(spec(3, 3), prefers)),
        with(spec(5, 3), prefers),
    );
    b.add(
        "scale-with-endpoint",
        "The endpoint follows the servers",
        Some(with(spec(3, 3), endpoint(&["203.0.113.0/24"]))),
        with(spec(5, 3), endpoint(&["203.0.113.0/24"])),
    );
}

pub(super) fn rolling(b: &mut Builder) {
    b.add(
        "resize-3",
        "Another size: one server restarts at a time, the leader last",
        Some(spec(3, 3)),
        with(spec(3, 3), sized(LARGER)),
    );
    b.add(
        "resize-5-leader-4",
        "Server 4 leads, so it restarts last",
        Some(spec(5, 3)),
        with(spec(5, 3), sized(LARGER)),
    )
    .after("server 4 leads", |world, _| world.leader = 4);
    b.add(
        "resize-1",
        "The only server restarts",
        Some(spec(1, 3)),
        with(spec(1, 3), sized(LARGER)),
    );
    b.add(
        "resize-and-scale-down-of-two",
        "Of two voters none can be spared: the one that goes goes first",
        Some(spec(3, 3)),
        with(spec(1, 3), sized(LARGER)),
    )
    .after("somebody deleted server 2", |w, s| kill(w, s, 2));
    b.add(
        "resize-and-scale-up",
        "Resized and scaled up at once: new servers join first",
        Some(spec(3, 3)),
        with(spec(5, 3), sized(LARGER)),
    );
    b.add(
        "resize-and-scale-down",
        "Resized and scaled down at once: who stays restarts first",
        Some(spec(5, 3)),
        with(spec(3, 3), sized(LARGER)),
    );
    b.add(
        "replace-image",
        "Another image: a helper joins, then one server after the other is made anew",
        Some(spec(3, 3)),
        with(spec(3, 3), |s| s.image.sku = "server-arm64".into()),
    );
    b.add(
        "replace-gallery",
        "An image of somebody's gallery, what was bought with it, and reserved room: made anew once",
        Some(spec(3, 3)),
        with(spec(3, 3), |s| {
            let compute = "/subscriptions/s/resourceGroups/platform/providers/Microsoft.Compute";
            let image = format!("{compute}/galleries/gold/images/ubuntu/versions/1.0.0");
            s.source_image_id = Some(ArmId::new(image));
            s.image_plan = Some(Box::new(ImagePlan {
                publisher: "center-for-internet-security-inc".into(),
                product: "cis-ubuntu".into(),
                name: "cis-ubuntulinux2404-l1-gen2".into(),
            }));
            let room = format!("{compute}/capacityReservationGroups/consul");
            s.capacity_reservation_group_id = Some(ArmId::new(room));
        }),
    );
    b.add(
        "replace-in-other-subnets",
        "Zones get other subnets of the network: their servers are made anew, those of zones that keep theirs stay",
        Some(with(spec(5, 3), own_subnets)),
        with(spec(5, 3), |s| {
            own_subnet(s);
            in_zones(s, &[("1", "zone-1"), ("3", "zone-3")]);
        }),
    );
    b.add(
        "replace-os-disk",
        "A larger OS disk",
        Some(spec(3, 3)),
        with(spec(3, 3), |s| s.os_disk_gib = 128),
    );
    b.add(
        "replace-encrypted",
        "Disks with a key of somebody and hosts that encrypt: made anew once",
        Some(spec(3, 3)),
        with(spec(3, 3), |s| {
            let set = "/subscriptions/s/resourceGroups/keys/providers/Microsoft.Compute/diskEncryptionSets/consul";
            s.disk_encryption_set_id = Some(ArmId::new(set));
            s.host_encryption = HostEncryption::On;
            s.data_disk_type = DataDiskType::PremiumV2Lrs;
        }),
    );
    b.add(
        "account-key-comes",
        "The storage account with a key of somebody: written in place",
        Some(spec(3, 3)),
        with(spec(3, 3), |s| s.customer_managed_key = Some(Box::new(own_key()))),
    );
    b.add(
        "account-key-goes",
        "And without it again",
        Some(with(spec(3, 3), |s| s.customer_managed_key = Some(Box::new(own_key())))),
        spec(3, 3),
    );
    b.add(
        "replace-data-disk-1",
        "The only server gets a larger data disk: the helper keeps the data",
        Some(spec(1, 3)),
        with(spec(1, 3), |s| s.data_disk_gib = 64),
    );
    b.add(
        "replace-7",
        "Seven servers are made anew",
        Some(spec(7, 3)),
        with(spec(7, 3), |s| s.data_disk_gib = 64),
    );
    b.add(
        "replace-and-scale-up",
        "New servers help, no other helper is needed",
        Some(spec(3, 3)),
        with(spec(5, 3), |s| s.os_disk_gib = 128),
    );
    b.add(
        "replace-and-scale-down",
        "Servers that go help before they go",
        Some(spec(5, 3)),
        with(spec(3, 3), |s| s.os_disk_gib = 128),
    );
    b.add(
        "replace-and-resize",
        "Another size and another disk: made anew once",
        Some(spec(3, 3)),
        with(spec(3, 3), |s| {
            s.vm_size = LARGER.into();
            s.os_disk_gib = 128;
        }),
    );
    b.add(
        "replace-with-endpoint",
        "The endpoint learns each new address",
        Some(with(spec(3, 3), endpoint(&["203.0.113.0/24"]))),
        with(spec(3, 3), |s| {
            endpoint(&["203.0.113.0/24"])(s);
            s.os_disk_gib = 128;
        }),
    );
    b.add(
        "replace-and-endpoint-removed",
        "An endpoint that goes does so before the first server gets another address",
        Some(with(spec(3, 3), endpoint(&["203.0.113.0/24"]))),
        with(spec(3, 3), |s| s.os_disk_gib = 128),
    );
    b.add(
        "upgrade-consul",
        "Another Consul: the host managers restart one by one, the leader last",
        Some(with(spec(3, 3), version("1.21.5"))),
        spec(3, 3),
    );
    b.add(
        "upgrade-and-resize",
        "First the version everywhere, then the size",
        Some(with(spec(3, 3), version("1.21.5"))),
        with(spec(3, 3), sized(LARGER)),
    );
    b.add(
        "upgrade-and-scale-up",
        "New servers come with the new version",
        Some(with(spec(3, 3), version("1.21.5"))),
        spec(5, 3),
    );
    b.add(
        "upgrade-and-scale-down",
        "Nobody leaves before all have the new version",
        Some(with(spec(5, 3), version("1.21.5"))),
        spec(3, 3),
    );
}

pub(super) fn moving(b: &mut Builder) {
    b.add(
        "zone-added",
        "A third zone: only the server that belongs there moves",
        Some(spec(3, 2)),
        spec(3, 3),
    );
    b.add("zone-removed", "A zone less: its server moves", Some(spec(3, 3)), spec(3, 2));
    b.add(
        "zones-turned",
        "Zones in another order move every server",
        Some(spec(3, 3)),
        with(spec(3, 3), zones(&["2", "3", "1"])),
    );
    b.add("zones-gained", "A region that got zones", Some(spec(3, 0)), spec(3, 3));
    b.add(
        "zone-removed-and-scale-up",
        "A zone less and two servers more",
        Some(spec(3, 3)),
        spec(5, 2),
    );
    b.add(
        "fallback-keeps-the-place",
        "A server that found room elsewhere stays there",
        Some(with(spec(3, 3), |s| {
            prefers(s);
            s.zones = vec!["1".into(), "2".into(), "1".into()];
        })),
        with(spec(3, 3), |s| {
            prefers(s);
            s.zones = vec!["1".into(), "2".into(), "1".into()];
        }),
    );
}

pub(super) fn surroundings(b: &mut Builder) {
    b.add(
        "rotate-everything",
        "Each trigger changes: new versions are made before the servers are told of them",
        Some(with(spec(3, 3), triggers("2026-11"))),
        with(spec(3, 3), triggers("2026-12")),
    );
    b.add(
        "rotate-agent-tokens-while-growing",
        "Servers that are there and those that come get a token of the new version",
        Some(spec(3, 3)),
        with(spec(5, 3), |s| {
            s.rotation_triggers = [(Rotated::AgentTokens, "2026-12".to_owned())].into();
        }),
    );
    b.add(
        "rotation-triggers-taken-away",
        "A trigger that goes rotates nothing",
        Some(with(spec(3, 3), triggers("2026-11"))),
        spec(3, 3),
    );
    b.add(
        "tags",
        "A tag changes everywhere and an old one goes",
        Some(with(spec(1, 3), team(&[("team", "a"), ("old", "1")]))),
        with(spec(1, 3), team(&[("team", "b")])),
    );
    b.add(
        "peer-added",
        "A peer comes",
        Some(spec(1, 3)),
        with(spec(1, 3), |s| s.peer_vnet_ids = vec![peer("hub")]),
    );
    b.add(
        "peer-removed",
        "A peer goes",
        Some(with(spec(1, 3), |s| s.peer_vnet_ids = vec![peer("hub")])),
        spec(1, 3),
    );
    b.add(
        "peer-exchanged",
        "One peer for another",
        Some(with(spec(1, 3), |s| s.peer_vnet_ids = vec![peer("hub")])),
        with(spec(1, 3), |s| s.peer_vnet_ids = vec![peer("spoke")]),
    );
    b.add(
        "endpoint-added",
        "The endpoint comes: no server is touched",
        Some(spec(3, 3)),
        with(spec(3, 3), endpoint(&["203.0.113.0/24"])),
    );
    b.add(
        "endpoint-callers",
        "Other callers",
        Some(with(spec(3, 3), endpoint(&["203.0.113.0/24"]))),
        with(spec(3, 3), endpoint(&["203.0.113.0/24", "198.51.100.7/32"])),
    );
    b.add(
        "endpoint-removed",
        "The endpoint goes",
        Some(with(spec(3, 3), endpoint(&["203.0.113.0/24"]))),
        spec(3, 3),
    );
    b.add(
        "storage-closed",
        "The account closes when there is another way to it",
        Some(spec(1, 3)),
        with(spec(1, 3), private),
    );
    b.add(
        "storage-opened",
        "The account opens before its private way goes",
        Some(with(spec(1, 3), private)),
        spec(1, 3),
    );
    b.add(
        "storage-zone-exchanged",
        "A hub's zone tells the address, and the cluster's own goes",
        Some(with(spec(1, 3), private)),
        with(spec(1, 3), private_in_a_hubs_zone),
    );
    b.add(
        "outbound-none",
        "The way out goes, the network first",
        Some(spec(1, 3)),
        with(spec(1, 3), without_outbound),
    );
    b.add("outbound-nat", "A way out comes", Some(with(spec(1, 3), without_outbound)), spec(1, 3));
    b.add("lock-none", "The lock is given up", Some(spec(1, 3)), with(spec(1, 3), unlocked));
    let renamed = with(spec(1, 3), |s| s.lock_name = "kept".into());
    b.add("lock-renamed", "The lock gets another name", Some(spec(1, 3)), renamed);
    b.add("lock-wanted", "A lock is wanted again", Some(with(spec(1, 3), unlocked)), spec(1, 3));
    let from = |snapshot: &'static str| {
        move |s: &mut ClusterSpec| s.restore_from_snapshot_id = Some(snapshot.to_owned())
    };
    b.add("create-from-a-snapshot", "A clone", None, with(spec(3, 3), from("snapshot-1")));
    let grown = with(spec(5, 3), from("snapshot-1"));
    b.add(
        "clone-grows",
        "A clone is ready, and nothing is restored",
        Some(with(spec(3, 3), from("snapshot-1"))),
        grown,
    );
    b.add(
        "spec-only",
        "Only what is remembered changes",
        Some(spec(1, 3)),
        with(spec(1, 3), |s| s.deletion_protection = true),
    );
    b.add(
        "everything-at-once",
        "Size, servers, tags, endpoint and version in one apply",
        Some(with(spec(3, 3), version("1.21.5"))),
        with(spec(5, 3), |s| {
            s.vm_size = LARGER.into();
            team(&[("team", "b")])(s);
            endpoint(&["203.0.113.0/24"])(s);
        }),
    );
}
