//! What people read when something fails: one golden of every cause, through the renderers that the resources use.

use std::fmt::Write as _;
use std::path::Path;

use expect_test::expect_file;
use hcs_azure::transport::NoAnswer;
use hcs_engine::blob::BlobError;
use hcs_engine::cloud::{Method, TransportError};
use hcs_engine::error::{ArmError, Awaited, EngineError};
use hcs_engine::execute::{Failure, Report};
use hcs_engine::lease::ClaimError;
use hcs_engine::reconcile::RefusedError;
use hcs_planner::arm::ArmId;
use hcs_planner::observed::{Unseen, UnseenWhy};
use hcs_planner::ownership::{FixedInputs, Operation, RunOutcome, RunPhase, RunRecord};
use tfplugin::Diagnostic;

use crate::diagnostics;
use crate::testing::Azure;

const SET: &str = "/subscriptions/s/resourceGroups/rg-mrg-demo/providers/Microsoft.Compute/virtualMachineScaleSets/demo-server-0";
const CORRELATION: &str = "4f1c7c2e-0000-4000-8000-1d2c3b4a5968";

fn arm(status: u16, code: &str, message: &str) -> EngineError {
    EngineError::Arm(ArmError {
        method: Method::Put,
        id: SET.into(),
        status,
        code: code.into(),
        message: message.into(),
        retry_after: None,
        correlation_id: CORRELATION.into(),
    })
}

fn unsent(why: NoAnswer) -> EngineError {
    TransportError::NotSent { host: "management.azure.com".into(), source: Box::new(why) }.into()
}

fn away(why: NoAnswer) -> EngineError {
    BlobError::Unavailable { account: "hcs4d2ee040945e".into(), source: Box::new(why) }.into()
}

fn denied(code: &str) -> EngineError {
    let (account, container) = ("hcs4d2ee040945e".into(), "config".into());
    BlobError::Denied { account, container, code: code.into() }.into()
}

fn host() -> String {
    "hcs4d2ee040945e.blob.core.windows.net".into()
}

/// A step that failed in the middle of an apply.
#[allow(clippy::too_many_lines)] // a table
fn steps() -> Vec<(&'static str, EngineError)> {
    let quota = "Operation could not be completed as it results in exceeding approved standardDSv5Family Cores quota.";
    vec![
        (
            "no right",
            arm(
                403,
                "AuthorizationFailed",
                "The client does not have authorization to perform action 'Microsoft.Compute/virtualMachineScaleSets/write'.",
            ),
        ),
        (
            "no right on a linked object",
            arm(
                403,
                "LinkedAuthorizationFailed",
                "The client has no permission to perform action 'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action'.",
            ),
        ),
        (
            "a peer of another tenant",
            arm(
                401,
                "InvalidAuthenticationTokenTenant",
                "The access token is from the wrong issuer. It must match the tenant associated with this subscription.",
            ),
        ),
        (
            "another cluster of the same name in the network",
            arm(
                400,
                "BadRequest",
                "A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to link \
                 virtual network with 'demo.hcs.internal' and 'demo.hcs.internal' zones.",
            ),
        ),
        (
            "a policy",
            arm(
                403,
                "RequestDisallowedByPolicy",
                "Resource 'demo-server-0' was disallowed by policy. Policy: 'allowed-sizes'.",
            ),
        ),
        (
            "a token that has expired",
            arm(
                401,
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.",
            ),
        ),
        (
            "a token of another tenant",
            arm(
                401,
                "InvalidAuthenticationTokenTenant",
                "The access token is from the wrong issuer.",
            ),
        ),
        (
            "a provider that is not registered",
            arm(
                409,
                "MissingSubscriptionRegistration",
                "The subscription is not registered to use namespace 'Microsoft.Compute'.",
            ),
        ),
        ("a quota", arm(409, "OperationNotAllowed", quota)),
        (
            "something else that is not allowed",
            arm(409, "OperationNotAllowed", "The virtual machine is deallocated."),
        ),
        ("a quota of its own code", arm(409, "QuotaExceeded", "Cores are used up.")),
        (
            "a set for disks whose key may not be used",
            arm(
                400,
                "KeyVaultAccessForbidden",
                "Unable to access key vault resource 'https://keys.vault.azure.net/keys/consul/1' to enable encryption at rest.",
            ),
        ),
        (
            "a key that may not be used",
            arm(
                403,
                "KeyVaultAuthenticationFailure",
                "The operation failed because of authentication issue on the keyvault.",
            ),
        ),
        (
            "a vault that forgets",
            arm(400, "KeyVaultPolicyError", "Keyvault policy recoverable is not set."),
        ),
        (
            "a key that is not there",
            arm(404, "KeyVaultEncryptionKeyNotFound", "The key 'consul' was not found."),
        ),
        (
            "a feature that nobody registered",
            arm(
                400,
                "InvalidParameter",
                "The property 'securityProfile.encryptionAtHost' is not valid because the \
                 'Microsoft.Compute/EncryptionAtHost' feature is not enabled for this subscription.",
            ),
        ),
        (
            "too many public addresses",
            arm(
                400,
                "PublicIPCountLimitReached",
                "Cannot create more than 1000 public IP addresses.",
            ),
        ),
        (
            "too many role assignments",
            arm(400, "RoleAssignmentLimitExceeded", "No more role assignments can be created."),
        ),
        (
            "a size that a zone does not sell",
            arm(
                409,
                "SkuNotAvailable",
                "The requested size is currently not available in zone '1'.",
            ),
        ),
        ("a zone that is full", arm(200, "ZonalAllocationFailed", "Allocation failed.")),
        (
            "somebody's lock",
            arm(
                409,
                "ScopeLocked",
                "The scope cannot perform write operation because following scope(s) are locked.",
            ),
        ),
        (
            "a disabled subscription",
            arm(
                409,
                "ReadOnlyDisabledSubscription",
                "The subscription is disabled and therefore marked as read only.",
            ),
        ),
        (
            "a taken account name",
            arm(
                409,
                "StorageAccountAlreadyTaken",
                "The storage account named hcs4d2ee040945e is already taken.",
            ),
        ),
        (
            "a full subnet",
            arm(
                400,
                "SubnetIsFull",
                "Subnet servers does not have enough capacity for 1 IP addresses.",
            ),
        ),
        (
            "networks that overlap",
            arm(400, "VnetAddressSpacesOverlap", "Cannot create or update peering."),
        ),
        (
            "a subnet in use",
            arm(
                400,
                "InUseSubnetCannotBeDeleted",
                "Subnet servers is in use by /x/ipConfigurations/y.",
            ),
        ),
        (
            "terms that nobody accepted",
            arm(
                400,
                "ResourcePurchaseValidationFailed",
                "User failed validation to purchase resources.",
            ),
        ),
        (
            "a region without it",
            arm(
                400,
                "LocationNotAvailableForResourceType",
                "The provided location is not available.",
            ),
        ),
        (
            "a group on its way out",
            arm(409, "ResourceGroupBeingDeleted", "The resource group is in deprovisioning state."),
        ),
        (
            "an identity that nobody knows yet",
            arm(400, "PrincipalNotFound", "Principal does not exist in the directory."),
        ),
        ("too many calls", arm(429, "TooManyRequests", "Number of requests exceeded.")),
        ("an error of Azure's", arm(500, "InternalServerError", "An error occurred.")),
        ("a refusal that nobody has heard of", arm(400, "BadMood", "Not today.")),
        (
            "no room anywhere",
            EngineError::NoCapacity {
                server: "demo-server-0".into(),
                tried: vec![
                    "Standard_D2s_v5 in zone 1".into(),
                    "Standard_D2as_v5 in zone 1".into(),
                ],
                last: Box::new(ArmError {
                    method: Method::Put,
                    id: SET.into(),
                    status: 200,
                    code: "ZonalAllocationFailed".into(),
                    message: "Allocation failed.".into(),
                    retry_after: None,
                    correlation_id: CORRELATION.into(),
                }),
            },
        ),
        (
            "a name without an address",
            unsent(NoAnswer::Dns {
                host: "management.azure.com".into(),
                reason: "failed to lookup address information".into(),
            }),
        ),
        (
            "nothing that answers",
            unsent(NoAnswer::Connect {
                host: "management.azure.com".into(),
                reason: "connection refused".into(),
            }),
        ),
        (
            "a proxy that opens TLS",
            unsent(NoAnswer::UntrustedCertificate {
                host: "management.azure.com".into(),
                reason: "UnknownIssuer".into(),
            }),
        ),
        (
            "a certificate of another time",
            unsent(NoAnswer::InvalidCertificate {
                host: "management.azure.com".into(),
                reason: "certificate expired".into(),
            }),
        ),
        (
            "no credential",
            TransportError::Credential { tried: "Azure CLI: not logged in".into() }.into(),
        ),
        (
            "a page for people",
            TransportError::Malformed {
                host: "management.azure.com".into(),
                reason: "it is HTML: <title>Sign in to the network</title>".into(),
            }
            .into(),
        ),
        (
            "a URL to somebody else",
            TransportError::ForeignHost { host: "attacker.example".into() }.into(),
        ),
        ("no role on the blobs", denied("AuthorizationPermissionMismatch")),
        ("the account's firewall", denied("AuthorizationFailure")),
        ("a token that the blobs do not take", denied("AuthenticationFailed")),
        ("a key that is disabled", denied("KeyVaultEncryptionKeyNotFound")),
        (
            "an account whose name is not known",
            away(NoAnswer::Dns {
                host: host(),
                reason: "failed to lookup address information".into(),
            }),
        ),
        ("an account that does not answer", away(NoAnswer::Timeout { host: host() })),
        (
            "a container that somebody deleted",
            BlobError::NoContainer {
                account: "hcs4d2ee040945e".into(),
                container: "config".into(),
            }
            .into(),
        ),
        (
            "a server that has no use for its program",
            EngineError::Hopeless {
                what: "a healthy cluster of demo-server-0".into(),
                server: "demo-server-0".into(),
                reason: "consul reports 1.21.5, wanted 1.22.2".into(),
            },
        ),
        (
            "servers that take too long",
            EngineError::TimedOut {
                what: "a healthy cluster of demo-server-0".into(),
                awaited: Awaited::Servers,
                waited: std::time::Duration::from_mins(20),
                last: "demo-server-0 has not reported yet".into(),
            },
        ),
        (
            "an account that is closed",
            EngineError::Closed {
                account: "hcs4d2ee040945e".into(),
                address: Some("10.20.0.5".into()),
                waited: std::time::Duration::from_mins(5),
            },
        ),
        (
            "an operation that takes too long",
            EngineError::TimedOut {
                what: SET.into(),
                awaited: Awaited::Operation,
                waited: std::time::Duration::from_hours(1),
                last: "Updating".into(),
            },
        ),
        (
            "a right that does not arrive",
            EngineError::TimedOut {
                what: "write access to the blobs of hcs4d2ee040945e".into(),
                awaited: Awaited::BlobAccess,
                waited: std::time::Duration::from_mins(15),
                last: "access to config of hcs4d2ee040945e is denied (AuthorizationPermissionMismatch)"
                    .into(),
            },
        ),
        (
            "documents behind a firewall",
            EngineError::Unseen(Unseen {
                sentence: "access to config of hcs4d2ee040945e is denied (AuthorizationFailure)".into(),
                why: UnseenWhy::Denied { code: "AuthorizationFailure".into() },
            }),
        ),
        (
            "another run",
            EngineError::Fenced { by: "update of bob@ci since 2026-11-27T10:00:00Z".into() },
        ),
        ("somebody who was faster", EngineError::Changed { id: SET.into() }),
        ("two answers of Azure's", EngineError::Contradiction { id: SET.into() }),
        (
            "a document of somebody else",
            EngineError::BadDocument {
                container: "config".into(),
                name: "spec.json".into(),
                what: "the spec",
                reason: "expected value at line 1 column 1".into(),
            },
        ),
        (
            "a record of a newer version",
            EngineError::UnknownRunRecord {
                reason: "its format is 2, and this version knows 1".into(),
            },
        ),
    ]
}

fn record(outcome: Option<RunOutcome>) -> Box<RunRecord> {
    let fixed = FixedInputs {
        name: "demo".into(),
        resource_group_name: "rg".into(),
        managed_resource_group_name: "rg-mrg-demo".into(),
        location: "westeurope".into(),
        consul_datacenter: "dc1".into(),
        vnet_cidr: Some("172.25.16.0/24".into()),
        subnet_id: None,
        private_dns_zone_id: None,
    };
    Box::new(RunRecord {
        format: 1,
        incarnation_id: "one".into(),
        generation: 3,
        run_id: "run".into(),
        operation: Operation::Update,
        holder: "bob@ci (terraform-provider-hcs 0.1.0)".into(),
        started_at: "2026-11-27T10:00:00Z".into(),
        phase: if outcome.is_some() { RunPhase::Closed } else { RunPhase::Open },
        outcome,
        step: Some("restart server_1".into()),
        beats: 9,
        fixed,
        group_given: false,
        last_failure: None,
    })
}

fn refusals() -> Vec<(&'static str, RefusedError)> {
    vec![
        ("no group", RefusedError::NoResourceGroup("rg".into())),
        ("a run that works", ClaimError::Busy(record(None)).into()),
        (
            "a cluster that a state holds",
            ClaimError::Exists(Some(record(Some(RunOutcome::Done)))).into(),
        ),
        (
            "another cluster of that name",
            ClaimError::OtherIncarnation(Some(record(Some(RunOutcome::Done)))).into(),
        ),
        ("a protected cluster", RefusedError::Protected),
        (
            "a cluster that follows others",
            RefusedError::Adopting(vec!["demo-server-0".into(), "demo-server-1".into()]),
        ),
        (
            "nobody knows whose",
            RefusedError::Unidentified {
                id: Azure::cluster_id(),
                reason: "access to config is denied (AuthorizationFailure)".into(),
            },
        ),
    ]
}

fn shown(diagnostic: &Diagnostic) -> String {
    format!("{}\n{}\n", diagnostic.summary, diagnostic.detail)
}

#[test]
fn every_cause_is_told_with_what_exists_and_what_to_do() {
    let mut text = String::new();
    let mut count = 0;
    for (cause, error) in steps() {
        let is_arm = matches!(error, EngineError::Arm(_));
        let failures = vec![Failure { step: "create server_0".into(), error }];
        let done = vec!["create resource_group".into(), "create storage_account".into()];
        let report =
            Report { done, failures, left: vec!["mark ready".into()], ..Report::default() };
        for diagnostic in &diagnostics::unfinished("Creating cluster \"demo\"", &report) {
            let told = shown(diagnostic);
            assert!(told.contains("create server_0"), "{cause}: what failed");
            assert!(
                told.contains("2 of 4 steps are done") || told.contains("what they made exists"),
                "{cause}: what exists"
            );
            assert!(told.contains("Apply again"), "{cause}: what to do");
            assert!(!is_arm || told.contains(CORRELATION), "{cause}: the correlation id");
            writeln!(text, "# {cause}\n{told}").unwrap();
            count += 1;
        }
    }
    let id = ArmId::new("/subscriptions/s/resourceGroups/rg-mrg-demo");
    for (cause, error) in refusals() {
        let told = shown(&diagnostics::refused("cluster \"demo\"", &id, &error));
        assert!(told.contains("Nothing was"), "{cause}: {told}");
        writeln!(text, "# {cause}\n{told}").unwrap();
        count += 1;
    }
    assert!(count >= 40, "{count}");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/testing/told.txt");
    expect_file![golden].assert_eq(&text);
}

/// A firewall is not a role, a name is not a role, a quota is not a size, a token is not a role.
#[test]
fn no_advice_is_for_another_cause() {
    let table = [
        ("the account's firewall", "needs the role"),
        ("an account whose name is not known", "needs the role"),
        ("a token that the blobs do not take", "needs the role"),
        ("a token that has expired", "Give the caller"),
        ("a policy", "Give the caller"),
        ("a quota", "no machine of this size"),
        ("a zone that is full", "quota of the subscription"),
        ("something else that is not allowed", "quota"),
        ("a name without an address", "proxy"),
    ];
    for (cause, words) in table {
        let error = steps().into_iter().find(|(name, _)| *name == cause).expect(cause).1;
        let advice = crate::advice::advice(&error);
        assert!(!advice.contains(words), "{cause}: {advice}");
    }
}
