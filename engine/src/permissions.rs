//! What the caller may do somewhere, as Resource Manager sees it: all roles that reach the scope, whoever gave them.
//!
//! Fact: `Permissions_ListForResourceGroup` and `Permissions_ListForResource` (Microsoft's definitions, 2022-04-01) answer
//! with the actions of each role that the caller holds at the scope; the portal asks the same of subscriptions. A role's
//! `notActions` take away from that role alone.

use hcs_planner::arm::ArmId;
use serde_json::Value;

use crate::arm::Arm;
use crate::error::EngineError;

const API_VERSION: &str = "2022-04-01";

/// What each role at a scope allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(Vec<Role>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Role {
    actions: Vec<String>,
    not_actions: Vec<String>,
}

impl Permissions {
    /// Reads those of the caller; whoever may not even ask has none. `None` where there is no such scope, or it is not
    /// asked so: of subscriptions Microsoft's definitions say nothing.
    pub async fn read(arm: &Arm, scope: &ArmId) -> Result<Option<Self>, EngineError> {
        let path = format!(
            "{scope}/providers/Microsoft.Authorization/permissions?api-version={API_VERSION}"
        );
        let denied =
            |error: &EngineError| matches!(error, EngineError::Arm(error) if error.status == 403);
        let rows = match arm.get_path(&path).await {
            Ok(None) => return Ok(None),
            Ok(Some(body)) if body.get("nextLink").is_none() => {
                body.get("value").and_then(Value::as_array).cloned().unwrap_or_default()
            }
            Ok(Some(_)) => arm.list(&path).await?,
            Err(error) if denied(&error) => vec![],
            Err(error) => return Err(error),
        };
        Ok(Some(Self(rows.iter().map(Role::of).collect())))
    }

    /// Whether one of the roles allows it.
    pub fn allow(&self, action: &str) -> bool {
        self.0.iter().any(|role| {
            let holds = |patterns: &[String]| patterns.iter().any(|one| matches(one, action));
            holds(&role.actions) && !holds(&role.not_actions)
        })
    }
}

impl Role {
    fn of(row: &Value) -> Self {
        let texts = |key: &str| {
            let texts = row.get(key).and_then(Value::as_array).into_iter().flatten();
            texts.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self { actions: texts("actions"), not_actions: texts("notActions") }
    }
}

/// A star stands for any text, slashes as well; case does not count.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == action };
    let Some(mut rest) = action.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = tail.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_are_those_of_roles() {
        let rows = [
            ("*", "Microsoft.Compute/virtualMachineScaleSets/write", true),
            ("*/read", "Microsoft.Network/virtualNetworks/read", true),
            ("*/read", "Microsoft.Network/virtualNetworks/write", false),
            ("Microsoft.Network/*", "microsoft.network/loadbalancers/write", true),
            ("Microsoft.Network/*", "Microsoft.Compute/disks/write", false),
            ("Microsoft.Authorization/*/Write", "Microsoft.Authorization/locks/write", true),
            ("Microsoft.Authorization/*/Write", "Microsoft.Authorization/locks/writer", false),
            ("*/a/*/read", "x/a/b/read", true),
            ("*/a/*/read", "x/b/read", false),
            ("Microsoft.Compute/disks/read", "Microsoft.Compute/disks/read", true),
            ("Microsoft.Compute/disks", "Microsoft.Compute/disks/read", false),
        ];
        for (pattern, action, expected) in rows {
            assert_eq!(matches(pattern, action), expected, "{pattern} {action}");
        }
    }

    #[test]
    fn what_one_role_leaves_out_another_may_give() {
        let contributor =
            json!({ "actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"] });
        let administrator = json!({ "actions": ["*/read", "Microsoft.Authorization/*"] });
        let lock = "Microsoft.Authorization/locks/write";
        assert!(!Permissions(vec![Role::of(&contributor)]).allow(lock));
        let both = Permissions([contributor, administrator].iter().map(Role::of).collect());
        assert!(both.allow(lock) && both.allow("Microsoft.Compute/disks/write"));
        assert!(!Permissions::default().allow("Microsoft.Compute/disks/read"));
    }
}
