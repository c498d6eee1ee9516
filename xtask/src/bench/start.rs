//! From the start of the process to the handshake line, which Terraform waits for several times a command.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use hcs_acceptance::bins::target;

use super::figures::{Figure, count, median, ratio};
use super::peers::Peers;
use crate::shell::Failure;

/// What Terraform sets so that a provider does not take its user for a person.
const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");
const RUNS: usize = 21;

pub(crate) fn measure(peers: &Peers) -> Result<Vec<Figure>, Failure> {
    let ours = target().join("release/terraform-provider-hcs");
    let certificate = client_certificate()?;
    let programs = [ours.as_path(), &peers.workato, &peers.null];
    let mut times: [Vec<f64>; 3] = Default::default();
    let mut memory: [Vec<f64>; 3] = Default::default();
    for run in 0..=RUNS {
        for (at, program) in programs.iter().enumerate() {
            let (milliseconds, megabytes) = start(program, &certificate)?;
            // The first round warms the page cache.
            if run > 0 {
                times[at].push(milliseconds);
                memory[at].push(megabytes);
            }
        }
    }
    let faster = if median(&times[1]) < median(&times[2]) { 1 } else { 2 };
    Ok(vec![
        Figure::new("spawn to handshake, hcs, median", median(&times[0]), "ms", Some(5.0)),
        Figure::new("spawn to handshake, workato, median", median(&times[1]), "ms", None),
        Figure::new("spawn to handshake, null, median", median(&times[2]), "ms", None),
        Figure::new(
            "spawn to handshake, hcs to the faster peer",
            ratio(&times[0], &times[faster]),
            "x",
            Some(0.3),
        ),
        Figure::new("resident at handshake, hcs, median", median(&memory[0]), "MB", None),
        Figure::new(
            "resident at handshake, hcs to workato",
            ratio(&memory[0], &memory[1]),
            "x",
            Some(0.35),
        ),
    ])
}

/// As Terraform makes one for every start.
fn client_certificate() -> Result<String, Failure> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512)?;
    Ok(rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?.pem())
}

/// Milliseconds until the line, and resident megabytes then.
fn start(program: &Path, certificate: &str) -> Result<(f64, f64), Failure> {
    let begun = Instant::now();
    let mut child = Command::new(program)
        .env(COOKIE.0, COOKIE.1)
        .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
        .env("PLUGIN_CLIENT_CERT", certificate)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    let resident = resident_megabytes(child.id(), "VmRSS:").unwrap_or(f64::NAN);
    child.kill()?;
    child.wait()?;
    if line.starts_with("1|") {
        Ok((milliseconds, resident))
    } else {
        Err(format!("{} gave no handshake: {line:?}", program.display()).into())
    }
}

/// A line of `/proc/PID/status` in megabytes.
pub(super) fn resident_megabytes(pid: u32, label: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(label))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(count(kilobytes) / 1e3)
}
