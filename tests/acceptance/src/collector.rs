//! A collector of OTLP traces: takes what is posted, answers 200, and keeps the bodies.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::HarnessError;

/// Runs as long as the process.
#[derive(Clone, Debug)]
pub struct Collector {
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    bodies: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    /// Listens on a free port of this machine.
    pub fn start() -> Result<Self, HarnessError> {
        let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| {
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        });
        let (listener, port) =
            bound.map_err(|error| HarnessError::Unexpected(format!("no collector: {error}")))?;
        let collector =
            Self { endpoint: format!("http://127.0.0.1:{port}"), bodies: Arc::default() };
        let bodies = Arc::clone(&collector.bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bodies = Arc::clone(&bodies);
                std::thread::spawn(move || serve(stream, &bodies));
            }
        });
        Ok(collector)
    }

    /// Everything that came so far.
    pub fn received(&self) -> Vec<u8> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Requests of one connection, until it ends.
fn serve(stream: TcpStream, bodies: &Mutex<Vec<u8>>) -> Option<()> {
    let mut answers = stream.try_clone().ok()?;
    let mut requests = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body).ok()?;
        bodies.lock().unwrap_or_else(PoisonError::into_inner).extend(body);
        answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
