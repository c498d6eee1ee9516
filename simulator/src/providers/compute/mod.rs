//! Microsoft.Compute: scale sets and what a client asks before it makes one.

pub(crate) mod actions;
pub(crate) mod disks;
pub(crate) mod gallery;
pub(crate) mod images;
pub(crate) mod instances;
pub(crate) mod machine;
pub(crate) mod scale_set;
pub(crate) mod skus;
pub(crate) mod usages;

use serde_json::json;

use crate::world::World;
use crate::world::errors::Answer;
use crate::world::http::{Method, Request, Response};
use crate::world::ids::ArmPath;
use crate::world::kind::{COMPUTE_VERSIONS, NETWORK_VERSIONS};
use crate::world::versions;

const SKU_VERSIONS: &[&str] = &["2021-07-01", "2019-04-01", "2026-04-01", "2017-09-01"];

/// Everything of Microsoft.Compute that is no plain object.
pub(crate) fn route(
    world: &mut World,
    req: &Request,
    path: &ArmPath,
    version: &str,
) -> Option<Answer> {
    if !path.namespace.eq_ignore_ascii_case("Microsoft.Compute") {
        return None;
    }
    let types: Vec<String> = path.types.iter().map(|t| t.to_ascii_lowercase()).collect();
    let words: Vec<&str> = types.iter().map(String::as_str).collect();
    let accepted = match words.as_slice() {
        ["skus"] => SKU_VERSIONS,
        ["features", ..] => disks::FEATURE_VERSIONS,
        [.., "networkinterfaces"] => NETWORK_VERSIONS,
        _ => COMPUTE_VERSIONS,
    };
    let answer: Answer = match (req.method, words.as_slice()) {
        (Method::Get, ["skus"]) => Ok(skus::list(world, req)),
        (Method::Get, ["features"]) | (Method::Post, ["features", "register"]) => {
            disks::feature(world, req, path)
        }
        (Method::Get, ["locations", "usages"]) => usages::list(world, path),
        (
            Method::Get,
            ["locations", "publishers", "artifacttypes", "offers", "skus", "versions"],
        ) => images::versions(world, req, path),
        (Method::Get, ["virtualmachinescalesets", "instanceview"]) => {
            instances::set_view(world, path)
        }
        (Method::Get, ["virtualmachinescalesets", "virtualmachines", "instanceview"]) => {
            instances::view(world, path)
        }
        (
            Method::Get,
            ["virtualmachinescalesets", "networkinterfaces"]
            | ["virtualmachinescalesets", "virtualmachines", "networkinterfaces"],
        ) => instances::nics(world, req, path),
        (Method::Get, ["virtualmachinescalesets", "extensions"]) => {
            Ok(Response::json(200, json!({"value": []})))
        }
        (Method::Get, ["virtualmachines", "instanceview"]) => machine::view(world, path),
        (Method::Post, ["virtualmachines", _]) => machine::run(world, req, path),
        (Method::Post, ["virtualmachinescalesets", .., _]) => actions::run(world, req, path),
        _ => return None,
    };
    if !accepted.contains(&version) {
        return Some(Err(versions::unknown_type(path, version)));
    }
    Some(answer)
}
