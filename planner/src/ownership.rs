//! Whose a cluster is, and who may change it now: `config/run.json`, and what a run may do that meets one.
//!
//! Terraform keeps one object per state and knows nothing of other states. So a cluster says itself which *incarnation*
//! it is; a create begins a new one, and whoever holds the state of an earlier one can neither change nor delete it.
//! A *run* is open from before its first write until its answer is ready, and beats meanwhile.

use serde::{Deserialize, Serialize};

use crate::spec::ClusterSpec;

/// The record's format.
pub const RUN_RECORD_FORMAT: u32 = 1;
/// An open run that has not beaten for so long is dead.
pub const RUN_DEAD_AFTER_SECONDS: u64 = 30;

/// `config/run.json`: the latest run on a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// See [`RUN_RECORD_FORMAT`].
    pub format: u32,
    /// Which cluster of its id this is: a UUID that every create makes anew.
    pub incarnation_id: String,
    /// Grows by one with each run, for people and logs; what excludes is the record's etag.
    pub generation: u64,
    /// The run: a UUID.
    pub run_id: String,
    /// What it does.
    pub operation: Operation,
    /// Who runs it: user, machine and program, for people.
    pub holder: String,
    /// RFC 3339, by the holder's clock.
    pub started_at: String,
    /// Where it is in its life.
    pub phase: RunPhase,
    /// How it ended; absent while it is open.
    pub outcome: Option<RunOutcome>,
    /// Id of the step that it began last.
    pub step: Option<String>,
    /// Grows with each beat.
    pub beats: u64,
    /// Inputs whose change makes another cluster, as this run has them.
    pub fixed: FixedInputs,
    /// Whether the managed group was there before the cluster: it is left when the cluster goes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group_given: bool,
    /// How a run failed last, this one or one before it: for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<RunFailure>,
}

/// How a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// RFC 3339, by the holder's clock.
    pub at: String,
    /// What it did.
    pub operation: Operation,
    /// The step, or what it was about to do.
    pub step: String,
    /// Why, with Azure's words and correlation id.
    pub reason: String,
}

impl RunRecord {
    /// Whether some Terraform state holds the cluster: a create gives it to one when it closes.
    pub fn is_held(&self) -> bool {
        match self.phase {
            RunPhase::Closed => true,
            RunPhase::Open => !matches!(self.operation, Operation::Create | Operation::Undo),
            RunPhase::Released => false,
        }
    }
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Makes a cluster that no state knows.
    Create,
    /// Changes one.
    Update,
    /// Removes one.
    Destroy,
    /// Removes what a create left that never came to have an incarnation in a state.
    Undo,
}

impl Operation {
    /// The word in sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Destroy | Self::Undo => "destroy",
        }
    }
}

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// It works; while it beats nobody else may.
    Open,
    /// Its answer went to Terraform: some state holds the cluster.
    Closed,
    /// No state holds the cluster: the next create may go on with it.
    Released,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// All is as declared.
    Done,
    /// It was stopped by its user or its time limit.
    Stopped,
    /// A step failed.
    Failed,
    /// It was refused before it changed anything.
    Refused,
}

/// Inputs whose change makes another cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedInputs {
    /// `name`.
    pub name: String,
    /// `resource_group_name`.
    pub resource_group_name: String,
    /// `managed_resource_group_name`.
    pub managed_resource_group_name: String,
    /// `location`.
    pub location: String,
    /// `consul_datacenter`.
    pub consul_datacenter: String,
    /// `vnet_cidr`.
    pub vnet_cidr: Option<String>,
    /// `subnet_id`.
    pub subnet_id: Option<String>,
    /// `private_dns_zone_id`.
    #[serde(default)]
    pub private_dns_zone_id: Option<String>,
}

impl FixedInputs {
    /// Those of a spec.
    pub fn of(spec: &ClusterSpec) -> Self {
        Self {
            name: spec.name.clone(),
            resource_group_name: spec.resource_group_name.clone(),
            managed_resource_group_name: spec.managed_resource_group_name.clone(),
            location: spec.location.clone(),
            consul_datacenter: spec.consul_datacenter.clone(),
            vnet_cidr: spec.vnet_cidr.map(|cidr| cidr.to_string()),
            subnet_id: spec.subnet_id.as_ref().map(|id| id.as_str().to_owned()),
            private_dns_zone_id: spec.private_dns_zone_id.as_ref().map(|id| id.as_str().to_owned()),
        }
    }

    /// Inputs that differ from `other`'s, each with both values. Azure's names and ids have no case.
    pub fn differences(&self, other: &Self) -> Vec<InputDifference> {
        let row = |name, own: Option<&String>, other: Option<&String>, has_case: bool| {
            let same = match (own, other) {
                (Some(a), Some(b)) => a == b || (!has_case && a.eq_ignore_ascii_case(b)),
                (a, b) => a == b,
            };
            (!same).then(|| InputDifference {
                name,
                declared: own.cloned(),
                recorded: other.cloned(),
            })
        };
        let text = |name, own, other, has_case| row(name, Some(own), Some(other), has_case);
        [
            text("name", &self.name, &other.name, true),
            text(
                "resource_group_name",
                &self.resource_group_name,
                &other.resource_group_name,
                false,
            ),
            text(
                "managed_resource_group_name",
                &self.managed_resource_group_name,
                &other.managed_resource_group_name,
                false,
            ),
            text("location", &self.location, &other.location, false),
            text("consul_datacenter", &self.consul_datacenter, &other.consul_datacenter, true),
            row("vnet_cidr", self.vnet_cidr.as_ref(), other.vnet_cidr.as_ref(), true),
            row("subnet_id", self.subnet_id.as_ref(), other.subnet_id.as_ref(), false),
            row(
                "private_dns_zone_id",
                self.private_dns_zone_id.as_ref(),
                other.private_dns_zone_id.as_ref(),
                false,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// An input that two runs declare differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputDifference {
    /// The attribute.
    pub name: &'static str,
    /// What this run declares.
    pub declared: Option<String>,
    /// What the recorded run declared.
    pub recorded: Option<String>,
}

/// What a run wants, and which incarnation its state holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// No state knows the cluster.
    Create,
    /// The state knows it; `None` when its create never got as far as having an incarnation.
    Update(Option<String>),
    /// The same, to remove it.
    Destroy(Option<String>),
}

impl Claim {
    /// What it is called in the record. A state without an incarnation holds nothing yet: what it does to the cluster is
    /// a create's, and anybody's to go on with when it dies.
    pub fn operation(&self) -> Operation {
        match self {
            Self::Create | Self::Update(None) => Operation::Create,
            Self::Update(Some(_)) => Operation::Update,
            Self::Destroy(Some(_)) => Operation::Destroy,
            Self::Destroy(None) => Operation::Undo,
        }
    }
}

/// What a run does about the record that it meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It opens its own with this incarnation; `None` begins a new one.
    Open(Option<String>),
    /// Somebody works, or died a moment ago.
    Wait,
    /// The cluster is somebody's: a state holds it.
    Exists,
    /// A create was cut off that declared these inputs otherwise.
    OtherInputs(Vec<InputDifference>),
    /// The state's cluster is gone; another one has its name.
    OtherIncarnation,
}

/// What a claim meets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met<'a> {
    /// The record, if there is one.
    pub record: Option<&'a RunRecord>,
    /// Whether it has beaten lately.
    pub is_alive: bool,
    /// Whether the cluster has been healthy once.
    pub was_ready: bool,
    /// The incarnation that its group carries. It is written under a record only: without one somebody deleted that.
    pub tagged: Option<&'a str>,
}

/// Decides.
pub fn decide(claim: &Claim, fixed: &FixedInputs, met: &Met<'_>) -> Decision {
    let Some(record) = met.record else {
        return match claim {
            Claim::Create if met.was_ready || met.tagged.is_some() => Decision::Exists,
            Claim::Create => Decision::Open(None),
            Claim::Update(own) | Claim::Destroy(own) => match met.tagged {
                Some(tagged) if own.as_deref() != Some(tagged) => Decision::OtherIncarnation,
                _ => Decision::Open(own.clone()),
            },
        };
    };
    let works = record.phase == RunPhase::Open && met.is_alive;
    let differences = fixed.differences(&record.fixed);
    match claim {
        Claim::Create if works => Decision::Wait,
        // A change or a destroy that died is its state's to go on with.
        Claim::Create if record.is_held() => Decision::Exists,
        Claim::Update(None) if record.is_held() => Decision::OtherIncarnation,
        Claim::Update(None) if works => Decision::Wait,
        Claim::Create | Claim::Update(None) if differences.is_empty() => Decision::Open(None),
        Claim::Create | Claim::Update(None) => Decision::OtherInputs(differences),
        // What no state holds and was declared as this one is its own, whichever of its runs died.
        Claim::Destroy(None) if record.is_held() || !differences.is_empty() => {
            Decision::OtherIncarnation
        }
        Claim::Update(Some(own)) | Claim::Destroy(Some(own)) if *own != record.incarnation_id => {
            Decision::OtherIncarnation
        }
        Claim::Update(_) | Claim::Destroy(_) if works => Decision::Wait,
        Claim::Update(own) | Claim::Destroy(own) => Decision::Open(own.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(cidr: &str) -> FixedInputs {
        FixedInputs {
            name: "demo".into(),
            resource_group_name: "rg".into(),
            managed_resource_group_name: "rg-mrg-demo".into(),
            location: "westeurope".into(),
            consul_datacenter: "demo".into(),
            vnet_cidr: Some(cidr.into()),
            subnet_id: None,
            private_dns_zone_id: None,
        }
    }

    fn record(phase: RunPhase) -> RunRecord {
        RunRecord {
            format: RUN_RECORD_FORMAT,
            incarnation_id: "one".into(),
            generation: 1,
            run_id: "r".into(),
            operation: Operation::Create,
            holder: "somebody".into(),
            started_at: "2026-11-22T10:00:00Z".into(),
            phase,
            outcome: None,
            step: None,
            beats: 0,
            fixed: fixed("10.0.0.0/24"),
            group_given: false,
            last_failure: None,
        }
    }

    fn decide_on(
        claim: &Claim,
        fixed: &FixedInputs,
        record: Option<&RunRecord>,
        is_alive: bool,
    ) -> Decision {
        decide(claim, fixed, &Met { record, is_alive, ..Met::default() })
    }

    #[test]
    fn who_meets_what_does_what() {
        use Decision::{Exists, Open, OtherIncarnation, Wait};
        let own = || Some("one".to_owned());
        let other = || Some("two".to_owned());
        let (open, closed, released) = (RunPhase::Open, RunPhase::Closed, RunPhase::Released);
        // Claim, phase of the record, alive, what follows.
        let table = [
            (Claim::Create, open, true, Wait),
            (Claim::Create, open, false, Open(None)),
            (Claim::Create, released, false, Open(None)),
            (Claim::Create, closed, true, Exists),
            (Claim::Create, closed, false, Exists),
            (Claim::Update(own()), open, true, Wait),
            (Claim::Update(own()), open, false, Open(own())),
            (Claim::Update(own()), closed, true, Open(own())),
            (Claim::Update(own()), released, true, Open(own())),
            (Claim::Update(other()), open, true, OtherIncarnation),
            (Claim::Update(other()), closed, false, OtherIncarnation),
            (Claim::Update(None), closed, false, OtherIncarnation),
            (Claim::Destroy(own()), open, true, Wait),
            (Claim::Destroy(own()), closed, false, Open(own())),
            (Claim::Destroy(other()), closed, false, OtherIncarnation),
            (Claim::Update(None), open, true, Wait),
            (Claim::Update(None), open, false, Open(None)),
            (Claim::Destroy(None), closed, false, OtherIncarnation),
            (Claim::Destroy(None), open, true, Wait),
            (Claim::Destroy(None), open, false, Open(None)),
            (Claim::Destroy(None), released, false, Open(None)),
        ];
        for (claim, phase, alive, expected) in table {
            let decision = decide_on(&claim, &fixed("10.0.0.0/24"), Some(&record(phase)), alive);
            assert_eq!(decision, expected, "{claim:?} {phase:?} {alive}");
        }
    }

    #[test]
    fn a_change_that_died_is_no_creates_to_go_on_with() {
        for operation in [Operation::Update, Operation::Destroy] {
            let dead = RunRecord { operation, ..record(RunPhase::Open) };
            let decision = decide_on(&Claim::Create, &fixed("10.0.0.0/24"), Some(&dead), false);
            assert_eq!(decision, Decision::Exists, "{operation:?}");
        }
    }

    #[test]
    fn a_state_without_an_incarnation_goes_on_with_its_own_dead_runs_only() {
        for claim in [Claim::Update(None), Claim::Destroy(None)] {
            for before in [Claim::Update(None), Claim::Destroy(None)] {
                let operation = before.operation();
                let dead = RunRecord { operation, ..record(RunPhase::Open) };
                let same = decide_on(&claim, &fixed("10.0.0.0/24"), Some(&dead), false);
                assert_eq!(same, Decision::Open(None), "{claim:?} after {before:?}");
                let other = decide_on(&claim, &fixed("10.9.0.0/24"), Some(&dead), false);
                assert_ne!(other, Decision::Open(None), "{claim:?} after another {before:?}");
            }
        }
    }

    #[test]
    fn only_a_create_of_the_same_cluster_goes_on_with_a_dead_one() {
        let dead = record(RunPhase::Open);
        let decision = decide_on(&Claim::Create, &fixed("10.9.0.0/24"), Some(&dead), false);
        let Decision::OtherInputs(differences) = decision else { panic!("{decision:?}") };
        assert_eq!(differences[0].name, "vnet_cidr");
        assert_eq!(differences[0].recorded.as_deref(), Some("10.0.0.0/24"));
        let mut same = fixed("10.0.0.0/24");
        same.resource_group_name = "RG".into();
        let decision = decide_on(&Claim::Create, &same, Some(&dead), false);
        assert_eq!(decision, Decision::Open(None), "a group's name has no case");
    }

    #[test]
    fn without_a_record_what_was_healthy_or_is_tagged_exists() {
        let none = |claim: Claim, was_ready: bool, tagged: Option<&str>| {
            let met = Met { was_ready, tagged, ..Met::default() };
            decide(&claim, &fixed("10.0.0.0/24"), &met)
        };
        let own = Some("one".to_owned());
        assert_eq!(none(Claim::Create, true, None), Decision::Exists);
        assert_eq!(none(Claim::Create, false, Some("one")), Decision::Exists);
        assert_eq!(none(Claim::Create, false, None), Decision::Open(None));
        assert_eq!(none(Claim::Update(None), true, None), Decision::Open(None));
        assert_eq!(none(Claim::Destroy(own.clone()), true, None), Decision::Open(own.clone()));
        assert_eq!(
            none(Claim::Destroy(own.clone()), true, Some("one")),
            Decision::Open(own.clone())
        );
        let other = none(Claim::Destroy(own), true, Some("two"));
        assert_eq!(other, Decision::OtherIncarnation);
    }
}
