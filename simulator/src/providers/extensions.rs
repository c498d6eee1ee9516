//! What hangs on any object: its tags as an object of their own, and the diagnostic settings that it has not.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::http::{Method, Request, Response};
use crate::world::ids::{self, ArmPath};
use crate::world::resource::text;
use crate::world::{tags, versions};

/// Answers what is asked of an extension; `None` for everything else.
pub(crate) fn route(
    world: &mut World,
    req: &Request,
    path: &ArmPath,
    version: &str,
) -> Option<Answer> {
    let is = |namespace: &str, word: &str| {
        path.namespace.eq_ignore_ascii_case(namespace)
            && path.types.len() == 1
            && path.types[0].eq_ignore_ascii_case(word)
    };
    if is("Microsoft.Resources", "tags") && path.name().eq_ignore_ascii_case("default") {
        return Some(tags_of(world, req, &path.scope, version));
    }
    if is("Microsoft.Insights", "diagnosticSettings") && path.is_collection() {
        return Some(diagnostics_of(world, req, path));
    }
    None
}

fn tags_of(world: &mut World, req: &Request, scope: &str, version: &str) -> Answer {
    versions::check_front(version, versions::RESOURCES)?;
    let verb = match req.method {
        Method::Get | Method::Head => "read",
        Method::Delete => "delete",
        _ => "write",
    };
    world.require(&req.principal, &format!("Microsoft.Resources/tags/{verb}"), scope)?;
    let Some(object) = world.visible(scope) else {
        let text = format!("The resource '{scope}' was not found.");
        return Err(ArmError::gateway(404, "ResourceNotFound", text));
    };
    let (id, rtype) = (object.id.clone(), object.rtype.clone());
    let now = object.body.get("tags").cloned().unwrap_or_else(|| json!({}));
    let sent = req.body.pointer("/properties/tags").cloned().unwrap_or_else(|| json!({}));
    let mut wanted = match req.method {
        Method::Get | Method::Head => None,
        Method::Delete => Some(json!({})),
        Method::Put => Some(sent),
        Method::Patch => Some(patched(&now, &sent, text(&req.body, "/operation"))?),
        Method::Post => return Err(ArmError::method_not_allowed("POST")),
    };
    let mut after = object.body.clone();
    if let Some(wanted) = &mut wanted {
        world.check_locks(&id, false)?;
        tags::check(&rtype, wanted)?;
        after["tags"] = wanted.clone();
        world.apply_policies(&rtype, &id, &mut after)?;
        *wanted = after["tags"].take();
        let etag = world.new_etag();
        if let Some(object) = world.resources.get_mut(&ids::key(&id)) {
            object.body["tags"] = wanted.clone();
            object.etag = etag;
        }
    }
    let tags = wanted.unwrap_or(now);
    Ok(Response::json(
        200,
        json!({
            "id": format!("{id}/providers/Microsoft.Resources/tags/default"),
            "name": "default",
            "type": "Microsoft.Resources/tags",
            "properties": {"tags": tags},
        }),
    ))
}

/// Names of tags have no case.
fn patched(now: &Value, sent: &Value, operation: &str) -> Answer<Value> {
    let mut tags = now.as_object().cloned().unwrap_or_default();
    let sent = sent.as_object().cloned().unwrap_or_default();
    match operation.to_ascii_lowercase().as_str() {
        "replace" => return Ok(Value::Object(sent)),
        "merge" => {
            for (name, value) in sent {
                tags.retain(|own, _| !own.eq_ignore_ascii_case(&name));
                tags.insert(name, value);
            }
        }
        "delete" => {
            tags.retain(|own, value| {
                !sent.iter().any(|(name, gone)| own.eq_ignore_ascii_case(name) && value == gone)
            });
        }
        _ => {
            let text = "The value of 'operation' must be one of 'Replace, Merge, Delete'.";
            return Err(ArmError::invalid("InvalidRequestContent", text));
        }
    }
    Ok(Value::Object(tags))
}

fn diagnostics_of(world: &World, req: &Request, path: &ArmPath) -> Answer {
    let action = "Microsoft.Insights/diagnosticSettings/read";
    world.require(&req.principal, action, &path.scope)?;
    if req.method != Method::Get {
        return Err(versions::unknown_type(path, ""));
    }
    Ok(Response::json(200, json!({"value": []})))
}
