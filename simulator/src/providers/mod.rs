//! Resource providers, one file per family of types. They check and fill bodies; the life of an
//! object (states, operations, locks, conflicts) is the world's.

pub(crate) mod authorization;
pub(crate) mod compute;
pub(crate) mod extensions;
pub(crate) mod groups;
pub(crate) mod identity;
pub(crate) mod key_vault;
pub(crate) mod locks;
pub(crate) mod network;
pub(crate) mod private_dns;
pub(crate) mod storage;
pub(crate) mod subscriptions;
