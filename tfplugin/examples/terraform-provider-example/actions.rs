//! `example_bell`: something that is done and leaves nothing behind.

use tfplugin::validate::{range, text_rule};
use tfplugin::{Attr, Context, Diagnostics, Model, Progress, TypedAction, async_trait};

/// Rings a bell.
#[derive(Model)]
pub(crate) struct Ring {
    /// At most 12.
    #[tf(required, validate = range(1..=12))]
    times: Attr<i64>,
    /// What it sounds like.
    #[tf(validate = text_rule("a sound", |sound| match sound {
        "silence" => Err("A bell that nobody hears is none.".to_owned()),
        _ => Ok(()),
    }))]
    sound: Attr<String>,
}

pub(crate) struct Bell;

#[async_trait]
impl TypedAction for Bell {
    type Model = Ring;

    fn type_name(&self) -> &'static str {
        "example_bell"
    }

    async fn invoke(&self, ctx: &Context, ring: Ring, progress: Progress) -> Diagnostics {
        let times = ring.times.into_known().unwrap_or_default();
        let sound = ring.sound.into_known().unwrap_or_default();
        for time in 1..=times {
            if ctx.cancel.is_cancelled() {
                return Diagnostics::error("Interrupted", format!("It rang {} times.", time - 1));
            }
            progress.say(format!("{time} of {times}")).await;
            if sound == "cracked" {
                return Diagnostics::error("The bell broke", format!("It rang {time} times."));
            }
        }
        Diagnostics::none()
    }
}
