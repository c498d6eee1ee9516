//! Secrets in what a run leaves behind, with every fault: its words, its log, its documents, what ARM was sent.

use std::cell::RefCell;
use std::io::{self, Write};

use hcs_judge::canary::{Secret, Sink, leaks};
use hcs_simulator::estate::Estate;
use tracing_subscriber::fmt::MakeWriter;

use crate::run::End;

thread_local! {
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where the log of this thread's run goes.
#[derive(Clone, Copy, Debug, Default)]
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        Self
    }
}

/// From now on every run is logged as loud as it can be.
pub fn listen() {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(Log)
        .finish();
    // Who listens already goes on.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// What this thread's runs have logged since somebody asked.
pub fn take_log() -> Vec<u8> {
    LOG.take()
}

/// Names of the sinks, as tables show them.
pub const SINKS: [&str; 6] = ["words", "log", "ARM objects", "documents", "requests", "statuses"];

/// Sentences on every secret of the estate that is in a sink.
pub fn found(estate: &Estate, end: &End, log: Vec<u8>) -> Vec<String> {
    let all = || estate.blobs.all();
    let secrets: Vec<Secret> = all()
        .filter(|(_, container, ..)| container.starts_with("secrets-"))
        .map(|(_, container, name, blob)| Secret {
            name: format!("{container}/{name}"),
            text: String::from_utf8_lossy(&blob.bytes).into_owned(),
        })
        .collect();
    let sink = |name: &str, bytes: Vec<u8>| Sink { name: name.to_owned(), bytes };
    let of = |wanted: fn(&str) -> bool| {
        let blobs = all().filter(|(_, container, ..)| wanted(container));
        blobs.flat_map(|(.., blob)| blob.bytes.to_vec()).collect::<Vec<u8>>()
    };
    let sinks = [
        sink("words", format!("{end:?}").into()),
        sink("log", log),
        sink("ARM objects", serde_json::to_vec(&estate.world).unwrap_or_default()),
        sink("documents", of(|container| container == "config")),
        sink("requests", of(|container| container == "requests")),
        sink("statuses", of(|container| container.starts_with("status-"))),
    ];
    leaks(&secrets, &sinks)
}
