//! Brings stored state to the current schema version. Terraform asks on every read.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::upgrade_resource_state::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics, UpgradeRequest};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let resource = server.catalog().resource(&request.type_name)?;
    let raw = wire::raw_state(request.raw_state);
    let upgrade = UpgradeRequest { version: request.version, raw };
    let upgraded = resource.author.upgrade(&ctx, upgrade).await;
    if upgraded.diagnostics.has_errors() {
        return Err(upgraded.diagnostics);
    }
    Ok(Response {
        upgraded_state: Some(resource.shape.encode_known(upgraded.state)?),
        diagnostics: wire::diagnostics(upgraded.diagnostics),
    })
}
