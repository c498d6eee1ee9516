//! What is part of programs and no crate: Rust's own library, the unwinder, and where the program brings it, a C
//! library.

use std::path::PathBuf;
use std::process::Command;

use hcs_acceptance::tools::run;

use super::place::Place;
use super::tools::{Tools, ZIG};
use crate::shell::Failure;

/// A library that came with the compilers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Its own version is not told by zig: this is the one of what brought it.
    pub(super) version: String,
    /// SPDX expression: the one that is chosen, where there is a choice.
    pub(super) licence: &'static str,
    pub(super) purl: String,
    /// File with the licence's text.
    pub(super) text: PathBuf,
}

/// Those in programs for a target.
pub(super) fn parts(place: &Place, tools: &Tools, triple: &str) -> Result<Vec<Part>, Failure> {
    let rustc = |words: &[&str]| run(Command::new("rustc").args(words).current_dir(&place.tree));
    let (told, root) = (rustc(&["--version"])?, rustc(&["--print", "sysroot"])?);
    let version = told.split(' ').nth(1).ok_or("rustc tells no version")?.to_owned();
    let licences = PathBuf::from(root.trim()).join("share/doc/rust/licenses");
    let mut parts = vec![Part {
        name: "rust-std",
        purl: format!("pkg:github/rust-lang/rust@{version}#library/std"),
        version,
        licence: "Apache-2.0",
        text: licences.join("Apache-2.0.txt"),
    }];
    let of_zig = |name, licence, folder: &str, text: &str| Part {
        name,
        version: format!("zig-{}", ZIG.1),
        licence,
        purl: format!("pkg:pypi/{}@{}#ziglang/{folder}", ZIG.0, ZIG.1),
        text: tools.zig.join(folder).join(text),
    };
    let unwinder = ("libunwind", "Apache-2.0 WITH LLVM-exception", "lib/libunwind", "LICENSE.TXT");
    parts.push(of_zig(unwinder.0, unwinder.1, unwinder.2, unwinder.3));
    if triple.ends_with("musl") {
        parts.push(of_zig("musl", "MIT", "lib/libc/musl", "COPYRIGHT"));
    }
    if triple.contains("windows") {
        parts.push(of_zig("mingw-w64", "ZPL-2.1", "lib/libc/mingw", "COPYING"));
    }
    Ok(parts)
}
