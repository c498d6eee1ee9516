//! One principal in several tenants: its own, and those of `auxiliary_tenant_ids`, in which peers may live.
//!
//! A request runs under a token of the tenant that its subscription trusts; tokens of the others go along for what it
//! refers to (Microsoft's page "Authenticate requests across tenants"). Which tenant a subscription trusts is said by
//! the challenge of a 401.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use azure_core::http::Url;

use crate::token::TokenCache;

/// Azure takes so many auxiliary tokens with a request.
pub(crate) const AUXILIARY_TENANTS_MAX: usize = 3;

/// A tenant and its tokens.
#[derive(Debug)]
pub(crate) struct Tenant {
    /// Its id; the home tenant's may be unknown, as for a managed identity.
    pub(crate) id: Option<String>,
    pub(crate) tokens: Arc<TokenCache>,
}

/// All tenants of a connection, the home tenant first.
#[derive(Debug)]
pub(crate) struct Tenants {
    all: Vec<Tenant>,
    /// Index of the tenant that a subscription trusts, where it is not the home tenant.
    trusted: Mutex<HashMap<String, usize>>,
}

impl Tenants {
    pub(crate) fn new(home: Tenant, auxiliary: Vec<Tenant>) -> Self {
        let mut all = vec![home];
        all.extend(auxiliary);
        Self { all, trusted: Mutex::default() }
    }

    /// Tokens of one tenant only.
    pub(crate) fn home(tokens: Arc<TokenCache>) -> Self {
        Self::new(Tenant { id: None, tokens }, vec![])
    }

    pub(crate) fn auxiliary(&self) -> &[Tenant] {
        self.all.get(1..).unwrap_or_default()
    }

    /// Whose token the request runs under, and whose go along.
    pub(crate) fn of(&self, url: &Url) -> (&Tenant, Vec<&Tenant>) {
        let trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        let index = subscription(url).and_then(|id| trusted.get(&id).copied()).unwrap_or(0);
        let (own, others): (Vec<_>, Vec<_>) =
            self.all.iter().enumerate().partition(|(at, _)| *at == index);
        let own = own.first().map_or(&self.all[0], |(_, tenant)| *tenant);
        (own, others.into_iter().map(|(_, tenant)| tenant).collect())
    }

    /// Learns from a challenge which tenant a subscription trusts; whether that is another one of ours than was used.
    pub(crate) fn learn(&self, url: &Url, challenge: &str) -> bool {
        let Some(subscription) = subscription(url) else { return false };
        let named = |tenant: &Tenant| {
            let id = tenant.id.as_deref().filter(|id| !id.is_empty());
            id.is_some_and(|id| {
                challenge.to_lowercase().contains(&format!("/{}", id.to_lowercase()))
            })
        };
        let Some(index) = self.all.iter().position(named) else { return false };
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.insert(subscription, index).unwrap_or(0) != index
    }
}

/// The subscription that a request is about.
fn subscription(url: &Url) -> Option<String> {
    let mut segments = url.path_segments()?;
    segments.find(|segment| segment.eq_ignore_ascii_case("subscriptions"))?;
    segments.next().map(str::to_lowercase)
}
