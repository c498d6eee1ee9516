//! The standard streams of the plugin, which carry nothing: logs go to the real standard error.

use futures::{StreamExt as _, stream};
use tfplugin_proto::plugin::{StdioData, grpc_stdio_server::GrpcStdio};
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, async_trait};

/// A stream that stays open and silent until the process ends; Terraform would take an end for a
/// crash.
pub(crate) struct Stdio {
    pub(crate) shutdown: CancellationToken,
}

#[async_trait]
impl GrpcStdio for Stdio {
    async fn stream_stdio(&self, _: Request<()>) -> Result<Response<BoxStream<StdioData>>, Status> {
        let end = self.shutdown.clone().cancelled_owned();
        Ok(Response::new(stream::pending().take_until(end).boxed()))
    }
}
