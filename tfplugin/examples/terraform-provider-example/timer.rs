//! `example_timer`: something that takes its time, and can be interrupted.

use std::time::Duration;

use tfplugin::{
    Attr, Attribute, Context, Diagnostic, Diagnostics, Failure, ManagedResource, Model, Planned,
    Schema, Timeouts, async_trait,
};

pub(crate) struct Timers;

#[derive(Model, Clone)]
pub(crate) struct Timer {
    seconds: Attr<f64>,
    state: Attr<String>,
}

impl Timer {
    fn in_state(self, state: &str) -> Self {
        Self { state: state.into(), ..self }
    }
}

#[async_trait]
impl ManagedResource for Timers {
    type Model = Timer;

    fn type_name(&self) -> &'static str {
        "example_timer"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("Waits.")
            .attribute(Attribute::number("seconds").required())
            .attribute(
                Attribute::string("state")
                    .computed()
                    .keeps_prior()
                    .describe("`done` or `waiting`."),
            )
    }

    fn timeouts(&self) -> Timeouts {
        let hour = Duration::from_hours(1);
        Timeouts::none().create(hour).update(hour)
    }

    /// A timer that was interrupted goes on, and one that is changed runs again.
    async fn modify_plan(&self, _: &Context, plan: &mut Planned<Timer>) -> Diagnostics {
        if let Some(prior) = &plan.prior {
            let done = prior.state.known().is_some_and(|state| state == "done");
            if !done || prior.seconds != plan.plan.seconds {
                plan.plan.state = Attr::Unknown;
            }
        }
        Diagnostics::none()
    }

    async fn create(&self, ctx: &Context, plan: Timer) -> Result<Timer, Failure<Timer>> {
        let seconds = *plan.seconds.require("seconds")?;
        tracing::warn!(seconds, "waiting");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))) => {
                Ok(plan.in_state("done"))
            }
            () = ctx.cancel.cancelled() => {
                let told = "The timer was kept; apply again to go on.";
                if ctx.out_of_time() {
                    let error = Diagnostic::error("Too slow", told);
                    return Err(Failure::with_state(plan.in_state("waiting"), error));
                }
                // An error would make Terraform throw away what is there.
                ctx.warn(Diagnostic::warning("Interrupted", told));
                Ok(plan.in_state("waiting"))
            }
        }
    }

    async fn update(&self, ctx: &Context, _: Timer, plan: Timer) -> Result<Timer, Failure<Timer>> {
        self.create(ctx, plan).await
    }

    async fn read(&self, _: &Context, state: Timer) -> Result<Option<Timer>, Diagnostics> {
        Ok(Some(state))
    }

    async fn delete(&self, _: &Context, _: Timer) -> Result<(), Failure<Timer>> {
        Ok(())
    }
}
