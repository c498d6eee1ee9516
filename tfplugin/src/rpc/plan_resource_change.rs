//! Says what applying would do.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::plan_resource_change::{Request, Response};

use super::wire;
use crate::oracle;
use crate::plan::by_schema;
use crate::schema::null_write_only;
use crate::server::Server;
use crate::{Context, Diagnostics, PlanRequest, PlanResponse};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let resource = server.catalog().resource(&request.type_name)?;
    let shape = &resource.shape;
    wire::capable(&mut ctx, request.client_capabilities.as_ref());
    wire::meta(&mut ctx, &server, request.provider_meta.as_ref())?;
    let identity = server.catalog().identity(&request.type_name);
    let prior_identity = identity.map(|identity| identity.decode(request.prior_identity.as_ref()));
    let prior_identity = prior_identity.transpose()?.unwrap_or_default();
    let change = PlanRequest {
        prior: shape.decode(request.prior_state.as_ref())?,
        proposed: shape.decode(request.proposed_new_state.as_ref())?,
        config: shape.decode(request.config.as_ref())?,
        private: request.prior_private,
        planned_private: (!request.planned_private.is_empty()).then_some(request.planned_private),
    };
    let kept = change.private.clone();
    let is_create = change.prior.is_null();
    let asked = server.judges.then(|| change.clone());
    let mut plan = match ctx.put_off {
        Some(reason) => PlanResponse { deferred: Some(reason), ..by_schema(&shape.schema, change) },
        None => resource.author.plan(&ctx, change).await,
    };
    null_write_only(&mut plan.planned, &shape.schema.block);
    if let Some(asked) = asked
        && !plan.diagnostics.has_errors()
        && plan.deferred.is_none()
    {
        let found = oracle::plan(&shape.schema, &asked, &plan);
        plan.diagnostics.extend(found.into_iter().map(Into::into));
    }
    if plan.diagnostics.has_errors() {
        return Err(plan.diagnostics);
    }
    // Known before apply only where nothing of it has to be waited for; a replacement gets its own.
    let planned_identity = match identity {
        Some(shape) if plan.requires_replace.is_empty() && !plan.planned.is_null() => {
            match resource.author.identify(&plan.planned) {
                // The create of a replacement comes with the identity of the object that goes.
                named if named.is_wholly_known() && is_create => Some(shape.encode(named)?),
                named if named.is_wholly_known() => {
                    Some(shape.encode_lasting(&prior_identity, named)?)
                }
                _ => None,
            }
        }
        _ => None,
    };
    Ok(Response {
        deferred: wire::deferred(&ctx, plan.deferred)?,
        planned_identity,
        planned_state: Some(shape.encode(plan.planned)?),
        requires_replace: plan.requires_replace.iter().map(wire::path).collect(),
        planned_private: plan.private.unwrap_or(kept),
        diagnostics: wire::diagnostics(plan.diagnostics),
        ..Response::default()
    })
}
