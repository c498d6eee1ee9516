//! A start without the storage account: a server that reboots while Entra, the account or the way to them is away serves
//! with what its disk holds.

use super::{Documents, Manager, RoundError};
use crate::artifact;
use crate::certificate;
use crate::consul::client::ConsulClient;
use crate::converge::{self, StartedFor, Wanted};
use crate::files;
use crate::host::Host;
use crate::last_known::LastKnown;
use crate::leaf;
use crate::report::chain;
use crate::service::Verb;
use crate::status::Board;

/// What balancers ask is answered from the first moment on, whatever the account or the documents keep this program from:
/// Consul may run and serve all the same.
pub(super) fn show_what_the_disk_holds(host: &Host, board: &Board) {
    if let Ok(Some(Ok(leaf))) = leaf::load(&host.paths) {
        board.set_leaf(&leaf);
    }
    let Ok(Some(known)) = LastKnown::load(&host.paths) else { return };
    let (secrets, datacenter) = (&known.secrets, &known.cluster.datacenter);
    let (token, address) = (secrets.strongest_token(), host.instance.address);
    if let Ok(client) = ConsulClient::new(address, datacenter, &secrets.ca_pem, token) {
        board.set_client_of_disk(client);
    }
}

impl Manager {
    /// Reads the documents. As long as none were ever read, Consul does not wait for them.
    pub(super) async fn read_or_start_without(&mut self) -> Result<Documents, RoundError> {
        if self.documents.is_some() {
            return self.read().await;
        }
        let error = match tokio::time::timeout(self.host.timing.storage_patience, self.read()).await
        {
            Ok(Ok(documents)) => return Ok(documents),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        if let Err(error) = self.start_without_storage().await {
            tracing::warn!(error = chain(&error), "Consul is not started from what the disk holds");
        }
        match error {
            Some(error) => Err(error),
            None => self.read().await,
        }
    }

    /// Only a member whose data are there: how a server comes into a cluster is nothing to guess.
    async fn start_without_storage(&mut self) -> Result<(), RoundError> {
        let host = self.host.clone();
        if self.memory.leave.is_some() || host.service.is_active().await? {
            return Ok(());
        }
        let Some(known) = LastKnown::load(&host.paths)? else { return Ok(()) };
        self.look_at_the_disk(&known.cluster)?;
        let (true, Some(formation)) = (self.memory.member, self.memory.formation) else {
            return Ok(());
        };
        let consul = &known.cluster.consul;
        let folder = host.paths.consul_dir(&consul.version);
        let Some(program) = artifact::installed(consul, &folder)? else { return Ok(()) };
        let Some(leaf) = self.leaf_on_disk()? else { return Ok(()) };
        if leaf.left_s(self.now_unix_s()) < 0 {
            tracing::warn!(
                "the certificate that is kept has expired: others will not talk to this server"
            );
        }
        let started_for = StartedFor { formation, management_token: &known.management_version };
        let wanted = Wanted::render(&host, &known.cluster, &known.secrets, program, started_for)?;
        certificate::install(&host.paths, &known.secrets.ca_pem, &leaf)?;
        if files::read(&host.paths.join_config())?.is_none() {
            converge::write_join(&host, &[])?;
        }
        tracing::warn!(
            "the storage account does not answer: Consul starts with what the disk holds"
        );
        self.start(&wanted, Verb::Start).await
    }
}
