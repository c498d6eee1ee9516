//! Why a connection to Azure could not be set up or does not work, and which setting mends it.

use crate::credential::ChainError;
use crate::environment::EnvironmentError;
use crate::http::HttpSetupError;
use crate::transport::NoAnswer;

/// Why [`crate::connect`] or [`crate::Azure::check`] failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A setting that everything needs is missing.
    #[error("{attribute} is not set; set it or the environment variable {variable}")]
    MissingSetting {
        /// Name of the provider attribute.
        attribute: &'static str,
        /// Its environment variable.
        variable: &'static str,
    },
    /// A setting has no usable form.
    #[error("{attribute} is not usable: {reason}")]
    InvalidSetting {
        /// Name of the provider attribute.
        attribute: &'static str,
        /// Why.
        reason: String,
    },
    /// The HTTP client failed before any request.
    #[error("no HTTPS connection can be made from this machine")]
    HttpSetup(#[source] HttpSetupError),
    /// The metadata host gave no endpoints.
    #[error("the Azure environment is not known")]
    Environment(#[source] EnvironmentError),
    /// No credential gave a token.
    #[error("no Azure credential worked: {0}")]
    Credential(ChainError),
    /// ARM did not answer.
    #[error("Azure Resource Manager at {host} cannot be reached")]
    Unreachable {
        /// Its host.
        host: String,
        /// Whether the host came from a metadata host.
        custom: bool,
        /// Why.
        #[source]
        source: NoAnswer,
    },
    /// ARM does not know the subscription, or hides it from this principal.
    #[error(
        "the subscription {subscription_id} does not exist or {principal} has no access to it ({code}: {message})"
    )]
    UnknownSubscription {
        /// The id that was asked for.
        subscription_id: String,
        /// Who asked.
        principal: String,
        /// ARM's error code.
        code: String,
        /// ARM's message.
        message: String,
    },
    /// The subscription exists but takes no writes.
    #[error("the subscription {subscription_id} is {state}: nothing can be created in it")]
    InactiveSubscription {
        /// The id that was asked for.
        subscription_id: String,
        /// ARM's word for its state.
        state: String,
    },
    /// ARM refused the token itself.
    #[error("Azure Resource Manager refused the access token of {principal} ({code}: {message})")]
    TokenRefused {
        /// Who asked.
        principal: String,
        /// ARM's error code.
        code: String,
        /// ARM's message.
        message: String,
    },
    /// Anything else that ARM answered.
    #[error("Azure Resource Manager answered {status} ({code}: {message})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// ARM's error code.
        code: String,
        /// ARM's message.
        message: String,
    },
    /// The answer was not ARM's.
    #[error("{host} does not answer like Azure Resource Manager: {reason}")]
    NotArm {
        /// The host.
        host: String,
        /// What is wrong.
        reason: String,
    },
}

impl ConnectError {
    /// The provider attribute that the mend is about, when one can be named.
    pub fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::MissingSetting { attribute, .. } | Self::InvalidSetting { attribute, .. } => {
                Some(attribute)
            }
            Self::Environment(_) | Self::NotArm { .. } | Self::Unreachable { custom: true, .. } => {
                Some("metadata_host")
            }
            Self::Credential(chain) => chain.attribute(),
            Self::UnknownSubscription { .. } | Self::InactiveSubscription { .. } => {
                Some("subscription_id")
            }
            Self::TokenRefused { .. } => Some("tenant_id"),
            Self::HttpSetup(_) | Self::Unreachable { custom: false, .. } | Self::Refused { .. } => {
                None
            }
        }
    }
}
