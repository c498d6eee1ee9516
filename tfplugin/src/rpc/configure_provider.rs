//! Hands the provider block to the author.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::configure_provider::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{ConfigureRequest, Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let provider = &server.catalog().provider;
    wire::capable(&mut ctx, request.client_capabilities.as_ref());
    let config = provider.shape.decode(request.config.as_ref())?;
    let terraform_version = request.terraform_version;
    let request = ConfigureRequest { config, terraform_version };
    let diagnostics = provider.author.configure(&ctx, request).await;
    Ok(Response { diagnostics: wire::diagnostics(diagnostics) })
}
