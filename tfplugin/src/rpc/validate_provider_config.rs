//! Static checks of the provider block.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::validate_provider_config::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::validate::by_schema;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let provider = &server.catalog().provider;
    let config = provider.shape.decode(request.config.as_ref())?;
    let mut diagnostics = by_schema(&provider.shape.schema, &config);
    diagnostics.extend(provider.author.validate(&ctx, &config).await);
    Ok(Response { diagnostics: wire::diagnostics(diagnostics) })
}
