//! Says whether an action could be done.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::plan_action::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let action = server.catalog().action(&request.action_type)?;
    wire::capable(&mut ctx, request.client_capabilities.as_ref());
    let config = action.shape.decode(request.config.as_ref())?;
    let plan = action.author.plan(&ctx, &config).await;
    if plan.diagnostics.has_errors() {
        return Err(plan.diagnostics);
    }
    Ok(Response {
        deferred: wire::deferred(&ctx, plan.deferred)?,
        diagnostics: wire::diagnostics(plan.diagnostics),
    })
}
