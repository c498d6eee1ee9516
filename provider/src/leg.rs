//! Which half of what change an apply is: told by the private bytes of the plan.
//!
//! Terraform plans no destroy for a replacement: its destroy is given what was planned for the create that follows. A
//! destroy that stands alone is given what was planned for itself; so is the one that follows a create
//! (`create_before_destroy`), as it is planned within the apply.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tfplugin::Value;

/// What was planned, as private bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "plan", rename_all = "snake_case")]
enum Planned {
    /// A create, alone or as a half: with those inputs that were known and whose change makes another object.
    Create { fixed: BTreeMap<String, Option<String>> },
    /// A change in place.
    Update,
    /// A destroy that stands alone, or follows a create.
    Destroy,
}

/// What a destroy is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    /// It stands alone, or follows a create.
    Plain,
    /// A create of the same object follows.
    BeforeSame,
    /// A create of another object follows.
    BeforeOther,
}

fn bytes(planned: &Planned) -> Vec<u8> {
    serde_json::to_vec(planned).unwrap_or_default()
}

/// For the plan of a create with these inputs.
pub(crate) fn create(planned: &Value, fixed: &[&str]) -> Vec<u8> {
    let known = fixed.iter().filter(|name| !planned.get(name).is_unknown());
    let text = |name: &&str| planned.get(name).as_str().map(str::to_lowercase);
    let fixed = known.map(|name| ((*name).to_owned(), text(name))).collect();
    bytes(&Planned::Create { fixed })
}

/// For the plan of a change in place.
pub(crate) fn update() -> Vec<u8> {
    bytes(&Planned::Update)
}

/// For the plan of a destroy.
pub(crate) fn destroy() -> Vec<u8> {
    bytes(&Planned::Destroy)
}

/// What the destroy with these bytes is part of. Whatever is not understood stands alone: nothing is spared for a create
/// that may never come.
pub(crate) fn of_destroy(private: &[u8], prior: &Value, fixed: &[&str]) -> Leg {
    let Ok(Planned::Create { fixed: planned }) = serde_json::from_slice(private) else {
        return Leg::Plain;
    };
    let is_same =
        |name: &&str| planned.get(*name) == Some(&prior.get(name).as_str().map(str::to_lowercase));
    if fixed.iter().all(is_same) { Leg::BeforeSame } else { Leg::BeforeOther }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: [&str; 2] = ["name", "subnet_id"];

    fn value(name: impl Into<Value>) -> Value {
        Value::object([("name", name.into()), ("subnet_id", Value::Null)])
    }

    #[test]
    fn a_destroy_knows_what_it_is_part_of() {
        let prior = value("demo");
        let leg = |private: &[u8]| of_destroy(private, &prior, &FIXED);
        assert_eq!(leg(&create(&value("demo"), &FIXED)), Leg::BeforeSame);
        assert_eq!(leg(&create(&value("DEMO"), &FIXED)), Leg::BeforeSame);
        assert_eq!(leg(&create(&value("other"), &FIXED)), Leg::BeforeOther);
        assert_eq!(leg(&create(&value(Value::unknown()), &FIXED)), Leg::BeforeOther);
        for private in [destroy(), update(), vec![], b"{}".to_vec(), b"\xff".to_vec()] {
            assert_eq!(leg(&private), Leg::Plain);
        }
    }
}
