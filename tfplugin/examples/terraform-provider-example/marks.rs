//! `example_mark`: nothing but its own state, to hang other things on.

use std::collections::BTreeMap;

use tfplugin::{
    Attr, Attribute, Context, Diagnostics, Failure, ManagedResource, Model, Schema, Type,
    async_trait,
};

pub(crate) struct Marks;

#[derive(Model)]
pub(crate) struct Mark {
    id: Attr<String>,
    triggers: Attr<BTreeMap<String, String>>,
}

#[async_trait]
impl ManagedResource for Marks {
    type Model = Mark;

    fn type_name(&self) -> &'static str {
        "example_mark"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("A mark that is made again when one of its triggers changes.")
            .attribute(Attribute::string("id").computed().keeps_prior())
            .attribute(Attribute::map("triggers", Type::String).optional().replaces())
    }

    async fn create(&self, _: &Context, plan: Mark) -> Result<Mark, Failure<Mark>> {
        let triggers = plan.triggers.known().into_iter().flatten();
        let id: Vec<String> = triggers.map(|(name, value)| format!("{name}={value}")).collect();
        Ok(Mark { id: id.join(",").into(), ..plan })
    }

    async fn read(&self, _: &Context, state: Mark) -> Result<Option<Mark>, Diagnostics> {
        Ok(Some(state))
    }

    async fn delete(&self, _: &Context, _: Mark) -> Result<(), Failure<Mark>> {
        Ok(())
    }
}
