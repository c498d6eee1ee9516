//! Ends the process when Terraform has no more use for it.

use tfplugin_proto::plugin::{Empty, grpc_controller_server::GrpcController};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};

/// Answers `Shutdown` by cancelling the token that keeps the process alive.
pub(crate) struct Controller {
    pub(crate) shutdown: CancellationToken,
}

#[async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.shutdown.cancel();
        Ok(Response::new(Empty {}))
    }
}
