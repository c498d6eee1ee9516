//! Static checks of a data block.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::validate_data_resource_config::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::validate::by_schema;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let data_source = server.catalog().data_source(&request.type_name)?;
    let config = data_source.shape.decode(request.config.as_ref())?;
    let mut diagnostics = by_schema(&data_source.shape.schema, &config);
    diagnostics.extend(data_source.author.validate(&ctx, &config).await);
    Ok(Response { diagnostics: wire::diagnostics(diagnostics) })
}
