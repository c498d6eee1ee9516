//! Managed resources over a model.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Failure, Model};
use crate::plan::by_schema;
use crate::plan::equality::keep_equal;
use crate::private::Private;
use crate::schema::copy_write_only;
use crate::timeouts::Timeouts;
use crate::value::{Value, ValueError};
use crate::{
    ApplyRequest, ApplyResponse, Context, Diagnostic, Diagnostics, IdentitySchema, ImportRequest,
    ImportResponse, MoveRequest, MoveResponse, Path, PlanRequest, PlanResponse, ReadRequest,
    ReadResponse, Resource, Schema, Upgrader,
};

/// A resource whose objects are values of a Rust struct.
///
/// The schema's defaults, plan modifiers and validators do most of the planning; the author makes,
/// reads, changes and removes. Write-only values are at hand in [`ManagedResource::create`] and
/// [`ManagedResource::update`], and are never stored.
#[async_trait]
pub trait ManagedResource: Send + Sync + 'static {
    /// One object.
    type Model: Model;

    /// Its name in configurations, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block may hold: the fields of the model.
    fn schema(&self) -> Schema {
        Self::Model::schema()
    }

    /// Makes the object. Everything still unknown in the plan must be known in the answer, and
    /// what is known must not change.
    async fn create(
        &self,
        ctx: &Context,
        plan: Self::Model,
    ) -> Result<Self::Model, Failure<Self::Model>>;

    /// Looks at the object as it is now; `None` says that it is gone.
    async fn read(
        &self,
        ctx: &Context,
        state: Self::Model,
    ) -> Result<Option<Self::Model>, Diagnostics>;

    /// Changes the object. By default nothing can be changed: the schema says what replaces.
    async fn update(
        &self,
        ctx: &Context,
        prior: Self::Model,
        plan: Self::Model,
    ) -> Result<Self::Model, Failure<Self::Model>> {
        let _ = (ctx, prior, plan);
        Err(Diagnostic::error(
            "Bug in the provider: the object cannot be changed",
            format!("{} has no update, and its schema replaces nothing.", self.type_name()),
        )
        .into())
    }

    /// Removes the object. That it is gone already is no failure.
    async fn delete(&self, ctx: &Context, state: Self::Model) -> Result<(), Failure<Self::Model>>;

    /// Checks the configuration as a whole, beyond what the schema's validators do.
    async fn validate(&self, ctx: &Context, config: Self::Model) -> Diagnostics {
        let _ = (ctx, config);
        Diagnostics::none()
    }

    /// Changes the plan that the schema gave. Not called for a destroy.
    async fn modify_plan(&self, ctx: &Context, plan: &mut Planned<Self::Model>) -> Diagnostics {
        let _ = (ctx, plan);
        Diagnostics::none()
    }

    /// Takes over an object that exists; a read follows.
    async fn import(
        &self,
        ctx: &Context,
        request: ImportRequest,
    ) -> Result<Self::Model, Diagnostics> {
        let _ = (ctx, request);
        Err(Diagnostics::error(
            "Resource cannot be imported",
            format!("{} does not support import.", self.type_name()),
        ))
    }

    /// How long operations may take; adds the `timeouts` block, and cancels what takes longer.
    fn timeouts(&self) -> Timeouts {
        Timeouts::none()
    }

    /// See [`Resource::identity`]; the model's fields that are said to.
    fn identity(&self) -> Option<IdentitySchema> {
        Self::Model::identity()
    }

    /// See [`Resource::upgraders`].
    fn upgraders(&self) -> Vec<Upgrader> {
        Vec::new()
    }

    /// See [`Resource::identity_upgraders`].
    fn identity_upgraders(&self) -> Vec<Upgrader> {
        Vec::new()
    }

    /// See [`Resource::move_from`]; `None` says that it cannot be taken over.
    async fn move_from(&self, ctx: &Context, request: &MoveRequest) -> Option<MoveResponse> {
        let _ = (ctx, request);
        None
    }
}

/// A plan that an author may change.
#[derive(Debug, Clone)]
pub struct Planned<M> {
    /// The state now; none for a create.
    pub prior: Option<M>,
    /// The configuration alone.
    pub config: M,
    /// The state after apply. What is changed here is planned; the rest stays as it came.
    pub plan: M,
    /// Attributes whose change needs a new object.
    pub requires_replace: Vec<Path>,
}

/// Offers a resource over a model to Terraform.
pub fn managed<R: ManagedResource>(resource: R) -> Arc<dyn Resource> {
    let schema = resource.schema().model::<R::Model>().blocks(resource.timeouts().block());
    Arc::new(Managed { author: resource, schema })
}

struct Managed<R> {
    author: R,
    /// Built once: every plan looks into it.
    schema: Schema,
}

impl<R: ManagedResource> Managed<R> {
    fn model(&self, value: &Value) -> Result<R::Model, Diagnostics> {
        R::Model::from_value(value).map_err(|error| self.misfit(&error))
    }

    fn misfit(&self, error: &ValueError) -> Diagnostics {
        let name = self.author.type_name();
        let detail = format!("A value of {name} cannot be used: {error}.");
        Diagnostic::error("Invalid value", detail).at(error.path.clone()).into()
    }

    /// The context of an operation that may be limited, and what keeps the limit.
    fn limited(&self, ctx: &Context, operation: &str, value: &Value) -> (Context, Option<Limit>) {
        let mut ctx = ctx.clone();
        let Some(duration) = self.author.timeouts().limit(operation, value) else {
            return (ctx, None);
        };
        ctx.cancel = ctx.cancel.child_token();
        ctx.deadline = Instant::now().checked_add(duration);
        let cancel = ctx.cancel.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            cancel.cancel();
        });
        (ctx, Some(Limit { task, operation: operation.to_owned(), duration }))
    }

    async fn make(&self, ctx: &Context, request: &ApplyRequest) -> Result<Value, Reached> {
        // What is write-only reaches the author, and is taken out again on the way back.
        let mut given = request.planned.clone();
        copy_write_only(&self.schema.block, &request.config, &mut given);
        let plan = self.model(&given).map_err(Reached::nothing)?;
        let before = self.model(&given).map_err(Reached::nothing)?.into_value();
        let made = if request.is_create() {
            self.author.create(ctx, plan).await
        } else {
            let prior = self.model(&request.prior).map_err(Reached::nothing)?;
            self.author.update(ctx, prior, plan).await
        };
        let merge = |model: R::Model| merged(request.planned.clone(), &before, model.into_value());
        match made {
            Ok(model) => Ok(merge(model)),
            Err(failure) => Err(Reached {
                state: failure.state.map(|model| merge(*model).unknowns_as_null()),
                diagnostics: failure.diagnostics,
            }),
        }
    }
}

/// A failure with the state that was reached, if one was.
struct Reached {
    state: Option<Value>,
    diagnostics: Diagnostics,
}

impl Reached {
    fn nothing(diagnostics: Diagnostics) -> Self {
        Self { state: None, diagnostics }
    }
}

/// Cancels an operation when its time is up.
struct Limit {
    task: tokio::task::JoinHandle<()>,
    operation: String,
    duration: Duration,
}

impl Limit {
    /// Ends the watch. What failed after its time was up is told so.
    fn end(limit: Option<Self>, ctx: &Context, failed: bool, diagnostics: &mut Diagnostics) {
        let Some(limit) = limit else { return };
        limit.task.abort();
        if failed && ctx.out_of_time() {
            let (operation, seconds) = (&limit.operation, limit.duration.as_secs());
            diagnostics.push_warning(
                "The operation ran out of time",
                format!(
                    "timeouts.{operation} allows {seconds} s, and they were over. Raise it, or \
                     apply again to go on."
                ),
            );
        }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl<R: ManagedResource> Resource for Managed<R> {
    fn type_name(&self) -> &'static str {
        self.author.type_name()
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        let mut diagnostics = self.author.timeouts().validate(config);
        match self.model(config) {
            Ok(config) => diagnostics.extend(self.author.validate(ctx, config).await),
            Err(misfit) => diagnostics.extend(misfit),
        }
        diagnostics
    }

    async fn plan(&self, ctx: &Context, request: PlanRequest) -> PlanResponse {
        if request.is_destroy() {
            return by_schema(&self.schema, request);
        }
        let (prior, config) = (request.prior.clone(), request.config.clone());
        let known = request.private.clone();
        let mut response = by_schema(&self.schema, request);
        let read = |value: &Value| self.model(value);
        let before = read(&response.planned).map(Model::into_value);
        let prior = if prior.is_null() { Ok(None) } else { read(&prior).map(Some) };
        let (before, prior, config, plan) =
            match (before, prior, read(&config), read(&response.planned)) {
                (Ok(before), Ok(prior), Ok(config), Ok(plan)) => (before, prior, config, plan),
                (Err(misfit), ..)
                | (_, Err(misfit), ..)
                | (.., Err(misfit), _)
                | (.., Err(misfit)) => return PlanResponse::failed(misfit),
            };
        let requires_replace = std::mem::take(&mut response.requires_replace);
        let mut planned = Planned { prior, config, plan, requires_replace };
        let private = Private::decode(&known);
        let ctx = ctx.with_private(private.clone());
        response.diagnostics = self.author.modify_plan(&ctx, &mut planned).await;
        response.planned = merged(response.planned, &before, planned.plan.into_value());
        response.requires_replace = planned.requires_replace;
        response.private = Some(private.encode());
        response
    }

    async fn apply(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        let operation = match (request.is_create(), request.is_destroy()) {
            (true, _) => "create",
            (_, true) => "delete",
            _ => "update",
        };
        let limits = if request.is_destroy() { &request.prior } else { &request.planned };
        let (ctx, limit) = self.limited(ctx, operation, limits);
        let private = Private::decode(&request.private);
        let ctx = ctx.with_private(private.clone());
        let done = if request.is_destroy() {
            match self.model(&request.prior) {
                Ok(state) => match self.author.delete(&ctx, state).await {
                    Ok(()) => Ok(Value::Null),
                    Err(Failure { state, diagnostics }) => {
                        let state = state.map(|state| {
                            merged(request.prior.clone(), &Value::Null, (*state).into_value())
                        });
                        Err(Reached { state, diagnostics })
                    }
                },
                Err(misfit) => Err(Reached::nothing(misfit)),
            }
        } else {
            self.make(&ctx, &request).await
        };
        let mut response = match done {
            Ok(state) => ApplyResponse::new(state),
            Err(reached) => {
                let state = reached.state.unwrap_or(request.prior);
                ApplyResponse::failed(state, reached.diagnostics)
            }
        };
        let failed = response.diagnostics.has_errors();
        Limit::end(limit, &ctx, failed, &mut response.diagnostics);
        response.private = Some(private.encode());
        response
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> ReadResponse {
        let state = match self.model(&request.state) {
            Ok(state) => state,
            Err(misfit) => return ReadResponse::failed(misfit),
        };
        let before = match self.model(&request.state) {
            Ok(state) => state.into_value(),
            Err(misfit) => return ReadResponse::failed(misfit),
        };
        let (ctx, limit) = self.limited(ctx, "read", &request.state);
        let private = Private::decode(&request.private);
        let ctx = ctx.with_private(private.clone());
        let seen = self.author.read(&ctx, state).await;
        let mut response = match seen {
            Ok(Some(seen)) => {
                let mut state = merged(request.state, &before, seen.into_value());
                keep_equal(&self.schema, &before, &mut state);
                ReadResponse::new(state)
            }
            Ok(None) => ReadResponse::gone(),
            Err(diagnostics) => ReadResponse::failed(diagnostics),
        };
        let failed = response.diagnostics.has_errors();
        Limit::end(limit, &ctx, failed, &mut response.diagnostics);
        response.private = Some(private.encode());
        response
    }

    async fn import(&self, ctx: &Context, request: ImportRequest) -> ImportResponse {
        let private = Private::default();
        let ctx = ctx.with_private(private.clone());
        match self.author.import(&ctx, request).await {
            Ok(model) => {
                let private = private.encode();
                ImportResponse { private, ..ImportResponse::new(model.into_value()) }
            }
            Err(diagnostics) => ImportResponse::failed(diagnostics),
        }
    }

    fn identity(&self) -> Option<IdentitySchema> {
        self.author.identity()
    }

    fn upgraders(&self) -> Vec<Upgrader> {
        self.author.upgraders()
    }

    fn identity_upgraders(&self) -> Vec<Upgrader> {
        self.author.identity_upgraders()
    }

    async fn move_from(&self, ctx: &Context, request: MoveRequest) -> MoveResponse {
        match self.author.move_from(ctx, &request).await {
            Some(moved) => moved,
            None => {
                let (from, to) = (request.source_type, self.type_name());
                let detail = format!("A {from} cannot be taken over as a {to}.");
                MoveResponse::failed(Diagnostic::error("Resource cannot be moved", detail))
            }
        }
    }
}

/// An object with the fields of a model that changed; all else, refinements of unknowns and types
/// of dynamic values included, stays as it is.
fn merged(object: Value, before: &Value, after: Value) -> Value {
    let Value::Map(fields) = after else { return object };
    let mut object = if object.is_set() { object } else { Value::object::<String>([]) };
    for (name, value) in fields {
        if before.get(&name) != &value || object.get(&name).is_null() {
            object.set(name, value);
        }
    }
    object
}
