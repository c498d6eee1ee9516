//! Private DNS zones, their links to networks and their records.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{Kind, NETWORK, PLAIN, Prepared, Put, PutManner, own_parts};
use crate::world::names;
use crate::world::resource::{Resource, State, default, list, text};

const VERSIONS: &[&str] = &["2024-06-01", "2018-09-01", "2020-01-01", "2020-06-01"];

/// Private DNS zones.
pub(crate) const ZONE: Kind = Kind {
    rtype: "Microsoft.Network/privateDnsZones",
    versions: VERSIONS,
    put: PutManner::Accepted { retry_after_ms: 5_000 },
    create_ms: 30_000,
    update_ms: 5_000,
    delete_ms: 20_000,
    operation: "PutPrivateDnsZoneOperation",
    name: names::dns_zone,
    prepare: |_, put| {
        let mut body = own_parts(put.body);
        body["location"] = json!("global");
        body["properties"] = json!({
            "maxNumberOfRecordSets": 25000,
            "maxNumberOfVirtualNetworkLinks": 1000,
            "maxNumberOfVirtualNetworkLinksWithRegistration": 100,
        });
        Ok(Prepared { body, ..Prepared::default() })
    },
    settled: add_soa,
    render: |world, zone, body| {
        let key = zone.key();
        let count = |suffix: &str| {
            world
                .below(&key)
                .filter(|r| {
                    ids::key(&r.rtype)
                        .starts_with(&format!("microsoft.network/privatednszones/{suffix}"))
                })
                .count()
        };
        let links = count("virtualnetworklinks");
        let records = world.below(&key).count().saturating_sub(links);
        body["properties"]["numberOfRecordSets"] = json!(records);
        body["properties"]["numberOfVirtualNetworkLinks"] = json!(links);
        body["properties"]["numberOfVirtualNetworkLinksWithRegistration"] = json!(0);
    },
    deletable: |world, zone| {
        let key = zone.key();
        if world.below(&key).any(|r| r.rtype == LINK.rtype) {
            return Err(ArmError::new(
                409,
                "CannotDeleteResource",
                "Can not delete resource before nested resources are deleted.",
            ));
        }
        Ok(())
    },
    ..NETWORK
};

/// Links between zones and networks.
pub(crate) const LINK: Kind = Kind {
    rtype: "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
    operation: "PutVirtualNetworkLinkOperation",
    create_ms: 40_000,
    name: names::network,
    prepare: prepare_link,
    settled: |world, key| {
        if let Some(link) = world.resources.get_mut(key) {
            link.body["properties"]["virtualNetworkLinkState"] = json!("Completed");
        }
    },
    render: |_, _, _| {},
    deletable: |_, _| Ok(()),
    ..ZONE
};

fn prepare_link(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let network = text(put.body, "/properties/virtualNetwork/id");
    if world.visible(network).is_none() {
        return Err(ArmError::invalid(
            "BadRequest",
            format!(
                "The resource '{network}' that the virtual network link refers to was not found."
            ),
        ));
    }
    world.require_linked(
        put.principal,
        "Microsoft.Network/virtualNetworks/join/action",
        network,
        put.id,
    )?;
    let zone = ids::name_of(ids::parent_of(put.id));
    let taken = world.resources.values().any(|r| {
        r.rtype == LINK.rtype
            && r.key() != ids::key(put.id)
            && ids::key(r.text("/properties/virtualNetwork/id")) == ids::key(network)
            && r.id
                .to_ascii_lowercase()
                .contains(&format!("/privatednszones/{}/", zone.to_ascii_lowercase()))
    });
    if taken {
        // The words of recorded answers, in which both names are the same.
        return Err(ArmError::invalid(
            "BadRequest",
            format!(
                "A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to link \
                 virtual network with '{zone}' and '{zone}' zones."
            ),
        ));
    }
    let mut body = own_parts(put.body);
    body["location"] = json!("global");
    default(&mut body["properties"], "registrationEnabled", json!(false));
    if zone.to_ascii_lowercase().starts_with("privatelink.") {
        default(&mut body["properties"], "resolutionPolicy", json!("Default"));
    } else if !text(put.body, "/properties/resolutionPolicy").is_empty() {
        let text = "The resolution policy can be set for links to privatelink zones only.";
        return Err(ArmError::invalid("BadRequest", text));
    }
    body["properties"]["virtualNetworkLinkState"] = json!("InProgress");
    Ok(Prepared { body, ..Prepared::default() })
}

const RECORD: Kind = Kind {
    versions: VERSIONS,
    etag: true,
    operation: "PutRecordSetOperation",
    prepare: prepare_record,
    render: |_, record, body| {
        let zone = record.id.rsplitn(3, '/').nth(2).map(ids::name_of).unwrap_or_default();
        let name = record.name();
        body["properties"]["fqdn"] =
            json!(if name == "@" { format!("{zone}.") } else { format!("{name}.{zone}.") });
        body["properties"]["isAutoRegistered"] = json!(false);
    },
    ..PLAIN
};

/// A records.
pub(crate) const RECORD_A: Kind = Kind { rtype: "Microsoft.Network/privateDnsZones/A", ..RECORD };
/// SRV records.
pub(crate) const RECORD_SRV: Kind =
    Kind { rtype: "Microsoft.Network/privateDnsZones/SRV", ..RECORD };
/// TXT records.
pub(crate) const RECORD_TXT: Kind =
    Kind { rtype: "Microsoft.Network/privateDnsZones/TXT", ..RECORD };
/// CNAME records.
pub(crate) const RECORD_CNAME: Kind =
    Kind { rtype: "Microsoft.Network/privateDnsZones/CNAME", ..RECORD };
/// The start of authority, which the zone brings along.
pub(crate) const RECORD_SOA: Kind = Kind {
    rtype: "Microsoft.Network/privateDnsZones/SOA",
    deletable: |_, _| {
        let text = "The SOA record of a zone cannot be deleted.";
        Err(ArmError::invalid("BadRequest", text))
    },
    ..RECORD
};

fn prepare_record(_: &World, put: &Put<'_>) -> Answer<Prepared> {
    let ttl = put.body.pointer("/properties/ttl").and_then(Value::as_i64);
    if !ttl.is_some_and(|ttl| (1..=i64::from(i32::MAX)).contains(&ttl)) {
        let text = "The 'properties.ttl' of a record set must be between 1 and 2147483647.";
        return Err(ArmError::invalid("BadRequest", text));
    }
    let rtype = put.id.rsplit('/').nth(1).unwrap_or_default();
    let rows = |name: &str| list(put.body, &format!("/properties/{name}")).len();
    let filled = match rtype.to_ascii_uppercase().as_str() {
        "A" => {
            let bad = list(put.body, "/properties/aRecords")
                .iter()
                .any(|r| text(r, "/ipv4Address").parse::<std::net::Ipv4Addr>().is_err());
            if bad {
                let text = "An IPv4 address of the A record set is invalid.";
                return Err(ArmError::invalid("BadRequest", text));
            }
            rows("aRecords") > 0
        }
        "SRV" => rows("srvRecords") > 0,
        "TXT" => rows("txtRecords") > 0,
        "CNAME" => !text(put.body, "/properties/cnameRecord/cname").is_empty(),
        _ => true,
    };
    if !filled {
        let text = "A record set needs at least one record of its type.";
        return Err(ArmError::invalid("BadRequest", text));
    }
    Ok(Prepared { body: own_parts(put.body), ..Prepared::default() })
}

fn add_soa(world: &mut World, key: &str) {
    let Some(zone) = world.resources.get(key).map(|z: &Resource| z.id.clone()) else { return };
    let id = format!("{zone}/SOA/@");
    if world.visible(&id).is_some() {
        return;
    }
    let body = json!({"properties": {"ttl": 3600, "soaRecord": {
        "email": "azureprivatedns-host.microsoft.com", "expireTime": 2_419_200,
        "host": "azureprivatedns.net", "minimumTtl": 10, "refreshTime": 3600, "retryTime": 300,
        "serialNumber": 1,
    }}});
    world.store(&RECORD_SOA, &id, body, None, State::Succeeded);
}
