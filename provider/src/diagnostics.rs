//! Engine errors in the user's words: what failed, what exists now, what to do.

use hcs_azure::ConnectError;
use hcs_engine::error::{EngineError, chain};
use hcs_engine::execute::{Failure, Report};
use hcs_engine::lease::{ClaimError, told};
use hcs_engine::reconcile::RefusedError;
use hcs_engine::roles::MissingRole;
use hcs_planner::arm::ArmId;
use hcs_planner::names::{INCARNATION_TAG, Names};
use hcs_planner::ownership::{Operation, RUN_DEAD_AFTER_SECONDS, RunOutcome, RunRecord};
use hcs_planner::plan::PlanError;
use hcs_planner::spec::ClusterSpec;
use tfplugin::{Diagnostic, Diagnostics};

use crate::advice::advice;
use crate::cluster::Cluster;

/// A connection that cannot be made, at the attribute that can mend it.
pub(crate) fn connect(error: &ConnectError) -> Diagnostics {
    let diagnostic =
        Diagnostic::error("Cannot use Azure with this configuration", capitalized(&chain(error)));
    match error.attribute() {
        Some(attribute) => diagnostic.at(attribute),
        None => diagnostic,
    }
    .into()
}

/// Whether the caller lacks the right.
pub(crate) fn is_forbidden(error: &EngineError) -> bool {
    matches!(error, EngineError::Arm(error) if matches!(error.status, 401 | 403))
}

/// A read that failed; nothing was changed.
pub(crate) fn read(what: &str, error: &EngineError) -> Diagnostic {
    Diagnostic::error(
        format!("Cannot read {what}"),
        format!("{}\n\nNothing was changed. {}", sentence(error), advice(error)),
    )
}

/// Resource providers that are missing: what to say, whether it is a warning or an error by now.
pub(crate) fn unregistered(subscription_id: &str, missing: &[&str]) -> (&'static str, String) {
    let commands: Vec<String> = missing
        .iter()
        .map(|namespace| format!("az provider register --wait --namespace {namespace}"))
        .collect();
    let detail = format!(
        "Subscription {subscription_id} has not registered {}, so Azure would refuse the cluster's objects. Register \
         once:\n\n  {}\n\nor set resource_provider_registrations = \"core\" at the provider, and the apply does it. \
         Both need the right to register (Contributor on the subscription has it).",
        missing.join(", "),
        commands.join("\n  ")
    );
    ("Resource providers are not registered", detail)
}

/// A registration that failed; no object was made.
pub(crate) fn registering(what: &str, error: &EngineError) -> Diagnostic {
    Diagnostic::error(
        format!("Cannot register {what}"),
        format!(
            "{}\n\nNo object of the cluster was made; what is registered stays registered. {}",
            sentence(error),
            advice(error)
        ),
    )
}

/// An apply that did not begin.
pub(crate) fn refused(what: &str, id: &ArmId, error: &RefusedError) -> Diagnostic {
    match error {
        RefusedError::NoResourceGroup(group) => Diagnostic::error(
            format!("Resource group {group:?} does not exist"),
            "Nothing was made. Create the group first, or refer to the resource that makes it \
             (resource_group_name = azurerm_resource_group.example.name), so that Terraform \
             makes it before the cluster.",
        )
        .at(Cluster::RESOURCE_GROUP_NAME),
        RefusedError::Claim(error) => claim(what, id, error),
        RefusedError::Roles(missing) => Diagnostic::error(
            format!("Roles are missing for {what}"),
            format!("{}\n\nNothing was changed.", missing_roles(missing)),
        )
        .at(Cluster::ROLE_ASSIGNMENT_MODE),
        RefusedError::Identity(error) => Diagnostic::error(
            format!("An identity of {what} does not exist"),
            format!(
                "{}. Nothing was changed.",
                capitalized(&error.to_string()).trim_end_matches('.')
            ),
        )
        .at(Cluster::IDENTITIES),
        RefusedError::Protected => Diagnostic::error(
            format!("Cannot change {what}"),
            "deletion_protection is true in its state. Nothing was changed.",
        )
        .at(Cluster::DELETION_PROTECTION),
        RefusedError::HasServers => Diagnostic::error(
            format!("Servers of {what} are there already"),
            "They have a state of their own. Nothing was changed.",
        ),
        RefusedError::Adopting(servers) => Diagnostic::error(
            format!("Servers of before vote together with {what}"),
            format!(
                "{} and the servers that it takes over from hold one state together: those of before would stop with it. \
                 Nothing was deleted. `hcs adopt undo {id}` has the cluster's servers leave first, as long as none of those \
                 of before has gone; `hcs adopt finish {id}` goes on, and the cluster is its own afterwards.",
                servers.join(", ")
            ),
        ),
        RefusedError::Unidentified { id, reason } => Diagnostic::error(
            format!("Cannot tell whose {what} is"),
            format!(
                "{id} carries no tag {INCARNATION_TAG}, and the record in its storage account cannot be read: \
                 {reason}. Nothing was deleted, as it may be another cluster than the one in this state. Make the \
                 storage account reachable (role Storage Blob Data Contributor, firewall, DNS) and destroy again."
            ),
        ),
        RefusedError::Plan(
            error @ (PlanError::Cycle { .. } | PlanError::Twice { .. } | PlanError::Unsafe { .. }),
        ) => Diagnostic::error(format!("Cannot plan {what}"), error.to_string()),
        RefusedError::Plan(error) => Diagnostic::error(
            format!("Cannot change {what}"),
            format!("{error}.\n\nNothing was changed."),
        ),
        RefusedError::Engine(error) => Diagnostic::error(
            format!("Cannot begin with {what}"),
            format!("{}\n\nNothing was changed. {}", sentence(error), advice(error)),
        ),
    }
}

/// What somebody has to assign, a line for each.
pub(crate) fn missing_roles(missing: &[MissingRole]) -> String {
    let rows: Vec<String> = missing
        .iter()
        .map(|one| {
            let MissingRole { role_name, principal_id, scope, .. } = one;
            let who = one.identity_id.as_ref().map_or("the caller", |id| id.name());
            let only = one.condition.as_ref().map(|_| ", with its condition").unwrap_or_default();
            format!("  {role_name} for {who} ({principal_id}) on {scope}{only}")
        })
        .collect();
    format!(
        "Somebody else assigns the roles (role_assignment_mode = \"external\"), and these are not there, neither at their scope \
         nor above it:\n\n{}\n\nrequired_role_assignments has those of the identities with their conditions; whoever applies \
         needs Storage Blob Data Contributor on the managed group beside them.",
        rows.join("\n")
    )
}

/// A cluster that is not this run's to change.
fn claim(what: &str, id: &ArmId, error: &ClaimError) -> Diagnostic {
    let import = format!("terraform import hcs_cluster.<name> \"{id}\"");
    match error {
        ClaimError::Busy(record) => Diagnostic::error(
            format!("Another run is changing {what}"),
            format!(
                "{}.\n\nNothing was changed. Wait until it is done and apply again. A run that died is out of the \
                 way by itself {RUN_DEAD_AFTER_SECONDS} seconds after its last sign of life.",
                capitalized(&told(record)).trim_end_matches('.')
            ),
        ),
        ClaimError::Exists(record) => {
            let last = record.as_ref().map_or_else(String::new, |record| {
                format!("Its last run was the {}.\n", told(record))
            });
            let operation = record.as_ref().map(|record| record.operation);
            let unfinished = match record.as_ref().map(|record| record.outcome) {
                Some(None) if operation == Some(Operation::Destroy) => {
                    "\n\nThat run was cut off: the cluster may be on its way out. Where its state is at hand, \
                     `terraform destroy` there goes on."
                }
                Some(None | Some(RunOutcome::Failed | RunOutcome::Stopped)) => {
                    "\n\nThat run did not end well. Where its state is at hand, `terraform apply` there goes on; \
                     with create_before_destroy, `terraform untaint` the cluster first."
                }
                _ => "",
            };
            Diagnostic::error(
                format!("{} exists already", capitalized(what).trim_end_matches('.')),
                format!(
                    "A Terraform state holds it:\n\n  {id}\n\n{last}Nothing was changed. To manage it here, take it \
                     out of that state and import it:\n\n  {import}\n\nA block that was only renamed needs \
                     `moved {{ }}`. A replacement cannot be made before the old cluster goes (create_before_destroy), \
                     as both have one name. To make another cluster, choose another name.{unfinished}"
                ),
            )
        }
        ClaimError::OtherInputs(record, differences) => {
            let rows: Vec<String> = differences
                .iter()
                .map(|difference| {
                    let shown = |value: &Option<String>| match value {
                        Some(value) => format!("{value:?}"),
                        None => "not set".to_owned(),
                    };
                    format!(
                        "  {}: {} there, {} here",
                        difference.name,
                        shown(&difference.recorded),
                        shown(&difference.declared)
                    )
                })
                .collect();
            let first = differences.first().map_or(Cluster::NAME, |difference| difference.name);
            Diagnostic::error(
                format!("Half of another {what} exists"),
                format!(
                    "A create of it was cut off, and it declared what cannot be changed otherwise:\n{}\n\nThat was \
                     the {}. Nothing was changed. Apply with the values from there, and change them afterwards; or \
                     choose another name.",
                    rows.join("\n"),
                    told(record)
                ),
            )
            .at(first)
        }
        ClaimError::OtherIncarnation(record) => Diagnostic::error(
            format!("The state's {what} is gone; another one has its name"),
            format!(
                "{id} is another incarnation than the one in this state: it was destroyed and made anew, or is made by \
                 another Terraform state.{} Nothing was changed. To manage it here, take it out of this state and of \
                 the other one, and import it:\n\n  terraform state rm hcs_cluster.<name>\n  {import}",
                record.as_ref().map_or_else(String::new, |record| format!(
                    " Its last run was the {}.",
                    told(record)
                ))
            ),
        ),
        ClaimError::Engine(error) => Diagnostic::error(
            format!("Cannot begin with {what}"),
            format!("{}\n\nNothing was changed. {}", sentence(error), advice(error)),
        ),
    }
}

/// A run whose record could not be closed, though its state is written.
pub(crate) fn unclosed(what: &str, error: &EngineError) -> Diagnostic {
    Diagnostic::warning(
        format!("The run on {what} is done, but its record stays open"),
        format!(
            "{}\n\nFor {RUN_DEAD_AFTER_SECONDS} seconds other runs wait. Until the next apply here, a create of the same \
             cluster from another state would go on with it as with one that was cut off. {}",
            sentence(error),
            advice(error)
        ),
    )
}

/// A destroy that found another cluster in the place of its own.
pub(crate) fn superseded(
    what: &str,
    spec: &ClusterSpec,
    record: Option<&RunRecord>,
) -> Diagnostics {
    let id = Names::new(spec).cluster_id;
    let last = record
        .map_or_else(String::new, |record| format!(" Its last run was the {}.", told(record)));
    Diagnostic::warning(
        format!("Nothing was deleted: another {what} has the name"),
        format!(
            "The cluster that this state held is gone already. {id} is another incarnation, made since or by another \
             Terraform state, so it stays.{last}"
        ),
    )
    .into()
}

/// A protected cluster, and what was to become of it.
pub(crate) fn protected(prior: &tfplugin::Value, what: &str) -> Diagnostic {
    let name = prior.get(Cluster::NAME).as_str().unwrap_or_default();
    let detail = format!(
        "deletion_protection is true in the state of cluster {name:?}, so nothing is deleted: {what} it with all that \
         it knows. Undo the change; or set deletion_protection = false, apply that alone, and come back."
    );
    Diagnostic::error("Cluster is protected from deletion", detail).at(Cluster::DELETION_PROTECTION)
}

/// An id of a cluster that nobody has.
pub(crate) fn no_cluster(cluster_id: &ArmId) -> Diagnostic {
    let detail = format!(
        "There is no cluster {cluster_id}. Refer to the resource that makes it (cluster_id = hcs_cluster.example.id)."
    );
    Diagnostic::error("Cluster does not exist", detail)
}

/// A destroy after which nothing of a cluster's data is left.
pub(crate) fn no_final_snapshot(prior: &tfplugin::Value) -> Diagnostic {
    let name = prior.get(Cluster::NAME).as_str().unwrap_or_default();
    let detail = format!(
        "The account that holds the snapshots of cluster {name:?} goes with it, and no last one is taken. To keep one, set \
         final_snapshot_storage_container_id to a container of yours and apply that before the destroy; to say that none is \
         wanted, set skip_final_snapshot = true."
    );
    Diagnostic::warning("Nothing of the cluster's data is kept", detail)
}

/// How far a run came.
pub(crate) fn progress(report: &Report) -> String {
    let done = report.done.len();
    let total = done + report.failures.len() + report.left.len();
    let left: Vec<&str> = report.left.iter().map(String::as_str).take(8).collect();
    let next = if left.is_empty() { String::new() } else { format!(" Next: {}.", left.join(", ")) };
    format!("{done} of {total} steps are done.{next}")
}

/// What a run did not finish: one diagnostic a failed step, or a warning for a stop.
pub(crate) fn unfinished(what: &str, report: &Report) -> Diagnostics {
    if report.failures.is_empty() {
        let now = format!(
            "{} What they made exists and is recorded. Apply again to go on from here: nothing is made twice.",
            progress(report)
        );
        return Diagnostic::warning(format!("{what} was stopped before it was done"), now).into();
    }
    let done = report.done.len();
    let total = done + report.failures.len() + report.left.len();
    let now = format!("{done} of {total} steps are done; what they made exists and is recorded.");
    report.failures.iter().map(|failure| failed(what, failure, &now)).collect()
}

fn failed(what: &str, failure: &Failure, now: &str) -> Diagnostic {
    let advice = advice(&failure.error);
    let mend = if advice.is_empty() {
        "Apply again to go on from here: nothing is made twice.".to_owned()
    } else {
        format!("{advice}\n\nApply again then: it goes on from here, and nothing is made twice.")
    };
    Diagnostic::error(
        format!("{what}: step {:?} failed", failure.step),
        format!("{}\n\n{now} {mend}", sentence(&failure.error)),
    )
}

pub(crate) fn sentence(error: &EngineError) -> String {
    capitalized(&chain(error))
}

/// As a sentence: a capital in front, a full stop behind. Names of attributes and hosts stay as they are.
fn capitalized(text: &str) -> String {
    if text.split_whitespace().next().is_some_and(|word| word.contains(['_', '.'])) {
        return format!("{}.", text.trim_end_matches('.'));
    }
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_uppercase().collect::<String>());
    format!("{}{}.", first.unwrap_or_default(), characters.as_str().trim_end_matches('.'))
}
