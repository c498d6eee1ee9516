//! `hcs adopt`: a cluster takes over from servers of Consul that somebody else made.
//!
//! `report` looks, `prepare` gives what is to be made what those of before have, `terraform apply` makes the cluster, whose
//! servers join, and `finish` has those of before go. `undo` goes back, as long as none of them has gone.

mod consul;
mod machines;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hcs_azure::settings::AzureSettings;
use hcs_azure::{Azure, connect};
use hcs_engine::adoption::{AdoptionError, finish as finish_adoption, undo as undo_adoption};
use hcs_engine::artifact::NoPrograms;
use hcs_engine::authority::check_authority;
use hcs_engine::clock::{Clock as _, SystemClock};
use hcs_engine::error::{EngineError, chain};
use hcs_engine::execute::Seeds;
use hcs_engine::lease::{ClaimError, told as told_run};
use hcs_engine::reconcile::{Reconciler, RefusedError};
use hcs_engine::rfc3339;
use hcs_engine::stored_run::NoRun;
use hcs_planner::adoption::{Adoption, Finding, Level, judge, matched};
use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::Form;
use hcs_planner::names::Names;
use hcs_planner::spec::ClusterSpec;
use zeroize::Zeroizing;

use crate::doctor;
use crate::input::{CliError, Files};
use crate::plan::Answer;
use crate::status::{Place, arm, open, run, user};
use consul::{Asked, Consul};

/// What is to be adopted, and as what.
pub(crate) struct Wanted<'a> {
    /// The declared cluster.
    pub(crate) declared: Files<'a>,
    /// Scale sets and machines of before.
    pub(crate) from: &'a [String],
    /// The authority of before.
    pub(crate) ca_file: &'a Path,
    /// Its key.
    pub(crate) ca_key_file: &'a Path,
}

/// All that was seen.
struct Seen {
    azure: Azure,
    spec: ClusterSpec,
    consul: Consul,
    asked: Asked,
    seeds_of_files: (String, Zeroizing<String>),
    machines: hcs_planner::adoption::MachinesBefore,
    findings: Vec<Finding>,
}

impl Seen {
    fn blocks(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Blocks)
    }
}

/// Looks, and tells what blocks. Writes nothing.
pub(crate) fn report(wanted: &Wanted<'_>, as_json: bool) -> Result<Answer, CliError> {
    let mut changes = false;
    let told = run(async {
        let seen = look(wanted).await?;
        changes = seen.blocks();
        if as_json {
            let json = serde_json::json!({ "may_be_adopted": !changes, "findings": seen.findings });
            return Ok(format!("{json:#}\n"));
        }
        let mut text = told(&seen.findings);
        text.push_str(if changes {
            "Nothing was changed. Mend what is a problem, and ask again.\n"
        } else {
            "Nothing was changed. `hcs adopt prepare` with the same arguments is next.\n"
        });
        Ok(text)
    })?;
    Ok(Answer { changes, ..told })
}

/// Gives the cluster that is about to be made the secrets of before.
pub(crate) fn prepare(wanted: &Wanted<'_>) -> Result<Answer, CliError> {
    run(async {
        let seen = look(wanted).await?;
        if seen.blocks() {
            return Err(refused(format!(
                "{}It is not prepared: mend what is a problem first",
                told(&seen.findings)
            )));
        }
        let servers = matched(&seen.asked.facts.servers, &seen.machines.machines)
            .map_err(|missing| refused(format!("no machine is {}", missing.join(", "))))?;
        let adoption = Adoption {
            servers,
            prepared_at: rfc3339(SystemClock.now_unix_ms()),
            is_prepared: false,
            form: Form::default(),
        };
        let (authority_pem, authority_key_pem) = seen.seeds_of_files;
        let gossip_key = seen.asked.gossip_key.unwrap_or_default();
        let seeds = Seeds { gossip_key, authority_pem, authority_key_pem };
        let reconciler = Reconciler {
            arm: arm(&seen.azure),
            stores: Arc::clone(&seen.azure.blobs) as _,
            artifacts: Arc::new(NoPrograms),
            spec: &seen.spec,
            accelerated_sizes: std::collections::BTreeSet::new(),
            holder: format!("{} (hcs adopt prepare)", user()),
        };
        let consul = &seen.consul;
        let tell_consul = |token: Zeroizing<String>| async move {
            let made = consul.make_management_token(&token).await;
            made.map_err(|reason| EngineError::NotDone {
                node_name: "Consul of before".to_owned(),
                action: "make a management token",
                reason,
            })
        };
        let prepared = Box::pin(reconciler.prepare_adoption(&adoption, &seeds, tell_consul)).await;
        let prepared = prepared.map_err(|error| not_prepared(&error))?;
        if let Err(report) = prepared {
            let failed = report.failures.first();
            let reason = failed.map(|failed| format!("{}: {}", failed.step, chain(&failed.error)));
            let reason = reason.unwrap_or_else(|| "it was stopped".to_owned());
            return Err(refused(format!("{reason}. Prepare again: it goes on where it stopped")));
        }
        let id = Names::new(&seen.spec).cluster_id;
        let names: Vec<&str> =
            adoption.servers.iter().map(|server| server.node_name.as_str()).collect();
        Ok(format!(
            "Prepared: {} of {} is to take over from {}.\n\nNext:\n  \
             terraform apply                its servers join, one after the other; those of before go on\n  \
             hcs adopt finish {id}\n                                 those of before are stopped, one after the other\n\n\
             Until the last command nothing of before is touched; `hcs adopt undo {id}` goes back.\n",
            seen.spec.name,
            seen.spec.resource_group_name,
            names.join(", "),
        ))
    })
}

/// Has the servers of before go.
pub(crate) fn finish(place: &Place) -> Result<Answer, CliError> {
    run(async {
        let (azure, store) = open(place).await?;
        let holder = format!("{} (hcs adopt finish)", user());
        let finished = Box::pin(finish_adoption(&arm(&azure), store, &holder, &say)).await;
        let finished = finished.map_err(|error| unfinished(&error, "finish"))?;
        let mut text = "The cluster is its own. Stopped, and not deleted, are:\n".to_owned();
        for server in &finished.stopped {
            let _ = writeln!(text, "  {}  {}", server.node_name, server.machine_id);
        }
        text.push_str(
            "They cost until they are deallocated or deleted; do that where they were made. Never start them again: their \
             Consul would join.\n",
        );
        Ok(text)
    })
}

/// Has the cluster's own servers leave.
pub(crate) fn undo(place: &Place) -> Result<Answer, CliError> {
    run(async {
        let (azure, store) = open(place).await?;
        let holder = format!("{} (hcs adopt undo)", user());
        let left = Box::pin(undo_adoption(&arm(&azure), store, &holder, &say)).await;
        let left = left.map_err(|error| unfinished(&error, "undo"))?;
        Ok(format!(
            "{} left; the servers of before go on as they did. `terraform destroy` removes the cluster, and \
             `terraform apply` has it join again.\n",
            if left.is_empty() {
                "Nobody had joined, so nobody".to_owned()
            } else {
                left.join(", ")
            }
        ))
    })
}

/// What happens, as it happens.
fn say(sentence: &str) {
    let now = rfc3339(SystemClock.now_unix_ms());
    eprintln!("{now}  {sentence}");
}

async fn look(wanted: &Wanted<'_>) -> Result<Seen, CliError> {
    let input = wanted.declared.read()?;
    if let Some(unknown) = input.unknown.first() {
        return Err(refused(format!(
            "{unknown} is not known before the apply, so what would be made is not known either: make what it comes from first"
        )));
    }
    let authority_pem = read(wanted.ca_file)?;
    let authority_key_pem = Zeroizing::new(read(wanted.ca_key_file)?);
    let consul = Consul::from_env(authority_pem.as_bytes()).map_err(refused)?;
    let mut settings = AzureSettings::default();
    let env = settings.merge_env(|name| std::env::var(name).ok());
    env.map_err(|error| refused(chain(&error)))?;
    let azure = connect(&settings).await.map_err(|error| refused(chain(&error)))?;
    // The subscription is the provider's business: a plan does not name it.
    let spec = ClusterSpec { subscription_id: azure.subscription_id.clone(), ..input.spec };
    let ids: Vec<ArmId> = wanted.from.iter().map(ArmId::new).collect();
    let machines = machines::look(&arm(&azure), &ids).await.map_err(refused)?;
    let asked = consul.ask().await.map_err(refused)?;
    let now_unix_s = i64::try_from(SystemClock.now_unix_ms() / 1000).unwrap_or(i64::MAX);
    // That it has signed for the servers is known by now: only it is believed.
    let authority = check_authority(&authority_pem, &authority_key_pem, now_unix_s);
    let findings = judge(&spec, &asked.facts, &machines, &authority);
    let seeds_of_files = (authority_pem, authority_key_pem);
    Ok(Seen { azure, spec, consul, asked, seeds_of_files, machines, findings })
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path)
        .map_err(|error| CliError::File { path: PathBuf::from(path), reason: error.to_string() })
}

fn refused(reason: impl Into<String>) -> CliError {
    CliError::Azure { reason: reason.into() }
}

fn told(findings: &[Finding]) -> String {
    let rows: Vec<doctor::Finding> = findings
        .iter()
        .map(|Finding { check, level, found, mend }| {
            let mend = mend.clone().unwrap_or_default();
            match level {
                Level::Good => doctor::Finding::good(check, found),
                Level::Note => doctor::Finding::warning(check, found, mend),
                Level::Blocks => doctor::Finding::problem(check, found, mend),
            }
        })
        .collect();
    doctor::told(&rows)
}

fn not_prepared(error: &RefusedError) -> CliError {
    refused(match error {
        RefusedError::NoResourceGroup(group) => format!("resource group {group:?} does not exist: make it first"),
        RefusedError::Claim(ClaimError::Busy(record)) => format!(
            "somebody works on the cluster: the {}. Nothing was changed; try again when it has ended",
            told_run(record)
        ),
        RefusedError::Claim(ClaimError::Exists(_)) => {
            "the cluster exists already: one that serves takes over from nobody. Declare another name".to_owned()
        }
        RefusedError::HasServers => {
            "the cluster has servers already, which have a state of their own: `terraform destroy` them first, or declare \
             another name"
                .to_owned()
        }
        error => format!("{}. Prepare again: it goes on where it stopped", chain(error)),
    })
}

fn unfinished(error: &AdoptionError, command: &str) -> CliError {
    refused(match error {
        AdoptionError::Nothing => format!("{error}: there is nothing to {command}"),
        AdoptionError::Run(NoRun::NoCluster(_)) => format!("{error}: `terraform apply` makes it"),
        AdoptionError::Run(NoRun::Claim(ClaimError::Busy(record))) => format!(
            "somebody works on the cluster: the {}. Nothing was changed; try again when it has ended",
            told_run(record)
        ),
        AdoptionError::Gone(_) => format!(
            "{error}: what was written since lies with the cluster's own servers too, and those alone may be a quorum. \
             `hcs adopt finish` goes on"
        ),
        AdoptionError::Off(_) => format!(
            "{error}: without them the servers that go on may be no quorum. Start them, or have them go, too, by \
             `hcs adopt finish`"
        ),
        AdoptionError::NoRoom { .. } => format!(
            "{error}. It goes on as it did; `consul operator autopilot state` tells who is not well, and `hcs adopt finish` \
             goes on when all are"
        ),
        error => {
            format!("{}. What was done stays; `hcs adopt {command}` again goes on", chain(error))
        }
    })
}
