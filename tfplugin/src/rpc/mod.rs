//! The calls of the protocol, one file each: look up, decode, let the author work, encode.
//!
//! A call fails with diagnostics, never with a gRPC status. What is not here answers
//! `Unimplemented`, which Terraform takes for "not offered".

mod apply_resource_change;
mod call_function;
mod close_ephemeral_resource;
mod configure_provider;
mod generate_resource_config;
mod get_functions;
mod get_metadata;
mod get_provider_schema;
mod get_resource_identity_schemas;
mod import_resource_state;
mod invoke_action;
mod list_resource;
mod move_resource_state;
mod open_ephemeral_resource;
mod plan_action;
mod plan_resource_change;
mod read_data_source;
mod read_resource;
mod renew_ephemeral_resource;
mod reply;
mod stop_provider;
mod upgrade_resource_identity;
mod upgrade_resource_state;
mod validate_action_config;
mod validate_data_resource_config;
mod validate_ephemeral_resource_config;
mod validate_list_resource_config;
mod validate_provider_config;
mod validate_resource_config;
mod wire;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting_tests;

use std::sync::Arc;
use std::time::Instant;

use tfplugin_proto::tfplugin6::{self as proto, provider_server::Provider};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, async_trait};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::logs::call_span;
use crate::server::{Server, catch};
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

    /// Runs a call on these threads; its failure and its panic become a reply with diagnostics.
    async fn run<Q, R, F>(
        &self,
        threads: &Handle,
        name: &str,
        request: Request<Q>,
        call: impl FnOnce(Arc<Server>, Context, Q) -> F,
    ) -> Result<Response<R>, Status>
    where
        R: Reply,
        F: Future<Output = Result<R, Diagnostics>> + Send + 'static,
    {
        let request = request.into_inner();
        let mut told = Context::new();
        let (span, started) = (call_span(name, &request_id()), Instant::now());
        let reply = self
            .server
            .run(threads, |server, ctx| {
                told = ctx.clone();
                call(server, ctx, request).instrument(span.clone())
            })
            .await;
        let mut reply = reply.unwrap_or_else(|diagnostics| R::failed(diagnostics));
        reply.tell(told.take_messages());
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        span.in_scope(|| tracing::debug!(took_ms, "answered"));
        Ok(Response::new(reply))
    }

    /// Runs a call that answers with a stream of events. A caller that goes away cancels it.
    fn stream<Q, E, F>(
        &self,
        name: &str,
        request: Request<Q>,
        call: impl FnOnce(Arc<Server>, Context, Q, Sender<E>) -> F,
    ) -> Response<BoxStream<E>>
    where
        E: Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, receiver) = channel(1);
        let ctx = self.server.context(self.server.stop.token());
        let (gone, cancel) = (sender.clone(), ctx.cancel.clone());
        let call = call(Arc::clone(&self.server), ctx, request.into_inner(), sender)
            .instrument(call_span(name, &request_id()));
        self.server.spawn(async move {
            let work = catch(call);
            tokio::pin!(work);
            tokio::select! {
                _ = &mut work => return,
                () = gone.closed() => cancel.cancel(),
            }
            let _ = work.await;
        });
        Response::new(Box::pin(ReceiverStream::new(receiver).map(Ok)))
    }
}

/// An id by which the lines of one call are found in a log.
fn request_id() -> String {
    Uuid::new_v4().to_string()
}

/// Names the calls that are answered, and who answers them.
macro_rules! calls {
    ($($call:ident),* $(,)?; streaming $($stream:ident),*; at once $($now:ident),*) => {
        #[async_trait]
        impl Provider for Calls {
            $(
                async fn $call(
                    &self,
                    request: Request<proto::$call::Request>,
                ) -> Result<Response<proto::$call::Response>, Status> {
                    self.run(&self.server.threads(), stringify!($call), request, $call::call).await
                }
            )*
            $(
                // Waits for none of the author's threads: they may all be taken.
                async fn $now(
                    &self,
                    request: Request<proto::$now::Request>,
                ) -> Result<Response<proto::$now::Response>, Status> {
                    self.run(&Handle::current(), stringify!($now), request, $now::call).await
                }
            )*
            $(
                async fn $stream(
                    &self,
                    request: Request<proto::$stream::Request>,
                ) -> Result<Response<BoxStream<proto::$stream::Event>>, Status> {
                    Ok(self.stream(stringify!($stream), request, $stream::call))
                }
            )*
        }

        /// The same calls by their names, for whoever has a request in its wire form.
        #[cfg(test)]
        impl Calls {
            pub(crate) const NAMES: &[&str] =
                &[$(stringify!($call),)* $(stringify!($now),)* $(stringify!($stream)),*];

            /// Makes a call; whether its request was understood and answered.
            pub(crate) async fn answers(&self, name: &str, request: &[u8]) -> bool {
                match name {
                    $(stringify!($call) => match prost::Message::decode(request) {
                        Ok(request) => self.$call(Request::new(request)).await.is_ok(),
                        Err(_) => false,
                    },)*
                    $(stringify!($now) => match prost::Message::decode(request) {
                        Ok(request) => self.$now(Request::new(request)).await.is_ok(),
                        Err(_) => false,
                    },)*
                    $(stringify!($stream) => match prost::Message::decode(request) {
                        Ok(request) => match self.$stream(Request::new(request)).await {
                            Ok(events) => events.into_inner().all(|event| event.is_ok()).await,
                            Err(_) => false,
                        },
                        Err(_) => false,
                    },)*
                    _ => false,
                }
            }
        }
    };
}

calls!(
    apply_resource_change,
    call_function,
    close_ephemeral_resource,
    configure_provider,
    generate_resource_config,
    get_functions,
    get_metadata,
    get_provider_schema,
    get_resource_identity_schemas,
    import_resource_state,
    move_resource_state,
    open_ephemeral_resource,
    plan_action,
    plan_resource_change,
    read_data_source,
    read_resource,
    renew_ephemeral_resource,
    upgrade_resource_identity,
    upgrade_resource_state,
    validate_action_config,
    validate_data_resource_config,
    validate_ephemeral_resource_config,
    validate_list_resource_config,
    validate_provider_config,
    validate_resource_config;
    streaming invoke_action, list_resource;
    at once stop_provider
);
