//! A deterministic Azure: Resource Manager with its manners, without a clock, threads or sockets.
//!
//! [`World`] answers one request at a time at a time that the caller names; the front in
//! [`front`] serves it over HTTPS and carries out what happens in it (machines, blobs).
//! The world knows neither Consul nor the programs that run on its machines.
//!
//! [`estate::Estate`] adds blobs and servers as the engine sees them, as one value that can be forked; [`SimCloud`] is
//! the engine's ports over it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod definitions;
pub mod estate;
pub mod front;
mod providers;
mod sim;
mod trace;
mod world;

pub use definitions::Definitions;
pub use sim::{
    Answered, Call, CallFault, Calls, Family, Forks, Programs, Script, SimClock, SimCloud, Sleep,
    Sort, Strike, Stuck, VirtualTime,
};
pub use trace::TraceHasher;
pub use world::errors::ArmError;
pub use world::events::{Event, Machine, ObjectRow};
pub use world::fault::{Fault, FaultError, GRAMMAR as FAULT_GRAMMAR};
pub use world::http::{Method, Request, Response};
pub use world::policy::{Audited, Policy, PolicyError};
pub use world::settings::Settings;
pub use world::{Principal, World};
