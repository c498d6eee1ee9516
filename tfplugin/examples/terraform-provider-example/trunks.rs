//! `example_trunk`: a block of each nesting, none of which its reads ever show.

use tfplugin::{
    ApplyRequest, ApplyResponse, Attribute, Block, Context, NestedBlock, ReadRequest, ReadResponse,
    Resource, Schema, Value, async_trait,
};

pub(crate) struct Trunks;

const BLOCKS: [&str; 4] = ["drawer", "hook", "lining", "strap"];

fn inner() -> Block {
    Block::new().attribute(Attribute::string("colour").optional())
}

#[async_trait]
impl Resource for Trunks {
    fn type_name(&self) -> &'static str {
        "example_trunk"
    }

    fn schema(&self) -> Schema {
        let [drawer, hook, lining, strap] = BLOCKS;
        Schema::new(0)
            .describe("Something with compartments.")
            .attribute(Attribute::string("id").computed().keeps_prior())
            .attribute(Attribute::string("name").required())
            .block(NestedBlock::list(drawer, inner()))
            .block(NestedBlock::set(hook, inner()))
            .block(NestedBlock::group(lining, inner()))
            .block(NestedBlock::single(strap, inner()))
    }

    async fn apply(&self, _: &Context, request: ApplyRequest) -> ApplyResponse {
        if request.is_destroy() {
            return ApplyResponse::new(Value::Null);
        }
        ApplyResponse::new(request.planned.with("id", "trunk"))
    }

    async fn read(&self, _: &Context, request: ReadRequest) -> ReadResponse {
        let bare = |state: Value, name: &&str| state.with(*name, Value::Null);
        ReadResponse::new(BLOCKS.iter().fold(request.state, bare))
    }
}
