//! Reads a data source.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::read_data_source::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, DataResponse, Diagnostics, Value};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let data_source = server.catalog().data_source(&request.type_name)?;
    wire::capable(&mut ctx, request.client_capabilities.as_ref());
    wire::meta(&mut ctx, &server, request.provider_meta.as_ref())?;
    let config = data_source.shape.decode(request.config.as_ref())?;
    let found = match ctx.put_off {
        Some(reason) => {
            DataResponse { deferred: Some(reason), ..DataResponse::new(Value::unknown()) }
        }
        None => data_source.author.read(&ctx, config).await,
    };
    if found.diagnostics.has_errors() {
        return Err(found.diagnostics);
    }
    let deferred = wire::deferred(&ctx, found.deferred)?;
    Ok(Response {
        state: Some(data_source.shape.encode_unless(deferred.is_some(), found.state)?),
        diagnostics: wire::diagnostics(found.diagnostics),
        deferred,
    })
}
