//! The calls of the protocol, one file each: look up, decode, let the author work, encode.
//!
//! A call fails with diagnostics, never with a gRPC status. What is not here answers
//! `Unimplemented`, which Terraform takes for "not offered".

mod apply_resource_change;
mod call_function;
mod close_ephemeral_resource;
mod configure_provider;
mod get_functions;
mod get_metadata;
mod get_provider_schema;
mod get_resource_identity_schemas;
mod import_resource_state;
mod move_resource_state;
mod open_ephemeral_resource;
mod plan_resource_change;
mod read_data_source;
mod read_resource;
mod renew_ephemeral_resource;
mod reply;
mod stop_provider;
mod upgrade_resource_state;
mod validate_data_resource_config;
mod validate_ephemeral_resource_config;
mod validate_provider_config;
mod validate_resource_config;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tfplugin_proto::tfplugin6::{self as proto, provider_server::Provider};
use tonic::{Request, Response, Status, async_trait};

use crate::server::Server;
use crate::{Context, Diagnostics};
use reply::Reply;

/// The provider service of the protocol.
pub(crate) struct Calls {
    server: Arc<Server>,
}

impl Calls {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server }
    }

    /// Runs a call; its failure and its panic become a reply with diagnostics.
    async fn run<Q, R, F>(
        &self,
        request: Request<Q>,
        call: impl FnOnce(Arc<Server>, Context, Q) -> F,
    ) -> Result<Response<R>, Status>
    where
        R: Reply,
        F: Future<Output = Result<R, Diagnostics>> + Send + 'static,
    {
        let request = request.into_inner();
        let reply = self.server.run(|server, ctx| call(server, ctx, request)).await;
        Ok(Response::new(reply.unwrap_or_else(|diagnostics| R::failed(diagnostics))))
    }
}

/// Names the calls that are answered, and who answers them.
macro_rules! calls {
    ($($call:ident),* $(,)?) => {
        #[async_trait]
        impl Provider for Calls {
            $(
                async fn $call(
                    &self,
                    request: Request<proto::$call::Request>,
                ) -> Result<Response<proto::$call::Response>, Status> {
                    self.run(request, $call::call).await
                }
            )*
        }
    };
}

calls!(
    apply_resource_change,
    call_function,
    close_ephemeral_resource,
    configure_provider,
    get_functions,
    get_metadata,
    get_provider_schema,
    get_resource_identity_schemas,
    import_resource_state,
    move_resource_state,
    open_ephemeral_resource,
    plan_resource_change,
    read_data_source,
    read_resource,
    renew_ephemeral_resource,
    stop_provider,
    upgrade_resource_state,
    validate_data_resource_config,
    validate_ephemeral_resource_config,
    validate_provider_config,
    validate_resource_config,
);
