//! Takes over an object that exists.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::import_resource_state::{ImportedResource, Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let resource = server.catalog().resource(&request.type_name)?;
    let mut imported = resource.author.import(&ctx, &request.id).await;
    if imported.state.is_null() && !imported.diagnostics.has_errors() {
        let (id, name) = (&request.id, &request.type_name);
        imported
            .diagnostics
            .push_error("Nothing to import", format!("No {name} has the id {id:?}."));
    }
    if imported.diagnostics.has_errors() {
        return Err(imported.diagnostics);
    }
    let imported_resource = ImportedResource {
        type_name: request.type_name,
        state: Some(resource.shape.encode_known(imported.state)?),
        private: imported.private,
        ..ImportedResource::default()
    };
    Ok(Response {
        imported_resources: vec![imported_resource],
        diagnostics: wire::diagnostics(imported.diagnostics),
        ..Response::default()
    })
}
