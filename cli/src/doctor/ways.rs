//! The servers' way out of their network, and everybody's to the storage account.

use hcs_engine::arm::Arm;
use hcs_engine::error::chain;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::reach::{OutboundType, lack, required_outbound};
use hcs_planner::spec::ClusterSpec;

use super::{Finding, Verdict};

const CHECK: &str = "way out";

/// What the servers must reach, and whether their subnet can lead there. What a firewall on the way does nobody sees from
/// here: the servers' own errors tell it, which are told as theirs. Each subnet that will not do, or one finding that all do.
pub(super) async fn out(arm: &Arm, spec: &ClusterSpec) -> Vec<Finding> {
    let all = required_outbound(spec).into_iter();
    let all: Vec<String> =
        all.map(|to| format!("{}:{} ({})", to.name, to.port, to.purpose)).collect();
    let way = spec.outbound_type.as_str();
    let told = format!("outbound_type is {way:?}; the servers must reach {}", all.join(", "));
    let mut found = Vec::new();
    for subnet in spec.subnets_of_servers() {
        found.push(out_of(arm, spec, subnet, &told).await);
    }
    all_or_one(found, || Finding::good(CHECK, told))
}

/// What will not do; where all will, one of them, or what is said where there is none to look at.
fn all_or_one(found: Vec<Finding>, none: impl FnOnce() -> Finding) -> Vec<Finding> {
    let is_good = |one: &Finding| one.verdict == Verdict::Good;
    let (mut good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(is_good);
    if bad.is_empty() { vec![good.pop().unwrap_or_else(none)] } else { bad }
}

/// The same of one subnet of the user's.
async fn out_of(arm: &Arm, spec: &ClusterSpec, subnet: &ArmId, told: &str) -> Finding {
    let version = Kind::VirtualNetwork.api_version();
    match arm.get_path(&format!("{subnet}?api-version={version}")).await {
        Ok(Some(body)) => match lack(spec, subnet.name(), &body) {
            Some(lack) if lack.is_fatal => {
                Finding::problem(CHECK, format!("{told}. {}", lack.summary), lack.detail)
            }
            Some(lack) => Finding::warning(CHECK, format!("{told}. {}", lack.summary), lack.detail),
            None if spec.outbound_type == OutboundType::UserDefinedRouting => {
                Finding::good(CHECK, format!("{told}: let that through where your routes lead"))
            }
            None => Finding::good(CHECK, told),
        },
        Ok(None) => Finding::problem(
            CHECK,
            format!("{subnet} is not there"),
            "Make the subnet first, or correct subnet_id or zone_subnet_ids.",
        ),
        Err(error) => Finding::unknown(CHECK, format!("{told}. {}", chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subnet_that_will_not_do_is_told_and_all_that_do_are_one() {
        let good = || Finding::good(CHECK, "good");
        let bad = |name: &str| Finding::warning(CHECK, name, "attach one");
        let none = || Finding::good(CHECK, "none");
        assert_eq!(all_or_one(vec![], none), [none()]);
        assert_eq!(all_or_one(vec![good(), good()], none), [good()]);
        let found = all_or_one(vec![bad("two"), good(), bad("three")], none);
        assert_eq!(found, [bad("two"), bad("three")]);
    }
}
