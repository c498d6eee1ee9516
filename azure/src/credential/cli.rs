//! The login of the Azure CLI: runs `az`, bounded, and gives it none of our secrets.

use std::ffi::OsStr;
use std::io;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_identity::{AzureCliCredential, AzureCliCredentialOptions, Executor};

/// `az` is a large Python program: a cold start takes seconds.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// Variables that `az` has no need of.
const WITHHELD: [&str; 8] = [
    "ARM_CLIENT_SECRET",
    "ARM_CLIENT_CERTIFICATE",
    "ARM_CLIENT_CERTIFICATE_PASSWORD",
    "ARM_OIDC_TOKEN",
    "ARM_OIDC_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "AZURE_CLIENT_SECRET",
    "SYSTEM_ACCESSTOKEN",
];

/// The CLI refuses tenant and subscription together; the tenant says more.
pub(super) fn credential(
    tenant_id: Option<String>,
    subscription: Option<String>,
) -> Result<Arc<dyn TokenCredential>, String> {
    let subscription = if tenant_id.is_some() { None } else { subscription };
    let executor: Option<Arc<dyn Executor>> = Some(Arc::new(QuietExecutor));
    let options = AzureCliCredentialOptions { subscription, tenant_id, executor };
    let made = AzureCliCredential::new(Some(options));
    made.map(|credential| credential as Arc<dyn TokenCredential>).map_err(|e| e.to_string())
}

/// Runs a program that dies with its caller and asks nothing on the terminal.
#[derive(Debug)]
struct QuietExecutor;

#[async_trait::async_trait]
impl Executor for QuietExecutor {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        let mut command = tokio::process::Command::new(program);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        for name in WITHHELD {
            command.env_remove(name);
        }
        command.output().await
    }
}
