//! The engine's ports to Azure, over the official SDK's pipelines: Resource Manager, blobs,
//! credentials. Never retries a write to Resource Manager: that is the engine's decision.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod arm;
mod bearer;
pub mod blob;
mod connect;
pub mod credential;
pub mod environment;
mod error;
mod http;
pub mod msi;
mod secret;
pub mod settings;
mod tenants;
mod token;
pub mod transport;

pub use arm::ArmCloud;
pub use azure_core::credentials::TokenCredential;
pub use blob::{AzureBlobStore, AzureBlobStores};
pub use connect::{Azure, Checked, connect, connect_with};
pub use error::ConnectError;
pub use http::{HttpClient, HttpSettings, HttpSetupError};
pub use msi::ManagedIdentity;
pub use secret::Secret;
pub use settings::AzureSettings;
pub use token::{Claims, TokenCache};
