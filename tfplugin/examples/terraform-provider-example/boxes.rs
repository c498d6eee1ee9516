//! `example_box`: a box in a file.

use std::fs;
use std::io;
use std::path::PathBuf;

use tfplugin::plan::by_schema;
use tfplugin::validate::{Validator, check};
use tfplugin::{
    ApplyRequest, ApplyResponse, Attribute, Block, Context, Deferred, Diagnostic, Diagnostics,
    IdentitySchema, ImportRequest, ImportResponse, NestedBlock, PlanRequest, PlanResponse,
    ReadRequest, ReadResponse, Resource, Schema, Type, Upgrader, Value, async_trait,
};

pub(crate) struct Boxes;

fn file(ctx: &Context, id: &str) -> Result<PathBuf, Diagnostics> {
    Ok(ctx.data::<PathBuf>()?.join(format!("{id}.box")))
}

impl Boxes {
    pub(crate) fn load(&self, ctx: &Context, id: &str) -> Result<Option<Value>, Diagnostics> {
        match fs::read(file(ctx, id)?) {
            Ok(bytes) => Value::from_json(&bytes, &self.schema().implied_type())
                .map(Some)
                .map_err(|error| Diagnostics::error("The box is broken", error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Diagnostics::error("The box cannot be read", error.to_string())),
        }
    }

    fn store(&self, ctx: &Context, id: &str, state: &Value) -> Result<(), Diagnostics> {
        let json = state
            .to_json(&self.schema().implied_type())
            .map_err(|error| Diagnostics::error("The box cannot be stored", error.to_string()))?;
        fs::write(file(ctx, id)?, json)
            .map_err(|error| Diagnostics::error("The box cannot be stored", error.to_string()))
    }

    fn make(&self, ctx: &Context, request: &ApplyRequest) -> Result<Value, Diagnostics> {
        if request.is_destroy() {
            let id = request.prior.get("id").as_str().unwrap_or_default();
            return match fs::remove_file(file(ctx, id)?) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(Diagnostics::error("The box cannot be removed", error.to_string()))
                }
                _ => Ok(Value::Null),
            };
        }
        let name = request.planned.get("name").as_str().unwrap_or_default();
        let id = format!("box-{name}");
        let has_secret = !request.config.get("secret").is_null();
        // Write-only values are at hand here, and must not be kept.
        let state = request
            .planned
            .clone()
            .with("id", id.as_str())
            .with("has_secret", has_secret)
            .with("secret", Value::Null);
        self.store(ctx, &id, &state)?;
        tracing::debug!(id, "stored");
        Ok(state)
    }
}

fn positive() -> impl Validator {
    check("above zero", |value| value.as_f64().is_some_and(|number| number > 0.0))
}

#[async_trait]
impl Resource for Boxes {
    fn type_name(&self) -> &'static str {
        "example_box"
    }

    fn schema(&self) -> Schema {
        Schema::new(1)
            .describe("A box in a file.")
            .attribute(
                Attribute::string("id").computed().keeps_prior().describe("The box for good."),
            )
            .attribute(
                Attribute::string("name")
                    .required()
                    .replaces()
                    .describe("A new name is a new box."),
            )
            .attribute(
                Attribute::number("size").default(1).validate(positive()).describe("Default 1."),
            )
            .attribute(Attribute::list("weights", Type::Number).optional())
            .attribute(Attribute::set("tags", Type::String).optional())
            .attribute(Attribute::dynamic("content").optional())
            .attribute(
                Attribute::nested_map(
                    "shelves",
                    [
                        Attribute::number("height").required().validate(positive()),
                        Attribute::string("label").optional().sensitive(),
                    ],
                )
                .optional(),
            )
            .attribute(
                Attribute::nested_set(
                    "stickers",
                    [Attribute::string("text").required(), Attribute::number("size").default(3)],
                )
                .optional(),
            )
            .attribute(Attribute::string("secret").optional().write_only())
            .attribute(Attribute::bool("has_secret").computed())
            .attribute(Attribute::string("colour").optional().deprecated("Paint it yourself."))
            .block(NestedBlock::single(
                "timeouts",
                Block::new().attribute(Attribute::string("create").optional()),
            ))
    }

    fn identity(&self) -> Option<IdentitySchema> {
        Some(IdentitySchema::new(1).required("id", Type::String, "The box for good."))
    }

    fn identity_upgraders(&self) -> Vec<Upgrader> {
        let old = Type::object([("name", Type::String)]);
        vec![Upgrader::new(0, old, |old| {
            let name = old.get("name").as_str().unwrap_or_default();
            Ok(Value::object([("id", Value::from(format!("box-{name}")))]))
        })]
    }

    /// Boxes of version 0 had a `title`, and their weights as texts.
    fn upgraders(&self) -> Vec<Upgrader> {
        let old = Type::object([
            ("id", Type::String),
            ("title", Type::String),
            ("weights", Type::list(Type::String)),
        ]);
        vec![Upgrader::new(0, old, |old| {
            let weights = old.get("weights").as_list().map(|weights| {
                let number = |text: &Value| text.as_str()?.parse().ok().map(Value::Number);
                weights.iter().map(number).collect::<Option<Vec<_>>>()
            });
            let weights = match weights {
                Some(None) => {
                    let problem = "A weight is not a number.";
                    return Err(Diagnostic::error("The box cannot be upgraded", problem));
                }
                Some(Some(weights)) => Value::List(weights),
                None => Value::Null,
            };
            Ok(Value::object([
                ("id", old.get("id").clone()),
                ("name", old.get("title").clone()),
                ("weights", weights),
                ("size", Value::from(1)),
                ("has_secret", Value::from(false)),
            ]))
        })]
    }

    async fn plan(&self, ctx: &Context, request: PlanRequest) -> PlanResponse {
        if request.is_destroy() {
            return PlanResponse::new(Value::Null);
        }
        // The name decides on the file: with it unknown there is little to say.
        if ctx.deferral_allowed && request.config.get("name").is_unknown() {
            let planned = request.proposed.with("id", Value::unknown());
            return PlanResponse::deferred(planned, Deferred::ResourceConfigUnknown);
        }
        let has_secret = !request.config.get("secret").is_null();
        let mut plan = by_schema(&self.schema(), request);
        plan.planned.set("has_secret", has_secret);
        plan
    }

    async fn apply(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        match self.make(ctx, &request) {
            Ok(state) => {
                // The private bytes count how often the box was written.
                let mut private = request.private;
                private.push(b'|');
                ApplyResponse { private: Some(private), ..ApplyResponse::new(state) }
            }
            Err(error) => ApplyResponse::failed(request.prior, error),
        }
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> ReadResponse {
        let id = request.state.get("id").as_str().unwrap_or_default();
        match self.load(ctx, id) {
            Ok(Some(state)) => {
                tracing::info!(id, writes = request.private.len(), "the box is there");
                ReadResponse::new(state)
            }
            Ok(None) => ReadResponse::gone(),
            Err(error) => ReadResponse::failed(error),
        }
    }

    async fn import(&self, ctx: &Context, request: ImportRequest) -> ImportResponse {
        // Whoever writes an id by hand may write it in capitals.
        let id = request.id_or("id").replacen("BOX-", "box-", 1);
        match self.load(ctx, &id) {
            Ok(Some(state)) => ImportResponse::new(state),
            Ok(None) => ImportResponse::failed(Diagnostic::error(
                "No such box",
                format!("There is no box with the id {id:?}."),
            )),
            Err(error) => ImportResponse::failed(error),
        }
    }
}
