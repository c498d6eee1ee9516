//! Static checks of an ephemeral block.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::validate_ephemeral_resource_config::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::validate::by_schema;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let ephemeral = server.catalog().ephemeral(&request.type_name)?;
    let config = ephemeral.shape.decode(request.config.as_ref())?;
    let mut diagnostics = by_schema(&ephemeral.shape.schema, &config);
    diagnostics.extend(ephemeral.author.validate(&ctx, &config).await);
    Ok(Response { diagnostics: wire::diagnostics(diagnostics) })
}
