//! What Terraform 1.12 and later call, which Terraform 1.11 cannot: with a client of our own.

use std::collections::BTreeMap;

use crate::support::Plugin;
use tfplugin::{Type, Value};
use tfplugin_proto::tfplugin6::invoke_action::event::Type as Event;
use tfplugin_proto::tfplugin6::provider_client::ProviderClient;
use tfplugin_proto::tfplugin6::{self as proto, DynamicValue, ResourceIdentityData};
use tonic::transport::Channel;
use tonic::{Code, Request};

/// A configured provider with an empty folder, and the types of its boxes.
struct Session {
    client: ProviderClient<Channel>,
    box_type: Type,
    folder: tempfile::TempDir,
    _plugin: Plugin,
}

fn sent(value: &Value, ty: &Type) -> DynamicValue {
    DynamicValue { msgpack: value.to_msgpack(ty).unwrap().into(), ..Default::default() }
}

fn identity_type() -> Type {
    Type::object([("id", Type::String)])
}

fn identity(id: impl Into<Value>) -> ResourceIdentityData {
    let value = Value::object([("id", id.into())]);
    ResourceIdentityData { identity_data: Some(sent(&value, &identity_type())) }
}

fn id_of(identity: Option<ResourceIdentityData>) -> Option<String> {
    let data = identity?.identity_data?;
    let value = Value::from_msgpack(&data.msgpack, &identity_type()).unwrap();
    value.get("id").as_str().map(str::to_owned)
}

fn all_texts(diagnostics: &[proto::Diagnostic]) -> String {
    let texts = diagnostics.iter().map(|each| format!("{}: {}", each.summary, each.detail));
    texts.collect::<Vec<_>>().join("\n")
}

impl Session {
    async fn new() -> Self {
        let plugin = Plugin::start(None);
        let mut client = ProviderClient::new(plugin.connect(None).await.unwrap());
        let schemas = client.get_provider_schema(proto::get_provider_schema::Request {}).await;
        let schemas = schemas.unwrap().into_inner();
        let schema = &schemas.resource_schemas["example_box"];
        let box_type = block_type(schema.block.as_ref().unwrap());
        assert!(schemas.server_capabilities.unwrap().generate_resource_config);
        assert!(schemas.list_resource_schemas.contains_key("example_box"));
        assert!(schemas.action_schemas["example_bell"].schema.is_some());
        assert!(schemas.provider_meta.is_some());
        let folder = tempfile::tempdir().unwrap();
        let path = Value::from(folder.path().to_str().unwrap());
        let config = Value::object([("folder", path)]);
        let request = proto::configure_provider::Request {
            terraform_version: "1.14.0".to_owned(),
            config: Some(sent(&config, &Type::object([("folder", Type::String)]))),
            ..Default::default()
        };
        let configured = client.configure_provider(request).await.unwrap().into_inner();
        assert_eq!(all_texts(&configured.diagnostics), "");
        Self { client, box_type, folder, _plugin: plugin }
    }

    async fn plan(
        &mut self,
        prior: &Value,
        config: &Value,
        prior_identity: Option<ResourceIdentityData>,
        deferral_allowed: bool,
    ) -> proto::plan_resource_change::Response {
        let request = proto::plan_resource_change::Request {
            type_name: "example_box".to_owned(),
            prior_state: Some(sent(prior, &self.box_type)),
            proposed_new_state: Some(sent(config, &self.box_type)),
            config: Some(sent(config, &self.box_type)),
            client_capabilities: Some(proto::ClientCapabilities {
                deferral_allowed,
                write_only_attributes_allowed: true,
                ..Default::default()
            }),
            prior_identity,
            ..Default::default()
        };
        self.client.plan_resource_change(request).await.unwrap().into_inner()
    }

    /// Makes a box, and returns its state and identity.
    async fn make(&mut self, name: &str) -> (Value, Option<ResourceIdentityData>) {
        let config = Value::object([("name", Value::from(name)), ("size", Value::from(2))]);
        let planned = self.plan(&Value::Null, &config, None, false).await;
        assert_eq!(all_texts(&planned.diagnostics), "");
        assert_eq!(id_of(planned.planned_identity), None, "the id is not known before apply");
        let request = proto::apply_resource_change::Request {
            type_name: "example_box".to_owned(),
            prior_state: Some(sent(&Value::Null, &self.box_type)),
            planned_state: planned.planned_state,
            config: Some(sent(&config, &self.box_type)),
            planned_private: planned.planned_private,
            ..Default::default()
        };
        let applied = self.client.apply_resource_change(request).await.unwrap().into_inner();
        assert_eq!(all_texts(&applied.diagnostics), "");
        let state = applied.new_state.unwrap().msgpack;
        (Value::from_msgpack(&state, &self.box_type).unwrap(), applied.new_identity)
    }
}

/// The type of a block's values, from the schema on the wire.
fn block_type(block: &proto::schema::Block) -> Type {
    fn attribute(of: &proto::schema::Attribute) -> Type {
        use proto::schema::object::NestingMode;
        let Some(nested) = &of.nested_type else {
            return Type::from_json(&of.r#type).unwrap();
        };
        let object = Type::object(
            nested.attributes.iter().map(|inner| (inner.name.clone(), attribute(inner))),
        );
        match nested.nesting() {
            NestingMode::Map => Type::map(object),
            NestingMode::Set => Type::set(object),
            NestingMode::List => Type::list(object),
            _ => object,
        }
    }
    fn attribute_of(inner: &proto::schema::Attribute) -> (String, Type) {
        (inner.name.clone(), attribute(inner))
    }
    let attributes = block.attributes.iter().map(attribute_of);
    let blocks = block
        .block_types
        .iter()
        .map(|nested| (nested.type_name.clone(), block_type(nested.block.as_ref().unwrap())));
    Type::object(attributes.chain(blocks))
}

#[tokio::test]
async fn an_object_has_its_identity_from_apply_to_read() {
    let mut session = Session::new().await;
    let schemas = proto::get_resource_identity_schemas::Request {};
    let schemas = session.client.get_resource_identity_schemas(schemas).await.unwrap();
    let schema = schemas.into_inner().identity_schemas.remove("example_box").unwrap();
    assert_eq!((schema.version, schema.identity_attributes.len()), (1, 1));
    assert!(schema.identity_attributes[0].required_for_import);

    let (state, named) = session.make("a").await;
    assert_eq!(id_of(named.clone()).as_deref(), Some("box-a"));

    let read = |state: &Value, current_identity, ty: &Type| proto::read_resource::Request {
        type_name: "example_box".to_owned(),
        current_state: Some(sent(state, ty)),
        current_identity,
        ..Default::default()
    };
    let request = read(&state, named.clone(), &session.box_type);
    let seen = session.client.read_resource(request).await.unwrap().into_inner();
    assert_eq!(id_of(seen.new_identity).as_deref(), Some("box-a"));

    // An update keeps it, and says so while planning.
    let proposed = state.clone().with("size", 3);
    let planned = session.plan(&state, &proposed, named, false).await;
    assert_eq!(id_of(planned.planned_identity).as_deref(), Some("box-a"));

    // An identity is for good: another one is called a bug, not passed on.
    let request = read(&state, Some(identity("box-b")), &session.box_type);
    let seen = session.client.read_resource(request).await.unwrap().into_inner();
    assert!(all_texts(&seen.diagnostics).contains("identity of an object changed"));
    assert!(seen.new_state.is_none(), "with an error and no state the stored one stays");
}

#[tokio::test]
async fn an_object_is_imported_by_its_identity() {
    let mut session = Session::new().await;
    session.make("a").await;
    let import = |identity| proto::import_resource_state::Request {
        type_name: "example_box".to_owned(),
        identity: Some(identity),
        ..Default::default()
    };
    let imported = session.client.import_resource_state(import(identity("box-a"))).await.unwrap();
    let imported = imported.into_inner();
    assert_eq!(all_texts(&imported.diagnostics), "");
    let first = imported.imported_resources.into_iter().next().unwrap();
    let state = Value::from_msgpack(&first.state.unwrap().msgpack, &session.box_type).unwrap();
    assert_eq!(state.get("name").as_str(), Some("a"));
    assert_eq!(id_of(first.identity).as_deref(), Some("box-a"));

    // In another spelling: the provider's own is what is stored.
    let other = session.client.import_resource_state(import(identity("BOX-a"))).await.unwrap();
    let other = other.into_inner();
    assert_eq!(all_texts(&other.diagnostics), "");
    let first = other.imported_resources.into_iter().next().unwrap();
    assert_eq!(id_of(first.identity).as_deref(), Some("box-a"));

    for (wrong, told) in [
        (identity(Value::Null), "`id` must be given"),
        (identity(Value::unknown()), "`id` must be given"),
        (identity("box-x"), "No such box"),
    ] {
        let refused = session.client.import_resource_state(import(wrong)).await.unwrap();
        let refused = refused.into_inner();
        assert!(all_texts(&refused.diagnostics).contains(told), "{refused:?}");
        assert!(refused.imported_resources.is_empty());
    }
}

#[tokio::test]
async fn a_stored_identity_of_an_earlier_version_is_upgraded() {
    let mut session = Session::new().await;
    let upgrade = |version, json: &str| proto::upgrade_resource_identity::Request {
        type_name: "example_box".to_owned(),
        version,
        raw_identity: Some(proto::RawState {
            json: json.as_bytes().to_vec(),
            flatmap: BTreeMap::new(),
        }),
    };
    for (version, json) in [(0, r#"{"name":"a"}"#), (1, r#"{"id":"box-a"}"#)] {
        let upgraded = session.client.upgrade_resource_identity(upgrade(version, json)).await;
        let upgraded = upgraded.unwrap().into_inner();
        assert_eq!(id_of(upgraded.upgraded_identity).as_deref(), Some("box-a"));
    }
    let newer = session.client.upgrade_resource_identity(upgrade(2, r#"{"id":"box-a"}"#)).await;
    assert!(all_texts(&newer.unwrap().into_inner().diagnostics).contains("newer"));
    // Terraform asks for every state from before there were identities.
    for json in ["", "null", "{}"] {
        let none = session.client.upgrade_resource_identity(upgrade(0, json)).await;
        let none = none.unwrap().into_inner();
        assert_eq!(all_texts(&none.diagnostics), "", "{json:?}");
        assert_eq!(none.upgraded_identity.unwrap().identity_data.unwrap().msgpack[..], [0xc0]);
    }
}

async fn list(
    session: &mut Session,
    prefix: Option<&str>,
    include_resource_object: bool,
    limit: i64,
) -> Vec<proto::list_resource::Event> {
    let config = Value::object([("prefix", Value::from(prefix))]);
    let request = proto::list_resource::Request {
        type_name: "example_box".to_owned(),
        config: Some(sent(&config, &Type::object([("prefix", Type::String)]))),
        include_resource_object,
        limit,
    };
    let mut stream = session.client.list_resource(request).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        events.push(event);
    }
    events
}

#[tokio::test]
async fn objects_are_listed_with_filter_limit_and_state() {
    let mut session = Session::new().await;
    for name in ["oak", "ash", "asp"] {
        session.make(name).await;
    }
    let names = |events: &[proto::list_resource::Event]| {
        events.iter().map(|event| event.display_name.clone()).collect::<Vec<_>>()
    };
    let all = list(&mut session, None, false, 100).await;
    assert_eq!(names(&all), ["ash", "asp", "oak"]);
    assert!(all.iter().all(|event| event.resource_object.is_none() && event.identity.is_some()));
    let some = list(&mut session, Some("as"), true, 100).await;
    assert_eq!(names(&some), ["ash", "asp"]);
    let state = some[0].resource_object.as_ref().unwrap();
    let state = Value::from_msgpack(&state.msgpack, &session.box_type).unwrap();
    assert_eq!(state.get("id").as_str(), Some("box-ash"));
    assert_eq!(names(&list(&mut session, None, false, 2).await), ["ash", "asp"]);

    std::fs::write(session.folder.path().join("box-bad.box"), "no json").unwrap();
    assert!(list(&mut session, None, false, 0).await.is_empty(), "nothing is wanted");
    // The last object brings it: Terraform reads no further than the last that it wants.
    let broken = list(&mut session, None, false, 100).await;
    let told = broken.last().unwrap();
    assert_eq!(told.display_name, "asp");
    assert!(all_texts(&told.diagnostic).contains("The box is broken"), "{told:?}");
}

#[tokio::test]
async fn an_action_is_checked_planned_and_tells_how_far_it_is() {
    let mut session = Session::new().await;
    let config = |times: Value| {
        let value = Value::object([("times", times)]);
        Some(sent(&value, &Type::object([("times", Type::Number)])))
    };
    let check = proto::validate_action_config::Request {
        type_name: "example_bell".to_owned(),
        config: config(Value::from(13)),
    };
    let checked = session.client.validate_action_config(check).await.unwrap().into_inner();
    assert!(all_texts(&checked.diagnostics).contains("a whole number of 1 to 12"));

    let plan = |deferral_allowed| proto::plan_action::Request {
        action_type: "example_bell".to_owned(),
        config: config(Value::unknown()),
        client_capabilities: Some(proto::ClientCapabilities {
            deferral_allowed,
            ..Default::default()
        }),
    };
    for allowed in [true, false] {
        let planned = session.client.plan_action(plan(allowed)).await.unwrap().into_inner();
        assert!(planned.deferred.is_none() && planned.diagnostics.is_empty());
    }

    let invoke = |name: &str| proto::invoke_action::Request {
        action_type: name.to_owned(),
        config: config(Value::from(3)),
        client_capabilities: None,
    };
    let mut stream =
        session.client.invoke_action(invoke("example_bell")).await.unwrap().into_inner();
    let mut said = Vec::new();
    let mut completed = 0;
    while let Some(event) = stream.message().await.unwrap() {
        match event.r#type.unwrap() {
            Event::Progress(progress) => said.push(progress.message),
            Event::Completed(end) => {
                assert_eq!(all_texts(&end.diagnostics), "");
                completed += 1;
            }
        }
    }
    assert_eq!(said, ["1 of 3", "2 of 3", "3 of 3"]);
    assert_eq!(completed, 1);

    // Without a `config` block Terraform sends null.
    let bare = proto::invoke_action::Request { config: None, ..invoke("example_bell") };
    let mut stream = session.client.invoke_action(bare).await.unwrap().into_inner();
    let Some(Event::Completed(end)) = stream.message().await.unwrap().unwrap().r#type else {
        panic!("it rings no times");
    };
    assert_eq!(all_texts(&end.diagnostics), "");

    let mut stream =
        session.client.invoke_action(invoke("example_gong")).await.unwrap().into_inner();
    let Some(Event::Completed(end)) = stream.message().await.unwrap().unwrap().r#type else {
        panic!("an unknown action has nothing to tell");
    };
    assert!(all_texts(&end.diagnostics).contains("no action \"example_gong\""));
}

#[tokio::test]
async fn what_cannot_be_renewed_is_given_back_with_what_it_was_opened_with() {
    let mut session = Session::new().await;
    let renew = |private: &[u8]| proto::renew_ephemeral_resource::Request {
        type_name: "example_key".to_owned(),
        private: Some(private.to_vec()),
    };
    for (private, told) in [(&b"cellar"[..], ""), (b"jammed", "The lock is jammed")] {
        let renewed = session.client.renew_ephemeral_resource(renew(private)).await.unwrap();
        let renewed = renewed.into_inner();
        assert!(all_texts(&renewed.diagnostics).contains(told));
        assert_eq!(renewed.private.as_deref(), Some(private), "OpenTofu closes with these bytes");
    }
}

#[tokio::test]
async fn a_plan_that_cannot_be_made_yet_is_put_off_where_that_is_allowed() {
    let mut session = Session::new().await;
    let config = Value::object([("name", Value::unknown())]);
    let planned = session.plan(&Value::Null, &config, None, true).await;
    let reason = planned.deferred.unwrap().reason();
    assert_eq!(reason, proto::deferred::Reason::ResourceConfigUnknown);
    assert!(planned.planned_state.is_some());
    let planned = session.plan(&Value::Null, &config, None, false).await;
    assert!(planned.deferred.is_none() && planned.planned_state.is_some());
}

#[tokio::test]
async fn a_generated_configuration_plans_empty() {
    let mut session = Session::new().await;
    let (state, named) = session.make("a").await;
    let request = proto::generate_resource_config::Request {
        type_name: "example_box".to_owned(),
        state: Some(sent(&state, &session.box_type)),
    };
    let generated = session.client.generate_resource_config(request).await.unwrap().into_inner();
    let config = Value::from_msgpack(&generated.config.unwrap().msgpack, &session.box_type);
    let config = config.unwrap();
    assert!(config.get("id").is_null() && config.get("has_secret").is_null());
    assert_eq!(config.get("name").as_str(), Some("a"));
    // Terraform proposes prior values where a configuration leaves computed attributes open.
    let proposed = config.with("id", "box-a").with("has_secret", false);
    let planned = session.plan(&state, &proposed, named, false).await;
    let planned = planned.planned_state.unwrap().msgpack;
    assert_eq!(Value::from_msgpack(&planned, &session.box_type).unwrap(), state);
}

fn nothing<T: Default>() -> Request<T> {
    Request::new(T::default())
}

#[tokio::test]
async fn state_stores_are_not_offered_and_say_so() {
    let mut session = Session::new().await;
    let client = &mut session.client;
    let refusals = [
        client.configure_state_store(nothing()).await.map(drop),
        client.validate_state_store_config(nothing()).await.map(drop),
        client.read_state_bytes(nothing()).await.map(drop),
        client.lock_state(nothing()).await.map(drop),
        client.unlock_state(nothing()).await.map(drop),
        client.get_states(nothing()).await.map(drop),
        client.delete_state(nothing()).await.map(drop),
        client.write_state_bytes(tokio_stream::empty()).await.map(drop),
    ];
    for refusal in refusals {
        assert_eq!(refusal.unwrap_err().code(), Code::Unimplemented);
    }
}
