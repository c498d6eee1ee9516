//! What somebody asked this server, or whichever leads, to do once: done, and told in the status.

use std::collections::BTreeMap;

use hcs_planner::dataplane::ServerStatus;
use hcs_planner::requests::{Request, RequestAction, RequestOutcome, RequestResult, argument};
use hcs_planner::snapshots::metadata;
use serde_json::{Value, json};

use super::member::ROUNDS_ALONE;
use super::{Documents, Manager};
use crate::report::chain;
use crate::restore;
use crate::snapshot::on_demand;
use crate::status::{self, Board};

/// How a request ended, and what it brought.
pub(super) type Answer = Result<BTreeMap<String, Value>, (RequestOutcome, String)>;

impl Manager {
    /// Looks for requests, one at a time. What was answered before, by whichever server, is not done again.
    pub(super) async fn serve_requests(
        &mut self,
        documents: &mut Documents,
        peers: &[ServerStatus],
        leads: bool,
    ) {
        self.tell_of_a_renewal(documents);
        self.remember_results();
        let takes_one = self.serves.as_ref().is_some_and(|task| !task.is_finished());
        let own = Some(self.host.bootstrap.slot);
        for target in [Some(own), leads.then_some(None)].into_iter().flatten() {
            match self.host.stores.request(target).await {
                Ok(found) => {
                    self.board.solved("requests");
                    let is_new = |request: &Request| {
                        // A support bundle is served beside the rounds.
                        request.action != RequestAction::SupportBundle
                            && !(takes_one && is_long(request.action))
                            && self.is_new(request, peers)
                    };
                    if let Some(request) = found.filter(is_new) {
                        return self.serve(documents, request, leads).await;
                    }
                }
                Err(error) => self.board.problem("requests", chain(&error)),
            }
        }
    }

    /// Whether no server has answered it yet.
    fn is_new(&self, request: &Request, peers: &[ServerStatus]) -> bool {
        let mut told = peers.iter().flat_map(|peer| &peer.results);
        self.board.is_open(&request.id) && !told.any(|result| result.id == request.id)
    }

    /// An upgrade that has cost the cluster its leader can be taken back all the same: by the server of the lowest slot, once
    /// nothing has led for a minute.
    pub(super) async fn serve_without_a_leader(
        &mut self,
        documents: &mut Documents,
        peers: &[ServerStatus],
    ) {
        let under_way = documents.upgrade.as_ref().filter(|upgrade| upgrade.goes_on());
        let is_first = documents.declared.slots.iter().min() == Some(&self.host.bootstrap.slot);
        if under_way.is_none() || self.rounds_alone < ROUNDS_ALONE {
            return;
        }
        self.remember_results();
        if self.rounds_alone.is_multiple_of(ROUNDS_ALONE) {
            self.stop_without_a_leader(documents).await;
        }
        if !is_first {
            return;
        }
        match self.host.stores.request(None).await {
            Ok(Some(request))
                if request.action == RequestAction::TakeBackUpgrade
                    && self.is_new(&request, peers) =>
            {
                self.serve(documents, request, true).await;
            }
            Ok(_) => self.board.solved("requests"),
            Err(error) => self.board.problem("requests", chain(&error)),
        }
    }

    async fn serve(&mut self, documents: &mut Documents, request: Request, leads: bool) {
        let refused = |reason: &str| Err((RequestOutcome::Refused, reason.to_owned()));
        let now_unix_ms = self.host.clock.now_unix_ms();
        tracing::info!(id = %request.id, action = ?request.action, by = ?request.asked_by, "a request");
        if request.is_over(now_unix_ms) {
            return self.answer(&request.id, refused("it was found after it had expired"));
        }
        match request.action {
            RequestAction::Snapshot => self.take_a_snapshot(documents, request),
            RequestAction::RenewCertificate => {
                if self.renewal_asked.as_ref().is_none_or(|(id, _)| *id != request.id) {
                    self.renew_on_request(documents, &request).await;
                }
            }
            RequestAction::TransferLeadership => {
                // Whoever leads next would find it as well, before it is known to be done.
                let answer = match (request.slot, leads) {
                    (None, _) => refused("the server that leads has to be named"),
                    (_, false) => refused("this server does not lead"),
                    (_, true) => hand_over(documents).await,
                };
                self.answer(&request.id, answer);
            }
            RequestAction::TakeBackUpgrade if !leads => {
                self.answer(&request.id, refused("this server does not lead"));
            }
            RequestAction::TakeBackUpgrade => {
                let answer = match self.take_back(documents, &request).await {
                    Ok(version) => {
                        let version = json!(version.to_string());
                        Ok([(argument::CONSUL_VERSION.to_owned(), version)].into())
                    }
                    Err(reason) => refused(&reason),
                };
                self.answer(&request.id, answer);
            }
            RequestAction::Restore if !leads => {
                self.answer(&request.id, refused("this server does not lead"));
            }
            RequestAction::Restore => self.restore(documents, request),
            RequestAction::TakeLeadership => self.take_leadership(documents, request),
            RequestAction::RemoveServer => self.remove_server_of_before(documents, request),
            RequestAction::SupportBundle => {
                let answer = refused("one server has to be named");
                self.answer(&request.id, answer);
            }
            RequestAction::Leave => {
                let answer = refused("a server is asked to leave by an apply alone");
                self.answer(&request.id, answer);
            }
            RequestAction::Unknown => {
                let version = status::VERSION;
                let reason = format!("host manager {version} does not know what it asks for");
                self.answer(&request.id, refused(&reason));
            }
        }
    }

    pub(super) fn answer(&mut self, id: &str, answer: Answer) {
        note(&self.board, self.host.clock.now_unix_ms(), id, answer);
        self.remember_results();
    }

    /// Beside the rounds: a large cluster's takes minutes.
    fn take_a_snapshot(&mut self, documents: &Documents, request: Request) {
        let name = request.arguments.get(argument::SNAPSHOT).and_then(Value::as_str);
        let name = name.unwrap_or_default().to_owned();
        if !on_demand::may_be_named(&name) {
            let reason = format!("a snapshot cannot be kept as {name:?}");
            return self.answer(&request.id, Err((RequestOutcome::Refused, reason)));
        }
        let (host, board, client) =
            (self.host.clone(), self.board.clone(), documents.client.clone());
        let expires_at = request.arguments.get(argument::EXPIRES_AT).and_then(Value::as_str);
        let expires_at = expires_at.map(|at| (metadata::EXPIRES_AT.to_owned(), at.to_owned()));
        let more = expires_at.into_iter().collect();
        self.serves = Some(tokio::spawn(async move {
            let taken = on_demand::take(&host, &client, &name, more).await;
            let answer = taken.map_err(|error| (RequestOutcome::Failed, chain(&error)));
            note(&board, host.clock.now_unix_ms(), &request.id, answer);
        }));
    }

    /// Beside the rounds, which keep the servers' tokens alive meanwhile.
    fn restore(&mut self, documents: &Documents, request: Request) {
        let (host, board, client) =
            (self.host.clone(), self.board.clone(), documents.client.clone());
        self.serves = Some(tokio::spawn(async move {
            let answer = restore::serve(&host, &client, &request).await;
            note(&board, host.clock.now_unix_ms(), &request.id, answer);
        }));
    }

    async fn renew_on_request(&mut self, documents: &mut Documents, request: &Request) {
        let Documents { cluster, decisions, secrets, leaf, .. } = &*documents;
        let before = leaf.facts.der.clone();
        match self.ensure_leaf(cluster, decisions, secrets, true).await {
            Ok(leaf) if leaf.facts.der != before => {
                self.renewal_asked = Some((request.id.clone(), leaf.facts.der.clone()));
                documents.leaf = leaf;
            }
            Ok(_) => {
                let reason = "it cannot be made now; the server's last error says why".to_owned();
                self.answer(&request.id, Err((RequestOutcome::Failed, reason)));
            }
            Err(error) => {
                self.answer(&request.id, Err((RequestOutcome::Failed, chain(&error))));
            }
        }
    }

    /// Done is what every port was seen to serve.
    fn tell_of_a_renewal(&mut self, documents: &Documents) {
        let Some((_, der)) = &self.renewal_asked else { return };
        if self.served.as_ref() != Some(der) {
            return;
        }
        if let Some((id, _)) = self.renewal_asked.take() {
            let expires_at = json!(documents.leaf.facts.expires_at());
            self.answer(&id, Ok([(argument::EXPIRES_AT.to_owned(), expires_at)].into()));
        }
    }

    /// A request that was done must not be done again after a restart.
    fn remember_results(&mut self) {
        let results = self.board.results();
        if results != self.memory.results {
            self.memory.results = results;
            if let Err(error) = self.memory.save(&self.host.paths) {
                self.board.problem("requests", chain(&error));
            }
        }
    }
}

/// What is carried out beside the rounds, one at a time.
fn is_long(action: RequestAction) -> bool {
    matches!(
        action,
        RequestAction::Snapshot
            | RequestAction::Restore
            | RequestAction::TakeLeadership
            | RequestAction::RemoveServer
    )
}

pub(super) fn note(board: &Board, now_unix_ms: u64, id: &str, answer: Answer) {
    let (outcome, reason, values) = match answer {
        Ok(values) => (RequestOutcome::Done, None, values),
        Err((outcome, reason)) => (outcome, Some(reason), BTreeMap::new()),
    };
    tracing::info!(id, ?outcome, reason, "a request was answered");
    board.add_result(RequestResult {
        id: id.to_owned(),
        outcome,
        reason,
        values,
        ended_at: status::written_at(now_unix_ms),
    });
}

async fn hand_over(documents: &Documents) -> Answer {
    match documents.client.transfer_leadership().await {
        Ok(true) => Ok(BTreeMap::new()),
        Ok(false) => {
            let version = &documents.cluster.consul.version;
            let reason = format!(
                "Consul {version} cannot hand over its leadership: 1.15 and newer versions can"
            );
            Err((RequestOutcome::Refused, reason))
        }
        Err(error) => Err((RequestOutcome::Failed, chain(&error))),
    }
}
