//! One list for many: nobody is told anything older than a list of their own would tell, nobody waits for ever, and it is
//! never dearer than asking group by group.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::TestClock;
use async_trait::async_trait;
use futures::future::join_all;
use hcs_engine::arm::Arm;
use hcs_engine::cloud::{ArmRequest, ArmResponse, Cloud, Target, TransportError};
use hcs_planner::arm::{ArmId, Kind};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SUBSCRIPTION: &str = "/subscriptions/s";

fn group(number: usize) -> ArmId {
    ArmId::new(format!("{SUBSCRIPTION}/resourceGroups/rg-{number}"))
}

/// How the subscription's list is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Whole,
    Paged(usize),
    Refused,
    Unseen,
    Broken,
}

/// Networks of so many groups, each with the moment at which the list that names it began.
struct Azure {
    started: Instant,
    groups: usize,
    manner: Manner,
    asked: Mutex<Vec<String>>,
}

impl Azure {
    fn rows(&self, groups: impl Iterator<Item = usize>) -> Vec<Value> {
        let began = u64::try_from(self.started.elapsed().as_millis()).unwrap();
        let id = |number| {
            group(number).resource(Kind::VirtualNetwork.resource_type(), &format!("v-{number}"))
        };
        groups.map(|number| json!({ "id": id(number), "began": began })).collect()
    }
}

#[async_trait]
impl Cloud for Azure {
    async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, TransportError> {
        let target = match &request.target {
            Target::Path(path) | Target::Url(path) => path.clone(),
        };
        self.asked.lock().unwrap().push(target.clone());
        let lower = target.to_lowercase();
        let of_group = lower
            .split("/resourcegroups/rg-")
            .nth(1)
            .map(|rest| rest.split('/').next().unwrap().parse::<usize>().unwrap());
        if lower.contains("/locks?") {
            let lock = |scope: &str| json!({ "id": format!("{scope}/providers/Microsoft.Authorization/locks/l") });
            let locks = [SUBSCRIPTION.to_owned(), group(0).to_string(), format!("{}/x", group(1))];
            let value: Vec<Value> = locks.iter().map(|scope| lock(scope)).collect();
            return Ok(ArmResponse {
                status: 200,
                body: json!({ "value": value }),
                ..ArmResponse::default()
            });
        }
        let (status, body) = match (of_group, self.manner) {
            (Some(number), _) => (200, json!({ "value": self.rows(number..=number) })),
            (None, Manner::Whole) => (200, json!({ "value": self.rows(0..self.groups) })),
            (None, Manner::Paged(pages)) => {
                let page = lower.split("page=").nth(1).map_or(0, |page| page.parse().unwrap());
                let next = (page + 1 < pages)
                    .then(|| format!("{SUBSCRIPTION}/providers/more?page={}", page + 1));
                let rows = self.rows((0..self.groups).filter(|number| number % pages == page));
                (200, json!({ "value": rows, "nextLink": next }))
            }
            (None, Manner::Refused) => (403, json!({ "error": { "code": "AuthorizationFailed" } })),
            (None, Manner::Unseen) => (404, json!({ "error": { "code": "SubscriptionNotFound" } })),
            (None, Manner::Broken) => (400, json!({ "error": { "code": "BadRequest" } })),
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(ArmResponse { status, body, ..ArmResponse::default() })
    }

    async fn authorize(&self) -> Result<(), TransportError> {
        Ok(())
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        Ok("caller".to_owned())
    }
}

fn world(groups: usize, manner: Manner) -> (Arm, Arc<Azure>) {
    let started = Instant::now();
    let azure = Arc::new(Azure { started, groups, manner, asked: Mutex::default() });
    let arm = Arm::new(azure.clone(), Arc::new(TestClock(started)), CancellationToken::new());
    (arm, azure)
}

/// Each group is asked for at its own moment. What is told of it is all of it, and nothing older.
async fn ask(arm: &Arm, azure: &Azure, moments_ms: &[u64]) {
    let readers = moments_ms.iter().map(|_| arm.reads_a_cluster()).collect::<Vec<_>>();
    let asking = moments_ms.iter().enumerate().zip(readers).map(
        |((number, moment_ms), reader)| async move {
            let _reader = reader;
            tokio::time::sleep(Duration::from_millis(*moment_ms)).await;
            let asked_ms = u64::try_from(azure.started.elapsed().as_millis()).unwrap();
            let rows = arm.list_in_group(&group(number), Kind::VirtualNetwork).await.unwrap();
            assert_eq!(rows.len(), 1, "{rows:?}");
            assert!(rows[0]["id"].as_str().unwrap().ends_with(&format!("/v-{number}")));
            assert!(
                rows[0]["began"].as_u64().unwrap() >= asked_ms,
                "asked at {asked_ms}: {rows:?}"
            );
        },
    );
    join_all(asking).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_gets_all_of_their_group_and_nothing_older_than_the_question() {
    let manners = [
        Manner::Whole,
        Manner::Paged(3),
        Manner::Paged(40),
        Manner::Refused,
        Manner::Unseen,
        Manner::Broken,
    ];
    let mut seed = 1_u64;
    for manner in manners {
        for round in 0..50 {
            let (arm, azure) = world(12, manner);
            for _ in 0..2 {
                let moments: Vec<u64> = (0..12)
                    .map(|_| {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (seed >> 33) % 600
                    })
                    .collect();
                ask(&arm, &azure, &moments).await;
            }
            let asked = azure.asked.lock().unwrap().len();
            // Two rounds of twelve; what is found out about a list costs what it costs once.
            let bound = match manner {
                Manner::Paged(pages) => 24 + pages,
                _ => 24 + 2,
            };
            assert!(asked <= bound, "{manner:?} round {round}: {asked} requests");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn together_one_list_is_enough_and_alone_it_is_the_groups_own() {
    let (arm, azure) = world(10, Manner::Whole);
    ask(&arm, &azure, &[0; 10]).await;
    assert_eq!(azure.asked.lock().unwrap().len(), 1);
    let (arm, azure) = world(1, Manner::Whole);
    ask(&arm, &azure, &[0]).await;
    let asked = azure.asked.lock().unwrap().clone();
    assert!(asked.len() == 1 && asked[0].contains("/resourceGroups/rg-0/"), "{asked:?}");
    assert!(azure.started.elapsed() <= Duration::from_millis(100), "nobody is waited for");
}

/// A lock above a group forbids in it, and one of another group does not.
#[tokio::test(start_paused = true)]
async fn locks_from_above_are_told_to_every_group() {
    let (arm, azure) = world(3, Manner::Whole);
    let _readers: Vec<_> = (0..3).map(|_| arm.reads_a_cluster()).collect();
    let lists = join_all((0..3).map(|number| {
        let arm = arm.clone();
        async move { arm.list_in_group(&group(number), Kind::Lock).await.unwrap() }
    }));
    let scopes: Vec<Vec<String>> = lists
        .await
        .into_iter()
        .map(|rows| {
            let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
            rows.iter().map(|row| id(row).split("/providers/").next().unwrap().to_owned()).collect()
        })
        .collect();
    let above = SUBSCRIPTION.to_owned();
    let expected = [
        vec![above.clone(), group(0).to_string()],
        vec![above.clone(), format!("{}/x", group(1))],
        vec![above],
    ];
    assert_eq!(scopes, expected);
    assert_eq!(azure.asked.lock().unwrap().len(), 1);
}

/// The one who fetches is stopped while others wait: they ask for themselves.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_list_that_its_fetcher_gave_up() {
    for after_ms in [1, 30, 60, 120] {
        let (arm, azure) = world(4, Manner::Whole);
        let _readers: Vec<_> = (0..4).map(|_| arm.reads_a_cluster()).collect();
        let first = {
            let arm = arm.clone();
            tokio::spawn(async move { arm.list_in_group(&group(0), Kind::VirtualNetwork).await })
        };
        tokio::time::sleep(Duration::from_millis(1)).await;
        let stop = async {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            first.abort();
        };
        let others =
            join_all((1..3).map(|number| {
                let arm = arm.clone();
                async move {
                    arm.list_in_group(&group(number), Kind::VirtualNetwork).await.unwrap().len()
                }
            }));
        let ((), others) = tokio::join!(stop, others);
        assert_eq!(others, [1, 1], "after {after_ms} ms");
        assert!(azure.started.elapsed() < Duration::from_secs(2));
    }
}
