//! Makes the planned state true.
//!
//! Whatever goes wrong once the author's code has begun, an object that may exist stays in the
//! state: Terraform forgets what comes back null.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::apply_resource_change::{Request, Response};

use super::wire;
use crate::oracle;
use crate::schema::null_write_only;
use crate::server::{Server, catch};
use crate::{ApplyRequest, ApplyResponse, Context, Diagnostics, Value};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    // A failure up to here has made nothing: without a state Terraform keeps what it has.
    let resource = server.catalog().resource(&request.type_name)?;
    let shape = resource.shape;
    wire::meta(&mut ctx, &server, request.provider_meta.as_ref())?;
    let identity = server.catalog().identity(&request.type_name);
    let before = identity.map(|identity| identity.decode(request.planned_identity.as_ref()));
    let before = before.transpose()?.unwrap_or_default();
    let change = ApplyRequest {
        prior: shape.decode(request.prior_state.as_ref())?,
        planned: shape.decode(request.planned_state.as_ref())?,
        config: shape.decode(request.config.as_ref())?,
        private: request.planned_private,
    };

    let asked = server.judges.then(|| change.clone());
    let known = last_known(&change);
    let kept = change.private.clone();
    let wants_object = !change.is_destroy();
    let author = Arc::clone(&resource.author);
    let applied = catch(async move { author.apply(&ctx, change).await }).await;
    let ApplyResponse { mut state, private, mut diagnostics } =
        applied.unwrap_or_else(|panic| ApplyResponse::failed(known.clone(), panic));

    null_write_only(&mut state, &shape.schema.block);
    if let Some(asked) = asked {
        let diagnostics_so_far = diagnostics.clone();
        let judged = ApplyResponse { diagnostics: diagnostics_so_far, ..ApplyResponse::new(state) };
        let found = oracle::apply(&shape.schema, &asked, &judged);
        diagnostics.extend(found.into_iter().map(Into::into));
        state = judged.state;
    }
    if wants_object && state.is_null() && !diagnostics.has_errors() {
        diagnostics.push_error(
            "Bug in the provider: no state after apply",
            format!(
                "The provider reported success for {} and returned no state.\n\nPlease report \
                 this to the provider's developers.",
                request.type_name
            ),
        );
        state = known.clone();
    }
    let new_identity = match identity {
        Some(shape) if !state.is_null() => {
            let named = resource.author.identify(&state);
            match shape.encode_lasting(&before, named) {
                Ok(named) => Some(named),
                Err(bug) => {
                    diagnostics.extend(bug);
                    shape.encode(before).ok()
                }
            }
        }
        _ => None,
    };
    let salvage = state.clone().unknowns_as_null();
    let new_state = shape.encode_known(state).or_else(|bug| {
        diagnostics.extend(bug);
        shape.encode(salvage).or_else(|_| shape.encode(known))
    })?;
    Ok(Response {
        new_state: Some(new_state),
        private: private.unwrap_or(kept),
        new_identity,
        diagnostics: wire::diagnostics(diagnostics),
        ..Response::default()
    })
}

/// What is in the state if the author's code says nothing: the prior object, or for a create what
/// was to become of it.
fn last_known(change: &ApplyRequest) -> Value {
    if change.is_create() {
        change.planned.clone().unknowns_as_null()
    } else {
        change.prior.clone()
    }
}
