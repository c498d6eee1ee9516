//! Static checks of an action block.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::validate_action_config::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::validate::by_schema;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let action = server.catalog().action(&request.type_name)?;
    let config = action.shape.decode(request.config.as_ref())?;
    let mut diagnostics = by_schema(&action.shape.schema, &config);
    diagnostics.extend(action.author.validate(&ctx, &config).await);
    Ok(Response { diagnostics: wire::diagnostics(diagnostics) })
}
