//! What the framework does around the author's code: every call has the client at hand.

use std::sync::Arc;

use tfplugin::{
    ApplyRequest, ApplyResponse, Context, DataResponse, DataSource, Diagnostics, Ephemeral,
    IdentitySchema, ImportRequest, ImportResponse, OpenResponse, PlanRequest, PlanResponse,
    ReadRequest, ReadResponse, Resource, Schema, Value, async_trait,
};

use crate::client::Client;

/// Something of a provider that is configured.
pub(crate) struct Configured<T: ?Sized> {
    pub(crate) author: Arc<T>,
    pub(crate) client: Arc<Client>,
}

impl<T: ?Sized> Configured<T> {
    fn with(&self, ctx: &Context) -> Context {
        ctx.clone().with_data(Arc::clone(&self.client))
    }
}

/// By the schema's rules and then by the author, as a server does.
fn validated(schema: &Schema, config: &Value, mut by_author: Diagnostics) -> Diagnostics {
    let mut found = tfplugin::validate::by_schema(schema, config);
    found.extend(std::mem::take(&mut by_author));
    found
}

#[async_trait]
impl Resource for Configured<dyn Resource> {
    fn type_name(&self) -> &'static str {
        self.author.type_name()
    }

    fn schema(&self) -> Schema {
        self.author.schema()
    }

    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        let by_author = self.author.validate(&self.with(ctx), config).await;
        validated(&self.schema(), config, by_author)
    }

    async fn plan(&self, ctx: &Context, request: PlanRequest) -> PlanResponse {
        self.author.plan(&self.with(ctx), request).await
    }

    async fn apply(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        self.author.apply(&self.with(ctx), request).await
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> ReadResponse {
        self.author.read(&self.with(ctx), request).await
    }

    fn identity(&self) -> Option<IdentitySchema> {
        self.author.identity()
    }

    async fn import(&self, ctx: &Context, request: ImportRequest) -> ImportResponse {
        self.author.import(&self.with(ctx), request).await
    }

    async fn generate_config(&self, ctx: &Context, state: Value) -> Value {
        self.author.generate_config(&self.with(ctx), state).await
    }
}

#[async_trait]
impl DataSource for Configured<dyn DataSource> {
    fn type_name(&self) -> &'static str {
        self.author.type_name()
    }

    fn schema(&self) -> Schema {
        self.author.schema()
    }

    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        let by_author = self.author.validate(&self.with(ctx), config).await;
        validated(&self.schema(), config, by_author)
    }

    async fn read(&self, ctx: &Context, config: Value) -> DataResponse {
        self.author.read(&self.with(ctx), config).await
    }
}

#[async_trait]
impl Ephemeral for Configured<dyn Ephemeral> {
    fn type_name(&self) -> &'static str {
        self.author.type_name()
    }

    fn schema(&self) -> Schema {
        self.author.schema()
    }

    async fn open(&self, ctx: &Context, config: Value) -> OpenResponse {
        self.author.open(&self.with(ctx), config).await
    }
}
