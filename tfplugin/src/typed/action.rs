//! Actions over a model.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Model, read_block};
use crate::{Action, ActionPlan, Context, Diagnostics, Progress, Schema, Value};

/// An action whose block is a value of a Rust struct.
#[async_trait]
pub trait TypedAction: Send + Sync + 'static {
    /// The block.
    type Model: Model;

    /// Its name in configurations, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block may hold: the fields of the model.
    fn schema(&self) -> Schema {
        Self::Model::schema()
    }

    /// Does it. The configuration is wholly known.
    async fn invoke(&self, ctx: &Context, config: Self::Model, progress: Progress) -> Diagnostics;

    /// Checks the configuration as a whole, beyond what the schema's validators do.
    async fn validate(&self, ctx: &Context, config: Self::Model) -> Diagnostics {
        let _ = (ctx, config);
        Diagnostics::none()
    }

    /// See [`Action::plan`].
    async fn plan(&self, ctx: &Context, config: Self::Model) -> ActionPlan {
        let _ = (ctx, config);
        ActionPlan::default()
    }
}

/// Offers an action over a model to Terraform.
pub fn action(author: impl TypedAction) -> Arc<dyn Action> {
    Arc::new(Typed(author))
}

struct Typed<A>(A);

#[async_trait]
impl<A: TypedAction> Action for Typed<A> {
    fn type_name(&self) -> &'static str {
        self.0.type_name()
    }

    fn schema(&self) -> Schema {
        self.0.schema().model::<A::Model>()
    }

    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        match read_block(self.0.type_name(), config) {
            Ok(config) => self.0.validate(ctx, config).await,
            Err(misfit) => misfit,
        }
    }

    async fn plan(&self, ctx: &Context, config: &Value) -> ActionPlan {
        match read_block(self.0.type_name(), config) {
            Ok(config) => self.0.plan(ctx, config).await,
            Err(diagnostics) => ActionPlan { diagnostics, ..ActionPlan::default() },
        }
    }

    async fn invoke(&self, ctx: &Context, config: Value, progress: Progress) -> Diagnostics {
        match read_block(self.0.type_name(), &config) {
            Ok(config) => self.0.invoke(ctx, config, progress).await,
            Err(misfit) => misfit,
        }
    }
}
