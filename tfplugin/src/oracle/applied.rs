//! What may become of a planned value.

use super::{Rule, Violation};
use crate::path::{Path, Step};
use crate::schema::Type;
use crate::value::{Bound, Refinement, Value, index};

/// Judges a value against what was planned for it.
///
/// What was known must be the same; what was unknown may become anything that keeps its promises;
/// lists keep their length, maps their keys, and the elements of a set go with each other.
pub fn compatible(ty: &Type, planned: &Value, actual: &Value) -> Vec<Violation> {
    let mut judge = Judge { path: Path::empty(), found: Vec::new() };
    judge.value(ty, planned, actual);
    judge.found
}

struct Judge {
    path: Path,
    found: Vec<Violation>,
}

impl Judge {
    fn broken(&mut self, message: impl Into<String>) {
        self.found.push(Violation::new(Rule::PlanBroken, &self.path, message));
    }

    fn within(&mut self, step: Step, action: impl FnOnce(&mut Self)) {
        self.path.push(step);
        action(self);
        self.path.pop();
    }

    fn value(&mut self, ty: &Type, planned: &Value, actual: &Value) {
        if let (Value::Typed(planned), Value::Typed(actual)) = (planned, actual) {
            if planned.ty != actual.ty && !planned.value.is_unknown() {
                self.broken(format!("planned as {}, and became {}", planned.ty, actual.ty));
                return;
            }
            self.value(&actual.ty, &planned.value, &actual.value);
            return;
        }
        match (planned.plain(), actual.plain()) {
            (Value::Unknown(promise), actual) => {
                if let Some(problem) = breaks(promise, actual) {
                    self.broken(problem);
                }
            }
            (_, Value::Unknown(_)) => self.broken("was known in the plan, and is unknown now"),
            (Value::Null, Value::Null) => {}
            (Value::Null, _) => self.broken("was planned as null, and has a value now"),
            (_, Value::Null) => self.broken("was planned with a value, and is null now"),
            (Value::List(planned), Value::List(actual)) => self.list(ty, planned, actual),
            (Value::Map(_), Value::Map(_)) => self.map(ty, planned, actual),
            (planned, actual) if planned == actual => {}
            _ => self.broken("was planned as one value, and is another now"),
        }
    }

    fn list(&mut self, ty: &Type, planned: &[Value], actual: &[Value]) {
        if let Type::Set(element) = ty {
            let go =
                |planned: &Value, actual: &Value| compatible(element, planned, actual).is_empty();
            let lost =
                planned.iter().any(|planned| !actual.iter().any(|actual| go(planned, actual)));
            let stray =
                actual.iter().any(|actual| !planned.iter().any(|planned| go(planned, actual)));
            if lost || stray {
                self.broken("the elements of the set do not go with the planned ones");
            }
            return;
        }
        if planned.len() != actual.len() {
            let (planned, actual) = (planned.len(), actual.len());
            self.broken(format!("{planned} elements were planned, and there are {actual}"));
            return;
        }
        for (position, (planned, actual)) in planned.iter().zip(actual).enumerate() {
            let ty = match ty {
                Type::List(element) => element,
                Type::Tuple(types) => types.get(position).unwrap_or(&Type::Dynamic),
                _ => &Type::Dynamic,
            };
            self.within(index(position), |judge| judge.value(ty, planned, actual));
        }
    }

    fn map(&mut self, ty: &Type, planned: &Value, actual: &Value) {
        if let Type::Object(types) = ty {
            for (name, ty) in types {
                let (planned, actual) = (planned.get(name), actual.get(name));
                let step = Step::Attribute(name.clone());
                self.within(step, |judge| judge.value(ty, planned, actual));
            }
            return;
        }
        let Type::Map(element) = ty else { return };
        let keys = |value: &Value| -> Vec<String> {
            value.as_map().into_iter().flat_map(|all| all.keys().cloned()).collect()
        };
        if keys(planned) != keys(actual) {
            self.broken("the keys of the map are not the planned ones");
            return;
        }
        for key in keys(planned) {
            let (planned, actual) = (planned.get(&key), actual.get(&key));
            self.within(Step::Key(key.clone()), |judge| judge.value(element, planned, actual));
        }
    }
}

/// How a value breaks a promise, if it does.
fn breaks(promise: &Refinement, actual: &Value) -> Option<String> {
    if actual.is_unknown() {
        return None;
    }
    if actual.is_null() {
        return (promise.null == Some(false)).then(|| "was promised not to be null".to_owned());
    }
    if promise.null == Some(true) {
        return Some("was promised to be null".to_owned());
    }
    if let (Some(prefix), Some(text)) = (&promise.string_prefix, actual.as_str())
        && !text.starts_with(prefix.as_str())
    {
        return Some(format!("was promised to begin with {prefix:?}"));
    }
    if let Some(number) = actual.as_number() {
        let within = |bound: &Option<Bound>, order: std::cmp::Ordering| {
            bound.as_ref().is_none_or(|bound| {
                let comparison = number.as_f64().total_cmp(&bound.value.as_f64());
                comparison == order || (bound.inclusive && *number == bound.value)
            })
        };
        if !within(&promise.number_min, std::cmp::Ordering::Greater)
            || !within(&promise.number_max, std::cmp::Ordering::Less)
        {
            return Some("is outside of the promised range".to_owned());
        }
    }
    let count = actual.as_list().map(<[Value]>::len);
    let count = count.or_else(|| actual.as_map().map(std::collections::BTreeMap::len));
    let count = i64::try_from(count?).ok()?;
    let outside = promise.length_min.is_some_and(|min| count < min)
        || promise.length_max.is_some_and(|max| count > max);
    outside.then(|| format!("has {count} elements, which is not what was promised"))
}
