//! Opens a value that is never stored.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::open_ephemeral_resource::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics, OpenResponse, Value};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let ephemeral = server.catalog().ephemeral(&request.type_name)?;
    wire::capable(&mut ctx, request.client_capabilities.as_ref());
    let config = ephemeral.shape.decode(request.config.as_ref())?;
    let opened = match ctx.put_off {
        Some(reason) => OpenResponse {
            result: Value::unknown(),
            deferred: Some(reason),
            ..OpenResponse::default()
        },
        None => ephemeral.author.open(&ctx, config).await,
    };
    if opened.diagnostics.has_errors() {
        return Err(opened.diagnostics);
    }
    let deferred = wire::deferred(&ctx, opened.deferred)?;
    Ok(Response {
        result: Some(ephemeral.shape.encode_unless(deferred.is_some(), opened.result)?),
        private: Some(opened.private),
        renew_at: opened.renew_at.map(Into::into),
        diagnostics: wire::diagnostics(opened.diagnostics),
        deferred,
    })
}
