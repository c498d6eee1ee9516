//! Takes over state of another resource type, or of another provider.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::move_resource_state::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics, MoveRequest};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let resource = server.catalog().resource(&request.target_type_name)?;
    let source = MoveRequest {
        source_provider: request.source_provider_address,
        source_type: request.source_type_name,
        source_version: request.source_schema_version,
        raw: wire::raw_state(request.source_state),
        identity: request.source_identity.map(|identity| {
            (request.source_identity_schema_version, wire::raw_state(Some(identity)))
        }),
        private: request.source_private,
    };
    let moved = resource.author.move_from(&ctx, source).await;
    if moved.diagnostics.has_errors() {
        return Err(moved.diagnostics);
    }
    let target_identity = match server.catalog().identity(&request.target_type_name) {
        Some(shape) => Some(shape.encode(resource.author.identify(&moved.state))?),
        None => None,
    };
    Ok(Response {
        target_identity,
        target_state: Some(resource.shape.encode_known(moved.state)?),
        target_private: moved.private,
        diagnostics: wire::diagnostics(moved.diagnostics),
    })
}
