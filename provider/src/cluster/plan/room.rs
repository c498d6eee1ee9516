//! The image of a gallery, and room that is reserved, looked at while planning.

use std::collections::BTreeSet;

use hcs_planner::arm::ArmId;
use hcs_planner::rules;
use hcs_planner::spec::ClusterSpec;
use serde_json::Value;

use super::Planner;
use crate::cluster::model::Cluster;

/// Microsoft's stable version of galleries with all that is read here.
const GALLERIES_API_VERSION: &str = "2022-03-03";
/// As pinned for scale sets.
const RESERVATIONS_API_VERSION: &str = "2024-07-01";

impl Planner {
    /// What Azure would refuse, or fail to start, only when the servers are made.
    pub(super) async fn check_room(&mut self, spec: &ClusterSpec, is_new: bool) {
        if is_new || !self.same(Cluster::SOURCE_IMAGE_ID) {
            self.check_gallery(spec).await;
        }
        let asks = [Cluster::CAPACITY_RESERVATION_GROUP_ID, Cluster::VM_SIZE, Cluster::ZONES];
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
        let found: Vec<String> = found.collect();
        if !found.is_empty() {
            let detail = format!("{image} does not fit: {}. Name another image.", found.join("; "));
            self.error(Cluster::SOURCE_IMAGE_ID, "Image does not fit the servers", detail);
        }
    }

    /// Each zone has a reservation for the size.
    async fn check_reservations(&mut self, spec: &ClusterSpec) {
        let Some(group) = &spec.capacity_reservation_group_id else { return };
        let attribute = Cluster::CAPACITY_RESERVATION_GROUP_ID;
        let path = format!("{group}/capacityReservations?api-version={RESERVATIONS_API_VERSION}");
        let listed = match self.arm.get_path(&path).await {
            Ok(Some(listed)) => listed,
            Ok(None) => {
                let detail = format!("{group} is not there. That is fine when this run makes it.");
                self.warn(attribute, "Capacity reservation group does not exist yet", detail);
                return;
            }
            Err(error) => {
                self.unread(&format!("the reservations of {group}"), &error);
                return;
            }
        };
        let rows = listed.get("value").and_then(Value::as_array).into_iter().flatten();
        let mut regions = BTreeSet::new();
        let mut reserved = BTreeSet::new();
        for row in rows {
            let text = |pointer: &str| row.pointer(pointer).and_then(Value::as_str);
            regions.insert(rules::location(text("/location").unwrap_or_default()));
            if !text("/sku/name").is_some_and(|size| size.eq_ignore_ascii_case(&spec.vm_size)) {
                continue;
            }
            let zones =
                row.pointer("/zones").and_then(Value::as_array).cloned().unwrap_or_default();
            reserved.extend(zones.iter().filter_map(|zone| zone.as_str().map(str::to_owned)));
            if zones.is_empty() {
                reserved.insert(String::new());
            }
        }
        if !regions.is_empty() && !regions.contains(&spec.location) {
            let regions: Vec<String> = regions.into_iter().collect();
            let detail = format!(
                "{} reserves in {}, and the cluster is in {}.",
                group.name(),
                regions.join(", "),
                spec.location
            );
            self.error(attribute, "Capacity reservation group is in another region", detail);
            return;
        }
        let places: Vec<String> =
            if spec.zones.is_empty() { vec![String::new()] } else { spec.zones.clone() };
        let missing: Vec<String> = places
            .into_iter()
            .take(usize::try_from(spec.server_count).unwrap_or(usize::MAX))
            .filter(|zone| !reserved.contains(zone))
            .map(|zone| if zone.is_empty() { "no zone".to_owned() } else { format!("zone {zone}") })
            .collect();
        if !missing.is_empty() {
            let detail = format!(
                "{} has no reservation for {} in {}, and Azure makes no server in a group without one. Add it \
                 (azurerm_capacity_reservation), or choose another vm_size or other zones.",
                group.name(),
                spec.vm_size,
                missing.join(", ")
            );
            self.error(attribute, "No room is reserved for a server", detail);
        }
    }
}
