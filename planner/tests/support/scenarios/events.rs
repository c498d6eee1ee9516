//! What others, or a run that was cut off, did to a finished cluster.

#![allow(clippy::too_many_lines)]

use serde_json::json;

use super::*;

pub(super) fn drifting(b: &mut Builder) {
    let three = || spec(3, 3);
    b.kept(
        "deleted-scale-set",
        "A server that somebody deleted comes back",
        three(),
        "somebody deleted server 2",
        |w, s| kill(w, s, 2),
    );
    b.kept(
        "emptied-scale-set",
        "A machine that somebody deleted inside its set: set, address and data are new",
        three(),
        "somebody deleted the machine of server 1, not its set",
        |w, s| {
            w.lose_machine(1);
            edit(w, &Names::new(s).scale_set(1), |b| b["sku"]["capacity"] = json!(0));
        },
    );
    b.kept(
        "lost-server",
        "A server that died, and that the others go on without, is made anew",
        three(),
        "server 1 has been silent for an hour, and Autopilot has dropped it",
        |w, _| w.die(1),
    );
    b.kept(
        "silent-server",
        "A server that is silent, but still counts for the others, may come back by itself",
        three(),
        "server 1 has been silent for an hour, and the others still count it",
        |w, _| {
            w.die(1);
            w.still_know(1);
        },
    );
    b.add(
        "grown-and-larger-disk",
        "A cluster that grew to three in a run that was cut off has three to lose: a helper comes",
        Some(spec(1, 3)),
        with(three(), |s| s.os_disk_gib = 128),
    )
    .after(
        "an apply to three servers ended when all had joined",
        cut_after(three(), "wait until healthy"),
    );
    b.add(
        "silent-server-and-tags",
        "A server that is silent, but still counts, is left alone whatever else changes",
        Some(three()),
        with(three(), |s| s.tags = [("team".to_owned(), "blue".to_owned())].into()),
    )
    .after("server 1 has been silent for an hour, and the others still count it", |w, _| {
        w.die(1);
        w.still_know(1);
    });
    b.add(
        "lost-server-scaled-away",
        "A server that died is no longer wanted: nobody asks it to leave",
        Some(spec(5, 3)),
        three(),
    )
    .after("server 4 died an hour ago", |w, _| w.die(4));
    b.add(
        "lost-server-and-a-lone-larger-one",
        "One of three died, and one larger one is wanted",
        Some(three()),
        with(spec(1, 3), |s| s.vm_size = "Standard_D4s_v5".into()),
    )
    .after("server 1 died an hour ago", |w, _| w.die(1));
    b.add(
        "lost-server-and-larger-disk",
        "A server that died comes anew first, with a helper for the others",
        Some(three()),
        with(three(), |s| s.os_disk_gib = 128),
    )
    .after("server 1 died an hour ago", |w, _| w.die(1));
    b.kept(
        "deleted-leader",
        "The leader's machine is gone",
        three(),
        "somebody deleted server 0",
        |w, s| kill(w, s, 0),
    );
    b.kept(
        "deleted-lock",
        "A deleted lock is drift",
        three(),
        "somebody deleted the lock",
        |w, s| gone(w, &Names::new(s).lock()),
    );
    b.kept(
        "deleted-record",
        "A deleted DNS record is written again, its address read",
        three(),
        "somebody deleted the record of server 1",
        |w, s| gone(w, &Names::new(s).dns_record("server-1")),
    );
    b.kept(
        "deleted-identity",
        "An identity that is made again needs its roles again",
        three(),
        "somebody deleted the identity of server 1",
        |w, s| gone(w, &Names::new(s).server_identity(1)),
    );
    b.kept(
        "changed-network-rule",
        "A changed network rule is put back",
        three(),
        "somebody denied what consul-rpc allows",
        |w, s| {
            edit(w, &Names::new(s).security_group(), |b| {
                b["properties"]["securityRules"][0]["properties"]["access"] = json!("Deny");
            });
        },
    );
    b.kept(
        "changed-size",
        "A size that somebody changed on the set is put back",
        three(),
        "somebody changed the size of server 1's set",
        |w, s| {
            edit(w, &Names::new(s).scale_set(1), |b| b["sku"]["name"] = json!("Standard_B1s"));
        },
    );
    b.kept(
        "changed-storage",
        "Public access is taken away again",
        three(),
        "somebody let shared keys in",
        |w, s| {
            edit(w, &Names::new(s).storage_account(), |b| {
                b["properties"]["allowSharedKeyAccess"] = json!(true);
            });
        },
    );
    b.kept(
        "changed-probe",
        "A load balancer's probe is put back",
        three(),
        "somebody changed the probe's port",
        |w, s| {
            edit(w, &Names::new(s).load_balancer(), |b| {
                b["properties"]["probes"][0]["properties"]["port"] = json!(8500);
            });
        },
    );
    b.kept(
        "wrong-address",
        "A record that points elsewhere is put right",
        three(),
        "somebody changed what consul resolves to",
        |w, s| {
            edit(w, &Names::new(s).dns_record("consul"), |b| {
                b["properties"]["aRecords"] = json!([{ "ipv4Address": "10.9.9.9" }]);
            });
        },
    );
    b.kept(
        "policy-adds",
        "What Azure Policy and people add stays",
        three(),
        "policy added a tag to all, a rule, an identity and an extension",
        policy,
    );
    b.kept(
        "lost-tag",
        "An object that lost its tag gets it back",
        three(),
        "somebody removed all tags of the load balancer",
        |w, s| {
            edit(w, &Names::new(s).load_balancer(), |b| b["tags"] = json!({}));
        },
    );
    b.kept(
        "repair-a-failed-scale-set",
        "A failed scale set is written again",
        three(),
        "the last write of server 1 failed",
        |w, s| {
            edit(w, &Names::new(s).scale_set(1), |b| {
                b["properties"]["provisioningState"] = json!("Failed");
            });
        },
    );
    b.kept(
        "two-drifts",
        "Two changes by hand are two updates",
        three(),
        "somebody deleted the lock and changed a rule",
        |w, s| {
            gone(w, &Names::new(s).lock());
            edit(w, &Names::new(s).security_group(), |b| {
                b["properties"]["securityRules"][0]["properties"]["priority"] = json!(101);
            });
        },
    );
}

pub(super) fn resuming(b: &mut Builder) {
    let three = || spec(3, 3);
    let larger_disk = || with(spec(3, 3), |s| s.os_disk_gib = 128);
    let resized = || with(spec(3, 3), sized(LARGER));
    b.add(
        "resume-create-before-servers",
        "A create that was cut off before its first server",
        None,
        three(),
    )
    .after(
        "an apply ended after the programs were uploaded",
        cut_after(three(), "upload host manager"),
    );
    b.add(
        "resume-create-after-a-server",
        "A create that was cut off after its first server",
        None,
        three(),
    )
    .after("an apply ended after server 0 was made", cut_after(three(), "create server_0"));
    b.kept(
        "await-a-running-write",
        "A write of an earlier run is still under way",
        three(),
        "server 1 is still being written",
        |w, s| {
            edit(w, &Names::new(s).scale_set(1), |b| {
                b["properties"]["provisioningState"] = json!("Updating");
            });
        },
    );
    b.add(
        "resume-resize-before-the-restart",
        "The model was written, the machine still runs the old one",
        Some(three()),
        resized(),
    )
    .after(
        "an apply ended between model and restart of server 2",
        cut_after(resized(), "update server_2"),
    );
    b.add(
        "resume-resize-in-the-middle",
        "One server has restarted, two have not",
        Some(three()),
        resized(),
    )
    .after("an apply ended after server 2 restarted", cut_after(resized(), "restart server_2"));
    b.add(
        "resume-replace-with-helper",
        "The helper is there, nobody has left yet",
        Some(three()),
        larger_disk(),
    )
    .after("an apply ended after the helper was made", cut_after(larger_disk(), "create server_3"));
    b.add(
        "resume-replace-after-leave",
        "A server has left; its machine still stands",
        Some(three()),
        larger_disk(),
    )
    .after("an apply ended after server 2 left", cut_after(larger_disk(), "leave server_2"));
    b.add(
        "resume-replace-after-delete",
        "A server is gone and not back",
        Some(three()),
        larger_disk(),
    )
    .after(
        "an apply ended after server 2 was deleted",
        cut_after(larger_disk(), "delete server_2"),
    );
    b.add(
        "resume-replace-after-the-last",
        "All are back, the helper is still there",
        Some(three()),
        larger_disk(),
    )
    .after("an apply ended before the helper left", cut_after(larger_disk(), "wait for server_0"));
    b.add(
        "resume-replace-asked",
        "A server was asked to leave when the run was killed",
        Some(three()),
        larger_disk(),
    )
    .after("an apply ended with the helper made", cut_after(larger_disk(), "create server_3"))
    .after("and killed right after it asked server 2 to leave", |world, spec| world.ask(spec, 2));
    b.add(
        "resume-replace-left-and-asked",
        "A server has left, its request was not taken back",
        Some(three()),
        larger_disk(),
    )
    .after("an apply ended right after server 2 left", |world, spec| {
        cut_after(with(spec.clone(), |s| s.os_disk_gib = 128), "create server_3")(world, spec);
        world.ask(spec, 2);
        let request = world.asked[&2].clone();
        cut_after(with(spec.clone(), |s| s.os_disk_gib = 128), "leave server_2")(world, spec);
        world.asked.insert(2, request);
    });
    b.kept(
        "deleted-after-leave",
        "A server that had left was deleted by hand",
        three(),
        "server 2 left at a killed run's request, and somebody deleted it",
        |w, s| {
            w.ask(s, 2);
            kill(w, s, 2);
        },
    );
    b.add(
        "resume-replace-deleting",
        "A server's set is still being deleted",
        Some(three()),
        larger_disk(),
    )
    .after("an apply ended after server 2 left", cut_after(larger_disk(), "leave server_2"))
    .after("and right after it asked for the delete of its set", |w, s| {
        w.lose_machine(2);
        edit(w, &Names::new(s).scale_set(2), |b| {
            b["properties"]["provisioningState"] = json!("Deleting");
        });
    });
    b.add(
        "resume-scale-down-deleting",
        "A set that goes is still being deleted",
        Some(spec(5, 3)),
        three(),
    )
    .after("an apply ended after server 4 left", cut_after(three(), "leave server_4"))
    .after("and right after it asked for the delete of its set", |w, s| {
        w.lose_machine(4);
        edit(w, &Names::new(s).scale_set(4), |b| {
            b["properties"]["provisioningState"] = json!("Deleting");
        });
    });
    b.add(
        "give-up-replace",
        "The old disk is wanted again in the middle: only what has left is made anew",
        Some(three()),
        three(),
    )
    .after(
        "an apply to a larger disk ended after server 2 left",
        cut_after(larger_disk(), "leave server_2"),
    );
    b.add("resume-scale-down", "Server 4 has left, server 3 has not", Some(spec(5, 3)), three())
        .after("an apply ended after server 4 left", cut_after(three(), "leave server_4"));
    b.add(
        "resume-upgrade",
        "The document is written, the servers may still be restarting",
        Some(with(three(), version("1.21.5"))),
        three(),
    )
    .after(
        "an apply ended after the document was written",
        cut_after(three(), "write cluster document"),
    );
    b.add(
        "resume-upgrade-and-scale-down",
        "Some servers do not run the new version yet: nobody leaves before all do",
        Some(with(spec(5, 3), version("1.21.5"))),
        three(),
    )
    .after("an apply ended after the document was written", |world, spec| {
        cut_after(with(spec.clone(), version("1.22.2")), "write cluster document")(world, spec);
        world.runs(4, "1.21.5");
    });
    b.add(
        "resume-after-a-failed-set",
        "A new server's set failed: it is written again, and the others go on",
        Some(three()),
        spec(5, 3),
    )
    .after("an apply ended after server 4 was made", cut_after(spec(5, 3), "create server_4"))
    .after("server 4 never came up: its set failed", |w, s| {
        w.never_came_up(4);
        edit(w, &Names::new(s).scale_set(4), |b| {
            b["properties"]["provisioningState"] = json!("Failed");
        });
    });
    b.add(
        "failed-set-and-other-zones",
        "A new server's set failed, and the zones are changed: it goes without a word and comes where it belongs",
        Some(three()),
        with(spec(5, 3), zones(&["1", "3", "2"])),
    )
    .after("an apply to five servers ended after server 4 was made", cut_after(spec(5, 3), "create server_4"))
    .after("server 4 never came up: its set failed", |w, s| {
        w.never_came_up(4);
        edit(w, &Names::new(s).scale_set(4), |b| {
            b["properties"]["provisioningState"] = json!("Failed");
        });
    });
    b.add(
        "left-while-its-set-is-written",
        "A server that has left goes when the write of its set has ended, although its kind is another one now",
        Some(spec(5, 3)),
        with(three(), |s| s.os_disk_gib = 128),
    )
    .after("an apply to three servers ended when server 4 had left", cut_after(three(), "leave server_4"))
    .after("somebody writes the set of server 4", |w, s| {
        edit(w, &Names::new(s).scale_set(4), |b| {
            b["properties"]["provisioningState"] = json!("Updating");
        });
    });
    b.add(
        "bad-helper",
        "A helper with an image that does not work goes, and another one comes",
        Some(three()),
        with(three(), |s| s.image.sku = "good".into()),
    )
    .after("an apply with another image ended after its helper was made", |w, s| {
        cut_after(with(s.clone(), |s| s.image.sku = "bad".into()), "create server_3")(w, s);
    })
    .after("the helper boots and never joins", |w, _| w.never_came_up(3));
    b.add(
        "leftovers-of-a-helper",
        "What a helper was to have is taken away again when it is not needed",
        Some(three()),
        three(),
    )
    .after(
        "an apply to a larger disk ended before its helper was made",
        cut_after(larger_disk(), "mint agent token of server 3"),
    );
}

pub(super) fn refused(b: &mut Builder) {
    let three = || spec(3, 3);
    b.kept(
        "refuse-foreign-group",
        "The managed group is another cluster's",
        three(),
        "the group carries another cluster's tag",
        |w, s| {
            edit(w, &Names::new(s).cluster_id, |b| b["tags"]["hcs-cluster"] = json!("other"));
        },
    );
    b.kept(
        "refuse-lost-account",
        "The storage account is gone while servers run",
        three(),
        "somebody deleted the storage account",
        |w, _| {
            w.objects.retain(|key, _| !key.contains("/storageaccounts/"));
        },
    );
    b.add(
        "refuse-downgrade",
        "Consul does not go back",
        Some(three()),
        with(three(), version("1.21.5")),
    );
    b.add(
        "refuse-far-upgrade",
        "Consul goes two series at a time",
        Some(with(three(), version("1.18.2"))),
        three(),
    );
    b.add(
        "refuse-subnet-change",
        "A subnet's range is fixed",
        Some(three()),
        with(three(), |s| s.vnet_cidr = Some("10.7.0.0/24".parse().unwrap())),
    );
    b.add("refuse-zone-change", "Names do not move", Some(three()), with(three(), shared_zone));
    b.add(
        "refuse-taken-name",
        "A name in the hub's zone is another cluster's",
        None,
        with(three(), shared_zone),
    )
    .after("a cluster of the same name in another group has it", |w, s| {
        let id = Names::new(s).dns_record("consul");
        let metadata = json!({ "hcs-cluster": "0123456789ab" });
        w.objects.insert(
            id.key(),
            json!({ "id": id, "properties": { "ttl": 30, "metadata": metadata } }),
        );
    });
    b.add("refuse-overlap", "Peers must not overlap", Some(three()), with(three(), |s| s.peer_vnet_ids = vec![peer("hub")]))
        .after("the hub has the cluster's address space", |w, _| {
            let id = peer("hub");
            w.objects.insert(id.key(), json!({ "id": id, "properties": { "addressSpace": { "addressPrefixes": ["172.25.0.0/16"] } } }));
        });
    b.add("refuse-locked-delete", "Somebody's lock forbids a delete", Some(spec(5, 3)), three())
        .after("somebody locked the scale set of server 4", |w, s| {
            let names = Names::new(s);
            let lock = names.scale_set(4).resource("Microsoft.Authorization/locks", "keep");
            w.objects.insert(
                lock.key(),
                json!({ "id": lock, "properties": { "level": "CanNotDelete" } }),
            );
        });
    b.add(
        "refuse-locked-write",
        "Somebody's ReadOnly lock forbids every write",
        Some(three()),
        with(three(), sized(LARGER)),
    )
    .after("somebody made the group read-only", |w, s| {
        let lock = Names::new(s).cluster_id.resource("Microsoft.Authorization/locks", "freeze");
        w.objects.insert(lock.key(), json!({ "id": lock, "properties": { "level": "ReadOnly" } }));
    });
    b.kept(
        "refuse-moved-object",
        "An object that somebody made in another region",
        three(),
        "the load balancer is in northeurope",
        |w, s| {
            edit(w, &Names::new(s).load_balancer(), |b| b["location"] = json!("northeurope"));
        },
    );
}
