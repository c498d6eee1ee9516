//! The validators that every provider needs.

use std::ops::{Bound, RangeBounds};

use super::{Finding, Validator};
use crate::path::{Path, Step};
use crate::value::{Value, index};

/// A check from a description and a function.
struct Check<F> {
    description: String,
    accepts: F,
}

impl<F: Fn(&Value) -> bool + Send + Sync> Validator for Check<F> {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn accepts(&self, value: &Value) -> bool {
        (self.accepts)(value)
    }
}

/// A check of one's own: what a value must be, and whether it is.
pub fn check(
    description: impl Into<String>,
    accepts: impl Fn(&Value) -> bool + Send + Sync + 'static,
) -> impl Validator {
    Check { description: description.into(), accepts }
}

/// A check of texts: what a text must be, and whether it is.
pub fn matches(
    description: impl Into<String>,
    accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> impl Validator {
    check(description, move |value| value.as_str().is_some_and(&accepts))
}

/// A check of one's own that says what is wrong in sentences of its own; the description is told in their place where the
/// value is secret.
pub fn rule(
    description: impl Into<String>,
    judge: impl Fn(&Value) -> Result<(), String> + Send + Sync + 'static,
) -> impl Validator {
    Rule { description: description.into(), judge }
}

/// The same for texts.
pub fn text_rule(
    description: impl Into<String>,
    judge: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
) -> impl Validator {
    let description = description.into();
    let otherwise = description.clone();
    rule(description, move |value| match value.as_str() {
        Some(text) => judge(text),
        None => Err(format!("It must be {otherwise}.")),
    })
}

struct Rule<F> {
    description: String,
    judge: F,
}

impl<F: Fn(&Value) -> Result<(), String> + Send + Sync> Validator for Rule<F> {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn accepts(&self, value: &Value) -> bool {
        (self.judge)(value).is_ok()
    }

    fn findings(&self, value: &Value, at: &Path) -> Vec<Finding> {
        let Err(told) = (self.judge)(value) else { return Vec::new() };
        vec![Finding::says(at.clone(), told, &self.description, value)]
    }
}

/// A check whose findings are warnings: the value can stay.
pub fn warn(validator: impl Validator + 'static) -> impl Validator {
    Warn(validator)
}

struct Warn<V>(V);

impl<V: Validator> Validator for Warn<V> {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn accepts(&self, value: &Value) -> bool {
        self.0.accepts(value)
    }

    fn complain(&self, value: &Value) -> String {
        self.0.complain(value)
    }

    fn findings(&self, value: &Value, at: &Path) -> Vec<Finding> {
        let found = self.0.findings(value, at).into_iter();
        found.map(|finding| Finding { is_warning: true, ..finding }).collect()
    }

    fn needs_all_known(&self) -> bool {
        self.0.needs_all_known()
    }
}

/// A text with a number of characters in a range.
pub fn length(range: impl RangeBounds<usize> + Send + Sync + 'static) -> impl Validator {
    let description = format!("{} characters long", words(&range));
    matches(description, move |text| range.contains(&text.chars().count()))
}

/// A collection with a number of elements in a range.
pub fn items(range: impl RangeBounds<usize> + Send + Sync + 'static) -> impl Validator {
    let description = format!("of {} elements", words(&range));
    Parts(check(description, move |value| {
        let list = value.as_list().map(<[Value]>::len);
        let count = list.or_else(|| value.as_map().map(std::collections::BTreeMap::len));
        count.is_some_and(|count| range.contains(&count))
    }))
}

/// A check that can do without what is not known of a collection's elements.
struct Parts<V>(V);

impl<V: Validator> Validator for Parts<V> {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn accepts(&self, value: &Value) -> bool {
        self.0.accepts(value)
    }

    fn needs_all_known(&self) -> bool {
        false
    }
}

/// A whole number in a range.
pub fn range(range: impl RangeBounds<i64> + Send + Sync + 'static) -> impl Validator {
    let description = format!("a whole number of {}", words(&range));
    check(description, move |value| value.as_i64().is_some_and(|number| range.contains(&number)))
}

/// One of some texts.
pub fn one_of<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> impl Validator {
    let texts: Vec<String> = texts.into_iter().map(Into::into).collect();
    let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    let description = match quoted.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => quoted.join(""),
    };
    matches(description, move |text| texts.iter().any(|allowed| allowed == text))
}

/// A collection whose every element passes.
pub fn each(element: impl Validator + 'static) -> impl Validator {
    Each(element)
}

struct Each<V>(V);

impl<V: Validator> Validator for Each<V> {
    fn describe(&self) -> String {
        format!("a collection whose elements are {}", self.0.describe())
    }

    fn accepts(&self, value: &Value) -> bool {
        self.findings(value, &Path::empty()).is_empty()
    }

    fn findings(&self, value: &Value, at: &Path) -> Vec<Finding> {
        let is_known = |element: &Value| element.is_wholly_known() || !self.0.needs_all_known();
        let judged = |step: Step, element: &Value| {
            if !element.is_set() || !is_known(element) {
                return Vec::new();
            }
            let mut at = at.clone();
            at.push(step);
            self.0.findings(element, &at)
        };
        match value.plain() {
            Value::List(elements) => {
                let all = elements.iter().enumerate();
                all.flat_map(|(position, element)| judged(index(position), element)).collect()
            }
            Value::Map(elements) => elements
                .iter()
                .flat_map(|(key, element)| judged(Step::Key(key.clone()), element))
                .collect(),
            _ => vec![Finding::must_be(at.clone(), self.describe(), value)],
        }
    }

    fn needs_all_known(&self) -> bool {
        false
    }
}

/// A map whose every key passes.
pub fn keys(key: impl Validator + 'static) -> impl Validator {
    let description = format!("a map whose keys are {}", key.describe());
    Parts(check(description, move |value| {
        let keys = value.as_map().into_iter().flat_map(|elements| elements.keys());
        keys.map(Value::from).all(|name| key.accepts(&name))
    }))
}

/// A value that passes both; chains of them say only what is wrong.
pub fn all(first: impl Validator + 'static, second: impl Validator + 'static) -> impl Validator {
    All(first, second)
}

struct All<A, B>(A, B);

impl<A: Validator, B: Validator> Validator for All<A, B> {
    fn describe(&self) -> String {
        format!("{} and {}", self.0.describe(), self.1.describe())
    }

    fn accepts(&self, value: &Value) -> bool {
        self.0.accepts(value) && self.1.accepts(value)
    }

    fn complain(&self, value: &Value) -> String {
        match (self.0.accepts(value), self.1.accepts(value)) {
            (false, true) => self.0.complain(value),
            (true, false) => self.1.complain(value),
            _ => format!("{} and {}", self.0.complain(value), self.1.complain(value)),
        }
    }
}

/// A value that passes one of two at least.
pub fn any(first: impl Validator + 'static, second: impl Validator + 'static) -> impl Validator {
    let description = format!("{}, or {}", first.describe(), second.describe());
    check(description, move |value| first.accepts(value) || second.accepts(value))
}

/// A value that does not pass.
pub fn not(unwanted: impl Validator + 'static) -> impl Validator {
    let description = format!("anything but {}", unwanted.describe());
    check(description, move |value| !unwanted.accepts(value))
}

/// A range in words.
fn words<T: std::fmt::Display + PartialEq>(range: &impl RangeBounds<T>) -> String {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(min), Bound::Included(max)) if min == max => format!("exactly {min}"),
        (Bound::Included(min), Bound::Included(max)) => format!("{min} to {max}"),
        (Bound::Included(min), Bound::Excluded(max)) => format!("{min} or more, below {max}"),
        (Bound::Included(min), Bound::Unbounded) => format!("{min} or more"),
        (Bound::Unbounded, Bound::Included(max)) => format!("at most {max}"),
        (Bound::Unbounded, Bound::Excluded(max)) => format!("below {max}"),
        (Bound::Excluded(min), _) => format!("more than {min}"),
        (Bound::Unbounded, Bound::Unbounded) => "any number".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_validator_says_what_it_accepts() {
        let list = |texts: &[&str]| Value::list(texts.iter().map(|text| Value::from(*text)));
        let cases: [(Box<dyn Validator>, Value, Value, &str); 9] = [
            (Box::new(length(2..=3)), "äöü".into(), "a".into(), "2 to 3 characters long"),
            (Box::new(range(1..=5)), 5.into(), 1.5.into(), "a whole number of 1 to 5"),
            (Box::new(one_of(["a", "b", "c"])), "c".into(), "d".into(), r#""a", "b" or "c""#),
            (Box::new(items(1..)), list(&["a"]), list(&[]), "of 1 or more elements"),
            (
                Box::new(each(length(1..=1))),
                list(&["a"]),
                list(&["a", "bc"]),
                "a collection whose elements are exactly 1 characters long",
            ),
            (
                Box::new(keys(length(..2))),
                Value::map([("a", Value::Null)]),
                Value::map([("ab", Value::Null)]),
                "a map whose keys are below 2 characters long",
            ),
            (Box::new(any(one_of(["no"]), length(3..))), "no".into(), "x".into(), "\"no\", or 3"),
            (Box::new(not(one_of(["root"]))), "me".into(), "root".into(), "anything but \"root\""),
            (Box::new(all(length(2..), length(..=3))), "ab".into(), "abcd".into(), "2 or more"),
        ];
        for (validator, good, bad, description) in cases {
            let described = validator.describe();
            assert!(described.starts_with(description), "{described}");
            assert!(validator.accepts(&good), "{described}: {good:?}");
            assert!(!validator.accepts(&bad), "{described}: {bad:?}");
        }
    }

    #[test]
    fn of_two_rules_only_the_broken_one_is_told() {
        let both = all(length(2..=3), one_of(["ab", "abcd"]));
        assert_eq!(both.complain(&"abcd".into()), "2 to 3 characters long");
        assert_eq!(both.complain(&"xy".into()), "\"ab\" or \"abcd\"");
    }
}
