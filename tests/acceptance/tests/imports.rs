//! The import matrix: every shape of a cluster, by every word that somebody has for it, into an empty plan.
//!
//! A platform team's policies have put tags and an extension of theirs on everything.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use hcs_acceptance::scenario::{CLUSTER, GROUP, configuration_dir, set_consul};
use hcs_acceptance::{Scenario, Workspace, tools, wait};
use hcs_release_maker::{next_patch, relabelled};
use semver::Version;
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

/// How a cluster is named in an import.
#[derive(Clone, Copy, Debug)]
enum Way {
    Id,
    OtherCase,
    Name,
    PortalPage,
    /// Terraform 1.12 and newer.
    Identity,
    /// By id, and Terraform writes the configuration.
    Generated,
    /// Terraform 1.14 and newer.
    ListResource,
}

/// The ways that this client knows.
fn ways() -> Result<Vec<Way>, Box<dyn Error>> {
    let said = tools::run(Command::new(tools::terraform()?).arg("version"))?;
    let word = said.lines().find_map(|line| line.strip_prefix("Terraform v"));
    let version = word.map(|word| word.trim().parse::<Version>()).transpose()?;
    let from = |minor| version.as_ref().is_some_and(|own| (own.major, own.minor) >= (1, minor));
    let mut ways = vec![Way::Id, Way::OtherCase, Way::Name, Way::PortalPage, Way::Generated];
    if from(12) {
        ways.push(Way::Identity);
    }
    if from(14) {
        ways.push(Way::ListResource);
    }
    Ok(ways)
}

/// One scenario and what has been imported in it.
struct Matrix {
    scenario: Scenario,
    ways: Vec<Way>,
    rows: Vec<String>,
}

impl Matrix {
    fn new(name: &str) -> Result<Self, Box<dyn Error>> {
        let scenario = Scenario::start_under(name, "", 60, "landing-zone.json")?;
        scenario.terraform.copy(&configuration_dir("imports/declared"))?;
        scenario.terraform.init()?;
        Ok(Self { scenario, ways: ways()?, rows: Vec::new() })
    }

    /// Applies with what is set, and imports that in every way into states of their own.
    fn station(&mut self, shape: &str) -> Done {
        let terraform = &self.scenario.terraform;
        terraform.apply(&[])?;
        terraform.plan(&[])?.expect_code(0)?;
        let id = terraform.attributes(CLUSTER)?["id"].as_str().ok_or("id")?.to_owned();
        for (place, way) in self.ways.iter().enumerate() {
            let dir = self.scenario.dir.join(format!("import-{}-{place}", self.rows.len()));
            let mut workspace = Workspace::new(&dir, &self.scenario.azure)?;
            for (name, value) in self.scenario.terraform.env() {
                if name.starts_with("TF_VAR_") {
                    workspace.set(name, value);
                }
            }
            set_words(&mut workspace, *way, &id);
            imports_into_an_empty_plan(&workspace, *way)
                .map_err(|error| format!("{shape}, by {way:?}: {error}"))?;
        }
        self.rows.push(format!("{shape}: {} imports, each planned empty", self.ways.len()));
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) {
        self.scenario.terraform.set(&format!("TF_VAR_{name}"), value);
    }

    /// Ends the cluster, and says what was seen.
    fn end(&self) -> Done {
        println!("by {:?}:\n  {}", self.ways, self.rows.join("\n  "));
        self.scenario.terraform.destroy(&[])?;
        Ok(())
    }
}

/// What the variable `cluster` says.
fn set_words(workspace: &mut Workspace, way: Way, id: &str) {
    let subscription = id.split('/').nth(2).unwrap_or_default();
    let words = match way {
        Way::OtherCase => id.to_uppercase(),
        Way::Name => format!("{subscription}/{GROUP}/imported"),
        Way::PortalPage => {
            format!("https://portal.azure.com/#@contoso.onmicrosoft.com/resource{id}/overview")
        }
        _ => id.to_owned(),
    };
    workspace.set("TF_VAR_cluster", &words);
}

fn imports_into_an_empty_plan(workspace: &Workspace, way: Way) -> Done {
    let folders: &[&str] = match way {
        Way::Identity => &["declared", "by_identity"],
        Way::Generated => &["generated"],
        Way::ListResource => &["listed"],
        _ => &["declared", "by_block"],
    };
    for folder in folders {
        workspace.copy(&configuration_dir("imports").join(folder))?;
    }
    workspace.init()?;
    let plan: &[&str] = match way {
        Way::Generated => &["-generate-config-out=found.tf", "-out=import.tfplan"],
        Way::ListResource => {
            let query = ["query", "-no-color", "-generate-config-out=found.tf"];
            workspace.run(&query)?.expect_code(0)?;
            fs::remove_file(workspace.dir.join("all.tfquery.hcl"))?;
            &["-out=import.tfplan"]
        }
        _ => &["-out=import.tfplan"],
    };
    let told = workspace.plan(plan)?;
    let shown = workspace.run(&["show", "-json", "import.tfplan"])?;
    let shown: Value = serde_json::from_str(&shown.stdout).map_err(|_| told.text())?;
    let changes = shown["resource_changes"].as_array().cloned().unwrap_or_default();
    // Policies are not listed.
    let expected = if matches!(way, Way::ListResource) { 1 } else { 2 };
    assert_eq!(changes.len(), expected, "{}", told.text());
    for change in changes {
        let change = &change["change"];
        assert!(change["importing"].is_object(), "{}", told.text());
        assert_eq!(change["actions"], json!(["no-op"]), "{}", told.text());
    }
    // The words are no part of what comes into the state: one of them tells of all.
    if matches!(way, Way::OtherCase | Way::Name | Way::PortalPage) {
        return Ok(());
    }
    // What was generated is what stands from now on; the import may stay beside it, without its provider.
    workspace.run(&["apply", "-no-color", "-input=false", "import.tfplan"])?.expect_code(0)?;
    if matches!(way, Way::Generated) {
        let text = fs::read_to_string(workspace.dir.join("main.tf"))?;
        workspace.write("main.tf", &text.replace("  provider = hcs\n", ""))?;
    }
    workspace.plan(&[])?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_cluster_is_imported_by_every_word_before_and_after_it_grew() -> Done {
    let mut matrix = Matrix::new("imports")?;
    for (servers, shape) in [("1", "1 server, own network"), ("3", "3 servers, after growing")] {
        matrix.set("server_count", servers);
        matrix.station(shape)?;
    }
    matrix.end()
}

/// The long form: `cargo test -p hcs-acceptance --test imports -- --ignored --nocapture`, and `cargo xtask clients --only
/// imports` under newer Terraforms.
#[test]
#[ignore = "minutes: the rest of the matrix"]
fn a_cluster_is_imported_in_every_size_and_after_an_upgrade() -> Done {
    let mut matrix = Matrix::new("imports-large")?;
    for (servers, shape) in [
        ("5", "5 servers, own network"),
        ("7", "7 servers, after growing"),
        ("3", "3 servers, after shrinking"),
    ] {
        matrix.set("server_count", servers);
        matrix.station(shape)?;
    }
    let first = tools::consul()?;
    let from: Version = tools::consul_version(&first)?.parse()?;
    let next = next_patch(&from);
    let path = matrix.scenario.dir.join(format!("consul-{next}"));
    fs::write(&path, relabelled(&fs::read(&first)?, &from, &next))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    matrix.set("consul_version", &next.to_string());
    matrix.set("consul_archive", &path.display().to_string());
    matrix.station("3 servers, after an upgrade")?;
    matrix.end()
}

#[test]
#[ignore = "minutes: the rest of the matrix"]
fn a_cluster_in_a_network_of_somebody_is_imported() -> Done {
    let mut matrix = Matrix::new("imports-subnet")?;
    let azure = &matrix.scenario.azure;
    let group = azure.group_id(GROUP);
    let network = "providers/Microsoft.Network";
    let security = format!("{group}/{network}/networkSecurityGroups/platform");
    let vnet = format!("{group}/{network}/virtualNetworks/platform");
    let subnet = |name: &str, prefix: &str| {
        json!({ "name": name, "properties": {
            "addressPrefix": prefix, "networkSecurityGroup": { "id": security },
        } })
    };
    let subnets = [subnet("consul", "10.8.4.0/26"), subnet("zone-2", "10.8.5.0/28")];
    for (id, properties) in [
        (&security, json!({})),
        (
            &vnet,
            json!({ "addressSpace": { "addressPrefixes": ["10.8.0.0/16"] }, "subnets": subnets }),
        ),
    ] {
        let body = json!({ "location": "westeurope", "properties": properties });
        let path = format!("{id}?api-version=2024-01-01");
        let made = azure.arm("PUT", &path, Some(&body.to_string()))?;
        assert!(made.status < 300, "{}", made.text());
        wait("the platform's object", || {
            let state = azure.arm("GET", &path, None)?.json();
            Ok(state["properties"]["provisioningState"] == "Succeeded")
        })?;
    }
    matrix.set("subnet_id", &format!("{vnet}/subnets/consul"));
    matrix.set("server_count", "1");
    matrix.station("1 server, a subnet of somebody")?;
    let by_zone = json!({ "2": format!("{vnet}/subnets/zone-2") });
    matrix.set("zone_subnet_ids", &by_zone.to_string());
    matrix.set("server_count", "3");
    matrix.station("3 servers, grown there, a subnet for a zone")?;
    matrix.end()
}

/// A Consul as it is made elsewhere has no word in an import that is not the cluster's.
#[test]
fn words_that_name_no_cluster_are_refused() -> Done {
    let scenario = Scenario::start("imports-refused", "", 60)?;
    let own = scenario.azure.group_id(GROUP);
    let mut workspace = Workspace::new(&scenario.dir.join("importing"), &scenario.azure)?;
    set_consul(&mut workspace)?;
    workspace.set("TF_VAR_resource_group_name", GROUP);
    workspace.set("TF_VAR_server_count", "1");
    for folder in ["declared", "by_block"] {
        workspace.copy(&configuration_dir("imports").join(folder))?;
    }
    workspace.init()?;
    let page = format!("https://portal.azure.com/#@contoso.com/resource{own}/overview");
    for (words, told) in [
        ("imported", "is neither the id of a managed resource group"),
        ("https://portal.azure.com/#home", "is neither the id of a managed resource group"),
        ("İ", "is neither the id of a managed resource group"),
        (own.as_str(), "Not a cluster of hcs"),
        (page.as_str(), "Not a cluster of hcs"),
    ] {
        workspace.set("TF_VAR_cluster", words);
        let plan = workspace.plan(&[])?.expect_code(1)?;
        assert!(plan.words().contains(told), "{words}: {}", plan.text());
        assert!(!plan.text().contains("panic"), "{}", plan.text());
    }
    Ok(())
}
