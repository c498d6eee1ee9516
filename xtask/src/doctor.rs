//! `cargo xtask doctor`: what this machine lacks, and how to get it.

use hcs_acceptance::tools;

use crate::shell::Failure;

/// What a program is for, and the package that brings it where its name is another one: for Debian and Ubuntu, for
/// Fedora, for macOS.
struct Needed {
    program: &'static str,
    purpose: &'static str,
    packages: [&'static str; 3],
}

const NEEDED: [Needed; 8] = [
    Needed {
        program: "cc",
        purpose: "links every binary",
        packages: ["gcc libc6-dev", "gcc", "xcode-select --install"],
    },
    Needed {
        program: "curl",
        purpose: "cloud-init of an emulated server runs it",
        packages: ["curl", "curl", "curl"],
    },
    Needed {
        program: "pgrep",
        purpose: "tests find the provider's process by it",
        packages: ["procps", "procps-ng", "(part of the system)"],
    },
    Needed {
        program: "git",
        purpose: "a test reads the map and the rooms from what git tracks",
        packages: ["git", "git", "xcode-select --install"],
    },
    Needed {
        program: "gpg",
        purpose: "a test signs as a release is signed",
        packages: ["gpg gpg-agent", "gnupg2", "gnupg"],
    },
    Needed {
        program: "ip",
        purpose: "gives the machines of a test a network of their own",
        packages: ["iproute2", "iproute", "(Linux only)"],
    },
    Needed {
        program: "unshare",
        purpose: "gives the machines of a test a network of their own",
        packages: ["util-linux", "util-linux", "(Linux only)"],
    },
    Needed {
        program: "terraform",
        purpose: "drives the provider",
        packages: [
            "https://developer.hashicorp.com/terraform/install",
            "https://developer.hashicorp.com/terraform/install",
            "https://developer.hashicorp.com/terraform/install",
        ],
    },
];

/// Needed by one command alone.
const FOR_ONE: [Needed; 2] = [
    Needed {
        program: "qemu-system-x86_64",
        purpose: "cargo xtask machine",
        packages: ["qemu-system-x86", "qemu-system-x86-core", "qemu"],
    },
    Needed {
        program: "pip",
        purpose: "cargo xtask dist and soup",
        packages: ["python3-pip", "python3-pip", "python3"],
    },
];

pub(crate) fn run() -> Result<(), Failure> {
    let missing = NEEDED.iter().filter(|needed| !show(needed)).count();
    match tools::consul() {
        Ok(path) => {
            println!("ok       consul {}: {}", tools::consul_version(&path)?, path.display());
        }
        Err(error) => println!("missing  {error}"),
    }
    println!("\nFor one command alone:");
    for needed in &FOR_ONE {
        show(needed);
    }
    if missing == 0 {
        return Ok(());
    }
    Err(format!("{missing} programs are missing").into())
}

/// Says whether it is there.
fn show(needed: &Needed) -> bool {
    let Needed { program, purpose, packages: [debian, fedora, macos] } = needed;
    let found = tools::on_path(program);
    match &found {
        Some(path) => println!("ok       {program}: {}", path.display()),
        None => println!(
            "missing  {program} ({purpose})\n           Debian, Ubuntu: {debian}\n           Fedora: \
             {fedora}\n           macOS: {macos}"
        ),
    }
    found.is_some()
}
