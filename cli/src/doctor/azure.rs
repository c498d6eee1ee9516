//! The way to Azure, and what Azure lets this caller do: credentials, clock, resource providers, region, quota, rights.

use std::collections::BTreeMap;

use hcs_azure::{Azure, AzureSettings, ConnectError, HttpClient, HttpSettings, connect};
use hcs_engine::arm::Arm;
use hcs_engine::clock::{Clock as _, SystemClock};
use hcs_engine::cloud::{ArmRequest, Cloud as _, Method, Target};
use hcs_engine::error::{EngineError, chain};
use hcs_engine::permissions::Permissions;
use hcs_engine::regions::{self, NoSize, Region};
use hcs_engine::registration;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::releases::archive_url;
use hcs_planner::rights::{Need, needed};
use hcs_planner::rules;
use hcs_planner::spec::ClusterSpec;

use super::Finding;

/// Entra refuses assertions, and Consul certificates, of a clock that is further off.
const CLOCK_MAX_SECONDS: i64 = 300;
/// Worth a word.
const CLOCK_SECONDS: i64 = 30;
/// Of the actions that are missing, so many are named.
const ACTIONS_TOLD: usize = 3;
const ARCHITECTURE: &str = "amd64";

pub(super) fn no_connection(error: &ConnectError) -> Finding {
    let mend = match error.attribute() {
        Some(attribute) => format!(
            "Look at {attribute}: at the provider, or in the environment (`ARM_…`, as azurerm has them)."
        ),
        None => {
            "Look at the way from this machine to Azure: DNS, firewall, HTTPS_PROXY.".to_owned()
        }
    };
    Finding::problem("credentials", chain(error), mend)
}

/// The connection, and what was seen while it was made.
pub(super) async fn connected(settings: &AzureSettings) -> Result<(Azure, Vec<Finding>), Finding> {
    let azure = connect(settings).await.map_err(|error| no_connection(&error))?;
    let checked = azure.check().await.map_err(|error| no_connection(&error))?;
    let principal = checked.object_id.map(|id| format!(", object id {id}")).unwrap_or_default();
    let found = format!(
        "{}{principal}; subscription {} ({})",
        checked.credential, checked.subscription_name, azure.subscription_id
    );
    let mut findings = vec![Finding::good("credentials", found)];
    findings.extend(clock(&azure).await);
    Ok((azure, findings))
}

/// Azure's clock beside this machine's, by the answer's `Date`.
async fn clock(azure: &Azure) -> Option<Finding> {
    let path = format!("/subscriptions/{}?api-version=2022-12-01", azure.subscription_id);
    let answer = azure.cloud.send(&ArmRequest::new(Method::Get, Target::Path(path))).await.ok()?;
    let theirs = jiff::fmt::rfc2822::parse(answer.header("date")?).ok()?.timestamp().as_second();
    let own = i64::try_from(SystemClock.now_unix_ms() / 1000).ok()?;
    Some(of_clock(own - theirs))
}

fn of_clock(ahead_seconds: i64) -> Finding {
    let off = ahead_seconds.abs();
    let way = if ahead_seconds > 0 { "ahead of" } else { "behind" };
    let found = format!("this machine's clock is {off} s {way} Azure's");
    let mend = "Set it by NTP: certificates that are made here begin at this machine's time.";
    match off {
        0..=CLOCK_SECONDS => Finding::good("clock", "within half a minute of Azure's"),
        _ if off <= CLOCK_MAX_SECONDS => Finding::warning("clock", found, mend),
        _ => Finding::problem("clock", found, mend),
    }
}

pub(super) async fn providers(arm: &Arm, subscription_id: &str) -> Finding {
    let check = "resource providers";
    match registration::missing(arm, subscription_id).await {
        Ok(missing) if missing.is_empty() => Finding::good(check, "all are registered"),
        Ok(missing) => {
            let commands: Vec<String> = missing
                .iter()
                .map(|name| format!("az provider register --namespace {name}"))
                .collect();
            Finding::problem(
                check,
                format!("not registered: {}", missing.join(", ")),
                format!(
                    "{}; or resource_provider_registrations = \"core\" at the provider.",
                    commands.join("; ")
                ),
            )
        }
        Err(error) => Finding::unknown(check, chain(&error)),
    }
}

/// Whether the region has the machines, and the subscription the cores.
pub(super) async fn region(
    arm: &Arm,
    spec: &ClusterSpec,
    prior: Option<&ClusterSpec>,
) -> Vec<Finding> {
    let location = rules::location(&spec.location);
    if location.is_empty() {
        return vec![Finding::unknown("region", "the file names no location")];
    }
    match regions::look_up(arm, &spec.subscription_id, &location).await {
        Ok(Ok(region)) => {
            vec![size(&region, spec, &location), quota(arm, &region, spec, prior, &location).await]
        }
        Ok(Err(others)) => vec![Finding::problem(
            "region",
            format!("{location} is no region of this subscription"),
            format!("There are {}.", others.join(", ")),
        )],
        Err(error) => vec![Finding::unknown("region", chain(&error))],
    }
}

fn size(region: &Region, spec: &ClusterSpec, location: &str) -> Finding {
    let (check, size) = ("machines", &spec.vm_size);
    let others = || match region.alternatives() {
        others if others.is_empty() => "Choose another region.".to_owned(),
        others => format!("Choose another vm_size ({}) or region.", others.join(", ")),
    };
    let zones = match region.zones_of(size) {
        Ok(zones) => zones,
        Err(NoSize::Absent) => {
            return Finding::problem(check, format!("{location} has no {size}"), others());
        }
        Err(NoSize::Restricted(why)) => {
            let found = format!("this subscription may not use {size} in {location} ({why})");
            return Finding::problem(check, found, others());
        }
    };
    if let Some(why) = region.unfit(size) {
        return Finding::problem(check, format!("no server runs on {size}: {why}"), others());
    }
    let missing: Vec<&str> =
        spec.zones.iter().filter(|zone| !zones.contains(zone)).map(String::as_str).collect();
    if !missing.is_empty() {
        let found = format!("{size} is not offered in zone {} of {location}", missing.join(", "));
        return Finding::problem(check, found, format!("It is in {}.", zones.join(", ")));
    }
    if zones.len() < 3 && spec.server_count > 1 {
        let found = format!("{location} offers {size} in {} of three zones", zones.len());
        let mend =
            "A zone that goes may take the quorum with it; other sizes or regions have three.";
        return Finding::warning(check, found, mend);
    }
    Finding::good(check, format!("{location} offers {size} in zones {}", zones.join(", ")))
}

async fn quota(
    arm: &Arm,
    region: &Region,
    spec: &ClusterSpec,
    prior: Option<&ClusterSpec>,
    location: &str,
) -> Finding {
    let check = "quota";
    let Some((family, cores)) = region.cores_of(&spec.vm_size) else {
        return Finding::unknown(
            check,
            format!("{location} does not say how large {} is", spec.vm_size),
        );
    };
    let usages = match regions::usages(arm, &spec.subscription_id, location).await {
        Ok(usages) => usages,
        Err(error) => return Finding::unknown(check, chain(&error)),
    };
    let is_same_size = |prior: &&ClusterSpec| prior.vm_size.eq_ignore_ascii_case(&spec.vm_size);
    let there = prior.filter(is_same_size).map_or(0, |prior| prior.server_count);
    let come = u64::from(spec.server_count.saturating_sub(there)) * cores;
    let left: BTreeMap<&str, u64> = usages
        .iter()
        .map(|usage| (usage.family.as_str(), usage.limit.saturating_sub(usage.used)))
        .filter(|(name, _)| name.eq_ignore_ascii_case(family) || *name == "cores")
        .collect();
    let Some((tightest, left)) = left.into_iter().min_by_key(|(_, left)| *left) else {
        return Finding::unknown(check, format!("{location} tells no usage of {family}"));
    };
    let of = if tightest == "cores" { "all families" } else { tightest };
    let found = format!("{left} cores of {of} are left in {location}");
    let mend = "Raise it: Azure portal, Quotas, Compute.";
    if left < come {
        return Finding::problem(check, format!("{found}, and {come} are needed"), mend);
    }
    if left < come + cores {
        let found = format!("{found}: none for a helper, beside which servers are made anew");
        return Finding::warning(check, found, mend);
    }
    Finding::good(check, format!("{found}; {come} are needed, and {cores} for a helper"))
}

/// Whether the caller's roles allow what the cluster takes, scope by scope.
pub(super) async fn rights(arm: &Arm, spec: &ClusterSpec) -> Vec<Finding> {
    let group = ArmId::resource_group(&spec.subscription_id, &spec.managed_resource_group_name);
    let has_group = match arm.get(&group, Kind::ResourceGroup).await {
        Ok(group) => group.is_some(),
        // Whoever may not see it may not make it either.
        Err(EngineError::Arm(error)) if error.status == 403 => true,
        Err(error) => return vec![Finding::unknown("rights", chain(&error))],
    };
    let mut read: BTreeMap<String, Result<Option<Permissions>, String>> = BTreeMap::new();
    let mut findings = Vec::new();
    for need in needed(spec, has_group) {
        if !read.contains_key(need.scope.as_str()) {
            let found = Permissions::read(arm, &need.scope).await;
            read.insert(need.scope.to_string(), found.map_err(|error| chain(&error)));
        }
        match &read[need.scope.as_str()] {
            Ok(Some(permissions)) => findings.extend(short_of(&need, permissions)),
            Ok(None) => findings.push(not_there(&need.scope)),
            Err(why) => findings.push(Finding::unknown("rights", why.clone())),
        }
    }
    findings.dedup();
    if findings.is_empty() {
        let scopes = read.len();
        findings.push(Finding::good("rights", format!("all that are needed, at {scopes} scopes")));
    }
    findings
}

/// A group that is to be made has rights on the subscription, of which Azure need not tell.
fn not_there(scope: &ArmId) -> Finding {
    if scope.as_str().matches('/').count() == 2 {
        let found = format!("Azure does not say what you may do on {scope}");
        return Finding::unknown("rights", found);
    }
    let mend = "Make it, or correct its id; where it is made in the same run, that is fine.";
    Finding::warning("rights", format!("{scope} does not exist"), mend)
}

fn short_of(need: &Need, permissions: &Permissions) -> Option<Finding> {
    let missing: Vec<&str> =
        need.actions.iter().map(String::as_str).filter(|one| !permissions.allow(one)).collect();
    missing.first()?;
    let rest = missing.len().saturating_sub(ACTIONS_TOLD);
    let named = missing[..missing.len().min(ACTIONS_TOLD)].join(", ");
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    let scope = &need.scope;
    Some(Finding::problem(
        "rights",
        format!("you lack {named}{more} on {scope}"),
        format!("{} on {scope} allows it; docs/guides/rights.md has all.", need.role),
    ))
}

/// Where Consul's program comes from.
pub(super) async fn programs(spec: &ClusterSpec, is_there: bool) -> Finding {
    let check = "Consul's archive";
    if let Some(source) = &spec.artifact_source
        && !source.location.starts_with("https://")
    {
        let place = &source.location;
        return match std::fs::metadata(place) {
            Ok(_) => Finding::good(check, format!("{place} is there")),
            Err(error) => Finding::problem(
                check,
                format!("{place} cannot be read: {error}"),
                "Set artifact_source to a folder, file or https URL that this machine can read.",
            ),
        };
    }
    let version = &spec.consul_version;
    let url = spec.artifact_source.as_ref().map(|source| source.location.clone());
    let url = url.unwrap_or_else(|| archive_url(version, ARCHITECTURE));
    // A signature may follow.
    let told = url.split(['?', '#']).next().unwrap_or_default().to_owned();
    let http = HttpClient::new(&HttpSettings::default());
    let answer = match http {
        Ok(http) => http.status_of(&url).await.map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    let mend = "The machine that applies fetches it there: open the way, or set artifact_source to a copy.";
    let found = match answer {
        Ok(200..=399) => return Finding::good(check, format!("{told} answers")),
        Ok(status) => format!("{told} answers {status}"),
        Err(why) => format!("{told}: {why}"),
    };
    // What runs was fetched before.
    if is_there {
        Finding::warning(check, format!("{found}; the next version comes from there"), mend)
    } else {
        Finding::problem(check, found, mend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let rows = [
            (0, Verdict::Good),
            (-30, Verdict::Good),
            (31, Verdict::Warning),
            (-300, Verdict::Warning),
            (301, Verdict::Problem),
        ];
        for (ahead, expected) in rows {
            assert_eq!(of_clock(ahead).verdict, expected, "{ahead}");
        }
        assert!(of_clock(-400).found.contains("400 s behind"));
    }
}
