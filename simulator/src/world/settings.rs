//! Knobs of a world. Defaults are Azure's figures where Azure has one.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// What a world is made of before anything is created in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Seed of every random choice.
    pub seed: u64,
    /// The one subscription.
    pub subscription_id: String,
    /// Its tenant.
    pub tenant_id: String,
    /// Application id of the caller, a service principal that owns the subscription.
    pub client_id: String,
    /// Object id of the caller.
    pub caller_object_id: String,
    /// Public address of the caller, as firewalls see it.
    pub caller_address: IpAddr,
    /// Network in which the caller's machine is, if it is in one; `*`: in each.
    pub caller_network_id: Option<String>,
    /// Other subscriptions of the tenant, which the caller owns as well.
    pub other_subscription_ids: Vec<String>,
    /// ARM endpoint without a slash at its end; URLs that the world hands out start with it.
    pub endpoint: String,
    /// Accounts have names of their own below this, as in `ACCOUNT.blob.SUFFIX`; absent: paths of the endpoint.
    pub storage_suffix: Option<String>,
    /// How many times faster than Azure's own durations pass.
    pub time_scale: f64,
    /// Rows on a page of a list.
    pub page_size: usize,
    /// How often the signature is repeated in a poll's URL: Azure's hold a certificate and are about 5 kB long.
    pub poll_url_repeats: usize,
    /// Until a role assignment is effective, in Azure's time.
    pub role_delay_ms: u64,
    /// Until a new identity is seen by the role service, in Azure's time.
    pub principal_delay_ms: u64,
    /// Until a removed lock stops to block, in Azure's time.
    pub lock_delay_ms: u64,
    /// Cores that a region grants, in all and per family.
    pub cores_limit: u64,
    /// Public addresses that a region grants.
    pub public_ip_limit: u64,
    /// Read bucket of a principal: size and refill per second.
    pub reads: (f64, f64),
    /// Write bucket of a principal: size and refill per second.
    pub writes: (f64, f64),
    /// Delete bucket of a principal: size and refill per second.
    pub deletes: (f64, f64),
    /// Resource providers that the subscription has registered at the start.
    pub registered: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            subscription_id: "11111111-1111-4111-8111-111111111111".to_owned(),
            tenant_id: "22222222-2222-4222-8222-222222222222".to_owned(),
            client_id: "33333333-3333-4333-8333-333333333333".to_owned(),
            caller_object_id: "44444444-4444-4444-8444-444444444444".to_owned(),
            // Kept for documentation (RFC 5737).
            caller_address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
            caller_network_id: None,
            other_subscription_ids: Vec::new(),
            endpoint: "https://management.azure.com".to_owned(),
            storage_suffix: None,
            time_scale: 1.0,
            page_size: 100,
            poll_url_repeats: 280,
            role_delay_ms: 20_000,
            principal_delay_ms: 15_000,
            lock_delay_ms: 5_000,
            cores_limit: 350,
            public_ip_limit: 1000,
            reads: (2500.0, 250.0),
            writes: (2000.0, 100.0),
            deletes: (2000.0, 100.0),
            registered: [
                "Microsoft.Authorization",
                "Microsoft.Compute",
                "Microsoft.KeyVault",
                "Microsoft.ManagedIdentity",
                "Microsoft.Network",
                "Microsoft.Resources",
                "Microsoft.Storage",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }
}

impl Settings {
    /// The subscription of the cluster's caller and the others.
    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.subscription_id)
            .chain(&self.other_subscription_ids)
            .map(String::as_str)
    }

    /// Whether there is a subscription of this id.
    pub(crate) fn has_subscription(&self, id: &str) -> bool {
        self.subscriptions().any(|own| own.eq_ignore_ascii_case(id))
    }

    /// A duration of Azure in this world, at least one millisecond.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn scaled_ms(&self, azure_ms: u64) -> u64 {
        ((azure_ms as f64 / self.time_scale.max(f64::MIN_POSITIVE)).ceil() as u64).max(1)
    }
}
