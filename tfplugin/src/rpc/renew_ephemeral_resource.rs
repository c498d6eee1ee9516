//! Prolongs an open ephemeral value.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::renew_ephemeral_resource::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let ephemeral = server.catalog().ephemeral(&request.type_name)?;
    let renewed = ephemeral.author.renew(&ctx, request.private.unwrap_or_default()).await;
    Ok(Response {
        private: Some(renewed.private),
        renew_at: renewed.renew_at.map(Into::into),
        diagnostics: wire::diagnostics(renewed.diagnostics),
    })
}
