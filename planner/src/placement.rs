//! Where servers live, and what the cluster survives: slot `i` is in zone `zones[i mod Z]`, for ever.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::spec::{ClusterSpec, ZoneFallback};

/// Where a server is made, and as what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Zone; `None` outside of any.
    pub zone: Option<String>,
    /// VM size.
    pub vm_size: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{} in zone {zone}", self.vm_size),
            None => write!(f, "{} outside of any zone", self.vm_size),
        }
    }
}

/// Where the server of this slot belongs.
pub fn place_of(slot: u32, spec: &ClusterSpec) -> Place {
    Place { zone: zone_of(slot, &spec.zones).map(str::to_owned), vm_size: spec.vm_size.clone() }
}

/// Where else a new server of this slot may be made when its own place has no capacity, in this order: its zone with
/// another size, the other zones with each size, and at last outside of any zone. Empty when the fallback is strict.
pub fn alternatives(slot: u32, spec: &ClusterSpec) -> Vec<Place> {
    if spec.zone_fallback == ZoneFallback::Strict {
        return vec![];
    }
    let count = u32::try_from(spec.zones.len()).unwrap_or(0);
    let mut zones: Vec<Option<&str>> =
        (0..count.max(1)).map(|turn| zone_of(slot + turn, &spec.zones)).collect();
    if spec.zone_fallback == ZoneFallback::BestEffort && count > 0 {
        zones.push(None);
    }
    let sizes = || std::iter::once(&spec.vm_size).chain(&spec.vm_size_fallbacks);
    let place = |zone: Option<&str>, size: &String| Place {
        zone: zone.map(str::to_owned),
        vm_size: size.clone(),
    };
    let all = zones.into_iter().flat_map(|zone| sizes().map(move |size| place(zone, size)));
    all.skip(1).collect()
}

/// Zone of a slot; `None` in a region without zones.
pub fn zone_of(slot: u32, zones: &[String]) -> Option<&str> {
    let count = u32::try_from(zones.len()).ok().filter(|count| *count > 0)?;
    zones.get((slot % count) as usize).map(String::as_str)
}

/// Votes needed among `voters`.
pub fn quorum(voters: u32) -> u32 {
    voters / 2 + 1
}

/// Voters that may be lost.
pub fn tolerance(voters: u32) -> u32 {
    voters.saturating_sub(quorum(voters))
}

/// What a cluster survives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survival {
    /// Votes needed.
    pub size: u32,
    /// How many servers may be lost at once.
    pub server_losses: u32,
    /// Zones of which any single one may be lost; empty when none may.
    pub zone_losses: Vec<String>,
}

/// What `servers` placed round-robin on `zones` survive.
pub fn survival(servers: u32, zones: &[String]) -> Survival {
    let size = quorum(servers);
    let per_zone = servers_per_zone(0..servers, zones);
    let zone_losses = per_zone
        .iter()
        .filter(|(_, count)| servers - **count >= size)
        .map(|(zone, _)| zone.clone())
        .collect();
    Survival { size, server_losses: tolerance(servers), zone_losses }
}

/// How many of `slots` each zone holds; zones without servers are listed with 0.
pub fn servers_per_zone(
    slots: impl IntoIterator<Item = u32>,
    zones: &[String],
) -> BTreeMap<String, u32> {
    let mut per_zone: BTreeMap<String, u32> = zones.iter().map(|z| (z.clone(), 0)).collect();
    for slot in slots {
        if let Some(zone) = zone_of(slot, zones) {
            *per_zone.entry(zone.to_owned()).or_default() += 1;
        }
    }
    per_zone
}

/// How a change that one server after the other goes through is felt; empty for three servers and more.
pub fn rolling_warning(servers: u32, restarts: bool) -> Option<String> {
    (servers == 1 && restarts).then(|| {
        "The only server restarts: Consul does not answer for a minute or two. Three servers would \
         not be felt."
            .to_owned()
    })
}

/// Sentences about what the user gave up, empty when one zone or one server may be lost.
pub fn warnings(servers: u32, zones: &[String]) -> Vec<String> {
    let survival = survival(servers, zones);
    let mut sentences = Vec::new();
    if servers == 1 {
        sentences.push(
            "One server: every restart of it is an outage, and its loss loses the cluster. \
             Use 3 or 5 for anything that matters."
                .to_owned(),
        );
    } else if zones.is_empty() {
        sentences.push(
            "The region has no availability zones: one failure of its data centre stops the \
             cluster. Each server is a scale set of its own, so nothing keeps two of them off one \
             rack, and a failed rack may stop the cluster, too."
                .to_owned(),
        );
    } else if survival.zone_losses.len() < zones.len() {
        let fatal: Vec<&str> = zones
            .iter()
            .map(String::as_str)
            .filter(|zone| !survival.zone_losses.iter().any(|survived| survived == zone))
            .collect();
        sentences.push(format!(
            "{servers} servers on zones {}: the loss of zone {} stops the cluster. Three zones \
             survive the loss of any one.",
            zones.join(", "),
            fatal.join(" or of zone "),
        ));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(n: u32) -> Vec<String> {
        (1..=n).map(|z| z.to_string()).collect()
    }

    /// Servers, zones, spread, zone losses survived; the turn is that of `docs/functions/zone_placement.md`.
    #[test]
    fn spread_and_survival_follow_the_table() {
        let table: &[(u32, u32, &[u32], &[&str])] = &[
            (1, 3, &[1, 0, 0], &["2", "3"]),
            (3, 3, &[1, 1, 1], &["1", "2", "3"]),
            (4, 3, &[2, 1, 1], &["2", "3"]),
            (5, 3, &[2, 2, 1], &["1", "2", "3"]),
            (7, 3, &[3, 2, 2], &["1", "2", "3"]),
            (3, 2, &[2, 1], &["2"]),
            (5, 2, &[3, 2], &["2"]),
            (5, 4, &[2, 1, 1, 1], &["1", "2", "3", "4"]),
            (3, 1, &[3], &[]),
        ];
        for (servers, zone_count, spread, survived) in table {
            let zones = zones(*zone_count);
            let per_zone: Vec<u32> = servers_per_zone(0..*servers, &zones).into_values().collect();
            assert_eq!(&per_zone, spread, "{servers} servers on {zone_count} zones");
            assert_eq!(&survival(*servers, &zones).zone_losses, survived);
        }
    }

    #[test]
    fn slots_take_the_zones_in_turn_whatever_their_number() {
        for zone_count in 1..=4 {
            let zones = zones(zone_count);
            let mut turn = zones.iter().map(String::as_str).cycle();
            for slot in 0..7 {
                assert_eq!(zone_of(slot, &zones), turn.next(), "slot {slot} of {zone_count} zones");
            }
        }
    }

    #[test]
    fn two_zones_and_one_server_are_warned_about() {
        assert!(warnings(3, &zones(3)).is_empty());
        assert!(warnings(3, &zones(2))[0].contains("the loss of zone 1 stops the cluster"));
        assert!(warnings(1, &zones(3))[0].starts_with("One server"));
        assert!(warnings(3, &[])[0].contains("no availability zones"));
    }
}
