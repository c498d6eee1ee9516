//! Gives an ephemeral value back.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::close_ephemeral_resource::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let ephemeral = server.catalog().ephemeral(&request.type_name)?;
    if ctx.put_off.is_some() {
        return Ok(Response::default());
    }
    let diagnostics = ephemeral.author.close(&ctx, request.private.unwrap_or_default()).await;
    Ok(Response { diagnostics: wire::diagnostics(diagnostics) })
}
