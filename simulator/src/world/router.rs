//! From a request to its handler, through the checks that ARM's front end makes for all.

use serde_json::{Value, json};

use super::World;
use super::errors::{Answer, ArmError};
use super::fault::Injected;
use super::http::{Method, Request, Response};
use super::ids::{self, ArmPath};
use super::kind::{self, Kind};
use super::regions;
use super::resource::text;
use super::versions;
use crate::providers::{authorization, compute, extensions, groups, storage, subscriptions};

impl World {
    /// Answers one request at a time of the caller's clock.
    pub fn handle(&mut self, req: &Request, now_ms: u64) -> Response {
        self.tick(now_ms);
        let path = ArmPath::parse(&req.path);
        let word = type_word(&path);
        let counted = format!("{} {}", req.method.as_str(), type_name(&path));
        *self.counters.entry(counted).or_default() += 1;
        let exists = self.visible(&req.path).is_some();
        let mut response = match self.take_fault(req.method, &word, exists) {
            Some(Injected::Instead(response)) => response,
            Some(Injected::After(response)) => {
                let _ = self.answer(req, &path);
                response
            }
            None => self.answer(req, &path),
        };
        let headers = &mut response.headers;
        let correlation = req.header("x-ms-correlation-request-id").map(str::to_owned);
        let request_id = self.random.guid();
        headers.insert("x-ms-request-id".to_owned(), request_id.clone());
        headers.insert(
            "x-ms-correlation-request-id".to_owned(),
            correlation.unwrap_or_else(|| request_id.clone()),
        );
        headers.insert(
            "x-ms-routing-request-id".to_owned(),
            format!("EMULATOR:{}:{request_id}", super::operations::rfc3339(self.now_ms)),
        );
        headers.insert("cache-control".to_owned(), "no-cache".to_owned());
        response
    }

    /// How often each method was used on each type since the last reset.
    pub fn counters(&self) -> &std::collections::BTreeMap<String, u64> {
        &self.counters
    }

    /// Forgets the counters.
    pub fn reset_counters(&mut self) {
        self.counters.clear();
    }

    fn answer(&mut self, req: &Request, path: &ArmPath) -> Response {
        let throttled = self.throttle(&req.principal, req.method);
        let (header, left) = match throttled {
            Ok(left) => left,
            Err(error) => return error.response(),
        };
        let response = self.route(req, path).unwrap_or_else(|error| error.response());
        let mut response = response.with(&header, left.to_string());
        if req.method == Method::Head {
            response.body = Value::Null;
        }
        response
    }

    fn route(&mut self, req: &Request, path: &ArmPath) -> Answer {
        let version = versions::present(req)?.to_owned();
        if !path.subscription.is_empty() && !self.settings.has_subscription(&path.subscription) {
            let text = format!("The subscription '{}' could not be found.", path.subscription);
            return Err(ArmError::gateway(404, "SubscriptionNotFound", text));
        }
        if req.method == Method::Get
            && let Some(answer) = self.poll(req, path)
        {
            return answer;
        }
        if let Some(answer) = extensions::route(self, req, path, &version) {
            return answer;
        }
        if path.namespace.is_empty() {
            return self.route_front(req, path, &version);
        }
        let type_key = path.type_key();
        if let Some(kind) = kind::find(&type_key) {
            return self.route_kind(req, path, kind, &version);
        }
        self.check_body(req, &path.namespace, &version)?;
        if let Some(answer) = compute::route(self, req, path, &version) {
            return answer;
        }
        if let Some(answer) = storage::route(self, req, path, &version) {
            return answer;
        }
        if let Some(answer) = authorization::route(self, req, path, &version) {
            return answer;
        }
        if let Some(answer) = crate::providers::network::route(self, req, path, &version) {
            return answer;
        }
        if path.names.is_empty()
            && let Some(answer) = subscriptions::route_providers(self, req, path, &version)
        {
            return answer;
        }
        Err(versions::unknown_type(path, &version))
    }

    fn route_front(&mut self, req: &Request, path: &ArmPath, version: &str) -> Answer {
        versions::check_front(version, versions::RESOURCES)?;
        if path.group.is_some() && path.rest.is_empty() {
            return self.route_kind(req, path, &groups::GROUP, version);
        }
        let scope = if path.subscription.is_empty() {
            "/".to_owned()
        } else {
            format!("/subscriptions/{}", path.subscription)
        };
        if let Some(group) = &path.group {
            let action = "Microsoft.Resources/subscriptions/resourceGroups/resources/read";
            self.require(&req.principal, action, &format!("{scope}/resourceGroups/{group}"))?;
        } else if !path.subscription.is_empty() {
            self.require(&req.principal, "Microsoft.Resources/subscriptions/read", &scope)?;
        }
        let word = path.rest.first().map(|w| w.to_ascii_lowercase()).unwrap_or_default();
        match (req.method, word.as_str()) {
            (Method::Get, "resourcegroups") => Ok(self.list_groups(req, path)),
            (Method::Get, "resources") => self.list_resources(req, path),
            _ => subscriptions::route(self, req, path),
        }
    }

    fn route_kind(
        &mut self,
        req: &Request,
        path: &ArmPath,
        kind: &'static Kind,
        version: &str,
    ) -> Answer {
        let location = regions::normalise(text(&req.body, "/location"));
        versions::check_kind(version, kind, &location)?;
        let verb = match req.method {
            Method::Get | Method::Head => "read",
            Method::Put | Method::Patch => "write",
            Method::Delete => "delete",
            Method::Post => "action",
        };
        let rtype = if kind.rtype == groups::GROUP.rtype {
            "Microsoft.Resources/subscriptions/resourceGroups"
        } else {
            kind.rtype
        };
        self.require(&req.principal, &format!("{rtype}/{verb}"), &req.path)?;
        self.check_body(req, &path.namespace, version)?;
        if path.is_collection() {
            return match req.method {
                Method::Get => self.list(req, path, kind),
                other => Err(ArmError::method_not_allowed(other.as_str())),
            };
        }
        match req.method {
            Method::Get => {
                if kind.rtype.ends_with("/virtualMachineScaleSets/virtualMachines")
                    || kind.rtype.ends_with("/virtualMachineScaleSets")
                {
                    return compute::instances::get_expanded(self, req, path, kind);
                }
                if let Some(default) = storage::account::default_service(self, req, kind) {
                    return Ok(default);
                }
                self.get(path, kind)
            }
            Method::Head => {
                let found = self.get(path, kind).is_ok();
                Ok(Response::empty(if found { 204 } else { 404 }))
            }
            Method::Put if kind.rtype.ends_with("virtualMachineScaleSets/virtualMachines") => {
                Err(ArmError::method_not_allowed("PUT"))
            }
            Method::Put => self.put(req, path, kind),
            Method::Patch => self.patch(req, path, kind),
            Method::Delete => self.delete(req, path, kind),
            Method::Post => Err(ArmError::method_not_allowed("POST")),
        }
    }

    /// The Owner assignments with which the caller starts, one in each subscription.
    pub(crate) fn seed_owners(&mut self) {
        let all: Vec<String> =
            self.settings.subscriptions().map(|id| format!("/subscriptions/{id}")).collect();
        for subscription in &all {
            self.seed_owner(subscription);
        }
    }

    fn seed_owner(&mut self, subscription: &str) {
        let name = self.random.guid();
        let id = format!("{subscription}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
        let body = json!({"properties": {
            "scope": subscription,
            "principalId": self.settings.caller_object_id,
            "principalType": "ServicePrincipal",
            "roleDefinitionId": format!(
                "{subscription}/providers/Microsoft.Authorization/roleDefinitions/{owner}"
            ),
        }});
        let kind = &authorization::ROLE_ASSIGNMENT;
        let key = self.store(kind, &id, body, None, super::resource::State::Succeeded);
        if let Some(seeded) = self.resources.get_mut(&key) {
            seeded.effective_ms = 0;
        }
    }

    /// The storage account of this name.
    pub(crate) fn account(&self, name: &str) -> Option<&super::resource::Resource> {
        self.resources.values().find(|r| {
            r.rtype == storage::account::ACCOUNT.rtype
                && !r.hidden
                && r.name().eq_ignore_ascii_case(name)
        })
    }

    /// Whether an account serves its data plane.
    pub fn account_serves(&self, name: &str) -> bool {
        self.account(name).is_some()
    }

    /// Whether a container exists.
    pub fn container_exists(&self, account: &str, container: &str) -> bool {
        self.account(account).is_some_and(|account| {
            let id = format!("{}/blobServices/default/containers/{container}", account.id);
            self.visible(&id).is_some()
        })
    }

    /// Names of an account's containers.
    pub fn containers(&self, account: &str) -> Vec<String> {
        let Some(account) = self.account(account) else { return Vec::new() };
        let scope = ids::key(&account.id);
        self.below(&scope)
            .filter(|r| r.rtype == storage::container::CONTAINER.rtype)
            .map(|r| r.name().to_owned())
            .collect()
    }

    /// Creates a container through the data plane; `false` when it exists.
    pub fn create_container(&mut self, account: &str, container: &str) -> bool {
        let Some(id) = self.account(account).map(|a| a.id.clone()) else { return false };
        let id = format!("{id}/blobServices/default/containers/{container}");
        if self.visible(&id).is_some() {
            return false;
        }
        let body = storage::container::defaults(&json!({"properties": {}}));
        let state = super::resource::State::Succeeded;
        self.store(&storage::container::CONTAINER, &id, body, None, state);
        true
    }

    /// Deletes a container through the data plane; `false` when there is none.
    pub fn delete_container(&mut self, account: &str, container: &str) -> bool {
        let Some(id) = self.account(account).map(|a| a.id.clone()) else { return false };
        let key = ids::key(&format!("{id}/blobServices/default/containers/{container}"));
        let found = self.resources.contains_key(&key);
        self.remove_tree(&key);
        found
    }
}

/// The word by which faults and counters name the type of a request.
fn type_word(path: &ArmPath) -> String {
    if let Some(last) = path.types.last() {
        return last.clone();
    }
    if path.group.is_some() && path.rest.is_empty() {
        return "resourceGroups".to_owned();
    }
    match path.rest.first() {
        Some(word) if word.eq_ignore_ascii_case("resourcegroups") => "resourceGroups".to_owned(),
        Some(word) => word.clone(),
        None => "subscriptions".to_owned(),
    }
}

/// The type by which requests are counted: canonical where it is known.
fn type_name(path: &ArmPath) -> String {
    if path.types.is_empty() || path.types[0].eq_ignore_ascii_case("locations") {
        let word = type_word(path);
        if word == "resourceGroups" {
            return groups::GROUP.rtype.to_owned();
        }
        return word;
    }
    let own = path.type_key();
    kind::find(&own).map_or_else(
        || format!("{}/{}", path.namespace, path.types.join("/")),
        |kind| kind.rtype.to_owned(),
    )
}
