//! The author's side of a managed resource.

use async_trait::async_trait;

use super::generate::config_of_state;
use super::moved::{MoveRequest, MoveResponse};
use super::upgrade::{UpgradeRequest, UpgradeResponse, Upgrader, upgrade_by_type};
use super::{Deferred, IdentitySchema, ImportRequest};
use crate::plan::by_schema;
use crate::{Context, Diagnostic, Diagnostics, Path, Schema, Value};

/// Something that a configuration declares and the provider makes, changes and removes.
#[async_trait]
pub trait Resource: Send + Sync {
    /// Its name in configurations, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block may hold.
    fn schema(&self) -> Schema;

    /// Checks the configuration without touching the outside world. It may hold unknowns.
    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        let _ = (ctx, config);
        Diagnostics::none()
    }

    /// Says what [`Resource::apply`] would do.
    ///
    /// Attributes that the configuration sets must stay as configured; computed ones may become
    /// anything, unknown included. Terraform plans again inside apply: known values must not
    /// differ then. By default the rules of the schema decide, see [`crate::plan::by_schema`].
    async fn plan(&self, ctx: &Context, request: PlanRequest) -> PlanResponse {
        let _ = ctx;
        by_schema(&self.schema(), request)
    }

    /// Makes the planned state true.
    ///
    /// Every known planned value must come back unchanged, and nothing may be unknown any more.
    /// After a failure the state should say what exists all the same: with an error and a null
    /// state Terraform keeps the prior state, and after a create forgets the object.
    ///
    /// A replacement is two calls, a destroy and a create, and Terraform plans only the create. The
    /// destroy of a plain delete is given the private bytes that this resource planned for a
    /// destroy; that of a replacement those that it planned for the create. That of
    /// `create_before_destroy` is planned within the apply, as a plain one.
    async fn apply(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse;

    /// Looks at the object as it is now. A null state in the answer says that it is gone.
    async fn read(&self, ctx: &Context, request: ReadRequest) -> ReadResponse;

    /// Takes over an object that exists. The state needs only what [`Resource::read`] needs.
    async fn import(&self, ctx: &Context, request: ImportRequest) -> ImportResponse {
        let _ = (ctx, request);
        ImportResponse::failed(Diagnostic::error(
            "Resource cannot be imported",
            format!("{} does not support import.", self.type_name()),
        ))
    }

    /// Brings stored state to the current schema version.
    ///
    /// By default state of the current version is read by the schema, earlier versions go through
    /// [`Resource::upgraders`], attributes that the schema no longer has are dropped, and every
    /// other version is an error.
    async fn upgrade(&self, ctx: &Context, request: UpgradeRequest) -> UpgradeResponse {
        let _ = ctx;
        let schema = self.schema();
        let (name, ty) = (self.type_name(), schema.implied_type());
        upgrade_by_type(name, schema.version, &ty, &self.upgraders(), &request)
    }

    /// The ways from earlier schema versions to the current one.
    fn upgraders(&self) -> Vec<Upgrader> {
        Vec::new()
    }

    /// What identifies an object, if Terraform shall know it.
    fn identity(&self) -> Option<IdentitySchema> {
        None
    }

    /// The identity of the object with this state: by default the attributes of the same names.
    fn identify(&self, state: &Value) -> Value {
        self.identity().map_or(Value::Null, |schema| schema.of_state(state))
    }

    /// The ways from earlier identity versions to the current one.
    fn identity_upgraders(&self) -> Vec<Upgrader> {
        Vec::new()
    }

    /// A configuration that would make the object with this state, for generated configurations.
    ///
    /// By default everything that a configuration can set is taken from the state.
    async fn generate_config(&self, ctx: &Context, state: Value) -> Value {
        let _ = ctx;
        config_of_state(&self.schema(), state)
    }

    /// Takes over state of another resource type or provider, for a `moved` block.
    async fn move_from(&self, ctx: &Context, request: MoveRequest) -> MoveResponse {
        let _ = ctx;
        MoveResponse::failed(Diagnostic::error(
            "Resource cannot be moved across types",
            format!(
                "A {} cannot be taken over as a {}. Remove it from the state and import it \
                 instead.",
                request.source_type,
                self.type_name()
            ),
        ))
    }
}

/// What is to be planned.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct PlanRequest {
    /// The state now; null for a create.
    pub prior: Value,
    /// The configuration, with prior values where it leaves computed attributes open; null for a
    /// destroy.
    pub proposed: Value,
    /// The configuration alone.
    pub config: Value,
    /// The provider's own bytes from the last apply, read or import.
    pub private: Vec<u8>,
    /// The bytes that an earlier plan of the same change answered, where Terraform keeps them until it plans again within the
    /// apply (1.16 and later). What is known must come out the same all the same: no older client sends them.
    pub planned_private: Option<Vec<u8>>,
}

impl PlanRequest {
    /// A plan as Terraform asks for it, without bytes of the provider's own; for tests and tools.
    pub fn new(prior: Value, proposed: Value, config: Value) -> Self {
        Self { prior, proposed, config, ..Self::default() }
    }

    /// The same with the provider's own bytes.
    #[must_use]
    pub fn with_private(self, private: Vec<u8>) -> Self {
        Self { private, ..self }
    }

    /// Whether there is no object yet.
    pub fn is_create(&self) -> bool {
        self.prior.is_null()
    }

    /// Whether the object is to go.
    pub fn is_destroy(&self) -> bool {
        self.proposed.is_null()
    }
}

/// What applying would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanResponse {
    /// The state after apply, as far as it is known; null for a destroy.
    pub planned: Value,
    /// Attributes whose change needs a new object. A path cannot lead into a set.
    pub requires_replace: Vec<Path>,
    /// The provider's own bytes, handed to apply; `None` leaves them as they are.
    ///
    /// In a replacement Terraform hands the bytes of the create's plan to both halves, see
    /// [`Resource::apply`].
    pub private: Option<Vec<u8>>,
    /// Why it has to wait for another round, if it has to.
    pub deferred: Option<Deferred>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

impl PlanResponse {
    /// A plan without replacement or message.
    pub fn new(planned: Value) -> Self {
        Self { planned, ..Self::default() }
    }

    /// Put off: this much is known, the rest follows in another round.
    pub fn deferred(planned: Value, reason: Deferred) -> Self {
        Self { deferred: Some(reason), ..Self::new(planned) }
    }

    /// No plan.
    pub fn failed(diagnostics: impl Into<Diagnostics>) -> Self {
        Self { diagnostics: diagnostics.into(), ..Self::default() }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ApplyRequest {
    /// The state now; null for a create.
    pub prior: Value,
    /// The planned state; null for a destroy.
    pub planned: Value,
    /// The configuration alone; null for a destroy.
    pub config: Value,
    /// The provider's own bytes from the plan.
    pub private: Vec<u8>,
}

impl ApplyRequest {
    /// An apply as Terraform asks for it, without bytes of the provider's own; for tests and tools.
    pub fn new(prior: Value, planned: Value, config: Value) -> Self {
        Self { prior, planned, config, ..Self::default() }
    }

    /// The same with the provider's own bytes.
    #[must_use]
    pub fn with_private(self, private: Vec<u8>) -> Self {
        Self { private, ..self }
    }

    /// Whether there is no object yet.
    pub fn is_create(&self) -> bool {
        self.prior.is_null()
    }

    /// Whether the object is to go.
    pub fn is_destroy(&self) -> bool {
        self.planned.is_null()
    }
}

/// What was reached.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApplyResponse {
    /// The state now; null when the object is gone.
    pub state: Value,
    /// The provider's own bytes, kept beside the state; `None` keeps those of the plan.
    pub private: Option<Vec<u8>>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

impl ApplyResponse {
    /// Everything was reached, without a message.
    pub fn new(state: Value) -> Self {
        Self { state, ..Self::default() }
    }

    /// Something failed; this is the state all the same.
    pub fn failed(state: Value, diagnostics: impl Into<Diagnostics>) -> Self {
        Self { state, diagnostics: diagnostics.into(), ..Self::default() }
    }
}

/// What is to be looked at.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ReadRequest {
    /// The state as stored.
    pub state: Value,
    /// The provider's own bytes.
    pub private: Vec<u8>,
}

impl ReadRequest {
    /// A look at the object with this state, without bytes of the provider's own; for tests and tools.
    pub fn new(state: Value) -> Self {
        Self { state, ..Self::default() }
    }

    /// The same with the provider's own bytes.
    #[must_use]
    pub fn with_private(self, private: Vec<u8>) -> Self {
        Self { private, ..self }
    }
}

/// What is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadResponse {
    /// The state now; null when the object is gone.
    pub state: Value,
    /// The provider's own bytes; `None` leaves them as they are.
    pub private: Option<Vec<u8>>,
    /// Why it has to wait for another round, if it has to.
    pub deferred: Option<Deferred>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

impl ReadResponse {
    /// Seen, without a message.
    pub fn new(state: Value) -> Self {
        Self { state, ..Self::default() }
    }

    /// The object is gone.
    pub fn gone() -> Self {
        Self::default()
    }

    /// Could not be seen. Terraform keeps the stored state.
    pub fn failed(diagnostics: impl Into<Diagnostics>) -> Self {
        Self { diagnostics: diagnostics.into(), ..Self::default() }
    }
}

/// What an import took over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportResponse {
    /// The state, with at least what a read needs.
    pub state: Value,
    /// The provider's own bytes.
    pub private: Vec<u8>,
    /// Why it has to wait for another round, if it has to.
    pub deferred: Option<Deferred>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

impl ImportResponse {
    /// Taken over, without a message.
    pub fn new(state: Value) -> Self {
        Self { state, ..Self::default() }
    }

    /// Could not be taken over.
    pub fn failed(diagnostics: impl Into<Diagnostics>) -> Self {
        Self { diagnostics: diagnostics.into(), ..Self::default() }
    }
}
