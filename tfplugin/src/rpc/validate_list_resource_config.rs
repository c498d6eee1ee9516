//! Static checks of a list block.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::validate_list_resource_config::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::validate::by_schema;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let list_resource = server.catalog().list_resource(&request.type_name)?;
    let config = list_resource.shape.decode(request.config.as_ref())?;
    let mut diagnostics = by_schema(&list_resource.shape.schema, &config);
    diagnostics.extend(list_resource.author.validate(&ctx, &config).await);
    Ok(Response { diagnostics: wire::diagnostics(diagnostics) })
}
