//! The calls as Terraform sees them, without a socket between.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::provider_server::Provider as _;
use tfplugin_proto::tfplugin6::{self as proto, DynamicValue};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tonic::Request;

use super::Calls;
use crate::server::Server;
use crate::*;

/// A resource that does what its attribute `mode` says.
struct Thing {
    began: Arc<Notify>,
    ended: Arc<Notify>,
}

fn schema() -> Schema {
    Schema::new(3)
        .attribute(Attribute::string("mode").optional())
        .attribute(Attribute::string("id").computed())
        .attribute(Attribute::string("secret").optional().write_only())
}

fn mode(value: &Value) -> &str {
    value.get("mode").as_str().unwrap_or_default()
}

#[async_trait]
impl Resource for Thing {
    fn type_name(&self) -> &'static str {
        "test_thing"
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn plan(&self, _: &Context, request: PlanRequest) -> PlanResponse {
        assert_ne!(mode(&request.config), "panic in plan");
        if let Some(earlier) = request.planned_private {
            return PlanResponse { private: Some(earlier), ..PlanResponse::new(request.proposed) };
        }
        PlanResponse {
            requires_replace: vec![Path::root("mode").index(0).key("k")],
            ..PlanResponse::new(request.proposed)
        }
    }

    async fn apply(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        let state = request.planned.clone().with("id", "id-1");
        match mode(&request.planned) {
            "panic" => panic!("the roof is on fire"),
            "misfit" => ApplyResponse::new(state.with("id", 1)),
            "unknown" => ApplyResponse::new(state.with("id", Value::unknown())),
            "null" => ApplyResponse::new(Value::Null),
            "other" => ApplyResponse::new(state.with("mode", "another")),
            "block" => {
                self.began.notify_one();
                while !ctx.cancel.is_cancelled() {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                ApplyResponse::new(state.with("id", "cancelled"))
            }
            "wait" => {
                self.began.notify_one();
                ctx.cancel.cancelled().await;
                self.ended.notify_one();
                ApplyResponse::new(state.with("id", "cancelled"))
            }
            _ if ctx.cancel.is_cancelled() => ApplyResponse::new(state.with("id", "cancelled")),
            _ => ApplyResponse::new(state),
        }
    }

    async fn move_from(&self, _: &Context, request: MoveRequest) -> MoveResponse {
        assert_eq!((request.source_type.as_str(), request.source_version), ("other_thing", 7));
        let old = request.raw.decode_untyped().unwrap();
        MoveResponse::new(thing("plain", old.get("old_id").clone()))
    }

    async fn read(&self, _: &Context, request: ReadRequest) -> ReadResponse {
        assert_ne!(mode(&request.state), "panic");
        ReadResponse::new(request.state)
    }
}

struct Things {
    thing: Arc<Thing>,
    schema: Schema,
}

#[async_trait]
impl Provider for Things {
    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![self.thing.clone()]
    }

    async fn configure(&self, _: &Context, _: ConfigureRequest) -> ConfigureResponse {
        ConfigureResponse::new(())
    }
}

fn calls_with(schema: Schema) -> (Arc<Calls>, Arc<Thing>) {
    calls_on(None, schema)
}

fn calls_on(threads: Option<Handle>, schema: Schema) -> (Arc<Calls>, Arc<Thing>) {
    let thing = Arc::new(Thing { began: Arc::default(), ended: Arc::default() });
    let provider = Things { thing: Arc::clone(&thing), schema };
    (Arc::new(Calls::new(Arc::new(Server::new(provider).on(threads)))), thing)
}

fn calls() -> (Arc<Calls>, Arc<Thing>) {
    calls_with(Schema::new(0))
}

fn thing(mode: &str, id: impl Into<Value>) -> Value {
    Value::object([("mode", Value::from(mode)), ("id", id.into()), ("secret", Value::Null)])
}

fn sent(value: &Value) -> DynamicValue {
    let msgpack = value.to_msgpack(&schema().implied_type()).unwrap().into();
    DynamicValue { msgpack, ..Default::default() }
}

fn received(value: Option<DynamicValue>) -> Value {
    let bytes = value.expect("there is a value").msgpack;
    Value::from_msgpack(&bytes, &schema().implied_type()).unwrap()
}

fn apply(prior: &Value, planned: &Value) -> Request<proto::apply_resource_change::Request> {
    Request::new(proto::apply_resource_change::Request {
        type_name: "test_thing".to_owned(),
        prior_state: Some(sent(prior)),
        planned_state: Some(sent(planned)),
        config: Some(sent(planned)),
        planned_private: b"private".to_vec(),
        ..Default::default()
    })
}

/// Applies a create, and returns the state and the texts of the diagnostics.
async fn create(mode: &str) -> (Value, String) {
    applied(&Value::Null, &thing(mode, Value::unknown())).await
}

async fn applied(prior: &Value, planned: &Value) -> (Value, String) {
    let response = calls().0.apply_resource_change(apply(prior, planned)).await.unwrap();
    let response = response.into_inner();
    (received(response.new_state), texts(&response.diagnostics))
}

fn texts(diagnostics: &[proto::Diagnostic]) -> String {
    let texts = diagnostics.iter().map(|each| format!("{}: {}", each.summary, each.detail));
    texts.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_apply_returns_state_and_private_bytes() {
    let request = apply(&Value::Null, &thing("plain", Value::unknown()));
    let response = calls().0.apply_resource_change(request).await.unwrap().into_inner();
    assert_eq!(texts(&response.diagnostics), "");
    assert_eq!(response.private, b"private");
    assert_eq!(received(response.new_state), thing("plain", "id-1"));
}

#[tokio::test]
async fn a_panic_while_creating_keeps_what_was_planned() {
    let (state, texts) = create("panic").await;
    assert_eq!(state, thing("panic", Value::Null));
    assert!(texts.contains("the roof is on fire") && texts.contains("report"), "{texts}");
}

#[tokio::test]
async fn a_panic_while_updating_keeps_the_object_as_it_was() {
    let prior = thing("plain", "id-0");
    let (state, texts) = applied(&prior, &thing("panic", "id-0")).await;
    assert_eq!(state, prior);
    assert!(texts.contains("the roof is on fire"), "{texts}");
}

#[tokio::test]
async fn a_state_that_does_not_fit_is_a_bug_and_loses_no_object() {
    let (state, texts) = create("misfit").await;
    assert_eq!(state, thing("misfit", Value::Null));
    assert!(texts.contains("Bug in the provider") && texts.contains("id: a number"), "{texts}");

    let (state, texts) = create("unknown").await;
    assert_eq!(state, thing("unknown", Value::Null));
    assert!(texts.contains("id: an unknown value where all must be known"), "{texts}");

    let (state, texts) = create("null").await;
    assert_eq!(state, thing("null", Value::Null));
    assert!(texts.contains("returned no state"), "{texts}");
}

#[tokio::test]
async fn a_stop_cancels_what_runs_and_later_calls_run_again() {
    let (calls, author) = calls();
    let running = Arc::clone(&calls);
    let running = tokio::spawn(async move {
        running.apply_resource_change(apply(&Value::Null, &thing("wait", Value::Null))).await
    });
    author.began.notified().await;
    calls.stop_provider(Request::new(proto::stop_provider::Request {})).await.unwrap();
    let stopped = running.await.unwrap().unwrap().into_inner();
    assert_eq!(received(stopped.new_state), thing("wait", "cancelled"));

    let later = apply(&Value::Null, &thing("plain", Value::Null));
    let later = calls.apply_resource_change(later).await.unwrap().into_inner();
    assert_eq!(received(later.new_state), thing("plain", "id-1"));
}

#[test]
fn a_stop_reaches_a_call_that_blocks_its_thread_where_the_author_has_threads() {
    let threads = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    here.block_on(async {
        let (calls, author) = calls_on(Some(threads.handle().clone()), Schema::new(0));
        let running = Arc::clone(&calls);
        let running = tokio::spawn(async move {
            running.apply_resource_change(apply(&Value::Null, &thing("block", Value::Null))).await
        });
        author.began.notified().await;
        calls.stop_provider(Request::new(proto::stop_provider::Request {})).await.unwrap();
        let stopped = running.await.unwrap().unwrap().into_inner();
        assert_eq!(received(stopped.new_state), thing("block", "cancelled"));
    });
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_the_call_and_lets_it_end() {
    let (calls, author) = calls();
    let calling = tokio::spawn(async move {
        calls.apply_resource_change(apply(&Value::Null, &thing("wait", Value::Null))).await
    });
    author.began.notified().await;
    calling.abort();
    author.ended.notified().await;
}

#[tokio::test]
async fn a_panic_in_any_other_call_is_a_diagnostic() {
    let request = proto::read_resource::Request {
        type_name: "test_thing".to_owned(),
        current_state: Some(sent(&thing("panic", "id-0"))),
        ..Default::default()
    };
    let response = calls().0.read_resource(Request::new(request)).await.unwrap().into_inner();
    assert!(texts(&response.diagnostics).contains("report"));
    assert_eq!(response.new_state, None);

    let response = plan(thing("panic in plan", Value::Null)).await;
    assert!(texts(&response.diagnostics).contains("panicked"));
}

#[tokio::test]
async fn what_was_planned_before_reaches_the_author_where_the_client_keeps_it() {
    let request = proto::plan_resource_change::Request {
        type_name: "test_thing".to_owned(),
        prior_state: Some(sent(&Value::Null)),
        proposed_new_state: Some(sent(&thing("plain", Value::unknown()))),
        config: Some(sent(&thing("plain", Value::Null))),
        planned_private: b"earlier".to_vec(),
        ..Default::default()
    };
    let again = calls().0.plan_resource_change(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(again.planned_private, b"earlier");
}

async fn plan(config: Value) -> proto::plan_resource_change::Response {
    let request = proto::plan_resource_change::Request {
        type_name: "test_thing".to_owned(),
        prior_state: Some(sent(&Value::Null)),
        proposed_new_state: Some(sent(&config)),
        config: Some(sent(&config)),
        prior_private: b"private".to_vec(),
        ..Default::default()
    };
    calls().0.plan_resource_change(Request::new(request)).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_plan_returns_private_bytes_and_paths_and_no_secret() {
    let response = plan(thing("plain", Value::unknown()).with("secret", "s3cret")).await;
    assert_eq!(response.planned_private, b"private");
    assert_eq!(received(response.planned_state), thing("plain", Value::unknown()));
    let steps = &response.requires_replace[0].steps;
    assert_eq!(steps.len(), 3);
}

#[tokio::test]
async fn a_type_that_is_not_offered_is_told_by_name() {
    let request =
        proto::read_resource::Request { type_name: "test_other".to_owned(), ..Default::default() };
    let response = calls().0.read_resource(Request::new(request)).await.unwrap().into_inner();
    assert!(texts(&response.diagnostics).contains("no resource \"test_other\""));
}

#[tokio::test]
async fn a_value_that_does_not_fit_points_at_its_attribute() {
    let misfit =
        DynamicValue { msgpack: b"\x81\xa4mode\x01".to_vec().into(), ..Default::default() };
    let request = proto::validate_resource_config::Request {
        type_name: "test_thing".to_owned(),
        config: Some(misfit),
        ..Default::default()
    };
    let calls = calls().0;
    let response = calls.validate_resource_config(Request::new(request)).await.unwrap();
    let diagnostics = response.into_inner().diagnostics;
    assert!(texts(&diagnostics).contains("mode: a number where string is wanted"));
    assert_eq!(diagnostics[0].attribute.as_ref().unwrap().steps.len(), 1);
}

#[tokio::test]
async fn an_unsound_schema_is_refused_by_name() {
    let schemas = |schema| async {
        let request = Request::new(proto::get_provider_schema::Request {});
        calls_with(schema).0.get_provider_schema(request).await.unwrap().into_inner()
    };
    let unsound = schemas(Schema::new(0).attribute(Attribute::string("region"))).await;
    assert!(texts(&unsound.diagnostics).contains("provider.region: it must be required"));

    let sound = schemas(Schema::new(0)).await;
    assert_eq!(sound.resource_schemas["test_thing"].version, 3);
    let capabilities = sound.server_capabilities.unwrap();
    assert!(capabilities.plan_destroy && capabilities.get_provider_schema_optional);
    assert!(capabilities.move_resource_state);
}

#[tokio::test]
async fn state_of_another_type_is_taken_over() {
    let request = proto::move_resource_state::Request {
        source_type_name: "other_thing".to_owned(),
        source_schema_version: 7,
        source_state: Some(proto::RawState {
            json: br#"{"old_id":"id-7"}"#.to_vec(),
            ..Default::default()
        }),
        target_type_name: "test_thing".to_owned(),
        ..Default::default()
    };
    let moved = calls().0.move_resource_state(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(received(moved.target_state), thing("plain", "id-7"));
}

#[tokio::test]
async fn a_provider_that_judges_itself_names_the_broken_rule_and_keeps_the_state() {
    let request = || apply(&Value::Null, &thing("other", Value::unknown()));
    for judges in [false, true] {
        let (_, author) = calls();
        let mut server = Server::new(Things { thing: author, schema: Schema::new(0) });
        server.judges = judges;
        let calls = Calls::new(Arc::new(server));
        let applied = calls.apply_resource_change(request()).await.unwrap().into_inner();
        let told = texts(&applied.diagnostics);
        assert_eq!(told.contains("Bug in the provider: PlanBroken"), judges, "{told}");
        assert_eq!(received(applied.new_state), thing("another", "id-1"));
    }
}

#[tokio::test]
async fn what_is_not_offered_is_answered_cleanly() {
    let calls = calls().0;
    let request = proto::call_function::Request { name: "f".to_owned(), arguments: vec![] };
    let called = calls.call_function(Request::new(request)).await.unwrap().into_inner();
    assert!(called.error.unwrap().text.contains("no function \"f\""));

    let opened = proto::open_ephemeral_resource::Request::default();
    let opened = calls.open_ephemeral_resource(Request::new(opened)).await.unwrap().into_inner();
    assert!(texts(&opened.diagnostics).contains("no ephemeral resource"));

    let planned = proto::plan_action::Request::default();
    let planned = calls.plan_action(Request::new(planned)).await.unwrap().into_inner();
    assert!(texts(&planned.diagnostics).contains("no action"));

    let metadata = calls
        .get_metadata(Request::new(proto::get_metadata::Request {}))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(metadata.resources[0].type_name, "test_thing");

    let imported = proto::import_resource_state::Request {
        type_name: "test_thing".to_owned(),
        ..Default::default()
    };
    let imported = calls.import_resource_state(Request::new(imported)).await.unwrap().into_inner();
    assert!(texts(&imported.diagnostics).contains("does not support import"));
}
