//! A lock among the servers: a Consul session with a TTL and a key.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::consul::client::{ConsulClient, ConsulError};

/// So long a leader takes at most, and somewhat more, to enter a server that has just come into its catalog.
const REGISTERED_AFTER: Duration = Duration::from_secs(15);
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// A held lock. Dropped without [`Lock::hold`] it ends with its TTL.
#[derive(Debug)]
pub struct Lock<'a> {
    client: &'a ConsulClient,
    session: String,
    ttl: Duration,
}

/// The lock was lost while the work went on; the work was stopped.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The session is gone.
    #[error("the lock was lost while its work went on")]
    Lost,
    /// The session could not be made or used.
    #[error(transparent)]
    Consul(#[from] ConsulError),
}

impl<'a> Lock<'a> {
    /// Tries to take the lock; `None` when another server holds it.
    pub async fn acquire(
        client: &'a ConsulClient,
        key: &str,
        holder: &str,
        ttl_s: u32,
    ) -> Result<Option<Self>, ConsulError> {
        let session = session(client, key, ttl_s).await?;
        let lock = Self { client, session, ttl: Duration::from_secs(ttl_s.into()) };
        match client.acquire(key, &lock.session, holder).await {
            Ok(true) => Ok(Some(lock)),
            Ok(false) => {
                lock.release().await;
                Ok(None)
            }
            Err(error) => {
                lock.release().await;
                Err(error)
            }
        }
    }

    /// Does the work under the lock, renews it meanwhile, and gives it back.
    ///
    /// Cancel safety: the work is dropped at an await point when the lock is lost.
    pub async fn hold<T>(self, work: impl Future<Output = T>) -> Result<T, LockError> {
        tokio::pin!(work);
        let mut unseen = Duration::ZERO;
        let step = self.ttl / 3;
        let outcome = loop {
            tokio::select! {
                done = &mut work => break Ok(done),
                () = sleep(step) => match self.client.renew_session(&self.session).await {
                    Ok(()) => unseen = Duration::ZERO,
                    Err(ConsulError::Refused { status: 404, .. }) => break Err(LockError::Lost),
                    // Consul may be restarting or electing: the session lives until its TTL ends.
                    Err(_) => {
                        unseen += step;
                        if unseen >= self.ttl {
                            break Err(LockError::Lost);
                        }
                    }
                },
            }
        };
        self.release().await;
        outcome
    }

    async fn release(&self) {
        if let Err(error) = self.client.destroy_session(&self.session).await {
            tracing::debug!(error = %crate::report::chain(&error), "lock ends with its TTL");
        }
    }
}

/// A session of this server. A leader that has just been elected answers before it has entered itself and the others into
/// the catalog, and after a restore the catalog is another one: that much is waited for.
async fn session(client: &ConsulClient, key: &str, ttl_s: u32) -> Result<String, ConsulError> {
    let until = Instant::now() + REGISTERED_AFTER;
    loop {
        match client.create_session(key, ttl_s).await {
            Err(error) if error.is_of_an_unregistered_server() && Instant::now() < until => {
                sleep(ASKED_EVERY).await;
            }
            made => return made,
        }
    }
}
