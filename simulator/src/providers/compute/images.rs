//! Marketplace images and their versions.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::http::{Request, Response};
use crate::world::ids::ArmPath;

const IMAGES: &[(&str, &str, &str, &[&str])] = &[
    ("Canonical", "ubuntu-24_04-lts", "server", UBUNTU_24),
    ("Canonical", "ubuntu-24_04-lts", "minimal", UBUNTU_24),
    ("Canonical", "ubuntu-24_04-lts", "ubuntu-pro", UBUNTU_24),
    ("Canonical", "ubuntu-24_04-lts", "server-arm64", UBUNTU_24),
    (
        "Canonical",
        "0001-com-ubuntu-server-jammy",
        "22_04-lts-gen2",
        &["22.04.202604160", "22.04.202610010"],
    ),
    ("Debian", "debian-12", "12-gen2", &["0.20260711.2166", "0.20261013.2258"]),
];

const UBUNTU_24: &[&str] = &["24.04.202604080", "24.04.202609120", "24.04.202611050"];

fn known(world: &World, publisher: &str, offer: &str, sku: &str) -> Option<Vec<String>> {
    let own = IMAGES
        .iter()
        .find(|(p, o, s, _)| {
            p.eq_ignore_ascii_case(publisher)
                && o.eq_ignore_ascii_case(offer)
                && s.eq_ignore_ascii_case(sku)
        })
        .map(|(.., versions)| *versions)?;
    let later = world.published_images.iter().filter(|_| own == UBUNTU_24);
    Some(own.iter().map(|version| (*version).to_owned()).chain(later.cloned()).collect())
}

/// Refuses an image reference that the marketplace does not hold.
pub(crate) fn check(
    world: &World,
    publisher: &str,
    offer: &str,
    sku: &str,
    version: &str,
) -> Answer<()> {
    let found = known(world, publisher, offer, sku)
        .is_some_and(|versions| version == "latest" || versions.iter().any(|v| v == version));
    if found {
        return Ok(());
    }
    Err(ArmError::new(
        404,
        "PlatformImageNotFound",
        format!(
            "The platform image '{publisher}:{offer}:{sku}:{version}' is not available. Verify \
             that all fields in the storage profile are correct."
        ),
    ))
}

/// `GET …/versions`: a plain array, newest last; `$top` and `$orderby=name desc` are known.
pub(crate) fn versions(world: &World, req: &Request, path: &ArmPath) -> Answer {
    let action = "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read";
    world.require(&req.principal, action, &path.scope)?;
    let [location, publisher, _, offer, sku, rest @ ..] = path.names.as_slice() else {
        return Err(ArmError::invalid("InvalidParameter", "The image path is incomplete."));
    };
    let Some(versions) = known(world, publisher, offer, sku) else {
        return Err(ArmError::new(
            404,
            "NotFound",
            format!("Artifact: VMImage was not found: {publisher}:{offer}:{sku}."),
        ));
    };
    let row = |version: &str| {
        json!({
            "location": location,
            "name": version,
            "id": format!(
                "/Subscriptions/{}/Providers/Microsoft.Compute/Locations/{location}/Publishers/\
                 {publisher}/ArtifactTypes/VMImage/Offers/{offer}/Skus/{sku}/Versions/{version}",
                world.settings.subscription_id
            ),
        })
    };
    if let Some(version) = rest.first() {
        let found = versions.iter().find(|v| *v == version).ok_or_else(|| {
            ArmError::new(404, "NotFound", format!("Artifact: version {version} was not found."))
        })?;
        let mut body = row(found);
        body["properties"] = json!({
            "architecture": if sku.contains("arm") { "Arm64" } else { "x64" },
            "hyperVGeneration": "V2",
            "osDiskImage": {"operatingSystem": "Linux"},
            "dataDiskImages": [],
        });
        return Ok(Response::json(200, body));
    }
    let mut rows: Vec<Value> = versions.iter().map(|v| row(v)).collect();
    if req.query("$orderby").is_some_and(|o| o.ends_with("desc")) {
        rows.reverse();
    }
    if let Some(top) = req.query("$top").and_then(|t| t.parse().ok()) {
        rows.truncate(top);
    }
    Ok(Response::json(200, json!(rows)))
}
