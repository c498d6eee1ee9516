//! The credential chain: tries what is configured, in azurerm's order, and can tell what it tried.

mod assertion;
mod certificate;
mod cli;
mod describe;
mod plan;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
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
        if !self.not_configured.is_empty() {
            let names: Vec<&str> = self.not_configured.iter().map(|m| m.name()).collect();
            parts.push(format!("not configured: {}", names.join(", ")));
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

/// Tries each configured way until one gives a token; from then on only that one is asked, so that
/// a run never changes its principal half-way.
pub struct CredentialChain {
    ways: Vec<Way>,
    not_configured: Vec<Method>,
    redactor: Redactor,
    authority: String,
    chosen: Mutex<Option<Chosen>>,
}

#[derive(Clone)]
struct Chosen {
    index: usize,
    passed_over: Vec<Attempt>,
}

impl fmt::Debug for CredentialChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subjects: Vec<&str> = self.ways.iter().map(|way| way.subject.as_str()).collect();
        f.debug_struct("CredentialChain").field("ways", &subjects).finish_non_exhaustive()
    }
}

impl CredentialChain {
    /// Reads the settings; asks nobody yet.
    pub fn new(settings: &AzureSettings, context: &PlanContext) -> Self {
        let (ways, not_configured) = plan::ways(settings, context);
        Self {
            ways,
            not_configured,
            redactor: Redactor::new(settings.secrets()),
            authority: crate::http::host_of(&context.authority),
            chosen: Mutex::new(None),
        }
    }

    /// The way that worked, in words, and what failed before it.
    pub fn outcome(&self) -> Option<(String, Vec<Attempt>)> {
        let chosen = self.chosen()?;
        let way = self.ways.get(chosen.index)?;
        Some((way.subject.clone(), chosen.passed_over))
    }

    fn chosen(&self) -> Option<Chosen> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
                let (reason, attribute) = describe::failure(&error, &self.authority);
                Err(failed(&reason, attribute))
            }
            Err(_) => Err(failed(&format!("no answer within {} s", way.timeout.as_secs()), None)),
        }
    }

    async fn walk(&self, scopes: &[&str]) -> Result<AccessToken, ChainError> {
        let chosen = self.chosen().map(|chosen| chosen.index);
        let mut attempts = Vec::new();
        for (index, way) in self.ways.iter().enumerate() {
            if chosen.is_some_and(|chosen| chosen != index) {
                continue;
            }
            match self.try_way(way, scopes).await {
                Ok(token) => {
                    if chosen.is_none() {
                        self.remember(index, attempts);
                    }
                    return Ok(token);
                }
                Err(attempt) => attempts.push(attempt),
            }
        }
        let not_configured = self.not_configured.clone();
        Err(ChainError { attempts, not_configured })
    }

    fn remember(&self, index: usize, passed_over: Vec<Attempt>) {
        if let Some(way) = self.ways.get(index) {
            for attempt in &passed_over {
                let Attempt { subject, reason, .. } = attempt;
                tracing::warn!(%subject, %reason, used = %way.subject, "a credential failed");
            }
        }
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        chosen.get_or_insert(Chosen { index, passed_over });
    }
}

#[async_trait::async_trait]
impl TokenCredential for CredentialChain {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        self.walk(scopes).await.map_err(|error| {
            let text = error.to_string();
            Error::with_error(ErrorKind::Credential, error, text)
        })
    }
}
