//! PUT, PATCH and GET of one object, the same for every type.

use serde_json::{Value, json};

use super::World;
use super::errors::{Answer, ArmError, with_retry_after};
use super::http::{Request, Response};
use super::ids::{self, ArmPath};
use super::kind::{self, Kind, Prepared, Put, PutManner};
use super::operations::Action;
use super::regions;
use super::resource::{Resource, State, merge, text};
use super::tags;

/// A tag that nobody of ours gives.
const SOMEBODYS_TAG: &str = "of-somebody";

impl World {
    /// Id of the object that a path names; refuses when its group is missing.
    pub(crate) fn id_for(&self, kind: &Kind, path: &ArmPath) -> Answer<String> {
        let (namespace, types) = kind.rtype.split_once('/').unwrap_or((kind.rtype, ""));
        let tail = types
            .split('/')
            .zip(&path.names)
            .fold(format!("/providers/{namespace}"), |id, (t, n)| format!("{id}/{t}/{n}"));
        let subscription = &path.subscription;
        if kind.rtype == crate::providers::groups::GROUP.rtype {
            let name = path.group.as_deref().unwrap_or_default();
            return Ok(format!("/subscriptions/{subscription}/resourceGroups/{name}"));
        }
        if let Some(group) = path.group.as_deref() {
            let found = self.group(subscription, group)?;
            if namespace != "Microsoft.Authorization" {
                return Ok(found.id.clone() + &tail);
            }
        }
        let scope = self.resources.get(&ids::key(&path.scope));
        Ok(scope.map_or_else(|| path.scope.clone(), |s| s.id.clone()) + &tail)
    }

    /// The group of this name in a subscription.
    pub(crate) fn group(&self, subscription: &str, name: &str) -> Answer<&Resource> {
        let id = format!("/subscriptions/{subscription}/resourcegroups/{name}");
        self.resources
            .get(&ids::key(&id))
            .filter(|group| !group.hidden)
            .ok_or_else(|| ArmError::group_not_found(name))
    }

    /// Somebody else gives an object a tag of theirs, [`SOMEBODYS_TAG`]; `false` when there is no such object.
    pub fn tag_by_somebody(&mut self, id: &str) -> bool {
        let etag = self.new_etag();
        let Some(object) = self.resources.get_mut(&ids::key(id)) else { return false };
        object.body["tags"][SOMEBODYS_TAG] = json!("theirs");
        object.etag = etag;
        true
    }

    /// Somebody takes all tags off an object.
    pub fn take_tags(&mut self, id: &str) {
        if let Some(object) = self.resources.get_mut(&ids::key(id))
            && let Some(body) = object.body.as_object_mut()
        {
            body.remove("tags");
        }
    }

    /// How many objects carry [`SOMEBODYS_TAG`].
    pub fn tagged_by_somebody(&self) -> usize {
        let has =
            |object: &&Resource| !text(&object.body, &format!("/tags/{SOMEBODYS_TAG}")).is_empty();
        self.resources.values().filter(has).count()
    }

    /// A visible object.
    pub(crate) fn visible(&self, id: &str) -> Option<&Resource> {
        self.resources.get(&ids::key(id)).filter(|r| !r.hidden)
    }

    /// The body that GET shows.
    pub(crate) fn render(&self, resource: &Resource) -> Value {
        let mut body = resource.body.clone();
        body["id"] = json!(resource.id);
        body["name"] = json!(resource.name());
        body["type"] = json!(resource.rtype);
        if let Some(kind) = kind::find(&resource.rtype.to_ascii_lowercase()) {
            if kind.etag {
                body["etag"] = json!(resource.etag);
            }
            if kind.put != PutManner::Sync || resource.state != State::Succeeded {
                body["properties"]["provisioningState"] = json!(resource.state.as_str());
            }
            (kind.render)(self, resource, &mut body);
        }
        body
    }

    fn show(&self, status: u16, resource: &Resource) -> Response {
        let response = Response::json(status, self.render(resource));
        let has_etag =
            kind::find(&resource.rtype.to_ascii_lowercase()).is_some_and(|kind| kind.etag);
        if has_etag { response.with("etag", resource.etag.clone()) } else { response }
    }

    pub(crate) fn get(&self, path: &ArmPath, kind: &Kind) -> Answer {
        let id = self.id_for(kind, path)?;
        match self.visible(&id) {
            Some(resource) => Ok(self.show(200, resource)),
            None => Err(missing(kind, path)),
        }
    }

    pub(crate) fn put(&mut self, req: &Request, path: &ArmPath, kind: &'static Kind) -> Answer {
        (kind.name)(if path.namespace.is_empty() {
            path.group.as_deref().unwrap_or_default()
        } else {
            path.name()
        })?;
        let id = self.id_for(kind, path)?;
        self.require_registered(kind.rtype)?;
        self.require_parent(kind, &id)?;
        if !req.body.is_object() {
            return Err(ArmError::gateway(
                400,
                "InvalidRequestContent",
                "The request content was invalid and could not be deserialized: 'a JSON object \
                 is expected'.",
            ));
        }
        if let Some(tags) = req.body.get("tags") {
            tags::check(kind.rtype, tags)?;
        }
        self.check_locks(&id, false)?;
        let old = self.resources.get(&ids::key(&id)).cloned();
        check_preconditions(req, old.as_ref())?;
        self.check_conflict(kind, &id, old.as_ref())?;
        let location = check_location(kind, &id, &req.body, old.as_ref())?;
        let mut body = req.body.clone();
        self.apply_policies(kind.rtype, &id, &mut body)?;
        let put = Put {
            id: old.as_ref().map_or(id.as_str(), |o| o.id.as_str()),
            body: &body,
            old: old.as_ref(),
            location: &location,
            principal: &req.principal,
        };
        let prepared = (kind.prepare)(self, &put)?;
        Ok(self.commit(kind, &id, prepared, &location, false))
    }

    pub(crate) fn patch(&mut self, req: &Request, path: &ArmPath, kind: &'static Kind) -> Answer {
        let id = self.id_for(kind, path)?;
        let Some(old) = self.visible(&id).cloned() else {
            return Err(missing(kind, path));
        };
        if let Some(tags) = req.body.get("tags") {
            tags::check(kind.rtype, tags)?;
        }
        self.check_locks(&id, false)?;
        check_preconditions(req, Some(&old))?;
        if old.state == State::Deleting {
            self.check_conflict(kind, &id, Some(&old))?;
        }
        if kind.versions == kind::NETWORK_VERSIONS {
            // Network's PATCH is UpdateTags: at once, and nothing but tags.
            let tags = req.body.get("tags").cloned().unwrap_or(json!({}));
            let etag = self.new_etag();
            if let Some(resource) = self.resources.get_mut(&old.key()) {
                resource.body["tags"] = tags;
                resource.etag = etag;
            }
        } else {
            self.check_conflict(kind, &id, Some(&old))?;
            let mut body = old.body.clone();
            for (name, value) in req.body.as_object().into_iter().flatten() {
                if name == "tags" {
                    body["tags"] = value.clone();
                } else {
                    merge(&mut body[name.as_str()], value);
                }
            }
            self.apply_policies(kind.rtype, &old.id, &mut body)?;
            let location = old.location().to_owned();
            let put = Put {
                id: &old.id,
                body: &body,
                old: Some(&old),
                location: &location,
                principal: &req.principal,
            };
            let prepared = (kind.prepare)(self, &put)?;
            return Ok(self.commit(kind, &id, prepared, &location, true));
        }
        Ok(self.visible(&id).map_or_else(|| Response::empty(404), |r| self.show(200, r)))
    }

    fn commit(
        &mut self,
        kind: &'static Kind,
        id: &str,
        prepared: Prepared,
        location: &str,
        patch: bool,
    ) -> Response {
        let key = ids::key(id);
        let created = !self.resources.contains_key(&key);
        let asynchronous = match kind.put {
            PutManner::Sync => false,
            PutManner::Location { .. } => created,
            PutManner::Async { .. } | PutManner::Accepted { .. } => !patch || kind.patch_async,
        };
        let state = match (asynchronous, created, kind.etag) {
            (false, ..) => State::Succeeded,
            (true, true, false) => State::Creating,
            (true, ..) => State::Updating,
        };
        for gone in &prepared.removed {
            self.remove_tree(gone);
        }
        let mut keys = vec![key.clone()];
        self.store(kind, id, prepared.body, Some(prepared.secret), state);
        for child in prepared.children {
            keys.push(ids::key(&child.id));
            self.store(child.kind, &child.id, child.body, None, state);
        }
        (kind.stored)(self, &key);
        if !asynchronous {
            (kind.settled)(self, &key);
            let status = if created && !patch { 201 } else { 200 };
            return self
                .resources
                .get(&key)
                .map_or_else(|| Response::empty(status), |r| self.show(status, r));
        }
        if let Some(parent) = self.inline_parent(kind, &key) {
            keys.push(parent);
        }
        let duration = if created { kind.create_ms } else { kind.update_ms };
        let operation = self.start_operation(kind, &key, keys, Action::Put, location, duration);
        self.accepted(kind, &key, &operation, created && !patch)
    }

    fn accepted(&mut self, kind: &Kind, key: &str, operation: &str, created: bool) -> Response {
        let shown = |world: &Self, status| {
            world
                .resources
                .get(key)
                .map_or_else(|| Response::empty(status), |r| world.show(status, r))
        };
        let urls = self.operation_urls(operation);
        match kind.put {
            PutManner::Sync => shown(self, 200),
            PutManner::Async { retry_after_ms } => {
                let response = shown(self, if created { 201 } else { 200 })
                    .with("azure-asyncoperation", urls.status)
                    .with("azure-asyncnotification", "Enabled");
                with_retry_after(response, self.scaled(retry_after_ms))
            }
            PutManner::Location { retry_after_ms } => {
                if let Some(resource) = self.resources.get_mut(key) {
                    resource.hidden = true;
                }
                let response = Response::empty(202).with("location", urls.result);
                with_retry_after(response, self.scaled(retry_after_ms))
            }
            PutManner::Accepted { retry_after_ms } => {
                if created && let Some(resource) = self.resources.get_mut(key) {
                    resource.hidden = true;
                }
                let response = Response::json(202, json!({}))
                    .with("azure-asyncoperation", urls.status)
                    .with("location", urls.result);
                with_retry_after(response, self.scaled(retry_after_ms))
            }
        }
    }

    /// Writes an object, new or old, and returns its key. `secret` absent: the old one stays.
    pub(crate) fn store(
        &mut self,
        kind: &Kind,
        id: &str,
        body: Value,
        secret: Option<Value>,
        state: State,
    ) -> String {
        let key = ids::key(id);
        let etag = self.new_etag();
        let sequence = self.next_sequence();
        let now_ms = self.now_ms;
        if !self.resources.contains_key(&key) {
            self.births.entry(key.clone()).or_default().0 += 1;
        }
        let resource = self.resources.get_or_insert_with(&key, || Resource {
            id: id.to_owned(),
            rtype: kind.rtype.to_owned(),
            body: Value::Null,
            secret: Value::Null,
            state,
            etag: String::new(),
            hidden: false,
            busy: None,
            last_operation: String::new(),
            created_ms: now_ms,
            effective_ms: now_ms,
            sequence,
        });
        resource.body = body;
        if let Some(secret) = secret.filter(|s| !s.is_null()) {
            resource.secret = secret;
        }
        resource.state = state;
        resource.etag = etag;
        kind.operation.clone_into(&mut resource.last_operation);
        key
    }

    /// The parent that shows this child inline and is busy along with it.
    pub(crate) fn inline_parent(&self, kind: &Kind, key: &str) -> Option<String> {
        if !kind.etag || kind.tracked {
            return None;
        }
        let parent = key.rsplitn(3, '/').nth(2)?;
        self.resources.contains_key(parent).then(|| parent.to_owned())
    }

    pub(crate) fn require_parent(&self, kind: &Kind, id: &str) -> Answer<()> {
        let is_group = kind.rtype == crate::providers::groups::GROUP.rtype;
        let group = ids::group_of(id)
            .map(|name| self.group(ids::subscription_of(id), name))
            .transpose()
            .or_else(|missing| if is_group { Ok(None) } else { Err(missing) })?;
        if let Some(group) = group.filter(|g| g.state == State::Deleting) {
            return Err(ArmError::group_being_deleted(group.name()));
        }
        if kind.rtype.matches('/').count() > 1 {
            let parent_id = ids::parent_of(id);
            let inner = kind.rtype.ends_with("/blobServices");
            if !inner && self.visible(parent_id).is_none() {
                let name = ids::name_of(parent_id);
                return Err(ArmError::parent_not_found(kind.rtype, name));
            }
        }
        Ok(())
    }

    pub(crate) fn require_registered(&self, rtype: &str) -> Answer<()> {
        let namespace = rtype.split('/').next().unwrap_or_default();
        let since = self.registrations.get(&namespace.to_ascii_lowercase());
        if since.is_some_and(|at| *at <= self.now_ms) {
            return Ok(());
        }
        Err(ArmError::gateway(
            409,
            "MissingSubscriptionRegistration",
            format!(
                "The subscription is not registered to use namespace '{namespace}'. See \
                 https://aka.ms/rps-not-found for how to register subscriptions."
            ),
        ))
    }
}

/// The refusal that a path names nothing.
pub(crate) fn missing(kind: &Kind, path: &ArmPath) -> ArmError {
    let group = path.group.clone().unwrap_or_default();
    if kind.rtype == crate::providers::groups::GROUP.rtype {
        return ArmError::group_not_found(&group);
    }
    ArmError::not_found(kind.rtype, &path.names.join("/"), &group)
}

fn check_preconditions(req: &Request, old: Option<&Resource>) -> Answer<()> {
    let etag = |r: &Resource| r.etag.trim_start_matches("W/").trim_matches('"').to_owned();
    let plain = |text: &str| text.trim_start_matches("W/").trim_matches('"').to_owned();
    let failed = Err(ArmError::new(
        412,
        "PreconditionFailed",
        "Precondition failed. The etag provided in If-Match/If-None-Match does not hold.",
    ));
    if let Some(wanted) = req.condition("if-match") {
        match old {
            None => return failed,
            Some(old) if wanted != "*" && plain(wanted) != etag(old) => return failed,
            Some(_) => {}
        }
    }
    if req.condition("if-none-match") == Some("*") && old.is_some() {
        return failed;
    }
    Ok(())
}

fn check_location(kind: &Kind, id: &str, body: &Value, old: Option<&Resource>) -> Answer<String> {
    if !kind.tracked {
        return Ok(String::new());
    }
    let wanted = regions::normalise(text(body, "/location"));
    if kind.rtype.ends_with("/privateDnsZones") || kind.rtype.ends_with("/virtualNetworkLinks") {
        return Ok("global".to_owned());
    }
    if wanted.is_empty() {
        return Err(ArmError::gateway(
            400,
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    }
    if let Some(old) = old
        && old.location() != wanted
    {
        let group = ids::group_of(id).unwrap_or_default();
        return Err(ArmError::gateway(
            409,
            "InvalidResourceLocation",
            format!(
                "The resource '{}' already exists in location '{}' in resource group '{group}'. A \
                 resource with the same name cannot be created in location '{wanted}'. Please \
                 select a new resource name.",
                old.name(),
                old.location()
            ),
        ));
    }
    if regions::find(&wanted).is_none() {
        return Err(ArmError::gateway(
            400,
            "LocationNotAvailableForResourceType",
            format!(
                "The provided location '{wanted}' is not available for resource type '{}'. List \
                 of available regions for the resource type is '{}'.",
                kind.rtype,
                regions::names()
            ),
        ));
    }
    Ok(wanted)
}
