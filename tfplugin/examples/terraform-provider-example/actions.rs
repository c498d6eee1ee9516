//! `example_bell`: something that is done and leaves nothing behind.

use tfplugin::{
    Action, ActionPlan, Attribute, Context, Deferred, Diagnostic, Diagnostics, Progress, Schema,
    Value, async_trait,
};

pub(crate) struct Bell;

#[async_trait]
impl Action for Bell {
    fn type_name(&self) -> &'static str {
        "example_bell"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("Rings a bell.")
            .attribute(Attribute::number("times").required().describe("At most 12."))
    }

    async fn validate(&self, _: &Context, config: &Value) -> Diagnostics {
        match config.get("times").as_i64() {
            Some(times) if !(1..=12).contains(&times) => {
                Diagnostic::error("Not on a clock", "A bell rings 1 to 12 times.")
                    .at("times")
                    .into()
            }
            _ => Diagnostics::none(),
        }
    }

    async fn plan(&self, _: &Context, config: &Value) -> ActionPlan {
        let unknown = !config.is_wholly_known();
        let deferred = unknown.then_some(Deferred::ResourceConfigUnknown);
        ActionPlan { deferred, ..ActionPlan::default() }
    }

    async fn invoke(&self, ctx: &Context, config: Value, progress: Progress) -> Diagnostics {
        let times = config.get("times").as_i64().unwrap_or_default();
        for time in 1..=times {
            if ctx.cancel.is_cancelled() {
                return Diagnostics::error("Interrupted", format!("It rang {} times.", time - 1));
            }
            progress.say(format!("{time} of {times}")).await;
        }
        Diagnostics::none()
    }
}
