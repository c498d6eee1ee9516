//! Lists, their filters and pages.

use serde_json::{Value, json};

use super::World;
use super::errors::{Answer, ArmError};
use super::http::{Request, Response};
use super::ids::{self, ArmPath};
use super::kind::Kind;
use super::resource::Resource;

/// Types that `…/resources` never shows.
fn is_tracked(resource: &Resource) -> bool {
    super::kind::find(&resource.rtype.to_ascii_lowercase())
        .is_some_and(|k| k.tracked && k.rtype != crate::providers::groups::GROUP.rtype)
}

impl World {
    /// A list of one type below a group, a subscription, a parent or a scope.
    pub(crate) fn list(&self, req: &Request, path: &ArmPath, kind: &Kind) -> Answer {
        let scope = if path.names.is_empty() {
            ids::key(&path.scope)
        } else {
            let (namespace, types) = kind.rtype.split_once('/').unwrap_or_default();
            types
                .split('/')
                .zip(&path.names)
                .fold(format!("{}/providers/{namespace}", path.scope), |id, (t, n)| {
                    format!("{id}/{t}/{n}")
                })
                .to_ascii_lowercase()
        };
        if let Some(group) = path.group.as_deref() {
            self.group(&path.subscription, group)?;
        }
        if !path.names.is_empty() && self.visible(&scope).is_none() {
            let (rtype, _) = kind.rtype.rsplit_once('/').unwrap_or_default();
            let group = path.group.as_deref().unwrap_or_default();
            return Err(ArmError::not_found(rtype, ids::name_of(&scope), group));
        }
        let at_scope = req.query("$filter").is_some_and(|f| f.contains("atScope()"));
        let rows = self.resources.iter().filter(|(_, r)| r.rtype == kind.rtype && !r.hidden);
        let mut rows: Vec<&Resource> = rows
            .filter(|(key, _)| {
                if kind.rtype.starts_with("Microsoft.Authorization/") {
                    // Locks and roles: those of the scope, above it and (unless atScope) below it.
                    let own_scope = super::remove::lock_scope(key);
                    ids::within(&scope, own_scope) || (!at_scope && ids::within(own_scope, &scope))
                } else {
                    ids::within(key, &scope)
                }
            })
            .map(|(_, r)| r)
            .filter(|r| matches_filter(r, req.query("$filter").unwrap_or_default()))
            .filter(|r| {
                // "The returned enumeration will only contain records that end with .<recordsetnamesuffix>."
                let suffix = req.query("$recordsetnamesuffix").filter(|suffix| !suffix.is_empty());
                let name = r.name().to_ascii_lowercase();
                suffix.is_none_or(|s| name.ends_with(&format!(".{}", s.to_ascii_lowercase())))
            })
            .collect();
        rows.sort_by_key(|r| r.sequence);
        Ok(self.page(req, rows.into_iter().map(|r| self.render(r)).collect()))
    }

    /// `…/resources`: tracked objects in generic form.
    pub(crate) fn list_resources(&self, req: &Request, path: &ArmPath) -> Answer {
        if let Some(group) = path.group.as_deref() {
            self.group(&path.subscription, group)?;
        }
        let scope = ids::key(&path.scope.replace("/resources", ""));
        let scope = scope.trim_end_matches("/resources");
        let filter = req.query("$filter").unwrap_or_default();
        let rows = self
            .resources
            .values()
            .filter(|r| is_tracked(r) && !r.hidden && ids::within(&r.key(), scope))
            .filter(|r| matches_filter(r, filter))
            .map(|r| {
                let full = self.render(r);
                let mut row = json!({});
                for name in
                    ["id", "name", "type", "location", "tags", "sku", "kind", "zones", "identity"]
                {
                    if !full[name].is_null() {
                        row[name] = full[name].clone();
                    }
                }
                row
            })
            .collect();
        Ok(self.page(req, rows))
    }

    /// Resource groups of a subscription.
    pub(crate) fn list_groups(&self, req: &Request, path: &ArmPath) -> Response {
        let subscription = ids::key(&format!("/subscriptions/{}", path.subscription));
        let filter = req.query("$filter").unwrap_or_default();
        let rows = self
            .resources
            .values()
            .filter(|r| r.rtype == crate::providers::groups::GROUP.rtype && !r.hidden)
            .filter(|r| ids::within(&r.key(), &subscription) && matches_filter(r, filter))
            .map(|r| self.render(r))
            .collect();
        self.page(req, rows)
    }

    /// One page of rows, with a `nextLink` when more follow.
    pub(crate) fn page(&self, req: &Request, rows: Vec<Value>) -> Response {
        let number = |name: &str| req.query(name).and_then(|text| text.parse::<usize>().ok());
        let start = number("$skiptoken").unwrap_or(0);
        let size = number("$top").unwrap_or(self.settings.page_size).clamp(1, 1000);
        let total = rows.len();
        let shown: Vec<Value> = rows.into_iter().skip(start).take(size).collect();
        let mut body = json!({"value": shown});
        if start + size < total {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in &req.query {
                if !name.eq_ignore_ascii_case("$skiptoken") {
                    query.append_pair(name, value);
                }
            }
            query.append_pair("$skiptoken", &(start + size).to_string());
            let (endpoint, path) = (&self.settings.endpoint, &req.path);
            body["nextLink"] = json!(format!("{endpoint}{path}?{}", query.finish()));
        }
        Response::json(200, body)
    }
}

/// The filters that ARM's lists know here: tagName/tagValue, resourceType, principalId.
fn matches_filter(resource: &Resource, filter: &str) -> bool {
    let value_of = |name: &str| {
        let at = filter.to_ascii_lowercase().find(&name.to_ascii_lowercase())?;
        let rest = filter[at + name.len()..].trim_start();
        let rest = rest.strip_prefix("eq").map_or(rest, str::trim_start);
        let rest = rest.strip_prefix('(').unwrap_or(rest);
        let rest = rest.strip_prefix('\'')?;
        rest.find('\'').map(|end| rest[..end].to_owned())
    };
    if let Some(name) = value_of("tagName") {
        let tag = resource.body.get("tags").and_then(Value::as_object).and_then(|tags| {
            tags.iter().find(|(k, _)| k.eq_ignore_ascii_case(&name)).map(|(_, v)| v)
        });
        match (tag, value_of("tagValue")) {
            (None, _) => return false,
            (Some(tag), Some(wanted)) if tag.as_str() != Some(wanted.as_str()) => return false,
            _ => {}
        }
    }
    if let Some(wanted) = value_of("resourceType")
        && !resource.rtype.eq_ignore_ascii_case(&wanted)
    {
        return false;
    }
    for name in ["principalId", "assignedTo"] {
        if let Some(wanted) = value_of(name)
            && !resource.text("/properties/principalId").eq_ignore_ascii_case(&wanted)
        {
            return false;
        }
    }
    true
}
