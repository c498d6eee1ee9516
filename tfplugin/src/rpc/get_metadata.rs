//! Names of everything that the provider offers.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::get_metadata::{
    ActionMetadata, DataSourceMetadata, EphemeralMetadata, FunctionMetadata, ListResourceMetadata,
    Request, ResourceMetadata, Response,
};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    _: Context,
    _: Request,
) -> Result<Response, Diagnostics> {
    let catalog = server.catalog();
    let name = |name: &&'static str| (*name).to_owned();
    Ok(Response {
        server_capabilities: Some(wire::server_capabilities()),
        resources: catalog
            .resources
            .keys()
            .map(|resource| ResourceMetadata { type_name: name(resource) })
            .collect(),
        data_sources: catalog
            .data_sources
            .keys()
            .map(|data_source| DataSourceMetadata { type_name: name(data_source) })
            .collect(),
        ephemeral_resources: catalog
            .ephemerals
            .keys()
            .map(|ephemeral| EphemeralMetadata { type_name: name(ephemeral) })
            .collect(),
        list_resources: catalog
            .list_resources
            .keys()
            .map(|resource| ListResourceMetadata { type_name: name(resource) })
            .collect(),
        actions: catalog
            .actions
            .keys()
            .map(|action| ActionMetadata { type_name: name(action) })
            .collect(),
        functions: catalog
            .functions
            .keys()
            .map(|function| FunctionMetadata { name: name(function) })
            .collect(),
        ..Response::default()
    })
}
