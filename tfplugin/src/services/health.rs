//! Says that the plugin is well, which is all that a health check of go-plugin asks.

use futures::{StreamExt as _, stream};
use tfplugin_proto::health::health_check_response::ServingStatus;
use tfplugin_proto::health::{HealthCheckRequest, HealthCheckResponse, health_server};
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, async_trait};

/// The name by which go-plugin asks.
const SERVICE: &str = "plugin";

/// Serving, for as long as there is somebody to say so.
pub(crate) struct Health {
    pub(crate) shutdown: CancellationToken,
}

fn answer(request: &Request<HealthCheckRequest>) -> Result<HealthCheckResponse, Status> {
    match request.get_ref().service.as_str() {
        "" | SERVICE => Ok(HealthCheckResponse { status: ServingStatus::Serving.into() }),
        other => Err(Status::not_found(format!("there is no service {other:?}"))),
    }
}

#[async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        answer(&request).map(Response::new)
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<BoxStream<HealthCheckResponse>>, Status> {
        let first = answer(&request)?;
        let end = self.shutdown.clone().cancelled_owned();
        let states = stream::iter([Ok(first)]).chain(stream::pending()).take_until(end);
        Ok(Response::new(states.boxed()))
    }
}
