//! Keys, a snapshot of them, and the way back after somebody has deleted them.

use std::path::Path;
use std::time::Instant;

use hcs_acceptance::consul::Consul;
use hcs_acceptance::{Emulator, Workspace};

use super::{heading, text};
use crate::shell::Failure;

const KEY: &str = "kv/shop/price";
const SNAPSHOT: &str = "resource \"hcs_snapshot\" \"before\" {
  cluster_id    = hcs_cluster.main.id
  name          = \"before-the-mistake\"
  expires_after = \"30d\"
}
";
const RESTORE: &str = "
resource \"hcs_snapshot_restore\" \"back\" {
  cluster_id  = hcs_cluster.main.id
  snapshot_id = hcs_snapshot.before.id
}
";

pub(super) fn show(azure: &Emulator, workspace: &Workspace, dir: &Path) -> Result<(), Failure> {
    let cluster = workspace.attributes("hcs_cluster.main")?;
    let consul = Consul::of_cluster(azure, text(&cluster["storage_account_name"]), dir)?;
    heading("A snapshot by name, keys that somebody deletes, and the way back");
    consul.ask(0, "PUT", KEY, Some("42"), true)?;
    workspace.write("way_back.tf", SNAPSHOT)?;
    workspace.apply(&[])?;
    let taken = workspace.attributes("hcs_snapshot.before")?;
    println!("  {KEY} is 42; hcs_snapshot.before: {} bytes, verified", taken["size_bytes"]);
    consul.ask(0, "DELETE", "kv/?recurse", None, true)?;
    let gone = consul.ask(0, "GET", KEY, None, true)?.status;
    println!("  every key is deleted: Consul answers {gone}");
    workspace.write("way_back.tf", &format!("{SNAPSHOT}{RESTORE}"))?;
    let began = Instant::now();
    workspace.apply(&[])?;
    let took = began.elapsed().as_secs_f64();
    let back = consul.ask(0, "GET", &format!("{KEY}?raw&consistent"), None, true)?.text();
    println!(
        "  restored in {took:.0} s, tried in a Consul that was thrown away first: {KEY} is {back}"
    );
    if gone != 404 || back != "42" {
        return Err(format!("the keys were gone ({gone}) and are {back:?}").into());
    }
    Ok(())
}
