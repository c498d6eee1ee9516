//! Schemas, read once: references followed, what is inherited taken in.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

/// What a value may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// A property of an object.
#[derive(Clone, Debug)]
pub(super) struct Property {
    pub(super) schema: usize,
    /// Only Azure says it.
    pub(super) is_read_only: bool,
}

/// One schema.
#[derive(Clone, Debug, Default)]
pub(super) struct Schema {
    /// The type's name in Microsoft's files, for sentences.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// By their names in lower case: Azure reads names of properties without case.
    pub(super) properties: HashMap<String, Property>,
    pub(super) required: Vec<String>,
    /// Of properties that are not named.
    pub(super) others: Option<usize>,
    /// Any property is taken: an object without properties, or an open one.
    pub(super) is_open: bool,
    pub(super) items: Option<usize>,
    pub(super) words: Vec<String>,
    pub(super) length_min: Option<u64>,
    pub(super) length_max: Option<u64>,
    pub(super) least: Option<f64>,
    pub(super) most: Option<f64>,
}

/// All schemas; an index is good for one of these.
pub(super) struct Schemas {
    texts: BTreeMap<String, Value>,
    named: HashMap<String, usize>,
    pub(super) all: Vec<Schema>,
}

impl Schemas {
    pub(super) fn new(texts: &Value) -> Self {
        let texts = texts.as_object().into_iter().flatten();
        let texts = texts.map(|(name, text)| (name.clone(), text.clone())).collect();
        Self { texts, named: HashMap::new(), all: Vec::new() }
    }

    /// The schema that a text says, or refers to.
    pub(super) fn index(&mut self, text: &Value) -> usize {
        if let Some(reference) = text["$ref"].as_str() {
            let name = reference.trim_start_matches("#/schemas/").replace("~1", "/");
            if let Some(index) = self.named.get(&name) {
                return *index;
            }
            // Before its parts, as a schema may contain itself.
            let index = self.place();
            self.named.insert(name.clone(), index);
            let text = self.texts.get(&name).cloned().unwrap_or_default();
            let mut schema = self.read(&text);
            name.rsplit('/').next().unwrap_or_default().clone_into(&mut schema.name);
            self.all[index] = schema;
            return index;
        }
        let index = self.place();
        self.all[index] = self.read(text);
        index
    }

    fn place(&mut self) -> usize {
        self.all.push(Schema::default());
        self.all.len() - 1
    }

    fn read(&mut self, text: &Value) -> Schema {
        let mut schema = Schema::default();
        self.take_in(text, &mut schema);
        schema.is_open |= schema.properties.is_empty() && schema.others.is_none();
        schema
    }

    fn take_in(&mut self, text: &Value, schema: &mut Schema) {
        for part in text["allOf"].as_array().into_iter().flatten() {
            let part = self.text(part);
            self.take_in(&part, schema);
        }
        schema.kind = match text["type"].as_str() {
            Some("array") => Kind::Array,
            Some("string") => Kind::String,
            Some("integer") => Kind::Integer,
            Some("number") => Kind::Number,
            Some("boolean") => Kind::Boolean,
            Some(_) => Kind::Object,
            None => schema.kind,
        };
        for (name, inner) in text["properties"].as_object().into_iter().flatten() {
            let is_read_only = inner["readOnly"] == true || self.text(inner)["readOnly"] == true;
            let property = Property { schema: self.index(inner), is_read_only };
            schema.properties.insert(name.to_ascii_lowercase(), property);
        }
        let words = |key: &str| {
            let words = text[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        schema.required.extend(words("required"));
        schema.words.extend(words("enum"));
        match &text["additionalProperties"] {
            Value::Object(_) => {
                schema.others = Some(self.index(&text["additionalProperties"]));
            }
            Value::Bool(true) => schema.is_open = true,
            _ => {}
        }
        if text["items"].is_object() {
            schema.items = Some(self.index(&text["items"]));
        }
        let count = |of_text: &str, of_list: &str| {
            text[of_text].as_u64().or_else(|| text[of_list].as_u64())
        };
        schema.length_min = count("minLength", "minItems").or(schema.length_min);
        schema.length_max = count("maxLength", "maxItems").or(schema.length_max);
        schema.least = text["minimum"].as_f64().or(schema.least);
        schema.most = text["maximum"].as_f64().or(schema.most);
    }

    fn text(&self, text: &Value) -> Value {
        match text["$ref"].as_str() {
            None => text.clone(),
            Some(reference) => {
                let name = reference.trim_start_matches("#/schemas/").replace("~1", "/");
                self.text(self.texts.get(&name).unwrap_or(&Value::Null))
            }
        }
    }
}
