//! Hands the provider block to the author.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::configure_provider::{Request, Response};

use super::wire;
use crate::server::{Configured, Server};
use crate::{ConfigureRequest, ConfigureResponse, Context, Diagnostics};

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
    // What an earlier run made of its configuration is not for this one.
    server.configured(Configured::default());
    let ConfigureResponse { data, deferred, diagnostics } =
        provider.author.configure(&ctx, request).await;
    if !diagnostics.has_errors() {
        wire::deferred(&ctx, deferred)?;
        server.configured(Configured { data, deferred });
    }
    Ok(Response { diagnostics: wire::diagnostics(diagnostics) })
}
