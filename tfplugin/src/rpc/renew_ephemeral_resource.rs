//! Prolongs an open ephemeral value.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::renew_ephemeral_resource::{Request, Response};

use super::wire;
use crate::server::{Server, catch};
use crate::{Context, Diagnostics, RenewResponse};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let ephemeral = server.catalog().ephemeral(&request.type_name)?;
    // Whoever could not prolong it has to give it back with what it was opened with: OpenTofu closes with these bytes.
    let kept = request.private.unwrap_or_default();
    let (author, private) = (Arc::clone(&ephemeral.author), kept.clone());
    let renewed = catch(async move { author.renew(&ctx, private).await }).await;
    let renewed = renewed
        .unwrap_or_else(|panic| RenewResponse { diagnostics: panic, ..RenewResponse::default() });
    let has_failed = renewed.diagnostics.has_errors();
    Ok(Response {
        private: Some(if has_failed { kept } else { renewed.private }),
        renew_at: renewed.renew_at.map(Into::into),
        diagnostics: wire::diagnostics(renewed.diagnostics),
    })
}
