//! Inputs with their defaults, from configuration, prior state and what the region offers.

use std::sync::Arc;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::rules;
use hcs_planner::spec::defaults;
use hcs_planner::upgrade::Channel;
use hcs_planner::{names, releases};
use semver::Version;
use tfplugin::plan::equality::keep_equal;
use tfplugin::{Path, Value};

use super::Planner;
use crate::cluster::model::Cluster;
use crate::cluster::spec;
use hcs_engine::regions::NoSize;

impl Planner {
    /// What only is spelled in another way stays as it is stored, so that an import or a respelling plans nothing.
    pub(super) fn keep_spellings(&mut self) {
        keep_equal(&self.schema, &self.prior, &mut self.planned);
    }

    pub(super) fn names(&mut self) {
        self.default(Cluster::MANAGED_RESOURCE_GROUP_NAME, |planned| {
            match (
                planned.get(Cluster::RESOURCE_GROUP_NAME).as_str(),
                planned.get(Cluster::NAME).as_str(),
            ) {
                (Some(group), Some(name)) => names::default_managed_group(group, name).into(),
                _ => Value::unknown(),
            }
        });
        self.default(Cluster::CONSUL_DATACENTER, |planned| {
            match planned.get(Cluster::NAME).as_str() {
                Some(name) => name.into(),
                None => Value::unknown(),
            }
        });
        let managed =
            self.planned.get(Cluster::MANAGED_RESOURCE_GROUP_NAME).as_str().map(str::to_owned);
        if let Some(managed) = managed
            && let Err(detail) = rules::resource_group(&managed)
        {
            self.error(Cluster::MANAGED_RESOURCE_GROUP_NAME, "Invalid resource group name", detail);
        }
        let datacenter = self.planned.get(Cluster::CONSUL_DATACENTER).as_str().map(str::to_owned);
        if let Some(datacenter) = datacenter
            && let Err(detail) = rules::datacenter(&datacenter)
        {
            self.error(Cluster::CONSUL_DATACENTER, "Invalid Consul datacenter", detail);
        }
    }

    /// The group may be made by the same run: then it is not there yet, and only `location` can tell the region.
    pub(super) async fn location(&mut self) {
        let known_already =
            !self.prior.get(Cluster::LOCATION).is_null() && !self.configured(Cluster::LOCATION);
        if known_already || !self.is_create() {
            self.default(Cluster::LOCATION, |_| Value::unknown());
            return;
        }
        let group = self.planned.get(Cluster::RESOURCE_GROUP_NAME).as_str().map(str::to_owned);
        let Some(group) = group else {
            self.default(Cluster::LOCATION, |_| Value::unknown());
            return;
        };
        let id = ArmId::resource_group(self.client.subscription_id(), &group);
        let body = match self.arm.get(&id, Kind::ResourceGroup).await {
            Ok(body) => body,
            Err(error) => {
                self.unread(&format!("resource group {group}"), &error);
                if !self.configured(Cluster::LOCATION) {
                    self.needs(
                        Cluster::LOCATION,
                        "the resource group, from which it follows",
                        &error,
                    );
                    self.default(Cluster::LOCATION, |_| Value::unknown());
                }
                return;
            }
        };
        let location = body.and_then(|body| Some(body.pointer("/location")?.as_str()?.to_owned()));
        match (location, self.configured(Cluster::LOCATION)) {
            (Some(_), true) => {}
            (Some(location), false) => {
                self.planned.set(Cluster::LOCATION, rules::location(&location));
            }
            (None, true) => self.warn(
                Cluster::RESOURCE_GROUP_NAME,
                &format!("Resource group {group:?} does not exist yet"),
                "That is fine when this run makes it before the cluster; otherwise the apply will \
                 stop before it makes anything.",
            ),
            (None, false) => {
                self.planned.set(Cluster::LOCATION, Value::unknown());
                self.error(
                    Cluster::RESOURCE_GROUP_NAME,
                    &format!("Resource group {group:?} does not exist"),
                    "The cluster takes its region from the group, which is not there. Create the \
                     group first, correct the name, or, if this run makes the group, set location.",
                );
            }
        }
    }

    pub(super) fn defaults(&mut self) {
        tfplugin::plan::fill_defaults(&self.schema, &self.config, &mut self.planned);
        self.default(Cluster::ARTIFACT_SOURCE, |_| Value::Null);
        let gallery = self.config.get(Cluster::SOURCE_IMAGE_ID);
        if !self.configured(Cluster::IMAGE) && !gallery.is_null() {
            // Whether the servers come from the marketplace is known when this is.
            let own = if gallery.is_unknown() { Value::unknown() } else { Value::Null };
            self.planned.set(Cluster::IMAGE, own);
        }
        if !self.configured(Cluster::VNET_CIDR) {
            // A network of the cluster's own, unless the servers live in the user's.
            let own = match self.config.get(Cluster::SUBNET_ID) {
                // Whether there is one is known when it is.
                subnet if subnet.is_unknown() => Value::unknown(),
                subnet if subnet.is_null() => defaults::VNET_CIDR.into(),
                _ => Value::Null,
            };
            self.planned.set(Cluster::VNET_CIDR, own);
        }
    }

    pub(super) async fn zones(&mut self) {
        let location = self.planned.get(Cluster::LOCATION).as_str().map(rules::location);
        let size = self.planned.get(Cluster::VM_SIZE).as_str().map(str::to_owned);
        let Some(location) = location else {
            self.default(Cluster::ZONES, |_| Value::unknown());
            return;
        };
        let region = match self.client.region(&self.arm, &location).await {
            Ok(Ok(region)) => region,
            Ok(Err(regions)) => {
                let detail = format!(
                    "This subscription has no region {location:?}. It has: {}.",
                    regions.join(", ")
                );
                self.error(Cluster::LOCATION, "Unknown region", detail);
                self.default(Cluster::ZONES, |_| Value::unknown());
                return;
            }
            Err(error) => {
                self.unread(&format!("the offer of region {location}"), &error);
                if !self.configured(Cluster::ZONES) && self.prior.get(Cluster::ZONES).is_null() {
                    self.needs(
                        Cluster::ZONES,
                        "what the region offers, from which they follow",
                        &error,
                    );
                }
                self.default(Cluster::ZONES, |_| Value::unknown());
                return;
            }
        };
        self.region = Some(Arc::clone(&region));
        let Some(size) = size else {
            self.default(Cluster::ZONES, |_| Value::unknown());
            return;
        };
        let offered = match region.zones_of(&size) {
            Ok(offered) => offered.to_vec(),
            // A size that Azure retires keeps running where it runs.
            Err(_) if !self.is_create() && self.same(Cluster::VM_SIZE) => {
                self.default(Cluster::ZONES, |_| Value::unknown());
                return;
            }
            Err(reason) => {
                let detail = no_size(&location, &size, &reason, &region.alternatives());
                self.error(Cluster::VM_SIZE, "VM size is not available", detail);
                self.default(Cluster::ZONES, |_| Value::unknown());
                return;
            }
        };
        if let (Some(why), true) =
            (region.unfit(&size), self.is_create() || !self.same(Cluster::VM_SIZE))
        {
            let others = region.alternatives().join(", ");
            let detail =
                format!("{size} does not fit: {why}. {location} has for instance {others}.");
            self.error(Cluster::VM_SIZE, "VM size does not fit", detail);
        }
        let before = self.prior.get(Cluster::VM_SIZE).as_str().filter(|_| !self.is_create());
        if let Some(before) = before.filter(|before| !before.eq_ignore_ascii_case(&size))
            && region.is_accelerated(before)
            && !region.is_accelerated(&size)
        {
            let detail = format!(
                "The servers have accelerated networking, as {before} offers it, and {size} does not: Azure refuses to \
                 start them with it. Choose a size that offers it, or make another cluster of {size}."
            );
            self.error(Cluster::VM_SIZE, "VM size does not fit", detail);
        }
        self.default(Cluster::ZONES, |_| offered.clone().into());
        self.fallback_sizes(&location, &region);
        let unchanged = [Cluster::ZONES, Cluster::VM_SIZE, Cluster::ZONE_FALLBACK]
            .iter()
            .all(|name| self.same(name));
        if self.is_create() || !unchanged {
            self.check_zones(&location, &size, &offered);
        }
    }

    /// Sizes to fall back to must be sizes of the region.
    fn fallback_sizes(&mut self, location: &str, region: &hcs_engine::regions::Region) {
        let sizes = spec::texts(self.planned.get(Cluster::VM_SIZE_FALLBACKS)).unwrap_or_default();
        for (index, size) in sizes.iter().enumerate() {
            if let Some(why) = region.unfit(size) {
                let path = Path::root(Cluster::VM_SIZE_FALLBACKS).index(index);
                self.error(path, "VM size does not fit", format!("{size} does not fit: {why}."));
            }
            if let Err(reason) = region.zones_of(size) {
                let detail = no_size(location, size, &reason, &region.alternatives());
                let path = Path::root(Cluster::VM_SIZE_FALLBACKS).index(index);
                self.error(path, "VM size is not available", detail);
            }
        }
    }

    /// A zone that exists for the size; where a server may go elsewhere, a zone that withholds it is only a warning.
    fn check_zones(&mut self, location: &str, size: &str, offered: &[String]) {
        let Some(zones) = spec::texts(self.planned.get(Cluster::ZONES)) else { return };
        let chosen = self.configured(Cluster::ZONES);
        let is_strict = self.planned.get(Cluster::ZONE_FALLBACK).as_str() != Some("prefer")
            && self.planned.get(Cluster::ZONE_FALLBACK).as_str() != Some("best_effort");
        for (index, zone) in zones.iter().enumerate() {
            if offered.contains(zone) {
                continue;
            }
            let (path, what) = if chosen {
                (Path::root(Cluster::ZONES).index(index), "Unknown zone")
            } else {
                (Path::root(Cluster::VM_SIZE), "VM size is not available in a zone of the cluster")
            };
            let detail = if offered.is_empty() {
                format!(
                    "{location} has no zones for {size}. Set zones = [] or choose another vm_size."
                )
            } else {
                format!(
                    "{location} does not offer {size} in zone {zone} to this subscription. It \
                     offers it in zones {}.",
                    offered.join(", ")
                )
            };
            if is_strict {
                self.error(path, what, detail);
            } else {
                self.warn(path, what, format!("{detail} A server there goes elsewhere."));
            }
        }
    }

    pub(super) fn version(&mut self) {
        if self.configured(Cluster::CONSUL_VERSION) {
            return self.check_channel();
        }
        let text = |value: &Value| value.as_str().and_then(|text| text.parse::<Version>().ok());
        let floor = self.planned.get(Cluster::MIN_CONSUL_VERSION);
        let version = if floor.is_unknown() {
            Value::unknown()
        } else {
            let runs = text(self.prior.get(Cluster::CONSUL_VERSION));
            releases::undeclared(runs, text(floor)).to_string().into()
        };
        self.planned.set(Cluster::CONSUL_VERSION, version);
    }

    /// An exact version stays until another one is written, and a channel moves it. What an import generates has both: then
    /// it says what runs, and that is fine until the channel moves it.
    fn check_channel(&mut self) {
        let channel = self.planned.get(Cluster::CONSUL_UPGRADE_CHANNEL).as_str();
        if channel.is_none_or(|word| word == Channel::None.as_str()) {
            return;
        }
        let detail = "An exact version stays until another one is written, and a channel moves it: as soon as it has, \
                      the two contradict each other. Leave consul_version out (the cluster stays at what it runs, and \
                      the channel goes on from there), or set consul_upgrade_channel = \"none\". A floor is \
                      min_consul_version.";
        let summary = "consul_upgrade_channel does not go with consul_version";
        if !self.is_create() && self.same(Cluster::CONSUL_VERSION) {
            self.warn(Cluster::CONSUL_VERSION, summary, detail);
        } else {
            self.error(Cluster::CONSUL_VERSION, summary, detail);
        }
    }

    /// An import writes tags that the provider gives anyway not at all: what comes to the same stays as it is stored.
    pub(super) fn keep_tags(&mut self) {
        let (prior, planned) = (self.prior.get(Cluster::TAGS), self.planned.get(Cluster::TAGS));
        let tags = |value: &Value| self.client.tagging.of_cluster(value).ok();
        if !prior.is_null()
            && !planned.is_null()
            && tags(planned).is_some()
            && tags(planned) == tags(prior)
        {
            let stored = prior.clone();
            self.planned.set(Cluster::TAGS, stored);
        }
    }
}

pub(crate) fn no_size(location: &str, size: &str, reason: &NoSize, others: &[&str]) -> String {
    let why = match reason {
        NoSize::Absent => format!("{location} does not have the VM size {size}."),
        NoSize::Restricted(code) => {
            format!("{location} has {size}, but not for this subscription ({code}).")
        }
    };
    if others.is_empty() {
        format!("{why} Choose another vm_size or location.")
    } else {
        format!("{why} It has for instance {}.", others.join(", "))
    }
}
