//! A small model of Terraform core: one state, and the orders in which core calls a provider. What each call is given
//! was read from the real one (`tfplugin/tests/real/legs.rs`).

use std::sync::Arc;

use tfplugin::oracle::{Violation, compatible, equal, proposed_new_state};
use tfplugin::{
    ApplyRequest, ApplyResponse, Context, Diagnostics, ImportRequest, PlanRequest, PlanResponse,
    ReadRequest, Resource, Value, oracle,
};

/// An object in a state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    pub(crate) state: Value,
    private: Vec<u8>,
    pub(crate) tainted: bool,
}

impl Object {
    /// What a provider answered with warnings only.
    pub(crate) fn of(state: Value) -> Self {
        Self { state, ..Self::default() }
    }
}

/// One address of one state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instance {
    pub(crate) current: Option<Object>,
    pub(crate) deposed: Vec<Object>,
}

/// How a change is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `-replace`.
    pub(crate) replace: bool,
    /// `create_before_destroy`.
    pub(crate) create_first: bool,
}

/// Why a run of core ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The provider told errors: their summaries and details.
    Told(Vec<String>),
    /// The provider broke Terraform's contract.
    Bug(Vec<String>),
}

/// What an apply did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) added: usize,
    pub(crate) changed: usize,
    pub(crate) destroyed: usize,
}

fn told(diagnostics: &Diagnostics) -> Result<(), Failure> {
    if !diagnostics.has_errors() {
        return Ok(());
    }
    let errors = diagnostics.iter().filter(|one| one.is_error());
    Err(Failure::Told(errors.map(|one| format!("{}: {}", one.summary, one.detail)).collect()))
}

fn judged(found: Vec<Violation>) -> Result<(), Failure> {
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::Bug(found.into_iter().map(|one| format!("{one:?}")).collect()))
}

/// A configuration with every attribute that the schema has, as core sends it.
pub(crate) fn whole(resource: &dyn Resource, config: &Value) -> Value {
    let ty = resource.schema().implied_type();
    Value::from_msgpack(&config.to_msgpack(&ty).unwrap(), &ty).unwrap()
}

/// Plans a change as core does.
pub(crate) async fn plan(
    resource: &Arc<dyn Resource>,
    prior: &Value,
    private: &[u8],
    config: &Value,
) -> Result<PlanResponse, Failure> {
    let (schema, config) = (resource.schema(), whole(resource.as_ref(), config));
    told(&resource.validate(&Context::new(), &config).await)?;
    let proposed = proposed_new_state(&schema, prior, &config);
    let (prior, private) = (prior.clone(), private.to_vec());
    let request = PlanRequest::new(prior, proposed, config).with_private(private);
    let response = resource.plan(&Context::new(), request.clone()).await;
    told(&response.diagnostics)?;
    judged(oracle::plan(&schema, &request, &response))?;
    Ok(response)
}

/// Brings a state up to date.
pub(crate) async fn refresh(
    resource: &Arc<dyn Resource>,
    instance: &mut Instance,
) -> Result<(), Failure> {
    let mut objects: Vec<Option<Object>> = instance.deposed.drain(..).map(Some).collect();
    objects.insert(0, instance.current.take());
    let mut failure = Ok(());
    for object in &mut objects {
        let Some(known) = object.clone() else { continue };
        let request = ReadRequest::new(known.state.clone()).with_private(known.private.clone());
        let seen = resource.read(&Context::new(), request).await;
        if let Err(told) = told(&seen.diagnostics) {
            failure = Err(told);
            continue;
        }
        let private = seen.private.unwrap_or(known.private);
        *object = (!seen.state.is_null()).then_some(Object { state: seen.state, private, ..known });
    }
    instance.current = objects.remove(0);
    instance.deposed = objects.into_iter().flatten().collect();
    failure
}

/// `terraform apply` of one resource; `None` takes its block out. The state is as a run that is killed leaves it.
pub(crate) async fn apply(
    resource: &Arc<dyn Resource>,
    instance: &mut Instance,
    config: Option<&Value>,
    options: Options,
) -> Result<Done, Failure> {
    let mut done = Done::default();
    refresh(resource, instance).await?;
    while let Some(object) = instance.deposed.first().cloned() {
        let (left, result) = destroy_planned(resource, object).await;
        instance.deposed.remove(0);
        instance.deposed.extend(left);
        result?;
        done.destroyed += 1;
    }
    let Some(config) = config else {
        if let Some(object) = instance.current.clone() {
            let (left, result) = destroy_planned(resource, object).await;
            instance.current = left;
            result?;
            done.destroyed += 1;
        }
        return Ok(done);
    };
    let Some(object) = instance.current.clone() else {
        let planned = plan(resource, &Value::Null, &[], config).await?;
        create(resource, instance, config, &planned).await?;
        done.added += 1;
        return Ok(done);
    };
    let create_plan = if object.tainted {
        Some(plan(resource, &Value::Null, &[], config).await?)
    } else {
        let planned = plan(resource, &object.state, &object.private, config).await?;
        let private = planned.private.clone().unwrap_or_default();
        if options.replace || !planned.requires_replace.is_empty() {
            Some(plan(resource, &Value::Null, &private, config).await?)
        } else if equal(&resource.schema().implied_type(), &planned.planned, &object.state) {
            return Ok(done);
        } else {
            update(resource, instance, &object, config, &planned).await?;
            done.changed += 1;
            return Ok(done);
        }
    };
    let Some(create_plan) = create_plan else { return Ok(done) };
    if options.create_first {
        instance.deposed.extend(instance.current.take());
        let result = create(resource, instance, config, &create_plan).await;
        if result.is_err() && instance.current.is_none() {
            instance.current = instance.deposed.pop();
        }
        result?;
        let (left, result) = destroy_planned(resource, object).await;
        instance.deposed = left.into_iter().collect();
        result?;
    } else {
        let private = create_plan.private.clone().unwrap_or_default();
        let (left, result) = destroy(resource, object, private).await;
        instance.current = left;
        result?;
        create(resource, instance, config, &create_plan).await?;
    }
    done.added += 1;
    done.destroyed += 1;
    Ok(done)
}

/// A create: planned again in the apply, without the bytes of the first plan.
async fn create(
    resource: &Arc<dyn Resource>,
    instance: &mut Instance,
    config: &Value,
    first: &PlanResponse,
) -> Result<(), Failure> {
    let planned = plan(resource, &Value::Null, &[], config).await?;
    let ty = resource.schema().implied_type();
    judged(compatible(&ty, &first.planned, &planned.planned))?;
    let config = whole(resource.as_ref(), config);
    let request = ApplyRequest::new(Value::Null, planned.planned, config)
        .with_private(planned.private.unwrap_or_default());
    let response = carry_out(resource, &request).await?;
    let failed = told(&response.diagnostics);
    instance.current = (!response.state.is_null()).then(|| Object {
        state: response.state,
        private: response.private.unwrap_or(request.private),
        tainted: failed.is_err(),
    });
    failed
}

async fn update(
    resource: &Arc<dyn Resource>,
    instance: &mut Instance,
    object: &Object,
    config: &Value,
    first: &PlanResponse,
) -> Result<(), Failure> {
    let planned = plan(resource, &object.state, &object.private, config).await?;
    let ty = resource.schema().implied_type();
    judged(compatible(&ty, &first.planned, &planned.planned))?;
    let config = whole(resource.as_ref(), config);
    let request = ApplyRequest::new(object.state.clone(), planned.planned, config)
        .with_private(planned.private.unwrap_or_default());
    let response = carry_out(resource, &request).await?;
    let failed = told(&response.diagnostics);
    if !(failed.is_err() && response.state.is_null()) {
        let private = response.private.unwrap_or(request.private);
        instance.current = Some(Object { state: response.state, private, tainted: false });
    }
    failed
}

/// A destroy that is planned as such; returns what is left in the state.
async fn destroy_planned(
    resource: &Arc<dyn Resource>,
    object: Object,
) -> (Option<Object>, Result<(), Failure>) {
    let prior = object.state.clone();
    let request =
        PlanRequest::new(prior, Value::Null, Value::Null).with_private(object.private.clone());
    let planned = resource.plan(&Context::new(), request).await;
    if let Err(failed) = told(&planned.diagnostics) {
        return (Some(object), Err(failed));
    }
    let private = planned.private.unwrap_or_else(|| object.private.clone());
    destroy(resource, object, private).await
}

async fn destroy(
    resource: &Arc<dyn Resource>,
    object: Object,
    private: Vec<u8>,
) -> (Option<Object>, Result<(), Failure>) {
    let prior = object.state.clone();
    let request = ApplyRequest::new(prior, Value::Null, Value::Null).with_private(private);
    let response = match carry_out(resource, &request).await {
        Ok(response) => response,
        Err(bug) => return (Some(object), Err(bug)),
    };
    match told(&response.diagnostics) {
        Ok(()) => (None, Ok(())),
        Err(failed) if response.state.is_null() => (Some(object), Err(failed)),
        Err(failed) => (Some(Object { state: response.state, ..object }), Err(failed)),
    }
}

async fn carry_out(
    resource: &Arc<dyn Resource>,
    request: &ApplyRequest,
) -> Result<ApplyResponse, Failure> {
    let response = resource.apply(&Context::new(), request.clone()).await;
    judged(oracle::apply(&resource.schema(), request, &response))?;
    Ok(response)
}

/// `terraform import`.
pub(crate) async fn import(resource: &Arc<dyn Resource>, id: &str) -> Result<Instance, Failure> {
    let request = ImportRequest::Id(id.to_owned());
    let imported = resource.import(&Context::new(), request).await;
    told(&imported.diagnostics)?;
    let state = whole(resource.as_ref(), &imported.state);
    let object = Object { state, private: imported.private, tainted: false };
    let mut instance = Instance { current: Some(object), deposed: vec![] };
    refresh(resource, &mut instance).await?;
    Ok(instance)
}
