//! Plans that a schema declares: defaults, computed values, replacement.
//!
//! What Terraform proposes is the configuration with prior values where it leaves computed
//! attributes open. From there: defaults fill what is open; what only is spelled in another way stays as it is stored; if anything differs from the prior
//! state, what only the provider knows becomes unknown, unless it keeps its prior value; changes
//! that need a new object are told.

mod computed;
mod defaults;
mod elements;
pub mod equality;
mod modifiers;
mod replace;

use crate::oracle::equal;
use crate::schema::{Change, Schema, null_write_only};
use crate::value::Value;
use crate::{Path, PlanRequest, PlanResponse};

/// The plan that the rules of a schema give.
///
/// An author may take it as it is, which is what [`crate::Resource::plan`] does by default, or go
/// on from it.
pub fn by_schema(schema: &Schema, request: PlanRequest) -> PlanResponse {
    if request.is_destroy() {
        return PlanResponse::new(Value::Null);
    }
    let PlanRequest { prior, proposed: mut planned, config, .. } = request;
    // A proposal carries what is configured; neither a plan nor a state does.
    null_write_only(&mut planned, &schema.block);
    defaults::fill(&schema.block, &config, &mut planned);
    equality::keep_equal(schema, &prior, &mut planned);
    if !equal(&schema.implied_type(), &planned, &prior) {
        computed::mark(&schema.block, &prior, &config, &mut planned);
    }
    modifiers::apply(&schema.block, &prior, &config, &mut planned);
    let requires_replace = replaced(schema, &prior, &planned, &config);
    PlanResponse { requires_replace, ..PlanResponse::new(planned) }
}

/// Plans the defaults of a schema where the configuration sets nothing: for authors who plan by themselves.
pub fn fill_defaults(schema: &Schema, config: &Value, planned: &mut Value) {
    defaults::fill(&schema.block, config, planned);
}

/// The attributes whose change needs a new object: for authors who plan by themselves. None where nothing exists.
pub fn replaced(schema: &Schema, prior: &Value, planned: &Value, config: &Value) -> Vec<Path> {
    if prior.is_null() {
        return Vec::new();
    }
    replace::changes(&schema.block, Change { prior, planned, config })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attribute, Block, NestedBlock};

    fn schema() -> Schema {
        let disk = || {
            [
                Attribute::string("name").required().replaces(),
                Attribute::number("size").default(8),
                Attribute::string("path").computed().keeps_prior(),
                Attribute::string("serial").computed(),
            ]
        };
        Schema::new(0)
            .attribute(Attribute::string("id").computed().keeps_prior())
            .attribute(Attribute::string("revision").computed())
            .attribute(Attribute::string("name").required().replaces())
            .attribute(Attribute::string("note").default("none"))
            .attribute(Attribute::nested_map("disks", disk()).optional())
            .attribute(Attribute::nested_set("parts", disk()).optional())
            .block(
                NestedBlock::list("shelf", Block::new().attributes(disk())).identified_by("name"),
            )
    }

    fn config(name: &str, disk_size: Value) -> Value {
        let disk = Value::object([("name", Value::from("d")), ("size", disk_size)]);
        Value::object([
            ("name", Value::from(name)),
            ("disks", Value::map([("a", disk.clone())])),
            ("parts", Value::list([disk.clone()])),
            ("shelf", Value::list([disk])),
        ])
    }

    /// A state as a provider would have made it.
    fn made(name: &str, disk_size: i32) -> Value {
        let disk = Value::object([
            ("name", Value::from("d")),
            ("size", Value::from(disk_size)),
            ("path", Value::from("/p")),
            ("serial", Value::from("s")),
        ]);
        Value::object([
            ("id", Value::from("i")),
            ("revision", Value::from("r1")),
            ("name", Value::from(name)),
            ("note", Value::from("none")),
            ("disks", Value::map([("a", disk.clone())])),
            ("parts", Value::list([disk.clone()])),
            ("shelf", Value::list([disk])),
        ])
    }

    fn planned(prior: Value, config: Value, proposed: Value) -> PlanResponse {
        let request = PlanRequest { prior, proposed, config, ..PlanRequest::default() };
        by_schema(&schema(), request)
    }

    #[test]
    fn a_create_fills_defaults_and_leaves_the_rest_to_apply() {
        let config = config("a", Value::Null);
        let plan = planned(Value::Null, config.clone(), config);
        assert_eq!(plan.planned.get("note").as_str(), Some("none"));
        assert!(plan.planned.get("id").is_unknown());
        for path in [
            Path::root("disks").key("a"),
            Path::root("parts").index(0),
            Path::root("shelf").index(0),
        ] {
            let disk = plan.planned.at(&path);
            assert_eq!(disk.get("size").as_i64(), Some(8), "{path}");
            assert!(disk.get("path").is_unknown() && disk.get("serial").is_unknown(), "{path}");
        }
        assert!(plan.requires_replace.is_empty());
    }

    #[test]
    fn nothing_changed_plans_nothing() {
        let prior = made("a", 8);
        let plan = planned(prior.clone(), config("a", Value::Null), prior.clone());
        assert_eq!(plan.planned, prior);
    }

    #[test]
    fn a_change_keeps_what_is_for_good_and_opens_the_rest() {
        let prior = made("a", 8);
        let mut proposed = made("a", 9);
        proposed.set("parts", made("a", 8).get("parts").clone());
        let plan = planned(prior, config("a", 9.into()), proposed);
        assert_eq!(plan.planned.get("id").as_str(), Some("i"));
        assert!(plan.planned.get("revision").is_unknown());
        let disk = plan.planned.get("disks").get("a");
        assert_eq!(disk.get("path").as_str(), Some("/p"));
        assert!(disk.get("serial").is_unknown());
        // An element of a set that is as it was stays as it was.
        assert_eq!(plan.planned.get("parts"), made("a", 8).get("parts"));
        assert!(plan.requires_replace.is_empty());
    }

    #[test]
    fn a_named_element_keeps_its_own_wherever_it_stands() {
        let shelf = |name: &str, path: Value| {
            Value::object([
                ("name", Value::from(name)),
                ("size", Value::from(8)),
                ("path", path),
                ("serial", Value::from("s")),
            ])
        };
        let two = Value::list([shelf("a", "/a".into()), shelf("b", "/b".into())]);
        let prior = made("x", 8).with("shelf", two);
        let bare = |name: &str| Value::object([("name", Value::from(name))]);
        let config = config("x", 8.into()).with("shelf", Value::list(["new", "b"].map(bare)));
        // As Terraform proposes: by position.
        let proposed = prior
            .clone()
            .with("shelf", Value::list([shelf("new", "/a".into()), shelf("b", "/b".into())]));
        let plan = planned(prior, config, proposed).planned;
        let shelves = plan.get("shelf").as_list().unwrap().to_vec();
        assert!(shelves[0].get("path").is_unknown(), "it is new, and not the one that stood there");
        assert_eq!(shelves[1].get("path").as_str(), Some("/b"));
    }

    #[test]
    fn a_written_write_only_value_is_no_change() {
        let schema = Schema::new(0)
            .attribute(Attribute::string("name").required())
            .attribute(Attribute::string("revision").computed())
            .attribute(Attribute::string("secret").optional().write_only());
        let prior = Value::object([("name", Value::from("a")), ("revision", "r1".into())]);
        let config = Value::object([("name", Value::from("a")), ("secret", "s3cret".into())]);
        // Terraform leaves the configured value in the proposal.
        let proposed = prior.clone().with("secret", "s3cret");
        let request = PlanRequest { prior, proposed, config, ..PlanRequest::default() };
        let plan = by_schema(&schema, request);
        assert_eq!(plan.planned.get("revision").as_str(), Some("r1"));
        assert!(plan.planned.get("secret").is_null() && plan.requires_replace.is_empty());
    }

    #[test]
    fn a_change_that_needs_a_new_object_is_told_with_its_path() {
        let mut renamed = made("b", 8);
        let disk = made("a", 8).get("disks").get("a").clone().with("name", "e");
        renamed.set("disks", Value::map([("a", disk)]));
        let mut config = config("b", 8.into());
        let disk = Value::object([("name", Value::from("e")), ("size", Value::from(8))]);
        config.set("disks", Value::map([("a", disk)]));
        let plan = planned(made("a", 8), config, renamed);
        let paths = [Path::root("name"), Path::root("disks").key("a").attr("name")];
        assert_eq!(plan.requires_replace, paths);
    }

    #[test]
    fn an_unknown_configuration_stays_unknown() {
        let config = config("a", Value::unknown()).with("disks", Value::unknown());
        let plan = planned(made("a", 8), config.clone(), config);
        assert!(plan.planned.get("disks").is_unknown());
        assert!(plan.planned.get("shelf").at(&Path::empty().index(0)).get("size").is_unknown());
    }
}
