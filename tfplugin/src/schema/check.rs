//! Checks of schemas, as strict as Terraform's own, so that a mistake is told by name at once.

use super::model::disagreements;
use super::{Attribute, Block, BlockNesting, Kind, NestedBlock, Nesting, Schema, Type};
use crate::path::Path;
use crate::value::conform;

/// Names that Terraform gives a meaning of its own at the root of a resource.
const RESERVED: [&str; 7] =
    ["connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioner"];

/// Everything that is wrong with a schema: the place and the problem. Empty when it is sound.
pub fn check(schema: &Schema) -> Vec<(Path, String)> {
    let mut findings = Findings::default();
    if schema.version < 0 {
        findings.add("the version is negative");
    }
    for name in names(&schema.block) {
        if RESERVED.contains(&name) {
            findings.inside(name, |findings| findings.add("the name is reserved by Terraform"));
        }
    }
    findings.block(&schema.block, Surroundings::default());
    findings
        .found
        .extend(schema.model.iter().flat_map(|model| disagreements(&schema.block, model)));
    findings.found
}

/// What the enclosing blocks and attributes forbid.
#[derive(Debug, Clone, Copy, Default)]
struct Surroundings {
    /// Inside a set, elements have no identity: nothing may be open or unsaved.
    in_set: bool,
    /// Inside blocks of which there may be many, types must agree.
    in_many_blocks: bool,
    /// Inside a list, elements are found again by position: what comes first shifts all others.
    in_list: bool,
}

#[derive(Default)]
struct Findings {
    path: Path,
    found: Vec<(Path, String)>,
}

impl Findings {
    fn add(&mut self, problem: impl Into<String>) {
        self.found.push((self.path.clone(), problem.into()));
    }

    fn inside(&mut self, name: &str, action: impl FnOnce(&mut Self)) {
        self.path.push(crate::path::Step::Attribute(name.to_owned()));
        action(self);
        self.path.pop();
    }

    fn names<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut seen = std::collections::BTreeSet::new();
        for name in names {
            let sound = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            self.inside(name, |findings| {
                if !sound {
                    findings.add("a name must be of a-z, 0-9 and _ and not begin with a digit");
                }
                if !seen.insert(name) {
                    findings.add("the name is used twice");
                }
            });
        }
    }

    fn block(&mut self, block: &Block, around: Surroundings) {
        self.names(names(block));
        for name in block.groups.iter().flat_map(|group| &group.names) {
            if !names(block).any(|own| own == name) {
                self.inside(name, |findings| {
                    findings.add("a group names it, and it is no attribute");
                });
            }
        }
        for attribute in &block.attributes {
            self.inside(&attribute.name, |findings| findings.attribute(attribute, around));
        }
        for nested in &block.blocks {
            self.inside(&nested.name, |findings| findings.nested_block(nested, around));
        }
    }

    fn nested_block(&mut self, nested: &NestedBlock, around: Surroundings) {
        let (min, max) = (nested.items_min, nested.items_max);
        match nested.nesting {
            BlockNesting::List | BlockNesting::Set if min >= 0 && max >= 0 => {
                if max > 0 && min > max {
                    self.add("fewest blocks are more than most blocks");
                }
            }
            _ if (min, max) == (0, 0) => {}
            BlockNesting::Single if (min, max) == (1, 1) => {}
            BlockNesting::List | BlockNesting::Set => self.add("the number of blocks is negative"),
            _ => self.add("the number of such blocks cannot be limited"),
        }
        let many = !matches!(nested.nesting, BlockNesting::Single | BlockNesting::Group);
        let in_list = self.is_unnamed(
            nested.nesting == BlockNesting::List,
            nested.identified_by.as_deref(),
            &nested.block.attributes,
        );
        self.block(
            &nested.block,
            Surroundings {
                in_set: around.in_set || nested.nesting == BlockNesting::Set,
                in_many_blocks: around.in_many_blocks || many,
                in_list,
            },
        );
    }

    fn attribute(&mut self, attribute: &Attribute, around: Surroundings) {
        self.flags(attribute, around);
        match &attribute.kind {
            Kind::Plain(ty) => self.plain(ty, around),
            Kind::Nested(nesting, attributes) => {
                if attributes.is_empty() {
                    self.add("a nested attribute needs attributes");
                }
                if attribute.write_only && attributes.iter().any(|inner| !inner.write_only) {
                    self.add("all attributes inside a write-only attribute must be write-only");
                }
                let around = Surroundings {
                    in_set: around.in_set || *nesting == Nesting::Set,
                    in_list: self.is_unnamed(
                        *nesting == Nesting::List,
                        attribute.rules.identified_by.as_deref(),
                        attributes,
                    ),
                    ..around
                };
                self.names(attributes.iter().map(|inner| inner.name.as_str()));
                for inner in attributes {
                    self.inside(&inner.name, |findings| findings.attribute(inner, around));
                }
            }
        }
    }

    /// Whether the elements of a list have no name by which they are found again; a name has to be one of their attributes.
    fn is_unnamed(&mut self, is_list: bool, by: Option<&str>, attributes: &[Attribute]) -> bool {
        if let Some(name) = by {
            if !is_list {
                self.add("only elements of a list are identified by an attribute");
            } else if !attributes.iter().any(|one| one.name == name && one.required) {
                self.add(format!(
                    "its elements are identified by `{name}`, which none has to have"
                ));
            }
        }
        is_list && by.is_none()
    }

    fn flags(&mut self, attribute: &Attribute, around: Surroundings) {
        match (attribute.required, attribute.optional, attribute.computed) {
            (false, false, false) => self.add("it must be required, optional or computed"),
            (true, true, _) => self.add("it cannot be both required and optional"),
            (true, _, true) => self.add("it cannot be both required and computed"),
            _ => {}
        }
        if attribute.rules.keeps_prior && around.in_list {
            self.add(
                "elements of a list are found again by their position, so a prior value may be another element's: say \
                 `identified_by` at the list, or do without `keeps_prior`",
            );
        }
        if attribute.write_only && attribute.rules.replaces.is_some() {
            self.add(
                "what is write-only is never stored, so no change of it is seen: it cannot replace",
            );
        }
        if attribute.rules.keeps_prior && !attribute.computed {
            self.add("only a computed attribute can keep its prior value");
        }
        if let Some(default) = &attribute.rules.default
            && let Err(error) = conform(default, &attribute.implied_type())
        {
            self.add(format!("its default does not fit: {error}"));
        }
        if attribute.write_only && attribute.computed {
            self.add("it cannot be both write-only and computed");
        }
        if attribute.write_only && around.in_set {
            self.add("a write-only attribute cannot stand inside a set");
        }
    }

    fn plain(&mut self, ty: &Type, around: Surroundings) {
        if has_set_of_dynamic(ty) || (around.in_set && ty.has_dynamic()) {
            self.add("a dynamic type cannot stand inside a set");
        }
        if around.in_many_blocks && ty.has_dynamic() {
            self.add("a dynamic type cannot stand inside repeated blocks; use a nested attribute");
        }
        if let Type::Object(attributes) = ty {
            self.names(attributes.keys().map(String::as_str));
        }
    }
}

fn names(block: &Block) -> impl Iterator<Item = &str> {
    let attributes = block.attributes.iter().map(|attribute| attribute.name.as_str());
    attributes.chain(block.blocks.iter().map(|nested| nested.name.as_str()))
}

fn has_set_of_dynamic(ty: &Type) -> bool {
    match ty {
        Type::Set(element) => element.has_dynamic(),
        Type::List(element) | Type::Map(element) => has_set_of_dynamic(element),
        Type::Object(attributes) => attributes.values().any(has_set_of_dynamic),
        Type::Tuple(elements) => elements.iter().any(has_set_of_dynamic),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(schema: &Schema) -> Vec<String> {
        check(schema).into_iter().map(|(path, problem)| format!("{path}: {problem}")).collect()
    }

    fn with(attribute: Attribute) -> Schema {
        Schema::new(0).attribute(attribute)
    }

    #[test]
    fn a_sound_schema_passes() {
        let schema = with(Attribute::string("name").required())
            .attribute(Attribute::number("size").optional().computed())
            .attribute(Attribute::string("secret").optional().write_only())
            .attribute(Attribute::dynamic("any").optional())
            .attribute(
                Attribute::nested_map("boxes", [Attribute::dynamic("any").optional()]).optional(),
            )
            .block(NestedBlock::single(
                "timeouts",
                Block::new().attribute(Attribute::string("create").optional()),
            ));
        assert_eq!(findings(&schema), Vec::<String>::new());
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = || Attribute::string("a");
        let many = |attribute| {
            Schema::new(0).block(NestedBlock::list("b", Block::new().attribute(attribute)))
        };
        let cases = [
            (Schema::new(-1), ": the version is negative"),
            (with(text()), "a: it must be required"),
            (with(text().required().optional()), "a: it cannot be both required and optional"),
            (with(text().required().computed()), "a: it cannot be both required and computed"),
            (with(text().optional().computed().write_only()), "a: it cannot be both write-only"),
            (with(Attribute::string("aB").required()), "aB: a name must be"),
            (with(Attribute::string("1a").required()), "1a: a name must be"),
            (with(Attribute::string("count").required()), "count: the name is reserved"),
            (with(text().required()).attribute(text().required()), "a: the name is used twice"),
            (with(text().optional().keeps_prior()), "a: only a computed attribute can keep"),
            (with(text().default(1)), "a: its default does not fit: a number where string"),
            (with(Attribute::nested_single("a", []).required()), "a: a nested attribute needs"),
            (
                with(Attribute::nested_set("a", [Attribute::dynamic("b").optional()]).required()),
                "a.b: a dynamic type cannot stand inside a set",
            ),
            (
                with(Attribute::set("a", Type::list(Type::Dynamic)).required()),
                "a: a dynamic type cannot stand inside a set",
            ),
            (
                with(Attribute::nested_set("a", [text().optional().write_only()]).required()),
                "a.a: a write-only attribute cannot stand inside a set",
            ),
            (
                with(Attribute::nested_single("a", [text().optional()]).optional().write_only()),
                "a: all attributes inside a write-only",
            ),
            (many(Attribute::dynamic("a").optional()), "b.a: a dynamic type cannot stand inside"),
            (
                Schema::new(0).block(NestedBlock::single("b", Block::new()).items(0, 3)),
                "b: the number of such blocks cannot be limited",
            ),
            (
                Schema::new(0).block(NestedBlock::list("b", Block::new()).items(3, 2)),
                "b: fewest blocks are more than most blocks",
            ),
        ];
        for (schema, expected) in cases {
            let findings = findings(&schema);
            assert!(
                findings.iter().any(|finding| finding.starts_with(expected)),
                "{expected:?} is not among {findings:?}"
            );
        }
    }
}
