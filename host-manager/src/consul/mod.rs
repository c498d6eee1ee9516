//! Everything about Consul: its configuration, its unit, its HTTP API.

pub mod acl;
pub mod client;
pub mod config;
pub mod health;
pub mod served;
pub mod store;
pub mod types;
pub mod unit;
