//! What Azure Resource Manager may answer, and what becomes of it: one test a manner, on virtual time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::TestClock;
use async_trait::async_trait;
use hcs_engine::arm::Arm;
use hcs_engine::cloud::{ArmRequest, ArmResponse, Cloud, Target, TransportError};
use hcs_engine::error::EngineError;
use hcs_engine::lease::Fence;
use hcs_planner::arm::{ArmId, Kind};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

type Answer = Result<ArmResponse, TransportError>;
type Script = Box<dyn FnMut(usize, &str) -> Answer + Send>;

/// Answers by the number of the request and what it asks, `GET /path`.
struct Scripted {
    script: Mutex<Script>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Cloud for Scripted {
    async fn send(&self, request: &ArmRequest) -> Answer {
        let target = match &request.target {
            Target::Path(path) => path.split('?').next().unwrap().to_owned(),
            Target::Url(url) => url.clone(),
        };
        let asked = format!("{} {target}", request.method.as_str());
        let number = {
            let mut all = self.asked.lock().unwrap();
            all.push(asked.clone());
            all.len() - 1
        };
        // A request takes a moment.
        tokio::time::sleep(Duration::from_millis(10)).await;
        (self.script.lock().unwrap())(number, &asked)
    }

    async fn authorize(&self) -> Result<(), TransportError> {
        self.asked.lock().unwrap().push("a token".to_owned());
        Ok(())
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        Ok("caller".to_owned())
    }
}

#[async_trait]
impl Fence for Scripted {
    async fn check(&self) -> Result<(), EngineError> {
        self.asked.lock().unwrap().push("the fence".to_owned());
        Ok(())
    }
}

struct World {
    arm: Arm,
    cloud: Arc<Scripted>,
    started: tokio::time::Instant,
}

impl World {
    fn new(script: impl FnMut(usize, &str) -> Answer + Send + 'static) -> Self {
        let script: Script = Box::new(script);
        let cloud = Arc::new(Scripted { script: Mutex::new(script), asked: Mutex::default() });
        let started = tokio::time::Instant::now();
        let arm = Arm::new(cloud.clone(), Arc::new(TestClock(started)), CancellationToken::new());
        Self { arm, cloud, started }
    }

    fn asked(&self) -> Vec<String> {
        self.cloud.asked.lock().unwrap().clone()
    }

    fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

#[allow(clippy::unnecessary_wraps)]
fn answer(status: u16, body: Value) -> Answer {
    Ok(ArmResponse { status, headers: BTreeMap::new(), body })
}

fn with(response: Answer, name: &str, value: &str) -> Answer {
    response.map(|mut response| {
        response.headers.insert(name.to_owned(), value.to_owned());
        response
    })
}

fn error(status: u16, code: &str) -> Answer {
    answer(status, json!({ "error": { "code": code, "message": "words" } }))
}

fn unsent() -> Answer {
    Err(TransportError::NotSent { host: "arm".into(), source: "refused".into() })
}

fn unanswered() -> Answer {
    Err(TransportError::OutcomeUnknown { host: "arm".into(), source: "broke".into() })
}

fn vnet() -> ArmId {
    ArmId::resource_group("s", "g").resource(Kind::VirtualNetwork.resource_type(), "v")
}

fn done() -> Value {
    json!({ "id": "v", "properties": { "provisioningState": "Succeeded" } })
}

async fn put(world: &World) -> Result<Value, EngineError> {
    world.arm.put(&vnet(), Kind::VirtualNetwork, json!({})).await
}

#[tokio::test(start_paused = true)]
async fn a_wrong_endpoint_costs_seconds_and_a_network_that_blinks_costs_nothing_else() {
    let never = World::new(|_, _| unsent());
    assert!(never.arm.get(&vnet(), Kind::VirtualNetwork).await.is_err());
    assert!(never.seconds() < 5, "{} s", never.seconds());

    // Out of reach for a minute, after the first answer; while polling, too.
    let blinks = World::new(|number, _| match number {
        0 => with(answer(201, json!({})), "azure-asyncoperation", "https://arm/op"),
        1..=8 => unsent(),
        9 => answer(200, json!({ "status": "Succeeded" })),
        _ => answer(200, done()),
    });
    assert_eq!(put(&blinks).await.unwrap(), done());
    assert_eq!(blinks.asked().iter().filter(|asked| asked.starts_with("PUT")).count(), 1);
    assert!(blinks.seconds() > 30, "{} s", blinks.seconds());

    let away = World::new(|number, _| if number == 0 { answer(200, done()) } else { unsent() });
    away.arm.get(&vnet(), Kind::VirtualNetwork).await.unwrap();
    assert!(away.arm.get(&vnet(), Kind::VirtualNetwork).await.is_err());
    assert!((300..400).contains(&away.seconds()), "{} s", away.seconds());
}

#[tokio::test(start_paused = true)]
async fn a_group_is_gone_when_two_different_reads_say_so() {
    let group = ArmId::resource_group("s", "g");
    let listed = |name: &str| answer(200, json!({ "value": [{ "name": name }] }));
    let stale = World::new(move |number, asked| match asked {
        "GET /subscriptions/s/resourcegroups" => listed("G"),
        _ if number == 0 => error(404, "ResourceGroupNotFound"),
        _ => answer(200, json!({ "id": "g" })),
    });
    assert!(stale.arm.get_group(&group).await.unwrap().is_some());

    let gone = World::new(move |_, asked| match asked {
        "GET /subscriptions/s/resourcegroups" => listed("other"),
        _ => error(404, "ResourceGroupNotFound"),
    });
    assert!(gone.arm.get_group(&group).await.unwrap().is_none());

    // Who may not list the subscription asks whether it exists.
    let narrow = World::new(|_, asked| match asked {
        "GET /subscriptions/s/resourcegroups" => error(403, "AuthorizationFailed"),
        _ if asked.starts_with("HEAD") => answer(404, Value::Null),
        _ => error(404, "ResourceGroupNotFound"),
    });
    assert!(narrow.arm.get_group(&group).await.unwrap().is_none());

    let both = World::new(move |_, asked| match asked {
        "GET /subscriptions/s/resourcegroups" => listed("g"),
        _ => error(404, "ResourceGroupNotFound"),
    });
    let told = both.arm.get_group(&group).await.unwrap_err();
    assert!(matches!(told, EngineError::Contradiction { .. }), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_or_leads_in_a_circle_is_no_list() {
    let page = |next: &str| answer(200, json!({ "value": [{}], "nextLink": next }));
    let broken = World::new(move |number, _| match number {
        0 => page("https://arm/2"),
        _ => error(404, "NotFound"),
    });
    assert!(broken.arm.list("/x").await.is_err(), "the second page is missing");
    let absent = World::new(|_, _| error(404, "NotFound"));
    assert_eq!(absent.arm.list("/x").await.unwrap(), Vec::<Value>::new());
    let circle = World::new(move |number, _| page(["https://arm/2", "https://arm/3"][number % 2]));
    assert!(circle.arm.list("/x").await.is_err());
    assert!(circle.asked().len() < 10);
}

#[tokio::test(start_paused = true)]
async fn every_page_of_a_list_is_read() {
    let world = World::new(|number, _| match number {
        0 => answer(200, json!({ "value": [1, 2], "nextLink": "https://arm/2" })),
        1 => answer(200, json!({ "value": [], "nextLink": "https://arm/3" })),
        _ => answer(200, json!({ "value": [3], "nextLink": "" })),
    });
    assert_eq!(world.arm.list("/x").await.unwrap(), [json!(1), json!(2), json!(3)]);
}

/// Who may not look does not know that nothing is there.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_taken_for_gone() {
    for status in [401, 403, 409, 500, 503] {
        let world = World::new(move |_, _| error(status, "SomeRefusal"));
        let found = world.arm.get(&vnet(), Kind::VirtualNetwork).await;
        assert!(found.is_err(), "{status}: {found:?}");
        let world = World::new(move |_, _| error(status, "SomeRefusal"));
        assert!(world.arm.list("/x").await.is_err(), "{status}");
    }
}

/// A run that was killed may have begun it.
#[tokio::test(start_paused = true)]
async fn an_operation_that_somebody_began_is_waited_for_like_ones_own() {
    for code in ["AnotherOperationInProgress", "StorageAccountOperationInProgress"] {
        let started = tokio::time::Instant::now();
        let world = World::new(move |_, asked| match asked.split(' ').next() {
            Some("PUT") if started.elapsed() < Duration::from_mins(40) => error(409, code),
            _ => answer(200, done()),
        });
        world.arm.put(&vnet(), Kind::VirtualNetwork, json!({})).await.unwrap();
        assert!(world.seconds() >= 40 * 60, "{}", world.seconds());
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_address_that_nobody_knows_does_not_mean_that_the_object_is_gone() {
    let world = World::new(|number, asked| match (number, asked.split(' ').next()) {
        (0, _) => with(answer(202, Value::Null), "location", "https://arm/op"),
        (_, Some("GET")) if asked.ends_with("/op") => error(404, "NotFound"),
        (..=5, Some("GET")) => answer(200, done()),
        _ => error(404, "NotFound"),
    });
    world.arm.delete(&vnet(), Kind::VirtualNetwork, false).await.unwrap();
    let asked = world.asked();
    assert_eq!(
        asked.iter().filter(|asked| asked.contains("/virtualNetworks/")).count(),
        6,
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_has_its_token_before_it_asks_the_fence() {
    let world = World::new(|_, _| answer(200, done()));
    let fenced = world.arm.fenced(world.cloud.clone());
    fenced.put(&vnet(), Kind::VirtualNetwork, json!({})).await.unwrap();
    let asked = world.asked();
    assert_eq!(asked[..2], ["a token", "the fence"], "{asked:?}");
    assert!(asked[2].starts_with("PUT "), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_account_is_gone_when_the_list_of_its_group_says_so_too() {
    let group = ArmId::resource_group("11111111-1111-4111-8111-111111111111", "rg-mrg-demo");
    let id = group.resource("Microsoft.Storage/storageAccounts", "hcs1");
    let account = json!({ "id": id.as_str() });
    let blinks = {
        let account = account.clone();
        World::new(move |number, asked| match number {
            0 => error(404, "ResourceNotFound"),
            _ if asked.ends_with("/storageAccounts") => {
                answer(200, json!({ "value": [account.clone()] }))
            }
            _ => answer(200, account.clone()),
        })
    };
    assert_eq!(blinks.arm.get_account(&id).await.unwrap(), Some(account));
    for rows in [json!([]), json!([{ "id": id.as_str().replace("hcs1", "hcs2") }])] {
        let gone = World::new(move |_, asked| match asked.rsplit('/').next() {
            Some("hcs1") => error(404, "ResourceNotFound"),
            Some("storageAccounts") => answer(200, json!({ "value": rows.clone() })),
            _ => answer(200, json!({})),
        });
        assert_eq!(gone.arm.get_account(&id).await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_took_the_place_of_the_one_that_is_meant_is_not_deleted() {
    let group =
        |incarnation: &str| answer(200, json!({ "tags": { "hcs-incarnation": incarnation } }));
    let id = ArmId::resource_group("11111111-1111-4111-8111-111111111111", "rg-mrg-demo");
    let deletes =
        |world: &World| world.asked().iter().filter(|asked| asked.starts_with("DELETE")).count();
    // The answer of the first try is lost; when it looks again, another one is there.
    let lost = World::new(move |number, _| match number {
        0 => group("ours"),
        1 => unanswered(),
        _ => group("another"),
    });
    lost.arm.delete_group(&id, Some("ours"), false).await.unwrap();
    assert_eq!(deletes(&lost), 1, "{:?}", lost.asked());

    let other = World::new(move |_, _| group("another"));
    for meant in [Some("ours"), None] {
        other.arm.delete_group(&id, meant, false).await.unwrap();
    }
    assert_eq!(deletes(&other), 0, "{:?}", other.asked());
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_waited_for_before_it_is_asked_for_again() {
    // The operation fails in a way that may pass; meanwhile somebody's write runs.
    let running = json!({ "properties": { "provisioningState": "Updating" } });
    let world = World::new(move |number, asked| match (number, asked.split(' ').next()) {
        (0, _) => with(answer(201, json!({})), "azure-asyncoperation", "https://arm/op"),
        (1, _) => answer(
            200,
            json!({ "status": "Failed", "error": { "code": "RetryableError", "message": "m" } }),
        ),
        (2..=4, Some("GET")) => answer(200, running.clone()),
        (_, Some("PUT")) if number < 5 => panic!("a write that runs was disturbed"),
        _ => answer(200, done()),
    });
    assert_eq!(put(&world).await.unwrap(), done());

    // No answer, and then refused connections: it is read back before it is written again.
    let lost = World::new(|number, asked| match (number, asked.split(' ').next()) {
        (0, _) => unanswered(),
        (1, Some("GET")) => {
            answer(200, json!({ "properties": { "provisioningState": "Creating" } }))
        }
        (_, Some("PUT")) => panic!("written again while it ran"),
        _ => answer(200, done()),
    });
    assert_eq!(put(&lost).await.unwrap(), done());
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_ran_for_long_still_has_its_second_try() {
    let started = tokio::time::Instant::now();
    let world = World::new(move |_, asked| match asked.split(' ').next() {
        Some("PUT") if started.elapsed() < Duration::from_mins(20) => {
            with(answer(201, json!({})), "azure-asyncoperation", "https://arm/op")
        }
        Some("GET") if asked.ends_with("/op") => {
            if started.elapsed() < Duration::from_mins(20) {
                answer(200, json!({ "status": "InProgress" }))
            } else {
                let error = json!({ "code": "RetryableError", "message": "m" });
                answer(200, json!({ "status": "Failed", "error": error }))
            }
        }
        _ => answer(200, done()),
    });
    assert_eq!(put(&world).await.unwrap(), done());
}

#[tokio::test(start_paused = true)]
async fn no_time_to_wait_is_no_advice() {
    for advice in ["0", "-5", "soon", ""] {
        let world = World::new(move |number, _| {
            if number < 6 {
                with(error(429, "TooManyRequests"), "retry-after", advice)
            } else {
                answer(200, done())
            }
        });
        world.arm.get(&vnet(), Kind::VirtualNetwork).await.unwrap();
        assert!(world.seconds() >= 10, "Retry-After {advice:?}: {} s", world.seconds());
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_with_an_error_in_it_is_none() {
    let always = World::new(|_, _| error(200, "InternalServerError"));
    assert!(always.arm.get(&vnet(), Kind::VirtualNetwork).await.is_err());
    let told = put(&always).await.unwrap_err();
    assert!(told.to_string().contains("InternalServerError"), "{told}");
    assert!(always.arm.list("/x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_operation_has_a_deadline_and_one_last_look_after_it() {
    let started = tokio::time::Instant::now();
    // It ends while nobody looks: the answers ask for an hour's patience.
    let world = World::new(move |_, asked| match asked.split(' ').next() {
        Some("PUT") => with(answer(201, json!({})), "azure-asyncoperation", "https://arm/op"),
        _ if asked.ends_with("/op") => {
            let word = if started.elapsed() > Duration::from_mins(59) {
                "Succeeded"
            } else {
                "InProgress"
            };
            with(answer(200, json!({ "status": word })), "retry-after", "3500")
        }
        _ => answer(200, done()),
    });
    assert_eq!(put(&world).await.unwrap(), done());

    let stuck = World::new(|_, asked| match asked.split(' ').next() {
        Some("PUT") => with(answer(201, json!({})), "azure-asyncoperation", "https://arm/op"),
        _ => answer(200, json!({ "status": "InProgress" })),
    });
    let told = put(&stuck).await.unwrap_err();
    assert!(matches!(told, EngineError::TimedOut { .. }), "{told}");
}

#[tokio::test(start_paused = true)]
async fn one_refusal_holds_back_all_who_share_the_gate() {
    let world = World::new(|number, _| match number {
        0 => with(error(429, "TooManyRequests"), "retry-after", "30"),
        _ => answer(200, done()),
    });
    let gate = hcs_engine::arm::SharedGate::default();
    let (one, other) = (world.arm.clone().sharing(&gate), world.arm.clone().sharing(&gate));
    let (id, kind) = (vnet(), Kind::VirtualNetwork);
    let (first, second) = tokio::join!(one.get(&id, kind), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        other.get(&id, kind).await.map(|_| world.seconds())
    });
    assert!(first.is_ok());
    assert!(second.unwrap() >= 30, "the other waited, too");
    // A read's refusal says nothing of writes.
    assert!(gate_is_open_for_writes(&world, &gate).await);
}

async fn gate_is_open_for_writes(world: &World, gate: &hcs_engine::arm::SharedGate) -> bool {
    let before = world.seconds();
    world.arm.clone().sharing(gate).put(&vnet(), Kind::VirtualNetwork, json!({})).await.unwrap();
    world.seconds() - before < 2
}

#[tokio::test(start_paused = true)]
async fn an_update_under_an_etag_that_moved_is_told_as_changed() {
    let world = World::new(|_, _| error(412, "PreconditionFailed"));
    let told = world.arm.put_where(&vnet(), Kind::VirtualNetwork, json!({}), Some("W/\"1\"")).await;
    assert!(matches!(told, Err(EngineError::Changed { .. })), "{told:?}");
    let unconditional = put(&world).await.unwrap_err();
    assert!(matches!(unconditional, EngineError::Arm(_)), "{unconditional}");
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_one_reason_is_not_held_against_the_next() {
    let started = tokio::time::Instant::now();
    let world = World::new(move |_, asked| match asked.split(' ').next() {
        Some("PUT") if started.elapsed() < Duration::from_mins(45) => {
            with(error(409, "AnotherOperationInProgress"), "retry-after", "60")
        }
        Some("PUT") if started.elapsed() < Duration::from_mins(48) => error(429, "RetryableError"),
        _ => answer(200, done()),
    });
    assert_eq!(put(&world).await.unwrap(), done());
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_accepted_and_fails_each_time_is_not_begun_for_ever() {
    let world = World::new(|_, asked| match asked.split(' ').next() {
        Some("PUT") => with(answer(201, json!({})), "azure-asyncoperation", "https://arm/op"),
        Some("GET") if asked.ends_with("/op") => {
            let error = json!({ "code": "AnotherOperationInProgress", "message": "m" });
            answer(200, json!({ "status": "Failed", "error": error }))
        }
        _ => answer(200, done()),
    });
    let told = put(&world).await.unwrap_err();
    assert!(told.to_string().contains("AnotherOperationInProgress"), "{told}");
    let puts = world.asked().iter().filter(|asked| asked.starts_with("PUT")).count();
    assert!(puts <= 61, "{puts} writes");
}

#[tokio::test(start_paused = true)]
async fn a_set_that_somebody_made_in_the_place_of_ours_is_told_as_changed() {
    let named = |unique: &str| json!({ "properties": { "uniqueId": unique, "provisioningState": "Succeeded" } });
    let (ours, theirs) = (named("ours"), named("theirs"));
    let world = World::new(move |_, asked| match asked.split(' ').next() {
        Some("PUT") => with(answer(201, ours.clone()), "azure-asyncoperation", "https://arm/op"),
        Some("GET") if asked.ends_with("/op") => answer(200, json!({ "status": "Succeeded" })),
        _ => answer(200, theirs.clone()),
    });
    let told = put(&world).await.unwrap_err();
    assert!(matches!(told, EngineError::Changed { .. }), "{told}");
}

#[tokio::test(start_paused = true)]
async fn an_assignment_that_an_earlier_cluster_left_goes_and_is_made_again() {
    let world = World::new(|number, _| match number {
        0 => error(409, "RoleAssignmentUpdateNotPermitted"),
        1 => answer(200, done()),
        _ => answer(201, done()),
    });
    let id = ArmId::new("/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/guid");
    world.arm.put(&id, Kind::RoleAssignment, json!({})).await.unwrap();
    let asked = world.asked();
    let verbs: Vec<&str> = asked.iter().filter_map(|one| one.split(' ').next()).collect();
    assert_eq!(verbs[..2], ["PUT", "DELETE"], "{asked:?}");
    assert_eq!(verbs.last(), Some(&"PUT"), "{asked:?}");
    // Of any other type the words are not ours to act on.
    let world = World::new(|_, _| error(409, "RoleAssignmentUpdateNotPermitted"));
    assert!(put(&world).await.is_err());
    assert!(world.asked().iter().all(|one| !one.starts_with("DELETE")));
}
