//! Rules on plans.

use super::equal::equal;
use super::state::{conforms, write_only_null};
use super::{Rule, Violation};
use crate::path::{Path, Step};
use crate::schema::{Attribute, Block, BlockNesting, Kind, NestedBlock, Nesting, Schema, Type};
use crate::value::{Value, index};
use crate::{PlanRequest, PlanResponse};

/// Judges a plan.
///
/// A destroy is planned as null. Otherwise the plan exists exactly if the configuration does; an
/// attribute is planned as configured, or as it was if it was and is configured; only a computed
/// one that the configuration leaves open is the provider's to choose; blocks and elements are
/// those of the configuration; write-only values are null.
pub fn plan(schema: &Schema, request: &PlanRequest, response: &PlanResponse) -> Vec<Violation> {
    let (planned, config) = (&response.planned, &request.config);
    let mut judge = Judge::default();
    if request.is_destroy() {
        if !planned.is_null() {
            judge.add(Rule::DestroyPlanned, "a destroy must be planned as null");
        }
        return judge.found;
    }
    if let Some(misfit) = conforms(schema, planned) {
        return vec![misfit];
    }
    judge.found.extend(write_only_null(schema, planned));
    judge.block(&schema.block, &request.prior, config, planned);
    for path in &response.requires_replace {
        judge.replace_path(schema, path, &request.prior, planned);
    }
    judge.found
}

#[derive(Default)]
struct Judge {
    path: Path,
    found: Vec<Violation>,
}

impl Judge {
    fn add(&mut self, rule: Rule, message: impl Into<String>) {
        self.found.push(Violation::new(rule, &self.path, message));
    }

    fn within(&mut self, step: Step, action: impl FnOnce(&mut Self)) {
        self.path.push(step);
        action(self);
        self.path.pop();
    }

    /// Whether something is planned exactly if it is configured; deeper rules apply if so.
    fn exists(&mut self, config: &Value, planned: &Value) -> bool {
        match (config.is_null(), planned.is_null()) {
            (false, true) => {
                self.add(
                    Rule::ElementsChanged,
                    "planned as absent, and the configuration wants it",
                );
            }
            (true, false) => {
                self.add(Rule::ElementsChanged, "planned, and the configuration does not want it");
            }
            _ => {}
        }
        config.is_set() && planned.is_set()
    }

    fn block(&mut self, block: &Block, prior: &Value, config: &Value, planned: &Value) {
        if !self.exists(config, planned) {
            return;
        }
        self.attributes(&block.attributes, prior, config, planned);
        for nested in &block.blocks {
            let name = &nested.name;
            let (prior, config, planned) = (prior.get(name), config.get(name), planned.get(name));
            self.within(Step::Attribute(name.clone()), |judge| {
                judge.blocks(nested, prior, config, planned);
            });
        }
    }

    fn blocks(&mut self, nested: &NestedBlock, prior: &Value, config: &Value, planned: &Value) {
        let inner = |judge: &mut Self, prior: &Value, config: &Value, planned: &Value| {
            judge.block(&nested.block, prior, config, planned);
        };
        if config.is_unknown() {
            return;
        }
        match nested.nesting {
            BlockNesting::Single | BlockNesting::Group => inner(self, prior, config, planned),
            _ if !planned.is_set() => {
                self.add(Rule::ElementsChanged, "no blocks are planned as empty, never as null");
            }
            BlockNesting::List => self.list(prior, config, planned, &inner),
            BlockNesting::Map => self.map(prior, config, planned, &inner),
            BlockNesting::Set => self.set(config, planned, &|config, planned| {
                let mut judge = Self::default();
                judge.block(&nested.block, &Value::Null, config, planned);
                judge.found.is_empty()
            }),
        }
    }

    fn attributes(
        &mut self,
        attributes: &[Attribute],
        prior: &Value,
        config: &Value,
        planned: &Value,
    ) {
        for attribute in attributes {
            let name = &attribute.name;
            let (prior, config, planned) = (prior.get(name), config.get(name), planned.get(name));
            self.within(Step::Attribute(name.clone()), |judge| {
                judge.attribute(attribute, prior, config, planned);
            });
        }
    }

    fn attribute(&mut self, attribute: &Attribute, prior: &Value, config: &Value, planned: &Value) {
        let ty = attribute.implied_type();
        let kept = !prior.is_null() && !config.is_null() && equal(&ty, planned, prior);
        if attribute.write_only || equal(&ty, planned, config) || kept {
            return;
        }
        if config.is_null() {
            if !attribute.computed {
                let message = "planned with a value, and only the configuration can set it";
                self.add(Rule::ValueInvented, message);
            }
            return;
        }
        match &attribute.kind {
            Kind::Nested(nesting, attributes) if planned.is_set() && config.is_set() => {
                self.nested(*nesting, attributes, prior, config, planned);
            }
            _ if planned.is_unknown() && !config.is_unknown() => {
                self.add(Rule::KnownMadeUnknown, "planned as unknown, and it is configured");
            }
            _ => {
                let message = "planned as neither what is configured nor what it was";
                self.add(Rule::ConfigIgnored, message);
            }
        }
    }

    fn nested(
        &mut self,
        nesting: Nesting,
        attributes: &[Attribute],
        prior: &Value,
        config: &Value,
        planned: &Value,
    ) {
        let inner = |judge: &mut Self, prior: &Value, config: &Value, planned: &Value| {
            if judge.exists(config, planned) {
                judge.attributes(attributes, prior, config, planned);
            }
        };
        match nesting {
            Nesting::Single => inner(self, prior, config, planned),
            Nesting::List => self.list(prior, config, planned, &inner),
            Nesting::Map => self.map(prior, config, planned, &inner),
            Nesting::Set => self.set(config, planned, &|config, planned| {
                let mut judge = Self::default();
                inner(&mut judge, &Value::Null, config, planned);
                judge.found.is_empty()
            }),
        }
    }

    fn list(&mut self, prior: &Value, config: &Value, planned: &Value, inner: &Inner<'_, Self>) {
        let all = |value: &Value| value.as_list().unwrap_or_default().to_vec();
        let (before, config, planned) = (all(prior), all(config), all(planned));
        if config.len() != planned.len() {
            let (wanted, have) = (config.len(), planned.len());
            self.add(Rule::ElementsChanged, format!("{have} planned, and {wanted} configured"));
            return;
        }
        for (position, (config, planned)) in config.iter().zip(&planned).enumerate() {
            let prior = before.get(position).unwrap_or(&Value::Null);
            self.within(index(position), |judge| inner(judge, prior, config, planned));
        }
    }

    fn map(&mut self, prior: &Value, config: &Value, planned: &Value, inner: &Inner<'_, Self>) {
        let keys = |value: &Value| -> Vec<String> {
            value.as_map().into_iter().flat_map(|all| all.keys().cloned()).collect()
        };
        if keys(config) != keys(planned) {
            self.add(Rule::ElementsChanged, "the planned keys are not the configured ones");
            return;
        }
        for key in keys(config) {
            let (prior, config, planned) = (prior.get(&key), config.get(&key), planned.get(&key));
            self.within(Step::Key(key.clone()), |judge| inner(judge, prior, config, planned));
        }
    }

    /// Every planned element goes with a configured one, and the other way round.
    fn set(&mut self, config: &Value, planned: &Value, go: &dyn Fn(&Value, &Value) -> bool) {
        let config = config.as_list().unwrap_or_default();
        let planned = planned.as_list().unwrap_or_default();
        let stray = planned.iter().any(|planned| !config.iter().any(|config| go(config, planned)));
        let lost = config.iter().any(|config| !planned.iter().any(|planned| go(config, planned)));
        if stray || lost {
            let message = "the planned elements of the set are not the configured ones";
            self.add(Rule::ElementsChanged, message);
        }
    }

    fn replace_path(&mut self, schema: &Schema, path: &Path, prior: &Value, planned: &Value) {
        if prior.is_null() {
            return;
        }
        let exists =
            [prior, planned].iter().any(|root| reaches(&schema.implied_type(), root, path));
        if !exists {
            let message = "a replacement names a path that is not there, or leads into a set";
            self.found.push(Violation::new(Rule::ReplacePath, path, message));
        }
    }
}

type Inner<'a, J> = dyn Fn(&mut J, &Value, &Value, &Value) + 'a;

/// Whether a path can be followed in a value; nothing can inside a set.
fn reaches(ty: &Type, value: &Value, path: &Path) -> bool {
    let mut here = (ty.clone(), value.clone());
    for step in path.steps() {
        let (ty, value) = here;
        here = match (ty, step) {
            (Type::Object(types), Step::Attribute(name)) => match types.get(name) {
                Some(ty) if value.as_map().is_some() => (ty.clone(), value.get(name).clone()),
                _ => return false,
            },
            (Type::Map(element), Step::Key(key)) => {
                match value.as_map().and_then(|elements| elements.get(key)) {
                    Some(value) => (*element, value.clone()),
                    None => return false,
                }
            }
            (Type::List(element), Step::Index(position)) => {
                let position = usize::try_from(*position).ok();
                match position.and_then(|position| value.as_list()?.get(position)) {
                    Some(value) => (*element, value.clone()),
                    None => return false,
                }
            }
            _ => return false,
        };
    }
    true
}
