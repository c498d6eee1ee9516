//! A provider that keeps whatever its schema describes, in memory, as it should.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;

use crate::plan::by_schema;
use crate::schema::{Schema, Type, null_write_only};
use crate::value::Value;
use crate::{
    ApplyRequest, ApplyResponse, Context, Diagnostic, ImportRequest, ImportResponse, PlanRequest,
    PlanResponse, ReadRequest, ReadResponse, Resource,
};

/// Objects by id.
pub(super) struct Keeper {
    schema: Schema,
    objects: Mutex<BTreeMap<String, Value>>,
}

impl Keeper {
    pub(super) fn new(schema: Schema) -> Self {
        Self { schema, objects: Mutex::default() }
    }
}

/// A value with something known in place of every unknown.
pub(super) fn settle(ty: &Type, value: &Value, count: &mut u32) -> Value {
    match (ty, value) {
        (_, Value::Typed(typed)) => {
            Value::typed(typed.ty.clone(), settle(&typed.ty, &typed.value, count))
        }
        (_, Value::Unknown(_)) => {
            *count += 1;
            match ty {
                Type::Bool => Value::from(true),
                Type::Number => Value::from(*count),
                Type::String => Value::from(format!("made-{count}")),
                Type::Dynamic => Value::typed(Type::String, Value::from(format!("made-{count}"))),
                Type::List(_) | Type::Set(_) => Value::list([]),
                Type::Map(_) => Value::map::<String>([]),
                Type::Tuple(types) => {
                    Value::list(types.iter().map(|ty| settle(ty, &Value::unknown(), count)))
                }
                Type::Object(types) => Value::object(
                    types.iter().map(|(name, ty)| (name, settle(ty, &Value::unknown(), count))),
                ),
            }
        }
        (Type::List(element) | Type::Set(element), Value::List(all)) => {
            Value::list(all.iter().map(|value| settle(element, value, count)))
        }
        (Type::Tuple(types), Value::List(all)) => {
            let all = types.iter().zip(all);
            Value::list(all.map(|(ty, value)| settle(ty, value, count)))
        }
        (Type::Map(element), Value::Map(all)) => {
            Value::map(all.iter().map(|(key, value)| (key, settle(element, value, count))))
        }
        (Type::Object(types), Value::Map(_)) => {
            Value::object(types.iter().map(|(name, ty)| (name, settle(ty, value.get(name), count))))
        }
        _ => value.clone(),
    }
}

#[async_trait]
impl Resource for Keeper {
    fn type_name(&self) -> &'static str {
        "test_keeper"
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    async fn plan(&self, _: &Context, request: PlanRequest) -> PlanResponse {
        by_schema(&self.schema, request)
    }

    async fn apply(&self, _: &Context, request: ApplyRequest) -> ApplyResponse {
        let mut objects = self.objects.lock().unwrap();
        if request.is_destroy() {
            objects.remove(request.prior.get("id").as_str().unwrap_or_default());
            return ApplyResponse::new(Value::Null);
        }
        let mut state = settle(&self.schema.implied_type(), &request.planned, &mut 0);
        null_write_only(&mut state, &self.schema.block);
        objects.insert(state.get("id").as_str().unwrap_or_default().to_owned(), state.clone());
        ApplyResponse::new(state)
    }

    async fn read(&self, _: &Context, request: ReadRequest) -> ReadResponse {
        let id = request.state.get("id").as_str().unwrap_or_default();
        match self.objects.lock().unwrap().get(id) {
            Some(state) => ReadResponse::new(state.clone()),
            None => ReadResponse::gone(),
        }
    }

    async fn import(&self, _: &Context, request: ImportRequest) -> ImportResponse {
        match self.objects.lock().unwrap().get(request.id_or("id")) {
            Some(state) => ImportResponse::new(state.clone()),
            None => ImportResponse::failed(Diagnostic::error("No such object", "")),
        }
    }
}
