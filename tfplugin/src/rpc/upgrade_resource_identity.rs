//! Brings a stored identity to the current version.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::upgrade_resource_identity::{Request, Response};

use super::wire;
use crate::provider::{RawState, upgrade_by_type};
use crate::server::Server;
use crate::{Context, Diagnostics, UpgradeRequest, Value};

pub(super) async fn call(
    server: Arc<Server>,
    _: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let name = &request.type_name;
    let resource = server.catalog().resource(name)?;
    let Some(identity) = server.catalog().identity(name) else {
        let detail = format!("This provider identifies no {name}.");
        return Err(Diagnostics::error("Unknown identity", detail));
    };
    let raw = wire::raw_state(request.raw_identity);
    // A state from before there were identities has none; it gets one when the object is read.
    if matches!(&raw, RawState::Json(json) if json.trim_ascii() == b"null" || json.trim_ascii() == b"{}")
    {
        let upgraded_identity = Some(identity.encode(Value::Null)?);
        return Ok(Response { upgraded_identity, ..Response::default() });
    }
    let stored = UpgradeRequest { version: request.version, raw };
    let (version, ty) = (identity.schema.version, identity.schema.implied_type());
    let upgraders = resource.author.identity_upgraders();
    let upgraded = upgrade_by_type(name, version, &ty, &upgraders, &stored);
    if upgraded.diagnostics.has_errors() {
        return Err(upgraded.diagnostics);
    }
    Ok(Response {
        upgraded_identity: Some(identity.encode(upgraded.state)?),
        diagnostics: wire::diagnostics(upgraded.diagnostics),
    })
}
