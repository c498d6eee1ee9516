//! `example_key`: a secret that is never stored.

use std::time::{Duration, SystemTime};

use tfplugin::{
    Attr, Context, Diagnostics, Model, Opened, RenewResponse, Sensitive, TypedEphemeral,
    async_trait,
};

/// A secret that is never stored.
#[derive(Model)]
pub(crate) struct Key {
    #[tf(required)]
    door: Attr<String>,
    #[tf(computed)]
    key: Attr<Sensitive<String>>,
}

pub(crate) struct Keys;

fn soon() -> Option<SystemTime> {
    SystemTime::now().checked_add(Duration::from_millis(100))
}

#[async_trait]
impl TypedEphemeral for Keys {
    type Model = Key;

    fn type_name(&self) -> &'static str {
        "example_key"
    }

    async fn open(&self, _: &Context, mut key: Key) -> Result<Opened<Key>, Diagnostics> {
        let door = key.door.require(Key::DOOR)?.clone();
        key.key = Sensitive::new(format!("the key to {door}")).into();
        tracing::warn!(door, "opened");
        Ok(Opened { result: key, private: door.into_bytes(), renew_at: soon() })
    }

    async fn renew(&self, _: &Context, private: Vec<u8>) -> RenewResponse {
        if private == b"jammed" {
            let diagnostics =
                Diagnostics::error("The lock is jammed", "It cannot be turned again.");
            return RenewResponse { diagnostics, ..RenewResponse::default() };
        }
        tracing::warn!(door = %String::from_utf8_lossy(&private), "renewed");
        RenewResponse { private, renew_at: soon(), ..RenewResponse::default() }
    }

    async fn close(&self, _: &Context, private: Vec<u8>) -> Diagnostics {
        tracing::warn!(door = %String::from_utf8_lossy(&private), "closed");
        Diagnostics::none()
    }
}
