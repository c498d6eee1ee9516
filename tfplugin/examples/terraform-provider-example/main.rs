//! A small provider that keeps boxes in files: everything the framework offers, on two pages.

mod actions;
mod boxes;
mod crates;
mod functions;
mod keys;
mod legs;
mod listing;
mod marks;
mod timer;
mod trunks;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tfplugin::{
    Action, Attribute, ConfigureRequest, ConfigureResponse, Context, DataSource, Ephemeral,
    Function, ListResource, Provider, Resource, Schema, action, async_trait, ephemeral, function,
    managed,
};

struct Example;

#[async_trait]
impl Provider for Example {
    fn address(&self) -> Option<&str> {
        Some("registry.terraform.io/example/example")
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("Keeps boxes in files.")
            .attribute(Attribute::string("folder").required().describe("Where the boxes are kept."))
    }

    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![
            Arc::new(boxes::Boxes),
            Arc::new(legs::Legs),
            Arc::new(trunks::Trunks),
            managed(timer::Timers),
            managed(crates::Crates),
            managed(marks::Marks),
        ]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        vec![Arc::new(listing::Listing)]
    }

    fn ephemerals(&self) -> Vec<Arc<dyn Ephemeral>> {
        vec![ephemeral(keys::Keys)]
    }

    fn list_resources(&self) -> Vec<Arc<dyn ListResource>> {
        vec![Arc::new(listing::Search)]
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![action(actions::Bell)]
    }

    fn meta_schema(&self) -> Option<Schema> {
        Some(Schema::new(0).attribute(Attribute::string("module").optional()))
    }

    fn functions(&self) -> Vec<Arc<dyn Function>> {
        vec![Arc::new(functions::Longest), function(functions::Repeated)]
    }

    async fn configure(&self, _: &Context, request: ConfigureRequest) -> ConfigureResponse {
        match request.config.get("folder").as_str() {
            Some(folder) => ConfigureResponse::new(PathBuf::from(folder)),
            None => ConfigureResponse::default(),
        }
    }
}

fn main() -> ExitCode {
    tfplugin::serve(Example)
}
