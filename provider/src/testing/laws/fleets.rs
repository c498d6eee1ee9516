//! Many clusters in one state: reading them together tells what reading each alone tells, with far fewer requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use hcs_engine::cloud::{ArmRequest, ArmResponse, Cloud, PrincipalType, TransportError};
use hcs_planner::names::{ROLE_BLOB_READER, default_managed_group, storage_account_name};
use hcs_simulator::Settings;
use tfplugin::{Value, async_trait};

use super::cases;
use super::reads::{READER, assign, principal};
use crate::testing::core::{Instance, Options, apply, refresh};
use crate::testing::{Azure, GROUP, group_id};

/// Terraform's own `-parallelism`.
const AT_ONCE: usize = 10;

/// A Resource Manager that is as far away as Azure, with each answer taking another time, and counts.
struct Far {
    near: Arc<dyn Cloud>,
    requests: Arc<AtomicU64>,
}

#[async_trait]
impl Cloud for Far {
    async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, TransportError> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        // From 80 to 199 ms, without an order that anybody could rely on.
        tokio::time::sleep(Duration::from_millis(80 + (number * 7919) % 120)).await;
        self.near.send(request).await
    }

    async fn caller_type(&self) -> Result<Option<PrincipalType>, TransportError> {
        self.near.caller_type().await
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        self.near.caller_object_id().await
    }
}

fn name(number: usize) -> String {
    format!("fleet-{number}")
}

fn config(number: usize) -> Value {
    Value::object([
        ("name", Value::from(name(number))),
        ("resource_group_name", GROUP.into()),
        ("location", "westeurope".into()),
        ("server_count", 1.into()),
    ])
}

/// An Azure with so many clusters, and buckets of the size that Azure's are.
async fn fleet(clusters: usize) -> (Azure, Vec<Instance>) {
    let settings = Settings {
        reads: (250.0, 25.0),
        page_size: 1000,
        cores_limit: 1000,
        ..Settings::default()
    };
    let azure = Azure::with(settings).await;
    let provider = azure.provider(Value::Null, None);
    let mut instances = Vec::new();
    for number in 0..clusters {
        let id = group_id(&default_managed_group(GROUP, &name(number)));
        azure.cloud.serve(&storage_account_name(&id));
        let mut instance = Instance::default();
        let config = config(number);
        apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await.unwrap();
        instances.push(instance);
    }
    (azure, instances)
}

/// Refreshes all of them, so many at once; how many requests and how much time that took.
async fn refreshed(
    azure: &Azure,
    caller: Option<&str>,
    instances: &[Instance],
    at_once: usize,
) -> (Vec<Value>, u64, Duration) {
    // The buckets are full.
    tokio::time::sleep(Duration::from_mins(5)).await;
    let cloud = caller.map_or_else(|| azure.cloud.clone(), |caller| azure.cloud.seen_by(caller));
    let requests = Arc::new(AtomicU64::new(0));
    let provider = azure
        .provider_through(&cloud, |near| Arc::new(Far { near, requests: Arc::clone(&requests) }));
    let begun = tokio::time::Instant::now();
    let states = stream::iter(instances.to_vec()).map(|mut instance| {
        let cluster = provider.cluster();
        async move {
            refresh(&cluster, &mut instance).await.unwrap();
            instance.current.unwrap().state
        }
    });
    let states: Vec<Value> = states.buffered(at_once).collect().await;
    (states, requests.load(Ordering::Relaxed), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_is_read_together_is_what_each_of_it_is_alone() {
    let clusters = cases(100);
    let (azure, instances) = fleet(clusters).await;
    let (alone, each, slow) = refreshed(&azure, None, &instances, 1).await;
    let (together, all, fast) = refreshed(&azure, None, &instances, AT_ONCE).await;
    for (number, (alone, together)) in alone.iter().zip(&together).enumerate() {
        assert_eq!(alone, together, "{}", name(number));
    }
    let promised = u64::try_from(clusters).unwrap() * 6;
    // As `cargo xtask bench` reads them.
    println!("figure\tARM reads of {clusters} clusters, {AT_ONCE} at a time\t{all}\t\t{promised}");
    println!("figure\tARM reads of {clusters} clusters, one by one\t{each}\t\t");
    let ratio = fast.as_secs_f64() / slow.as_secs_f64();
    println!(
        "figure\ttime of {AT_ONCE} at a time to one by one, in Azure's buckets\t{ratio}\tx\t0.25"
    );
    assert!(all <= promised, "{all} requests");
    // Whoever may not list the subscription reads group by group, and reads the same.
    let reader = principal(&azure, "reader").await;
    for number in 0..clusters.min(20) {
        let id = group_id(&default_managed_group(GROUP, &name(number)));
        assign(&azure, &reader, READER, &id).await;
        assign(&azure, &reader, ROLE_BLOB_READER, &id).await;
    }
    let some = &instances[..clusters.min(20)];
    let (by_group, ..) = refreshed(&azure, Some(&reader), some, AT_ONCE).await;
    for (number, (alone, by_group)) in alone.iter().zip(&by_group).enumerate() {
        assert_eq!(alone, by_group, "{}", name(number));
    }
}
