//! Rules on several attributes of one block together.

use crate::schema::{Group, GroupKind};
use crate::value::Value;
use crate::{Diagnostic, Path};

/// What breaks a rule, told at the first attribute that is to blame.
pub(super) fn broken(group: &Group, config: &Value, at: &Path) -> Option<Diagnostic> {
    let all = group.names.iter();
    let set: Vec<&String> = all.clone().filter(|name| config.get(name).is_set()).collect();
    // What is unknown may turn out to be set or not: it can excuse, and cannot be blamed.
    let open = all.clone().filter(|name| config.get(name).is_unknown()).count();
    let quote = |names: &[&String]| {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let names = quote(&all.clone().collect::<Vec<_>>());
    let too_many = || format!("Only one of {names} may be set, and {} are.", quote(&set));
    let (summary, detail) = match group.kind {
        GroupKind::ExactlyOne | GroupKind::AtMostOne if set.len() > 1 => {
            ("Attributes exclude each other", too_many())
        }
        GroupKind::ExactlyOne | GroupKind::AtLeastOne if set.is_empty() && open == 0 => {
            let exactly = group.kind == GroupKind::ExactlyOne;
            let how = if exactly { "One" } else { "At least one" };
            ("Attribute is missing", format!("{how} of {names} must be set, and none is."))
        }
        GroupKind::Together if !set.is_empty() && set.len() + open < group.names.len() => {
            let lacking: Vec<&String> = all.filter(|name| config.get(name).is_null()).collect();
            let lacking = quote(&lacking);
            ("Attributes belong together", format!("{names} are set together; {lacking} is not."))
        }
        _ => return None,
    };
    let diagnostic = Diagnostic::error(summary, detail);
    match set.last().or(group.names.first().as_ref()) {
        Some(name) => Some(diagnostic.at(at.clone().attr(name.as_str()))),
        None => Some(diagnostic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(group: &Group, a: Value, b: Value) -> Option<String> {
        let config = Value::object([("a", a), ("b", b)]);
        broken(group, &config, &Path::empty()).map(|diagnostic| diagnostic.detail)
    }

    #[test]
    fn groups_count_what_is_set_and_excuse_what_is_unknown() {
        let (x, null, unknown) = (|| Value::from("x"), || Value::Null, Value::unknown);
        let names = ["a", "b"];
        let one = Group::exactly_one(&names);
        assert!(told(&one, x(), null()).is_none());
        assert!(told(&one, x(), x()).unwrap().contains("Only one of `a`, `b`"));
        assert!(told(&one, null(), null()).unwrap().contains("none is"));
        assert!(told(&one, unknown(), null()).is_none());
        assert!(told(&Group::at_most_one(&names), null(), null()).is_none());
        assert!(told(&Group::at_most_one(&names), x(), x()).is_some());
        assert!(told(&Group::at_least_one(&names), x(), x()).is_none());
        assert!(told(&Group::at_least_one(&names), null(), null()).is_some());
        let together = Group::together(&names);
        assert!(told(&together, x(), null()).unwrap().contains("`b` is not"));
        assert!(told(&together, x(), unknown()).is_none());
        assert!(told(&together, null(), null()).is_none());
    }
}
