//! api-version checks with ARM's own refusals.

use super::errors::{Answer, ArmError};
use super::http::Request;
use super::ids::ArmPath;
use super::kind::{self, Kind};
use super::regions;

/// Versions of ARM's own front end (groups, subscriptions, providers, resources).
pub(crate) const RESOURCES: &[&str] = &[
    "2024-07-01",
    "2020-01-01",
    "2020-06-01",
    "2021-01-01",
    "2021-04-01",
    "2022-09-01",
    "2022-12-01",
    "2023-07-01",
    "2024-03-01",
    "2024-11-01",
    "2025-03-01",
    "2025-04-01",
    "2026-01-01",
];

/// The version of a request, or ARM's refusal that it lacks one.
pub(crate) fn present(req: &Request) -> Answer<&str> {
    req.query("api-version").filter(|v| !v.is_empty()).ok_or_else(|| {
        ArmError::gateway(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    })
}

/// Checks the version against a list, as ARM's front end does.
pub(crate) fn check_front(version: &str, known: &[&str]) -> Answer<()> {
    if known.contains(&version) {
        return Ok(());
    }
    Err(ArmError::gateway(
        400,
        "InvalidApiVersionParameter",
        format!(
            "The api-version '{version}' is invalid. The supported versions are '{}'.",
            known.join(",")
        ),
    ))
}

/// Checks the version of a typed request.
pub(crate) fn check_kind(version: &str, kind: &Kind, location: &str) -> Answer<()> {
    if kind.versions.contains(&version) {
        return Ok(());
    }
    let supported = kind.versions.join(", ");
    if kind.rtype == crate::providers::groups::GROUP.rtype {
        return check_front(version, kind.versions);
    }
    if location.is_empty() {
        let (namespace, rtype) = kind.rtype.split_once('/').unwrap_or_default();
        return Err(ArmError::gateway(
            404,
            "InvalidResourceType",
            format!(
                "The resource type '{rtype}' could not be found in the namespace '{namespace}' \
                 for api version '{version}'. The supported api-versions are '{supported}'."
            ),
        ));
    }
    let rtype = kind.rtype.split_once('/').map_or("", |(_, t)| t);
    Err(ArmError::gateway(
        400,
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for location '{location}' and API version \
             '{version}' for type '{rtype}'. The supported api-versions are '{supported}'. The \
             supported locations are '{}'.",
            regions::names()
        ),
    ))
}

/// ARM's refusal of a type that it does not know.
pub(crate) fn unknown_type(path: &ArmPath, version: &str) -> ArmError {
    let known: Vec<&str> = kind::KINDS
        .iter()
        .map(|k| k.rtype)
        .filter(|t| t.split('/').next().is_some_and(|n| n.eq_ignore_ascii_case(&path.namespace)))
        .collect();
    if known.is_empty() {
        let text = format!("The resource namespace '{}' is invalid.", path.namespace);
        return ArmError::gateway(404, "InvalidResourceNamespace", text);
    }
    ArmError::gateway(
        404,
        "InvalidResourceType",
        format!(
            "The resource type '{}' could not be found in the namespace '{}' for api version \
             '{version}'. The supported api-versions are ''.",
            path.types.join("/"),
            path.namespace
        ),
    )
}
