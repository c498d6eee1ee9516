//! `example_boxes`: the ids of all boxes.

use tfplugin::{
    Attribute, Context, DataResponse, DataSource, Diagnostic, Schema, Type, Value, async_trait,
};

use crate::Folder;

pub(crate) struct Listing {
    pub(crate) folder: Folder,
}

#[async_trait]
impl DataSource for Listing {
    fn type_name(&self) -> &'static str {
        "example_boxes"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("The ids of all boxes.")
            .attribute(Attribute::list("ids", Type::String).computed())
    }

    async fn read(&self, _: &Context, config: Value) -> DataResponse {
        let files = self.folder.get().map(std::fs::read_dir);
        let Some(Ok(files)) = files else {
            return DataResponse::failed(Diagnostic::error("The folder cannot be read", ""));
        };
        let mut ids: Vec<String> = files
            .filter_map(|file| {
                file.ok()?.file_name().to_str()?.strip_suffix(".box").map(Into::into)
            })
            .collect();
        ids.sort();
        DataResponse::new(config.with("ids", ids))
    }
}
