//! `example_key`: a secret that is never stored.

use std::time::{Duration, SystemTime};

use tfplugin::{
    Attribute, Context, Diagnostics, Ephemeral, OpenResponse, RenewResponse, Schema, Value,
    async_trait,
};

pub(crate) struct Keys;

fn soon() -> Option<SystemTime> {
    SystemTime::now().checked_add(Duration::from_millis(100))
}

#[async_trait]
impl Ephemeral for Keys {
    fn type_name(&self) -> &'static str {
        "example_key"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("A secret that is never stored.")
            .attribute(Attribute::string("door").required())
            .attribute(Attribute::string("key").computed().sensitive())
    }

    async fn open(&self, _: &Context, config: Value) -> OpenResponse {
        let door = config.get("door").as_str().unwrap_or_default().to_owned();
        let key = format!("the key to {door}");
        tracing::warn!(door, "opened");
        let result = config.with("key", key);
        OpenResponse { private: door.into_bytes(), renew_at: soon(), ..OpenResponse::new(result) }
    }

    async fn renew(&self, _: &Context, private: Vec<u8>) -> RenewResponse {
        tracing::warn!(door = %String::from_utf8_lossy(&private), "renewed");
        RenewResponse { private, renew_at: soon(), ..RenewResponse::default() }
    }

    async fn close(&self, _: &Context, private: Vec<u8>) -> Diagnostics {
        tracing::warn!(door = %String::from_utf8_lossy(&private), "closed");
        Diagnostics::none()
    }
}
