//! Engine errors in the user's words: what failed, what exists now, what to do.

use hcs_azure::ConnectError;
use hcs_engine::error::{ArmError, EngineError, Fault, chain};
use hcs_engine::execute::{Failure, Report};
use hcs_engine::reconcile::RefusedError;
use hcs_planner::plan::PlanError;
use tfplugin::{Diagnostic, Diagnostics};

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

/// A read that failed; nothing was changed.
pub(crate) fn read(what: &str, error: &EngineError) -> Diagnostic {
    Diagnostic::error(
        format!("Cannot read {what}"),
        format!("{}\n\nNothing was changed. {}", sentence(error), advice(error)),
    )
}

/// An apply that did not begin.
pub(crate) fn refused(what: &str, error: &RefusedError) -> Diagnostic {
    match error {
        RefusedError::NoResourceGroup(group) => Diagnostic::error(
            format!("Resource group {group:?} does not exist"),
            "Nothing was made. Create the group first, or refer to the resource that makes it \
             (resource_group_name = azurerm_resource_group.example.name), so that Terraform \
             makes it before the cluster.",
        )
        .at("resource_group_name"),
        RefusedError::Exists { id } => Diagnostic::error(
            format!("Cluster {what} exists already"),
            format!(
                "A cluster with this id exists and was declared differently:\n  {id}\n\nNothing \
                 was changed. To manage it here, import it:\n\n  terraform import \
                 hcs_cluster.<name> \"{id}\"\n\nTo make another cluster, choose another name."
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

/// What a run did not finish: one diagnostic a failed step, or a warning for a stop.
pub(crate) fn unfinished(what: &str, report: &Report) -> Diagnostics {
    let done = report.done.len();
    let total = done + report.failures.len() + report.left.len();
    let now = format!(
        "{done} of {total} steps are done; what they made exists and is recorded. Apply again to \
         go on from here: nothing is made twice."
    );
    if report.failures.is_empty() {
        let left: Vec<&str> = report.left.iter().map(String::as_str).take(8).collect();
        return Diagnostic::warning(
            format!("{what} was stopped before it was done"),
            format!("{now}\n\nNext: {}.", left.join(", ")),
        )
        .into();
    }
    report.failures.iter().map(|failure| failed(what, failure, &now)).collect()
}

fn failed(what: &str, failure: &Failure, now: &str) -> Diagnostic {
    Diagnostic::error(
        format!("{what}: step {:?} failed", failure.step),
        format!("{}\n\n{now} {}", sentence(&failure.error), advice(&failure.error)),
    )
}

fn sentence(error: &EngineError) -> String {
    capitalized(&chain(error))
}

/// As a sentence: a capital in front, a full stop behind. Names of attributes stay as they are.
fn capitalized(text: &str) -> String {
    if text.split_whitespace().next().is_some_and(|word| word.contains('_')) {
        return format!("{}.", text.trim_end_matches('.'));
    }
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_uppercase().collect::<String>());
    format!("{}{}.", first.unwrap_or_default(), characters.as_str().trim_end_matches('.'))
}

fn advice(error: &EngineError) -> String {
    match error {
        EngineError::Arm(error) => arm_advice(error),
        EngineError::NoCapacity { .. } => {
            "Azure has no room anywhere that zone_fallback allows: apply again \
                                           later, add vm_size_fallbacks, or choose another region."
                .to_owned()
        }
        EngineError::Transport(_) => {
            "Check the network path to Azure, proxy variables and credentials.".to_owned()
        }
        EngineError::Blob(_) => "The caller needs the role Storage Blob Data Contributor on the \
                                 cluster's storage account; an apply by an Owner or User Access \
                                 Administrator assigns it."
            .to_owned(),
        EngineError::TimedOut { .. } => "Look at the named servers first: the host manager's log \
                                         is in their boot diagnostics and journal \
                                         (hcs-host-manager.service)."
            .to_owned(),
        EngineError::BadDocument { .. } => "Restore the blob from its last good content, or \
                                            delete it if the document was never valid."
            .to_owned(),
        EngineError::Stopped
        | EngineError::Unresolved(_)
        | EngineError::Artifact(_)
        | EngineError::Crypto { .. } => String::new(),
    }
}

fn arm_advice(error: &ArmError) -> String {
    let text = match error.code.split('/').next().unwrap_or_default() {
        "AuthorizationFailed" | "LinkedAuthorizationFailed" => {
            "Give the caller the missing right: Contributor and User Access Administrator (or \
             Owner) on the subscription or on both groups."
        }
        "MissingSubscriptionRegistration" => {
            "Register the resource provider once: az provider register --namespace <namespace>."
        }
        "OperationNotAllowed" | "QuotaExceeded" => {
            "Raise the quota of the VM family in this region, or choose another vm_size."
        }
        "SkuNotAvailable"
        | "ZonalAllocationFailed"
        | "AllocationFailed"
        | "OverconstrainedZonalAllocationRequest" => {
            "Azure has no capacity for this size in that zone now: apply again later, choose \
             another vm_size or region, or let zone_fallback and vm_size_fallbacks name other places."
        }
        "RequestDisallowedByPolicy" => {
            "An Azure Policy forbids it: ask its owner for an exemption on the managed group."
        }
        "ScopeLocked" => {
            "Somebody's lock is in the way; hcs removes only its own. Remove it first."
        }
        _ if error.fault() == Fault::Cloud => {
            "That is Azure's side: apply again, and give Microsoft the correlation id if it stays."
        }
        _ => return String::new(),
    };
    text.to_owned()
}
