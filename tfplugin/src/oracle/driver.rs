//! Terraform's part, played through whole lives of one object.

use std::sync::Arc;

use super::{Rule, Violation, applied, equal, planned, proposed_new_state, state};
use crate::provider::{RawState, UpgradeRequest};
use crate::schema::Schema;
use crate::value::Value;
use crate::{
    ApplyRequest, Context, Diagnostics, ImportRequest, Path, PlanRequest, PlanResponse,
    ReadRequest, Resource,
};

/// One object of a resource, from create to destroy; every response is judged.
pub struct Driver {
    resource: Arc<dyn Resource>,
    schema: Schema,
    ctx: Context,
    state: Value,
    private: Vec<u8>,
    found: Vec<Violation>,
}

impl Driver {
    /// No object yet.
    pub fn new(resource: Arc<dyn Resource>) -> Self {
        let schema = resource.schema();
        let (ctx, state) = (Context::new(), Value::Null);
        Self { resource, schema, ctx, state, private: Vec::new(), found: Vec::new() }
    }

    /// The state as Terraform would have stored it; null while there is no object.
    pub fn state(&self) -> &Value {
        &self.state
    }

    /// All rules that were broken so far.
    pub fn violations(&self) -> &[Violation] {
        &self.found
    }

    /// Brings the object to a configuration, as `terraform apply` does: read, plan, plan again
    /// with what became known, apply, read, and a plan that must be empty.
    ///
    /// The first configuration may hold unknowns where the second, which must be wholly known,
    /// has values.
    pub async fn apply(&mut self, early: &Value, config: &Value) -> Result<(), Diagnostics> {
        refuse(self.resource.validate(&self.ctx, early).await)?;
        self.refresh().await?;
        let first = self.plan(self.state.clone(), early).await?;
        let replace = !self.state.is_null() && !first.requires_replace.is_empty();
        let first = if replace {
            // The destroy of a replacement has no plan of its own: it is given the create's bytes.
            let create = self.plan(Value::Null, early).await?;
            self.remove(create.private.clone().unwrap_or_default()).await?;
            create
        } else {
            first
        };
        let last = self.plan(self.state.clone(), config).await?;
        let contradictions =
            applied::compatible(&self.schema.implied_type(), &first.planned, &last.planned);
        let unstable = |one: Violation| Violation { rule: Rule::PlanUnstable, ..one };
        self.found.extend(contradictions.into_iter().map(unstable));
        if equal(&self.schema.implied_type(), &last.planned, &self.state) {
            return Ok(());
        }
        let request = ApplyRequest {
            prior: self.state.clone(),
            planned: last.planned,
            config: config.clone(),
            private: last.private.unwrap_or_else(|| self.private.clone()),
        };
        self.carry_out(request).await?;
        self.refresh().await?;
        let again = self.plan(self.state.clone(), config).await?;
        if !equal(&self.schema.implied_type(), &again.planned, &self.state) {
            let message = "the plan after an apply must be empty";
            self.found.push(Violation::new(Rule::NotSettled, &Path::empty(), message));
        }
        Ok(())
    }

    /// Removes the object.
    pub async fn destroy(&mut self) -> Result<(), Diagnostics> {
        let request = PlanRequest {
            prior: self.state.clone(),
            private: self.private.clone(),
            ..PlanRequest::default()
        };
        let plan = self.resource.plan(&self.ctx, request.clone()).await;
        refuse(plan.diagnostics.clone())?;
        self.found.extend(planned::plan(&self.schema, &request, &plan));
        self.remove(plan.private.unwrap_or(request.private)).await
    }

    async fn remove(&mut self, private: Vec<u8>) -> Result<(), Diagnostics> {
        let prior = self.state.clone();
        self.carry_out(ApplyRequest { prior, private, ..ApplyRequest::default() }).await
    }

    /// Stores the state, upgrades it as every run does, and reads the object.
    pub async fn refresh(&mut self) -> Result<(), Diagnostics> {
        if self.state.is_null() {
            return Ok(());
        }
        self.upgrade().await?;
        let request = ReadRequest { state: self.state.clone(), private: self.private.clone() };
        let seen = self.resource.read(&self.ctx, request).await;
        refuse(seen.diagnostics)?;
        self.found.extend(state::refresh(&self.schema, &seen.state));
        self.state = seen.state;
        if let Some(private) = seen.private {
            self.private = private;
        }
        Ok(())
    }

    /// Takes over the object with an id, in a life of its own, and reads it: it must be the one
    /// that is here.
    pub async fn import(&mut self, id: &str) -> Result<(), Diagnostics> {
        let request = ImportRequest::Id(id.to_owned());
        let imported = self.resource.import(&self.ctx, request).await;
        refuse(imported.diagnostics)?;
        self.found.extend(state::import(&self.schema, &imported.state));
        let mut other = Self::new(Arc::clone(&self.resource));
        (other.state, other.private) = (imported.state, imported.private);
        other.refresh().await?;
        if other.state.is_null() && !self.state.is_null() {
            let message = "what was imported must be there when it is read";
            self.found.push(Violation::new(Rule::NothingImported, &Path::empty(), message));
        }
        self.found.append(&mut other.found);
        Ok(())
    }

    async fn plan(&mut self, prior: Value, config: &Value) -> Result<PlanResponse, Diagnostics> {
        let request = PlanRequest {
            proposed: proposed_new_state(&self.schema, &prior, config),
            prior,
            config: config.clone(),
            private: self.private.clone(),
            planned_private: None,
        };
        let response = self.resource.plan(&self.ctx, request.clone()).await;
        refuse(response.diagnostics.clone())?;
        self.found.extend(planned::plan(&self.schema, &request, &response));
        let again = self.resource.plan(&self.ctx, request).await;
        if !equal(&self.schema.implied_type(), &response.planned, &again.planned) {
            let message = "the same change must have the same plan";
            self.found.push(Violation::new(Rule::PlanUnstable, &Path::empty(), message));
        }
        Ok(response)
    }

    async fn carry_out(&mut self, request: ApplyRequest) -> Result<(), Diagnostics> {
        let response = self.resource.apply(&self.ctx, request.clone()).await;
        self.found.extend(state::apply(&self.schema, &request, &response));
        let failed = response.diagnostics.has_errors();
        // A failure without a state leaves what was there.
        if !(failed && response.state.is_null()) {
            self.state = response.state.unknowns_as_null();
            crate::schema::null_write_only(&mut self.state, &self.schema.block);
            self.private = response.private.unwrap_or(request.private);
        }
        refuse(response.diagnostics)
    }

    async fn upgrade(&mut self) -> Result<(), Diagnostics> {
        let Ok(json) = self.state.to_json(&self.schema.implied_type()) else { return Ok(()) };
        let raw = RawState::Json(json.into_bytes());
        let request = UpgradeRequest { version: self.schema.version, raw };
        let upgraded = self.resource.upgrade(&self.ctx, request).await;
        refuse(upgraded.diagnostics)?;
        self.found.extend(state::upgrade(&self.schema, &self.state, &upgraded.state));
        Ok(())
    }
}

fn refuse(diagnostics: Diagnostics) -> Result<(), Diagnostics> {
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok(()) }
}
