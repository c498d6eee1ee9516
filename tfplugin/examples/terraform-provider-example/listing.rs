//! `example_boxes`: the ids of all boxes; and the boxes themselves, for queries.

use std::path::PathBuf;

use tfplugin::{
    Attribute, Context, DataResponse, DataSource, Diagnostic, Diagnostics, Found, ListItem,
    ListRequest, ListResource, Schema, Type, Value, async_trait,
};

use crate::boxes::Boxes;

pub(crate) struct Listing;

#[async_trait]
impl DataSource for Listing {
    fn type_name(&self) -> &'static str {
        "example_boxes"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("The ids of all boxes.")
            .attribute(Attribute::list("ids", Type::String).computed())
            .attribute(Attribute::string("asked_by").computed().describe("The module that asks."))
    }

    async fn read(&self, ctx: &Context, config: Value) -> DataResponse {
        let asked_by = ctx.provider_meta.get("module").clone();
        match ids(ctx) {
            Ok(ids) => DataResponse::new(config.with("ids", ids).with("asked_by", asked_by)),
            Err(error) => DataResponse::failed(error),
        }
    }
}

fn ids(ctx: &Context) -> Result<Vec<String>, Diagnostics> {
    let Ok(files) = std::fs::read_dir(&*ctx.data::<PathBuf>()?) else {
        return Err(Diagnostics::error("The folder cannot be read", "Set `folder` to one."));
    };
    let id = |name: &str| name.strip_suffix(".box").map(str::to_owned);
    let mut ids: Vec<String> =
        files.filter_map(|file| id(file.ok()?.file_name().to_str()?)).collect();
    ids.sort();
    Ok(ids)
}

/// Finds boxes for `terraform query`.
pub(crate) struct Search;

#[async_trait]
impl ListResource for Search {
    fn type_name(&self) -> &'static str {
        "example_box"
    }

    fn schema(&self) -> Schema {
        Schema::new(0).attribute(Attribute::string("prefix").optional())
    }

    async fn list(&self, ctx: &Context, request: ListRequest, mut found: Found) -> Diagnostics {
        let ids = match ids(ctx) {
            Ok(ids) => ids,
            Err(error) => return error,
        };
        let prefix = request.config.get("prefix").as_str().unwrap_or_default().to_owned();
        for id in ids {
            let state = match Boxes.load(ctx, &id) {
                Ok(Some(state)) => state,
                Ok(None) => continue,
                Err(error) => return error,
            };
            let display_name = state.get("name").as_str().unwrap_or_default().to_owned();
            if !display_name.starts_with(&prefix) {
                continue;
            }
            let item = ListItem { display_name, state, ..ListItem::default() };
            if found.send(item).await.is_break() {
                break;
            }
        }
        Diagnostics::none()
    }

    async fn validate(&self, _: &Context, config: &Value) -> Diagnostics {
        match config.get("prefix").as_str() {
            Some("") => Diagnostic::error("An empty prefix", "Leave it out.").at("prefix").into(),
            _ => Diagnostics::none(),
        }
    }
}
