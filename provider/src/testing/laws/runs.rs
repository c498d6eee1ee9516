//! How a run ends that does not come to its end: by its time limit, by its user, without its storage.

use std::sync::Arc;
use std::time::Duration;

use hcs_planner::names::{ROLE_BLOB_CONTRIBUTOR, role_assignment_id, storage_account_name};
use serde_json::json;
use tfplugin::{
    ApplyRequest, ApplyResponse, CancellationToken, Context, PlanRequest, Resource, Value,
};

use crate::testing::core::{Done, Failure, Instance, Object, Options, apply, plan, refresh, whole};
use crate::testing::{Azure, demo};

fn servers(count: i64) -> Value {
    demo([("server_count", Value::from(count))])
}

async fn created(azure: &Azure, count: i64) -> Instance {
    let provider = azure.provider(Value::Null, None);
    let mut instance = Instance::default();
    let config = servers(count);
    apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await.unwrap();
    instance
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_an_error_that_says_what_is_done_and_what_is_left() {
    for create in [true, false] {
        let azure = Azure::new().await;
        let mut instance = if create { Instance::default() } else { created(&azure, 1).await };
        let provider = azure.provider(Value::Null, None);
        let timeouts = Value::map([("create", Value::from("2m")), ("update", "1m".into())]);
        let config = servers(3).with("timeouts", timeouts);
        let options = Options::default();
        let ended = apply(&provider.cluster(), &mut instance, Some(&config), options).await;
        let Err(Failure::Told(words)) = ended else { panic!("{ended:?}") };
        let told = words.iter().find(|one| one.contains("took longer than its timeout"));
        let told = told.unwrap_or_else(|| panic!("{words:?}"));
        assert!(told.contains("steps are done") && told.contains("Next: "), "{told}");
        // With more time the next one goes on from there.
        let patient = servers(3);
        let next =
            apply(&provider.cluster(), &mut instance, Some(&patient), options).await.unwrap();
        assert_eq!(next.destroyed, usize::from(create));
        let again = apply(&provider.cluster(), &mut instance, Some(&patient), options).await;
        assert_eq!(again, Ok(Done::default()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_by_the_user_ends_in_warnings_and_the_next_apply_goes_on() {
    let azure = Azure::new().await;
    let instance = created(&azure, 1).await;
    let (provider, config) = (azure.provider(Value::Null, None), servers(3));
    let resource = provider.cluster();
    let object = instance.current.clone().unwrap();
    let planned = plan(&resource, &object.state, &[], &config).await.unwrap();
    let whole_config = whole(resource.as_ref(), &config);
    let request = ApplyRequest::new(object.state.clone(), planned.planned, whole_config)
        .with_private(planned.private.unwrap_or_default());
    let cancel = CancellationToken::new();
    let ctx = Context::with_cancel(cancel.clone());
    let (response, ()) = tokio::join!(resource.apply(&ctx, request), async {
        tokio::time::sleep(Duration::from_mins(2)).await;
        cancel.cancel();
    });
    assert!(!response.diagnostics.has_errors(), "{:?}", response.diagnostics);
    assert!(response.diagnostics.iter().any(|one| one.summary.contains("was stopped")));
    assert_eq!(response.state.get("state").as_str(), Some("converging"));
    let mut next = instance;
    next.current.as_mut().unwrap().state = response.state;
    apply(&resource, &mut next, Some(&config), Options::default()).await.unwrap();
    let again = apply(&resource, &mut next, Some(&config), Options::default()).await;
    assert_eq!(again, Ok(Done::default()));
}

/// A create that was stopped before it claimed anything is in the state without an incarnation. Its next run may die
/// anywhere, and what follows brings it to its end all the same.
#[tokio::test(start_paused = true)]
async fn a_stopped_foundation_and_a_killed_run_after_it_are_finished_or_removed() {
    for seconds in [1, 8, 20, 40, 45, 50, 55, 60, 70, 90, 150] {
        for kills in ["apply", "destroy"] {
            for ends in ["apply", "destroy"] {
                let azure = Azure::new().await;
                let resource = azure.provider(Value::Null, None).cluster();
                let config = servers(1);
                let planned = plan(&resource, &Value::Null, &[], &config).await.unwrap();
                let whole_config = whole(resource.as_ref(), &config);
                let request = ApplyRequest::new(Value::Null, planned.planned, whole_config)
                    .with_private(planned.private.unwrap_or_default());
                let cancel = CancellationToken::new();
                let ctx = Context::with_cancel(cancel.clone());
                let (response, ()) = tokio::join!(resource.apply(&ctx, request), async {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    cancel.cancel();
                });
                assert!(response.state.get("incarnation_id").is_null());
                let object = Object::of(response.state);
                let mut instance = Instance { current: Some(object), deposed: vec![] };
                let wanted = |word: &str| (word == "apply").then_some(&config);

                let options = Options::default();
                let killed = apply(&resource, &mut instance, wanted(kills), options);
                let ended = tokio::time::timeout(Duration::from_secs(seconds), killed).await;
                let story = format!("{kills} killed after {seconds} s ({ended:?}), then {ends}");
                apply(&resource, &mut instance, wanted(ends), options)
                    .await
                    .unwrap_or_else(|failure| panic!("{story}: {failure:?}"));
                let is_there = azure.object(&Azure::cluster_id()).is_some();
                assert_eq!(is_there, ends == "apply", "{story}");
                let again = apply(&resource, &mut instance, wanted(ends), options).await;
                assert_eq!(again, Ok(Done::default()), "{story}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_works_while_the_storage_is_away_or_a_document_is_unreadable() {
    let account = storage_account_name(&Azure::cluster_id());
    for what in ["503:GET:blobs:1000", "spec", "cluster", "ready", "run"] {
        let azure = Azure::new().await;
        let mut instance = created(&azure, 1).await;
        if what.starts_with("503") {
            azure.cloud.with_world(|world| world.inject(what.parse().unwrap()));
        } else {
            azure.cloud.plant_blob(&account, "config", &format!("{what}.json"), "{".into());
        }
        let provider = azure.provider(Value::Null, None);
        let before = instance.current.clone().unwrap().state;
        refresh(&provider.cluster(), &mut instance).await.unwrap();
        let after = instance.current.clone().unwrap().state;
        for name in ["state", "consul_ca_file", "incarnation_id", "azure_resources", "servers"] {
            assert_eq!(after.get(name), before.get(name), "{what}: {name}");
        }
        let planned = plan(&provider.cluster(), &after, &[], &servers(1)).await.unwrap();
        assert_eq!(planned.planned, whole(provider.cluster().as_ref(), &after), "{what}");
    }
}

/// Denied, out of reach and gone are three cases: a group that says whose it is may go in each of them.
#[tokio::test(start_paused = true)]
async fn a_cluster_without_its_storage_can_be_destroyed_by_its_owner_only() {
    for what in ["denied", "away", "gone"] {
        for is_owner in [true, false] {
            let azure = Azure::new().await;
            let mut instance = created(&azure, 1).await;
            if !is_owner {
                let object = instance.current.as_mut().unwrap();
                object.state.set("incarnation_id", "00000000-0000-4000-8000-000000000000");
            }
            let id = Azure::cluster_id();
            let account =
                id.resource("Microsoft.Storage/storageAccounts", &storage_account_name(&id));
            if what != "away" {
                let lock = id.resource("Microsoft.Authorization/locks", "hcs-cannot-delete");
                azure.delete(&lock).await;
            }
            match what {
                "denied" => {
                    let caller = hcs_simulator::Settings::default().caller_object_id;
                    azure
                        .delete(&role_assignment_id(&account, &caller, ROLE_BLOB_CONTRIBUTOR))
                        .await;
                }
                "away" => {
                    let fault = "503:*:blobs:100000".parse().unwrap();
                    azure.cloud.with_world(|world| world.inject(fault));
                }
                _ => azure.delete(&account).await,
            }
            let resource = azure.provider(Value::Null, None).cluster();
            let response = destroy(&resource, instance.current.clone().unwrap().state).await;
            let is_there = azure.object(&id).is_some();
            assert_eq!(is_there, !is_owner, "{what}, owner {is_owner}: {:?}", response.diagnostics);
            assert!(!response.diagnostics.has_errors(), "{what}: {:?}", response.diagnostics);
            if !is_owner {
                let told = response.diagnostics.iter().next().unwrap();
                assert!(told.summary.contains("Nothing was deleted"), "{told:?}");
            }
        }
    }
}

/// What core sends for a destroy without a refresh.
async fn destroy(resource: &Arc<dyn Resource>, prior: Value) -> ApplyResponse {
    let request = PlanRequest::new(prior.clone(), Value::Null, Value::Null);
    let planned = resource.plan(&Context::new(), request).await;
    let private = planned.private.unwrap_or_default();
    let request = ApplyRequest::new(prior, Value::Null, Value::Null).with_private(private);
    resource.apply(&Context::new(), request).await
}

const NO_GROUPS: &str = "empty-list:GET:resourceGroups:1";

/// A run looks more than once. Where its first look missed somebody's cluster, the next one stops it.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_one_look_missed_is_neither_removed_nor_written_over() {
    let id = Azure::cluster_id();
    let stale = "00000000-0000-4000-8000-000000000000";
    // Who looks, and what Azure does not tell at first: the group and its list, or the account of a group that lost its
    // tag.
    let group = |skip: u32| [format!("404:GET:resourceGroups:1:{skip}"), NO_GROUPS.to_owned()];
    let account = ["404:GET:storageAccounts:1", "empty-list:GET:storageAccounts:1"];
    let account = account.map(str::to_owned);
    // What the plan of a create reads of groups is counted, too.
    let creates = (1..5).map(|skip| (true, group(skip).to_vec()));
    for (is_create, faults) in
        [(false, group(0).to_vec()), (false, account.to_vec())].into_iter().chain(creates)
    {
        let fault = faults.join(" ");
        let azure = Azure::new().await;
        let instance = created(&azure, 1).await;
        if fault.contains("storageAccounts") {
            let group = azure.object(&id).unwrap();
            let mut tags = group["tags"].clone();
            tags.as_object_mut().unwrap().remove("hcs-incarnation");
            let body = json!({ "location": group["location"], "tags": tags });
            azure.put(&id, "2024-07-01", body).await;
        }
        let see = || azure.cloud.with_world(|world| world.objects()).len();
        let (objects, group) = (see(), azure.object(&id).unwrap());
        for fault in faults {
            azure.cloud.with_world(|world| world.inject(fault.parse().unwrap()));
        }
        let provider = azure.provider(Value::Null, None);
        let resource = provider.cluster();
        let told = if is_create {
            let other = servers(1).with("tags", Value::map([("team", Value::from("other"))]));
            let other = other.with("location", "westeurope");
            let mut second = Instance::default();
            let refused = apply(&resource, &mut second, Some(&other), Options::default()).await;
            format!("{refused:?}")
        } else {
            let prior = instance.current.unwrap().state.with("incarnation_id", stale);
            format!("{:?}", destroy(&resource, prior).await.diagnostics)
        };
        let word = if is_create { "exists already" } else { "Nothing was deleted" };
        assert!(told.contains(word), "{fault}: {told}");
        assert_eq!(provider.writes(), 0, "{fault}");
        assert_eq!((see(), azure.object(&id).unwrap()), (objects, group), "{fault}");
    }
}

/// A resize that was cut off between stop and start is finished by the next apply: no machine stays off.
#[tokio::test(start_paused = true)]
async fn a_machine_that_was_stopped_for_its_resize_is_started_by_the_next_apply() {
    let mut killed = 0;
    let calls = (40..160).step_by(3).flat_map(|at| [(at, 1), (at, 3)]);
    for (at, servers) in calls {
        let azure = Azure::new().await;
        let provider = azure.provider(Value::Null, None);
        let config = |size: &str| {
            demo([
                ("location", Value::from("westeurope")),
                ("server_count", Value::from(servers)),
                ("vm_size", size.into()),
            ])
        };
        let mut instance = Instance::default();
        let (small, large) = (config("Standard_D2s_v5"), config("Standard_D4s_v5"));
        apply(&provider.cluster(), &mut instance, Some(&small), Options::default()).await.unwrap();
        let fault = "hardware:virtualMachineScaleSets:100";
        azure.cloud.with_world(|world| world.inject(fault.parse().unwrap()));
        let kill = crate::testing::Kill { at, fault: hcs_simulator::CallFault::KillAfter };
        let dying = azure.provider(Value::Null, Some(kill));
        let resource = dying.cluster();
        let mut state = instance.clone();
        tokio::select! {
            biased;
            result = apply(&resource, &mut state, Some(&large), Options::default()) => {
                result.unwrap();
                instance = state;
            }
            () = dying.death() => killed += 1,
        }
        apply(&provider.cluster(), &mut instance, Some(&large), Options::default()).await.unwrap();
        let machines = azure.cloud.with_world(|world| world.running_machines());
        assert_eq!(
            i64::try_from(machines.len()),
            Ok(servers),
            "killed at call {at} of a resize of {servers}"
        );
    }
    assert!(killed > 10, "{killed}");
}

/// What others put into the managed group is named with its type, and goes only where the state says so.
#[tokio::test(start_paused = true)]
async fn a_destroy_names_what_others_made_and_takes_it_along_by_the_states_word_only() {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let config = |force: bool| {
        demo([("location", Value::from("westeurope")), ("force_destroy", force.into())])
    };
    let mut instance = Instance::default();
    apply(&provider.cluster(), &mut instance, Some(&config(false)), Options::default())
        .await
        .unwrap();
    let theirs = Azure::cluster_id().resource("Microsoft.Network/publicIPAddresses", "somebodys");
    let body = json!({ "location": "westeurope", "sku": { "name": "Standard" },
        "properties": { "publicIPAllocationMethod": "Static" } });
    azure.put(&theirs, "2024-05-01", body).await;
    let outcome = apply(&provider.cluster(), &mut instance, None, Options::default()).await;
    let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
    let what = "Microsoft.Network/publicIPAddresses somebodys";
    assert!(told[0].contains(what) && told[0].contains("force_destroy = true"), "{told:?}");
    assert!(azure.object(&theirs).is_some() && instance.current.is_some());
    apply(&provider.cluster(), &mut instance, Some(&config(true)), Options::default())
        .await
        .unwrap();
    apply(&provider.cluster(), &mut instance, None, Options::default()).await.unwrap();
    assert!(azure.object(&theirs).is_none() && azure.object(&Azure::cluster_id()).is_none());
}

/// A disk that fills up, say: all serve, and people are told before they do not.
#[tokio::test(start_paused = true)]
async fn a_server_that_wants_attention_makes_its_cluster_degraded_for_so_long() {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let mut instance = Instance::default();
    let config = demo([("location", Value::from("westeurope"))]);
    apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await.unwrap();
    for (sentence, word) in [(Some("the data disk fills up"), "degraded"), (None, "running")] {
        azure.cloud.with_estate(|estate| {
            estate.servers.as_mut().unwrap().set_attention("demo-server-1", sentence);
        });
        tokio::time::sleep(Duration::from_mins(1)).await;
        refresh(&provider.cluster(), &mut instance).await.unwrap();
        let state = instance.current.clone().unwrap().state;
        assert_eq!(state.get("state"), &Value::from(word));
    }
}

/// The hardware under a running machine may not offer its new size: it stops, and starts elsewhere.
#[tokio::test(start_paused = true)]
async fn a_size_that_the_hardware_refuses_comes_with_a_stop_and_a_start() {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let config =
        |size: &str| demo([("location", Value::from("westeurope")), ("vm_size", size.into())]);
    let mut instance = Instance::default();
    let small = config("Standard_D2s_v5");
    apply(&provider.cluster(), &mut instance, Some(&small), Options::default()).await.unwrap();
    let fault = "hardware:virtualMachineScaleSets:100";
    azure.cloud.with_world(|world| world.inject(fault.parse().unwrap()));
    let large = config("Standard_D4s_v5");
    apply(&provider.cluster(), &mut instance, Some(&large), Options::default()).await.unwrap();
    for slot in 0..3 {
        let set = Azure::cluster_id()
            .resource("Microsoft.Compute/virtualMachineScaleSets", &format!("demo-server-{slot}"));
        assert_eq!(azure.object(&set).unwrap()["sku"]["name"], "Standard_D4s_v5");
    }
    let machines = azure.cloud.with_world(|world| world.running_machines());
    assert_eq!(machines.len(), 3, "all of them run");
    let state = instance.current.clone().unwrap().state;
    assert_eq!(state.get("state"), &Value::from("running"));
}
