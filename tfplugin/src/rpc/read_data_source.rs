//! Reads a data source.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::read_data_source::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let data_source = server.catalog().data_source(&request.type_name)?;
    let config = data_source.shape.decode(request.config.as_ref())?;
    let found = data_source.author.read(&ctx, config).await;
    if found.diagnostics.has_errors() {
        return Err(found.diagnostics);
    }
    Ok(Response {
        state: Some(data_source.shape.encode_known(found.state)?),
        diagnostics: wire::diagnostics(found.diagnostics),
        ..Response::default()
    })
}
