//! Data source `hcs_snapshots`: what a cluster has kept, newest first.

use hcs_engine::snapshot::listing::{Listed, list};
use hcs_planner::names::parse_cluster_id;
use hcs_planner::snapshots::{metadata, time_of};
use jiff::Timestamp;
use tfplugin::plan::equality::ignoring_case;
use tfplugin::validate::{rule, text_rule};
use tfplugin::{Attr, Context, Diagnostic, Diagnostics, Model, TypedDataSource, async_trait};

use super::ask::Account;
use crate::client::Client;
use crate::diagnostics;
use hcs_planner::snapshots::id::SnapshotId;

/// The snapshots of a cluster, those of its policies and those that somebody asked for, the newest first: in its storage
/// account, and in those that policies name with `storage_container_id`, where the
/// caller needs Reader on the account and Storage Blob Data Reader on the container.
#[derive(Model)]
pub(crate) struct Listing {
    /// Id of the cluster.
    #[tf(required, equal_if = ignoring_case, validate = text_rule("the id of a cluster", |id| parse_cluster_id(id).map(|_| ())))]
    cluster_id: Attr<String>,
    /// Only those of the policy of this name.
    policy: Attr<String>,
    /// Only those that were taken before this time, e.g. `2026-11-29T10:00:00Z`.
    #[tf(validate = text_rule("a time", time))]
    created_before: Attr<String>,
    /// At most so many.
    #[tf(validate = rule("a whole number", |count| {
        let fits = count.as_i64().is_some_and(|count| (1..=10_000).contains(&count));
        if fits { Ok(()) } else { Err("limit is a whole number from 1 to 10000.".to_owned()) }
    }))]
    limit: Attr<u32>,
    /// What was found.
    #[tf(computed)]
    snapshots: Attr<Vec<FoundSnapshot>>,
}

/// One snapshot.
#[derive(Model)]
#[tf(computed)]
pub(crate) struct FoundSnapshot {
    /// `<storage container id>/blobs/<path>`, as `hcs_snapshot_restore` takes it.
    id: Attr<String>,
    /// Folder and file in the container.
    path: Attr<String>,
    /// Policy whose it is; null where somebody asked for it.
    policy: Attr<String>,
    /// Size of the archive.
    size_bytes: Attr<i64>,
    /// SHA-256 of the archive, lower-case hex.
    sha256: Attr<String>,
    /// Raft index of the state in it.
    raft_index: Attr<i64>,
    /// The version of Consul that made it.
    consul_version: Attr<String>,
    /// When it was taken.
    created_at: Attr<String>,
    /// When it expires; null where it does not.
    expires_at: Attr<String>,
}

/// The data source.
pub(crate) struct SnapshotsDataSource;

fn time(text: &str) -> Result<(), String> {
    text.parse::<Timestamp>().map(drop).map_err(|_| {
        format!(
            "created_before is {text:?}, which is no time. Write e.g. \"2026-11-29T10:00:00Z\"."
        )
    })
}

/// Policy and time of a snapshot. What a policy took is named by its moment; what somebody asked for says when.
fn taken(one: &Listed) -> (Option<String>, Option<Timestamp>) {
    let (folder, entry) = (one.folder.as_str(), &one.entry);
    let said = |name: &str| entry.metadata.get(name).cloned();
    // In a container of somebody it stands below the cluster's own folder.
    let parent = entry.name.rsplit_once('/').map_or("", |(parent, _)| parent);
    let of_policy = time_of(parent, &entry.name);
    let policy = said(metadata::POLICY).or_else(|| of_policy.map(|_| folder.to_owned()));
    let said_at = said(metadata::CREATED_AT).or_else(|| entry.last_modified.clone());
    (policy, of_policy.or_else(|| said_at?.parse().ok()))
}

#[async_trait]
impl TypedDataSource for SnapshotsDataSource {
    type Model = Listing;

    fn type_name(&self) -> &'static str {
        "hcs_snapshots"
    }

    async fn read(&self, ctx: &Context, config: Listing) -> Result<Listing, Diagnostics> {
        let cluster_id = config.cluster_id.require(Listing::CLUSTER_ID)?;
        let cluster_id = parse_cluster_id(cluster_id).map_err(|detail| {
            Diagnostic::error("Invalid cluster id", detail).at(Listing::CLUSTER_ID)
        })?;
        let account = Account::open(ctx, &hcs_planner::names::storage_account(&cluster_id)).await?;
        let account =
            account.ok_or_else(|| diagnostics::no_cluster(&cluster_id).at(Listing::CLUSTER_ID))?;
        let client = ctx.data::<Client>()?;
        let (arm, stores) = (client.arm(&ctx.cancel), client.stores());
        let listed = list(&arm, stores.as_ref(), account.store.as_ref()).await;
        let (listed, unread) = listed.map_err(|error| account.failed(error))?;
        for told in unread {
            let summary = "Not all snapshots of the cluster are listed";
            ctx.warn(Diagnostic::warning(summary, format!("{told}.")));
        }
        let before = config.created_before.known().and_then(|at| at.parse::<Timestamp>().ok());
        let mut found: Vec<_> = listed
            .into_iter()
            .map(|one| (taken(&one), one))
            .filter(|((policy, at), _)| {
                let is_of =
                    config.policy.known().is_none_or(|wanted| policy.as_ref() == Some(wanted));
                is_of && before.is_none_or(|before| at.is_some_and(|at| at < before))
            })
            .collect();
        found.sort_by(|((_, a), one), ((_, b), other)| {
            (b, &other.entry.name).cmp(&(a, &one.entry.name))
        });
        let limit = config
            .limit
            .known()
            .map_or(usize::MAX, |limit| usize::try_from(*limit).unwrap_or(usize::MAX));
        let rows = found.into_iter().take(limit).map(|((policy, at), one)| {
            let entry = one.entry;
            let path = Attr::Known(entry.name.clone());
            let id = match one.elsewhere {
                None => SnapshotId::of_cluster(&cluster_id, entry.name),
                Some((account, container)) => SnapshotId { account, container, path: entry.name },
            };
            let said = |name: &str| entry.metadata.get(name).cloned();
            FoundSnapshot {
                id: Attr::Known(id.to_string()),
                policy: policy.into(),
                size_bytes: Attr::Known(i64::try_from(entry.size_bytes).unwrap_or(i64::MAX)),
                sha256: said(metadata::SHA256).into(),
                raft_index: said(metadata::RAFT_INDEX).and_then(|text| text.parse().ok()).into(),
                consul_version: said(metadata::CONSUL_VERSION).into(),
                created_at: at.map(|at| at.to_string()).into(),
                expires_at: said(metadata::EXPIRES_AT).into(),
                path,
            }
        });
        let snapshots = rows.collect::<Vec<_>>();
        Ok(Listing { snapshots: snapshots.into(), ..config })
    }
}
