//! Refreshes the state of one resource.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::read_resource::{Request, Response};

use super::wire;
use crate::oracle;
use crate::schema::null_write_only;
use crate::server::Server;
use crate::{Context, Diagnostics, ReadRequest, ReadResponse};

pub(super) async fn call(
    server: Arc<Server>,
    mut ctx: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let resource = server.catalog().resource(&request.type_name)?;
    wire::capable(&mut ctx, request.client_capabilities.as_ref());
    wire::meta(&mut ctx, &server, request.provider_meta.as_ref())?;
    let identity = server.catalog().identity(&request.type_name);
    let before = identity.map(|identity| identity.decode(request.current_identity.as_ref()));
    let before = before.transpose()?.unwrap_or_default();
    let state = resource.shape.decode(request.current_state.as_ref())?;
    let kept = request.private.clone();
    let read = ReadRequest { state, private: request.private };
    let mut seen = match ctx.put_off {
        Some(reason) => ReadResponse { deferred: Some(reason), ..ReadResponse::new(read.state) },
        None => resource.author.read(&ctx, read).await,
    };
    null_write_only(&mut seen.state, &resource.shape.schema.block);
    if server.judges && !seen.diagnostics.has_errors() {
        let found = oracle::refresh(&resource.shape.schema, &seen.state);
        seen.diagnostics.extend(found.into_iter().map(Into::into));
    }
    if seen.diagnostics.has_errors() {
        // Without a state and with an error Terraform keeps what it has.
        return Err(seen.diagnostics);
    }
    let deferred = wire::deferred(&ctx, seen.deferred)?;
    let is_deferred = deferred.is_some();
    let new_identity = match identity {
        Some(_) if is_deferred => None,
        Some(shape) if !seen.state.is_null() => {
            Some(shape.encode_lasting(&before, resource.author.identify(&seen.state))?)
        }
        _ => None,
    };
    Ok(Response {
        new_identity,
        deferred,
        new_state: Some(resource.shape.encode_unless(is_deferred, seen.state)?),
        private: seen.private.unwrap_or(kept),
        diagnostics: wire::diagnostics(seen.diagnostics),
    })
}
