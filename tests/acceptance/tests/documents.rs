//! What the documents show is true: Terraform takes every configuration, and every command is one that there is.

#[path = "documents/commands.rs"]
mod commands;
#[path = "documents/fences.rs"]
mod fences;
#[path = "documents/links.rs"]
mod links;
#[path = "documents/whole.rs"]
mod whole;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fences::Code;
use hcs_acceptance::bins::{binary, repository, target};
use hcs_acceptance::scenario::{configuration_dir, example_dir};
use hcs_acceptance::{Workspace, copy_tree, tools};
use semver::Version;
use serde_json::Value;
use whole::{Declared, Kind, Whole, kind, whole};

type Done = Result<(), Box<dyn Error>>;

/// The minor version of Terraform with which files of queries came.
const QUERIES: u64 = 14;
/// Resources to which arguments may belong that stand alone.
const OWNERS: [&str; 2] = ["hcs_cluster.main", "hcs_snapshot_policy.hourly"];
/// Fewer are a sign that they are not found any more.
const CONFIGURATIONS: usize = 40;
const COMMANDS: usize = 150;

/// Where all folders are, with one `terraform init` for all.
struct Validating {
    terraform: Workspace,
    declared: Declared,
    /// Minor version of the Terraform 1 that is driven.
    minor: u64,
}

impl Validating {
    fn new(name: &str) -> Result<Self, Box<dyn Error>> {
        let dir = target().join("acceptance").join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        let mut terraform = Workspace::without_azure(&dir)?;
        fs::copy(configuration_dir("documents").join("head.tf"), dir.join("head.tf"))?;
        terraform.init()?;
        let data = dir.join(".terraform").display().to_string();
        terraform.set("TF_DATA_DIR", &data);
        let said = tools::run(Command::new(tools::terraform()?).arg("version"))?;
        let word = said.lines().find_map(|line| line.strip_prefix("Terraform v"));
        let version = word.map(|word| word.trim().parse::<Version>()).transpose()?;
        let minor = version.map_or(0, |version| version.minor);
        Ok(Self { terraform, declared: Declared::read()?, minor })
    }

    fn dir(&self) -> &Path {
        &self.terraform.dir
    }

    /// Why this client can only parse it.
    fn too_new(&self, text: &str) -> Option<&'static str> {
        let needs = [
            ("list \"", QUERIES, "list blocks need Terraform 1.14"),
            ("action \"", 14, "actions need Terraform 1.14"),
            ("  identity = {", 12, "imports by identity need Terraform 1.12"),
        ];
        let lacks = |(word, minor, _): &&(&str, u64, _)| text.contains(word) && self.minor < *minor;
        needs.iter().find(lacks).map(|(_, _, why)| *why)
    }

    /// What Terraform has against a folder; nothing where it is valid.
    fn refused(&self, name: &str, whole: &Whole) -> Result<Vec<String>, Box<dyn Error>> {
        let dir = self.dir().join(name);
        fs::create_dir_all(&dir)?;
        for (file, text) in &whole.files {
            fs::write(dir.join(file), text)?;
        }
        for file in &whole.read {
            fs::copy(example_file(file)?, dir.join(file))?;
        }
        for module in &whole.modules {
            copy_tree(&example_dir(module), &dir.join(module))?;
            // Its provider is the caller's.
            let main = dir.join(module).join("main.tf");
            let text = fs::read_to_string(&main)?.replace("provider \"hcs\" {}\n", "");
            fs::write(&main, text)?;
        }
        fs::copy(self.dir().join(".terraform.lock.hcl"), dir.join(".terraform.lock.hcl"))?;
        let chdir = format!("-chdir={name}");
        if !whole.modules.is_empty() {
            self.terraform.run(&[&chdir, "init", "-no-color"])?.expect_code(0)?;
        }
        let mut words = vec![chdir.as_str(), "validate", "-json"];
        words.extend((self.minor >= QUERIES).then_some("-query"));
        let ran = self.terraform.run(&words)?;
        let told: Value = serde_json::from_str(&ran.stdout).map_err(|_| ran.text())?;
        let found = told["diagnostics"].as_array().cloned().unwrap_or_default();
        let words = |one: &Value| format!("{}: {}", one["summary"], one["detail"]);
        Ok(found.iter().map(words).collect())
    }

    /// Terraform names what it does not understand of its own configuration, and goes on.
    fn client_refuses(&self, name: &str, text: &str) -> Result<Vec<String>, Box<dyn Error>> {
        let file = self.dir().join(name).with_extension("tfrc");
        fs::write(&file, text)?;
        let mut command = Command::new(tools::terraform()?);
        command.arg("version").env("TF_CLI_CONFIG_FILE", &file).env("CHECKPOINT_DISABLE", "1");
        let output = command.output()?;
        let told =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Ok(told.contains("CLI configuration").then(|| told.into_owned()).into_iter().collect())
    }

    /// All in one folder are in the layout, and so in the grammar, of `terraform fmt`.
    fn parses(&self, folder: &str) -> Done {
        let arguments = ["fmt", "-no-color", "-check", "-diff", folder];
        self.terraform.run(&arguments)?.expect_code(0)?;
        Ok(())
    }
}

/// A file of an example, whichever has it.
fn example_file(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let examples = fs::read_dir(repository().join("examples"))?.filter_map(Result::ok);
    let found = examples.map(|entry| entry.path().join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("no example has {name}").into())
}

fn is_terraform(code: &Code) -> bool {
    ["terraform", "hcl", "tf"].contains(&code.language.as_str())
}

/// What was done with the configurations.
#[derive(Default)]
struct Report {
    validated: usize,
    /// Those of which blocks of other providers were taken out.
    in_part: Vec<String>,
    parsed_only: Vec<String>,
    refused: Vec<String>,
}

impl Report {
    fn look(&mut self, validating: &Validating, name: &str, code: &Code) -> Done {
        let kind = kind(&code.text);
        let (place, text) = (&code.place, &code.text);
        if kind == Kind::Client {
            self.note(place, &validating.client_refuses(name, text)?);
            return Ok(());
        }
        let mut refused = Vec::new();
        let owners = if kind == Kind::Arguments { &OWNERS[..] } else { &OWNERS[..1] };
        for (number, owner) in owners.iter().enumerate() {
            let whole = whole(text, owner, &validating.declared);
            let only = validating.too_new(text);
            let only = only.or((!whole.is_ours).then_some("nothing in it is of this provider"));
            if let Some(why) = only {
                self.parsed_only.push(format!("{place}: {why}"));
                return Ok(());
            }
            let found = validating.refused(&format!("{name}-{number}"), &whole)?;
            if found.is_empty() {
                if whole.taken_out > 0 {
                    let blocks = whole.taken_out;
                    self.in_part.push(format!("{place}: without {blocks} of other providers"));
                }
                self.note(place, &[]);
                return Ok(());
            }
            refused.extend(found);
        }
        self.note(place, &refused);
        Ok(())
    }

    fn note(&mut self, place: &str, refused: &[String]) {
        if refused.is_empty() {
            self.validated += 1;
        } else {
            self.refused.push(format!("{place}:\n    {}", refused.join("\n    ")));
        }
    }
}

#[test]
fn every_configuration_in_the_documents_is_valid() -> Done {
    let validating = Validating::new("documents")?;
    let texts = validating.dir().join("texts");
    fs::create_dir_all(&texts)?;
    let mut report = Report::default();
    let codes = fences::all()?;
    let codes: Vec<&Code> = codes.iter().filter(|code| is_terraform(code)).collect();
    for code in &codes {
        let name = code.place.replace(['/', ':', '.'], "-");
        let text = match kind(&code.text) {
            Kind::Call => whole(&code.text, "", &validating.declared).files.remove("shown.tf"),
            _ => Some(code.text.clone()),
        };
        fs::write(texts.join(&name).with_extension("tf"), text.unwrap_or_default())?;
        report.look(&validating, &name, code)?;
    }
    validating.parses("texts")?;
    println!(
        "{} validated, {} of them in part, {} parsed only",
        report.validated,
        report.in_part.len(),
        report.parsed_only.len()
    );
    for line in report.in_part.iter().chain(&report.parsed_only) {
        println!("  {line}");
    }
    assert!(report.refused.is_empty(), "Terraform refuses\n  {}", report.refused.join("\n  "));
    assert_eq!(report.validated + report.parsed_only.len(), codes.len());
    assert!(report.validated >= CONFIGURATIONS, "{} were found", report.validated);
    Ok(())
}

/// `--help` behind a command has its words and flags read, and nothing done.
fn command_refused(command: &[String]) -> Result<Option<String>, Box<dyn Error>> {
    let (program, arguments) = command.split_first().ok_or("no words")?;
    let output = Command::new(binary(program)?).args(arguments).arg("--help").output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let told = format!("{}: {}", command.join(" "), told.lines().next().unwrap_or_default());
    Ok((!output.status.success()).then_some(told))
}

#[test]
fn every_command_in_the_documents_is_one_that_there_is() -> Done {
    let mut distinct: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let mut count = BTreeMap::new();
    for code in fences::all()? {
        for command in commands::of(&code) {
            *count.entry(command[0].clone()).or_insert(0_usize) += 1;
            distinct.entry(command).or_insert_with(|| code.place.clone());
        }
    }
    let mut refused = Vec::new();
    for (command, place) in &distinct {
        refused.extend(command_refused(command)?.map(|told| format!("{place}: {told}")));
    }
    println!("{count:?}, {} of them different", distinct.len());
    assert!(refused.is_empty(), "no such commands\n  {}", refused.join("\n  "));
    assert!(count.values().sum::<usize>() >= COMMANDS, "{count:?} were found");
    Ok(())
}

/// A document that is wrong in every block.
#[test]
fn what_a_document_gets_wrong_is_found() -> Done {
    let text = fs::read_to_string(configuration_dir("documents").join("wrong.md"))?;
    let codes = fences::of_document("wrong.md", &text)?;
    let validating = Validating::new("documents-wrong")?;
    let mut report = Report::default();
    let shown: Vec<&Code> = codes.iter().filter(|code| is_terraform(code)).collect();
    for code in &shown {
        report.look(&validating, &code.place.replace([':', '.'], "-"), code)?;
    }
    assert_eq!(report.refused.len(), shown.len(), "{:#?}", report.refused);
    let commands: Vec<Vec<String>> = codes.iter().flat_map(commands::of).collect();
    assert_eq!(commands.len(), 4, "{commands:?}");
    for command in commands {
        assert!(command_refused(&command)?.is_some(), "{command:?} is taken");
    }
    Ok(())
}

#[test]
fn every_link_in_the_documents_leads_somewhere() -> Done {
    let (count, lost) = links::lost(&fences::documents()?)?;
    println!("{count} links within the repository");
    assert!(count > 300, "{count}");
    assert_eq!(lost, Vec::<String>::new());
    Ok(())
}

#[test]
fn examples_and_configurations_of_tests_are_in_the_layout_of_terraform() -> Done {
    for folder in [example_dir(""), configuration_dir("")] {
        let mut terraform = Command::new(tools::terraform()?);
        terraform.args(["fmt", "-no-color", "-check", "-diff", "-recursive"]);
        tools::run(terraform.arg(folder))?;
    }
    Ok(())
}
