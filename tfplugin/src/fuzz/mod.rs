//! Hostile input: whatever arrives, the answer is a value, an error or a diagnostic. Never a panic,
//! never a hang, and never more memory than the input is worth.
//!
//! Structure-aware mutation without an instrumented compiler: valid inputs are cut, spliced and
//! bombed. The tests run a short piece of the sequence; `cargo xtask fuzz --execs N` a long one.

mod mutate;
mod provider;
mod seeds;

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::provider::RawState;
use crate::rpc::Calls;
use crate::schema::Type;
use crate::server::Server;
use crate::value::Value;
use mutate::Random;
use seeds::request;

/// Longer than this is a hang: the largest input is some kilobytes.
const HANG: Duration = Duration::from_secs(10);

/// Memory that all executions together may add to the peak.
const GROWTH_BYTES_MAX: u64 = 256 * 1024 * 1024;

thread_local! {
    /// Panics on this thread, which carries the calls too; other tests panic on purpose.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Peak of the resident memory of this process, where the system tells.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// What one execution did with its input.
#[derive(Default)]
struct Counts {
    execs: u64,
    accepted: u64,
    hangs: u64,
    slowest: Duration,
    failures: String,
}

impl Counts {
    fn note(&mut self, what: &str, input: &[u8], panics_before: u64, took: Duration, good: bool) {
        self.execs += 1;
        self.accepted += u64::from(good);
        self.slowest = self.slowest.max(took);
        let panicked = PANICS.get() != panics_before;
        let hung = took > HANG;
        self.hangs += u64::from(hung);
        // The first few say enough.
        if (panicked || hung) && self.failures.len() < 4096 {
            let hex: String = input.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            let how = if panicked { "panic" } else { "hang" };
            let _ = writeln!(self.failures, "{how} in {what}: {hex}");
        }
    }
}

/// Decoders that take bytes.
fn decode(target: usize, types: &[Type], random: &mut Random, input: &[u8]) -> bool {
    // Half of the documents are of the first type.
    let ty = if random.one_in(2) { &types[0] } else { random.pick(types) };
    match target {
        0 => match Value::from_msgpack(input, ty) {
            // What was understood can be said, and then means the same for good. (Promises that a
            // type cannot make are not said.)
            Ok(value) => {
                let said = value.to_msgpack(ty).expect("what was read can be written");
                let heard = Value::from_msgpack(&said, ty).expect("what was written can be read");
                assert_eq!(heard.to_msgpack(ty).as_ref(), Ok(&said), "{input:02x?}");
                true
            }
            Err(_) => false,
        },
        1 => Value::from_json(input, ty).is_ok(),
        2 => RawState::Json(input.to_vec()).decode(ty).is_ok(),
        3 => RawState::Json(input.to_vec()).decode_untyped().is_ok(),
        4 => Type::from_json(input).is_ok(),
        _ => {
            let text = String::from_utf8_lossy(input);
            let entries = text.lines().filter_map(|line| line.split_once('='));
            let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
            RawState::Flatmap(entries.collect()).decode(ty).is_ok()
        }
    }
}

const DECODERS: [&str; 6] = ["msgpack", "json", "state", "untyped state", "type", "flat map"];

#[test]
fn hostile_input_is_answered() {
    let execs = setting("FUZZ_EXECS", 100_000);
    let mut random = Random::new(setting("FUZZ_SEED", 1));
    std::panic::set_hook(Box::new(|panic| {
        PANICS.set(PANICS.get() + 1);
        eprintln!("{panic}");
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let calls = Calls::new(Arc::new(Server::new(provider::everything())));
    let (types, corpus) = seeds::corpus();
    let (mut decoders, mut rpcs) = (Counts::default(), Counts::default());
    let before = peak_bytes();
    let began = Instant::now();
    for _ in 0..execs {
        let panics = PANICS.get();
        let input = mutate::mutated(&corpus, &mut random);
        if random.one_in(2) {
            let target = random.below(DECODERS.len());
            let started = Instant::now();
            let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                decode(target, &types, &mut random, &input)
            }));
            let good = decoded.unwrap_or(false);
            decoders.note(DECODERS[target], &input, panics, started.elapsed(), good);
        } else {
            let name = *random.pick(Calls::NAMES);
            let mut request = request(name, &input, &mut random);
            if random.one_in(3) {
                request = mutate::mutated(&[request], &mut random);
            }
            let started = Instant::now();
            let good = runtime.block_on(calls.answers(name, &request));
            rpcs.note(name, &request, panics, started.elapsed(), good);
        }
    }
    let _ = std::panic::take_hook();
    let (took, growth) = (began.elapsed(), peak_bytes().saturating_sub(before));
    for (what, counts) in [("decoders", &decoders), ("calls", &rpcs)] {
        println!(
            "{what}: {} execs, {} accepted, {} hangs, slowest {:?}",
            counts.execs, counts.accepted, counts.hangs, counts.slowest
        );
    }
    println!("{execs} execs in {took:?}, {} panics", PANICS.get());
    println!("peak memory grew by {} KiB", growth / 1024);
    assert_eq!(format!("{}{}", decoders.failures, rpcs.failures), "");
    assert!(growth < GROWTH_BYTES_MAX, "the peak grew by {growth} bytes");
    // A fuzzer that nothing gets past the first check tests nothing.
    assert!(decoders.accepted * 20 > decoders.execs, "{} decoded", decoders.accepted);
    assert!(rpcs.accepted * 3 > rpcs.execs, "{} requests understood", rpcs.accepted);
}

/// A bomb in a few bytes is refused before anything is reserved for it.
#[test]
fn bombs_are_refused_for_what_they_are() {
    let list = Type::list(Type::String);
    let before = peak_bytes();
    let mut bombs: Vec<Vec<u8>> = vec![
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        vec![0xdb, 0xff, 0xff, 0xff, 0xff],
        vec![0xc6, 0xff, 0xff, 0xff, 0xff],
        vec![0xc9, 0xff, 0xff, 0xff, 0xff, 12],
        vec![0xc7, 0xff, 12],
    ];
    bombs.push([0x91].repeat(100_000));
    for bomb in &bombs {
        for ty in [&list, &Type::Dynamic, &Type::map(Type::list(list.clone()))] {
            assert!(Value::from_msgpack(bomb, ty).is_err());
        }
    }
    for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000), format!("1e{}", "9".repeat(9))] {
        assert!(RawState::Json(text.into_bytes()).decode(&Type::Number).is_err());
    }
    assert!(peak_bytes().saturating_sub(before) < 64 * 1024 * 1024);
}
