//! All schemas at once. Terraform asks once per process and keeps the answer.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::ActionSchema;
use tfplugin_proto::tfplugin6::get_provider_schema::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    _: Context,
    _: Request,
) -> Result<Response, Diagnostics> {
    let catalog = server.catalog();
    let findings = catalog.check();
    if findings.has_errors() {
        return Err(findings);
    }
    Ok(Response {
        provider: Some(catalog.provider.shape.to_proto()),
        resource_schemas: catalog
            .resources
            .iter()
            .map(|(name, entry)| ((*name).to_owned(), entry.shape.to_proto()))
            .collect(),
        data_source_schemas: catalog
            .data_sources
            .iter()
            .map(|(name, entry)| ((*name).to_owned(), entry.shape.to_proto()))
            .collect(),
        ephemeral_resource_schemas: catalog
            .ephemerals
            .iter()
            .map(|(name, entry)| ((*name).to_owned(), entry.shape.to_proto()))
            .collect(),
        list_resource_schemas: catalog
            .list_resources
            .iter()
            .map(|(name, entry)| ((*name).to_owned(), entry.shape.to_proto()))
            .collect(),
        action_schemas: catalog
            .actions
            .iter()
            .map(|(name, entry)| {
                let schema = ActionSchema { schema: Some(entry.shape.to_proto()) };
                ((*name).to_owned(), schema)
            })
            .collect(),
        provider_meta: catalog.meta.as_ref().map(|meta| meta.to_proto()),
        functions: catalog
            .functions
            .iter()
            .map(|(name, author)| ((*name).to_owned(), wire::function(&author.signature())))
            .collect(),
        server_capabilities: Some(wire::server_capabilities()),
        ..Response::default()
    })
}
