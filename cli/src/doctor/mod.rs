//! `hcs doctor`: what keeps this machine and this caller from making or changing a cluster, looked for before an apply
//! finds it. Only reads.

mod azure;
mod cluster;
mod ways;

use std::fmt::Write as _;

use hcs_azure::AzureSettings;
use hcs_planner::arm::ArmId;
use hcs_planner::releases;
use hcs_planner::spec::ClusterSpec;
use serde::Serialize;

use crate::input::{CliError, Files};
use crate::plan::Answer;

/// How one look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    /// An apply works today; something else does not, or will not.
    Warning,
    /// An apply fails, or the cluster is not well.
    Problem,
    /// It could not be looked at.
    Unknown,
}

/// One look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    check: &'static str,
    verdict: Verdict,
    /// What there is.
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    pub(crate) fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Good, found: found.into(), mend: None }
    }

    fn unknown(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Unknown, found: found.into(), mend: None }
    }

    pub(crate) fn warning(
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { check, verdict: Verdict::Warning, found: found.into(), mend: Some(mend.into()) }
    }

    pub(crate) fn problem(
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { check, verdict: Verdict::Problem, found: found.into(), mend: Some(mend.into()) }
    }
}

/// What is looked at.
pub(crate) struct Patient<'a> {
    /// A cluster that there is.
    pub(crate) cluster: Option<ArmId>,
    /// What is declared.
    pub(crate) declared: Option<Files<'a>>,
}

/// Looks, and tells; `changes` when there is a problem.
pub(crate) fn doctor(patient: &Patient<'_>, as_json: bool) -> Result<Answer, CliError> {
    let declared = patient.declared.as_ref().map(Files::read).transpose()?;
    let (spec, before) = match declared {
        Some(input) => (Some(input.spec), input.observed.stored_spec),
        None => (None, None),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Azure { reason: error.to_string() })?;
    let findings = runtime.block_on(look(patient.cluster.clone(), spec, before));
    let is_well = findings.iter().all(|finding| finding.verdict != Verdict::Problem);
    let text = if as_json {
        let json = serde_json::json!({ "is_well": is_well, "findings": findings });
        format!("{json:#}\n")
    } else {
        told(&findings)
    };
    Ok(Answer { text, changes: !is_well })
}

/// `before`: what a Terraform plan says of the cluster as it is.
async fn look(
    cluster: Option<ArmId>,
    declared: Option<ClusterSpec>,
    before: Option<ClusterSpec>,
) -> Vec<Finding> {
    let mut findings = vec![versions(declared.as_ref())];
    let mut settings = AzureSettings::default();
    if let Err(error) = settings.merge_env(|name| std::env::var(name).ok()) {
        findings.push(azure::no_connection(&error));
        return findings;
    }
    // The subscription is named by what is looked at, where the environment is silent.
    let named = declared.as_ref().map(|spec| spec.subscription_id.clone());
    let named = named.or_else(|| Some(cluster.as_ref()?.segment("subscriptions")?.to_owned()));
    if settings.subscription_id.is_none() {
        settings.subscription_id = named;
    }
    let azure = match azure::connected(&settings).await {
        Ok((azure, found)) => {
            findings.extend(found);
            azure
        }
        Err(problem) => {
            let rest = "nothing else can be asked before that is mended";
            findings.extend([problem, Finding::unknown("everything else", rest)]);
            return findings;
        }
    };
    let arm = crate::status::arm(&azure);
    findings.push(azure::providers(&arm, &azure.subscription_id).await);
    let (stored, of_cluster) = match &cluster {
        Some(id) => cluster::looked_at(&azure, &arm, id).await,
        None => (None, Vec::new()),
    };
    // Two clusters are two patients.
    let is_it = |spec: &ClusterSpec| {
        let group = &spec.managed_resource_group_name;
        let own = ArmId::resource_group(&spec.subscription_id, group);
        cluster.as_ref().is_none_or(|id| *id == own)
    };
    if let Some(other) = declared.as_ref().filter(|spec| !is_it(spec)) {
        findings.push(Finding::warning(
            "declaration",
            format!("the file declares {}, which is not that cluster", other.name),
            "Name the file or the cluster, or those that belong together.",
        ));
    }
    let prior = stored.as_ref().or(before.as_ref());
    if let Some(spec) = declared.as_ref().filter(|spec| is_it(spec)).or(prior) {
        findings.extend(azure::region(&arm, spec, prior).await);
        findings.extend(azure::rights(&arm, spec).await);
        findings.extend(ways::out(&arm, spec).await);
        findings.push(azure::programs(spec, prior.is_some()).await);
    }
    findings.extend(of_cluster);
    findings
}

fn versions(declared: Option<&ClusterSpec>) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let makes = releases::default_version();
    let Some(spec) = declared else {
        let found = format!("hcs {own}; it makes Consul {makes} where no version is named");
        return Finding::good("versions", found);
    };
    let wanted = &spec.consul_version;
    match releases::check_choice(wanted) {
        Ok(()) => Finding::good("versions", format!("hcs {own}; Consul {wanted} is declared")),
        Err(refused) => Finding::problem(
            "versions",
            format!("hcs {own}; Consul {wanted} is declared: {refused}"),
            "Name another consul_version; `data hcs_consul_versions` lists those that are known.",
        ),
    }
}

pub(crate) fn told(findings: &[Finding]) -> String {
    let mut text = String::new();
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    for Finding { check, verdict, found, mend } in findings {
        let mark = match verdict {
            Verdict::Good => "good   ",
            Verdict::Warning => "warning",
            Verdict::Problem => "PROBLEM",
            Verdict::Unknown => "unknown",
        };
        let _ = writeln!(text, "{mark}  {check:width$}  {found}");
        if let Some(mend) = mend {
            let _ = writeln!(text, "{:9}{:width$}  -> {mend}", "", "");
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let of =
        |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let (problems, warnings) = (count(Verdict::Problem), count(Verdict::Warning));
    let unknown = count(Verdict::Unknown);
    let _ = writeln!(
        text,
        "\n{}, {}, {unknown} not looked at, {} good",
        of(problems, "problem"),
        of(warnings, "warning"),
        count(Verdict::Good)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_was_found() {
        let findings = [
            Finding::good("credentials", "the Azure CLI's"),
            Finding::problem("rights", "no write of X in Y", "Give Contributor on Y."),
            Finding::unknown("quota", "you may not look"),
        ];
        let expected = "\
good     credentials  the Azure CLI's
PROBLEM  rights       no write of X in Y
                      -> Give Contributor on Y.
unknown  quota        you may not look

1 problem, 0 warnings, 1 not looked at, 1 good
";
        assert_eq!(told(&findings), expected);
    }
}
