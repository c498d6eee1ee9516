//! The services of go-plugin that stand beside the provider on the same connection.

mod broker;
mod controller;
mod health;
mod stdio;

pub(crate) use broker::Broker;
pub(crate) use controller::Controller;
pub(crate) use health::Health;
pub(crate) use stdio::Stdio;
