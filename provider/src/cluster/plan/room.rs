//! The image of a gallery, and room that is reserved, looked at while planning.

use std::collections::{BTreeMap, BTreeSet};

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::placement::zone_of;
use hcs_planner::rules;
use hcs_planner::spec::ClusterSpec;
use serde_json::Value;

use super::Planner;
use crate::cluster::model::Cluster;

/// Microsoft's stable version of galleries with all that is read here.
const GALLERIES_API_VERSION: &str = "2022-03-03";

impl Planner {
    /// What Azure would refuse, or fail to start, only when the servers are made.
    pub(super) async fn check_room(&mut self, spec: &ClusterSpec, is_new: bool) {
        if is_new || !self.same(Cluster::SOURCE_IMAGE_ID) {
            self.check_gallery(spec).await;
        }
        let asks = [
            Cluster::CAPACITY_RESERVATION_GROUP_ID,
            Cluster::VM_SIZE,
            Cluster::ZONES,
            Cluster::SERVER_COUNT,
        ];
        if is_new || asks.into_iter().any(|name| !self.same(name)) {
            self.check_reservations(spec).await;
        }
    }

    /// The version is there, and where the servers are made.
    async fn check_gallery(&mut self, spec: &ClusterSpec) {
        let Some(id) = &spec.source_image_id else { return };
        let attribute = Cluster::SOURCE_IMAGE_ID;
        let version = self.arm.get_path(&format!("{id}?api-version={GALLERIES_API_VERSION}")).await;
        let version = match version {
            Ok(Some(version)) => version,
            Ok(None) => {
                let detail = format!("{id} is not there. That is fine when this run makes it.");
                self.warn(attribute, "Image does not exist yet", detail);
                return;
            }
            Err(error) => {
                self.unread(&format!("the image {id}"), &error);
                return;
            }
        };
        let regions: Vec<String> = version
            .pointer("/properties/publishingProfile/targetRegions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|region| Some(rules::location(region.pointer("/name")?.as_str()?)))
            .collect();
        if !regions.is_empty() && !regions.contains(&spec.location) {
            let detail = format!(
                "{id} is replicated to {}, and the cluster is in {}. Replicate it to {} too (target_region of \
                 azurerm_shared_image_version), or name another image.",
                regions.join(", "),
                spec.location,
                spec.location
            );
            self.error(attribute, "Image is not in the cluster's region", detail);
        }
        self.check_image_kind(id).await;
    }

    /// The servers are x64 machines of generation 2 that run Linux.
    async fn check_image_kind(&mut self, version: &ArmId) {
        let Some((image, _)) = version.as_str().rsplit_once("/versions/") else { return };
        let definition =
            self.arm.get_path(&format!("{image}?api-version={GALLERIES_API_VERSION}")).await;
        // Whoever may read a version alone is not told of more.
        let Ok(Some(definition)) = definition else { return };
        let word = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str);
        let wanted = [
            ("/properties/osType", "Linux", "the servers run Linux"),
            ("/properties/hyperVGeneration", "V2", "the servers are of generation 2"),
            ("/properties/architecture", "x64", "the servers' programs are for x64"),
            ("/properties/osState", "Generalized", "the servers take their setup at birth"),
        ];
        let found = wanted.into_iter().filter_map(|(pointer, fits, why)| {
            let own = word(pointer).filter(|own| !own.eq_ignore_ascii_case(fits))?;
            let name = pointer.rsplit('/').next().unwrap_or_default();
            Some(format!("{name} is {own}, and {why}"))
        });
        let mut found: Vec<String> = found.collect();
        let features = definition.pointer("/properties/features").and_then(Value::as_array);
        let mut features = features.into_iter().flatten();
        let kind = features
            .find(|feature| feature.pointer("/name").is_some_and(|name| name == "SecurityType"));
        match kind.and_then(|feature| feature.pointer("/value")?.as_str()) {
            Some(kind) if kind.starts_with("TrustedLaunch") => {}
            Some(kind) => {
                found.push(format!(
                    "its SecurityType is {kind}, and the servers start securely (TrustedLaunch)"
                ));
            }
            None => {
                let detail = format!(
                    "{image} does not say that it is for machines that start securely (SecurityType TrustedLaunchSupported), \
                     as the servers do; Azure may refuse them. An image definition is made with it \
                     (trusted_launch_supported of azurerm_shared_image) or without it for good."
                );
                self.warn(Cluster::SOURCE_IMAGE_ID, "Image may not fit the servers", detail);
            }
        }
        if !found.is_empty() {
            let detail = format!("{image} does not fit: {}. Name another image.", found.join("; "));
            self.error(Cluster::SOURCE_IMAGE_ID, "Image does not fit the servers", detail);
        }
    }

    /// Each zone has room for the size, where a helper may stand as well.
    async fn check_reservations(&mut self, spec: &ClusterSpec) {
        let Some(group) = &spec.capacity_reservation_group_id else { return };
        let attribute = Cluster::CAPACITY_RESERVATION_GROUP_ID;
        if spec.zones.is_empty() {
            let detail = rules::RESERVATION_NEEDS_ZONES;
            self.error(attribute, "capacity_reservation_group_id needs zones", detail);
            return;
        }
        let version = Kind::ScaleSet.api_version();
        let path = format!("{group}/capacityReservations?api-version={version}");
        let rows = match self.arm.list(&path).await {
            Ok(rows) => rows,
            Err(error) => {
                self.unread(&format!("the reservations of {group}"), &error);
                return;
            }
        };
        if rows.is_empty() {
            let detail = format!(
                "{group} is not there, or reserves nothing. That is fine when this run makes it and its reservations."
            );
            self.warn(attribute, "Nothing is reserved yet", detail);
            return;
        }
        let text = |row: &Value, pointer: &str| {
            row.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let regions: BTreeSet<String> =
            rows.iter().map(|row| rules::location(&text(row, "/location"))).collect();
        if !regions.contains(&spec.location) {
            let regions: Vec<String> = regions.into_iter().collect();
            let detail = format!(
                "{} reserves in {}, and the cluster is in {}. Name a group there.",
                group.name(),
                regions.join(", "),
                spec.location
            );
            self.error(attribute, "Capacity reservation group is in another region", detail);
            return;
        }
        let mut reserved = BTreeMap::<String, u64>::new();
        for row in &rows {
            if text(row, "/sku/name").eq_ignore_ascii_case(&spec.vm_size) {
                let machines = row.pointer("/sku/capacity").and_then(Value::as_u64).unwrap_or(0);
                *reserved.entry(text(row, "/zones/0")).or_default() += machines;
            }
        }
        self.check_zones_have_room(spec, group, &reserved);
    }

    /// `reserved`: machines of the servers' size, by zone.
    fn check_zones_have_room(
        &mut self,
        spec: &ClusterSpec,
        group: &ArmId,
        reserved: &BTreeMap<String, u64>,
    ) {
        let attribute = Cluster::CAPACITY_RESERVATION_GROUP_ID;
        // The slot behind the last is the helper's.
        let slots = 0..=spec.server_count;
        let used: BTreeSet<&str> = slots.filter_map(|slot| zone_of(slot, &spec.zones)).collect();
        let missing: Vec<&str> =
            used.iter().filter(|zone| !reserved.contains_key(**zone)).copied().collect();
        if !missing.is_empty() {
            let detail = format!(
                "{} has no reservation for {} in zone {}, where a server stands, or the helper beside one that is made anew; \
                 Azure makes none in a group without it. Add it (azurerm_capacity_reservation), or choose another vm_size or \
                 other zones.",
                group.name(),
                spec.vm_size,
                missing.join(", ")
            );
            self.error(attribute, "No room is reserved for a server", detail);
            return;
        }
        let servers = |zone: &str| {
            let own =
                (0..spec.server_count).filter(|slot| zone_of(*slot, &spec.zones) == Some(zone));
            u64::try_from(own.count()).unwrap_or(u64::MAX)
        };
        let short: Vec<String> = used
            .into_iter()
            .filter(|zone| reserved.get(*zone).copied().unwrap_or(0) < servers(zone))
            .map(|zone| {
                format!(
                    "zone {zone}: {} for {}",
                    reserved.get(zone).copied().unwrap_or(0),
                    servers(zone)
                )
            })
            .collect();
        if !short.is_empty() {
            let detail = format!(
                "{} reserves fewer {} than servers stand there ({}): for the others Azure takes what is free, if anything is.",
                group.name(),
                spec.vm_size,
                short.join(", ")
            );
            self.warn(attribute, "Less room is reserved than servers need", detail);
        }
    }
}
