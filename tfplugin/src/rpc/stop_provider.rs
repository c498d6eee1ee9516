//! Cancels the calls that run.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::stop_provider::{Request, Response};

use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    _: Context,
    _: Request,
) -> Result<Response, Diagnostics> {
    tracing::info!("the run was interrupted");
    server.stop.pull();
    Ok(Response::default())
}
