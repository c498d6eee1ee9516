//! A provider whose configuration is not known yet: everything waits, and no author is asked.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::provider_server::Provider as _;
use tfplugin_proto::tfplugin6::{self as proto, ClientCapabilities, DynamicValue};
use tonic::Request;

use super::Calls;
use crate::server::Server;
use crate::*;

/// One object of each sort. Whoever asks it for anything but its schema fails the test.
struct Asked;

fn schema() -> Schema {
    Schema::new(0)
        .attribute(Attribute::string("name").optional())
        .attribute(Attribute::string("colour").optional().default("red").computed())
        .attribute(Attribute::string("id").computed())
}

#[async_trait]
impl Resource for Asked {
    fn type_name(&self) -> &'static str {
        "test_thing"
    }
    fn schema(&self) -> Schema {
        schema()
    }
    async fn plan(&self, _: &Context, _: PlanRequest) -> PlanResponse {
        unreachable!("the author was asked for a plan")
    }
    async fn apply(&self, _: &Context, _: ApplyRequest) -> ApplyResponse {
        unreachable!("nothing of this is applied")
    }
    async fn read(&self, _: &Context, _: ReadRequest) -> ReadResponse {
        unreachable!("the author was asked for a state")
    }
    async fn import(&self, _: &Context, _: ImportRequest) -> ImportResponse {
        unreachable!("the author was asked for an object")
    }
}

#[async_trait]
impl DataSource for Asked {
    fn type_name(&self) -> &'static str {
        "test_thing"
    }
    fn schema(&self) -> Schema {
        schema()
    }
    async fn read(&self, _: &Context, _: Value) -> DataResponse {
        unreachable!("the author was asked to look something up")
    }
}

#[async_trait]
impl Ephemeral for Asked {
    fn type_name(&self) -> &'static str {
        "test_thing"
    }
    fn schema(&self) -> Schema {
        schema()
    }
    async fn open(&self, _: &Context, _: Value) -> OpenResponse {
        unreachable!("the author was asked to open something")
    }
    async fn close(&self, _: &Context, _: Vec<u8>) -> Diagnostics {
        unreachable!("nothing was opened")
    }
}

#[async_trait]
impl Action for Asked {
    fn type_name(&self) -> &'static str {
        "test_thing"
    }
    fn schema(&self) -> Schema {
        Schema::new(0).attribute(Attribute::string("name").optional())
    }
    async fn plan(&self, _: &Context, _: &Value) -> ActionPlan {
        unreachable!("the author was asked about an action")
    }
    async fn invoke(&self, _: &Context, _: Value, _: Progress) -> Diagnostics {
        unreachable!("nothing of this is invoked")
    }
}

/// Configured as soon as its `url` is known.
struct Waiting;

#[async_trait]
impl Provider for Waiting {
    fn schema(&self) -> Schema {
        Schema::new(0).attribute(Attribute::string("url").optional())
    }
    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![Arc::new(Asked)]
    }
    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        vec![Arc::new(Asked)]
    }
    fn ephemerals(&self) -> Vec<Arc<dyn Ephemeral>> {
        vec![Arc::new(Asked)]
    }
    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::new(Asked)]
    }
    async fn configure(&self, _: &Context, request: ConfigureRequest) -> ConfigureResponse {
        if request.config.get("url").is_unknown() {
            return ConfigureResponse::deferred(Deferred::ProviderConfigUnknown);
        }
        ConfigureResponse::new(())
    }
}

const WHO: &str = "test_thing";

fn can(deferral_allowed: bool) -> ClientCapabilities {
    ClientCapabilities { deferral_allowed, ..ClientCapabilities::default() }
}

fn sent_as(value: &Value, schema: &Schema) -> DynamicValue {
    let msgpack = value.to_msgpack(&schema.implied_type()).unwrap().into();
    DynamicValue { msgpack, ..DynamicValue::default() }
}

fn sent(value: &Value) -> DynamicValue {
    sent_as(value, &schema())
}

fn received(value: Option<DynamicValue>) -> Value {
    Value::from_msgpack(&value.expect("a value").msgpack, &schema().implied_type()).unwrap()
}

fn thing(name: &str, colour: impl Into<Value>, id: impl Into<Value>) -> Value {
    Value::object([("name", name.into()), ("colour", colour.into()), ("id", id.into())])
}

fn reason(deferred: Option<proto::Deferred>) -> proto::deferred::Reason {
    deferred.expect("put off").reason()
}

async fn configure(calls: &Calls, url: Value, deferral_allowed: bool) -> String {
    let request = proto::configure_provider::Request {
        config: Some(sent_as(&Value::object([("url", url)]), &Waiting.schema())),
        client_capabilities: Some(can(deferral_allowed)),
        ..Default::default()
    };
    let told = calls.configure_provider(Request::new(request)).await.unwrap().into_inner();
    told.diagnostics.into_iter().map(|one| one.detail).collect()
}

fn calls() -> Calls {
    Calls::new(Arc::new(Server::new(Waiting).judged()))
}

#[tokio::test]
async fn everything_waits_for_a_providers_configuration_and_no_author_is_asked() {
    const REASON: proto::deferred::Reason = proto::deferred::Reason::ProviderConfigUnknown;
    let calls = calls();
    assert_eq!(configure(&calls, Value::unknown(), true).await, "");

    let config = thing("a", Value::Null, Value::Null);
    let plan = |prior: Value, proposed: Value| proto::plan_resource_change::Request {
        type_name: WHO.to_owned(),
        prior_state: Some(sent(&prior)),
        proposed_new_state: Some(sent(&proposed)),
        config: Some(sent(&config)),
        prior_private: b"kept".to_vec(),
        client_capabilities: Some(can(true)),
        ..Default::default()
    };
    let made = calls.plan_resource_change(Request::new(plan(Value::Null, config.clone()))).await;
    let made = made.unwrap().into_inner();
    assert_eq!((reason(made.deferred), made.diagnostics), (REASON, vec![]));
    assert_eq!(received(made.planned_state), thing("a", "red", Value::unknown()));
    let prior = thing("a", "red", "id-1");
    let same = calls.plan_resource_change(Request::new(plan(prior.clone(), prior.clone()))).await;
    let same = same.unwrap().into_inner();
    assert_eq!(reason(same.deferred), REASON);
    assert_eq!(
        (received(same.planned_state), same.planned_private),
        (prior.clone(), b"kept".to_vec())
    );
    let gone = calls.plan_resource_change(Request::new(plan(prior.clone(), Value::Null))).await;
    assert_eq!(received(gone.unwrap().into_inner().planned_state), Value::Null);

    let request = proto::read_resource::Request {
        type_name: WHO.to_owned(),
        current_state: Some(sent(&prior)),
        client_capabilities: Some(can(true)),
        ..Default::default()
    };
    let read = calls.read_resource(Request::new(request)).await.unwrap().into_inner();
    assert_eq!((reason(read.deferred), received(read.new_state)), (REASON, prior));

    let request = proto::import_resource_state::Request {
        type_name: WHO.to_owned(),
        id: "id-1".to_owned(),
        client_capabilities: Some(can(true)),
        ..Default::default()
    };
    let imported = calls.import_resource_state(Request::new(request)).await.unwrap().into_inner();
    assert_eq!((reason(imported.deferred), imported.diagnostics), (REASON, vec![]));
    let state = imported.imported_resources.into_iter().next().unwrap().state;
    assert!(received(state).is_unknown());

    let request = proto::read_data_source::Request {
        type_name: WHO.to_owned(),
        config: Some(sent(&config)),
        client_capabilities: Some(can(true)),
        ..Default::default()
    };
    let found = calls.read_data_source(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(reason(found.deferred), REASON);
    assert!(received(found.state).is_unknown());

    let request = proto::open_ephemeral_resource::Request {
        type_name: WHO.to_owned(),
        config: Some(sent(&config)),
        client_capabilities: Some(can(true)),
    };
    let opened = calls.open_ephemeral_resource(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(reason(opened.deferred), REASON);
    assert!(received(opened.result).is_unknown());
    let request = proto::close_ephemeral_resource::Request {
        type_name: WHO.to_owned(),
        private: opened.private,
    };
    let closed = calls.close_ephemeral_resource(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(closed.diagnostics, vec![]);

    let request = proto::plan_action::Request {
        action_type: WHO.to_owned(),
        config: None,
        client_capabilities: Some(can(true)),
    };
    let planned = calls.plan_action(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(reason(planned.deferred), REASON);
}

#[tokio::test]
async fn a_client_that_puts_nothing_off_is_told_what_to_do_first() {
    let calls = calls();
    let told = configure(&calls, Value::unknown(), false).await;
    assert!(told.contains("the provider's configuration is not known yet"), "{told}");
    assert!(told.contains("-target"), "{told}");
}

#[tokio::test]
async fn a_configuration_that_is_known_ends_the_wait() {
    let calls = calls();
    assert_eq!(configure(&calls, Value::unknown(), true).await, "");
    assert_eq!(configure(&calls, "https://localhost".into(), true).await, "");
    let request = proto::read_resource::Request {
        type_name: WHO.to_owned(),
        current_state: Some(sent(&thing("a", "red", "id-1"))),
        client_capabilities: Some(can(true)),
        ..Default::default()
    };
    // The author of this one panics when it is asked, which is a message of its own.
    let read = calls.read_resource(Request::new(request)).await.unwrap().into_inner();
    assert!(read.deferred.is_none() && !read.diagnostics.is_empty());
}
