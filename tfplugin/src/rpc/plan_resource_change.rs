//! Says what applying would do.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::plan_resource_change::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics, PlanRequest};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let resource = server.catalog().resource(&request.type_name)?;
    let shape = &resource.shape;
    ctx.write_only_allowed = wire::write_only_allowed(request.client_capabilities.as_ref());
    let change = PlanRequest {
        prior: shape.decode(request.prior_state.as_ref())?,
        proposed: shape.decode(request.proposed_new_state.as_ref())?,
        config: shape.decode(request.config.as_ref())?,
        private: request.prior_private,
    };
    let plan = resource.author.plan(&ctx, change).await;
    if plan.diagnostics.has_errors() {
        return Err(plan.diagnostics);
    }
    Ok(Response {
        planned_state: Some(shape.encode(plan.planned)?),
        requires_replace: plan.requires_replace.iter().map(wire::path).collect(),
        planned_private: plan.private,
        diagnostics: wire::diagnostics(plan.diagnostics),
        ..Response::default()
    })
}
