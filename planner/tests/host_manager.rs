//! Which host manager a plan names: the provider's, the one that is pinned, or the one before; and what that costs.

use hcs_planner::assumed::assumed;
use hcs_planner::dataplane::{HostManagerArtifact, own_version};
use hcs_planner::observed::Observed;
use hcs_planner::plan::{Action, Plan, plan};
use hcs_planner::spec::ClusterSpec;
use semver::Version;

const OLD: Version = Version::new(0, 0, 9);
const OLDER: Version = Version::new(0, 0, 8);

fn spec(pinned: Option<Version>) -> ClusterSpec {
    ClusterSpec {
        host_manager_version: pinned,
        ..ClusterSpec::new("00000000-0000-0000-0000-000000000001", "demo", "rg", "westeurope")
    }
}

fn artifact(version: &Version) -> HostManagerArtifact {
    HostManagerArtifact { version: version.clone(), sha256: format!("sha of {version}") }
}

/// A cluster that an earlier provider made and brought from one version to the next.
fn world(spec: &ClusterSpec) -> Observed {
    let mut observed = assumed(spec);
    observed.stored_spec = Some(spec.clone());
    let document = observed.document.as_mut().unwrap();
    document.host_manager = Some(artifact(&OLD));
    document.host_manager_before = Some(artifact(&OLDER));
    observed
}

fn steps(plan: &Plan) -> Vec<&str> {
    plan.steps().iter().map(|(_, step)| step.id.as_str()).collect()
}

fn written(plan: &Plan) -> &serde_json::Value {
    let steps = plan.steps();
    let found = steps.iter().find_map(|(_, step)| match &step.action {
        Action::WriteDocument { name, content, .. } if name == "cluster.json" => Some(content),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn another_provider_brings_its_host_manager_and_touches_no_machine() {
    let spec = spec(None);
    let plan = plan(&spec, &world(&spec)).unwrap();
    assert_eq!(
        steps(&plan),
        [
            "grant caller blob access",
            "upload host manager",
            "write cluster document",
            "wait until healthy",
            "mark ready"
        ]
    );
    let document = written(&plan);
    assert_eq!(document["host_manager"]["version"], own_version().to_string());
    assert_eq!(document["host_manager_before"]["sha256"], "sha of 0.0.9");
}

#[test]
fn a_pin_to_what_runs_plans_nothing() {
    let spec = spec(Some(OLD));
    assert_eq!(steps(&plan(&spec, &world(&spec)).unwrap()), [""; 0]);
}

#[test]
fn a_pin_to_the_one_before_goes_back_without_an_upload() {
    let spec = spec(Some(OLDER));
    let plan = plan(&spec, &world(&spec)).unwrap();
    assert!(!steps(&plan).contains(&"upload host manager"), "{:?}", steps(&plan));
    let document = written(&plan);
    assert_eq!(document["host_manager"]["sha256"], "sha of 0.0.8");
    assert_eq!(document["host_manager_before"]["sha256"], "sha of 0.0.9");
}

#[test]
fn a_pin_to_what_nobody_has_names_what_there_is() {
    let spec = spec(Some(Version::new(7, 7, 7)));
    let error = plan(&spec, &world(&spec)).unwrap_err().to_string();
    let own = own_version();
    assert_eq!(
        error,
        format!(
            "there is no host manager 7.7.7, which host_manager_version asks for, but 0.0.9 and {own}; take one of \
             these, leave it out, or use the provider of version 7.7.7, which brings it"
        )
    );
}
