//! Host managers renew themselves on servers that run: a good one everywhere, by slot; a bad one nowhere but on the
//! first server, which puts the one before it back. Consul never notices.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hcs_acceptance::scenario::CLUSTER;
use hcs_acceptance::{Scenario, bins, blobs, tools};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

type Done = Result<(), Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_mins(2);

struct World {
    scenario: Scenario,
    account: String,
}

#[test]
fn a_good_host_manager_reaches_every_server_and_a_bad_one_no_second() -> Done {
    let scenario = Scenario::start("host-managers", "quickstart", 60)?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let account = cluster["storage_account_name"].as_str().unwrap_or_default().to_owned();
    let world = World { scenario, account };
    let consuls = world.consuls()?;
    assert_eq!(consuls.len(), 3, "{consuls:?}");

    let version = world.version()?;
    let bad = world.publish(&version, &liar(&version))?;
    world.wait("server 0 puts the bad one back", || {
        let said = world.status(0)?["last_error"].as_str().unwrap_or_default().to_owned();
        Ok(said.contains("was put back"))
    })?;
    assert!(world.has(0, &bad) && !world.has(1, &bad) && !world.has(2, &bad), "it came too far");
    let strange = world.publish(&version, "#!/bin/sh\necho 'this is format 9' >&2\nexit 3\n")?;
    world.wait("server 0 refuses one that fails its self-test", || {
        let said = world.status(0)?["last_error"].as_str().unwrap_or_default().to_owned();
        Ok(said.contains("fails its self-test: exit status: 3 (this is format 9)"))
    })?;
    assert!(!world.has(1, &strange), "it came too far");

    // The same program with a byte behind it: another one by its hash.
    let mut program = fs::read(bins::binary("hcs-host-manager")?)?;
    program.push(b'\n');
    let good = world.publish_bytes(&version, &program)?;
    world.wait("every server runs the good one", || {
        let runs =
            |slot| Ok::<_, Box<dyn Error>>(world.status(slot)?["host_manager_sha256"] == good);
        Ok(runs(0)? && runs(1)? && runs(2)?)
    })?;
    world.wait("no trial is open", || {
        Ok((0..3).all(|slot| world.note(slot, "confirmed") == good))
    })?;
    assert_eq!(world.consuls()?, consuls, "Consul was restarted");
    world.wait("nothing is wrong any more", || Ok(world.status(0)?["last_error"].is_null()))?;
    world.scenario.terraform.plan(&[])?.expect_code(0)?;
    another_provider_brings_its_own(&world, &good)?;
    assert_eq!(world.consuls()?, consuls, "Consul was restarted");
    world.scenario.terraform.destroy(&[])?;
    Ok(())
}

/// A cluster of an earlier provider: the plan writes a document and touches no machine.
fn another_provider_brings_its_own(world: &World, earlier: &str) -> Done {
    world.name("0.0.1", earlier)?;
    let terraform = &world.scenario.terraform;
    let file = terraform.dir.join("terraform.tfstate");
    let state = fs::read_to_string(&file)?;
    let own = format!("\"host_manager_version\": \"{}\"", world.version()?);
    assert!(state.contains(&own), "{own}");
    fs::write(&file, state.replacen(&own, "\"host_manager_version\": \"0.0.1\"", 1))?;
    let plan = terraform.plan(&[])?.expect_code(2)?;
    assert!(plan.text().contains("0 to add, 1 to change, 0 to destroy"), "{}", plan.text());
    terraform.apply(&[])?;
    let own = format!("{:x}", Sha256::digest(fs::read(bins::binary("hcs-host-manager")?)?));
    world.wait("every server runs the provider's own", || {
        let runs =
            |slot| Ok::<_, Box<dyn Error>>(world.status(slot)?["host_manager_sha256"] == own);
        Ok(runs(0)? && runs(1)? && runs(2)?)
    })?;
    terraform.plan(&[])?.expect_code(0)?;
    let servers = terraform.attributes(CLUSTER)?["servers"].clone();
    assert_eq!(servers[0]["host_manager_version"], world.version()?.as_str(), "{servers}");
    Ok(())
}

/// Passes its test, and ends as soon as it shall work.
fn liar(version: &str) -> String {
    format!(
        "#!/bin/sh\ncase $1 in self-test) echo '{{\"version\":\"{version}\"}}' ;; *) exit 1 ;; esac\n"
    )
}

impl World {
    /// What host managers of this build call themselves.
    fn version(&self) -> Result<String, Box<dyn Error>> {
        let _ = self;
        let said = tools::run(Command::new(bins::binary("hcs-host-manager")?).arg("--version"))?;
        Ok(said.split_whitespace().last().unwrap_or_default().to_owned())
    }

    fn publish(&self, version: &str, text: &str) -> Result<String, Box<dyn Error>> {
        self.publish_bytes(version, text.as_bytes())
    }

    /// What a provider of another version does: uploads its host manager and names it in the document.
    fn publish_bytes(&self, version: &str, program: &[u8]) -> Result<String, Box<dyn Error>> {
        let (azure, account) = (&self.scenario.azure, &self.account);
        let sha256 = format!("{:x}", Sha256::digest(program));
        let file = self.scenario.dir.join("published");
        fs::write(&file, program)?;
        let name = format!("host-manager/{sha256}/hcs-host-manager");
        blobs::put(azure, account, "artifacts", &name, &file)?;
        self.name(version, &sha256)?;
        Ok(sha256)
    }

    fn name(&self, version: &str, sha256: &str) -> Done {
        let (azure, account) = (&self.scenario.azure, &self.account);
        let document = blobs::json(azure, account, "config", "cluster.json")?;
        let mut document = document.ok_or("no document")?;
        document["host_manager"] = json!({ "version": version, "sha256": sha256 });
        let file = self.scenario.dir.join("document");
        fs::write(&file, document.to_string())?;
        Ok(blobs::put(azure, account, "config", "cluster.json", &file)?)
    }

    fn status(&self, slot: u32) -> Result<Value, Box<dyn Error>> {
        let container = format!("status-{slot}");
        let found = blobs::json(&self.scenario.azure, &self.account, &container, "status.json")?;
        Ok(found.unwrap_or_default())
    }

    /// The folder of a server's machine.
    fn machine(&self, slot: u32) -> PathBuf {
        fn find(folder: &Path, slot: u32, depth: u32) -> Option<PathBuf> {
            let bootstrap = folder.join("etc/hcs/bootstrap.json");
            if let Ok(text) = fs::read_to_string(bootstrap) {
                let value: Value = serde_json::from_str(&text).ok()?;
                return (value["slot"] == slot).then(|| folder.to_owned());
            }
            let mut entries = fs::read_dir(folder).ok()?.flatten().filter(|_| depth > 0);
            entries.find_map(|entry| find(&entry.path(), slot, depth - 1))
        }
        find(&self.scenario.azure.dir, slot, 4).unwrap_or_default()
    }

    fn has(&self, slot: u32, sha256: &str) -> bool {
        self.machine(slot).join("opt/hcs/host-managers").join(sha256).exists()
    }

    fn note(&self, slot: u32, name: &str) -> String {
        let path = self.machine(slot).join("opt/hcs/state").join(name);
        fs::read_to_string(path).unwrap_or_default().trim().to_owned()
    }

    /// Process ids of Consul, with their command lines.
    fn consuls(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let pattern = format!("{}.*/consul agent", self.scenario.azure.dir.display());
        let found = tools::run(Command::new("pgrep").args(["-a", "-f", &pattern]))?;
        let mut lines: Vec<String> = found.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }

    fn wait(&self, what: &str, done: impl Fn() -> Result<bool, Box<dyn Error>>) -> Done {
        let started = Instant::now();
        while !done()? {
            if started.elapsed() > PATIENCE {
                let statuses: Vec<Value> =
                    (0..3).filter_map(|slot| self.status(slot).ok()).collect();
                return Err(format!("not in time: {what}; {statuses:#?}").into());
            }
            std::thread::sleep(Duration::from_millis(700));
        }
        println!("{what}: after {:.1} s", started.elapsed().as_secs_f64());
        Ok(())
    }
}
