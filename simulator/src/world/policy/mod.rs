//! Azure Policy, as far as it stands in the way of a write: definitions in Azure's own form, with the effects deny, modify,
//! append and audit.
//!
//! A definition is what `az policy definition show` says: `{"name", "properties": {"policyRule": {"if", "then"}}}`, or a
//! bare `policyRule` beside a name. Parameters are not known: a definition is written for its values. Fields are `type`,
//! `location`, `name`, `tags['x']` and aliases, with `[*]` for every row of a list, and `count` of them.
//!
//! Source: Microsoft's pages "Azure Policy definition structure" and "Understand Azure Policy effects".

mod field;
mod rule;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::field::Subject;
use super::World;
use super::errors::{Answer, ArmError};
use super::ids;

/// One definition, assigned to the whole subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    name: String,
    condition: Value,
    effect: Effect,
    details: Value,
}

/// What a policy does to a write that its condition describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Effect {
    Deny,
    Modify,
    Append,
    Audit,
}

/// Why a file of policies is not taken.
#[derive(Debug, thiserror::Error)]
#[error("policy {policy}: {what}")]
pub struct PolicyError {
    policy: String,
    what: String,
}

impl Policy {
    /// Reads a definition, or a list of them.
    pub fn read(file: &Value) -> Result<Vec<Self>, PolicyError> {
        match file {
            Value::Array(rows) => rows.iter().map(Self::read_one).collect(),
            one => Ok(vec![Self::read_one(one)?]),
        }
    }

    fn read_one(text: &Value) -> Result<Self, PolicyError> {
        let name = text["name"].as_str().unwrap_or("without a name").to_owned();
        let wrong = |what: String| PolicyError { policy: name.clone(), what };
        let rule = if text["policyRule"].is_object() {
            &text["policyRule"]
        } else {
            &text["properties"]["policyRule"]
        };
        let then = &rule["then"];
        let effect = then["effect"].as_str().unwrap_or_default().to_ascii_lowercase();
        let effect = serde_json::from_value(json!(effect)).map_err(|_| {
            wrong(format!("the effect '{effect}' is none of deny, modify, append, audit"))
        })?;
        rule::check(&rule["if"]).map_err(wrong)?;
        Ok(Self { name, condition: rule["if"].clone(), effect, details: then["details"].clone() })
    }
}

/// A write that a policy only wrote down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Name of the definition.
    pub policy: String,
    /// What was written.
    pub id: String,
}

impl World {
    /// Assigns policies to the subscription, after those that are there; one of the same name goes.
    pub fn assign(&mut self, policies: Vec<Policy>) {
        self.policies.retain(|old| policies.iter().all(|new| new.name != old.name));
        self.policies.extend(policies);
    }

    /// What policies wrote down.
    pub fn audited(&self) -> &[Audited] {
        &self.audited
    }

    /// Lets policies change a body that is about to be written, and refuse it: first what changes it, then what forbids.
    pub(crate) fn apply_policies(&mut self, rtype: &str, id: &str, body: &mut Value) -> Answer<()> {
        if self.policies.is_empty() {
            return Ok(());
        }
        let is_group = rtype == crate::providers::groups::GROUP.rtype;
        let rtype =
            if is_group { "Microsoft.Resources/subscriptions/resourceGroups" } else { rtype };
        let policies = self.policies.clone();
        let holds = |policy: &Policy, body: &Value| {
            rule::holds(&policy.condition, &Subject { rtype, name: ids::name_of(id), body })
        };
        for policy in policies.iter().filter(|policy| policy.effect == Effect::Append) {
            if holds(policy, body) {
                for row in policy.details.as_array().into_iter().flatten() {
                    field::append(
                        rtype,
                        body,
                        row["field"].as_str().unwrap_or_default(),
                        &row["value"],
                    );
                }
            }
        }
        for policy in policies.iter().filter(|policy| policy.effect == Effect::Modify) {
            if holds(policy, body) {
                for row in policy.details["operations"].as_array().into_iter().flatten() {
                    let name = row["field"].as_str().unwrap_or_default();
                    match row["operation"]
                        .as_str()
                        .unwrap_or_default()
                        .to_ascii_lowercase()
                        .as_str()
                    {
                        "remove" => field::set(rtype, body, name, None),
                        "add" => field::append(rtype, body, name, &row["value"]),
                        _ => field::set(rtype, body, name, Some(&row["value"])),
                    }
                }
            }
        }
        for policy in &policies {
            match policy.effect {
                Effect::Deny if holds(policy, body) => return Err(disallowed(&policy.name, id)),
                Effect::Audit if holds(policy, body) => {
                    let audited = Audited { policy: policy.name.clone(), id: id.to_owned() };
                    if !self.audited.contains(&audited) {
                        self.audited.push(audited);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn disallowed(policy: &str, id: &str) -> ArmError {
    let name = ids::name_of(id);
    let identifiers = json!([{
        "policyAssignment": {"name": policy, "id": format!("/providers/Microsoft.Authorization/policyAssignments/{policy}")},
        "policyDefinition": {"name": policy, "id": format!("/providers/Microsoft.Authorization/policyDefinitions/{policy}")},
    }]);
    ArmError::gateway(
        403,
        "RequestDisallowedByPolicy",
        format!("Resource '{name}' was disallowed by policy. Policy identifiers: '{identifiers}'."),
    )
}
