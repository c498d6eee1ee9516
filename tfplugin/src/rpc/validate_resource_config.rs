//! Static checks of a resource block.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::validate_resource_config::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::validate::{by_schema, write_only_values};
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let resource = server.catalog().resource(&request.type_name)?;
    let config = resource.shape.decode(request.config.as_ref())?;
    wire::capable(&mut ctx, request.client_capabilities.as_ref());
    let mut diagnostics = by_schema(&resource.shape.schema, &config);
    if !ctx.write_only_allowed {
        // It would take them for values like any other, and store them.
        diagnostics.extend(write_only_values(&resource.shape.schema, &config));
    }
    diagnostics.extend(resource.author.validate(&ctx, &config).await);
    Ok(Response { diagnostics: wire::diagnostics(diagnostics) })
}
