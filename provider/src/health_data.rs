//! Data source `hcs_cluster_health`: how a cluster is now, for `check` blocks and postconditions.

use hcs_engine::observe::open_store;
use hcs_engine::status::{ClusterStatus, read_cluster_status};
use hcs_engine::unix_s;
use hcs_planner::names::Names;
use tfplugin::{Attr, Context, Diagnostic, Diagnostics, Model, TypedDataSource, async_trait};

use crate::advice::advice;
use crate::client::Client;
use crate::diagnostics;

/// How a cluster is now, as its servers tell it in the cluster's storage account: what `hcs status` prints, for `check`
/// blocks and postconditions. A cluster that is not well is no error here. Reading it needs `Storage Blob Data Reader` on
/// the containers `config`, `certificates`, `decisions`, `snapshots` and `status-*`.
#[derive(Model)]
pub(crate) struct Health {
    /// `hcs_cluster.id`.
    #[tf(required)]
    cluster_id: Attr<String>,
    /// Whether all that is declared serves, and nothing is left open.
    #[tf(computed)]
    is_well: Attr<bool>,
    /// What is not as it should be, in sentences.
    #[tf(computed)]
    attention: Attr<Vec<String>>,
    /// Consul node name of the leader; null where none is known.
    #[tf(computed)]
    leader_name: Attr<String>,
    /// How many servers have a vote.
    #[tf(computed)]
    voter_count: Attr<u32>,
    /// How many servers may fail now without a loss of the quorum.
    #[tf(computed)]
    failure_tolerance: Attr<u32>,
    /// Whole days until the first certificate of a server or the CA ends; negative after that, null where none is known.
    #[tf(computed)]
    certificate_days_left: Attr<i64>,
    /// When a policy kept a snapshot last, RFC 3339; null where none did.
    #[tf(computed)]
    last_snapshot_at: Attr<String>,
    /// Seconds since then.
    #[tf(computed)]
    last_snapshot_age_seconds: Attr<i64>,
    /// What the servers do by themselves now, in words; null where they do nothing.
    #[tf(computed)]
    running_job: Attr<String>,
    /// The apply or destroy that works now, in words; null where none does.
    #[tf(computed)]
    running_operation: Attr<String>,
    /// The last upgrade of Consul, in words; null where there was none.
    #[tf(computed)]
    upgrade: Attr<String>,
    /// When the maintenance window opens next, or opened that is open now, RFC 3339; null without windows.
    #[tf(computed)]
    next_maintenance_at: Attr<String>,
}

/// The data source.
pub(crate) struct HealthDataSource;

#[async_trait]
impl TypedDataSource for HealthDataSource {
    type Model = Health;

    fn type_name(&self) -> &'static str {
        "hcs_cluster_health"
    }

    async fn read(&self, ctx: &Context, config: Health) -> Result<Health, Diagnostics> {
        let (client, at) = (ctx.data::<Client>()?, Health::CLUSTER_ID);
        let cluster_id = config.cluster_id.require(at)?;
        let arm = client.arm(&ctx.cancel);
        let (id, spec, observed) = client.cluster_of(&arm, at, cluster_id).await?;
        let told = |error| {
            let reason = diagnostics::sentence(&error);
            let detail = format!("{reason}\n\nNothing was changed. {}", advice(&error));
            Diagnostic::error(format!("Cannot read how cluster {:?} is", spec.name), detail)
        };
        let store = open_store(client.stores().as_ref(), &Names::new(&spec), &observed);
        let Some(store) = store.map_err(told)? else {
            let detail = format!("{id} has no storage account, in which its servers tell it.");
            return Err(Diagnostic::error("Nobody tells how the cluster is", detail).at(at).into());
        };
        let now_unix_ms = client.clock().now_unix_ms();
        let status = read_cluster_status(store.as_ref(), now_unix_ms).await.map_err(told)?;
        Ok(Health::new(config.cluster_id, status, now_unix_ms))
    }
}

impl Health {
    fn new(cluster_id: Attr<String>, status: ClusterStatus, now: u64) -> Self {
        let now_unix_s = i64::try_from(now / 1000).unwrap_or(i64::MAX);
        let servers = status.servers.iter().map(|server| &server.certificate_expires_at);
        let ends = servers.chain([&status.ca_certificate_expires_at]).flatten();
        let first_end = ends.filter_map(|end| unix_s(end)).min();
        let days_left = first_end.map(|end| (end - now_unix_s).div_euclid(24 * 3600));
        let snapshots = status.policies.iter().filter_map(|policy| {
            let at = policy.last_success_at.as_ref()?;
            Some((unix_s(at)?, at.clone()))
        });
        let newest = snapshots.max();
        let age_seconds = newest.as_ref().map(|(at, _)| now_unix_s.saturating_sub(*at));
        let works = status.run.filter(|run| run.state == "working");
        Self {
            cluster_id,
            is_well: status.is_well.into(),
            attention: status.attention.into(),
            leader_name: status.quorum.leader.into(),
            voter_count: status.quorum.voters.into(),
            failure_tolerance: status.quorum.failure_tolerance.into(),
            certificate_days_left: days_left.into(),
            last_snapshot_at: newest.map(|(_, at)| at).into(),
            last_snapshot_age_seconds: age_seconds.into(),
            running_job: status.job.into(),
            upgrade: status.upgrade.into(),
            next_maintenance_at: status.next_maintenance_at.into(),
            running_operation: works
                .map(|run| {
                    let operation = run.operation.as_str();
                    format!("{operation} of {} since {}", run.holder, run.started_at)
                })
                .into(),
        }
    }
}
