//! ARM's token buckets, one per principal and class of request.

use serde::{Deserialize, Serialize};

use super::World;
use super::errors::{Answer, ArmError};
use super::http::Method;

/// A token bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bucket {
    tokens: f64,
    at_ms: u64,
}

impl World {
    /// Takes a token or refuses; what is left otherwise. Refill runs in Azure's time.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn throttle(&mut self, principal: &str, method: Method) -> Answer<(String, u64)> {
        let (class, (size, per_second)) = match method {
            Method::Get | Method::Head => ("reads", self.settings.reads),
            Method::Delete => ("deletes", self.settings.deletes),
            _ => ("writes", self.settings.writes),
        };
        let per_ms = per_second * self.settings.time_scale / 1000.0;
        let now = self.now_ms;
        let bucket = self
            .buckets
            .entry(format!("{principal}/{class}"))
            .or_insert(Bucket { tokens: size, at_ms: now });
        let waited = now.saturating_sub(bucket.at_ms) as f64;
        bucket.tokens = (bucket.tokens + waited * per_ms).min(size);
        bucket.at_ms = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            let header = format!("x-ms-ratelimit-remaining-subscription-{class}");
            return Ok((header, bucket.tokens as u64));
        }
        let wait_ms = ((1.0 - bucket.tokens) / per_ms).ceil().max(1.0) as u64;
        let subscription = self.settings.subscription_id.clone();
        Err(ArmError::gateway(
            429,
            "SubscriptionRequestsThrottled",
            format!(
                "Number of '{class}' requests for subscription '{subscription}' actor \
                 '{principal}' exceeded. Please try again after '{}' seconds.",
                wait_ms.div_ceil(1000)
            ),
        )
        .after_ms(wait_ms.max(self.scaled(1_000))))
    }
}
