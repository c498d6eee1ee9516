//! Calls a function, of which there are none.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::call_function::{Request, Response};

use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    _: Arc<Server>,
    _: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    Err(Diagnostics::error(format!("this provider has no function {:?}", request.name), ""))
}
