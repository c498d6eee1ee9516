//! `cargo xtask conformance`: what others say is right. Bodies and answers by Microsoft's definitions and examples,
//! credentials by fake token endpoints, what a client reaches by the kernel, ports by what Consul serves.

use crate::shell::{Count, Failure, cargo_test};

/// What is judged, and the tests that do it.
const JUDGED: [(&str, &[&str]); 7] = [
    ("bodies that we send", &["-p", "hcs-exploration", "--test", "bodies", "--", "--nocapture"]),
    (
        "bodies that the emulator takes, Microsoft's examples",
        &["-p", "hcs-simulator", "--test", "it", "definitions::", "--", "--nocapture"],
    ),
    (
        "answers of the emulator",
        &["-p", "hcs-simulator", "--test", "it", "judge::", "--", "--nocapture"],
    ),
    ("what policies, tags and extensions do", &["-p", "hcs-simulator", "--test", "it", "policy::"]),
    ("credentials", &["-p", "hcs-azure", "--test", "it"]),
    ("ports", &["-p", "hcs-planner", "--test", "it", "guides::"]),
    ("what a client reaches", &["-p", "hcs-acceptance", "--test", "client_network"]),
];

pub(crate) fn run() -> Result<(), Failure> {
    crate::test::set_up()?;
    crate::shell::build_binaries()?;
    let mut rows = Vec::new();
    for (what, words) in JUDGED {
        let mut count = Count::default();
        let ran = cargo_test(words, &mut count);
        rows.push((what, count, ran.is_ok()));
    }
    println!();
    for (what, count, is_well) in &rows {
        let verdict = if *is_well { "" } else { "  FAILED" };
        println!("{what:<56} {:>4} passed, {} failed{verdict}", count.passed, count.failed);
    }
    if rows.iter().all(|(_, count, is_well)| *is_well && count.passed > 0) {
        return Ok(());
    }
    Err("something is not as others say it should be".into())
}
