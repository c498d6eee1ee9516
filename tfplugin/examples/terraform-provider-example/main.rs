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

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use tfplugin::{
    Action, Attribute, ConfigureRequest, Context, DataSource, Diagnostics, Ephemeral, Function,
    ListResource, Provider, Resource, Schema, async_trait, managed,
};

/// The folder that the boxes are kept in, once it is configured.
type Folder = Arc<OnceLock<PathBuf>>;

#[derive(Default)]
struct Example {
    folder: Folder,
}

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
            Arc::new(boxes::Boxes { folder: Arc::clone(&self.folder) }),
            Arc::new(legs::Legs { folder: Arc::clone(&self.folder) }),
            managed(timer::Timers),
            managed(crates::Crates),
            managed(marks::Marks),
        ]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        vec![Arc::new(listing::Listing { folder: Arc::clone(&self.folder) })]
    }

    fn ephemerals(&self) -> Vec<Arc<dyn Ephemeral>> {
        vec![Arc::new(keys::Keys)]
    }

    fn list_resources(&self) -> Vec<Arc<dyn ListResource>> {
        vec![Arc::new(listing::Search { folder: Arc::clone(&self.folder) })]
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::new(actions::Bell)]
    }

    fn meta_schema(&self) -> Option<Schema> {
        Some(Schema::new(0).attribute(Attribute::string("module").optional()))
    }

    fn functions(&self) -> Vec<Arc<dyn Function>> {
        vec![Arc::new(functions::Longest)]
    }

    async fn configure(&self, _: &Context, request: ConfigureRequest) -> Diagnostics {
        if let Some(folder) = request.config.get("folder").as_str() {
            let _ = self.folder.set(PathBuf::from(folder));
        }
        Diagnostics::none()
    }
}

fn main() -> ExitCode {
    tfplugin::serve(Example::default())
}
