//! What every call gets besides its request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::{Deferred, ProviderData};
use crate::private::Private;
use crate::{Diagnostic, Diagnostics, Value};

/// The surroundings of one call.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Context {
    /// Cancelled when the user interrupts the run, and when the deadline has passed.
    ///
    /// A call should then come to an early end and say what it has reached. Calls that begin
    /// after the interrupt get a fresh token.
    pub cancel: CancellationToken,
    /// When the call has to be done, where the configuration limits it.
    pub deadline: Option<Instant>,
    /// Whether Terraform understands write-only attributes.
    pub write_only_allowed: bool,
    /// Whether Terraform lets a call be put off, see [`crate::Deferred`].
    ///
    /// It says so in every call of an apply, too, where it then refuses what was put off: put off only what is not known yet.
    pub deferral_allowed: bool,
    /// What the module says to the provider in `provider_meta`; null where it says nothing.
    pub provider_meta: Value,
    /// What the provider keeps beside the state of this object; for resources over a model.
    pub private: Private,
    /// What the provider made of its configuration, see [`Context::data`].
    pub(crate) provider_data: Option<ProviderData>,
    /// Why the call waits for another round whatever it asks for, see [`crate::ConfigureResponse::deferred`].
    pub(crate) put_off: Option<Deferred>,
    messages: Arc<Mutex<Diagnostics>>,
}

impl Context {
    /// A context for tests and tools: nothing cancels it but its own token.
    pub fn new() -> Self {
        Self::default()
    }

    /// A context that a given token cancels.
    pub fn with_cancel(cancel: CancellationToken) -> Self {
        Self { cancel, ..Self::default() }
    }

    /// The same surroundings with what the provider made of its configuration; for tests and tools.
    #[must_use]
    pub fn with_data<T: Send + Sync + 'static>(mut self, data: Arc<T>) -> Self {
        self.provider_data = Some(ProviderData::shared(data));
        self
    }

    /// What [`crate::Provider::configure`] answered last before the call began; the error is for the user, who did not
    /// configure the provider or whose configuration failed.
    pub fn data<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, Diagnostics> {
        self.provider_data.as_ref().and_then(ProviderData::get).ok_or_else(|| {
            Diagnostics::error(
                "The provider is not configured",
                "Its configuration failed, was never given, or holds values that are not known yet.",
            )
        })
    }

    /// Whether the call was cancelled because its time is up, and not by the user.
    pub fn out_of_time(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The same surroundings with what is kept beside one object.
    pub(crate) fn with_private(&self, private: Private) -> Self {
        Self { private, ..self.clone() }
    }

    /// Tells the user something without ending the call.
    pub fn warn(&self, warning: Diagnostic) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    /// Takes what was told so far.
    pub fn take_messages(&self) -> Diagnostics {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
