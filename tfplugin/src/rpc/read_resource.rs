//! Refreshes the state of one resource.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::read_resource::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics, ReadRequest};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let resource = server.catalog().resource(&request.type_name)?;
    let state = resource.shape.decode(request.current_state.as_ref())?;
    let read = ReadRequest { state, private: request.private };
    let seen = resource.author.read(&ctx, read).await;
    if seen.diagnostics.has_errors() {
        // Without a state and with an error Terraform keeps what it has.
        return Err(seen.diagnostics);
    }
    Ok(Response {
        new_state: Some(resource.shape.encode_known(seen.state)?),
        private: seen.private,
        diagnostics: wire::diagnostics(seen.diagnostics),
        ..Response::default()
    })
}
