//! A provider that offers everything, and does nothing that could fail.

use std::sync::Arc;

use async_trait::async_trait;

use crate::*;

pub(super) fn schema() -> Schema {
    let disk = || {
        [
            Attribute::string("name").required(),
            Attribute::number("size").default(8).validate(validate::range(1..)),
            Attribute::string("path").computed().keeps_prior(),
        ]
    };
    let nothing_deep = [Attribute::string("key").required(), Attribute::number("n").optional()];
    Schema::new(2)
        .attribute(Attribute::string("id").computed().keeps_prior())
        .attribute(Attribute::string("name").optional().replaces().validate(validate::length(..99)))
        .attribute(Attribute::number("count_of").optional())
        .attribute(Attribute::bool("on").optional())
        .attribute(Attribute::dynamic("any").optional())
        .attribute(Attribute::string("secret").optional().write_only())
        .attribute(Attribute::set("zones", Type::String).optional())
        .attribute(Attribute::map("tags", Type::list(Type::Number)).optional())
        .attribute(Attribute::of("pair", Type::Tuple(vec![Type::Bool, Type::Dynamic])).optional())
        .attribute(Attribute::nested_map("disks", disk()).optional())
        .attribute(Attribute::nested_set("parts", disk()).optional())
        .attribute(Attribute::nested_list("steps", nothing_deep).optional().computed())
        .block(NestedBlock::list("shelf", Block::new().attributes(disk())))
        .block(NestedBlock::set("seat", Block::new().attributes(disk())))
        .group(Group::at_most_one(&["name", "on"]))
}

struct Everything;

pub(super) fn everything() -> impl Provider {
    Everything
}

#[async_trait]
impl Provider for Everything {
    fn schema(&self) -> Schema {
        Schema::new(0).attribute(Attribute::string("name").optional())
    }

    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![Arc::new(Thing)]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        vec![Arc::new(Thing)]
    }

    fn ephemerals(&self) -> Vec<Arc<dyn Ephemeral>> {
        vec![Arc::new(Thing)]
    }

    fn list_resources(&self) -> Vec<Arc<dyn ListResource>> {
        vec![Arc::new(Thing)]
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::new(Thing)]
    }

    fn functions(&self) -> Vec<Arc<dyn Function>> {
        vec![Arc::new(Thing)]
    }

    fn meta_schema(&self) -> Option<Schema> {
        Some(Schema::new(0).attribute(Attribute::string("name").optional()))
    }

    async fn configure(&self, _: &Context, _: ConfigureRequest) -> ConfigureResponse {
        ConfigureResponse::new(())
    }
}

pub(super) const NAME: &str = "fuzz_thing";

struct Thing;

#[async_trait]
impl Resource for Thing {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema()
    }

    fn identity(&self) -> Option<IdentitySchema> {
        Some(IdentitySchema::new(1).required("name", Type::String, ""))
    }

    fn upgraders(&self) -> Vec<Upgrader> {
        vec![Upgrader::new(1, schema().implied_type(), Ok)]
    }

    async fn apply(&self, _: &Context, request: ApplyRequest) -> ApplyResponse {
        ApplyResponse::new(request.planned.unknowns_as_null())
    }

    async fn read(&self, _: &Context, request: ReadRequest) -> ReadResponse {
        ReadResponse::new(request.state)
    }

    async fn import(&self, _: &Context, request: ImportRequest) -> ImportResponse {
        let name = request.id_or("name");
        ImportResponse::new(Value::object([("name", Value::from(name))]))
    }

    async fn move_from(&self, _: &Context, request: MoveRequest) -> MoveResponse {
        match request.raw.decode(&schema().implied_type()) {
            Ok(state) => MoveResponse::new(state),
            Err(error) => MoveResponse::failed(Diagnostic::error("Unreadable", error.to_string())),
        }
    }
}

#[async_trait]
impl DataSource for Thing {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn read(&self, _: &Context, config: Value) -> DataResponse {
        DataResponse::new(config)
    }
}

#[async_trait]
impl Ephemeral for Thing {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn open(&self, _: &Context, config: Value) -> OpenResponse {
        OpenResponse::new(config)
    }
}

#[async_trait]
impl ListResource for Thing {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn list(&self, _: &Context, request: ListRequest, mut found: Found) -> Diagnostics {
        let state = request.config.unknowns_as_null();
        let _ = found.send(ListItem { state, ..ListItem::default() }).await;
        Diagnostics::none()
    }
}

#[async_trait]
impl Action for Thing {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn invoke(&self, _: &Context, config: Value, progress: Progress) -> Diagnostics {
        progress.say(config.get("name").as_str().unwrap_or_default()).await;
        Diagnostics::none()
    }
}

impl Function for Thing {
    fn name(&self) -> &'static str {
        "first"
    }

    fn signature(&self) -> Signature {
        let any = |name| Parameter::new(name, Type::Dynamic).null_allowed().unknown_allowed();
        Signature::new(Type::Dynamic).parameter(any("first")).variadic(any("rest"))
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        arguments.first().cloned().ok_or_else(|| FunctionError::new("nothing given").at(0))
    }
}
