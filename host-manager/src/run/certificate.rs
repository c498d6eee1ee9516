//! The certificate of this server through its lives: made, renewed, given to Consul, and seen on every port.

use std::time::Duration;

use hcs_planner::dataplane::{ClusterDocument, port};
use hcs_planner::rotation::{Rotated, RotationsDocument, turn};

use super::{Documents, Manager, RoundError};
use crate::consul::client::ConsulError;
use crate::consul::served;
use crate::documents::ServerSecrets;
use crate::leaf::{self, Leaf, Reason, Wanted};
use crate::report::chain;
use crate::service::Verb;

/// How often, and with which pause, the ports are looked at after a reload.
const RELOAD_LOOKS: u32 = 6;
const RELOAD_PAUSE: Duration = Duration::from_millis(500);

/// What a port serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Ours,
    Another,
    Nothing,
}

impl Manager {
    /// The certificate that counts now; made where there is none, and renewed when it is time. One that cannot be renewed
    /// serves on.
    pub(super) async fn ensure_leaf(
        &self,
        cluster: &ClusterDocument,
        decisions: &RotationsDocument,
        secrets: &ServerSecrets,
        is_asked: bool,
    ) -> Result<Leaf, RoundError> {
        let host = &self.host;
        let wanted = Wanted::new(cluster, &host.bootstrap, host.instance.address);
        let authorities = leaf::authorities(&secrets.ca_pem)?;
        let known = match &self.documents {
            Some(documents) => Some(documents.leaf.clone()),
            None => self.leaf_on_disk()?,
        };
        let now_unix_s = self.now_unix_s();
        let verdict = wanted.verdict(known.as_ref(), &authorities, now_unix_s);
        let Some(reason) = verdict.or(is_asked.then_some(Reason::Asked)) else {
            self.board.solved("certificate renewal");
            return known.ok_or_else(|| leaf::LeafError::Unreadable { which: "server" }.into());
        };
        let made: Result<Leaf, RoundError> = async {
            let what = Rotated::CertificateAuthority;
            let signs = turn(&cluster.rotations, decisions, what).in_use;
            let key = host.stores.authority_key(signs).await?;
            Ok(leaf::sign(&wanted, &authorities, &key, now_unix_s)?)
        }
        .await;
        match (made, known) {
            // The key of the CA that signs next comes before its turn, or after it.
            (Ok(made), Some(known))
                if reason == Reason::Authority
                    && !made.is_signed_by(
                        authorities.get(..1).unwrap_or_default(),
                        &wanted.server_name,
                    ) =>
            {
                Ok(known)
            }
            (Ok(made), _) => {
                self.board.solved("certificate renewal");
                if let Err(error) = leaf::keep(&host.paths, &made) {
                    let sentence = format!("it is not kept for a restart: {}", chain(&error));
                    self.board.problem("certificate renewal", sentence);
                }
                let serial = &made.facts.serial;
                tracing::info!(%reason, serial, expires_at = made.facts.expires_at(), "made a certificate");
                Ok(made)
            }
            (Err(error), Some(known)) => {
                self.board.problem("certificate renewal", chain(&error));
                Ok(known)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// What an earlier life of this program left; what cannot be read is made anew.
    pub(super) fn leaf_on_disk(&self) -> Result<Option<Leaf>, RoundError> {
        match leaf::load(&self.host.paths)? {
            None => Ok(None),
            Some(Ok(leaf)) => Ok(Some(leaf)),
            Some(Err(error)) => {
                tracing::warn!(error = chain(&error), "the certificate on the disk is of no use");
                Ok(None)
            }
        }
    }

    pub(super) fn now_unix_s(&self) -> i64 {
        i64::try_from(self.host.clock.now_unix_ms() / 1000).unwrap_or(i64::MAX)
    }

    /// Says when it ends, and warns long before where nothing renews it.
    pub(super) fn tell_of_the_certificate(&self, leaf: &Leaf) {
        self.board.set_leaf(leaf);
        let expires_at = leaf.facts.expires_at();
        let warning = leaf.is_short(self.now_unix_s()).then(|| {
            let at = expires_at.clone().unwrap_or_default();
            format!(
                "the certificate of {} ends at {at} and is not renewed; `hcs status` and the server's journal \
                 (unit hcs-host-manager) say why",
                self.host.bootstrap.node_name
            )
        });
        self.board.set_attention("certificate", warning);
        self.board.set_certificate_expires_at(expires_at);
    }

    /// A new certificate is reloaded, never restarted for, and looked at from outside.
    pub(super) async fn serve_certificate(&mut self, documents: &Documents) {
        if self.served.as_ref() == Some(&documents.leaf.facts.der) && !self.reload_due {
            return;
        }
        if let Err(error) = self.reload_certificate(documents).await {
            self.board.problem("certificate", chain(&error));
        }
    }

    async fn reload_certificate(&mut self, documents: &Documents) -> Result<(), RoundError> {
        let mut ports = self.look_at_ports(documents).await;
        if !ports.iter().any(|(port, seen)| *port == port::HTTPS && *seen != Seen::Nothing) {
            // Consul has just been started, or its status tells more; the next round looks again.
            return Ok(());
        }
        if self.reload_due || ports.iter().any(|(_, seen)| *seen == Seen::Another) {
            self.reload(documents).await?;
            self.reload_due = false;
            // A signal is not answered, and an answer comes before the last port has taken the certificate over.
            for _ in 0..RELOAD_LOOKS {
                ports = self.look_at_ports(documents).await;
                if ports.iter().all(|(_, seen)| *seen == Seen::Ours) {
                    break;
                }
                self.host.clock.sleep(RELOAD_PAUSE).await;
            }
            let serial = &documents.leaf.facts.serial;
            tracing::info!(serial, "Consul was told to read its certificate again");
        }
        let wrong: Vec<String> = ports
            .iter()
            .filter_map(|(port, seen)| match seen {
                Seen::Ours => None,
                Seen::Another => Some(format!("port {port} serves another one after a reload")),
                Seen::Nothing => Some(format!("port {port} does not answer")),
            })
            .collect();
        if wrong.is_empty() {
            self.served = Some(documents.leaf.facts.der.clone());
            self.board.solved("certificate");
        } else {
            self.served = None;
            self.board.problem("certificate", wrong.join(", "));
        }
        Ok(())
    }

    async fn look_at_ports(&self, documents: &Documents) -> Vec<(u16, Seen)> {
        let leaf = &documents.leaf;
        let grpc = port::has_grpc_tls(&documents.cluster.consul.version).then_some(port::GRPC_TLS);
        let mut ports = Vec::new();
        for port in [port::HTTPS, port::RPC].into_iter().chain(grpc) {
            let address = (self.host.instance.address, port).into();
            let seen = match served::certificate(address, leaf).await {
                Ok(der) if der == leaf.facts.der => Seen::Ours,
                Ok(_) => Seen::Another,
                Err(error) => {
                    tracing::debug!(port, %error, "no certificate is seen");
                    Seen::Nothing
                }
            };
            ports.push((port, seen));
        }
        ports
    }

    /// By Consul's API, which answers what went wrong. A Consul whose certificate has ended is not believed any more, and
    /// one that knows another token than its files say lets nobody in: they are told by a signal.
    async fn reload(&self, documents: &Documents) -> Result<(), RoundError> {
        match documents.client.reload().await {
            Err(error)
                if matches!(error, ConsulError::Unreachable { .. })
                    || error.status() == Some(403) =>
            {
                Ok(self.host.service.tell(Verb::Reload).await?)
            }
            other => Ok(other?),
        }
    }
}
