//! `example_timer`: something that takes its time, and can be interrupted.

use std::time::Duration;

use tfplugin::{
    ApplyRequest, ApplyResponse, Attribute, Context, Diagnostic, PlanRequest, PlanResponse,
    ReadRequest, ReadResponse, Resource, Schema, Value, async_trait,
};

pub(crate) struct Timers;

#[async_trait]
impl Resource for Timers {
    fn type_name(&self) -> &'static str {
        "example_timer"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("Waits.")
            .attribute(Attribute::number("seconds").required())
            .attribute(Attribute::string("state").computed().describe("`done` or `waiting`."))
    }

    async fn plan(&self, _: &Context, request: PlanRequest) -> PlanResponse {
        let done = request.prior.get("state").as_str() == Some("done");
        let same = request.prior.get("seconds") == request.proposed.get("seconds");
        if request.is_destroy() || (done && same) {
            return PlanResponse::new(request.proposed);
        }
        PlanResponse::new(request.proposed.with("state", Value::unknown()))
    }

    async fn apply(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        if request.is_destroy() {
            return ApplyResponse::new(Value::Null);
        }
        let seconds = request.planned.get("seconds").as_f64().unwrap_or_default();
        tracing::warn!(seconds, "waiting");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))) => {
                ApplyResponse::new(request.planned.with("state", "done"))
            }
            () = ctx.cancel.cancelled() => ApplyResponse::failed(
                request.planned.with("state", "waiting"),
                Diagnostic::warning("Interrupted", "The timer was kept; apply again to go on."),
            ),
        }
    }

    async fn read(&self, _: &Context, request: ReadRequest) -> ReadResponse {
        ReadResponse::new(request.state)
    }
}
