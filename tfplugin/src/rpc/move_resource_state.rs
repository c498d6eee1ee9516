//! Takes over state of another resource type, which is not offered.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::move_resource_state::{Request, Response};

use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    _: Arc<Server>,
    _: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    Err(Diagnostics::error(
        "Resource cannot be moved across types",
        format!(
            "This provider cannot take over a {} as a {}. Remove it from the state and import it \
             instead.",
            request.source_type_name, request.target_type_name
        ),
    ))
}
