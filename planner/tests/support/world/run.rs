//! Carries out steps on a world, and refuses what Azure, Consul or a server would not do.

use super::*;

struct Resolver<'a> {
    outputs: &'a BTreeMap<String, Value>,
}

impl Outputs for Resolver<'_> {
    fn output(&self, object: &str, pointer: &str) -> Option<Value> {
        self.outputs.get(object)?.pointer(pointer).cloned()
    }
    fn parameter(&self, name: &str) -> Option<Value> {
        Some(json!(format!("parameter {name}")))
    }
}

/// A run of steps: what the engine holds while it runs.
pub(crate) struct Run<'w> {
    world: &'w mut World,
    names: Names,
    outputs: BTreeMap<String, Value>,
    granted: bool,
    /// All servers were seen to be well since the state was another one.
    seen_healthy: bool,
    /// How many addresses the books may have wrong at one time: that of the server whose turn it is, or of those that
    /// were missing from the beginning.
    wrong_max: usize,
    spec: ClusterSpec,
}

impl<'w> Run<'w> {
    pub(crate) fn new(world: &'w mut World, spec: &ClusterSpec) -> Self {
        let observed = world.observe(spec);
        let outputs = hcs_planner::desired::outputs(spec, &observed);
        let wrong_max = world.wrong_addresses(spec).max(1);
        let spec = spec.clone();
        Self {
            world,
            names: Names::new(&spec),
            outputs,
            granted: false,
            seen_healthy: false,
            wrong_max,
            spec,
        }
    }

    /// An object as it is now.
    pub(crate) fn body(&self, id: &ArmId) -> Option<Value> {
        self.world.objects.get(&id.key()).cloned()
    }

    /// Carries out one step, or says why it cannot be.
    pub(crate) fn carry_out(&mut self, step: &Step) -> Result<(), String> {
        match &step.action {
            Action::Put { object, kind, id, body, update, .. } => {
                self.put(object, *kind, id, body, *update, step.slot)?;
            }
            Action::AwaitProvisioned { object, id, .. } => {
                let body = self.world.objects.get_mut(&id.key()).ok_or("it is not there")?;
                body["properties"]["provisioningState"] = json!("Succeeded");
                self.outputs.insert(object.clone(), body.clone());
            }
            Action::Delete { kind, id, .. } => self.delete(*kind, id, step.slot)?,
            Action::Restart { slot, scale_set, .. } => {
                let set = self.world.objects.get(&scale_set.key()).ok_or("no scale set")?;
                self.world.machines.insert(*slot, place_in(set).vm_size);
                self.healthy_without(*slot)?;
            }
            Action::GrantCallerBlobAccess { .. } => {
                self.container(container::CONFIG)?;
                self.granted = true;
            }
            Action::WriteDocument { container, name, content, .. } => {
                self.container(container)?;
                let content = resolve(content, &Resolver { outputs: &self.outputs })
                    .map_err(|error| error.to_string())?;
                self.rights()?;
                if name == blob::CLUSTER {
                    self.versions_are_there(&content)?;
                    self.roll(&content)?;
                }
                let wants_state = self.spec.restore_from_snapshot_id.is_some()
                    && !self.world.documents.contains_key(READY_BLOB);
                if name == READY_BLOB && wants_state && !(self.world.restored && self.seen_healthy)
                {
                    return Err("it is called ready without the state that it begins with".into());
                }
                self.world.documents.insert(name.clone(), content);
            }
            Action::MintSecret { secret } => {
                self.rights()?;
                self.mint(secret)?;
            }
            Action::UploadArtifact { artifact } => {
                self.rights()?;
                self.container(container::ARTIFACTS)?;
                let name = match artifact {
                    Artifact::Consul { version } => format!("consul {version}"),
                    Artifact::HostManager => "host manager".to_owned(),
                };
                self.world.blobs.insert(name);
            }
            Action::ReadAddress { slot, .. } => {
                let address = self.world.addresses.get(slot).ok_or("no machine")?;
                self.outputs.insert(object::address(*slot), json!({ "privateIp": address }));
            }
            Action::Withdraw { slot } => {
                self.rights()?;
                self.world.asked.remove(slot);
            }
            Action::Ask { slot, remaining, .. } => {
                self.rights()?;
                self.leave(*slot, remaining)?;
            }
            Action::RestoreSnapshot { .. } => {
                self.rights()?;
                self.container(container::SNAPSHOTS)?;
                if self.world.documents.contains_key(READY_BLOB) {
                    return Err("a cluster that is ready would lose its state".to_owned());
                }
                // Nobody would say for half an hour why nobody answers.
                if !self.seen_healthy {
                    return Err("nobody knows that there is a server to ask".to_owned());
                }
                self.world.restored = true;
                self.seen_healthy = false;
            }
            Action::WaitHealthy { voters, consul_version } => {
                self.healthy(voters)?;
                self.seen_healthy = true;
                self.finish_rolling();
                for voter in voters {
                    let runs = self.world.versions.get(&voter.slot);
                    if runs != consul_version.as_ref() {
                        return Err(format!("{} runs {runs:?}", voter.node_name));
                    }
                }
            }
        }
        self.still_serves()
    }

    /// What must hold after every step.
    fn still_serves(&mut self) -> Result<(), String> {
        let wrong = self.world.wrong_addresses(&self.spec);
        if wrong > self.wrong_max {
            return Err(format!(
                "clients would find {wrong} addresses of servers that are not there"
            ));
        }
        self.wrong_max = self.wrong_max.min(wrong.max(1));
        if !self.world.machines.is_empty() {
            self.world.account_is_in_reach()?;
        }
        let alive = u32::try_from(self.world.alive().count()).unwrap();
        let members = u32::try_from(self.world.raft.len()).unwrap();
        if members > 0 && alive < quorum(members) {
            return Err(format!("the quorum is lost: {alive} of {members} voters are left"));
        }
        Ok(())
    }

    /// The host managers give every server the document's Consul.
    fn roll(&mut self, document: &Value) -> Result<(), String> {
        let version: semver::Version = from(document["consul"]["version"].clone());
        if !self.world.blobs.contains(&format!("consul {version}")) {
            return Err(format!("Consul {version} was not uploaded"));
        }
        for slot in self.world.raft.clone() {
            self.world.versions.insert(slot, version.clone());
        }
        Ok(())
    }

    /// By the time that anybody waits for, the host managers have done what the document says.
    fn finish_rolling(&mut self) {
        let document = self.world.documents.get(blob::CLUSTER);
        let Some(version) = document.map(|document| document["consul"]["version"].clone()) else {
            return;
        };
        for slot in self.world.raft.clone() {
            self.world.versions.insert(slot, from(version.clone()));
        }
    }

    fn documented(&self, field: &str) -> Vec<u32> {
        let document = self.world.documents.get(blob::CLUSTER);
        document.map_or_else(Vec::new, |document| from(document[field].clone()))
    }

    fn rights(&self) -> Result<(), String> {
        if !self.granted {
            return Err("the caller may not write blobs".into());
        }
        self.world.account_is_told(&self.spec)
    }

    fn container(&self, name: &str) -> Result<(), String> {
        let is_there = self.world.has(&self.names.container(name));
        if is_there { Ok(()) } else { Err(format!("container {name} is not there")) }
    }

    fn mint(&mut self, secret: &Secret) -> Result<(), String> {
        let (within, name) = match secret.kind {
            SecretKind::CertificateAuthority => (container::SECRETS_SHARED.to_owned(), "ca"),
            SecretKind::GossipKey => (container::SECRETS_SHARED.to_owned(), "gossip"),
            SecretKind::ManagementToken => (container::SECRETS_SHARED.to_owned(), "management"),
            SecretKind::AgentToken { slot } => (container::secrets(slot), "token"),
        };
        self.container(&within)?;
        self.world.blobs.insert(format!("{within}/{}", secret.version.blob(name)));
        Ok(())
    }

    /// A server that is told of a version finds it.
    fn versions_are_there(&self, document: &Value) -> Result<(), String> {
        let rotations: BTreeMap<String, Rotation> = document
            .get("rotations")
            .map_or_else(BTreeMap::new, |rotations| from(rotations.clone()));
        let shared = |name: &str| vec![(container::SECRETS_SHARED.to_owned(), name.to_owned())];
        for (what, rotation) in rotations {
            let blobs = match Rotated::of(&what) {
                _ if rotation.version.is_first() => vec![],
                Some(Rotated::GossipKey) => shared("gossip"),
                Some(Rotated::ManagementToken) => shared("management"),
                Some(Rotated::CertificateAuthority) => shared("ca"),
                Some(Rotated::AgentTokens) => {
                    let raft = self.world.raft.iter();
                    raft.map(|slot| (container::secrets(*slot), "token".to_owned())).collect()
                }
                Some(Rotated::ClientToken) | None => vec![],
            };
            for (within, name) in blobs {
                let blob = format!("{within}/{}", rotation.version.blob(&name));
                if !self.world.blobs.contains(&blob) {
                    return Err(format!("the document names {blob}, which was never made"));
                }
            }
        }
        Ok(())
    }

    fn healthy(&self, voters: &[Voter]) -> Result<(), String> {
        let wanted: BTreeSet<u32> = voters.iter().map(|voter| voter.slot).collect();
        let alive: BTreeSet<u32> = self.world.alive().collect();
        if wanted == alive {
            return Ok(());
        }
        Err(format!("the voters are {alive:?}, waited for are {wanted:?}"))
    }

    fn healthy_without(&self, slot: u32) -> Result<(), String> {
        let alive = self.world.alive().filter(|other| *other != slot).count();
        let members = self.world.raft.len();
        let needed = usize::try_from(quorum(u32::try_from(members).unwrap())).unwrap();
        if alive >= needed || members == 1 {
            return Ok(());
        }
        Err(format!("without server {slot} {alive} of {members} are left"))
    }

    fn leave(&mut self, slot: u32, remaining: &[Voter]) -> Result<(), String> {
        let set = self.world.objects.get(&self.names.scale_set(slot).key());
        let unique = set.and_then(|set| set["properties"]["uniqueId"].as_str());
        let id = leave_request_id(&self.names.server(slot), unique.ok_or("no scale set")?);
        self.world.forget_the_dead();
        self.world.raft.remove(&slot);
        self.world.left.insert(slot, id);
        self.world.asked.remove(&slot);
        self.healthy(remaining)
    }

    fn put(
        &mut self,
        object: &str,
        kind: Kind,
        id: &ArmId,
        body: &Value,
        update: bool,
        slot: Option<u32>,
    ) -> Result<(), String> {
        let resolver = Resolver { outputs: &self.outputs };
        let mut body = resolve(body, &resolver).map_err(|error| error.to_string())?;
        let old = self.world.objects.get(&id.key()).cloned();
        if old.is_some() != update {
            return Err(format!("update is {update}, but it exists: {}", old.is_some()));
        }
        if old.as_ref().is_some_and(|old| old["properties"]["provisioningState"] == "Updating") {
            return Err("another write is under way".into());
        }
        body["id"] = json!(id);
        body["properties"]["provisioningState"] = json!("Succeeded");
        if let Some(old) = &old {
            fixed(kind, old, &body)?;
        }
        match kind {
            Kind::Identity => {
                self.world.made += 1;
                let known = old.map(|old| old["properties"]["principalId"].clone());
                let fresh = json!(format!("p-{}-{}", id.name(), self.world.made));
                body["properties"]["principalId"] = known.unwrap_or(fresh);
            }
            Kind::LoadBalancer => {
                let frontend = &mut body["properties"]["frontendIPConfigurations"][0]["properties"];
                if frontend.get("subnet").is_some() {
                    frontend["privateIPAddress"] = json!("172.25.16.4");
                }
            }
            Kind::PublicIpAddress => body["properties"]["ipAddress"] = json!("203.0.113.9"),
            Kind::StorageAccount => {
                body["properties"]["primaryEndpoints"] = json!({ "blob": "https://acct/" });
            }
            Kind::ScaleSet => {
                let slot = slot.ok_or("a scale set without a slot")?;
                if !self.world.machines.contains_key(&slot) {
                    self.boot(slot, &mut body)?;
                }
                body["properties"]["timeCreated"] = json!(time(self.world.made));
                if let Some(old) = old {
                    for kept in ["uniqueId", "timeCreated"] {
                        body["properties"][kept] = old["properties"][kept].clone();
                    }
                }
            }
            Kind::Peering if !self.world.has(&self.names.vnet()) => return Err("no network".into()),
            _ => {}
        }
        *self.world.writes.entry(id.key()).or_default() += 1;
        self.outputs.insert(object.to_owned(), body.clone());
        self.world.objects.insert(id.key(), body);
        Ok(())
    }

    /// A machine starts: all that it reads must be there.
    fn boot(&mut self, slot: u32, body: &mut Value) -> Result<(), String> {
        for secret in ["ca", "gossip", "management"] {
            if !self.world.blobs.contains(&format!("secrets-shared/{secret}")) {
                return Err(format!("{secret} was not made"));
            }
        }
        let own = container::secrets(slot);
        let document = self.world.documents.get(blob::CLUSTER).ok_or("no document")?;
        let rotations = document.get("rotations").cloned().unwrap_or_default();
        let version = rotations["agent_tokens"]["version"].clone();
        let token = from::<SecretVersion>(version).blob("token");
        if !self.world.blobs.contains(&format!("{own}/{token}")) {
            return Err("its token was not made".into());
        }
        if !self.world.blobs.contains("host manager") {
            return Err("the host manager was not uploaded".into());
        }
        if self.world.asked.contains_key(&slot) {
            return Err("a request to leave waits for it".into());
        }
        for container in [&own, &container::status(slot)] {
            self.container(container)?;
        }
        let status = self.names.container(&container::status(slot));
        let shared = self.names.shared_identity();
        if !self.world.has(&role_assignment_id(&status, shared.as_str(), ROLE_BLOB_READER)) {
            return Err("the others may not read its status".into());
        }
        let document = self.world.documents.get(blob::CLUSTER).ok_or("no cluster document")?;
        if !["slots", "others"].iter().any(|field| self.documented(field).contains(&slot)) {
            return Err("the document does not know it".into());
        }
        let version: semver::Version = from(document["consul"]["version"].clone());
        let roles = self.world.objects.values().filter(|body| {
            let principal = body["properties"]["principalId"].as_str().unwrap_or_default();
            principal.starts_with(&format!("p-{}-", self.names.server(slot)))
        });
        // The identity itself and its roles on its two containers.
        if roles.count() < 3 {
            return Err("its identity has no rights".into());
        }
        let subnet = subnet_in(body).ok_or("no subnet")?;
        let own = |zone: &str| self.spec.zone_subnet_ids.get(zone).cloned();
        let own = body["zones"][0].as_str().and_then(own).unwrap_or_else(|| self.names.subnet());
        if ArmId::new(subnet) != own {
            return Err(format!("{subnet} is not the cluster's"));
        }
        if ArmId::new(subnet).is_within(&self.names.cluster_id)
            && !self.world.has(&self.names.vnet())
        {
            return Err("no network".into());
        }
        self.world.made += 1;
        let made = self.world.made;
        body["properties"]["uniqueId"] = json!(format!("unique-{made}"));
        self.world.addresses.insert(slot, format!("172.25.16.{}", 4 + made % 250));
        self.world.machines.insert(slot, place_in(body).vm_size);
        self.world.versions.insert(slot, version);
        self.world.left.remove(&slot);
        self.world.died.remove(&slot);
        self.world.raft.insert(slot);
        Ok(())
    }

    fn delete(&mut self, kind: Kind, id: &ArmId, slot: Option<u32>) -> Result<(), String> {
        let locks =
            format!("{}/providers/microsoft.authorization/locks/", self.names.cluster_id.key());
        let is_locked = self.world.objects.keys().any(|key| key.starts_with(&locks));
        if kind != Kind::Lock && id.is_within(&self.names.cluster_id) && is_locked {
            return Err("a lock forbids it".into());
        }
        let old = self.world.objects.get(&id.key());
        // A newer write of a scale set preempts the one under way; only a server that lives is to be waited for.
        let is_dead = slot.is_some_and(|slot| self.world.died.contains_key(&slot));
        if old.is_some_and(|old| old["properties"]["provisioningState"] == "Updating") && !is_dead {
            return Err("a write is under way".into());
        }
        self.world.hangs_on(id)?;
        if kind == Kind::ScaleSet {
            let slot = slot.ok_or("a scale set without a slot")?;
            if self.world.raft.contains(&slot) && self.world.machines.contains_key(&slot) {
                return Err(format!("server {slot} still counts"));
            }
            self.world.machines.remove(&slot);
            self.world.addresses.remove(&slot);
        }
        if kind == Kind::BlobContainer {
            let prefix = format!("{}/", id.name());
            self.world.blobs.retain(|name| !name.starts_with(&prefix));
            // A server that boots now reads the status of everybody whom the document counts on.
            let slot = id.name().strip_prefix("status-").and_then(|slot| slot.parse().ok());
            if slot.is_some_and(|slot| self.documented("slots").contains(&slot)) {
                return Err(format!("the document counts on {}", id.name()));
            }
        }
        if kind == Kind::ResourceGroup {
            *self.world =
                World { objects: std::mem::take(&mut self.world.objects), ..World::empty() };
        }
        // Rights outlive what they are on, unless their group goes.
        let rights = "/providers/microsoft.authorization/roleassignments/";
        let whole = kind == Kind::ResourceGroup;
        self.world.objects.retain(|key, body| {
            let own = ArmId::new(body["id"].as_str().unwrap_or_default());
            !own.is_within(id) || (own != *id && !whole && key.contains(rights))
        });
        Ok(())
    }
}

/// What Azure never changes.
fn fixed(kind: Kind, old: &Value, new: &Value) -> Result<(), String> {
    let pointers: &[&str] = match kind {
        Kind::ScaleSet => &[
            "/zones",
            "/properties/virtualMachineProfile/storageProfile",
            "/properties/platformFaultDomainCount",
        ],
        Kind::PublicIpAddress => &["/zones", "/sku"],
        Kind::StorageAccount => &["/sku", "/kind"],
        Kind::RoleAssignment => &["/properties"],
        _ => &[],
    };
    let strip = |value: Option<&Value>| {
        let mut value = value.cloned().unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.remove("provisioningState");
        }
        value
    };
    match pointers.iter().find(|pointer| strip(old.pointer(pointer)) != strip(new.pointer(pointer)))
    {
        Some(pointer) => Err(format!("Azure does not change {pointer}")),
        None => Ok(()),
    }
}
