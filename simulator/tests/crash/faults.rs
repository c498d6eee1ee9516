//! Manners of Azure that must not mislead a run: lists that name nothing, groups that blink, rights that flicker, and
//! somebody who changes things meanwhile.

use std::time::Duration;

use hcs_engine::reconcile::Intent;
use hcs_planner::arm::Kind;
use hcs_planner::names::Names;
use hcs_simulator::CallFault;

use crate::world::{Azure, End, Kill, spec};
use crate::{tagged, with};

async fn created(servers: u32) -> Azure {
    let azure = Azure::new().await;
    let spec = spec(servers);
    let create = Box::pin(azure.apply(&spec, Intent::Create, None));
    assert_eq!(create.await, End::Complete);
    azure
}

/// A list that names nothing: servers that run are not made over, and nothing else is.
#[tokio::test(start_paused = true)]
async fn a_list_that_names_nothing_is_not_believed() {
    let types = [
        "virtualMachineScaleSets",
        "storageAccounts",
        "virtualNetworks",
        "userAssignedIdentities",
        "networkSecurityGroups",
        "roleAssignments",
        "containers",
        "privateDnsZones",
    ];
    for of in types {
        let azure = created(3).await;
        let names = Names::new(&spec(3));
        let before: Vec<_> = (0..3).map(|slot| azure.inspect(&names.scale_set(slot))).collect();
        let secrets = azure.secrets();
        azure.inject(&format!("empty-list:GET:{of}:3"));
        let larger = with(spec(3), |s| s.tags = [("a".to_owned(), "b".to_owned())].into());
        assert_eq!(azure.apply(&larger, azure.update(), None).await, End::Complete, "{of}");
        azure.clear_faults();
        for (slot, before) in before.iter().enumerate() {
            let now = azure.inspect(&names.scale_set(u32::try_from(slot).unwrap()));
            let unique = "/properties/uniqueId";
            assert_eq!(
                now.pointer(unique),
                before.pointer(unique),
                "{of}: server {slot} is the same"
            );
        }
        assert_eq!(azure.secrets(), secrets, "{of}");
        assert_eq!(azure.plan(&larger).await, Vec::<String>::new(), "{of}");
    }
}

/// One read of the group says 404: it is there all the same, and a destroy that says that it is done has done it.
#[tokio::test(start_paused = true)]
async fn a_group_that_blinks_is_neither_made_again_nor_taken_for_destroyed() {
    for skip in 0..6 {
        let azure = created(1).await;
        let before = azure.objects();
        azure.inject(&format!("404:GET:resourceGroups:1:{skip}"));
        let changed = tagged(spec(1));
        assert_eq!(azure.apply(&changed, azure.update(), None).await, End::Complete, "{skip}");
        assert_eq!(azure.objects(), before, "{skip}: nothing came, nothing went");
        azure.inject(&format!("404:GET:resourceGroups:1:{skip}"));
        assert_eq!(azure.destroy(&changed, None).await, End::Complete, "{skip}");
        azure.clear_faults();
        assert_eq!(azure.objects(), Azure::new().await.objects(), "{skip}: all of it is gone");
    }
}

/// Whatever is refused, unsent or answered with an error now and then only costs time.
#[tokio::test(start_paused = true)]
async fn a_way_to_azure_that_blinks_only_costs_time() {
    let faults = [
        "unsent:*:*:5:3",
        "unsent:PUT:*:4:6",
        "unsent:*:*:20:40",
        "unsent:GET:operations:6",
        "200-error:GET:operations:1",
        "503:*:*:3:20",
        "404:GET:operations:2",
        "500-after:PUT:virtualMachineScaleSets:1",
        "drop-after:DELETE:*:1",
    ];
    for fault in faults {
        let azure = Azure::new().await;
        azure.inject(fault);
        let first = azure.apply(&spec(1), Intent::Create, None).await;
        if first != End::Complete {
            // An answer that is an error may be the end of a run, never of the cluster.
            assert!(fault.starts_with("200-error"), "{fault}: {first:?}");
            assert_eq!(azure.apply(&spec(1), azure.update(), None).await, End::Complete, "{fault}");
        }
        assert_eq!(azure.plan(&spec(1)).await, Vec::<String>::new(), "{fault}");
        azure.inject(fault);
        assert_eq!(azure.destroy(&spec(1), None).await, End::Complete, "{fault}");
    }
}

/// The storage service is out of order for a while, in the middle of a create.
#[tokio::test(start_paused = true)]
async fn storage_that_is_out_of_order_for_a_while_only_costs_time() {
    for skip in [0, 3, 8, 15, 30, 60] {
        let azure = Azure::new().await;
        azure.inject(&format!("503:*:blobs:6:{skip}"));
        assert_eq!(azure.apply(&spec(1), Intent::Create, None).await, End::Complete, "{skip}");
        assert_eq!(azure.plan(&spec(1)).await, Vec::<String>::new(), "{skip}");
    }
}

/// A policy adds a tag to an object while an apply changes it: both are there afterwards, whoever was first.
#[tokio::test(start_paused = true)]
async fn a_tag_that_somebody_adds_meanwhile_stays() {
    let names = Names::new(&spec(1));
    let objects = [
        (names.vnet(), Kind::VirtualNetwork),
        (names.security_group(), Kind::NetworkSecurityGroup),
        (names.storage_account(), Kind::StorageAccount),
        (names.cluster_id.clone(), Kind::ResourceGroup),
        (names.shared_identity(), Kind::Identity),
        (names.dns_zone(), Kind::PrivateDnsZone),
        (names.scale_set(0), Kind::ScaleSet),
    ];
    let (mut added, mut runs) = (0, 0);
    for (id, kind) in &objects {
        for delay_ms in [0, 20, 100, 400, 900, 2_000, 4_000, 8_000] {
            let azure = created(1).await;
            let changed = tagged(spec(1));
            let intent = azure.update();
            let (end, was_added) = tokio::join!(azure.apply(&changed, intent, None), async {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                azure.add_tag(id, *kind, "cost").await
            });
            assert_eq!(end, End::Complete, "{id} after {delay_ms} ms");
            runs += 1;
            if was_added {
                added += 1;
                tokio::time::sleep(Duration::from_mins(1)).await;
                let tags = azure.inspect(id)["tags"].clone();
                assert_eq!(tags["cost"], "policy", "{id} after {delay_ms} ms: {tags}");
                // Ours may have been overwritten by the other; then it is drift, and comes back.
                if azure.plan(&changed).await.is_empty() {
                    assert_eq!(tags["team"], "blue", "{id} after {delay_ms} ms");
                } else {
                    assert_eq!(azure.apply(&changed, azure.update(), None).await, End::Complete);
                    assert_eq!(azure.inspect(id)["tags"]["cost"], "policy");
                }
            }
        }
    }
    println!("{added} of {runs} tags were added in time, none was lost");
    assert!(added > runs / 2, "{added} of {runs}");
}

/// Somebody else writes the cluster's document right before the apply does: it looks again, and goes on from that.
#[tokio::test(start_paused = true)]
async fn a_document_that_somebody_wrote_meanwhile_is_not_written_over() {
    for (from, to) in [(3, 5), (5, 3)] {
        let mut overtaken = 0;
        for at in 0..220 {
            let azure = created(from).await;
            let strike = Kill { at, fault: CallFault::Overtaken };
            let end = azure.apply(&spec(to), azure.update(), Some(strike)).await;
            assert_eq!(end, End::Complete, "{from} to {to}, call {at}");
            let generation = azure.document()["generation"].as_u64().unwrap();
            if azure.has_struck() {
                overtaken += 1;
                assert!(generation > 1_000, "{from} to {to}, call {at}: generation {generation}");
                assert_eq!(azure.plan(&spec(to)).await, Vec::<String>::new());
            }
        }
        assert!(overtaken > 0, "{from} to {to}");
    }
}

/// A server says that what it was given is wrong: the apply ends with its words instead of waiting for twenty minutes,
/// and the next one goes on when it was mended, although the old words are still there at first.
#[tokio::test(start_paused = true)]
async fn an_error_that_no_waiting_heals_ends_the_wait() {
    let azure = Azure::new().await;
    azure.spoil(true);
    let begun = tokio::time::Instant::now();
    let End::Failed(words) = azure.apply(&spec(3), Intent::Create, None).await else {
        panic!("nothing runs")
    };
    assert!(words.contains("this is another program"), "{words}");
    assert!(begun.elapsed() < Duration::from_mins(9), "{:?}", begun.elapsed());
    azure.spoil(false);
    assert_eq!(azure.apply(&spec(3), azure.update(), None).await, End::Complete);
    assert_eq!(azure.plan(&spec(3)).await, Vec::<String>::new());
}
