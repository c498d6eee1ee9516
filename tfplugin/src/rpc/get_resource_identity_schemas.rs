//! Identity schemas, of which there are none: objects are known by their ids.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::get_resource_identity_schemas::{Request, Response};

use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(_: Arc<Server>, _: Context, _: Request) -> Result<Response, Diagnostics> {
    Ok(Response::default())
}
