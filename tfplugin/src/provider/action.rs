//! The author's side of an action: something that is done, and leaves no state.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::Deferred;
use crate::{Context, Diagnostics, Schema, Value};

/// Something that a run can do besides making objects, such as a restart (Terraform 1.14 and
/// later).
#[async_trait]
pub trait Action: Send + Sync {
    /// Its name in configurations, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block may hold.
    fn schema(&self) -> Schema;

    /// Checks the configuration without touching the outside world. It may hold unknowns.
    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        let _ = (ctx, config);
        Diagnostics::none()
    }

    /// Says while planning whether it could be done. The configuration may hold unknowns.
    async fn plan(&self, ctx: &Context, config: &Value) -> ActionPlan {
        let _ = (ctx, config);
        ActionPlan::default()
    }

    /// Does it. The configuration is wholly known.
    async fn invoke(&self, ctx: &Context, config: Value, progress: Progress) -> Diagnostics;
}

/// Whether an action could be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionPlan {
    /// Why it has to wait for another round, if it has to. Terraform knows one reason here, an unknown configuration of the
    /// provider; any other is not passed on: a plan goes on, and the action is asked again when all is known.
    pub deferred: Option<Deferred>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

/// Where an action says how far it is; Terraform prints it as it comes.
#[derive(Debug, Clone)]
pub struct Progress(mpsc::Sender<String>);

impl Progress {
    /// A receiver for the messages, and their sender.
    pub fn channel() -> (Self, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel(16);
        (Self(sender), receiver)
    }

    /// Says one thing. Nobody listening is no failure.
    pub async fn say(&self, message: impl Into<String>) {
        let _ = self.0.send(message.into()).await;
    }
}
