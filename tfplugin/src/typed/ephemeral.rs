//! Ephemeral resources over a model.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::{Model, read_block};
use crate::{Context, Diagnostics, Ephemeral, OpenResponse, RenewResponse, Schema, Value};

/// An ephemeral resource whose block is a value of a Rust struct.
#[async_trait]
pub trait TypedEphemeral: Send + Sync + 'static {
    /// The block with what is opened.
    type Model: Model;

    /// Its name in configurations, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block may hold: the fields of the model.
    fn schema(&self) -> Schema {
        Self::Model::schema()
    }

    /// Opens it: the configuration, which is wholly known, with everything computed filled in.
    async fn open(
        &self,
        ctx: &Context,
        config: Self::Model,
    ) -> Result<Opened<Self::Model>, Diagnostics>;

    /// Checks the configuration as a whole, beyond what the schema's validators do.
    async fn validate(&self, ctx: &Context, config: Self::Model) -> Diagnostics {
        let _ = (ctx, config);
        Diagnostics::none()
    }

    /// See [`Ephemeral::renew`].
    async fn renew(&self, ctx: &Context, private: Vec<u8>) -> RenewResponse {
        let _ = ctx;
        RenewResponse { private, ..RenewResponse::default() }
    }

    /// See [`Ephemeral::close`].
    async fn close(&self, ctx: &Context, private: Vec<u8>) -> Diagnostics {
        let _ = (ctx, private);
        Diagnostics::none()
    }
}

/// What was opened.
#[derive(Debug, Clone)]
pub struct Opened<M> {
    /// The block with what is opened.
    pub result: M,
    /// The provider's own bytes, handed to renew and close.
    pub private: Vec<u8>,
    /// When it needs to be prolonged.
    pub renew_at: Option<SystemTime>,
}

impl<M> From<M> for Opened<M> {
    fn from(result: M) -> Self {
        Self { result, private: Vec::new(), renew_at: None }
    }
}

/// Offers an ephemeral resource over a model to Terraform.
pub fn ephemeral(author: impl TypedEphemeral) -> Arc<dyn Ephemeral> {
    Arc::new(Typed(author))
}

struct Typed<E>(E);

#[async_trait]
impl<E: TypedEphemeral> Ephemeral for Typed<E> {
    fn type_name(&self) -> &'static str {
        self.0.type_name()
    }

    fn schema(&self) -> Schema {
        self.0.schema().model::<E::Model>()
    }

    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        match read_block(self.0.type_name(), config) {
            Ok(config) => self.0.validate(ctx, config).await,
            Err(misfit) => misfit,
        }
    }

    async fn open(&self, ctx: &Context, config: Value) -> OpenResponse {
        let opened = match read_block(self.0.type_name(), &config) {
            Ok(config) => self.0.open(ctx, config).await,
            Err(misfit) => Err(misfit),
        };
        match opened {
            Ok(Opened { result, private, renew_at }) => {
                OpenResponse { private, renew_at, ..OpenResponse::new(result.into_value()) }
            }
            Err(found) => OpenResponse::failed(found),
        }
    }

    async fn renew(&self, ctx: &Context, private: Vec<u8>) -> RenewResponse {
        self.0.renew(ctx, private).await
    }

    async fn close(&self, ctx: &Context, private: Vec<u8>) -> Diagnostics {
        self.0.close(ctx, private).await
    }
}
