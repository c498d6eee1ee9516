//! What `hcs support` collects, unpacked.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use flate2::read::GzDecoder;
use tar::Archive;

use crate::bins::binary;
use crate::{HarnessError, Scenario};

/// Files of the archive by name, those of servers as `servers/<slot>/<name>`.
pub fn collect(
    scenario: &Scenario,
    cluster: &str,
) -> Result<BTreeMap<String, Vec<u8>>, HarnessError> {
    let path = scenario.dir.join("support.tar.gz");
    let program = binary("hcs")?;
    let mut hcs = Command::new(&program);
    hcs.args(["support", cluster, "--out"]).arg(&path).envs(scenario.terraform.env());
    let output = hcs.output().map_err(HarnessError::file(&program))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(HarnessError::Unexpected(format!("hcs support: {told}")));
    }
    print!("{}", String::from_utf8_lossy(&output.stdout));
    let bytes = std::fs::read(&path).map_err(HarnessError::file(&path))?;
    let mut files = unpacked(&path, &bytes)?;
    let servers: Vec<String> =
        files.keys().filter(|name| name.ends_with(".tar.gz")).cloned().collect();
    for server in servers {
        let bytes = files.remove(&server).unwrap_or_default();
        for (name, content) in unpacked(&path, &bytes)? {
            files.insert(format!("{}/{name}", server.trim_end_matches(".tar.gz")), content);
        }
    }
    Ok(files)
}

fn unpacked(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, HarnessError> {
    let failed = HarnessError::file(path);
    let unpack = || {
        let mut files = BTreeMap::new();
        for entry in Archive::new(GzDecoder::new(bytes)).entries()? {
            let mut entry = entry?;
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.insert(entry.path()?.display().to_string(), content);
        }
        Ok(files)
    };
    unpack().map_err(failed)
}
