//! `example_crate`: what became of some boxes.

use tfplugin::{
    Attr, Attribute, Context, Diagnostics, Failure, ManagedResource, Model, MoveRequest,
    MoveResponse, Schema, Value, async_trait,
};

pub(crate) struct Crates;

#[derive(Model)]
pub(crate) struct Crate {
    id: Attr<String>,
    label: Attr<String>,
}

#[async_trait]
impl ManagedResource for Crates {
    type Model = Crate;

    fn type_name(&self) -> &'static str {
        "example_crate"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("A box under another name.")
            .attribute(Attribute::string("id").computed().keeps_prior())
            .attribute(Attribute::string("label").required().replaces())
    }

    async fn create(&self, _: &Context, plan: Crate) -> Result<Crate, Failure<Crate>> {
        let id = format!("crate-{}", plan.label.require("label")?);
        Ok(Crate { id: id.into(), ..plan })
    }

    async fn read(&self, _: &Context, state: Crate) -> Result<Option<Crate>, Diagnostics> {
        Ok(Some(state))
    }

    async fn delete(&self, _: &Context, _: Crate) -> Result<(), Failure<Crate>> {
        Ok(())
    }

    async fn move_from(&self, _: &Context, request: &MoveRequest) -> Option<MoveResponse> {
        if request.source_type != "example_box" {
            return None;
        }
        let old = request.raw.decode_untyped().ok()?;
        let state = [("id", old.get("id").clone()), ("label", old.get("name").clone())];
        Some(MoveResponse::new(Value::object(state)))
    }
}
