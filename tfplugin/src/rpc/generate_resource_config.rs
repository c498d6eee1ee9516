//! Turns the state of an object into a configuration for it.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::generate_resource_config::{Request, Response};

use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let resource = server.catalog().resource(&request.type_name)?;
    let state = resource.shape.decode(request.state.as_ref())?;
    let config = resource.author.generate_config(&ctx, state).await;
    Ok(Response { config: Some(resource.shape.encode_known(config)?), ..Response::default() })
}
