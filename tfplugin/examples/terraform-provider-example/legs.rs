//! `example_leg`: writes down what every plan and every apply of it is given, so that a test can read what Terraform
//! tells the halves of a replacement.

use std::io::Write as _;
use std::path::PathBuf;

use tfplugin::{
    ApplyRequest, ApplyResponse, Attribute, Context, Diagnostic, PlanRequest, PlanResponse,
    ReadRequest, ReadResponse, Resource, Schema, Value, async_trait,
};

pub(crate) struct Legs;

fn note(ctx: &Context, line: &str) {
    let Ok(folder) = ctx.data::<PathBuf>() else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("legs"));
    let _ = file.and_then(|mut file| writeln!(file, "{line}"));
}

/// `a1`, `a?` before its number is known, or `-`.
fn shown(value: &Value) -> String {
    match value.get("name").as_str() {
        None => "-".to_owned(),
        Some(name) => match value.get("number").as_i64() {
            Some(number) => format!("{name}{number}"),
            None => format!("{name}?"),
        },
    }
}

#[async_trait]
impl Resource for Legs {
    fn type_name(&self) -> &'static str {
        "example_leg"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("Writes down what its plans and applies are given.")
            .attribute(Attribute::string("name").required())
            .attribute(Attribute::bool("fails").optional())
            .attribute(Attribute::number("number").computed())
    }

    async fn plan(&self, ctx: &Context, request: PlanRequest) -> PlanResponse {
        let (prior, proposed) = (shown(&request.prior), shown(&request.proposed));
        let given = String::from_utf8_lossy(&request.private).into_owned();
        let kind = match (request.is_create(), request.is_destroy()) {
            (_, true) => "destroy",
            (true, _) => "create",
            _ => "update",
        };
        note(ctx, &format!("plan {prior} -> {proposed} given {given:?}"));
        if request.is_destroy() {
            let private = Some(format!("planned {kind}").into_bytes());
            return PlanResponse { private, ..PlanResponse::new(Value::Null) };
        }
        let is_replaced =
            !request.prior.is_null() && request.prior.get("name") != request.proposed.get("name");
        let mut planned = request.proposed;
        if kind == "create" || is_replaced {
            planned.set("number", Value::unknown());
        }
        PlanResponse {
            requires_replace: if is_replaced { vec!["name".into()] } else { vec![] },
            private: Some(format!("planned {kind}").into_bytes()),
            ..PlanResponse::new(planned)
        }
    }

    async fn apply(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        let (prior, planned) = (shown(&request.prior), shown(&request.planned));
        let given = String::from_utf8_lossy(&request.private).into_owned();
        note(ctx, &format!("apply {prior} -> {planned} given {given:?}"));
        if request.is_destroy() {
            return ApplyResponse::new(Value::Null);
        }
        let number = request.prior.get("number").as_i64().unwrap_or_default() + 1;
        let state = request.planned.clone().with("number", number);
        let failed = Diagnostic::error("It failed", "As it was told to.");
        let response = match request.planned.get("fails").as_bool() {
            Some(true) => ApplyResponse::failed(state, failed),
            _ => ApplyResponse::new(state),
        };
        ApplyResponse { private: Some(b"kept".to_vec()), ..response }
    }

    async fn read(&self, _: &Context, request: ReadRequest) -> ReadResponse {
        ReadResponse::new(request.state)
    }
}
