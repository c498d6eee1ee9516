//! Faults put into the provider on purpose: each is found, and nothing is found without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;

use super::keeper::Keeper;
use crate::oracle::{Driver, Rule, pure};
use crate::schema::{Attribute, Block, NestedBlock, Schema, Type};
use crate::value::Value;
use crate::{
    ApplyRequest, ApplyResponse, Context, Function, FunctionError, ImportRequest, ImportResponse,
    Path, PlanRequest, PlanResponse, ReadRequest, ReadResponse, Resource, Signature,
    UpgradeRequest, UpgradeResponse,
};

type Change<T> = fn(&Value, T) -> T;

/// What is wrong with a provider; the first argument is the configuration or the stored state.
enum Fault {
    Plan(Change<PlanResponse>),
    Apply(Change<ApplyResponse>),
    Read(Change<ReadResponse>),
    Import(Change<ImportResponse>),
    Upgrade(Change<UpgradeResponse>),
    /// Every plan differs from the one before.
    UnsteadyPlan,
}

struct Faulty {
    inner: Keeper,
    fault: Option<Fault>,
    plans: AtomicU32,
}

#[async_trait]
impl Resource for Faulty {
    fn type_name(&self) -> &'static str {
        "test_faulty"
    }

    fn schema(&self) -> Schema {
        self.inner.schema()
    }

    async fn plan(&self, ctx: &Context, request: PlanRequest) -> PlanResponse {
        let config = request.config.clone();
        let mut response = self.inner.plan(ctx, request).await;
        match self.fault {
            Some(Fault::Plan(change)) => change(&config, response),
            Some(Fault::UnsteadyPlan) if !config.is_null() => {
                let count = self.plans.fetch_add(1, Ordering::Relaxed);
                response.planned.set("made", format!("plan {count}"));
                response
            }
            _ => response,
        }
    }

    async fn apply(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        let config = request.config.clone();
        let response = self.inner.apply(ctx, request).await;
        match self.fault {
            Some(Fault::Apply(change)) => change(&config, response),
            _ => response,
        }
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> ReadResponse {
        let state = request.state.clone();
        let response = self.inner.read(ctx, request).await;
        match self.fault {
            Some(Fault::Read(change)) => change(&state, response),
            _ => response,
        }
    }

    async fn import(&self, ctx: &Context, request: ImportRequest) -> ImportResponse {
        let response = self.inner.import(ctx, request).await;
        match self.fault {
            Some(Fault::Import(change)) => change(&Value::Null, response),
            _ => response,
        }
    }

    async fn upgrade(&self, ctx: &Context, request: UpgradeRequest) -> UpgradeResponse {
        let response = self.inner.upgrade(ctx, request).await;
        match self.fault {
            Some(Fault::Upgrade(change)) => change(&Value::Null, response),
            _ => response,
        }
    }
}

fn schema() -> Schema {
    let disk = [Attribute::string("name").required(), Attribute::number("size").default(8)];
    Schema::new(1)
        .attribute(Attribute::string("id").computed().keeps_prior())
        .attribute(Attribute::string("name").required())
        .attribute(Attribute::string("note").optional())
        .attribute(Attribute::string("made").computed())
        .attribute(Attribute::string("secret").optional().write_only())
        .attribute(Attribute::set("zones", Type::String).optional())
        .attribute(Attribute::nested_set("disks", disk).optional())
        .block(NestedBlock::list("part", Block::new().attribute(Attribute::number("n").required())))
}

fn config(name: &str) -> Value {
    let disk = |name: &str| Value::object([("name", Value::from(name))]);
    Value::object([
        ("name", Value::from(name)),
        ("secret", Value::from("correct horse")),
        ("zones", Value::list(["1", "2"].map(Value::from))),
        ("disks", Value::list([disk("a"), disk("b")])),
        ("part", Value::list([Value::object([("n", Value::from(1))])])),
    ])
}

/// The rules that a life of this provider breaks.
async fn broken(fault: Option<Fault>) -> Vec<Rule> {
    let faulty = Faulty { inner: Keeper::new(schema()), fault, plans: AtomicU32::new(0) };
    let mut driver = Driver::new(Arc::new(faulty));
    let early = config("one").with("name", Value::unknown());
    // A broken rule may end the life early; what was found until then counts.
    let _ = driver.apply(&early, &config("one")).await;
    let _ = driver.apply(&config("two"), &config("two")).await;
    let id = driver.state().get("id").as_str().unwrap_or_default().to_owned();
    let _ = driver.import(&id).await;
    let _ = driver.destroy().await;
    let mut rules: Vec<Rule> = driver.violations().iter().map(|found| found.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn planned(response: PlanResponse, name: &str, value: impl Into<Value>) -> PlanResponse {
    if response.planned.is_null() {
        return response;
    }
    PlanResponse { planned: response.planned.with(name, value), ..response }
}

fn made(response: ApplyResponse, name: &str, value: impl Into<Value>) -> ApplyResponse {
    ApplyResponse { state: response.state.with(name, value), ..response }
}

/// What the provider does, how it comes to it, and the rule that it breaks.
type Planted = (&'static str, Fault, Rule);

fn faults_in_plans() -> Vec<Planted> {
    vec![
        (
            "a configured value is planned as another",
            Fault::Plan(|_, plan| planned(plan, "name", "other")),
            Rule::ConfigIgnored,
        ),
        (
            "a configured value is planned as unknown",
            Fault::Plan(|_, plan| planned(plan, "name", Value::unknown())),
            Rule::KnownMadeUnknown,
        ),
        (
            "a value is planned that only the configuration can set",
            Fault::Plan(|_, plan| planned(plan, "note", "invented")),
            Rule::ValueInvented,
        ),
        (
            "a write-only value is planned",
            Fault::Plan(|config, plan| planned(plan, "secret", config.get("secret").clone())),
            Rule::WriteOnlyKept,
        ),
        (
            "a block is planned twice",
            Fault::Plan(|_, plan| {
                let part = Value::object([("n", Value::from(1))]);
                planned(plan, "part", Value::list([part.clone(), part]))
            }),
            Rule::ElementsChanged,
        ),
        (
            "no blocks are planned as null",
            Fault::Plan(|_, plan| planned(plan, "part", Value::Null)),
            Rule::ElementsChanged,
        ),
        (
            "an element of a nested set is planned as another",
            Fault::Plan(|_, plan| {
                let disk = Value::object([("name", Value::from("z")), ("size", Value::from(8))]);
                planned(plan, "disks", Value::list([disk]))
            }),
            Rule::ElementsChanged,
        ),
        (
            "a value of another type is planned",
            Fault::Plan(|_, plan| planned(plan, "made", 1)),
            Rule::Misfit,
        ),
        (
            "a destroy is planned as a change",
            Fault::Plan(
                |config, plan| {
                    if config.is_null() { PlanResponse::new(self::config("x")) } else { plan }
                },
            ),
            Rule::DestroyPlanned,
        ),
        (
            "a replacement names an attribute that is not there",
            Fault::Plan(|_, plan| PlanResponse {
                requires_replace: vec![Path::root("zones").index(0)],
                ..plan
            }),
            Rule::ReplacePath,
        ),
        ("no plan is like the one before", Fault::UnsteadyPlan, Rule::PlanUnstable),
        (
            "a computed value is unknown in every plan",
            Fault::Plan(|_, plan| planned(plan, "made", Value::unknown())),
            Rule::NotSettled,
        ),
    ]
}

fn faults_in_applies() -> Vec<Planted> {
    vec![
        (
            "something is unknown after apply",
            Fault::Apply(|_, done| made(done, "made", Value::unknown())),
            Rule::UnknownAfterApply,
        ),
        (
            "a planned value is not what came out",
            Fault::Apply(|_, done| made(done, "name", "other")),
            Rule::PlanBroken,
        ),
        (
            "an element of a set is spelt differently after apply",
            Fault::Apply(|_, done| made(done, "zones", Value::list(["1", "02"].map(Value::from)))),
            Rule::PlanBroken,
        ),
        (
            "a write-only value is stored",
            Fault::Apply(|config, done| made(done, "secret", config.get("secret").clone())),
            Rule::WriteOnlyKept,
        ),
        (
            "a write-only value is stored under another name",
            Fault::Apply(|config, done| {
                let secret = config.get("secret").as_str().unwrap_or_default();
                made(done, "made", format!("password={secret}"))
            }),
            Rule::SecretLeaked,
        ),
        (
            "an object is made and has no state",
            Fault::Apply(|_, _| ApplyResponse::new(Value::Null)),
            Rule::ExistenceWrong,
        ),
        (
            "an object is destroyed and still has a state",
            Fault::Apply(|config, done| {
                if config.is_null() { ApplyResponse::new(self::config("x")) } else { done }
            }),
            Rule::ExistenceWrong,
        ),
    ]
}

fn faults_elsewhere() -> Vec<Planted> {
    vec![
        (
            "a read gives unknowns",
            Fault::Read(|_, seen| ReadResponse {
                state: seen.state.with("made", Value::unknown()),
                ..seen
            }),
            Rule::UnknownRead,
        ),
        (
            "a read gives another spelling of what is configured",
            Fault::Read(|_, seen| ReadResponse { state: seen.state.with("note", ""), ..seen }),
            Rule::NotSettled,
        ),
        (
            "an import gives nothing",
            Fault::Import(|_, _| ImportResponse::default()),
            Rule::NothingImported,
        ),
        (
            "an upgrade drops an attribute",
            Fault::Upgrade(|_, up| UpgradeResponse {
                state: up.state.with("made", Value::Null),
                ..up
            }),
            Rule::UpgradeLoss,
        ),
    ]
}

#[tokio::test]
async fn every_planted_fault_is_found() {
    assert_eq!(broken(None).await, [], "without a fault nothing is found");
    let all = [faults_in_plans(), faults_in_applies(), faults_elsewhere()];
    for (name, fault, rule) in all.into_iter().flatten() {
        let found = broken(Some(fault)).await;
        assert!(found.contains(&rule), "{name}: {rule:?} is not among {found:?}");
    }
}

struct Dice(AtomicU32);

impl Function for Dice {
    fn name(&self) -> &'static str {
        "dice"
    }

    fn signature(&self) -> Signature {
        Signature::new(Type::Number)
    }

    fn call(&self, _: &[Value]) -> Result<Value, FunctionError> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed).into())
    }
}

#[test]
fn a_function_with_a_memory_is_found() {
    let (first, found) = pure(&Dice(AtomicU32::new(4)), &[]);
    assert_eq!(first, Ok(4_u32.into()));
    assert_eq!(found.first().map(|found| found.rule), Some(Rule::Impure));
}
