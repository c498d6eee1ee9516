//! Data sources over a model.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Model, read_block};
use crate::{Context, DataResponse, DataSource, Diagnostics, Schema, Value};

/// A data source whose block is a value of a Rust struct.
#[async_trait]
pub trait TypedDataSource: Send + Sync + 'static {
    /// The block with what is found.
    type Model: Model;

    /// Its name in configurations, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block may hold: the fields of the model.
    fn schema(&self) -> Schema {
        Self::Model::schema()
    }

    /// Looks it up: the configuration with everything computed filled in.
    async fn read(&self, ctx: &Context, config: Self::Model) -> Result<Self::Model, Diagnostics>;

    /// Checks the configuration as a whole, beyond what the schema's validators do.
    async fn validate(&self, ctx: &Context, config: Self::Model) -> Diagnostics {
        let _ = (ctx, config);
        Diagnostics::none()
    }
}

/// Offers a data source over a model to Terraform.
pub fn data_source(source: impl TypedDataSource) -> Arc<dyn DataSource> {
    Arc::new(Typed(source))
}

struct Typed<D>(D);

#[async_trait]
impl<D: TypedDataSource> DataSource for Typed<D> {
    fn type_name(&self) -> &'static str {
        self.0.type_name()
    }

    fn schema(&self) -> Schema {
        self.0.schema().model::<D::Model>()
    }

    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        match read_block(self.0.type_name(), config) {
            Ok(config) => self.0.validate(ctx, config).await,
            Err(misfit) => misfit,
        }
    }

    async fn read(&self, ctx: &Context, config: Value) -> DataResponse {
        let model = match read_block::<D::Model>(self.0.type_name(), &config) {
            Ok(model) => model,
            Err(misfit) => return DataResponse::failed(misfit),
        };
        match self.0.read(ctx, model).await {
            Ok(found) => DataResponse::new(found.into_value()),
            Err(diagnostics) => DataResponse::failed(diagnostics),
        }
    }
}
