//! Side connections, of which a provider opens none.

use futures::{StreamExt as _, stream};
use tfplugin_proto::plugin::{ConnInfo, grpc_broker_server::GrpcBroker};
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// Hears announcements and makes none, until the process ends.
pub(crate) struct Broker {
    pub(crate) shutdown: CancellationToken,
}

#[async_trait]
impl GrpcBroker for Broker {
    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<BoxStream<ConnInfo>>, Status> {
        let end = self.shutdown.clone().cancelled_owned();
        // The announcements are read so that the client never waits for room.
        let heard = request.into_inner().filter_map(|_| async { None });
        Ok(Response::new(heard.chain(stream::pending()).take_until(end).boxed()))
    }
}
