//! What the simulator promises, as tests: manners of Azure in virtual time, Microsoft's definitions
//! as judge, and the emulator as a process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// A life from beginning to end reads best in one piece.
#![allow(clippy::too_many_lines)]

mod definitions;
mod emulator;
mod extensions;
mod front;
mod judge;
mod lifecycle;
mod limits;
mod locks_and_roles;
mod machines;
mod networks;
mod policy;
mod ports;
mod retention;
mod subscriptions;
mod support;
