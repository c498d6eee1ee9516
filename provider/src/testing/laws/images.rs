//! Another image comes by an apply in a maintenance window, one server after the other, and nothing comes outside of one.

use std::time::Duration;

use hcs_engine::clock::Clock as _;
use hcs_planner::arm::Kind;
use hcs_simulator::CallFault;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use tfplugin::{ReadRequest, Value};

use super::Random;
use super::reads::{READER, assign, principal};
use crate::testing::core::{Instance, Options, apply, plan, refresh, whole};
use crate::testing::{Azure, GROUP, Kill, Provider, demo, group_id};

const OLD: &str = "24.04.202611050";
const NEW: &str = "24.04.202612010";

/// A window each day that began, or begins, so many hours from now.
fn window(azure: &Azure, hours: i64) -> Value {
    let now = i64::try_from(azure.clock.now_unix_ms()).unwrap();
    let now = Timestamp::from_millisecond(now).unwrap().to_zoned(TimeZone::UTC);
    let start = now.checked_add(hours.hours()).unwrap();
    Value::list([Value::object([
        ("start", Value::from(format!("{:02}:{:02}", start.hour(), start.minute()))),
        ("duration", "4h".into()),
        ("time_zone", "UTC".into()),
    ])])
}

fn config(channel: &str, windows: Value) -> Value {
    demo([("image_upgrade_channel", channel.into()), ("maintenance_windows", windows)])
}

/// Images of the three servers.
fn images(azure: &Azure) -> Vec<String> {
    let image = |slot: usize| {
        let name = format!("demo-server-{slot}");
        let set = Azure::cluster_id().resource(Kind::ScaleSet.resource_type(), &name);
        let body = azure.object(&set).unwrap();
        let profile = &body["properties"]["virtualMachineProfile"]["storageProfile"];
        profile["imageReference"]["version"].as_str().unwrap().to_owned()
    };
    (0..3).map(image).collect()
}

async fn is_planned(provider: &Provider, instance: &Instance, config: &Value) -> bool {
    let cluster = provider.cluster();
    let state = instance.current.clone().unwrap().state;
    let planned = plan(&cluster, &state, &[], config).await.unwrap().planned;
    planned != whole(cluster.as_ref(), &state)
}

async fn made(azure: &Azure, config: &Value) -> (Provider, Instance) {
    let provider = azure.provider(Value::Null, None);
    let mut instance = Instance::default();
    let cluster = provider.cluster();
    apply(&cluster, &mut instance, Some(config), Options::default()).await.unwrap();
    assert_eq!(images(azure), [OLD; 3]);
    azure.cloud.with_world(|world| world.publish_image(NEW));
    (provider, instance)
}

#[tokio::test(start_paused = true)]
async fn an_image_comes_by_an_apply_in_a_window_and_not_outside_of_one() {
    let azure = Azure::new().await;
    let none = config("none", Value::list([]));
    let (provider, mut instance) = made(&azure, &none).await;
    let cluster = provider.cluster();
    assert!(!is_planned(&provider, &instance, &none).await, "no channel");

    // The channel itself is a change of the declaration; the image waits for the window.
    let closed = config("latest", window(&azure, 6));
    apply(&cluster, &mut instance, Some(&closed), Options::default()).await.unwrap();
    assert_eq!(images(&azure), [OLD; 3], "outside of the window");
    refresh(&cluster, &mut instance).await.unwrap();
    assert!(!is_planned(&provider, &instance, &closed).await);

    // Another window is a change of the declaration, too; what is due a read says.
    let open = config("latest", window(&azure, -1));
    apply(&cluster, &mut instance, Some(&open), Options::default()).await.unwrap();
    assert_eq!(images(&azure), [OLD; 3]);
    refresh(&cluster, &mut instance).await.unwrap();
    let state = instance.current.clone().unwrap().state;
    assert_eq!(state.get("next_image_version").as_str(), Some(NEW));
    apply(&cluster, &mut instance, Some(&open), Options::default()).await.unwrap();
    assert_eq!(images(&azure), [NEW; 3]);
    let state = instance.current.clone().unwrap().state;
    assert_eq!(state.get("image_version").as_str(), Some(NEW));
    assert!(state.get("next_image_version").is_null());
    refresh(&cluster, &mut instance).await.unwrap();
    assert!(!is_planned(&provider, &instance, &open).await, "nothing newer is there");

    // By the channel alone, with nothing else changed.
    azure.cloud.with_world(|world| world.publish_image("24.04.202612150"));
    refresh(&cluster, &mut instance).await.unwrap();
    assert!(is_planned(&provider, &instance, &open).await);
    apply(&cluster, &mut instance, Some(&open), Options::default()).await.unwrap();
    assert_eq!(images(&azure), ["24.04.202612150"; 3]);
}

/// Core plans again inside the apply, from the same state: what holds in the moment has no part in it.
#[tokio::test(start_paused = true)]
async fn a_window_or_an_image_that_comes_or_goes_after_the_plan_changes_no_plan() {
    for (hours, later_hours) in [(-1, 6), (2, 3)] {
        let azure = Azure::new().await;
        let own = config("latest", window(&azure, hours));
        let (provider, mut instance) = made(&azure, &own).await;
        let cluster = provider.cluster();
        refresh(&cluster, &mut instance).await.unwrap();
        let state = instance.current.clone().unwrap().state;
        assert_eq!(state.get("next_image_version").is_null(), hours > 0);
        let own = own.with("tags", Value::map([("team", Value::from("net"))]));
        let before = plan(&cluster, &state, &[], &own).await.unwrap().planned;
        azure.cloud.with_world(|world| world.publish_image("24.04.202612150"));
        azure.clock.sleep(Duration::from_hours(later_hours)).await;
        let again = plan(&cluster, &state, &[], &own).await.unwrap().planned;
        assert_eq!(before, again, "{hours}");
        // An apply begins with a look of its own.
        apply(&cluster, &mut instance, Some(&own), Options::default()).await.unwrap();
        let expected = if hours > 0 { "24.04.202612150" } else { OLD };
        assert_eq!(images(&azure), [expected; 3], "{hours}");
    }
}

/// Killed anywhere, the next apply in the window brings the rest; nothing is made twice.
#[tokio::test(start_paused = true)]
async fn an_image_that_was_cut_off_is_brought_by_the_next_apply() {
    let mut random = Random(16);
    for _ in 0..super::cases(12) {
        let azure = Azure::new().await;
        let own = config("latest", Value::list([]));
        let (provider, mut instance) = made(&azure, &own).await;
        refresh(&provider.cluster(), &mut instance).await.unwrap();
        let fault = if random.chance(2) { CallFault::KillBefore } else { CallFault::KillAfter };
        let kill = Kill { at: random.below(160), fault };
        let killed = azure.provider(Value::Null, Some(kill));
        // Terraform was killed with it: the state is that of before.
        let (cluster, mut lost) = (killed.cluster(), instance.clone());
        tokio::select! {
            _ = apply(&cluster, &mut lost, Some(&own), Options::default()) => {}
            () = killed.death() => {}
        }
        let provider = azure.provider(Value::Null, None);
        let cluster = provider.cluster();
        refresh(&cluster, &mut instance).await.unwrap();
        apply(&cluster, &mut instance, Some(&own), Options::default()).await.unwrap();
        assert_eq!(images(&azure), [NEW; 3], "{kill}");
        assert_eq!(azure.cloud.with_world(|world| world.running_machines()).len(), 3, "{kill}");
        assert!(!is_planned(&provider, &instance, &own).await, "{kill}");
    }
}

/// Whoever may not read the list of images is told, and everything else goes on.
#[tokio::test(start_paused = true)]
async fn a_caller_that_may_not_list_images_is_told_and_planned_for() {
    let azure = Azure::new().await;
    let own = demo([
        ("image_upgrade_channel", Value::from("latest")),
        ("location", "westeurope".into()),
        ("zones", vec!["1".to_owned(), "2".to_owned(), "3".to_owned()].into()),
    ]);
    let (_, instance) = made(&azure, &own).await;
    let caller = principal(&azure, "planner").await;
    assign(&azure, &caller, READER, &Azure::cluster_id()).await;
    assign(&azure, &caller, READER, &group_id(GROUP)).await;
    let provider = azure.provider_of(&azure.cloud.seen_by(&caller), Value::Null, None);
    let state = instance.current.clone().unwrap().state;
    let request = ReadRequest::new(state.clone());
    let read = provider.cluster().read(&provider.context(), request).await;
    let told: Vec<&str> = read.diagnostics.iter().map(|one| one.summary.as_str()).collect();
    assert!(told.contains(&"The newest image is not known"), "{told:?}");
    let planned = plan(&provider.cluster(), &state, &[], &own).await.unwrap();
    assert_eq!(planned.planned, whole(provider.cluster().as_ref(), &state));
}
