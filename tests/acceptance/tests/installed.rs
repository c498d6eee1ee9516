//! A plain `terraform init` installs the provider from a mirror of release archives, and what it installs works.

use std::error::Error;
use std::fs;
use std::process::Command;

use hcs_acceptance::bins::{ADDRESSES, binary, target};
use hcs_acceptance::packages::{Packed, archive_name, pack, provider_name};
use hcs_acceptance::scenario::configuration_dir;
use hcs_acceptance::{copy_tree, tools};

type Done = Result<(), Box<dyn Error>>;

/// Archives that were built already (`HCS_DIST`, the mirror of `cargo xtask dist`), or one of what was just built.
fn mirror(dir: &std::path::Path) -> Result<std::path::PathBuf, Box<dyn Error>> {
    if let Some(built) = std::env::var_os("HCS_DIST") {
        return Ok(built.into());
    }
    let (version, mirror) = (env!("CARGO_PKG_VERSION"), dir.join("mirror"));
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let program = |from: &str, name: &str| -> Result<Packed, Box<dyn Error>> {
        Ok(Packed { from: binary(from)?, name: name.to_owned(), is_program: true })
    };
    let files = [
        program("terraform-provider-hcs", &provider_name(version, "linux"))?,
        program("hcs-host-manager", "hcs-host-manager")?,
    ];
    for address in ADDRESSES {
        pack(&mirror.join(address).join(archive_name(version, "linux", arch)), &files)?;
    }
    Ok(mirror)
}

#[test]
fn an_archive_in_a_mirror_is_installed_by_a_plain_init() -> Done {
    fs::create_dir_all(target().join("acceptance"))?;
    let dir = tempfile::tempdir_in(target().join("acceptance"))?;
    let mirror = mirror(dir.path())?;
    copy_tree(&configuration_dir("installed"), dir.path())?;
    let config = dir.path().join("terraformrc");
    fs::write(
        &config,
        format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path = {mirror:?}\n  }}\n}}\n"
        ),
    )?;
    let mut programs = vec![tools::terraform()?];
    programs.extend(tools::other_clients());
    for program in programs {
        let data = dir.path().join(format!("data-{}", program.display().to_string().len()));
        let run = |words: &[&str]| -> Result<String, Box<dyn Error>> {
            let output = Command::new(&program)
                .args(words)
                .current_dir(dir.path())
                .env("TF_CLI_CONFIG_FILE", &config)
                .env("TF_DATA_DIR", &data)
                .env("CHECKPOINT_DISABLE", "1")
                .output()?;
            let text =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{} {words:?}:\n{text}", program.display());
            Ok(text)
        };
        let _ = fs::remove_file(dir.path().join(".terraform.lock.hcl"));
        let told = run(&["init", "-no-color", "-input=false"])?;
        assert!(told.contains("Installed hcs-community/hcs v0.1.0"), "{told}");
        assert!(run(&["validate", "-no-color"])?.contains("The configuration is valid"));
        // The host manager lies beside the program that was installed.
        let found = Command::new("find").arg(&data).args(["-name", "hcs-host-manager"]).output()?;
        assert_eq!(String::from_utf8_lossy(&found.stdout).lines().count(), 1);
    }
    Ok(())
}
