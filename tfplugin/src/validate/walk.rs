//! The walk of a schema's rules through a configuration.

use super::{Finding, Words, groups};
use crate::path::{Path, Step};
use crate::schema::{Attribute, Block, BlockNesting, Kind, Nesting, Schema};
use crate::value::Value;
use crate::{Diagnostic, Diagnostics};

/// Everything in a configuration that breaks a rule of the schema.
///
/// What [`crate::serve`] does before it asks the author; for tests and tools.
pub fn by_schema(schema: &Schema, config: &Value) -> Diagnostics {
    let mut walk = Walk::default();
    if config.is_set() {
        walk.block(&schema.block, config);
    }
    walk.found
}

#[derive(Default)]
struct Walk {
    path: Path,
    /// Whether an attribute around here is sensitive or never stored.
    in_secret: bool,
    found: Diagnostics,
}

impl Walk {
    fn within(&mut self, step: Step, action: impl FnOnce(&mut Self)) {
        self.path.push(step);
        action(self);
        self.path.pop();
    }

    fn block(&mut self, block: &Block, config: &Value) {
        for group in &block.groups {
            self.found.extend(groups::broken(group, config, &self.path));
        }
        self.attributes(&block.attributes, config);
        for nested in &block.blocks {
            let inner = config.get(&nested.name);
            let kind = match nested.nesting {
                BlockNesting::Single | BlockNesting::Group => Elements::One,
                BlockNesting::List | BlockNesting::Set | BlockNesting::Map => Elements::Many,
            };
            self.within(Step::Attribute(nested.name.clone()), |walk| {
                walk.elements(kind, inner, &|walk, object| walk.block(&nested.block, object));
            });
        }
    }

    fn attributes(&mut self, attributes: &[Attribute], config: &Value) {
        for attribute in attributes {
            let value = config.get(&attribute.name);
            self.within(Step::Attribute(attribute.name.clone()), |walk| {
                walk.attribute(attribute, value);
            });
        }
    }

    fn attribute(&mut self, attribute: &Attribute, value: &Value) {
        if !(attribute.required || attribute.optional || value.is_null()) {
            let path = &self.path;
            let detail = format!("`{path}` is decided by the provider. Remove it.");
            let error = Diagnostic::error("Attribute cannot be set", detail);
            self.found.push(error.at(path.clone()));
        }
        if let (Some(instead), false) = (&attribute.deprecated, value.is_null()) {
            let detail = format!("`{}` is deprecated. {instead}", self.path);
            let warning = Diagnostic::warning("Attribute is deprecated", detail);
            self.found.push(warning.at(self.path.clone()));
        }
        if !value.is_set() {
            return;
        }
        let around = self.in_secret;
        self.in_secret |= attribute.sensitive || attribute.write_only;
        for validator in &attribute.rules.validators {
            // A collection with unknown elements is judged when they are known, where it is judged as a whole.
            if value.is_wholly_known() || value.as_map().is_some() || !validator.needs_all_known() {
                for finding in validator.findings(value, &self.path) {
                    self.tell(finding);
                }
            }
        }
        if let Kind::Nested(nesting, attributes) = &attribute.kind {
            let kind = if *nesting == Nesting::Single { Elements::One } else { Elements::Many };
            self.elements(kind, value, &|walk, object| walk.attributes(attributes, object));
        }
        self.in_secret = around;
    }

    fn elements(&mut self, kind: Elements, value: &Value, visit: &dyn Fn(&mut Self, &Value)) {
        match (kind, value.plain()) {
            (_, Value::Null | Value::Unknown(_)) => {}
            (Elements::One, object) => visit(self, object),
            (Elements::Many, Value::List(objects)) => {
                for (position, object) in objects.iter().enumerate() {
                    self.within(crate::value::index(position), |walk| visit(walk, object));
                }
            }
            (Elements::Many, Value::Map(objects)) => {
                for (key, object) in objects {
                    self.within(Step::Key(key.clone()), |walk| visit(walk, object));
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, finding: Finding) {
        let Finding { path, words, value, is_warning } = finding;
        let have = match value.plain() {
            _ if self.in_secret => " The value is sensitive and not shown.".to_owned(),
            Value::String(text) => format!(" It is {text:?}."),
            Value::Number(number) => format!(" It is {number}."),
            Value::Bool(truth) => format!(" It is {truth}."),
            _ => String::new(),
        };
        let detail = match words {
            Words::Sentences { told, .. } if !self.in_secret => told,
            Words::Sentences { description: what, .. } | Words::MustBe(what) => {
                format!("`{path}` must be {what}.{have}")
            }
        };
        let summary = format!("Invalid {}", self.path);
        let told = if is_warning {
            Diagnostic::warning(summary, detail)
        } else {
            Diagnostic::error(summary, detail)
        };
        self.found.push(told.at(path));
    }
}

/// Whether a value is one object or holds several.
#[derive(Clone, Copy)]
enum Elements {
    One,
    Many,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Group, NestedBlock};
    use crate::validate::{each, items, length, range, text_rule, warn};

    fn told(config: &Value) -> Vec<String> {
        let disk = || [Attribute::number("size").required().validate(range(1..=9))];
        let schema = Schema::new(0)
            .attribute(Attribute::string("name").required().validate(length(2..)))
            .attribute(Attribute::string("key").optional().sensitive().validate(length(8..)))
            .attribute(Attribute::string("id").computed())
            .attribute(Attribute::nested_map("disks", disk()).optional())
            .block(NestedBlock::list(
                "part",
                Block::new()
                    .attributes([
                        Attribute::string("a").optional(),
                        Attribute::string("b").optional(),
                    ])
                    .group(Group::at_most_one(&["a", "b"])),
            ));
        let found = by_schema(&schema, config);
        found.iter().map(|each| each.detail.clone()).collect()
    }

    #[test]
    fn each_broken_rule_is_told_with_its_place_and_without_secrets() {
        let disks = Value::map([("x", Value::object([("size", Value::from(10))]))]);
        let part = Value::object([("a", Value::from("1")), ("b", Value::from("2"))]);
        let config = Value::object([
            ("name", Value::from("a")),
            ("key", Value::from("hunter2")),
            ("id", Value::unknown()),
            ("disks", disks),
            ("part", Value::list([Value::object([("a", Value::from("1"))]), part])),
        ]);
        assert_eq!(
            told(&config),
            [
                "`name` must be 2 or more characters long. It is \"a\".",
                "`key` must be 8 or more characters long. The value is sensitive and not shown.",
                "`id` is decided by the provider. Remove it.",
                "`disks[\"x\"].size` must be a whole number of 1 to 9. It is 10.",
                "Only one of `a`, `b` may be set, and `a`, `b` are.",
            ]
        );
    }

    #[test]
    fn elements_are_judged_one_by_one_and_what_is_inside_of_a_secret_is_secret() {
        let even = || text_rule("even", |text| Err(format!("{text:?} is odd.")));
        let inner = [Attribute::string("pin").optional().validate(even())];
        let schema = Schema::new(0)
            .attribute(
                Attribute::list("names", crate::Type::String)
                    .optional()
                    .validate(each(length(2..))),
            )
            .attribute(
                Attribute::list("odd", crate::Type::String).optional().validate(warn(each(even()))),
            )
            .attribute(Attribute::list("few", crate::Type::String).optional().validate(items(..=1)))
            .attribute(Attribute::nested_single("login", inner).optional().sensitive())
            .attribute(Attribute::string("old").optional().deprecated("Use names."));
        let texts = |texts: &[&str]| Value::list(texts.iter().map(|text| Value::from(*text)));
        let Value::List(mut names) = texts(&["a", "bc"]) else { panic!() };
        names.push(Value::unknown());
        let config = Value::object([
            ("names", Value::List(names.clone())),
            ("odd", texts(&["x"])),
            ("few", Value::List(names)),
            ("login", Value::object([("pin", Value::from("1234"))])),
            ("old", Value::from("x")),
        ]);
        let found = by_schema(&schema, &config);
        let told: Vec<String> = found
            .iter()
            .map(|each| {
                let path = each.path.as_ref().unwrap();
                format!("{:?} {path} {}: {}", each.severity, each.summary, each.detail)
            })
            .collect();
        assert_eq!(
            told,
            [
                "Error names[0] Invalid names: `names[0]` must be 2 or more characters long. It is \"a\".",
                "Warning odd[0] Invalid odd: \"x\" is odd.",
                "Error few Invalid few: `few` must be of at most 1 elements.",
                "Error login.pin Invalid login.pin: `login.pin` must be even. The value is sensitive and not shown.",
                "Warning old Attribute is deprecated: `old` is deprecated. Use names.",
            ]
        );
    }

    #[test]
    fn what_is_not_known_yet_is_not_judged() {
        let config = Value::object([("name", Value::unknown()), ("disks", Value::unknown())]);
        assert_eq!(told(&config), Vec::<String>::new());
        assert_eq!(told(&Value::unknown()), Vec::<String>::new());
    }
}
