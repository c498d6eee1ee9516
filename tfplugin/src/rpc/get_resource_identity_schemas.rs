//! What identifies the objects of each resource that has an identity.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::get_resource_identity_schemas::{Request, Response};

use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    _: Context,
    _: Request,
) -> Result<Response, Diagnostics> {
    let identities = server.catalog().identities.iter();
    let identity_schemas =
        identities.map(|(name, identity)| ((*name).to_owned(), identity.to_proto())).collect();
    Ok(Response { identity_schemas, ..Response::default() })
}
