//! This program renews itself: takes another one in its turn, and tells the start script that it works.

use hcs_planner::dataplane::{ClusterDocument, HostManagerArtifact, ServerStatus, blob, container};
use jiff::Timestamp;

use super::{Documents, Manager, RoundError};
use crate::documents::DocumentError;
use crate::membership;
use crate::own_program::{self, ProgramError, Turn};
use crate::report::chain;

/// A program that was put back, or fails its test, is tried again so much later: it may have been bad luck.
const RETRY_SECONDS: u64 = 3600;

impl Manager {
    /// On trial, and a round has ended well and was told of: it is over. The next start is a plain one.
    pub(super) fn end_the_trial(&self) {
        if !self.host.own.is_on_trial || !self.board.was_published() {
            return;
        }
        match own_program::confirm(&self.host.paths, &self.host.own) {
            Ok(()) => {
                tracing::info!("this host manager works: it starts again, on trial no more");
                self.stop.cancel();
            }
            Err(error) => self.board.problem("host manager", chain(&error)),
        }
    }

    /// A document that only a newer host manager may act on: Consul goes on as it is, and the newer one is taken, as the
    /// document says in every form which it is.
    pub(super) async fn leave_to_a_newer_one(
        &mut self,
        cluster: &ClusterDocument,
    ) -> Result<Documents, RoundError> {
        let peers = membership::peers(&self.host.stores, self.host.bootstrap.slot, cluster).await;
        self.renew_own_program(cluster, &peers).await;
        let needs = cluster.form.needs_format;
        let (container, name) = (container::CONFIG.to_owned(), blob::CLUSTER.to_owned());
        Err(DocumentError::Newer { container, name, needs }.into())
    }

    /// Takes the program that the document names, when it is this server's turn.
    pub(super) async fn renew_own_program(
        &mut self,
        cluster: &ClusterDocument,
        peers: &[ServerStatus],
    ) {
        let host = self.host.clone();
        if host.own.is_on_trial || self.memory.leave.is_some() {
            return;
        }
        let now = Timestamp::from_second(self.now_unix_s()).unwrap_or_default();
        let turn = own_program::turn(cluster, host.bootstrap.slot, &host.own, peers, now);
        let (Turn::Ours, Some(wanted)) = (turn, &cluster.host_manager) else {
            if turn == Turn::Done {
                self.board.solved("host manager");
            }
            return;
        };
        let now_unix_ms = host.clock.now_unix_ms();
        if let Some((refused, until_unix_ms)) = &self.refused_own
            && *refused == wanted.sha256
            && now_unix_ms < *until_unix_ms
        {
            return;
        }
        match self.take(wanted).await {
            Ok(()) => {
                tracing::info!(version = %wanted.version, "another host manager: starting it on trial");
                self.stop.cancel();
            }
            Err(error) => {
                let retry_ms = match error {
                    // The account may answer in a moment.
                    ProgramError::Blob { .. } | ProgramError::Missing { .. } => 0,
                    _ => host.timing.interval_ms(RETRY_SECONDS),
                };
                let until_unix_ms = now_unix_ms.saturating_add(retry_ms);
                self.refused_own = Some((wanted.sha256.clone(), until_unix_ms));
                self.board.problem("host manager", chain(&error));
            }
        }
    }

    async fn take(&mut self, wanted: &HostManagerArtifact) -> Result<(), ProgramError> {
        let (host, version) = (self.host.clone(), wanted.version.clone());
        let was_refused = self.refused_own.as_ref().is_some_and(|(sha, _)| *sha == wanted.sha256);
        let tried = own_program::put_back(&host.paths)?;
        if !was_refused && tried.as_deref() == Some(&wanted.sha256) {
            return Err(ProgramError::PutBack { version });
        }
        own_program::fetch(&host.stores, &host.paths, wanted).await?;
        Ok(own_program::switch_to(&host.paths, &wanted.sha256)?)
    }
}
