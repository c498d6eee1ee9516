//! A cluster lives, and nobody looks after it: releases in their windows, certificates, snapshots, other secrets, another
//! host manager, a zone and a storage account that go and come back, while a client reads and writes all the time.
//!
//! A month here; `cargo xtask life` lives a year. What passes fast: the calendar of maintenance windows, the schedules of
//! snapshots and rotations. What does not: Consul itself, and certificates, which Consul looks at by the clock; they are
//! renewed by request as often as a year does it.

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hcs_acceptance::client::{Client, HandedOut};
use hcs_acceptance::life::{Seen, Watch};
use hcs_acceptance::scenario::CLUSTER;
use hcs_acceptance::{Scenario, bins, blobs, curl, tools};
use hcs_release_maker::{Maker, index, next_patch, relabelled};
use semver::Version;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

type Done = Result<(), Box<dyn Error>>;

/// So many seconds a day lasts where `HCS_LIFE_SECONDS_A_DAY` does not say another number.
const SECONDS_A_DAY: u32 = 8;
const DAY_S: u32 = 24 * 3600;
const DAYS_IN_CI: u32 = 20;
/// Who lives longer has a part of a year, or a whole one.
const SEASON: u32 = 90;
const RENEWALS_EVERY_DAYS: u32 = 9;
/// A job that has not ended by then does not end.
const PATIENCE: Duration = Duration::from_mins(10);

struct Life {
    scenario: Scenario,
    account: String,
    watch: Watch,
    root: String,
    client_process_id: u32,
    releases: PathBuf,
    maker: Maker,
    /// What is published next is made of this, and was published so far.
    program: Vec<u8>,
    program_version: Version,
    published: Vec<Version>,
    day: Duration,
    began: Instant,
    renewals: u64,
    /// So many times a server ended.
    ends: usize,
}

#[test]
fn a_cluster_lives_by_itself_and_its_clients_see_nothing_of_it() -> Done {
    let days = std::env::var("HCS_LIFE_DAYS").map_or(Ok(DAYS_IN_CI), |text| text.parse())?;
    let mut life = begin()?;
    for day in 0..days {
        while life.began.elapsed() < life.day * day {
            std::thread::sleep(Duration::from_millis(200));
        }
        for job in jobs(day, days) {
            life.carry_out(job, day)?;
        }
    }
    life.end(days)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Job {
    Renew,
    Release,
    LoseAZone,
    HostManager,
    Gossip,
    Authority,
    Outage,
    Resize,
    Quarter,
}

impl Job {
    /// How many servers end with it: what is on its way to one is lost, and a client that does not try again is told so.
    fn ends(self) -> usize {
        match self {
            Self::Release => 3,
            Self::LoseAZone => 1,
            // Two leave; the others stay, and one of the two may lead.
            Self::Resize => 2,
            _ => 0,
        }
    }
}

const JOBS_WITH_ENDS: [Job; 3] = [Job::Release, Job::LoseAZone, Job::Resize];
/// Nobody waits longer for a good answer.
const GAP_MAX: Duration = Duration::from_secs(10);
/// So many requests of this client may be on their way to one server: a reading and a writing one, and what follows at once.
const LOST_AT_AN_END: usize = 2;

/// What is due on a day, of a year or of a month.
fn jobs(day: u32, days: u32) -> Vec<Job> {
    let mut due = Vec::new();
    if day % RENEWALS_EVERY_DAYS == 1 {
        due.push(Job::Renew);
    }
    let year = [
        (20, Job::Release),
        (50, Job::LoseAZone),
        (80, Job::HostManager),
        (110, Job::Release),
        (140, Job::Gossip),
        (160, Job::Authority),
        (200, Job::Release),
        (225, Job::Outage),
        (250, Job::Resize),
        (290, Job::Release),
    ];
    let month = [(1, Job::Release), (14, Job::LoseAZone)];
    let of_life = if days < SEASON { &month[..] } else { &year[..] };
    due.extend(of_life.iter().filter(|(at, _)| *at == day).map(|(_, job)| *job));
    if day > 0 && day.is_multiple_of(91) || day + 1 == days {
        due.push(Job::Quarter);
    }
    due
}

/// The program that runs first, and the one of which releases are made.
fn programs() -> Result<[PathBuf; 2], Box<dyn Error>> {
    let Some(both) = std::env::var_os("HCS_CONSUL_BINS") else {
        let one = tools::consul()?;
        return Ok([one.clone(), one]);
    };
    let both: Vec<PathBuf> = std::env::split_paths(&both).collect();
    <[PathBuf; 2]>::try_from(both).map_err(|_| "HCS_CONSUL_BINS names two programs".into())
}

fn day() -> Duration {
    let text = std::env::var("HCS_LIFE_SECONDS_A_DAY").ok();
    let seconds = text.and_then(|text| text.parse().ok()).unwrap_or(SECONDS_A_DAY);
    Duration::from_secs(seconds.into())
}

fn version_of(program: &Path) -> Result<Version, Box<dyn Error>> {
    Ok(tools::consul_version(program)?.parse()?)
}

/// A cluster that takes releases from this index by itself.
fn living(server_count: u32, index: &str) -> Value {
    json!({
        "server_count": server_count,
        "consul_version": null,
        "consul_upgrade_channel": "minor",
        "consul_release_index": index,
        "maintenance_windows": [
            { "days": ["Saturday", "Sunday"], "start": "00:00", "duration": "24h" },
        ],
    })
}

fn begin() -> Result<Life, Box<dyn Error>> {
    let folder = bins::target().join("acceptance/life-releases");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("consul"))?;
    let [first, later] = programs()?;
    let maker = Maker::new();
    fs::write(folder.join("key.asc"), maker.public_key())?;
    let speed = f64::from(DAY_S) / day().as_secs_f64();
    let mut scenario = Scenario::start_living("life", speed, &folder)?;
    scenario.terraform.set("TF_VAR_consul_version", &version_of(&first)?.to_string());
    scenario.terraform.set("TF_VAR_consul_archive", &first.display().to_string());
    let index_url = format!("{}/releases/consul", scenario.azure.url);
    // What it begins with is named, what comes later is not.
    scenario.terraform.declare("life", json!({ "server_count": 3 }))?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    scenario.terraform.declare("life", living(3, &index_url))?;
    scenario.terraform.add("life/often.tf")?;
    scenario.terraform.add("clients/hand_out.tf")?;
    scenario.terraform.apply(&[])?;
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let account = cluster["storage_account_name"].as_str().unwrap_or_default().to_owned();
    let mut handed = HandedOut::read(&scenario.terraform.dir)?;
    handed.config["retry_join"] = json!(scenario.consul()?.addresses);
    let process_id = std::process::id().to_be_bytes();
    let address = IpAddr::from([127, 249, process_id[2], process_id[3].clamp(1, 254)]);
    let folder_of_client = scenario.terraform.dir.join("client");
    let client = Client::start(&folder_of_client, "app-1", &handed, address, None)?;
    client.joins(&handed.root)?;
    let client_process_id = client.process_id();
    let program = fs::read(&later)?;
    let program_version = version_of(&later)?;
    let life = Life {
        scenario,
        account,
        watch: Watch::start(client, handed.root.clone()),
        root: handed.root,
        client_process_id,
        releases: folder,
        maker,
        program,
        program_version,
        published: Vec::new(),
        day: day(),
        began: Instant::now(),
        renewals: 0,
        ends: 0,
    };
    life.write_index()?;
    life.watch.says("nothing");
    Ok(life)
}

impl Life {
    fn carry_out(&mut self, job: Job, day: u32) -> Done {
        let began = Instant::now();
        self.watch.says(&format!("{job:?}"));
        match job {
            Job::Renew => self.renew()?,
            Job::Release => self.release()?,
            Job::LoseAZone => self.lose_a_zone()?,
            Job::HostManager => self.host_manager()?,
            Job::Gossip => self.rotate("gossip_key")?,
            Job::Authority => self.authority()?,
            Job::Outage => self.outage()?,
            Job::Resize => self.resize()?,
            Job::Quarter => drop(self.scenario.terraform.plan(&[])?.expect_code(0)?),
        }
        self.watch.says("nothing");
        self.ends += job.ends();
        println!("day {day}: {job:?} took {} s", began.elapsed().as_secs());
        Ok(())
    }

    fn json(&self, container: &str, name: &str) -> Result<Value, Box<dyn Error>> {
        let azure = &self.scenario.azure;
        Ok(blobs::json(azure, &self.account, container, name)?.unwrap_or_default())
    }

    fn slots(&self) -> Result<Vec<u64>, Box<dyn Error>> {
        let document = self.json("config", "cluster.json")?;
        let slots = document["slots"].as_array().cloned().unwrap_or_default();
        Ok(slots.iter().filter_map(Value::as_u64).collect())
    }

    /// Asks until it holds.
    fn wait(&self, what: &str, holds: impl Fn(&Self) -> Result<bool, Box<dyn Error>>) -> Done {
        let began = Instant::now();
        while !holds(self)? {
            if began.elapsed() > PATIENCE {
                let told = self.scenario.hcs("status", &[])?;
                return Err(format!("not in time: {what}\n{told}").into());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    }

    /// Every server of the document is a voter of a healthy cluster.
    fn is_whole(&self) -> Result<bool, Box<dyn Error>> {
        let slots = self.slots()?;
        for slot in &slots {
            let status = self.json(&format!("status-{slot}"), "status.json")?;
            let voters = status["consul"]["voters"].as_array().map_or(0, Vec::len);
            if status["consul"]["healthy"] != true || voters != slots.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn renew(&mut self) -> Done {
        let told = self.scenario.hcs("renew", &[])?;
        let renewed = u64::try_from(told.lines().filter(|line| line.contains("until")).count())?;
        let slots = u64::try_from(self.slots()?.len())?;
        if renewed != slots {
            return Err(format!("{renewed} of {slots} certificates are renewed: {told}").into());
        }
        self.renewals += renewed;
        Ok(())
    }

    fn write_index(&self) -> Done {
        Ok(fs::write(self.releases.join("consul/index.json"), index(&self.published))?)
    }

    /// A release appears, and the servers come to it in their windows.
    fn release(&mut self) -> Done {
        let plain = |version: &Version| Version::new(version.major, version.minor, version.patch);
        let [first, later] = programs()?;
        let next = match self.published.last() {
            Some(last) => next_patch(last),
            None if first == later => next_patch(&self.program_version),
            None => plain(&self.program_version),
        };
        let folder = self.releases.join("consul").join(next.to_string());
        fs::create_dir_all(&folder)?;
        let program = relabelled(&self.program, &self.program_version, &next);
        for (name, bytes) in self.maker.release(&next, &program) {
            fs::write(folder.join(name), bytes)?;
        }
        self.published.push(next.clone());
        self.write_index()?;
        self.wait(&format!("Consul {next} runs everywhere"), |life| {
            let note = life.json("decisions", "upgrade.json")?;
            Ok(note["phase"] == "done" && note["to"]["version"] == next.to_string())
        })?;
        self.wait("all are well", Self::is_whole)
    }

    /// The machine of server 1 has no power for two days.
    fn lose_a_zone(&mut self) -> Done {
        let cluster = self.scenario.terraform.attributes(CLUSTER)?;
        let group = cluster["id"].as_str().unwrap_or_default().to_owned();
        let set = format!(
            "{group}/providers/Microsoft.Compute/virtualMachineScaleSets/life-server-1/virtualMachines"
        );
        let listed =
            self.scenario.azure.arm("GET", &format!("{set}?api-version=2024-07-01"), None)?;
        let id = listed.json()["value"][0]["instanceId"].as_str().unwrap_or_default().to_owned();
        let tell = |verb: &str| {
            let path = format!("{set}/{id}/{verb}?api-version=2024-07-01");
            let answer = self.scenario.azure.arm("POST", &path, None)?;
            if answer.status >= 300 {
                return Err(Box::<dyn Error>::from(format!("{verb}: {answer:?}")));
            }
            Ok(())
        };
        tell("powerOff")?;
        self.wait("the others see it", |life| {
            let status = life.json("status-0", "status.json")?;
            Ok(status["consul"]["healthy"] == false || status["consul"]["voters"][2].is_null())
        })?;
        std::thread::sleep(self.day * 2);
        tell("start")?;
        self.wait("it is back", Self::is_whole)
    }

    /// The same program with a byte behind it: another one by its hash.
    fn host_manager(&mut self) -> Done {
        let mut program = fs::read(bins::binary("hcs-host-manager")?)?;
        program.push(b'\n');
        let sha256 = format!("{:x}", Sha256::digest(&program));
        let (azure, account) = (&self.scenario.azure, &self.account);
        let file = self.scenario.dir.join("published");
        fs::write(&file, program)?;
        let name = format!("host-manager/{sha256}/hcs-host-manager");
        blobs::put(azure, account, "artifacts", &name, &file)?;
        let mut document = self.json("config", "cluster.json")?;
        document["host_manager"]["sha256"] = json!(sha256);
        let file = self.scenario.dir.join("document");
        fs::write(&file, document.to_string())?;
        blobs::put(azure, account, "config", "cluster.json", &file)?;
        self.wait("every server runs it", |life| {
            let runs = |slot| {
                let status = life.json(&format!("status-{slot}"), "status.json")?;
                Ok::<_, Box<dyn Error>>(status["host_manager_sha256"] == sha256)
            };
            life.slots()?.into_iter().try_fold(true, |all, slot| Ok(all && runs(slot)?))
        })
    }

    fn rotate(&mut self, what: &str) -> Done {
        self.scenario.hcs("rotate", &[what])?;
        self.wait(&format!("{what} is another one"), |life| {
            let noted = life.json("decisions", "rotations.json")?;
            Ok(noted["progress"][what]["phase"] == "done")
        })
    }

    /// Clients are given both while both are trusted.
    fn authority(&mut self) -> Done {
        let before = self.json("decisions", "rotations.json")?;
        self.scenario.hcs("rotate", &["certificate_authority"])?;
        self.wait("all trust the new one", |life| {
            let noted = life.json("decisions", "rotations.json")?;
            let name = "certificate_authority";
            Ok(noted["progress"][name] != before["progress"][name])
        })?;
        let folder = self.scenario.terraform.dir.join("client");
        self.scenario.terraform.run(&[
            "apply",
            "-auto-approve",
            "-no-color",
            "-input=false",
            "-replace=terraform_data.hand_out",
        ])?;
        let handed = HandedOut::read(&self.scenario.terraform.dir)?;
        fs::write(folder.join("ca.pem"), &handed.ca)?;
        // Consul reads it again on SIGHUP, as `consul reload` has it.
        tools::run(Command::new("kill").args(["-HUP", &self.client_process_id.to_string()]))?;
        self.wait("it is done", |life| {
            let noted = life.json("decisions", "rotations.json")?;
            Ok(noted["progress"]["certificate_authority"]["phase"] == "done")
        })
    }

    /// The storage account refuses everything for a day.
    fn outage(&mut self) -> Done {
        let url = format!("{}/emulator/faults", self.scenario.azure.url);
        let ca = self.scenario.azure.ca();
        let ask = |method: &str, body: Option<&str>| {
            let url = url.clone();
            curl::send(&curl::Request { method, url, ca: Some(&ca), body, ..Default::default() })
        };
        ask("POST", Some("503:*:blobs:4000000000"))?;
        std::thread::sleep(self.day.max(Duration::from_mins(1)));
        ask("DELETE", None)?;
        self.wait("all are well", Self::is_whole)
    }

    /// From three to five and back, while a window is open.
    fn resize(&mut self) -> Done {
        let index = format!("{}/releases/consul", self.scenario.azure.url);
        for server_count in [5, 3] {
            self.scenario.terraform.declare("life", living(server_count, &index))?;
            self.scenario.terraform.apply(&[])?;
            self.scenario.terraform.plan(&[])?.expect_code(0)?;
        }
        self.wait("all are well", Self::is_whole)
    }

    fn end(self, days: u32) -> Done {
        let snapshots = blobs::list(&self.scenario.azure, &self.account, "snapshots")?;
        let taken = snapshots.iter().filter(|name| name.starts_with("often/")).count();
        let ways = snapshots.iter().filter(|name| name.contains("before-")).count();
        assert_eq!(ways, self.published.len(), "a snapshot before each upgrade: {snapshots:?}");
        let took_s = self.began.elapsed().as_secs();
        println!(
            "{days} days in {took_s} s: {} renewals, {taken} snapshots, {} upgrades ({})",
            self.renewals,
            self.published.len(),
            self.published.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        );
        let (seen, kept) = self.watch.stop();
        let mut at_ends = 0;
        for (job, Seen { requests, failed, at_transfers, longest_gap }) in &seen {
            let (count, transfers) = (failed.len(), at_transfers.len());
            let gap_s = longest_gap.as_secs_f64();
            println!(
                "{job:>12}: {requests:>6} requests, {count} failed, {transfers} more at a transfer of the lead, longest \
                 gap {gap_s:.1} s"
            );
            for told in failed.iter().chain(at_transfers) {
                println!("              {told}");
            }
            assert!(*longest_gap < GAP_MAX, "{job}: nothing was answered for {gap_s:.1} s");
            let ends = JOBS_WITH_ENDS.iter().any(|with| format!("{with:?}") == *job);
            assert!(ends || failed.is_empty(), "{job}: a request failed though no server ended");
            at_ends += count;
        }
        let most = LOST_AT_AN_END * self.ends;
        println!("{at_ends} requests failed at the ends of {} servers", self.ends);
        assert!(at_ends <= most, "more than {most}");
        assert!(taken > 10, "{snapshots:?}");
        let consul = self.scenario.consul()?;
        consul.trust(&HandedOut::read(&self.scenario.terraform.dir)?.ca)?;
        let found = consul.ask_as(0, "GET", "kv/life?keys", None, Some(&self.root))?.json();
        let found: std::collections::BTreeSet<&str> =
            found.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let lost: Vec<_> = kept.iter().filter(|key| !found.contains(key.as_str())).collect();
        println!("{} writes acknowledged, {} lost", kept.len(), lost.len());
        assert!(lost.is_empty(), "{lost:?}");
        self.scenario.terraform.destroy(&[])?;
        Ok(())
    }
}
