//! The credential: what is configured, by azurerm's order of preference. A credential that was given and fails is an
//! error: falling through to somebody else's login would act as a principal that nobody meant.

mod assertion;
mod certificate;
mod cli;
mod describe;
mod plan;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::Error;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;

pub use plan::{Method, PlanContext};

use crate::secret::Redactor;
use crate::settings::AzureSettings;

/// One way to get a token, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which way.
    pub method: Method,
    /// The way in words, e.g. `client secret for client 1111`.
    pub subject: String,
    /// Why it failed, without secrets.
    pub reason: String,
    /// The provider attribute that would mend it, when one can be named.
    pub attribute: Option<&'static str>,
}

/// No way worked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ChainError {
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
    /// What is configured, too, and stands behind it.
    pub not_tried: Vec<Method>,
    /// What was not configured.
    pub not_configured: Vec<Method>,
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self
            .attempts
            .iter()
            .map(|attempt| format!("{}: {}", attempt.subject, attempt.reason))
            .collect();
        let names = |all: &[Method]| all.iter().map(|m| m.name()).collect::<Vec<_>>().join(", ");
        if !self.not_tried.is_empty() {
            let others = names(&self.not_tried);
            parts.push(format!("not tried, as the one before was given: {others}"));
        }
        if !self.not_configured.is_empty() {
            parts.push(format!("not configured: {}", names(&self.not_configured)));
        }
        f.write_str(&parts.join("; "))
    }
}

impl ChainError {
    /// The provider attribute that would mend the first attempt, the one that was meant.
    pub fn attribute(&self) -> Option<&'static str> {
        self.attempts.first().and_then(|attempt| attempt.attribute)
    }
}

/// Makes a credential anew for every token, so that no refused token survives inside it.
type Make = Box<dyn Fn() -> Result<Arc<dyn TokenCredential>, String> + Send + Sync>;

/// One configured way.
pub(crate) struct Way {
    method: Method,
    subject: String,
    /// What to mend when the failure itself does not tell.
    attribute: Option<&'static str>,
    /// Bound of one try, so that a machine without metadata service or a hanging program costs little.
    timeout: Duration,
    make: Make,
}

/// The first way that is configured; a run never changes its principal half-way.
pub struct CredentialChain {
    way: Option<Way>,
    not_tried: Vec<Method>,
    not_configured: Vec<Method>,
    redactor: Redactor,
    authority: String,
}

impl fmt::Debug for CredentialChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.way.as_ref().map(|way| way.subject.as_str());
        f.debug_struct("CredentialChain").field("way", &subject).finish_non_exhaustive()
    }
}

impl CredentialChain {
    /// Reads the settings; asks nobody yet.
    pub fn new(settings: &AzureSettings, context: &PlanContext) -> Self {
        let (ways, not_configured) = plan::ways(settings, context);
        let mut ways = ways.into_iter();
        Self {
            way: ways.next(),
            not_tried: ways.map(|way| way.method).collect(),
            not_configured,
            redactor: Redactor::new(settings.secrets()),
            authority: crate::http::host_of(&context.authority),
        }
    }

    /// The way that is used, if one is configured.
    pub(crate) fn method(&self) -> Option<Method> {
        self.way.as_ref().map(|way| way.method)
    }

    /// The way in words; empty when none is configured.
    pub fn subject(&self) -> String {
        self.way.as_ref().map(|way| way.subject.clone()).unwrap_or_default()
    }

    async fn try_way(&self, way: &Way, scopes: &[&str]) -> Result<AccessToken, Attempt> {
        let failed = |reason: &str, attribute: Option<&'static str>| Attempt {
            method: way.method,
            subject: way.subject.clone(),
            reason: self.redactor.clean(reason),
            attribute: attribute.or(way.attribute),
        };
        let credential = (way.make)().map_err(|reason| failed(&reason, None))?;
        match tokio::time::timeout(way.timeout, credential.get_token(scopes, None)).await {
            Ok(Ok(token)) => Ok(token),
            Ok(Err(error)) => {
                let (reason, attribute) =
                    describe::failure(&error, &self.authority, way.method == Method::Oidc);
                Err(failed(&reason, attribute))
            }
            Err(_) => Err(failed(&format!("no answer within {} s", way.timeout.as_secs()), None)),
        }
    }

    async fn ask(&self, scopes: &[&str]) -> Result<AccessToken, ChainError> {
        let attempts = match &self.way {
            None => Vec::new(),
            Some(way) => match self.try_way(way, scopes).await {
                Ok(token) => return Ok(token),
                Err(attempt) => vec![attempt],
            },
        };
        let (not_tried, not_configured) = (self.not_tried.clone(), self.not_configured.clone());
        Err(ChainError { attempts, not_tried, not_configured })
    }
}

#[async_trait::async_trait]
impl TokenCredential for CredentialChain {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        self.ask(scopes).await.map_err(|error| {
            let text = error.to_string();
            Error::with_error(ErrorKind::Credential, error, text)
        })
    }
}
