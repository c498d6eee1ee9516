//! What to do about an error, by its cause: a firewall is not a role, a name is not a role, a quota is not a size.
//!
//! Codes are those of Microsoft's pages on common deployment errors, on blob error codes and on storage firewalls.

use std::error::Error;

use hcs_azure::transport::NoAnswer;
use hcs_engine::blob::BlobError;
use hcs_engine::cloud::TransportError;
use hcs_engine::error::{ArmError, Awaited, EngineError, Fault};
use hcs_planner::observed::{Unseen, UnseenWhy};

/// One or two sentences, or none where the error says it all.
pub(crate) fn advice(error: &EngineError) -> String {
    let text = match error {
        EngineError::Arm(error) => encryption(error).unwrap_or_else(|| arm(error)),
        EngineError::NoCapacity { .. } => {
            "Azure has no room anywhere that zone_fallback allows: apply again later, add vm_size_fallbacks, or choose \
             another region."
        }
        EngineError::Transport(error) => transport(error),
        EngineError::Blob(error) => blob(error),
        EngineError::Fenced { .. } => {
            "This run stopped before its next write. Wait until that is done (`hcs status` tells), and apply again."
        }
        EngineError::NotDone { .. } => "`hcs status` tells how that server is. Apply again.",
        EngineError::Unplanned { .. } => "Mend that, and apply again.",
        EngineError::Changed { .. } => "Apply again: it looks at what is there now.",
        EngineError::Contradiction { .. } => {
            "That is Azure's side, and passes: apply again in some minutes."
        }
        EngineError::Hopeless { .. } => {
            "Waiting does not heal it. Correct what the server names (most often consul_version or artifact_source), \
             and apply again."
        }
        EngineError::TimedOut { awaited, .. } => match awaited {
            Awaited::Servers => {
                "Look at the named servers first: the host manager's log is in their boot diagnostics and journal \
                 (hcs-host-manager.service)."
            }
            Awaited::Operation => {
                "Azure is still at it, and the next apply waits on: the activity log of the object says more."
            }
            Awaited::PrivateName => {
                "With storage_private_dns_zone_id = \"None\" somebody else makes a zone group for the endpoint, such as a policy of \
                 Azure: see to that, or name the zone, and apply again. Servers reach their account as before."
            }
            Awaited::BlobAccess => {
                "A new role may take ten minutes to reach the storage service, a new name some. If it stays so, check the \
                 account's networking and the DNS of this machine."
            }
        },
        EngineError::Closed { .. } => {
            "Run Terraform from a machine that has a route to that address and finds it by the account's name: in the \
             servers' network, or in one that is peered with it and whose resolver knows the zone \
             privatelink.blob.core.windows.net. To open it for the time being: az storage account update --name <account> \
             --public-network-access Enabled --default-action Allow."
        }
        EngineError::Unseen(problem) => unseen(problem),
        EngineError::UnknownRunRecord { .. } => {
            "It says whose the cluster is and who works on it: do not delete it. Use the version of the provider that \
             wrote it, or a newer one; if it is broken, restore an earlier version of the blob."
        }
        EngineError::BadDocument { .. } => {
            "Restore the blob from its last good content, which the account keeps for a week after it is overwritten or \
             deleted. Do not delete it: what it says stands nowhere else."
        }
        EngineError::Stopped
        | EngineError::Unresolved(_)
        | EngineError::Artifact(_)
        | EngineError::Serialise { .. }
        | EngineError::Crypto { .. } => "",
        EngineError::Snapshot(_) => {
            "restore_from_snapshot_id names the snapshot with which the cluster begins; it is not ready without. Name one that \
             is whole and that you may read, or leave restore_from_snapshot_id out, and apply again: the rest is there."
        }
    };
    text.to_owned()
}

fn transport(error: &TransportError) -> &'static str {
    match error {
        TransportError::Credential { .. } => {
            "That is a matter of signing in: check the credentials that the provider was given, or `az login`."
        }
        TransportError::ForeignHost { .. } => {
            "No token was sent there. If that host is yours, name it by metadata_host."
        }
        TransportError::Malformed { .. } => {
            "Something between here and Azure answered in its place, most often a proxy: check HTTPS_PROXY and NO_PROXY."
        }
        TransportError::NotSent { .. } | TransportError::OutcomeUnknown { .. } => {
            no_answer(error).unwrap_or("Check the network path to Azure and the proxy variables.")
        }
    }
}

/// By what kept the answer back, where that is known.
fn no_answer(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(why) = error.downcast_ref::<NoAnswer>() {
            return Some(match why {
                NoAnswer::Dns { .. } => {
                    "That is a matter of names, not of rights: check that the resolver of this machine knows the host (a \
                     private endpoint needs its private DNS zone linked to the network that asks)."
                }
                NoAnswer::UntrustedCertificate { .. } => {
                    "A proxy that opens TLS needs its CA in SSL_CERT_FILE."
                }
                NoAnswer::InvalidCertificate { .. } | NoAnswer::Tls { .. } => {
                    "Check the clock of this machine and what answers under that name."
                }
                NoAnswer::Connect { .. } => {
                    "The name is known and nothing answers there: check firewalls and proxy variables on the way."
                }
                NoAnswer::Timeout { .. } | NoAnswer::Broken { .. } => {
                    "That passes, most often: apply again. If it stays, look at proxies and firewalls that cut \
                     connections."
                }
                NoAnswer::Unsendable { .. } => "",
            });
        }
        cause = error.source();
    }
    None
}

fn blob(error: &BlobError) -> &'static str {
    match error {
        BlobError::Denied { code, .. } => denied(code),
        BlobError::Unavailable { .. } => no_answer(error).unwrap_or(AWAY),
        BlobError::NoContainer { .. } => NO_CONTAINER,
        _ => "",
    }
}

/// The same for what an error kept from being seen.
pub(crate) fn unseen(problem: &Unseen) -> &'static str {
    match &problem.why {
        UnseenWhy::Denied { code } => denied(code),
        UnseenWhy::NoContainer => NO_CONTAINER,
        UnseenWhy::Away => AWAY,
        UnseenWhy::Unreadable => "",
    }
}

const AWAY: &str = "The storage service is away or busy: apply again. If it stays, check DNS, proxy variables and the \
                    account's firewall.";
const NO_CONTAINER: &str = "Somebody deleted a container of the cluster. Azure keeps deleted ones for some days: recover \
                            it before anything makes an empty one in its place.";

/// Why the storage service does not let a caller in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Denial {
    Firewall,
    Token,
    Disabled,
    Key,
    Role,
}

impl Denial {
    fn of(code: &str) -> Self {
        match code {
            "AuthorizationFailure"
            | "AuthorizationSourceIPMismatch"
            | "PublicAccessNotPermitted" => Self::Firewall,
            "AuthenticationFailed" | "InvalidAuthenticationInfo" => Self::Token,
            "AccountIsDisabled" => Self::Disabled,
            code if code.starts_with("KeyVault") => Self::Key,
            _ => Self::Role,
        }
    }
}

/// Whether a denial is for want of a role, as far as its code tells.
pub(crate) fn is_role(code: &str) -> bool {
    Denial::of(code) == Denial::Role
}

fn denied(code: &str) -> &'static str {
    match Denial::of(code) {
        Denial::Firewall => {
            "That is the storage account's firewall, not a role: allow the address of this machine under the account's \
             networking, or run from a network that it allows. Of an account with a private endpoint, a network from which \
             its name leads there."
        }
        Denial::Token => {
            "The token itself is not taken: check the clock of this machine and tenant_id."
        }
        Denial::Disabled => "The subscription or the account is disabled: ask its owner.",
        Denial::Key => {
            "The account is encrypted with a key that cannot be used: it is disabled, expired or gone, or the identity of \
             customer_managed_key has lost its role on it or cannot reach the vault. Give the key back; nothing else has to be \
             repaired, and servers go on meanwhile. A key that was deleted comes back by az keyvault key recover."
        }
        Denial::Role => {
            "The caller needs the role Storage Blob Data Contributor on the cluster's storage account (to look only: \
             Storage Blob Data Reader on config, certificates, snapshots and status-*); an apply by an Owner or User \
             Access Administrator assigns it."
        }
    }
}

fn arm(error: &ArmError) -> &'static str {
    let says = |word: &str| error.message.to_lowercase().contains(word);
    let code = error.code.split('/').next().unwrap_or_default();
    match code {
        "AuthorizationFailed" | "LinkedAuthorizationFailed" => {
            "Give the caller the missing right: Owner on the subscription, or Reader on your group with Contributor and \
             User Access Administrator on the managed one (docs/guides/rights.md lists them all)."
        }
        "InvalidAuthenticationTokenTenant" => {
            "The subscription trusts another tenant than the caller's: check tenant_id, or, where a peer lives there, \
             name that tenant in auxiliary_tenant_ids of the provider."
        }
        "InvalidAuthenticationToken" | "ExpiredAuthenticationToken" => {
            "The token is not taken, which is no missing role: check tenant_id and the clock of this machine, and sign \
             in again."
        }
        "MissingSubscriptionRegistration" => {
            "Register the resource provider once: az provider register --namespace <namespace>."
        }
        "QuotaExceeded" => {
            "That is a quota of the subscription, not a want of machines: ask for more under Quotas in the portal, or \
             choose a vm_size of another family."
        }
        "OperationNotAllowed" if says("quota") || says("exceeding approved") => {
            "That is a quota of the subscription, not a want of machines: ask for more under Quotas in the portal, or \
             choose a vm_size of another family."
        }
        _ if says("linked to multiple zones with overlapping namespaces")
            && says("privatelink.") =>
        {
            "The network has a zone for private endpoints of blobs already, most often a hub's: name that one in \
             storage_private_dns_zone_id, or write \"None\" there where a policy tells it the address."
        }
        _ if says("linked to multiple zones with overlapping namespaces") => {
            "Another private DNS zone of this name serves that network already, most often that of another cluster of the \
             same name: clients could not tell them apart. Give this cluster another name, or take the other zone's link \
             to that network away."
        }
        "PublicIPCountLimitReached" => {
            "That is the subscription's limit on public addresses in the region: give back some that nobody uses, or ask \
             for more."
        }
        "RoleAssignmentLimitExceeded" => {
            "A subscription holds 4,000 role assignments: remove some that nobody needs."
        }
        "SkuNotAvailable"
        | "ZonalAllocationFailed"
        | "AllocationFailed"
        | "OverconstrainedAllocationRequest"
        | "OverconstrainedZonalAllocationRequest" => {
            "Azure has no machine of this size in that zone now, which no quota changes: apply again later, choose \
             another vm_size or region, or let zone_fallback and vm_size_fallbacks name other places."
        }
        "RequestDisallowedByPolicy" => {
            "An Azure Policy forbids it, whatever role the caller has: ask its owner for an exemption on the managed \
             group."
        }
        "ScopeLocked" => {
            "Somebody's lock is in the way; hcs removes only its own. Remove it first."
        }
        "ReadOnlyDisabledSubscription" | "SubscriptionNotFound" | "DisabledSubscription" => {
            "The subscription is disabled, or is not this tenant's: check subscription_id and tenant_id."
        }
        "StorageAccountAlreadyTaken" => {
            "The name of the storage account follows from the managed group's id, and another tenant has it: choose \
             another managed_resource_group_name."
        }
        "SubnetIsFull" => {
            "A server and the balancer need one address each, and one more while servers are made anew: free some in \
             the subnet, or give the servers of a zone a subnet of their own (zone_subnet_ids)."
        }
        "NetcfgSubnetRangesOverlap" | "VnetAddressSpacesOverlap" => {
            "Two peered networks must not share addresses: choose another vnet_cidr."
        }
        "InUseSubnetCannotBeDeleted"
        | "NetworkSecurityGroupInUse"
        | "InUseNetworkSecurityGroupCannotBeDeleted" => {
            "Something that hcs did not make uses it: move or remove that first."
        }
        "ResourcePurchaseValidationFailed" | "MarketplacePurchaseEligibilityFailed" => {
            "The image has terms that nobody has accepted: az vm image terms accept --urn <publisher:offer:sku:version>."
        }
        "LocationNotAvailableForResourceType" | "NoRegisteredProviderFound" => {
            "The region does not offer this: choose another location."
        }
        "ResourceGroupBeingDeleted" => {
            "Somebody is deleting the group: wait until it is gone, and apply again."
        }
        "PrincipalNotFound" => {
            "Entra has not heard of the new identity yet, which passes: apply again in some minutes."
        }
        "TooManyRequests" | "SubscriptionRequestsThrottled" => {
            "Azure limits the calls of the subscription, others' included: apply again in some minutes."
        }
        _ if error.fault() == Fault::Cloud => {
            "That is Azure's side: apply again, and give Microsoft the correlation id if it stays."
        }
        _ => "",
    }
}

/// Keys of somebody, and hosts that encrypt.
fn encryption(error: &ArmError) -> Option<&'static str> {
    match error.code.split('/').next().unwrap_or_default() {
        "KeyVaultAuthenticationFailure" | "KeyVaultAccessTokenCannotBeAcquired" => Some(
            "The identity of customer_managed_key may not use the key: give it Key Vault Crypto Service Encryption User on the \
             key or its vault, and where the vault has a firewall, let trusted Microsoft services through. It counts within \
             minutes; then apply again.",
        ),
        "KeyVaultAccessForbidden" => Some(
            "The disk encryption set may not use its key: give the set's own identity Key Vault Crypto Service Encryption User on \
             the key or its vault, and let trusted Microsoft services through the vault's firewall; then apply again.",
        ),
        "KeyVaultPolicyError" => Some(
            "Azure takes keys of vaults with soft delete and purge protection only: az keyvault update --name <vault> \
             --enable-purge-protection true.",
        ),
        "KeyVaultEncryptionKeyNotFound" => Some(
            "Check key_name and key_version of customer_managed_key: az keyvault key list --vault-name <vault>.",
        ),
        _ if error.message.contains("EncryptionAtHost' feature is not enabled") => Some(
            "Once for the subscription, by its owner: az feature register --namespace Microsoft.Compute --name \
             EncryptionAtHost, and when that says Registered, az provider register --namespace Microsoft.Compute.",
        ),
        _ => None,
    }
}
