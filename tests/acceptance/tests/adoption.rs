//! A cluster takes over from servers that somebody else made, under the real Terraform and with the real Consul: what was
//! written is there, somebody leads all the time, and the plan is empty in the end.

use std::error::Error;
use std::process::{Command, Output};

use hcs_acceptance::before::{Before, DATACENTER, Shape, TOKEN};
use hcs_acceptance::bins::binary;
use hcs_acceptance::consul::Consul;
use hcs_acceptance::load::Load;
use hcs_acceptance::scenario::CLUSTER;
use hcs_acceptance::{Scenario, wait};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

/// As the starter has it: tokens are asked for, and one may do everything.
const TOKENS: &str = r#"{ "acl": { "enabled": true, "default_policy": "deny", "enable_token_persistence": true,
  "tokens": { "master": "5a6c7e0c-3b1f-4c57-8a5d-0d9e4b7f1a11" } } }"#;

const TIME_SCALE: u32 = 600;

const STARTER: Shape = Shape { name: "before", is_alone: false, servers: 3, more: TOKENS };

struct Adoption {
    scenario: Scenario,
    before: Before,
}

impl Adoption {
    fn start(name: &str, shape: Shape) -> Result<Self, Box<dyn Error>> {
        let scenario = Scenario::start(name, "", TIME_SCALE)?;
        assert!(TOKENS.contains(TOKEN));
        let before = Before::make(&scenario, shape)?;
        let beside = json!({
            "server_count": 3, "consul_datacenter": DATACENTER, "subnet_id": before.subnet_id,
        });
        scenario.terraform.declare(name, beside)?;
        scenario.terraform.init()?;
        Ok(Self { scenario, before })
    }

    /// The plan of now, as `hcs adopt` reads it.
    fn plan_json(&self) -> Result<std::path::PathBuf, Box<dyn Error>> {
        let terraform = &self.scenario.terraform;
        terraform.plan(&["-out=tfplan"])?;
        let shown = terraform.run(&["show", "-json", "tfplan"])?.expect_code(0)?;
        let path = self.scenario.dir.join("plan.json");
        std::fs::write(&path, shown.stdout)?;
        Ok(path)
    }

    fn hcs(&self, arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
        let mut hcs = Command::new(binary("hcs")?);
        hcs.arg("adopt")
            .args(arguments)
            .envs(self.scenario.terraform.env())
            .envs(self.before.env());
        Ok(hcs.output()?)
    }

    fn look(&self, command: &str) -> Result<(i32, String), Box<dyn Error>> {
        let plan = self.plan_json()?.display().to_string();
        let (ca, key) = (&self.before.ca, &self.before.ca_key);
        let (ca, key) = (ca.display().to_string(), key.display().to_string());
        let mut arguments = vec![command, "-f", &plan, "--ca-file", &ca, "--ca-key-file", &key];
        arguments.extend(self.before.ids.iter().flat_map(|id| ["--from", id.as_str()]));
        let output = self.hcs(&arguments)?;
        Ok((output.status.code().unwrap_or(-1), text(&output)))
    }

    fn id(&self) -> Result<String, Box<dyn Error>> {
        let cluster = self.scenario.terraform.attributes(CLUSTER)?;
        Ok(cluster["id"].as_str().unwrap_or_default().to_owned())
    }

    /// By this reason alone, and nothing is made.
    fn is_refused_for(&self, check: &str) -> Done {
        let made = self.scenario.azure.objects()?;
        let (code, report) = self.look("report")?;
        println!("{report}");
        let mut problems = report.lines().filter(|line| line.starts_with("PROBLEM"));
        let first = problems.next().unwrap_or_default();
        assert!(code == 2 && first.contains(check), "{check}: {report}");
        assert_eq!(problems.next(), None, "{report}");
        let (code, refused) = self.look("prepare")?;
        assert!(code == 1 && refused.contains("It is not prepared"), "{refused}");
        assert_eq!(self.scenario.azure.objects()?, made, "{check}: nothing was made");
        Ok(())
    }

    /// All servers, those of before and the cluster's own.
    fn everybody(&self) -> impl Fn() -> Option<Consul> + use<> {
        let (azure, ca) = (self.scenario.azure.handle(), self.before.ca.clone());
        move || {
            let vms = azure.vms().ok()?;
            let addresses = vms.iter().filter_map(|vm| Some(vm["address"].as_str()?.to_owned()));
            Some(Consul::at(&ca, TOKEN, DATACENTER, addresses.collect()))
        }
    }
}

fn text(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn keys(consul: &Consul, slot: usize) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut keys = consul.get(slot, "kv/shop?recurse")?.as_array().cloned().unwrap_or_default();
    for key in &mut keys {
        *key = json!([key["Key"], key["Value"]]);
    }
    Ok(keys)
}

#[test]
fn a_cluster_takes_over_from_a_scale_set_of_three_and_loses_nothing() -> Done {
    let adoption = Adoption::start("adopted", STARTER)?;
    let (terraform, before) = (&adoption.scenario.terraform, adoption.before.consul());
    for number in 0..200 {
        let (path, value) = (format!("kv/shop/{number}"), format!("price {number}"));
        before.ask(0, "PUT", &path, Some(&value), true)?;
    }
    let written = keys(&before, 0)?;
    assert_eq!(written.len(), 200);

    let objects = adoption.scenario.azure.objects()?;
    let (code, report) = adoption.look("report")?;
    println!("{report}");
    assert_eq!(code, 0, "{report}");
    assert_eq!(adoption.scenario.azure.objects()?, objects, "a report makes nothing");

    let load = Load::start_on(adoption.everybody(), adoption.everybody());
    let (code, prepared) = adoption.look("prepare")?;
    println!("{prepared}");
    assert_eq!(code, 0, "{prepared}");
    let (code, again) = adoption.look("prepare")?;
    assert_eq!(code, 0, "{again}");
    let applied = terraform.run(&["apply", "-auto-approve", "-no-color"])?.expect_code(0)?;
    println!("{}", applied.text());
    assert!(applied.words().contains("Servers of before vote together with"), "{}", applied.text());
    assert_eq!(before.voters(0)?.len(), 6);
    terraform.plan(&[])?.expect_code(0)?;
    let status = adoption.scenario.hcs("status", &[])?;
    assert!(status.contains("of before still belong to it"), "{status}");
    assert!(!status.contains("no server says that it leads"), "{status}");

    // What would take the votes of before along is refused.
    let refused = terraform.run(&["destroy", "-auto-approve", "-no-color"])?.expect_code(1)?;
    assert!(refused.words().contains("hold one state together"), "{}", refused.text());

    let finished = adoption.hcs(&["finish", &adoption.id()?])?;
    println!("{}", text(&finished));
    assert!(finished.status.success(), "{}", text(&finished));
    let seen = load.stop();
    println!(
        "longest time without a leader: {:?}, {} writes",
        seen.longest_gap,
        seen.acknowledged.len()
    );

    let consul = adoption.scenario.consul()?;
    let names: Vec<String> = (0..3).map(|slot| format!("adopted-server-{slot}")).collect();
    assert_eq!(consul.voters(0)?, names);
    assert_eq!(keys(&consul, 1)?, written);
    for key in &seen.acknowledged {
        assert_eq!(consul.ask(0, "GET", &format!("kv/{key}"), None, true)?.status, 200, "{key}");
    }
    let members = consul.get(0, "agent/members")?;
    assert_eq!(members.as_array().map_or(0, Vec::len), 3, "{members}");
    wait("all is well", || Ok(adoption.scenario.hcs("status", &[])?.contains("all is well")))?;
    terraform.plan(&[])?.expect_code(0)?;

    // The machines of before are off and there; the cluster lives its own life.
    let vms = adoption.scenario.azure.vms()?;
    assert!(vms.iter().all(|vm| vm["scaleSet"] != "before"), "{vms:?}");
    let again = adoption.hcs(&["finish", &adoption.id()?])?;
    assert!(text(&again).contains("nothing to finish"), "{}", text(&again));
    terraform.destroy(&[])?;
    assert!(adoption.scenario.azure.objects()?.contains(&adoption.before.ids[0]));
    Ok(())
}

/// Tokens are asked for of nobody.
const OPEN: &str = r#"{ "acl": { "enabled": true, "default_policy": "allow",
  "tokens": { "master": "5a6c7e0c-3b1f-4c57-8a5d-0d9e4b7f1a11" } } }"#;

/// Each by one reason, before anything is made.
#[test]
fn what_cannot_be_proven_safe_is_refused() -> Done {
    let open = Shape { name: "open", servers: 1, more: OPEN, ..STARTER };
    let mut adoption = Adoption::start("not-adopted", open)?;
    adoption.is_refused_for("tokens")?;

    let key_of_others = adoption.before.ca_key.clone();
    adoption.before =
        Before::make(&adoption.scenario, Shape { name: "repaired", more: TOKENS, ..open })?;
    let key = std::mem::replace(&mut adoption.before.ca_key, key_of_others);
    adoption.is_refused_for("authority")?;

    adoption.before.ca_key = key;
    let path = format!("{}?api-version=2024-07-01", adoption.before.ids[0]);
    let repairs = json!({ "properties": { "automaticRepairsPolicy": { "enabled": true } } });
    let said = adoption.scenario.azure.arm("PATCH", &path, Some(&repairs.to_string()))?;
    assert!(said.status < 300, "{}", said.text());
    adoption.is_refused_for("machines stay off")
}

#[test]
#[ignore = "minutes: cargo xtask adoption"]
fn machines_that_stand_alone_are_followed_and_left_again_and_taken_over_in_the_end() -> Done {
    let adoption =
        Adoption::start("alone-adopted", Shape { name: "old", is_alone: true, ..STARTER })?;
    let (terraform, before) = (&adoption.scenario.terraform, adoption.before.consul());
    before.ask(0, "PUT", "kv/shop/1", Some("kept"), true)?;
    let written = keys(&before, 0)?;
    let (code, prepared) = adoption.look("prepare")?;
    assert_eq!(code, 0, "{prepared}");
    terraform.apply(&[])?;
    assert_eq!(before.voters(0)?.len(), 6);

    // There and back again.
    let load = Load::start_on(adoption.everybody(), adoption.everybody());
    let undone = adoption.hcs(&["undo", &adoption.id()?])?;
    println!("{}", text(&undone));
    assert!(undone.status.success(), "{}", text(&undone));
    assert_eq!(before.voters(0)?, ["old-0", "old-1", "old-2"]);
    let seen = load.stop();
    println!(
        "back: longest time without a leader: {:?}, {} writes",
        seen.longest_gap,
        seen.acknowledged.len()
    );
    terraform.destroy(&[])?;
    assert_eq!(before.voters(0)?.len(), 3);
    assert_eq!(keys(&before, 0)?, written);

    // And once more, with an end that is cut off.
    let (code, prepared) = adoption.look("prepare")?;
    assert_eq!(code, 0, "{prepared}");
    terraform.apply(&[])?;
    let load = Load::start_on(adoption.everybody(), adoption.everybody());
    for seconds in [4, 12, 20] {
        let mut hcs = Command::new(binary("hcs")?);
        hcs.args(["adopt", "finish", &adoption.id()?]).envs(terraform.env());
        let mut cut_off = hcs.spawn()?;
        std::thread::sleep(std::time::Duration::from_secs(seconds));
        cut_off.kill()?;
        cut_off.wait()?;
    }
    let finished = adoption.hcs(&["finish", &adoption.id()?])?;
    println!("{}", text(&finished));
    let seen = load.stop();
    println!(
        "on: longest time without a leader: {:?}, {} writes",
        seen.longest_gap,
        seen.acknowledged.len()
    );
    let consul = adoption.scenario.consul()?;
    let names: Vec<String> = (0..3).map(|slot| format!("alone-adopted-server-{slot}")).collect();
    assert_eq!(consul.voters(0)?, names);
    assert_eq!(keys(&consul, 1)?, written);
    for key in &seen.acknowledged {
        assert_eq!(consul.ask(0, "GET", &format!("kv/{key}"), None, true)?.status, 200, "{key}");
    }
    wait("all is well", || Ok(adoption.scenario.hcs("status", &[])?.contains("all is well")))?;
    terraform.plan(&[])?.expect_code(0)?;
    terraform.destroy(&[])?;
    Ok(())
}
