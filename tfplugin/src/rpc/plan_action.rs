//! Says whether an action could be done.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::plan_action::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{ActionPlan, Context, Deferred, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let action = server.catalog().action(&request.action_type)?;
    wire::capable(&mut ctx, request.client_capabilities.as_ref());
    let config = action.shape.decode_block(request.config.as_ref())?;
    let plan = match ctx.put_off {
        Some(reason) => ActionPlan { deferred: Some(reason), ..ActionPlan::default() },
        None => action.author.plan(&ctx, &config).await,
    };
    if plan.diagnostics.has_errors() {
        return Err(plan.diagnostics);
    }
    Ok(Response {
        deferred: wire::deferred(&ctx, passed_on(plan.deferred))?,
        diagnostics: wire::diagnostics(plan.diagnostics),
    })
}

/// Terraform takes one reason from an action, and refuses the plan for any other.
fn passed_on(reason: Option<Deferred>) -> Option<Deferred> {
    reason.filter(|reason| *reason == Deferred::ProviderConfigUnknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_waits_for_the_providers_configuration_and_nothing_else() {
        assert_eq!(passed_on(None), None);
        assert_eq!(passed_on(Some(Deferred::ResourceConfigUnknown)), None);
        assert_eq!(passed_on(Some(Deferred::AbsentPrerequisite)), None);
        let provider = Some(Deferred::ProviderConfigUnknown);
        assert_eq!(passed_on(provider), provider);
    }
}
