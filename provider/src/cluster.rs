//! `hcs_cluster`: schema, validation, plan, apply, read, import. One file each.

mod apply;
mod drift;
mod images;
mod import;
mod model;
mod plan;
mod read;
mod spec;
mod state;
mod validate;
mod windows;

use std::time::Duration;

use tfplugin::typed::Model as _;
use tfplugin::{
    ApplyRequest, ApplyResponse, Context, Diagnostic, Diagnostics, IdentitySchema, ImportRequest,
    ImportResponse, MoveRequest, MoveResponse, PlanRequest, PlanResponse, ReadRequest,
    ReadResponse, Resource, Schema, Timeouts, Upgrader, Value, async_trait,
};

pub(crate) use import::restored;
pub(crate) use model::{Cluster, MaintenanceWindow};
pub(crate) use plan::no_size;
pub(crate) use read::{ca_certificate, unseen};
pub(crate) use spec::tag_map;
pub(crate) use state::{computed, incarnation};
pub(crate) use validate::version as exact_version;

use crate::retired;

/// Type name in configurations.
pub(crate) const TYPE_NAME: &str = "hcs_cluster";

/// How long an operation may take when `timeouts` says nothing.
const TIMEOUT: Duration = Duration::from_hours(1);

/// What the block may hold. Its version starts at 1: 0 belongs to the retired provider of the same name.
fn schema() -> Schema {
    Cluster::schema().blocks(timeouts().block())
}

/// The operations that `timeouts` may limit.
fn timeouts() -> Timeouts {
    Timeouts::none().create(TIMEOUT).update(TIMEOUT).delete(TIMEOUT)
}

/// The words of the attribute `state`.
pub(crate) mod phase {
    /// A change is under way or was interrupted; the next apply goes on.
    pub(crate) const CONVERGING: &str = "converging";
    /// All is as declared, and the servers report a healthy cluster.
    pub(crate) const RUNNING: &str = "running";
    /// All is as declared in Azure, but the servers do not report a healthy cluster.
    pub(crate) const DEGRADED: &str = "degraded";
}

/// The resource.
pub(crate) struct ClusterResource;

#[async_trait]
impl Resource for ClusterResource {
    fn type_name(&self) -> &'static str {
        TYPE_NAME
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn validate(&self, _: &Context, config: &Value) -> Diagnostics {
        validate::validate(config)
    }

    async fn plan(&self, ctx: &Context, request: PlanRequest) -> PlanResponse {
        if let Some(id) = retired::application(&request.prior) {
            return PlanResponse::failed(retired::not_refreshed(id));
        }
        plan::plan(ctx, request).await
    }

    async fn apply(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        Box::pin(apply::apply(ctx, request)).await
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> ReadResponse {
        if let Some(id) = retired::application(&request.state) {
            let diagnostics = retired::cluster_is_gone(id).into();
            return ReadResponse { diagnostics, ..ReadResponse::gone() };
        }
        read::read(ctx, request).await
    }

    fn identity(&self) -> Option<IdentitySchema> {
        Cluster::identity()
    }

    async fn import(&self, ctx: &Context, request: ImportRequest) -> ImportResponse {
        import::import(ctx, request.id_or(Cluster::ID)).await
    }

    fn upgraders(&self) -> Vec<Upgrader> {
        vec![retired::upgrader()]
    }

    async fn move_from(&self, _: &Context, request: MoveRequest) -> MoveResponse {
        retired::moved(TYPE_NAME, &request).unwrap_or_else(|| {
            let detail = format!(
                "A {} of {} cannot become a cluster of this provider.",
                request.source_type, request.source_provider
            );
            MoveResponse::failed(Diagnostic::error("Resource cannot be moved", detail))
        })
    }
}
