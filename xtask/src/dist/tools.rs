//! What builds a release and is not ours, in pinned versions.

use std::path::PathBuf;
use std::process::Command;

use hcs_acceptance::tools::{PyPi, cache, requirements, run};

use crate::shell::Failure;

/// The compiler of C and the linker. Its folder carries the C libraries that become part of programs.
pub(super) const ZIG: PyPi<'_> =
    PyPi("ziglang", "0.17.1", "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54");
const ZIGBUILD: PyPi<'_> = PyPi(
    "cargo-zigbuild",
    "0.24.1",
    "238a1ab54a95053a4eadc34775c81f795a8ad75f80bfed63f3f445f518102375",
);

/// Programs and folders of tools.
pub(super) struct Tools {
    /// Of `cargo-zigbuild` and the Python that knows zig.
    pub(super) bin: PathBuf,
    /// What zig brings.
    pub(super) zig: PathBuf,
}

/// Installs what is missing.
pub(super) fn set_up() -> Result<Tools, Failure> {
    let root = cache().join("zig").join(ZIG.2);
    let bin = root.join("bin");
    if !bin.join("cargo-zigbuild").is_file() {
        println!("$ pip install {}=={} {}=={}", ZIG.0, ZIG.1, ZIGBUILD.0, ZIGBUILD.1);
        let mut venv = Command::new("python3");
        done(venv.args(["-m", "venv"]).arg(&root))?;
        let wanted = requirements(&root, &[ZIG, ZIGBUILD])?;
        let mut pip = Command::new(bin.join("pip"));
        done(pip.args(["install", "--quiet", "--no-deps", "--require-hashes", "-r"]).arg(wanted))?;
    }
    let where_is = "import ziglang, os; print(os.path.dirname(ziglang.__file__))";
    let mut python = Command::new(bin.join("python3"));
    let zig = run(python.args(["-c", where_is]))?;
    Ok(Tools { bin, zig: zig.trim().into() })
}

/// Runs a command to its end, with what it prints.
pub(super) fn done(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}
