//! Takes over an object that exists.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::import_resource_state::{ImportedResource, Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics, ImportRequest, ImportResponse, Value};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let resource = server.catalog().resource(&request.type_name)?;
    wire::capable(&mut ctx, request.client_capabilities.as_ref());
    let identity = server.catalog().identity(&request.type_name);
    let wanted = match identity {
        Some(shape) if request.identity.is_some() && request.id.is_empty() => {
            let wanted = ImportRequest::Identity(shape.decode(request.identity.as_ref())?);
            let lacking = wanted.check(&shape.schema);
            if lacking.has_errors() {
                return Err(lacking);
            }
            wanted
        }
        _ => ImportRequest::Id(request.id.clone()),
    };
    let mut imported = match ctx.put_off {
        Some(reason) => {
            ImportResponse { deferred: Some(reason), ..ImportResponse::new(Value::unknown()) }
        }
        None => resource.author.import(&ctx, wanted.clone()).await,
    };
    let nothing = imported.state.is_null() && imported.deferred.is_none();
    if nothing && !imported.diagnostics.has_errors() {
        let name = &request.type_name;
        let detail = match &wanted {
            ImportRequest::Id(id) => format!("No {name} has the id {id:?}."),
            ImportRequest::Identity(_) => format!("No {name} has this identity."),
        };
        imported.diagnostics.push_error("Nothing to import", detail);
    }
    if imported.diagnostics.has_errors() {
        return Err(imported.diagnostics);
    }
    let deferred = wire::deferred(&ctx, imported.deferred)?;
    let is_deferred = deferred.is_some();
    // Who imports by identity may spell it in another way than the provider, which has the last word.
    let identity = match identity {
        Some(shape) if ctx.put_off.is_none() => {
            let named = resource.author.identify(&imported.state);
            let is_known = !imported.state.is_null() && named.is_wholly_known();
            if is_known || !is_deferred { Some(shape.encode(named)?) } else { None }
        }
        _ => None,
    };
    let imported_resource = ImportedResource {
        type_name: request.type_name,
        state: Some(resource.shape.encode_unless(is_deferred, imported.state)?),
        private: imported.private,
        identity,
    };
    Ok(Response {
        imported_resources: vec![imported_resource],
        diagnostics: wire::diagnostics(imported.diagnostics),
        deferred,
    })
}
