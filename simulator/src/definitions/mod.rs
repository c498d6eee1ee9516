//! Microsoft's definitions of what may be written: every body of a PUT, PATCH or POST is held against them before a
//! resource provider sees it.
//!
//! `bodies.json` is what Azure/azure-rest-api-specs (MIT, see `LICENSE`) says of the bodies of the types that the world
//! knows, without its descriptions; `tests/it/definitions.rs` makes it and compares it. One api-version of each type is
//! defined: the one that the product sends. Bodies of other versions pass.

mod check;
mod schema;

use std::sync::LazyLock;

use serde_json::{Value, json};

use self::schema::Schemas;
use crate::world::http::Method;

pub(crate) use self::check::{Complaint, Fault};

/// One operation that takes a body.
pub(crate) struct Operation {
    /// Microsoft's name of it.
    pub(crate) name: String,
    method: String,
    segments: Vec<String>,
    api_version: String,
    body: usize,
    is_required: bool,
}

/// All of them.
pub struct Definitions {
    operations: Vec<Operation>,
    schemas: Schemas,
}

static DEFINITIONS: LazyLock<Definitions> =
    LazyLock::new(|| Definitions::read(include_str!("bodies.json")));

impl Definitions {
    /// The ones that are built in.
    pub fn built_in() -> &'static Self {
        &DEFINITIONS
    }

    fn read(text: &str) -> Self {
        // A file that is no JSON defines nothing, and the test that counts operations fails.
        let file: Value = serde_json::from_str(text).unwrap_or_default();
        let mut schemas = Schemas::new(&file["schemas"]);
        let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let rows = file["operations"].as_array().into_iter().flatten();
        let operations = rows.map(|row| Operation {
            name: word(row, "operationId"),
            method: word(row, "method"),
            segments: word(row, "path").split('/').map(str::to_owned).collect(),
            api_version: word(row, "apiVersion"),
            body: schemas.index(&row["body"]),
            is_required: row["bodyRequired"] == true,
        });
        let operations = operations.collect();
        Self { operations, schemas }
    }

    /// Names of all operations that are defined.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.operations.iter().map(|operation| operation.name.as_str())
    }

    /// Holds a body of an operation at `path` against its definition. `now` is the object as it is: what only Azure may say
    /// may be sent back as Azure said it.
    pub(crate) fn judge(
        &self,
        operation: &Operation,
        path: &str,
        body: &Value,
        now: Option<&Value>,
    ) -> Vec<Complaint> {
        if body.is_null() && operation.is_required {
            return vec![Complaint { path: String::new(), fault: Fault::Missing }];
        }
        // Who says once more what the path says has said nothing.
        let named = json!({"id": path, "name": path.rsplit('/').next()});
        self.schemas.complaints(operation.body, body, Some(now.unwrap_or(&named)))
    }

    /// Name of the operation that a request with a body is, in the version that is defined.
    pub fn operation(&self, method: Method, path: &str, api_version: &str) -> Option<&str> {
        self.find(method, path, api_version).map(|operation| operation.name.as_str())
    }

    /// What is wrong with a body of an operation, in sentences; nothing where the operation is unknown.
    pub fn complaints_of(&self, operation: &str, body: &Value) -> Vec<String> {
        let Some(operation) = self.operations.iter().find(|known| known.name == operation) else {
            return Vec::new();
        };
        let complaints = self.schemas.complaints(operation.body, body, None);
        let sentence = |complaint: &Complaint| format!("{}: {:?}", complaint.path, complaint.fault);
        complaints.iter().map(sentence).collect()
    }

    /// The operation of a request: of those whose paths fit, the most literal one.
    pub(crate) fn find(&self, method: Method, path: &str, api_version: &str) -> Option<&Operation> {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |operation: &&Operation| {
            operation.method == method.as_str()
                && operation.api_version == api_version
                && fits(&operation.segments, &parts)
        };
        let variables = |operation: &&Operation| {
            operation.segments.iter().filter(|segment| segment.starts_with('{')).count()
        };
        self.operations.iter().filter(fits).min_by_key(variables)
    }
}

/// `{scope}` stands for any number of segments, every other variable for one.
fn fits(defined: &[String], parts: &[&str]) -> bool {
    let same = |(own, part): (&String, &&str)| {
        own.eq_ignore_ascii_case(part) || (own.starts_with('{') && !part.is_empty())
    };
    if defined.get(1).is_some_and(|segment| segment == "{scope}") {
        let tail = &defined[2..];
        return parts.len() > tail.len()
            && tail.iter().zip(&parts[parts.len() - tail.len()..]).all(same);
    }
    defined.len() == parts.len() && defined.iter().zip(parts).all(same)
}
